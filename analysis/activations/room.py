"""How much of the disk activations may take, and the words for when it is too much.

A hundred thousand activations of a small model take a hundred megabytes, and those of a large one gigabytes; a data
folder must not fill a disk unasked. Nothing is ever deleted here: activations can be hours of work, so their owner is
told what there is to delete.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from analysis.errors import UserError

VARIABLE = "ATTUNE_ACTIVATIONS_LIMIT"
DEFAULT_LIMIT = 4 << 30
_SPARE = 200_000_000  # of the disk, left to everything else


def limit() -> int:
    """Bytes that all kept activations together may take: the environment's ATTUNE_ACTIVATIONS_LIMIT, or 4 GiB."""
    named = os.environ.get(VARIABLE, "").strip()
    if not named:
        return DEFAULT_LIMIT
    try:
        value = int(float(named))
    except (ValueError, OverflowError):
        value = 0
    if value <= 0:
        raise UserError(f"{VARIABLE} must be a number of bytes above zero, not {named[:40]!r}. Correct it.", "tokens")
    return value


def used(root: Path) -> int:
    """Bytes of all files below a folder; those that vanish meanwhile count as nothing."""
    total = 0
    for directory, _, names in os.walk(root):
        for name in names:
            try:
                total += (Path(directory) / name).stat().st_size
            except OSError:
                continue
    return total


def require_room(root: Path, more: int, mine: str = "") -> None:
    """UserError(field="tokens") if ``more`` bytes exceed the limit of the activations below ``root``, or the disk.

    ``mine``: the name of the store that asks, which is never proposed for deletion.
    """
    allowed, taken = limit(), used(root)
    if taken + more > allowed:
        raise UserError(
            f"These activations need {amount(more)} more, and {amount(taken)} of the {amount(allowed)} allowed for "
            f"activations are in use. Take fewer activations, {_what_to_delete(root, mine)}or raise {VARIABLE} "
            "(in bytes).",
            "tokens",
        )
    free = shutil.disk_usage(root).free
    if more + _SPARE > free:
        raise UserError(
            f"These activations need {amount(more)}, and the disk has {amount(free)} free. Take fewer activations, "
            f"{_what_to_delete(root, mine)}or make room on the disk.",
            "tokens",
        )


def amount(size: float) -> str:
    """Bytes as a person reads them: decimal GB, MB or kB."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if size >= 0.95 * scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size / 1e3:.0f} kB"


def _what_to_delete(root: Path, mine: str) -> str:
    others = [(used(p), p) for p in root.iterdir() if p.is_dir() and p.name != mine] if root.is_dir() else []
    if not others:
        return ""
    size, path = max(others)
    try:
        recipe: Any = json.loads((path / "manifest.json").read_text(encoding="utf-8"))["head"]["recipe"]
        of = f" of {recipe['model']}"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        of = ""
    return (
        f"delete old ones (the largest are those{of}, {amount(size)}, in activations/{path.name} of the data folder), "
    )
