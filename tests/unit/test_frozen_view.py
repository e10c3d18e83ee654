"""Free or frozen in words: shares that sum, what stays, and what random directions do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from analysis.errors import UserError
from analysis.mfa.answers.frozen import Frozen
from analysis.steering.parts import PARTS, SETS
from components.kit.view import NoOptions
from components.mfa.frozen import claim, frozen_bars
from pages.steering.inside import heads_in
from tests.unit.drawn_again import drawn_again


def effect(patterns: float, values: float, mlps: float, direct: float) -> list[float]:
    """An effect whose parts do not answer to each other."""
    of = dict(zip(PARTS, (patterns, values, mlps), strict=True))
    return [direct + sum(of[part] for part in some) for some in SETS]


def answer(**changes: Any) -> Frozen:
    rows = [effect(0.1, 0.5, 1.0, 0.4), effect(0.4, 0.2, 1.4, 0.0), effect(0.0, 0.4, 1.6, 0.0)]
    settings: dict[str, Any] = {
        "label": "␣the", "above": 10, "tokens": (" wine",), "subject": "wine", "kls": (0.25, 0.25, 0.26),
        "met": (1, 1, 1),
        "raises": (" wine", " <b>a", " b"), "heads": (), "patternless": (), "mlpless": (), "off": 1e-5,
        "target": np.array(rows, np.float32), "raised": np.array(rows, np.float32), "kl": np.ones((3, 8), np.float32),
    }  # fmt: skip
    return Frozen(**settings | changes)


def test_the_sentence_gives_shares_what_stays_and_what_random_directions_do() -> None:
    drawing = drawn_again(frozen_bars, answer(heads=((12, 3), (14, 0)), mlpless=(11,)))
    assert drawing.control and "by +2.00 nats: 5% through changed patterns of 2 heads, 25%" in drawing.control.text
    assert "2 heads above block 10 held as they were, 95% stays" in drawing.control.text
    assert "2 draws), on what each raises most: 10%, 15%, 75% and 0%" in drawing.control.text
    assert "outside their range for what 2 heads carry, MLPs and all else." in drawing.control.text
    assert (
        drawing.numbers["share MLPs"] == pytest.approx(0.5) and "Cannot be held: the MLP of block 11" in drawing.caption
    )
    assert "<b>a" not in str(drawing.figure)
    rows = drawing.parts[0].rows  # type: ignore[union-attr]
    assert rows[0][0] == "nothing" and rows[0][2] == 1 and rows[-1][0] == "patterns, values and MLPs"
    assert rows[-1][1] == pytest.approx(0.4)


def test_too_little_is_not_shared_out_and_alike_is_called_so() -> None:
    small = answer(target=0.01 * answer().target)
    assert "too little to be shared out" in claim(small)
    assert "by less than 0.01 nats, too little" in claim(answer(target=-1e-4 * answer().target))
    assert "share MLPs" not in frozen_bars.draw(small, NoOptions(), "dark").numbers
    alike = np.array([effect(0.2, 0.3, 1.5, 0.0), *answer().raised[1:].tolist()], np.float32)
    assert "within their range" in claim(answer(raised=alike))
    none = np.concatenate([answer().raised[:1], 0 * answer().raised[1:]])
    assert "No random direction" in claim(answer(raised=none))


def test_heads_are_read_as_they_are_typed() -> None:
    assert heads_in(" 12.3, L14H0;15 h2,12.3 ") == ((12, 3), (14, 0), (15, 2)) and heads_in(None) == ()
    with pytest.raises(UserError, match="is no head") as caught:
        heads_in("12")
    assert caught.value.field == "heads"
