"""A board that others may look at by a link: the static page, made once for each state of the board, and kept.

Who has the link runs nothing here and reaches no other page: what goes out is a file. It follows the board; but where
texts are hidden in it, it stays as it was made until its owner makes it anew, since nobody has looked at what was
pinned since.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import secrets
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.errors import UserError
from analysis.findings.store import findings
from analysis.home import folder
from pages.findings.handovers import EXITS, file_of

_lock = threading.Lock()


def share(board: str, choices: Mapping[str, str]) -> str:
    """The name of a board's link; what it shows is made now. UserError where there is no such board."""
    name = findings().share(board)
    with _lock:
        _make(board, name, choices)
    return name


def withdraw(board: str) -> None:
    """Let the link of a board lead nowhere, and take away what it showed. UserError where there is no such board."""
    name = findings().board(board).board.share
    findings().withdraw(board)
    if name:
        with _lock:  # a page that is being made is not written after this
            for path in _paths(name):
                path.unlink(missing_ok=True)


def shared_page(name: str) -> bytes:
    """What a link shows, as gzipped HTML. UserError where there is none any more, and where it is not known which texts
    are to be hidden in it: nobody is shown more than its owner has looked at."""
    with _lock:
        board = findings().shared(name).board
        facts, page = _kept(name)
        if facts is None:
            raise gone()
        if page is None or (facts["stamp"] != board.stamp and not facts["choices"]):
            page = _make(board.id, name, facts["choices"])
        return page


def hidden_in(name: str) -> int:
    """How many texts are hidden in what a link shows."""
    facts, _ = _kept(name)
    return len(facts["choices"]) if facts else 0


def _make(board: str, name: str, choices: Mapping[str, str]) -> bytes:
    # The stamp is read before what is shown: a change meanwhile is then shown the next time.
    stamp = findings().board(board).board.stamp
    facts, target = _paths(name)
    # What is to be hidden is on the disk before anything is shown by it, and no older page stands meanwhile: however
    # this ends, the next page is made with these choices.
    target.unlink(missing_ok=True)
    _write(facts, json.dumps({"stamp": stamp, "choices": dict(choices)}).encode())
    page = gzip.compress(file_of(EXITS["page"], board, choices), 6, mtime=0)
    _write(target, page)
    return page


def _kept(name: str) -> tuple[dict[str, Any] | None, bytes | None]:
    """What is known of a link, and its page; None for what is not there or cannot be read."""
    facts, page = _paths(name)
    known = None
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        data = json.loads(facts.read_text(encoding="utf-8"))
        known = {"stamp": int(data["stamp"]), "choices": dict(data["choices"])}
        return known, page.read_bytes()
    return known, None


def _paths(name: str) -> tuple[Path, Path]:
    """Facts and page of a link. The name of a link is a secret: files are named by its checksum."""
    digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()
    place = folder("findings", "shared")
    return place / f"{digest}.json", place / f"{digest}.html.gz"


def _write(path: Path, body: bytes) -> None:
    scratch = path.with_name(f".part-{secrets.token_hex(8)}")
    try:
        scratch.write_bytes(body)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def gone() -> UserError:
    """What is said of a link that leads nowhere."""
    return UserError("This link leads nowhere. It was withdrawn, or it was not copied whole.")
