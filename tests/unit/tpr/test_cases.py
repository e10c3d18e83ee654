"""The cases of edits: what each must hold, and the legal sets against a slow engine."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.errors import UserError
from analysis.othello.board import Board
from analysis.othello.squares import CENTRE, SQUARE_OF_TOKEN
from analysis.tpr.activations import whole_games
from analysis.tpr.cases import (
    EditCase,
    connected,
    edited_legal,
    edited_side,
    edited_words,
    is_reasonable,
    null_of_perfect,
    random_cases,
)
from tests.unit.othello import mailbox


def one_piece(squares: set[int]) -> bool:
    seen: set[int] = set()
    todo = list(squares)[:1]
    while todo:
        s = todo.pop()
        if s not in seen:
            seen.add(s)
            todo += [t for t in squares if max(abs(s // 8 - t // 8), abs(s % 8 - t % 8)) == 1]
    return bool(squares) and seen == squares


def slow_board(case: EditCase, labels: str = "parity") -> tuple[mailbox.Grid, str]:
    """The edited board from a replay by the slow engine, and whose turn it is: the one who did not move last."""
    last = mailbox.replay(list(case.moves))[-1]
    grid = [list(row) for row in last.grid]
    just_moved = last.mover if labels == "mover" else (mailbox.BLACK if len(case.moves) % 2 else mailbox.WHITE)
    discs = {0: mailbox.EMPTY, 1: just_moved, 2: mailbox.other(just_moved)}
    for square, source, target in case.changes:
        assert grid[square // 8][square % 8] == discs[source]
        grid[square // 8][square % 8] = discs[target]
    return grid, mailbox.other(last.mover)


@pytest.mark.parametrize("labels", ["parity", "mover"])
def test_legal_sets_are_those_of_a_slow_engine(labels: str) -> None:
    late = random_cases(40, 2, 5, labels=labels, first_ply=50)
    assert labels == "parity" or any(Board.start().after(c.moves).passes for c in late)
    for case in [*random_cases(20, 1, 5, labels=labels), *late]:
        grid, side = slow_board(case, labels)
        slow = mailbox.legal(grid, side) or mailbox.legal(grid, mailbox.other(side))
        assert list(case.legal) == list(slow)


def test_labels_differ_after_a_pass_and_then_the_same_change_means_the_other_colour() -> None:
    cases = random_cases(60, 1, 3, first_ply=55)
    boards = [Board.start().after(c.moves) for c in cases]
    passed = [b for b in boards if b.classes("parity") != b.classes("mover")]
    assert passed
    for board in passed:
        square = next(s for s in range(64) if board.discs[s] == 0)
        parity, mover = (edited_words(board, ((square, 1),), labels) for labels in ("parity", "mover"))
        assert parity != mover and parity[0] | parity[1] == mover[0] | mover[1]
    assert any(b.classes("parity") == b.classes("mover") for b in boards)


@pytest.mark.parametrize("squares", [1, 2, 3, 4])
def test_cases_hold_what_was_asked(squares: int) -> None:
    cases = random_cases(30, squares, 7)
    for case in cases:
        board = Board.start().after(case.moves)
        classes = board.classes()
        assert 20 <= len(case.moves) <= 59 and len({s for s, _, _ in case.changes}) == squares
        for square, source, target in case.changes:
            assert classes[square] == source != 0 and square not in CENTRE
            assert target == (0 if case.kind == "empty" else 3 - source)
        assert case.legal and case.legal != case.before == board.legal
        black, white = edited_words(board, tuple((s, t) for s, _, t in case.changes), "parity")
        assert not black & white and one_piece({s for s in range(64) if (black | white) >> s & 1})
    assert {c.kind for c in cases} == {"flip", "empty"}


def test_prefixes_and_kinds_are_drawn_evenly() -> None:
    cases = random_cases(400, 1, 2)
    assert 0.35 < np.mean([c.kind == "flip" for c in cases]) < 0.65
    lengths = np.array([len(c.moves) for c in cases])
    assert lengths.min() <= 22 and lengths.max() >= 57 and abs(lengths.mean() - 39.5) < 3
    assert min(len(c.moves) for c in random_cases(20, 1, 2, first_ply=50)) >= 50


def test_the_seed_decides_and_the_filter_can_be_left_out() -> None:
    assert random_cases(5, 2, 9) == random_cases(5, 2, 9) != random_cases(5, 2, 10)
    loose = random_cases(200, 4, 1, first_ply=10, reasonable=False)
    kept = []
    for case in loose:
        wanted = tuple((s, t) for s, _, t in case.changes)
        board = Board.start().after(case.moves)
        discs = {s for s in range(64) if sum(edited_words(board, wanted, "parity")) >> s & 1}
        assert is_reasonable(board, wanted) == (bool(case.legal) and one_piece(discs))
        assert case.legal != case.before
        kept.append(is_reasonable(board, wanted))
    assert 0 < sum(kept) < len(loose)


def test_a_side_that_cannot_move_passes() -> None:
    """Emptying or turning discs until the side to move is stuck: the legal set is then the other side's."""
    met = 0
    for case in random_cases(400, 4, 11, first_ply=50):
        board = Board.start().after(case.moves)
        wanted = tuple((s, t) for s, _, t in case.changes)
        grid, side = slow_board(case)
        if not mailbox.legal(grid, side):
            met += 1
            assert list(edited_legal(board, wanted)) == list(mailbox.legal(grid, mailbox.other(side))) != []
    assert met > 0


@pytest.mark.parametrize("labels", ["parity", "mover"])
def test_a_side_that_had_to_pass_moves_where_the_edit_lets_it(labels: str) -> None:
    """Turned discs of real positions after which a side must pass, by Othello's rule and the slow engine."""
    sides = {mailbox.BLACK: "black", mailbox.WHITE: "white"}
    again, still = 0, 0
    for row in whole_games(50, 60_007).tokens:
        moves = tuple(int(SQUARE_OF_TOKEN[t]) for t in row)
        for ply in (p for p in Board.start().after(moves).passes[:1] if p < 60 and still < 60):
            board = Board.start().after(moves[:ply])
            classes = board.classes(labels)
            for square in (s for s in range(ply % 4, 64, 4) if classes[s]):
                target = 3 - classes[square]
                case = EditCase(moves[:ply], ((square, classes[square], target),), "flip", (), ())
                grid, turn = slow_board(case, labels)
                first = mailbox.legal(grid, turn)
                legal = first or mailbox.legal(grid, mailbox.other(turn))
                change = ((square, target),)
                assert list(edited_legal(board, change, labels)) == legal
                mover = turn if first or not legal else mailbox.other(turn)
                assert edited_side(board, change, labels) == sides[mover]
                again, still = again + (sides[mover] != board.side), still + (sides[mover] == board.side)
    assert again > 5 and still > 5


@pytest.mark.parametrize(("squares", "wanted"), [(1, 1.44), (2, 2.20), (3, 2.87), (4, 3.55)])
def test_the_null_of_a_perfect_player_is_the_dossiers(squares: int, wanted: float) -> None:
    cases = random_cases(600, squares, 1)
    assert null_of_perfect(cases) == pytest.approx(wanted, abs=0.25)
    slow = [len([s for s in range(64) if (s in c.legal) != (s in c.before)]) for c in cases]
    assert null_of_perfect(cases) == pytest.approx(np.mean(slow))


def test_cases_come_from_whole_games() -> None:
    games = whole_games(50, 60_007)
    lines = {tuple(int(SQUARE_OF_TOKEN[t]) for t in row) for row in games.tokens}
    for case in random_cases(10, 1, 7):
        assert any(line[: len(case.moves)] == case.moves for line in lines)


def test_connected_against_a_flood() -> None:
    draw = np.random.default_rng(0)
    for _ in range(200):
        bits = set(np.flatnonzero(draw.random(64) < draw.uniform(0.05, 0.5)).tolist())
        assert connected(sum(1 << s for s in bits)) == one_piece(bits)


def test_what_cannot_be_drawn_is_said() -> None:
    for wrong, field in (
        ({"n": 5, "squares": 5}, "squares"),
        ({"n": 0}, "cases"),
        ({"n": 5, "first_ply": 60}, "first_ply"),
        ({"n": 5, "labels": "colour"}, "labels"),
    ):
        with pytest.raises(UserError) as caught:
            random_cases(**wrong)  # type: ignore[arg-type]
        assert caught.value.field == field
    with pytest.raises(UserError):
        null_of_perfect([])
