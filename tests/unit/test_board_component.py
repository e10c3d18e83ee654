"""Boards as data: what is refused, what is said in words. (How the browser draws them: tests/browser/scripts.)"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.kit.theme import DIVERGING
from components.othello.board import (
    NAMES,
    belief_board,
    board,
    board_data,
    by_square,
    cosine_board,
    difference_board,
    next_move_board,
    value_board,
)

ASSETS = Path(__file__).resolve().parents[2] / "assets"
SCRIPT = "".join((ASSETS / name).read_text("utf-8") for name in ("frame/board.js", "othello.js"))
STYLE = "".join((ASSETS / name).read_text("utf-8") for name in ("board.css", "othello.css"))
EMPTY = [0] * 64


@pytest.mark.parametrize(
    "wrong",
    [
        {"discs": [0] * 63},
        {"discs": [3] + [0] * 63},
        {"shades": [1.0] * 60},
        {"heat": [0.0] * 65},
        {"heat_kind": "rainbow"},
        {"texts": ["x"]},
        {"labels": []},
        {"legal": [64]},
        {"wrong": [-1]},
        {"selected": [99]},
        {"last": 64},
    ],
)
def test_what_is_not_a_board_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"64|squares|0, 1 or 2|sequential"):
        board_data(**({"discs": EMPTY} | wrong))


def test_a_board_is_plain_json_even_from_arrays_with_gaps() -> None:
    heat = np.linspace(-1, 1, 64, dtype=np.float32)
    heat[7] = np.nan
    data = board_data(
        np.zeros(64, np.uint8), shades=np.full(64, 1.5), heat=heat, legal=np.array([3, 4]), last=np.int64(3), legend="x"
    )
    back = json.loads(json.dumps(data, allow_nan=False))
    assert back == data and back["heat"][7] is None and back["heat"][0] == -1
    assert back["legal"] == [3, 4] and back["last"] == 3 and set(back["shades"]) == {1.0}


def test_squares_are_named_by_row_letter_and_column_digit() -> None:
    labels = board_data([1 if s == 26 else 2 if s == 63 else 0 for s in range(64)])["labels"]
    assert labels[26] == "D3, black" and labels[63] == "H8, white" and labels[0] == "A1, empty"


@pytest.mark.parametrize("moved", [1, 2])
def test_a_belief_says_what_it_reads_how_surely_and_where_it_errs(moved: int) -> None:
    p = np.full((64, 3), 0.01)
    truth = np.arange(64) % 3
    p[np.arange(64), truth] = 0.98
    p[26] = [0.02, 0.97, 0.01]  # read as the side that just moved; truly 26 % 3 == 2
    data = belief_board(p, truth, moved)
    colour = {0: 0, 1: moved, 2: 3 - moved}
    right = [s for s in range(64) if s != 26]
    assert data["wrong"] == [26] and [data["discs"][s] for s in right] == [colour[int(truth[s])] for s in right]
    assert data["shades"][26] == pytest.approx(0.97)
    read, true = ("black", "white") if moved == 1 else ("white", "black")
    assert data["labels"][26].startswith(f"D3: read as {read} ({read} 97%")
    assert data["labels"][26].endswith(f"wrong, it is {true}") and "wrong" not in data["labels"][25]


def test_a_belief_of_another_shape_or_colour_is_refused() -> None:
    for p, truth, moved in (
        (np.zeros((64, 2)), np.zeros(64), 1),
        (np.zeros((64, 3)), np.zeros(60), 1),
        (np.zeros((64, 3)), np.zeros(64), 0),
    ):
        with pytest.raises(ValueError, match=r"probabilities|black"):
            belief_board(p, truth, moved)


def test_tokens_and_squares_give_the_same_board() -> None:
    from analysis.othello.squares import TOKEN_OF_SQUARE

    tokens = np.random.default_rng(0).dirichlet(np.ones(61))
    squares = np.where(TOKEN_OF_SQUARE > 0, tokens[TOKEN_OF_SQUARE], 0.0)
    assert np.array_equal(by_square(tokens), squares) and np.array_equal(by_square(squares), squares)
    assert next_move_board(tokens, [19], EMPTY, None) == next_move_board(squares, [19], EMPTY, None)
    with pytest.raises(ValueError, match="61"):
        by_square(np.zeros(60))


def test_next_moves_are_percentages_on_free_squares_only() -> None:
    p, discs = np.zeros(64), [1 if s == 28 else 0 for s in range(64)]
    p[19], p[0], p[28] = 0.75, 0.25, 0.0
    data = next_move_board(p, [19], discs, 28)
    assert data["texts"][19] == "75" and data["texts"][1] == "" and data["heat"][28] is None
    assert data["labels"][19] == "C4: 75.0%, legal" and data["labels"][0] == "A1: 25.0%, illegal"
    assert data["legal"] == [19] and data["last"] == 28 and data["max"] == 0.75


def test_a_difference_has_a_sign_a_symmetric_scale_and_the_change_of_legality_in_words() -> None:
    before, after = np.zeros(64), np.zeros(64)
    before[10], after[11] = 0.3, 0.2
    data = difference_board(before, after, [10, 12], [11, 12])
    assert data["heat"][10] == -0.3 and data["heat"][11] == 0.2 and data["max"] == pytest.approx(0.3)
    assert data["kind"] == "diverging" and data["legal"] == [11, 12]
    assert "no longer legal" in data["labels"][10] and "became legal" in data["labels"][11]
    assert "legal" not in data["labels"][12]


def test_values_and_cosines_keep_their_scale() -> None:
    v = np.linspace(-2, 5, 64)
    assert value_board(v, True, "log-odds")["max"] == 5 and value_board(v, False, "x")["kind"] == "sequential"
    assert value_board(np.full(64, np.nan), True, "x")["heat"] == [None] * 64
    cosines = np.zeros(64)
    cosines[:3] = -0.001, 0.25, -1
    data = cosine_board(cosines, "empty")
    assert data["max"] == 1 and data["texts"][:3] == [".00", ".25", "-1.00"]
    assert data["labels"][1] == f"{NAMES[1]}: cosine 0.250"


def test_the_container_is_empty_labelled_and_names_its_stores() -> None:
    shown = board("b", "The game").to_plotly_json()["props"]
    assert "children" not in shown or shown["children"] is None
    assert shown["aria-label"] == "The game" and "data-queue" not in shown
    played = board("b", "The game", playable=True, queue="s", edits="e").to_plotly_json()["props"]
    assert played["data-queue"] == "s" and played["data-edits"] == "e"


def test_the_script_makes_no_markup_of_what_it_is_given() -> None:
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", SCRIPT)
    assert "http" not in SCRIPT and "attune_othello" in SCRIPT


def test_boards_and_figures_share_their_signed_scale() -> None:
    found = re.search(r"const DIVERGING = \[(.*?)\]", SCRIPT)
    assert found and re.findall(r"#\w{6}", found[1]) == [colour for _, colour in DIVERGING]


def test_each_mark_has_a_look_that_is_not_only_a_colour() -> None:
    assert "dashed" in _rule("attune-legal") and "✕" in _rule("attune-wrong")
    assert "repeating-linear-gradient" in _rule("attune-wrong")
    for mark in ("attune-last", "attune-selected", "attune-square-lit", ":focus-visible"):
        assert "outline" in _rule(mark) or "box-shadow" in _rule(mark), mark


def _rule(name: str) -> str:
    return "".join(body for selector, body in re.findall(r"([^{}]+)\{([^{}]*)\}", STYLE) if name in selector)
