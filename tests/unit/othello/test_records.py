"""Pasted games: every way to write one gives the same moves, and what is wrong is said by number and name."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import UserError
from analysis.othello.board import Board, random_continuation
from analysis.othello.records import MAX_CHARACTERS, format_moves, parse_moves, transposed
from analysis.othello.squares import square_name, square_of

GAME = tuple(square_of(name) for name in "F5 D6 C3 D3 C4".split())


def _message(text: str, notation: str = "rows") -> str:
    with pytest.raises(UserError) as caught:
        parse_moves(text, notation)
    assert caught.value.field == "moves" and caught.value.message.endswith((".", "?"))
    return caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "F5 D6 C3 D3 C4",
        "f5d6c3d3c4",
        "F5D6 c3 D3C4",
        "f5, d6, c3, d3, c4",
        "F5-D6-C3-D3-C4",
        "F5 – D6 – C3 — D3 - C4",
        "F5--D6--C3--D3--C4",
        "F5\nD6\r\nC3\tD3\n\nC4\n",
        "F5;D6|C3/D3>C4",
        "F5.D6.C3.D3.C4.",
        "1. F5 2. D6 3. C3 4. D3 5. C4",
        "1. F5 D6 2. C3 D3 3. C4",
        "1.F5 D6 2.C3 D3 3.C4",
        "1) F5 2) D6 3) C3 4) D3 5) C4",
        "1: f5, 2: d6, 3: c3, 4: d3, 5: c4",
        "1 F5 D6 2 C3 D3 3 C4",
        "1 F5 2 D6 3 C3 4 D3 5 C4",
        "1. F5 1... D6 2. C3 2... D3 3. C4",
        "[F5, D6, C3, D3, C4]",
        '["F5", "D6", "C3", "D3", "C4"]',
        "('F5', 'D6', 'C3', 'D3', 'C4')",
        "[44, 29, 18, 26, 19]",
        "(44,29,18,26,19)",
        "44 29 18 26 19",
        "44-29-18-26-19",
        "  F5 D6 C3 D3 C4  ",
    ],
)
def test_one_game_in_many_forms(text: str) -> None:
    assert parse_moves(text) == GAME


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from(["rows", "columns"]),
    st.sampled_from([" ", "", ",", ", ", "\n", "-", " - ", ".", "--"]),
    st.booleans(),
)
def test_every_game_survives_being_written(seed: int, notation: str, separator: str, lower: bool) -> None:
    moves = random_continuation(Board.start(), None, seed).moves
    text = format_moves(moves, notation).replace(" ", separator)
    assert parse_moves(text.lower() if lower else text, notation) == moves
    assert parse_moves(str(list(moves)), notation) == moves


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_numbered_games_with_their_passes(seed: int, in_pairs: bool) -> None:
    board = random_continuation(Board.start(), None, seed)
    words = []
    for t, move in enumerate(board.moves):
        if in_pairs or t % 2 == 0:
            words.append(f"{t // 2 + 1 if in_pairs else t + 1}.")
        if t in board.passes:
            words.append(("--", "pass", "PA", "Pass")[t % 4])
        words.append(square_name(move))
    assert parse_moves(" ".join(words)) == board.moves


@given(st.text(max_size=80))
def test_any_text_gives_moves_or_a_sentence(text: str) -> None:
    try:
        moves = parse_moves(text)
    except UserError as error:
        assert error.field == "moves" and error.message
    else:
        assert Board.start().after(moves).moves == moves


def test_notations_are_transposed() -> None:
    rows, columns = parse_moves("F5 D6 C3"), parse_moves("F5 D6 C3", "columns")
    assert columns == tuple(transposed(m) for m in rows) == (37, 43, 18)
    assert parse_moves("[37, 43]", "columns") == parse_moves("[37, 43]") == (37, 43)  # numbers mean the same in both
    assert format_moves(columns, "columns") == "F5 D6 C3" and format_moves(rows) == "F5 D6 C3"
    assert all(transposed(transposed(s)) == s for s in range(64))
    with pytest.raises(UserError) as caught:
        parse_moves("F5", "letters")
    assert caught.value.field == "notation"
    with pytest.raises(UserError):
        format_moves(rows, "letters")


def test_transposed_games_are_legal_games() -> None:
    for seed in range(20):
        moves = random_continuation(Board.start(), None, seed).moves
        assert Board.start().after(transposed(m) for m in moves).over


@pytest.mark.parametrize("word", ["--", "pass", "PASS", "Pa"])
def test_passes_where_they_are_forced_and_nowhere_else(word: str) -> None:
    board = next(b for s in range(500) if (b := random_continuation(Board.start(), None, s)).passes)
    names, at = [square_name(m) for m in board.moves], board.passes[0]
    forced = [*names[:at], word, *names[at:]]
    assert parse_moves(" ".join(forced)) == board.moves
    assert parse_moves("\n".join(names)) == board.moves  # or left out
    assert parse_moves(" ".join([*names, word, word])) == board.moves  # both, when the game is over
    side = "Black" if Board.start().after(board.moves[:at]).side == "black" else "White"
    twice = _message(" ".join([*names[:at], word, word, *names[at:]]))
    assert twice.startswith(f"Before move {at + 1} nobody passes again: {side} can play ")
    early = _message(" ".join([*names[: at - 1], word, *names[at - 1 :]]))
    assert early.startswith(f"Before move {at} nobody passes: ")
    assert "over after" in _message(" ".join([*names, word, word, word]))


def test_pass_at_the_start() -> None:
    assert _message("-- F5") == (
        "Before move 1 nobody passes: Black can play C4, D3, E6, F5, and who can move must. Leave the pass out."
    )


def test_illegal_move_is_named_explained_and_answered() -> None:
    assert _message("F5 D6 A1 C3") == (
        "Move 3, A1: A disc on A1 would turn nothing: Black must enclose at least one white disc in a straight line. "
        "Black can play C3, C4, C5, C6, C7."
    )
    assert _message("F5 D6 F5") == "Move 3, F5: F5 already has a disc."


def test_explanations_speak_the_notation_of_the_text() -> None:
    rows, columns = _message("F5 D6 A2"), _message("F5 D6 A2", "columns")
    assert rows == columns  # the same names stand for the transposed squares, so that the sentence is the same
    assert "A2" in _message("[37, 43, 8]", "columns").split(":")[0] and "B1" in _message("[37, 43, 8]").split(":")[0]


def test_sixty_one_moves() -> None:
    full = next(b for s in range(50) if len((b := random_continuation(Board.start(), None, s)).moves) == 60)
    text = format_moves(full.moves)
    assert parse_moves(text) == full.moves
    assert "at most 60 moves" in _message(text + " A1")
    assert "at most 60 moves" in _message(str([*full.moves, 0]))
    with pytest.raises(UserError):
        format_moves((*full.moves, 0))


def test_moves_after_an_early_end() -> None:
    assert _message("E6 F4 E3 F6 G5 D6 E7 F5 C5 A1") == ("Move 10, A1: The game is over: neither side can move.")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("I9", "letters A to H and the digits 1 to 8"),
        ("F5 I9", "Move 2: 'I9'"),
        ("K10 D4", "Go"),
        ("A0", "letters A to H"),
        ("5F", "The letter comes first: F5."),
        ("e2e4 e7e5", "chess"),
        ("1. e2-e4 e7-e5", "chess"),
        ("Nf3", "chess"),
        ("O-O", "chess"),
        ("F5 D6 37", "not both"),
        ("[64]", "0 to 63"),
        ("[-1]", "Move 1: -1 is not a square"),
        ("3719", "0 to 63"),
        ("hello", "such as D3"),
        ("F5 🙂", "such as D3"),
        ("", "no move in this text"),
        (" \n\t", "no move in this text"),
        ("...", "no move in this text"),
        ("x" * (MAX_CHARACTERS + 1), "2,000 characters"),
        ("F5 " * 1000, "2,000 characters"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    assert said in _message(text)


@pytest.mark.parametrize("text", [None, 5, ["F5"], b"F5"])
def test_only_text_is_read(text: object) -> None:
    with pytest.raises(UserError):
        parse_moves(text)  # type: ignore[arg-type]


def test_long_words_are_not_repeated_at_length() -> None:
    assert len(_message("Z" * 1900)) < 200
