"""Two files that belong together: arrays without code in them, and a manifest in words with their checksum.

What a method keeps beyond one run is written here, in one way for all: under another name first, then renamed, the
arrays' file named by its content, so that whoever reads meanwhile gets the old pair or the new one; and read back only
if the checksum agrees. A manifest that names no file of arrays is of an older version, which named it as the manifest.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load, save_file

from analysis import foreign
from analysis.asker import refuse_change
from analysis.errors import UserError

Arrays = dict[str, np.ndarray]
FORMAT = 1
MAX_MANIFEST = 100_000_000
MAX_ARRAYS = 8 << 30
"""Bytes of the two files of a pair."""
MAPPED = 64 << 20
"""Bytes from which arrays are used where they lie in the file, so that they take memory once and only where read."""
_DTYPES = {"F64": "f8", "F32": "f4", "F16": "f2", "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1", "BOOL": "?"} | {
    f"U{8 * size}": f"u{size}" for size in (1, 2, 4, 8)
}


@dataclass(frozen=True)
class Wording:
    """How a pair of one kind is refused. The sentences may name {file} (the file in question), {manifest}, {name} of
    the artefact, and {why}, a clause.

    ``subject``: what its manifest is called where an entry is missing. ``absent``: a file is not there. ``unreadable``:
    it is no such file. ``changed``: the checksum is another. ``unusable``: what it holds does not fit together.
    ``incomplete``: it lacks what it should hold.
    """

    field: str
    subject: str
    absent: str
    unreadable: str
    changed: str
    unusable: str
    incomplete: str

    @classmethod
    def of(cls, what: str, field: str) -> Wording:
        """The usual sentences. ``what``: a plural, such as "measurements of this model's neurons"."""
        return cls(
            field=field,
            subject=f"What is kept as {what}",
            absent=f"There are no {what} yet.",
            unreadable=f"The {what} cannot be read: the file is damaged. Make them again.",
            changed=f"The {what} were changed after they were written. Make them again.",
            unusable=f"The {what} cannot be used: {{why}}. Make them again.",
            incomplete=f"The {what} lack what they should hold. Make them again.",
        )

    def refusal(self, sentence: str, path: Path, file: str = "", why: str = "") -> UserError:
        """The error that says one of the sentences of the pair at ``path``."""
        names = {"name": path.name, "manifest": manifest_path(path).name, "file": file, "why": why}
        return UserError(sentence.format(**names), self.field)


def save_pair(path: Path, arrays: Arrays, manifest: dict[str, Any]) -> None:
    """Write ``<path>-<hash>.safetensors`` and ``<path>.json``; older arrays of the same path go.

    Raises ValueError, and writes nothing, for a manifest with numbers that are not finite.
    """
    json.dumps(manifest, allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = path.with_name(f".part-{secrets.token_hex(8)}")
    try:
        save_file({name: np.asarray(a, order="C") for name, a in arrays.items()}, scratch)
        digest = _digest(scratch)
        target = path.with_name(f"{path.name}-{digest[:12]}.safetensors")
        record = {**manifest, "format": FORMAT, "sha256": digest, "file": target.name}
        text = json.dumps(record, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)
    write_whole(manifest_path(path), text.encode())
    for old in (path.with_name(path.name + ".safetensors"), *path.parent.glob(f"{path.name}-????????????.safetensors")):
        if old != target:
            old.unlink(missing_ok=True)


def load_pair(path: Path, wording: Wording) -> tuple[Arrays, dict[str, Any]]:
    """Arrays and manifest. Raises UserError(wording.field): missing, damaged, of another format, or changed after it
    was written."""
    place = manifest_path(path)
    if not place.exists():
        raise wording.refusal(wording.absent, path, place.name)
    fault = ""
    try:
        manifest = foreign.read_json(place, MAX_MANIFEST, wording.field)
    except UserError as error:
        fault = f"its manifest is not readable ({error.message.rstrip('.')})"
    else:
        if not isinstance(manifest, dict) or "sha256" not in manifest:
            fault = "its manifest does not say which arrays are its own"
        elif manifest.get("format", FORMAT) != FORMAT:
            fault = f"it was written in format {str(manifest['format'])[:20]}, and this version reads format {FORMAT}"
    if fault:
        raise wording.refusal(wording.unreadable, path, place.name, fault)
    damaged = wording.refusal(wording.unreadable, path, place.name, "its file of arrays is damaged")
    with foreign.reading(damaged.message, wording.field):
        target = _arrays_path(path, manifest)
        if not target.exists():
            raise wording.refusal(wording.absent, path, target.name)
        if MAPPED < target.stat().st_size <= MAX_ARRAYS:
            if _digest(target) != manifest["sha256"]:
                raise wording.refusal(wording.changed, path, target.name)
            return _mapped(target), foreign.Record(manifest, wording.subject, wording.field)
        body = foreign.read_bytes(target, MAX_ARRAYS, wording.field)
        if hashlib.sha256(body).hexdigest() != manifest["sha256"]:
            raise wording.refusal(wording.changed, path, target.name)
        return load(body), foreign.Record(manifest, wording.subject, wording.field)


def _digest(path: Path) -> str:
    """SHA-256 in hex of a file of any size."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _mapped(path: Path) -> Arrays:
    """The arrays of a safetensors file, mapped: what is written to them stays in memory, and the file's bytes stay
    readable when the file is exchanged for another."""
    with safe_open(path, framework="np") as file:
        names = list(file.keys())  # the library has looked at all shapes and places
    with path.open("rb") as raw:
        start = int.from_bytes(raw.read(8), "little")
        header = json.loads(raw.read(start))
    arrays: Arrays = {}
    for name in names:
        entry = header[name]
        shape, dtype = tuple(entry["shape"]), np.dtype(_DTYPES[entry["dtype"]])
        place = 8 + start + entry["data_offsets"][0]
        arrays[name] = np.memmap(path, dtype, "c", place, shape) if 0 not in shape else np.empty(shape, dtype)
    return arrays


def pair_files(path: Path) -> tuple[Path, Path]:
    """The two files of a pair that is there: its manifest, and its arrays."""
    return manifest_path(path), _arrays_path(path, read_manifest(path) or {})


def manifest_path(path: Path) -> Path:
    """The manifest of a pair; names may have dots of their own."""
    return path.with_name(path.name + ".json")


def _arrays_path(path: Path, manifest: dict[str, Any]) -> Path:
    """The file that a manifest names, in the folder of the pair wherever that name leads."""
    return path.with_name(Path(str(manifest.get("file", f"{path.name}.safetensors"))).name)


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest alone, or None if there is none that can be read."""
    try:
        found = foreign.read_json(manifest_path(path), MAX_MANIFEST, "file")
        return found if isinstance(found, dict) else None
    except UserError:
        return None


def state_of(path: Path) -> tuple[int, int] | None:
    """What tells a file from the same one written anew: time of change (ns) and bytes; None if there is none."""
    try:
        facts = path.stat()
        return facts.st_mtime_ns, facts.st_size
    except OSError:
        return None


def write_whole(path: Path, body: bytes) -> None:
    """Write a file under a name of its own and rename it, so that nobody reads half of it. Raises UserError for one who
    may only look."""
    refuse_change()
    scratch = path.with_name(f".part-{secrets.token_hex(8)}")
    try:
        with scratch.open("xb") as file:
            file.write(body)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def without_folder(manifest: dict[str, Any]) -> dict[str, Any]:
    """A manifest whose model, if it lies in a folder, is named by that folder's name alone: its path says nothing on
    another machine and something about this one."""
    spec = manifest.get("model_spec")
    source = spec.get("source") if isinstance(spec, dict) else None
    if not isinstance(source, str) or not re.search(r"^[.~/\\]|^[A-Za-z]:|\.gguf$", source):
        return manifest
    return {
        **manifest,
        "model_spec": {**manifest["model_spec"], "source": re.split(r"[/\\]", source.rstrip("/\\"))[-1]},
    }
