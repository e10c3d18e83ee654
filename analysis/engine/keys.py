"""Content keys: equal keys mean equal answers.

A key names operation, parameters, model, files that are read, and the code that computes. That code is the folder of
the operation's method and every folder of :mod:`analysis` that it imports, directly or through others; the engine,
which carries answers and computes none, is left out. So a comment in one method leaves the results of others alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from analysis.engine.question import Question

_ROOT = Path(__file__).resolve().parent.parent
_IMPORT = re.compile(r"^\s*(?:from|import)\s+analysis(?:\.(\w+)|\s+import\s+([\w, ]+))", re.MULTILINE)
_CARRIES = frozenset({"engine"})


def content_key(operation: Question, identity: str, reads: str = "") -> str:
    """64 hex digits for operation, parameters, model (``Residents.identity``), what it reads from files
    (``Operation.reads``) and the version of the code that it runs."""
    kind = type(operation)
    return hash_of([kind.__name__, operation.to_params(), identity, reads, code_version(kind.__module__)])


def hash_of(data: Any) -> str:
    """SHA-256 of canonical JSON, in hex."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def code_version(module: str) -> str:
    """16 hex digits for the source behind a module of :mod:`analysis`: its folder and all folders that it needs. Behind
    a module from elsewhere (a plug-in) are all of them, but not its own source: whoever changes that empties the result
    store."""
    parts = module.split(".")
    rooms = rooms_of(parts[1]) if parts[0] == "analysis" and len(parts) > 1 else all_rooms()
    digest = hashlib.sha256()
    for room in sorted(rooms):
        digest.update(room.encode() + b"\0" + _source(room)[0].encode())
    return digest.hexdigest()[:16]


def all_rooms() -> frozenset[str]:
    """Every folder and module of :mod:`analysis`."""
    return frozenset(p.stem for p in _ROOT.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists())


@cache
def rooms_of(room: str) -> frozenset[str]:
    """The folders and modules of :mod:`analysis` that one of them needs, itself among them."""
    needed, open_ = {room}, [room]
    while open_:
        for other in _source(open_.pop())[1] - needed - _CARRIES:
            needed.add(other)
            open_.append(other)
    return frozenset(needed)


@cache
def _source(room: str) -> tuple[str, frozenset[str]]:
    """Digest of a room's source, and the rooms that it imports."""
    folder, digest, imports = _ROOT / room, hashlib.sha256(), set()
    paths = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
    for path in paths:
        body = path.read_bytes() if path.is_file() else b""
        digest.update(str(path.relative_to(_ROOT)).encode() + b"\0" + body)
        for inner, names in _IMPORT.findall(body.decode("utf-8", "replace")):
            imports.update([inner] if inner else re.split(r"[, ]+", names.strip()))
    return digest.hexdigest(), frozenset(imports)
