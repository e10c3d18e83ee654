"""The names of the parts into which a large GGUF model is split: ``name-00001-of-00003.gguf`` and so on."""

from __future__ import annotations

import re
from pathlib import Path

from analysis.errors import UserError

_PART = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf", re.IGNORECASE)


def gguf_parts(path: Path, root: Path | None = None) -> list[Path]:
    """The files of the split GGUF model that ``path`` is a part of, in order, by its name; empty if it is no part.

    Raises UserError(field="model") if one is not there, or leads out of ``root``.
    """
    name = _PART.fullmatch(path.name)
    count = int(name[3]) if name else 0
    if name is None or not 1 < count <= 1000:
        return []
    parts = [path.with_name(f"{name[1]}-{i:05d}-of-{name[3]}{path.suffix}") for i in range(1, count + 1)]
    lost = [p.name for p in parts if not p.is_file()]
    if lost:
        raise UserError(
            f"{path.name} is one of {count} parts of a split model, and {lost[0]} is not beside it"
            + (f" ({len(lost)} parts are missing)" if len(lost) > 1 else "")
            + ". Put all parts into one folder.",
            "model",
        )
    if root is not None and not all(p.resolve().is_relative_to(root) for p in parts):
        raise UserError(
            "This server reads local models from one folder only, and a part of this model is not in it.", "model"
        )
    return parts


def whole_name(path: Path) -> str:
    """The name of the model that a part belongs to, without the number of the part: ``name.gguf``."""
    name = _PART.fullmatch(path.name)
    return f"{name[1]}{path.suffix}" if name else path.name
