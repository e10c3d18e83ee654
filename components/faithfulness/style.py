"""What the figures of the Faithfulness page share: how a label looks, how measures are listed, notes and rings.

An export of each figure of a study says which study it is.

Colours mean one thing on the whole page: blue circles are items labelled faithful, orange diamonds unfaithful ones, and
grey is what costs nothing or means nothing (baselines, shuffled labels, chance). Measures are told apart by place, not
by colour, and always stand in the order of the board.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from analysis.faithfulness.answers.board import Board
from components.kit.figure import BEFORE
from components.kit.labels import escaped
from components.kit.theme import REMAINDER, template

LABELS = {True: "faithful", False: "unfaithful", None: "no label"}
SYMBOLS = {True: "circle", False: "diamond-open", None: "square-open"}
BASELINES = "free baselines"


class Listed(Protocol):
    """A row of a list of measures."""

    @property
    def measure(self) -> str:
        """Its name."""

    @property
    def family(self) -> str:
        """What it belongs to; "baseline" for what costs nothing."""


L = TypeVar("L", bound=Listed)


def label_colour(label: bool | None, theme: str) -> str:
    """Blue for faithful, orange for unfaithful, grey for unknown, each bright enough for the theme."""
    dark = theme == "dark"
    if label is None:
        return REMAINDER
    return ("#56B4E9" if dark else BEFORE) if label else ("#F5A623" if dark else "#D55E00")


def ink(theme: str) -> str:
    """The colour of text in this theme: for markers that stand for this very item."""
    return str(template(theme)["layout"]["font"]["color"])


def by_family(rows: Sequence[L]) -> list[tuple[str, L | None]]:
    """The lines of a list of measures: a heading without a row before each family, and the baselines at the end."""
    mine, others = [r for r in rows if not free(r)], [r for r in rows if free(r)]
    lines: list[tuple[str, L | None]] = []
    for family in dict.fromkeys(r.family for r in mine):
        lines.append((family, None))
        lines += [(r.measure, r) for r in mine if r.family == family]
    return lines + ([(BASELINES, None)] if others else []) + [(r.measure, r) for r in others]


def family_axis(lines: Sequence[tuple[str, Listed | None]], notes: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The axis that names the measures, top to bottom, headings in bold; ``notes`` stand behind a measure's name."""
    words = [
        f"<b>{escaped(name, 40)}</b>" if row is None else escaped(name + (notes or {}).get(name, ""), 44)
        for name, row in lines
    ]
    ticks = {"tickmode": "array", "tickvals": list(range(len(lines))), "ticktext": words, "ticksuffix": "  "}
    return (
        ticks
        | {"range": [len(lines) - 0.4, -0.6], "zeroline": False, "showgrid": False}
        | {
            "ticklen": 6,
            "tickcolor": "rgba(0,0,0,0)",
        }
    )


def family_lines(lines: Sequence[tuple[str, Listed | None]]) -> list[dict[str, Any]]:
    """A thin line above each heading, and a stronger one above the baselines, which are no measures."""
    shapes = []
    for i, (name, row) in enumerate(lines):
        if row is None and i:
            apart = {"width": 2 if name == BASELINES else 1, "color": REMAINDER}
            shapes.append(
                {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": i - 0.5, "y1": i - 0.5, "line": apart}
                | {"opacity": 0.9 if name == BASELINES else 0.45, "layer": "below"}
            )
    return shapes


def marker(label: bool | None, theme: str, size: int) -> dict[str, Any]:
    """The marker of a label: told by its shape as well as by its colour."""
    outline = {"width": 1.8 if label is not True else 0}
    return {"color": label_colour(label, theme), "symbol": SYMBOLS[label], "size": size, "line": outline}


def ring(x: Sequence[Any], y: Sequence[Any], theme: str) -> dict[str, Any]:
    """A ring around the chosen item; it catches no pointer, so that the point below it still does."""
    look = {"symbol": "circle-open", "size": 17, "color": ink(theme), "line": {"width": 2.5}}
    return {"type": "scatter", "mode": "markers", "name": "chosen item", "x": list(x), "y": list(y)} | {
        "marker": look,
        "hoverinfo": "skip",
        "showlegend": False,
    }


def note(text: str, x: float, y: float, side: str, edge: str, size: int, colour: str | None) -> dict[str, Any]:
    """An annotation at a place of the paper (0 to 1), anchored at that side and edge of its text."""
    font: dict[str, Any] = {"size": size} | ({"color": colour} if colour else {})
    return {"text": text, "xref": "paper", "yref": "paper", "x": x, "y": y, "showarrow": False, "font": font} | {
        "xanchor": side,
        "yanchor": edge,
        "align": side,
    }


def study_facts(board: Board) -> dict[str, Any]:
    """Whose figure it is: the name of the study ("default": the bundled one), and where it comes from."""
    return {"study": board.study or "default", "source": board.source}


def free(row: Listed) -> bool:
    """Whether a row is a baseline: nothing has to be measured for it."""
    return row.family == "baseline"
