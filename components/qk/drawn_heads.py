"""All heads by how far their attention lies on cells that somebody drew."""

from __future__ import annotations

import numpy as np

from analysis.qk.answers.prompt import DrawnHeads, Reading
from components.kit.view import Control, Drawing, view
from components.qk.controls import measured
from components.qk.heads import HeadOptions, HeadScore, heads_drawing

DRAWN_SCORE = "drawn"
DRAWN_NAME = "drawn: attention on cells that you draw"


def drawn_score(answer: DrawnHeads) -> HeadScore:
    """1 for a head with all its attention on the drawn cells, 0 for one that looks at all alike."""
    said = (
        f"Cells: {answer.cells:,}; queries that count: {answer.rows:,}. 1: all attention on them; 0: a head that looks "
        f"at all alike, which gives them {answer.uniform:.0%}. {_chance(answer)}"
    )
    return HeadScore(answer.scores.astype(float), DRAWN_NAME, True, said=said)


def _chance(answer: DrawnHeads) -> str:
    return f"By chance (as many cells in each row, drawn at random): the best head {answer.chance:.2f}."


@view("attention/heads as drawn", Reading, DrawnHeads, options=HeadOptions)
def heads_as_drawn(reading: Reading, answer: DrawnHeads, options: HeadOptions, theme: str) -> Drawing:
    """All heads by the drawn pattern."""
    spread = np.nanquantile(answer.scores, [0.05, 0.95])
    numbers = measured({"best of random cells": answer.chance, "5 %": float(spread[0]), "95 %": float(spread[1])})
    control = Control("random cells", f"{_chance(answer)} Of {answer.draws} draws, the 95 % point.", numbers)
    return heads_drawing(reading, drawn_score(answer), options, theme, control)
