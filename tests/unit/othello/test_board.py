"""The board for play: the slow engine's at every ply, undone as it was done, and clear about what cannot be played."""

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import UserError
from analysis.othello.bitboard import U, legal
from analysis.othello.board import Board, legal_squares, legal_word, random_continuation, turned_by
from analysis.othello.games import board_labels, random_games
from analysis.othello.squares import SQUARE_OF_TOKEN, square_of
from tests.unit.othello import mailbox

SIDES = {mailbox.BLACK: "black", mailbox.WHITE: "white"}
words = st.integers(0, 2**64 - 1)


def _squares(names: str) -> list[int]:
    return [square_of(name) for name in names.split()]


def test_start() -> None:
    board = Board.start()
    assert board.side == "black" and board.just_moved is None and board.moves == () == board.flipped
    assert board.legal == (19, 26, 37, 44) and not board.over and board.score == (2, 2)
    assert board.discs[27] == board.discs[36] == 2 and board.discs[28] == board.discs[35] == 1 and sum(board.discs) == 6
    assert board.undo() is board


@settings(max_examples=300, deadline=None)
@given(words, words)
def test_shifts_agree_with_the_kernel_and_with_the_rays(a: int, b: int) -> None:
    own, other = a & ~b, b & ~a
    word = legal_word(own, other)
    assert word == int(legal(U(own), U(other)))
    taken = own | other
    by_rays = tuple(s for s in range(64) if not taken >> s & 1 and turned_by(s, own, other))
    assert legal_squares(own, other) == by_rays


@pytest.mark.parametrize("seed", range(60))
def test_every_ply_is_that_of_the_slow_engine(seed: int) -> None:
    squares = mailbox.random_game(random.Random(seed).choice)
    board, passes = Board.start(), []
    for t, (square, after) in enumerate(zip(squares, mailbox.replay(squares), strict=True)):
        before, board = board, board.play(square)
        assert (board.black, board.white) == tuple(mailbox.word(after.grid, side) for side in SIDES)
        assert list(board.legal) == after.legal and board.over == (not after.legal)
        assert board.just_moved == before.side == SIDES[after.mover]
        assert list(board.flipped) == after.turned
        flat = [cell for line in after.grid for cell in line]
        assert board.discs == [".bw".index(c) for c in flat]
        assert board.score == (flat.count("b"), flat.count("w"))
        assert board.classes("mover") == [0 if c == "." else 1 if c == after.mover else 2 for c in flat]
        if after.legal:
            assert board.side == SIDES[after.next]
        if after.passed:
            passes.append(t + 1)
        assert board.undo() == before
    assert board.moves == tuple(squares) and board.passes == tuple(passes)
    assert board == Board.start().after(squares) and list(board.line())[-1] == board
    assert [len(b.moves) for b in board.line()] == list(range(len(squares) + 1))


def test_games_with_passes_are_among_them() -> None:
    boards = [random_continuation(Board.start(), None, seed) for seed in range(60)]
    assert any(b.passes for b in boards) and any(not b.passes for b in boards)
    assert all(b.over for b in boards)


def test_classes_are_the_labels_of_the_arrays() -> None:
    games = random_games(40, 12)
    labels = {kind: board_labels(games, kind) for kind in ("parity", "mover")}  # type: ignore[arg-type]
    for row in range(40):
        board = Board.start()
        for t in range(min(59, int(games.length[row]))):
            board = board.play(SQUARE_OF_TOKEN[games.tokens[row, t]])  # numpy's numbers are squares, too
            for kind, found in labels.items():
                assert board.classes(kind) == found[row, t].tolist()
    assert (labels["parity"] != labels["mover"]).any()


def test_classes_of_the_start_and_of_unknown_labels() -> None:
    board = Board.start()
    for kind in ("parity", "mover"):
        assert [board.classes(kind)[s] for s in (27, 28, 35, 36)] == [1, 2, 2, 1]
    with pytest.raises(UserError) as caught:
        board.classes("colour")
    assert caught.value.field == "labels"


def test_forced_pass() -> None:
    # The shortest game with a pass that a search in order of squares meets.
    board = next(b for seed in range(2000) if (b := random_continuation(Board.start(), None, seed)).passes)
    at = board.passes[0]
    before, after = Board.start().after(board.moves[: at - 1]), Board.start().after(board.moves[:at])
    assert after.side == before.side == after.just_moved
    own, other = (after.black, after.white) if after.side == "black" else (after.white, after.black)
    assert not legal_word(other, own) and legal_word(own, other)
    assert after.passes == (at,) and before.passes == ()


def test_shortest_game_ends_by_itself() -> None:
    # Nine plies that leave white without a disc.
    board = Board.start().after(_squares("E6 F4 E3 F6 G5 D6 E7 F5 C5"))
    assert board.over and board.score == (13, 0) and board.legal == ()
    with pytest.raises(UserError) as caught:
        board.play(0)
    assert caught.value.message == "The game is over: neither side can move." and caught.value.field == "moves"
    assert random_continuation(board, None, 0) == board


def test_sentences() -> None:
    board = Board.start()
    assert board.why_illegal(square_of("D4")) == "D4 already has a disc."
    assert board.why_illegal(square_of("D3")) == "D3 is legal."
    assert board.why_illegal(square_of("A1")) == (
        "A disc on A1 would turn nothing: Black must enclose at least one white disc in a straight line. "
        "Black can play C4, D3, E6, F5."
    )
    white = board.play(square_of("D3"))
    assert "White must enclose at least one black disc" in white.why_illegal(square_of("A1"))


@pytest.mark.parametrize("square", [-1, 64, 10**9, "D3", None, 2.5])
def test_no_square(square: object) -> None:
    with pytest.raises(UserError) as caught:
        Board.start().play(square)  # type: ignore[arg-type]
    assert caught.value.field == "moves" and caught.value.message.endswith(".")


def test_first_bad_move_is_named() -> None:
    with pytest.raises(UserError) as caught:
        Board.start().after(_squares("D3 C3 A8 C4"))
    assert caught.value.message.startswith("Move 3: A disc on A8 would turn nothing: Black must")


def test_random_continuation_is_of_its_seed_and_length() -> None:
    start = Board.start().after(_squares("D3 C3"))
    a, b, c = (random_continuation(start, 10, seed) for seed in (1, 1, 2))
    assert a == b != c and len(a.moves) == 12 and a.moves[:2] == start.moves
    assert random_continuation(start, 0, 1) == start
    firsts = [random_continuation(Board.start(), 1, seed).moves[0] for seed in range(400)]
    assert np.bincount(firsts)[[19, 26, 37, 44]].min() > 60  # of 100 expected


def test_boards_are_values() -> None:
    board = Board.start()
    with pytest.raises(AttributeError):
        board.black = 0  # type: ignore[misc]
    board.play(19)
    assert board == Board.start() and hash(board) == hash(Board.start())


def test_web_process_needs_neither_numba_nor_torch_for_play() -> None:
    code = (
        "import sys; import analysis.othello.records, analysis.othello.sources; "
        "print([m for m in ('numba', 'torch', 'transformers') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
