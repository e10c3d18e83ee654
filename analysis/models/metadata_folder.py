"""A model in a local folder, known from its configuration and the headers of its safetensors files.

A safetensors file begins with a table of its tensors, so a few kilobytes tell all sizes. This module hides that format
and the choice among a folder's weight files. It believes no header: one that cannot be read, or that describes more
than the file holds, means a damaged download, and no name in an index leads out of the folder.
"""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

from analysis import foreign
from analysis.models.config_limits import check_config
from analysis.models.metadata_config import described
from analysis.models.metadata_facts import Facts, Stored, bad, gb, read_json, type_name

_MAX_HEADER = 100_000_000
_META = "__metadata__"
_SINGLE = "model.safetensors"
LFS_POINTER = b"version https://git-lfs.github.com/spec"


def from_folder(path: Path) -> Facts:
    """From a local folder: safetensors headers if there are any, else the configuration alone."""
    config = check_config(path)
    files = _weight_files(path, _SINGLE)
    if files:
        tensors = [t for file in files for t in safetensors_header(file)]
        origin = (
            f"Read from the headers of {len(files)} safetensors file{'s' if len(files) > 1 else ''} in {path.name}."
        )
        facts = described(config, tensors, origin, sum(f.stat().st_size for f in files), "safetensors")
        if files[0].name == _SINGLE and (path / f"{_SINGLE}.index.json").is_file():
            both = f"The folder holds {_SINGLE} and an index of parts, too; the single file is the one that is read."
            facts = facts._replace(notes=[*facts.notes, both])
        return facts
    pickles = _weight_files(path, "pytorch_model.bin")
    size = sum(f.stat().st_size for f in pickles) if pickles else None
    return described(
        config,
        None,
        f"Counted on a module built from {path.name}'s config.json without memory.",
        size,
        "pickle" if pickles else "none",
    )


def _weight_files(path: Path, name: str) -> list[Path]:
    """The files that transformers would read: the single file if there is one, else those of the index, else none."""
    index = path / f"{name}.index.json"
    if (path / name).is_file() or not index.is_file():
        return [path / name] if (path / name).is_file() else []
    mapping = read_json(index).get("weight_map")
    names = sorted({str(v) for v in mapping.values()}) if isinstance(mapping, dict) else []
    for shard in names:
        if Path(shard).name != shard or not (path / shard).is_file():
            raise bad(f"{index.name} names the file {Path(shard).name}, which is not in the folder. Download it again.")
    return [path / shard for shard in names]


def safetensors_header(file: Path) -> list[Stored]:
    """The tensors that a safetensors file declares. Reads its first bytes only, and checks that the rest is there.

    Raises UserError(field="model") if the header cannot be read or describes more bytes than the file has.
    """
    size = foreign.regular(file, "model")
    try:
        with file.open("rb") as stream:
            length = struct.unpack("<Q", stream.read(8))[0]
            if length > min(_MAX_HEADER, size):
                raise ValueError
            header = json.loads(stream.read(length))
        tensors = [(_stored(n, t), t["data_offsets"][1]) for n, t in header.items() if n != _META]
    except (OSError, struct.error, ArithmeticError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise bad(_damaged(file)) from error
    except RecursionError as error:
        raise bad(_damaged(file)) from error
    if 8 + length + max((end for _, end in tensors), default=0) > size:
        raise bad(f"{file.name} is cut off: its header describes more than its {gb(size)}. Download it again.")
    return [tensor for tensor, _ in tensors]


def _stored(name: str, entry: dict[str, Any]) -> Stored:
    """One entry of a header. Raises ValueError for one whose shape and place do not agree."""
    start, end = entry["data_offsets"]
    shape, dtype = tuple(entry["shape"]), type_name(str(entry["dtype"]))
    if any(type(n) is not int or not 0 <= n < 2**60 for n in (start, end, *shape)) or start > end:
        raise ValueError
    stored = Stored(name, dtype, shape, end - start)
    bits = re.fullmatch(r"(?:bfloat|float|u?int|bool|f)(\d+)(?:_\w+)?", dtype.replace("bool", "bool8"))
    if bits is not None and stored.numbers * int(bits[1]) != 8 * stored.nbytes:
        raise ValueError
    return stored


def _damaged(file: Path) -> str:
    with file.open("rb") as stream:
        if stream.read(len(LFS_POINTER)) == LFS_POINTER:
            return f"{file.name} is a Git LFS pointer in place of the weights. Fetch them: git lfs pull."
    return f"The header of {file.name} cannot be read: the file is damaged. Download it again."
