"""The report of a game as a figure: probability on illegal moves and squares read wrongly, ply by ply, on the band of
random games; where the model has lost the board is shaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.othello.squares import square_name
from analysis.tpr.answers.report import LEAST, RUN, GameCourse, UsualCourse, lost_runs
from components.kit.figure import BAND, BEFORE, Figure, figure
from components.kit.style import MARK, numbers, titled
from components.kit.theme import REMAINDER
from components.kit.view import Control, Drawing, view

PROBE_NAMES = {"linear": "linear", "tpr": "TPR", "trilinear": "trilinear"}


@dataclass(frozen=True)
class OfGame:
    """The ``moves`` of the game, the ``ply`` under the cursor, the ``labels``, and the model's short name."""

    moves: tuple[int, ...]
    ply: int
    labels: str = "parity"
    model: str = ""


def of_usual(course: GameCourse, usual: UsualCourse) -> Control:
    """Random games, by the same rule."""
    share = float(usual.lost[course.layer])
    text = f"By this rule the model loses the board at some ply in {share:.1%} of {usual.games} random games."
    return Control("random games", text, {"random games in which the board is lost": share})


def lost_words(runs: tuple[tuple[int, int], ...], moves: tuple[int, ...]) -> str:
    """Where the model has lost the board, in words."""
    if not runs:
        return "In this game the model does not lose the board."
    parts = [
        f"from ply {a} ({square_name(moves[a - 1])}) to the end" if b == len(moves) else
        f"from ply {a} ({square_name(moves[a - 1])}) to ply {b}"
        for a, b in runs
    ]  # fmt: skip
    return f"In this game the model has lost the board {', and '.join(parts)}."


@view("othello/course", GameCourse, UsualCourse, options=OfGame)
def game_course(course: GameCourse, usual: UsualCourse, options: OfGame, theme: str) -> Drawing:
    """One game ply by ply, beside random ones."""
    moves = tuple(options.moves[: len(course.wrong)])
    runs = lost_runs(course.wrong, usual.wrong[course.layer, 2])
    bad = int(np.nansum(course.first))
    caption = (
        f"{lost_words(runs, moves)} Lost: {RUN} plies in a row or more with at least {LEAST} squares read wrongly, and "
        f"more than in 95 of 100 random games at that ply. Squares: {PROBE_NAMES[course.probe]} probe "
        f"after block {course.layer}, {options.labels} labels. Grey: the middle 90 % of {usual.games} random games, "
        f"dotted their median. The most likely move is illegal after {bad} of {len(moves)} plies (crosses)."
    )
    control = of_usual(course, usual)
    return Drawing(
        _panels(course, usual, runs, options.ply, moves, theme),
        f"{caption} {control.text}",
        {"lost": [list(run) for run in runs], "layer": course.layer, "probe": course.probe},
        control=control,
        numbers={
            "mean illegal mass": float(np.nanmean(course.illegal)) if np.isfinite(course.illegal).any() else 0.0,
            "most squares wrong": float(course.wrong.max()),
            "plies with the board lost": float(sum(b - a + 1 for a, b in runs)),
        },
        hint="Press a point to go to its ply.",
    )


def _panels(
    course: GameCourse, usual: UsualCourse, runs: tuple[tuple[int, int], ...], ply: int, moves: tuple[int, ...],
    theme: str,
) -> Figure:  # fmt: skip
    plies = list(range(1, len(moves) + 1))
    names = [square_name(s) for s in moves]
    data: list[Any] = []
    rows = (
        ("squares read wrongly", course.wrong, usual.wrong[course.layer], "y", "%{y:.0f} squares"),
        ("probability on illegal moves", course.illegal, usual.illegal, "y2", "%{y:.2%} on illegal moves"),
    )
    ranges = {}
    for name, own, band, axis, form in rows:
        # Somewhat below zero, so that points on the axis are within reach of the pointer.
        most = max(0.01, *(float(np.nanmax(part[: len(moves)], initial=0)) for part in (own, band[2])))
        ranges[axis] = [-0.06 * most, 1.08 * most]
        low, middle, high = (numbers(part[: len(moves)], 4) for part in band)
        edge = {"type": "scatter", "x": plies, "yaxis": axis, "mode": "lines", "hoverinfo": "skip", "showlegend": False}
        data.append(edge | {"y": low, "line": {"width": 0}})
        data.append(edge | {"y": high, "line": {"width": 0}, "fill": "tonexty", "fillcolor": BAND, "name": "usual"})
        data.append(edge | {"y": middle, "line": {"width": 1.5, "dash": "dot", "color": REMAINDER}})
        data.append(
            {"type": "scatter", "mode": "lines+markers", "name": name, "x": plies, "yaxis": axis, "showlegend": False}
            | {"y": [None if not np.isfinite(v) else round(float(v), 4) for v in own], "text": names}
            | {"line": {"color": BEFORE, "width": 2}, "customdata": plies}
            | {"marker": {"size": 7, "color": BEFORE, "symbol": _symbols(course.first) if axis == "y2" else "circle"}}
            | {"hovertemplate": f"after ply %{{x}} (%{{text}}): {form}<extra></extra>"}
        )
    across = {"type": "rect", "xref": "x", "yref": "paper", "y0": 0, "y1": 1, "layer": "below"}
    shapes = [
        across | {"x0": a - 0.5, "x1": b + 0.5, "fillcolor": MARK, "opacity": 0.18, "line": {"width": 0}}
        for a, b in runs
    ]
    if 1 <= ply <= len(moves):
        shapes.append(
            {"type": "line", "xref": "x", "yref": "paper", "x0": ply, "x1": ply, "y0": 0, "y1": 1}
            | {"line": {"color": REMAINDER, "width": 1.5, "dash": "dash"}}
        )
    return figure(
        data,
        theme,
        shapes=shapes,
        hovermode="closest",
        xaxis=titled("ply") | {"range": [0.5, max(len(moves), 10) + 0.5], "anchor": "y"},
        yaxis=titled("squares wrong") | {"range": ranges["y"], "domain": [0, 0.46]},
        yaxis2=titled("on illegal moves") | {"range": ranges["y2"], "tickformat": ".0%", "domain": [0.54, 1]},
        margin={"l": 64, "r": 12, "t": 10, "b": 44},
    )


def _symbols(first: np.ndarray) -> list[str]:
    return ["x" if v == 1 else "circle" for v in first]
