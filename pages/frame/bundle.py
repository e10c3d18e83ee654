"""Our own scripts, and our own styles, as one file each.

A browser asks for six files at a time, so that eighty small ones wait for each other a dozen times; through a line of
50 ms that is half a second of every first opening. They are put together when the app is made and stay files of their
own in ``assets/``, where a talk and the tests find them. Their address names what is in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from dash import Dash
from flask import Response

from components.kit.links import local

TOGETHER = "/together/"
KINDS = {"js": "text/javascript", "css": "text/css"}


def bundle(app: Dash, kind: str, names: Sequence[str]) -> str:
    """Serve the files of the assets with these names, in this order, as one of a kind in KINDS: its address."""
    assets = Path(app.config.assets_folder)
    # The line ends a comment, and what a script leaves open ends with it.
    body = "".join(f"/* {name} */\n{(assets / name).read_text('utf-8')}\n" for name in names).encode()
    path = f"{TOGETHER}{sha256(body).hexdigest()[:16]}.{kind}"
    app.server.add_url_rule(path, path, lambda: Response(body, mimetype=KINDS[kind]))
    return local(path)


def register_missing(app: Dash) -> None:
    """Any other file at that place is not there: Dash would answer with the page itself."""
    app.server.add_url_rule(f"{TOGETHER}<path:name>", TOGETHER, lambda name: Response(status=404))


def files_of(assets: Path, kind: str, without: Sequence[str] = ()) -> list[str]:
    """Names of the files of a kind, those of folders last, without those that are named or lie in a named folder."""
    found = [path.relative_to(assets) for path in assets.rglob(f"*.{kind}")]
    kept = [path for path in found if path.as_posix() not in without and path.parts[0] not in without]
    return [path.as_posix() for path in sorted(kept, key=lambda path: (len(path.parts), path.as_posix()))]
