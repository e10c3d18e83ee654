"""Tables of a board as files for a spreadsheet (CSV) and for a paper (LaTeX with booktabs).

The tables of a view come as they are; the numbers of a figure as rows of trace, x, y and value. Files are named by
their place on the board and not by a title: a name would be one more place for a text.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.findings.export.figures import rows_of
from analysis.findings.export.handover import Handover
from analysis.findings.records import Pin

LONGEST_LATEX = 60
"""Rows of the longest table that a paper prints; longer ones are CSV alone."""
Cell = str | float | int | None
_FORMULA = re.compile(r"[\s'\"]*[=+\-@\t\r\n|%]")
_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "−": "$-$", "…": r"\dots{}",
}  # fmt: skip
_SPECIALS = re.compile("|".join(map(re.escape, _SPECIAL)))
_HIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of what follows."""


@dataclass(frozen=True)
class Sheet:
    """A table on its way to a file. ``name``: of the file, without its ending."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def sheets_of(handover: Handover) -> list[Sheet]:
    """All tables of a board, in its order."""
    sheets: list[Sheet] = []
    place = 0
    for item in handover.content.items:
        if item.kind != "finding":
            continue
        place += 1
        for n, pin in enumerate(handover.pins_of(item), 1):
            sheets += _sheets(f"finding-{place}-view-{n}", pin, handover.figures.get(pin.figure))
    return sheets


def table_files(handover: Handover) -> dict[str, bytes]:
    """The files of all tables by name: CSV, and LaTeX where a paper could print it."""
    files = {}
    for sheet in sheets_of(handover):
        files[f"{sheet.name}.csv"] = csv_of(sheet).encode("utf-8-sig")  # spreadsheets know UTF-8 by its mark
        if len(sheet.rows) <= LONGEST_LATEX:
            files[f"{sheet.name}.tex"] = latex_of(sheet).encode()
    return files


def csv_of(sheet: Sheet) -> str:
    """A table as CSV. No cell is a formula to a spreadsheet."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([_safe(column) for column in sheet.columns])
    writer.writerows([[_safe(cell) for cell in row] for row in sheet.rows])
    return out.getvalue()


def latex_of(sheet: Sheet) -> str:
    """A table as LaTeX that needs the package booktabs; numbers are set to the right, to four digits."""
    numeric = [
        any(isinstance(row[j], (int, float)) for row in sheet.rows)
        and all(row[j] is None or isinstance(row[j], (int, float)) for row in sheet.rows)
        for j in range(len(sheet.columns))
    ]
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{latex(sheet.title)}}}",
        rf"  \begin{{tabular}}{{{''.join('r' if n else 'l' for n in numeric)}}}",
        r"    \toprule",
        f"    {_row(sheet.columns)}",
        r"    \midrule",
        *(f"    {_row(row)}" for row in sheet.rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def latex(value: Cell) -> str:
    """A cell as LaTeX text that does nothing but stand there."""
    if value is None:
        return "--"
    if isinstance(value, bool) or isinstance(value, str):
        text = " ".join(_HIDDEN.sub("", str(value)).split())
        return _SPECIALS.sub(lambda m: _SPECIAL[m[0]], text)
    text = str(value) if isinstance(value, int) else f"{value:.4g}"
    return f"${text}$" if text.startswith("-") else text


def _row(cells: Sequence[Cell]) -> str:
    return " & ".join(map(latex, cells)) + r" \\"


def _safe(cell: Cell) -> Any:
    if not isinstance(cell, str):
        return cell
    text = _HIDDEN.sub("", cell)
    return "'" + text if _FORMULA.match(text) else text


def _sheets(name: str, pin: Pin, figure: dict[str, Any] | None) -> Iterator[Sheet]:
    if figure is not None:
        rows = rows_of(figure)
        if rows:
            yield _sheet(f"{name}-figure", pin.title, ("trace", "x", "y", "value"), rows)
    for n, part in enumerate(pin.parts, 1):
        title = str(part.get("title") or pin.title)
        if part.get("kind") == "table":
            yield _sheet(f"{name}-table-{n}", title, part["columns"], part["rows"])
        elif part.get("kind") == "facts":
            yield _sheet(f"{name}-facts-{n}", title, ("name", "value"), part["rows"])
        elif part.get("kind") == "texts":
            rows = [[t.get("title"), t.get("prompt"), t.get("text")] for t in part["texts"]]
            yield _sheet(f"{name}-texts-{n}", title, ("title", "prompt", "text"), rows)
    numbers = [[key, value] for key, value in pin.numbers.items()]
    if numbers:
        yield _sheet(f"{name}-numbers", pin.title, ("number", "value"), numbers)


def _sheet(name: str, title: str, columns: Sequence[Any], rows: Sequence[Sequence[Any]]) -> Sheet:
    """Every row as long as there are columns; what is no cell as text."""
    width = len(columns)

    def cells(row: Sequence[Any]) -> tuple[Cell, ...]:
        plain = [c if c is None or isinstance(c, (str, int, float)) else str(c) for c in row[:width]]
        return tuple(plain + [None] * (width - len(plain)))

    return Sheet(name, title, tuple(map(str, columns)), tuple(map(cells, rows)))
