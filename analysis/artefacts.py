"""Two files that belong together: arrays without code in them, and a manifest in words with their checksum.

What a method keeps beyond one run is written here, in one way for all that need no format of their own: under another
name first, then renamed, the arrays' file named by its content, so that whoever reads meanwhile gets the old pair or
the new one; and read back only if the checksum agrees.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from analysis import foreign
from analysis.errors import UserError

MAX_MANIFEST = 100_000_000
MAX_ARRAYS = 8 << 30
"""Bytes of the two files of a pair."""


def save_pair(path: Path, arrays: dict[str, np.ndarray], manifest: dict[str, Any]) -> None:
    """Write ``<path>-<hash>.safetensors`` and ``<path>.json``; older arrays of the same path go."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    body = save({name: np.ascontiguousarray(a) for name, a in arrays.items()})
    digest = hashlib.sha256(body).hexdigest()
    target = path.with_name(f"{path.name}-{digest[:12]}.safetensors")
    record = {**manifest, "sha256": digest, "file": target.name}
    text = json.dumps(record, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"
    write_whole(target, body)
    write_whole(path.with_name(path.name + ".json"), text.encode())
    for old in path.parent.glob(f"{path.name}-????????????.safetensors"):
        if old != target:
            old.unlink(missing_ok=True)


def load_pair(path: Path, what: str, field: str = "file") -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and manifest. ``what``: their name in a sentence, such as "measurements of this model's neurons".

    Raises UserError(field): missing, damaged, or changed after it was written.
    """
    path_of_manifest = path.with_name(path.name + ".json")
    if not path_of_manifest.exists():
        raise UserError(f"There are no {what} yet.", field)
    damaged = f"The {what} cannot be read: the file is damaged. Make them again."
    with foreign.reading(damaged, field):
        try:
            manifest = foreign.read_json(path_of_manifest, MAX_MANIFEST, field)
            manifest = foreign.Record(dict(manifest), f"What is kept as {what}", field)
        except (UserError, TypeError, ValueError) as error:
            raise UserError(damaged, field) from error
        target = path.with_name(Path(str(manifest["file"])).name)
        if not target.exists():
            raise UserError(f"There are no {what} yet.", field)
        body = foreign.read_bytes(target, MAX_ARRAYS, field)
        if hashlib.sha256(body).hexdigest() != manifest["sha256"]:
            raise UserError(f"The {what} were changed after they were written. Make them again.", field)
        return load(body), manifest


def pair_files(path: Path) -> tuple[Path, ...]:
    """The two files of a pair that is there: its manifest, and the arrays that the manifest names."""
    found = read_manifest(path) or {}
    return path.with_name(path.name + ".json"), path.with_name(Path(str(found.get("file", ""))).name or path.name)


def state_of(path: Path) -> tuple[int, int] | None:
    """What tells a file from the same one written anew: time of change (ns) and bytes; None if there is none."""
    try:
        facts = path.stat()
        return facts.st_mtime_ns, facts.st_size
    except OSError:
        return None


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest alone, or None if there is none that can be read."""
    try:
        found = foreign.read_json(path.with_name(path.name + ".json"), MAX_MANIFEST, "file")
        return found if isinstance(found, dict) else None
    except UserError:
        return None


def write_whole(path: Path, body: bytes) -> None:
    """Write a file under a name of its own and rename it, so that nobody reads half of it."""
    scratch = path.with_name(f".part-{secrets.token_hex(8)}")
    try:
        with scratch.open("xb") as file:
            file.write(body)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
