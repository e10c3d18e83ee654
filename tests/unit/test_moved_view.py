"""Attention under steering in words and pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from analysis.errors import UserError
from analysis.mfa.answers.moved import MovedHeads, SteeredRow
from analysis.mfa.ops.moved import _sentence
from analysis.mfa.settings import RegionSetting, SteeringSettings
from components.mfa.moved import MovedOptions, SteeredRowOptions, best_heads, claim, moved_heads, steered_row
from pages.attention.state import AttentionState
from pages.attention.steered import steer_in, title_of
from pages.state import write
from tests.unit.drawn_again import drawn_again

MEAN = np.array([[0.0, 0.0], [0.3, 0.5]], np.float32)
NULL = np.array([[0.0, 0.0], [0.1, 0.6]], np.float32)


def moved(**changes: Any) -> MovedHeads:
    settings: dict[str, Any] = {
        "labels": ("␣<b>a", "␣b"), "acts": (0,), "kls": (0.5, 0.5, 0.5), "met": (1, 1, 1), "same": False, "mean": MEAN,
        "worst": MEAN, "query": np.where(MEAN > 0, 1, -1).astype(np.int32), "null": NULL / 2, "null_high": NULL,
        "null_worst": NULL,
    }  # fmt: skip
    return MovedHeads(**settings | changes)


def test_the_head_that_is_named_is_furthest_beyond_random_and_chance_stands_beside_the_count() -> None:
    drawing = drawn_again(moved_heads, moved(), options=MovedOptions(chosen=(1, 0)))
    assert drawing.control and "Of 2 heads whose pattern moves, 1 move more" in drawing.control.text
    assert "by chance 1 would" in drawing.control.text and "layer 1, head 0: 30%" in drawing.control.text
    own, null = drawing.figure["data"]  # type: ignore[index]
    assert own["coloraxis"] == null["coloraxis"] and own["customdata"][0][1] == [1, 0]
    assert "<b>a" not in str(drawing.figure) and best_heads(moved())[0] == (1, 0)
    same = moved(same=True, mean=0 * MEAN, worst=0 * MEAN)
    assert "No bit of the attention" in claim(same) and best_heads(same) == []
    assert "Not every random direction" in claim(moved(met=(1, 0, 1)))


def test_a_row_says_where_the_attention_went() -> None:
    base, steered = np.array([0.9, 0.1, 0.0]), np.array([0.5, 0.1, 0.4])
    said = _sentence(["a", "b", "c"], 2, base, steered, [0.4, 0.1, 0.2])
    assert "puts 40% of its attention elsewhere: more to “c” (token 2), 0% to 40%; less to “a” (token 0)" in said
    assert "10% to 20% (2 draws)" in said
    assert "bit for bit" in _sentence(["a", "b", "c"], 2, base, base, [0.0, 0.1])
    assert "less than one per cent" in _sentence(["a", "b", "c"], 2, base, base + 0.001, [0.001, 0.1])
    row = SteeredRow(said, ("␣a", "␣b", "␣c"), 0.4, (0.1, 0.2), base, steered, np.stack([base, steered]))
    drawing = drawn_again(steered_row, row, options=SteeredRowOptions(1, 0, 2))
    assert drawing.control and drawing.control.text == said and drawing.numbers["moved"] == 0.4


def test_a_set_up_is_taken_from_an_address_of_the_steering_page() -> None:
    steer = SteeringSettings("block-10", (RegionSetting(3, 0.25),), "add", "prompt")
    query = write(AttentionState(steer=steer.to_dict()))
    from urllib.parse import urlencode

    assert steer_in("http://somewhere/steering?" + urlencode({"steer": query["steer"]})) == steer
    assert title_of(steer) == "region 3 at 0.25 (block-10, add, on the prompt only)"
    for link in ("", "/steering?text=a", "/steering?steer=[]"):
        with pytest.raises(UserError):
            steer_in(link)
