"""Pairs of token positions as text for an address: drawn cells (query, key), tokens of two prompts that stand for each
other. What lies on a line, along a row, down a column or down a diagonal, is written as one run, so that a pattern of a
thousand cells takes some twenty letters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from analysis.errors import UserError
from analysis.qk.ops.drawn import MOST_CELLS

Cell = tuple[int, int]
HIGHEST = 10**6
_STEPS: dict[str, Cell] = {"r": (0, 1), "c": (1, 0), "d": (1, 1)}
"""Of a run by its letter: what one cell adds to the numbers of the one before."""
_RUN = re.compile(r"([0-9]{1,7})\.([0-9]{1,7})(?:([rcd])([0-9]{1,5}))?")


def write_cells(cells: Iterable[Sequence[int]]) -> str:
    """The cells as runs, in letters that an address need not quote: ``3.2d40_50.0`` are 40 cells from query 3 and key 2
    down a diagonal, and one more. Empty for none."""
    left = {(int(a), int(b)) for a, b in cells}
    runs = []
    for cell in sorted(left):
        if cell not in left:
            continue
        letter, length = max(((name, _length(cell, step, left)) for name, step in _STEPS.items()), key=lambda r: r[1])
        left -= set(_along(cell, _STEPS[letter], length))
        runs.append(f"{cell[0]}.{cell[1]}" + (f"{letter}{length}" if length > 1 else ""))
    return "_".join(runs)


def read_cells(text: str) -> list[list[int]]:
    """The cells of :func:`write_cells`, in order, as a store of a page holds them. Raises UserError for any other text,
    and for more than `MOST_CELLS` of them."""
    cells: set[Cell] = set()
    for part in filter(None, text.split("_")):
        match = _RUN.fullmatch(part)
        length = int(match[4] or 1) if match else 0
        if match is None or not 1 <= length <= MOST_CELLS:
            raise UserError("Cells in an address are runs such as 3.2d40.")
        run = list(_along((int(match[1]), int(match[2])), _STEPS[match[3] or "r"], length))
        cells.update(run)
        if len(cells) > MOST_CELLS or max(run[-1]) > HIGHEST:
            raise UserError(f"An address holds at most {MOST_CELLS:,} cells, of tokens up to {HIGHEST:,}.")
    return [list(cell) for cell in sorted(cells)]


def _along(cell: Cell, step: Cell, length: int) -> Iterable[Cell]:
    return ((cell[0] + n * step[0], cell[1] + n * step[1]) for n in range(length))


def _length(cell: Cell, step: Cell, cells: set[Cell]) -> int:
    length = 1
    while (cell[0] + length * step[0], cell[1] + length * step[1]) in cells:
        length += 1
    return length
