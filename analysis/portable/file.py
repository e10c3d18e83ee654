"""One file for one artefact: out of a shelf, and onto one.

A portable file is the shelf's file of arrays with another header, so arrays are copied byte for byte, in pieces, and
what is put on a shelf is what was there, checksum and all. On the way in a pair is made in a folder of its own, read by
the shelf's own decoder, and only then moved to the shelf under a name that nothing has.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from analysis import __version__, foreign
from analysis.artefacts import manifest_path, pair_files, without_folder
from analysis.disk import FULL
from analysis.errors import UserError
from analysis.home import folder, home
from analysis.models.spec import ModelSpec
from analysis.portable.header import DTYPES, FIELD, FORMAT, Array, Header, header_bytes, read_arrays, read_header
from analysis.portable.kinds import ArtefactKind, kind_of
from analysis.shelf import Entry
from analysis.spoken import counted

CHUNK = 1 << 22
_TRIES = 1_000


@dataclass(frozen=True)
class Opened:
    """An artefact that is on the shelf now. ``already``: it was there before, equal in all, under that name;
    ``file_name``: the name in the file; ``model`` and ``fingerprint``: what it was made from; ``presets``: how many
    came with it and are new."""

    kind: str
    name: str
    file_name: str
    model: str
    fingerprint: str
    already: bool
    manifest: dict[str, Any]
    presets: int = 0

    @property
    def sentence(self) -> str:
        """What became of it."""
        words, more = kind_of(self.kind).words, f" {counted(self.presets, 'preset')} came with it." * (self.presets > 0)
        if self.already:
            return f"This is {words} that is on the shelf already, as “{self.name}”.{more}"
        renamed = "" if self.name == self.file_name else f" (the name “{self.file_name}” is taken by another one)"
        return f"Opened {words} of {self.model} as “{self.name}”{renamed}.{more}"


def save_file(kind: str, name: str, target: str | Path, fingerprint: str = "") -> int:
    """Write the artefact of that kind and name to a file; its size in bytes. ``fingerprint``: of its model, for kinds
    that lie in a folder for each. Raises UserError("file") where there is none."""
    entry = entry_of(kind, name, fingerprint)
    target = Path(target)
    part = target.with_name(f".part-{secrets.token_hex(8)}")
    try:
        with part.open("xb") as file:
            size = write(kind, entry, file)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return size


def entry_of(kind: str, name: str, fingerprint: str = "") -> Entry:
    """The artefact of that kind and name. Raises UserError("file") where there is none."""
    chosen = kind_of(kind)
    path = chosen.shelf.find(name, *chosen.inner(fingerprint))
    entry = None if path is None else chosen.shelf.entry(path)
    if entry is None:
        raise UserError(f"There is no {chosen.name} “{str(name)[:80]}” on the shelf. It may have been deleted.", FIELD)
    return entry


def write(kind: str, entry: Entry, target: BinaryIO, presets: bool = False) -> int:
    """Write an artefact of a shelf as a portable file; its size in bytes. ``presets``: with the user's presets of it,
    which hold prompts. Raises UserError("file") for one whose arrays are not those that its manifest names."""
    chosen = kind_of(kind)
    source = pair_files(entry.path)[1]
    size = foreign.regular(source, FIELD)
    attune = {
        "format": FORMAT, "kind": kind, "name": entry.name, "manifest": without_folder(entry.manifest),
        "labels": chosen.labels(entry.name), "made_by": f"Attune {__version__}",
    }  # fmt: skip
    if presets and (rows := chosen.presets(entry.name)):
        attune["presets"] = rows
    with source.open("rb") as file:
        _, arrays, start = read_arrays(file, size)
        head, digest = header_bytes(arrays, attune), hashlib.sha256(header_bytes(arrays, None))
        target.write(head)
        _copy(file, target, size - start, digest)
    if digest.hexdigest() != entry.checksum:
        raise UserError(f"The arrays of “{entry.name}” were changed after they were written. Make it again.", FIELD)
    return len(head) + size - start


def _copy(source: BinaryIO, target: BinaryIO, length: int, digest: Any) -> None:
    while length:
        piece = source.read(min(CHUNK, length))
        if not piece:
            raise UserError("This file ended before its arrays did.", FIELD)
        digest.update(piece)
        target.write(piece)
        length -= len(piece)


def open_file(source: str | Path, kind: str = "", loaded: tuple[str, ModelSpec] | None = None) -> Opened:
    """Put the artefact in a file on its shelf. ``kind``: the only one that is wanted; any by default. ``loaded``:
    fingerprint and specification of a model that is loaded; an artefact of these weights is entered as made from it.

    Nothing that is there is changed: an equal one stays as it is, and of another one of the same name both stay.
    Raises UserError("file") with a sentence on what is wrong, and has then put nothing on a shelf.
    """
    path = Path(source)
    header = read_header(path)
    if loaded is not None and loaded[0] == header.fingerprint and "model_spec" in header.manifest:
        header = replace(header, manifest={**header.manifest, "model_spec": loaded[1].to_dict()})
    if kind and header.kind.name != kind:
        raise UserError(
            f"This file holds {header.kind.words}, and {kind_of(kind).words} is opened here. Open it on its own page.",
            FIELD,
        )
    if shutil.disk_usage(home()).free < header.length + len(header.plain()):
        raise UserError(FULL, FIELD)
    there = _there(header)
    name = there
    if not there:
        with workplace() as place:
            pair = place / header.name
            _unpack(path, header, pair)
            name = _place(header, pair)
    header.kind.put_labels(name, header.labels)
    presets = header.kind.put_presets(name, list(header.presets))
    weights = header.fingerprint
    return Opened(header.kind.name, name, header.name, header.model, weights, bool(there), header.manifest, presets)


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder of the data folder, gone afterwards: on the same disk as the shelves, so that files can be moved."""
    place = folder("incoming", secrets.token_hex(8))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _unpack(path: Path, header: Header, pair: Path) -> None:
    """Make the pair of a portable file, checked by checksum, number by number, and by the shelf's own decoder."""
    scratch, plain = pair.with_name("arrays"), header.plain()
    digest = hashlib.sha256(plain)
    with path.open("rb") as file, scratch.open("xb") as target:
        file.seek(header.start)
        target.write(plain)
        _copy(file, target, header.length, digest)
    if digest.hexdigest() != header.checksum:
        raise UserError("The arrays of this file were changed after it was written: their checksum is another.", FIELD)
    for name, array in header.arrays.items():
        _check_numbers(scratch, len(plain), name, array, header.kind)
    scratch.rename(pair.with_name(f"{pair.name}-{header.checksum[:12]}.safetensors"))
    _write_manifest(pair, header)
    shelf = header.kind.shelf
    try:
        shelf.read(pair)
    except UserError as error:
        raise UserError(f"This file cannot be opened. {error.message}", FIELD) from error
    if shelf.entry(pair) is None:
        raise UserError(f"The manifest of this file is not one of {header.kind.words}.", FIELD)


def _check_numbers(path: Path, start: int, name: str, array: Array, kind: ArtefactKind) -> None:
    """Refuse what is no number, piece by piece."""
    dtype = np.dtype(DTYPES[array.dtype])
    if dtype.kind != "f":
        return
    gaps = re.fullmatch(kind.gaps, name) is not None
    with path.open("rb") as file:
        file.seek(start + array.begin)
        left = array.end - array.begin
        while left:
            values = np.frombuffer(file.read(min(CHUNK, left)), dtype)
            if np.isinf(values).any() or (not gaps and np.isnan(values).any()):
                raise UserError(f"The array “{name}” of this file has numbers that are none (NaN or infinite).", FIELD)
            left -= values.nbytes


def _write_manifest(pair: Path, header: Header) -> None:
    record = {**header.manifest, "file": f"{pair.name}-{header.checksum[:12]}.safetensors"}
    text = json.dumps(record, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"
    manifest_path(pair).write_text(text, encoding="utf-8")


def _there(header: Header) -> str:
    """The name of the artefact on the shelf that is equal in all to the one in a file; empty if there is none."""
    for entry in header.kind.shelf.of_weights(header.fingerprint, *header.kind.inner(header.fingerprint)):
        if entry.checksum == header.checksum and _facts(entry.manifest) == _facts(header.manifest):
            return entry.name
    return ""


def _place(header: Header, pair: Path) -> str:
    """Move a pair onto its shelf, under its own name or the next one that is free; that name."""
    kind, shelf = header.kind, header.kind.shelf
    inner = kind.inner(header.fingerprint)
    place, arrays = shelf.own(*inner), pair_files(pair)[1]
    for number in range(1, _TRIES):
        name = header.name if number == 1 else f"{header.name[:76]}-{number}"
        if name in kind.reserved or manifest_path(shelf.bundled / name).exists():
            continue
        target = place / name
        file = target.with_name(f"{name}-{header.checksum[:12]}.safetensors")
        if manifest_path(target).exists():
            continue
        _write_manifest(target_pair := pair.with_name(name), header)
        with contextlib.suppress(FileExistsError):
            os.link(arrays, file)  # named by its content
        try:
            os.link(manifest_path(target_pair), manifest_path(target))  # the one step that takes the name
        except FileExistsError:
            continue  # somebody was faster
        return name
    raise UserError(f"There are too many artefacts called “{header.name}” already. Delete some of them.", FIELD)


def _facts(manifest: dict[str, Any]) -> dict[str, Any]:
    """What a manifest says beside where its arrays lie."""
    return {k: v for k, v in manifest.items() if k not in ("file", "format", "what", "code", "model_spec")}
