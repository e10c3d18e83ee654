"""The header of a portable file: read and checked before a byte of its arrays is, or memory for them is asked for.

It is a safetensors header, whose ``__metadata__`` carries the manifest as JSON under ``attune``. What it says of arrays
is held against the length of the file, so that a header cannot promise more than there is, and what follows copies a
known number of bytes.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

from analysis import foreign
from analysis.artefacts import MAX_ARRAYS
from analysis.errors import UserError
from analysis.portable.kinds import FINGERPRINT, ArtefactKind, kind_of
from analysis.shelf import is_name

FORMAT = 1
FIELD = "file"
ENDING = ".attune.safetensors"
MAX_HEADER = 128 << 20
MAX_ARRAY_COUNT = 100_000
MAX_LABELS, MAX_LABEL = 100_000, 80
DTYPES = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1"},
    **{"U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1"},
}
"""Number types of arrays, as numpy names them: those that shelves keep."""
_ATTUNE = {"format": int, "kind": str, "name": str, "manifest": dict, "labels": dict, "made_by": str}
_ARRAY = re.compile(r"(?!.*\.\.)[\w.\-/]{1,200}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NO_FILE = "This is no file of Attune: it has no manifest in its header. Choose one that was saved with “Save file”."
_DAMAGED = "This file is damaged: its header cannot be read. Get it again from where it comes from."


@dataclass(frozen=True)
class Array:
    """Where an array lies: number type, shape, and its bytes counted from the first array's."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Header:
    """What a portable file says of itself. ``start``: where its arrays begin in the file, ``length`` of all of them in
    bytes; ``labels`` and ``presets``: what users keep beside it that travels with it."""

    kind: ArtefactKind
    name: str
    manifest: dict[str, Any]
    labels: dict[str, str]
    arrays: dict[str, Array]
    start: int
    length: int
    presets: tuple[dict[str, Any], ...] = ()

    @property
    def fingerprint(self) -> str:
        """Of the weights that it was made from."""
        return str(self.manifest[self.kind.shelf.weights])

    @property
    def model(self) -> str:
        """What its model is called."""
        return model_label(self.manifest)

    @property
    def checksum(self) -> str:
        """SHA-256 in hex of its arrays as the shelf keeps them."""
        return str(self.manifest["sha256"])

    def plain(self) -> bytes:
        """The header of the arrays as the shelf keeps them, with its length before it."""
        return header_bytes(self.arrays, None)


def model_label(manifest: dict[str, Any]) -> str:
    """What the model of a manifest is called. Sets of probes name the weights of their network alone."""
    if "fingerprint" not in manifest:
        return f"the OthelloGPT with the weights {str(manifest.get('model'))[:16]}"
    spec = manifest.get("model_spec")
    named = spec.get("source") if isinstance(spec, dict) else ""
    return str(manifest.get("model") or named or "a model")[:200]


def header_bytes(arrays: dict[str, Array], attune: dict[str, Any] | None) -> bytes:
    """A safetensors header with its length before it, padded to 8 bytes as the format has it."""
    record: dict[str, Any] = {}
    if attune is not None:
        record["__metadata__"] = {"attune": json.dumps(attune, ensure_ascii=False, sort_keys=True, allow_nan=False)}
    for name, array in arrays.items():
        record[name] = {"dtype": array.dtype, "shape": list(array.shape), "data_offsets": [array.begin, array.end]}
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def read_arrays(file: BinaryIO, size: int) -> tuple[dict[str, Any], dict[str, Array], int]:
    """Metadata, arrays and the place of their first byte, from a safetensors file of ``size`` bytes.

    Raises UserError("file"): no such header, one longer than the file or than any is, arrays that are none or that do
    not fill the file exactly.
    """
    length = int.from_bytes(file.read(8), "little")
    if size < 10 or length < 2 or length > size - 8:
        raise UserError("This is no safetensors file, or it was cut off within its header.", FIELD)
    if length > MAX_HEADER:
        raise UserError(
            f"The header of this file is larger than {MAX_HEADER >> 20} MB. It is no file of Attune.", FIELD
        )
    record = foreign.parse_json(file.read(length), FIELD, "The header of this file")
    if not isinstance(record, dict):
        raise UserError(_DAMAGED, FIELD)
    metadata = record.pop("__metadata__", {})
    if not isinstance(metadata, dict) or len(record) > MAX_ARRAY_COUNT:
        raise UserError(_DAMAGED, FIELD)
    arrays = {name: _array(name, row) for name, row in record.items()}
    place = 0
    for array in sorted(arrays.values(), key=lambda a: (a.begin, a.end)):
        if array.begin != place:
            raise UserError("The arrays of this file overlap or leave gaps. It is damaged or made to do harm.", FIELD)
        place = array.end
    if place != size - 8 - length:
        said = "was cut off" if place > size - 8 - length else "has more in it than its header names"
        raise UserError(
            f"This file {said}: its arrays take {place:,} bytes, and {size - 8 - length:,} are there.", FIELD
        )
    return metadata, arrays, 8 + length


def _array(name: str, row: Any) -> Array:
    told = name[:60]
    if not _ARRAY.fullmatch(name) or not isinstance(row, dict):
        raise UserError(f"An array of this file has a name that none has ({told!r}).", FIELD)
    dtype, shape, offsets = row.get("dtype"), row.get("shape"), row.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise UserError(
            f"The array “{told}” of this file is of a number type that is not read ({str(dtype)[:20]}).", FIELD
        )
    if not _counts(shape) or len(shape) > 8 or not _counts(offsets) or len(offsets) != 2:
        raise UserError(f"The array “{told}” of this file has no shape or no place.", FIELD)
    begin, end = offsets
    if end - begin != math.prod(shape) * int(DTYPES[dtype][2:]):
        raise UserError(f"The array “{told}” of this file has another length than its shape asks for.", FIELD)
    return Array(dtype, tuple(shape), begin, end)


def _counts(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 2**48 for n in value)


def read_header(path: Path) -> Header:
    """The header of a portable file, checked. Raises UserError("file") with a sentence on what is wrong."""
    size = foreign.regular(path, FIELD, "this file")
    if size > MAX_ARRAYS + MAX_HEADER:
        raise UserError(
            f"This file is {size / 1e9:,.1f} GB large; an artefact has at most {MAX_ARRAYS >> 30} GB.", FIELD
        )
    with path.open("rb") as file:
        metadata, arrays, start = read_arrays(file, size)
    text = metadata.get("attune")
    if not isinstance(text, str):
        raise UserError(_NO_FILE, FIELD)
    record = foreign.parse_json(text, FIELD, "The manifest of this file")
    if not isinstance(record, dict) or record.get("kind") == "steering set-up":
        told = "a steering set-up, which opens on the Steering page" if isinstance(record, dict) else "no artefact"
        raise UserError(f"This file holds {told}.", FIELD)
    fault = foreign.misfit(record, _ATTUNE | {"presets": [{}]}) or next(
        (f"“{n}” is missing" for n in _ATTUNE if n not in record), ""
    )
    if fault:
        raise UserError(f"The manifest of this file cannot be used: {fault}.", FIELD)
    if record["format"] != FORMAT:
        raise UserError(
            f"This file is of format {record['format']}, and this version of Attune reads format {FORMAT}.", FIELD
        )
    kind, manifest = kind_of(record["kind"]), record["manifest"]
    if manifest.get("what", kind.name) != kind.name:
        raise UserError(f"This file says that it holds {kind.words}, and its manifest says another kind.", FIELD)
    if not is_name(record["name"]):
        raise UserError("The name of the artefact in this file is none that an artefact can have.", FIELD)
    if not FINGERPRINT.fullmatch(str(manifest.get(kind.shelf.weights, ""))) or not isinstance(
        manifest.get("sha256"), str
    ):
        raise UserError("The manifest of this file does not say which weights or arrays it belongs to.", FIELD)
    labels = _labels(record["labels"])
    return Header(kind, record["name"], manifest, labels, arrays, start, size - start, tuple(record.get("presets", ())))


def is_setup(path: Path) -> bool:
    """Whether a file is a steering set-up (:mod:`analysis.steering.setup`), which is no artefact of a shelf. UserError
    as :func:`read_header` for what is no safetensors file, but for a zip."""
    with path.open("rb") as file:
        if file.read(4) == b"PK\x03\x04":
            return False
        file.seek(0)
        metadata, _, _ = read_arrays(file, path.stat().st_size)
    try:
        record = json.loads(metadata.get("attune", "null"))
    except (TypeError, ValueError, RecursionError):
        return False
    return isinstance(record, dict) and record.get("kind") == "steering set-up"


def _labels(labels: dict[str, Any]) -> dict[str, str]:
    if len(labels) > MAX_LABELS or not all(k.isdigit() and isinstance(v, str) for k, v in labels.items()):
        raise UserError("The names of regions in this file are no texts by number.", FIELD)
    return {str(int(k)): v[:MAX_LABEL] for k, v in labels.items()}
