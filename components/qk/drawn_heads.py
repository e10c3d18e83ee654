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
    return (
        "By chance (the same shape on other keys, or at other distances): the best head is below "
        f"{answer.chance:.2f} in 95 % of {answer.draws} draws."
    )


@view("attention/heads as drawn", Reading, DrawnHeads, options=HeadOptions)
def heads_as_drawn(reading: Reading, answer: DrawnHeads, options: HeadOptions, theme: str) -> Drawing:
    """All heads by the drawn pattern."""
    spread = np.nanquantile(answer.scores, [0.05, 0.95])
    numbers = measured({"95 % of draws below": answer.chance, "5 %": float(spread[0]), "95 %": float(spread[1])})
    control = Control("patterns of the same shape", _chance(answer), numbers)
    return heads_drawing(reading, drawn_score(answer), options, theme, control)
