"""Attention under steering in words and pictures."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from analysis.bridge.answers import InSubspace, WhyMoved
from analysis.bridge.moved import _sentence
from analysis.bridge.steers import BoardSteer, FeatureSteer, Steer
from analysis.errors import UserError
from analysis.mfa.answers.moved import MovedHeads, SteeredRow
from analysis.mfa.settings import RegionSetting, SteeringSettings
from analysis.othello.records import parse_moves
from components.mfa.moved import MovedOptions, SteeredRowOptions, best_heads, claim, moved_heads, steered_row
from components.mfa.why_moved import WhyOptions, why_moved
from components.mfa.why_moved import claim as why_claim
from pages.attention.state import AttentionState
from pages.attention.taken import steer_in
from pages.mlp_features.state import FeaturesState
from pages.othello.state import OthelloState
from pages.state import read, write
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
    assert "by chance 1 would" in drawing.control.text and "layer 1, head 0, 30%" in drawing.control.text
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


def why(**changes: Any) -> WhyMoved:
    parts = np.array([[-0.1, -1.7, -0.5], [0.2, 1.5, 0.3], [np.nan] * 3])
    settings: dict[str, Any] = {
        "labels": ("␣<b>My", "␣the", "␣c"), "whole": 0.43, "by_query": 0.03, "by_keys": 0.22,
        "random": ((0.1, 0.02, 0.05), (0.2, 0.08, 0.02)), "key": 0, "change": -0.43, "error": 1e-16, "parts": parts,
        "subspaces": (InSubspace("Induction", 17, 0.31, (0.07, 0.03, 0.16), 20),),
    }  # fmt: skip
    return WhyMoved(**settings | changes)


def test_why_a_head_moved_is_said_by_side_and_beside_random_ones() -> None:
    said = why_claim(why(), 1)
    assert "Of the attention of “the” (token 1) 43% lies elsewhere" in said and "alone would move 3%" in said
    assert "Random directions at the same KL: 2% to 8% and 2% to 5% (2 draws)" in said
    assert "(token 0, −43 points): its logit gains −2.30 nats over the mean, −0.10 from the query’s side" in said
    assert "inside “Induction” (rank 17), 31% would move; inside random subspaces of that rank 7% (3% to 16%)" in said
    assert "nothing to explain" in why_claim(why(whole=0.004), 1) and "inside" not in why_claim(why(subspaces=()), 1)
    drawing = drawn_again(why_moved, why(), options=WhyOptions(23, 5, 1))
    assert drawing.control and drawing.control.numbers["random, by the query"] == pytest.approx(0.05)
    assert "<b>My" not in str(drawing.figure) and drawing.figure["data"][0]["x"] == [0, 1]  # type: ignore[index]


def test_a_set_up_is_taken_from_an_address_of_the_steering_page() -> None:
    steer = SteeringSettings("block-10", (RegionSetting(3, 0.25),), "add", "prompt")
    query = write(AttentionState(steer=steer.to_dict()))
    from urllib.parse import urlencode

    assert steer_in("http://somewhere/steering?" + urlencode({"steer": query["steer"]})) == steer
    assert steer.title == "region 3 at 0.25 (block-10, add, on the prompt only)"
    for link in ("", "/steering?text=a", "/steering?steer=[]"):
        with pytest.raises(UserError):
            steer_in(link)


def test_a_feature_and_a_board_are_taken_from_the_addresses_of_their_pages() -> None:
    from urllib.parse import urlencode

    at = FeaturesState(fit="block-3", feature=7, pole=-1, target=0.5)
    feature = steer_in("http://somewhere/prefix/mlp-features?" + urlencode(write(at)))
    assert feature == FeatureSteer("block-3", 7, -1, 0.5) and Steer.from_dict(feature.to_dict()) == feature
    game = parse_moves("C4C3D3E3")
    board = steer_in("/othello?" + urlencode(write(OthelloState(moves=game, ply=3, edits=((19, 0),)))))
    assert (
        board == BoardSteer(game, 3, ((19, 0),)) and Steer.from_dict(json.loads(json.dumps(board.to_dict()))) == board
    )
    for state in (AttentionState(steer=feature.to_dict()), AttentionState(steer=board.to_dict())):
        assert read(AttentionState, write(state)).steer == state.steer
    for link in ("/mlp-features", "/mlp-features?fit=a&feature=-1", "/othello", "/othello?moves=C4&edits=[[19,7]]"):
        with pytest.raises(UserError):
            steer_in(link)
    for data in ({"kind": "other"}, {"kind": ["feature"]}, {"kind": "feature"}, {"kind": "board", "edits": []}, [], 3):
        with pytest.raises(UserError):
            Steer.from_dict(data)
