"""What an edit of the board does to the heads' looks: all heads at once, beside random edits of the same length."""

from __future__ import annotations

from typing import Any

import numpy as np

from analysis.othello.squares import square_name
from analysis.tpr.answers.heads import HeadsOfEdit
from components.kit.figure import Figure, figure
from components.kit.figure_card import blank
from components.kit.style import colour_bar, numbers, titled
from components.kit.theme import DIVERGING
from components.kit.view import Control, Drawing, view
from components.othello.position import EditedPosition

HEIGHT = 170


def beyond(edit: HeadsOfEdit) -> np.ndarray:
    """(L, H): whether a head's attention to the edited squares' moves changes more than after every edit that is a
    control: random ones, and the same on other squares."""
    found: np.ndarray = np.abs(edit.after - edit.before) > np.maximum(most(edit), 1e-4)
    return found


def movable(edit: HeadsOfEdit) -> np.ndarray:
    """(L, H): whether a head can change: before the first block that is edited none does."""
    found: np.ndarray = most(edit) > 1e-4
    return found


def most(edit: HeadsOfEdit) -> np.ndarray:
    """(L, H): by how much an edit that is a control changes the attention at most."""
    found: np.ndarray = np.abs(np.concatenate([edit.random, edit.wrong]) - edit.before).max(0)
    return found


def furthest(edit: HeadsOfEdit) -> tuple[int, int]:
    """The head whose attention to the edited squares' moves changes furthest beyond the controls; the most changed one
    where none goes beyond them."""
    change = np.abs(edit.after - edit.before)
    block, head = np.unravel_index(int((change - most(edit) * beyond(edit).any()).argmax()), change.shape)
    return int(block), int(head)


def of_other_edits(edit: HeadsOfEdit) -> Control:
    """Random edits of the same length, the same edit on other squares, and the moves at squares that are not edited."""
    at = furthest(edit)
    change, share = edit.after[at] - edit.before[at], edit.share_after[at] - edit.share_before[at]
    random, wrong = (
        float(np.abs(part[(slice(None), *at)] - edit.before[at]).max(initial=0)) for part in (edit.random, edit.wrong)
    )
    count, total, draws = int(beyond(edit).sum()), int(movable(edit).sum()), len(edit.random)
    others = f", the same edit on other squares ({len(edit.wrong)} draws) by at most {100 * wrong:.1f}"
    text = (
        f"{'Furthest beyond the controls' if count else 'Most changed'} is L{at[0]} H{at[1]}: "
        f"{edit.before[at]:.1%} → {edit.after[at]:.1%} of its "
        f"attention ({100 * share:+.1f} points of what it writes). {draws} random edits of the same length change it "
        f"by at most {100 * random:.1f} points{others if len(edit.wrong) else ''}; its attention to a move at another "
        f"square changes by {100 * edit.elsewhere[at]:.1f} on average. {count} of the {total} heads that can change do "
        f"so more than after all of these; by chance at most {total / (draws + 1):.1f} would."
    )
    numbers_ = {
        "change of the head furthest beyond": float(change),
        "most by a random edit": random,
        "most by an edit of other squares": wrong,
    }
    return Control("random edits, wrong squares", text, numbers_)


@view("othello/edited looks", HeadsOfEdit, options=EditedPosition)
def edited_looks(edit: HeadsOfEdit, options: EditedPosition, theme: str) -> Drawing:
    """Which heads read the edited squares more or less than before."""
    unplayed = ", ".join(square_name(s) for s in edit.unplayed)
    aside = f" Nobody has played {unplayed}, so that no head can look there." if unplayed else ""
    if not edit.squares:
        return Drawing(blank(HEIGHT, "no move at an edited square"), f"No head can look at the edit.{aside}")
    squares = ", ".join(f"{square_name(s)} (move {options.moves.index(s) + 1})" for s in edit.squares)
    best = ", the best of the grid, chosen by looking at the answer" if options.best else ""
    control, at = of_other_edits(edit), furthest(edit)
    framed = "Framed: beyond all of them." if beyond(edit).any() else "No head goes beyond all of them."
    return Drawing(
        _grids(edit, theme),
        f"From {squares}: L{at[0]} H{at[1]} {edit.before[at]:.0%} → {edit.after[at]:.0%}; random edits of this length "
        f"and edits of other squares: at most {100 * most(edit)[at]:.0f} points. {framed} "
        f"{options.method}, scale {edit.scale:g}{best}.{aside}",
        {"scale": edit.scale, "blocks": list(edit.blocks)},
        control=control,
        numbers=control.numbers,
        hint="Press a head to see its row.",
    )


def _grids(edit: HeadsOfEdit, theme: str) -> Figure:
    parts = (("attention", edit.before, edit.after), ("share of what it writes", edit.share_before, edit.share_after))
    top = max(0.01, *(float(np.abs(after - before).max()) for _, before, after in parts))
    layers, heads = edit.before.shape
    data: list[Any] = []
    for n, (name, before, after) in enumerate(parts):
        change = numbers(100 * (after - before), 2)
        words = [[f"L{b} H{h}: {before[b, h]:.1%} → {after[b, h]:.1%}" for h in range(heads)] for b in range(layers)]
        data.append(
            {"type": "heatmap", "z": change, "text": words, "zmin": -100 * top, "zmax": 100 * top}
            | {"colorscale": DIVERGING, "showscale": n == 1, "xgap": 1, "ygap": 1, "colorbar": colour_bar("points")}
            | {"xaxis": f"x{'2' * n}", "yaxis": f"y{'2' * n}", "hovertemplate": "%{text}<extra>" + name + "</extra>"}
            | {"customdata": [[[b, h] for h in range(heads)] for b in range(layers)]}
        )
    frames = [
        {"type": "rect", "xref": "x", "yref": "y", "x0": h - 0.5, "x1": h + 0.5, "y0": b - 0.5, "y1": b + 0.5}
        | {"line": {"width": 2.5, "color": "#D55E00"}}
        for b, h in zip(*np.nonzero(beyond(edit)), strict=True)
    ]
    axis = {"dtick": max(1, layers // 8), "zeroline": False, "showgrid": False}
    across = {"dtick": max(1, heads // 8), "zeroline": False, "showgrid": False}
    return figure(
        data,
        theme,
        shapes=frames,
        xaxis=titled("attention, by head") | across | {"domain": [0, 0.47]},
        xaxis2=titled("share of what it writes") | across | {"domain": [0.53, 1], "anchor": "y2"},
        yaxis=titled("block") | axis,
        yaxis2=axis | {"anchor": "x2", "matches": "y"},
        margin={"l": 44, "r": 8, "t": 4, "b": 40},
    )
