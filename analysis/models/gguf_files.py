"""The files of one GGUF model: its header, the parts that it was split into, and one whole file made of them.

Large models are published in parts (``name-00001-of-00003.gguf``). transformers reads the one file that it is given and
draws the rest of the model at random. So the parts are found here, checked against what each of them declares, and
joined into one file for the time of loading. The header is read by transformers' own reader, which leaves long arrays
alone: the gguf package walks through every token of a vocabulary, which takes 20 seconds for 262,144 of them.
"""

from __future__ import annotations

import re
import shutil
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from analysis.errors import UserError
from analysis.home import folder
from analysis.models.gguf_parts import gguf_parts
from analysis.models.metadata_facts import gb


class Tensor(NamedTuple):
    """A tensor as a header declares it: ``start`` counts bytes from the beginning of the file."""

    name: str
    shape: tuple[int, ...]
    kind: int
    start: int
    nbytes: int


class Header(NamedTuple):
    """What one GGUF file says of itself; arrays in ``fields`` are given by their length only."""

    path: Path
    fields: dict[str, Any]
    tensors: tuple[Tensor, ...]
    data_start: int


def read_header(path: Path, strings: tuple[str, ...] = ()) -> Header:
    """The header of one GGUF file; no weight is touched. Arrays of text named in ``strings`` are read whole.

    Raises UserError(field="model") if it cannot be read or declares more than the file holds.
    """
    from transformers.integrations.gguf.reader import GgufHeader, read_gguf_metadata

    size = path.stat().st_size
    try:
        fields, _ = read_gguf_metadata(str(path), strings)
        header = GgufHeader.from_file(str(path))
        tensors = tuple(
            Tensor(t.name, tuple(map(int, t.shape)), int(t.ggml_type), header.data_start + int(t.offset), int(t.nbytes))
            for t in header.tensors
        )
    # The reader does not check what it reads: a short or damaged file fails wherever it happens to.
    except (ValueError, LookupError, TypeError, ArithmeticError, MemoryError, OSError, struct.error) as error:
        raise _bad(_damaged(path, size)) from error
    if any(t.start + t.nbytes > size or any(n < 0 for n in t.shape) for t in tensors):
        raise _bad(_damaged(path, size))
    return Header(path, fields, tensors, int(header.data_start))


def parts_of(path: Path) -> list[Header]:
    """The headers of all files of the model whose file, or whose first part, ``path`` is, in order.

    Raises UserError(field="model"): a part is missing, or the parts do not belong together.
    """
    header = read_header(path)
    files = gguf_parts(path)
    count = _whole(header.fields.get("split.count"))
    if not files and count <= 1:
        return [header]
    if not files:
        raise _bad(
            f"{path.name} is part {_whole(header.fields.get('split.no')) + 1} of {count} of a split model; the others "
            f"are found by names such as {path.stem}-00001-of-{count:05d}.gguf. Give the parts their own names again."
        )
    if count not in (0, len(files)):
        raise _bad(f"{path.name} says that it is one of {count:,} parts, which its name does not. Download it again.")
    headers = [header if f.name == path.name else read_header(f) for f in files]
    _belong_together(headers)
    return headers


def _belong_together(headers: list[Header]) -> None:
    first = headers[0]
    names = [t.name for h in headers for t in h.tensors]
    for number, header in enumerate(headers):
        own = _whole(header.fields.get("split.no"))
        if header.fields.get("split.count") is not None and own != number:
            raise _bad(
                f"{header.path.name} says that it is part {own + 1}, which its name does not: the parts were renamed. "
                "Download them again."
            )
    total = first.fields.get("split.tensors.count")
    if len(set(names)) != len(names) or (total is not None and _whole(total) != len(names)):
        raise _bad(
            f"The {len(headers)} parts of {first.path.name} hold {len(set(names)):,} tensors; the first says that "
            f"there are {_whole(total):,}. They do not belong together. Download them again."
        )


def unread_blocks(headers: list[Header]) -> list[str]:
    """A sentence where the files hold more blocks than their header counts, since none of those is read; or none."""
    fields = headers[0].fields
    count = _whole(fields.get(f"{fields.get('general.architecture', '')}.block_count"))
    held = {int(name[1]) for h in headers for t in h.tensors if (name := re.match(r"blk\.(\d+)\.", t.name))}
    beyond = sorted(n for n in held if n >= count)
    if not count or not beyond:
        return []
    return [
        f"The header counts {count} blocks, and the file holds block {beyond[0]}"
        + (f" and {len(beyond) - 1} more" if len(beyond) > 1 else "")
        + ", which the model does not use."
    ]


@contextmanager
def whole_file(headers: list[Header]) -> Iterator[Path]:
    """One GGUF file with everything that the parts hold, for the time of the context; the file itself if it is one, by
    a name that ends in ".gguf".

    Raises UserError(field="model") if the disk has no room for it.
    """
    if len(headers) == 1:
        if headers[0].path.suffix == ".gguf":
            yield headers[0].path
            return
        with tempfile.TemporaryDirectory(prefix=".named-", dir=folder("models")) as place:
            named = Path(place) / "model.gguf"  # transformers takes a file with another ending for a pickle
            named.symlink_to(headers[0].path.absolute())
            yield named
        return
    need = sum(h.path.stat().st_size for h in headers)
    scratch = folder("models")
    if shutil.disk_usage(scratch).free < need + (64 << 20):
        raise _bad(f"Joining the {len(headers)} parts takes {gb(need)} of disk in the data folder. Make room.")
    with tempfile.TemporaryDirectory(prefix=".joined-", dir=scratch) as place:
        joined = Path(place) / "model.gguf"
        _join(headers, joined)
        yield joined


def _join(headers: list[Header], target: Path) -> None:
    """Metadata of the first part as it stands, without its marks of a split; then the tensors of all parts."""
    first = headers[0]
    kept, count = _metadata_bytes(first)
    alignment = _whole(first.fields.get("general.alignment")) or 32
    tensors = [(h, t) for h in headers for t in h.tensors]
    table, offset = bytearray(), 0
    for _, tensor in tensors:
        name = tensor.name.encode()
        table += struct.pack("<Q", len(name)) + name + struct.pack("<I", len(tensor.shape))
        table += struct.pack(f"<{len(tensor.shape)}Q", *reversed(tensor.shape))
        table += struct.pack("<IQ", tensor.kind, offset)
        offset += -(-tensor.nbytes // alignment) * alignment
    with target.open("wb") as out:
        out.write(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), count) + kept + table)
        for header, tensor in tensors:
            out.write(b"\0" * (-out.tell() % alignment))
            with header.path.open("rb") as source:
                source.seek(tensor.start)
                left = tensor.nbytes
                while left:
                    piece = source.read(min(left, 16 << 20))
                    if not piece:
                        raise _bad(_damaged(header.path, header.path.stat().st_size))
                    out.write(piece)
                    left -= len(piece)
        out.write(b"\0" * (-out.tell() % alignment))


def _metadata_bytes(header: Header) -> tuple[bytes, int]:
    """The key-value pairs of a file as they stand in it, without those of the split, and their number."""
    with header.path.open("rb") as file:
        blob = file.read(header.data_start)
    (pairs,) = struct.unpack_from("<Q", blob, 16)
    kept, count, at = bytearray(), 0, 24
    for _ in range(pairs):
        start = at
        (length,) = struct.unpack_from("<Q", blob, at)
        key = blob[at + 8 : at + 8 + length]
        at += 8 + length
        (kind,) = struct.unpack_from("<I", blob, at)
        at = _after_value(blob, at + 4, kind)
        if not key.startswith(b"split."):
            kept += blob[start:at]
            count += 1
    return bytes(kept), count


# Bytes of the fixed kinds of values, by the format's own numbers; 8 is text, 9 an array.
_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


def _after_value(blob: bytes, at: int, kind: int) -> int:
    if kind == 8:
        return at + 8 + int(struct.unpack_from("<Q", blob, at)[0])
    if kind != 9:
        return at + _WIDTHS[kind]
    inner, length = struct.unpack_from("<IQ", blob, at)
    at += 12
    if inner in _WIDTHS:
        return at + _WIDTHS[inner] * int(length)
    for _ in range(length):
        at = _after_value(blob, at, inner)
    return at


def _whole(value: Any) -> int:
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0


def _damaged(path: Path, size: int) -> str:
    return f"{path.name} is cut off or damaged: its header describes more than its {gb(size)}. Download it again."


def _bad(message: str) -> UserError:
    return UserError(message, "model")
