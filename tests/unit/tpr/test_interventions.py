"""Edits, the cases they are tried on, the runs that carry them, and the counting of errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.errors import UserError
from analysis.othello.board import Board
from analysis.othello.model import build, othello_config
from analysis.othello.squares import CENTRE, TOKEN_OF_SQUARE
from analysis.tpr.cases import connected, edited_legal, edited_words, null_of_perfect, random_cases
from analysis.tpr.edits import (
    binding_change,
    cross_talk,
    edit_vector,
    least_norm,
    linear_edit,
    random_edit,
    tpr_edit,
    wrong_squares,
)
from analysis.tpr.interventions import run_edited, run_slowly
from analysis.tpr.probes import LinearProbe, TPRProbe, TrilinearProbe
from analysis.tpr.trials import GRID, errors, interval, legal_mask
from tests.unit.othello import mailbox

torch.manual_seed(0)
CHANGES = [(10, 1, 2), (20, 2, 0)]


def tpr(d: int = 40, r: int = 12) -> TPRProbe:
    parts = {"binding_map": torch.randn(d, r, 2), "roles": torch.randn(64, r), "fillers": torch.randn(3, 2)}
    return TPRProbe(r, 2).take({k: v.double() for k, v in parts.items()})


def test_the_edit_changes_the_binding_as_asked_and_by_the_shortest_vector() -> None:
    probe, h = tpr(), torch.randn(1, 40).double()
    change = binding_change(probe.roles_, probe.fillers_, CHANGES)
    g = least_norm(probe.binding_map_, change)
    assert torch.allclose(probe.binding(h + g)[0] - probe.binding(h)[0], change, atol=1e-9)
    flat = probe.binding_map_.reshape(40, -1)
    other = g + (torch.eye(40).double() - flat @ torch.linalg.pinv(flat)) @ torch.randn(40).double()
    assert torch.allclose(flat.T @ other, flat.T @ g, atol=1e-9) and other.norm() > g.norm()


def test_cross_talk_is_the_change_of_the_logits() -> None:
    h = torch.randn(1, 40).double()
    tri = TrilinearProbe(4, 3, 2).take(
        {
            "binding_map": torch.randn(40, 4, 3, 2).double(),
            "row_embeddings": torch.randn(8, 4).double(),
            "column_embeddings": torch.randn(8, 3).double(),
            "fillers": torch.randn(3, 2).double(),
        }
    )
    for probe in (tpr(), tri):
        unit = tpr_edit(probe, CHANGES)
        assert unit.norm() == pytest.approx(1)
        moved = probe.logits(h + 2.5 * unit)[0] - probe.logits(h)[0]
        assert torch.allclose(moved, cross_talk(probe, CHANGES, 2.5), atol=1e-9)


def test_linear_edits_add_unit_directions() -> None:
    w = torch.randn(64, 3, 16).double()
    plain = linear_edit(w, CHANGES)
    slow = w[10, 2] / w[10, 2].norm() + w[20, 0] / w[20, 0].norm()
    assert torch.allclose(plain, slow)
    minus = linear_edit(w, CHANGES[:1], minus=True)
    assert torch.allclose(minus, (w[10, 2] - w[10, 1]) / (w[10, 2] - w[10, 1]).norm())


def test_controls_have_the_length_of_an_edit_and_other_squares() -> None:
    generator = torch.Generator().manual_seed(1)
    assert random_edit(30, generator).norm() == pytest.approx(1, abs=1e-5)
    classes = [0] * 64
    classes[10] = classes[11] = 1
    classes[20] = classes[21] = classes[22] = 2
    found = wrong_squares(classes, CHANGES, generator)
    assert found[0] == (11, 1, 2) and found[1][0] in (21, 22) and found[1][1:] == (2, 0)
    with pytest.raises(UserError, match="no other square"):
        wrong_squares([0] * 64, CHANGES, generator)
    linear = LinearProbe().take({"weights": torch.randn(3, 64, 16)})
    with pytest.raises(UserError, match="Only a TPR"):
        edit_vector("tpr", linear, CHANGES, classes, generator)
    with pytest.raises(UserError, match="no method"):
        edit_vector("magic", linear, CHANGES, classes, generator)


def test_the_fast_run_is_the_slow_run() -> None:
    model = build(othello_config(layers=3, width=32, heads=2)).eval().double()
    for case in random_cases(4, 1, 3):
        vectors = {layer: torch.randn(4, 32).double() for layer in (0, 2)}
        for v in vectors.values():
            v[-1] = 0
        ran = run_edited(model, case.moves, vectors)
        for i in range(4):
            slow = run_slowly(model, case.moves, {k: v[i] for k, v in vectors.items()})
            assert torch.allclose(ran.logits[i].double(), slow, atol=1e-5)
        plain = model(torch.tensor([[int(TOKEN_OF_SQUARE[m]) for m in case.moves]])).logits[0, -1]
        assert torch.allclose(ran.logits[3].double(), plain, atol=1e-5)
        zero = run_edited(model, case.moves, {0: torch.zeros(2, 32), 1: torch.zeros(2, 32)})
        assert torch.equal(zero.logits[0], zero.logits[1])
        assert ran.probabilities[:, 0].max() == 0 and ran.probabilities.sum(-1) == pytest.approx(np.ones(4))


def test_hooks_are_gone_after_a_failure() -> None:
    model = build(othello_config(layers=2, width=32, heads=2)).eval()
    with pytest.raises(RuntimeError):
        run_edited(model, (19, 18), {0: torch.zeros(2, 31)})
    assert not any(block._forward_hooks for block in model.transformer.h)
    assert run_edited(model, (19,), {}).logits.shape == (1, 61)


def test_cases_hold_what_was_asked() -> None:
    for squares in (1, 3):
        for case in random_cases(30, squares, 7):
            board = Board.start().after(case.moves)
            classes = board.classes()
            assert 20 <= len(case.moves) <= 59 and len({s for s, _, _ in case.changes}) == squares
            for square, source, target in case.changes:
                assert classes[square] == source != 0 and square not in CENTRE
                assert target == (0 if case.kind == "empty" else 3 - source)
            assert case.legal and case.legal != case.before == board.legal
    assert random_cases(5, 2, 9) == random_cases(5, 2, 9) != random_cases(5, 2, 10)
    with pytest.raises(UserError):
        random_cases(5, 5)


def test_the_null_of_a_perfect_player_is_the_dossiers() -> None:
    for squares, wanted in ((1, 1.44), (2, 2.20), (3, 2.87), (4, 3.55)):
        assert null_of_perfect(random_cases(500, squares, 1)) == pytest.approx(wanted, abs=0.3)


def test_edited_legal_against_a_slow_engine() -> None:
    for case in random_cases(40, 2, 5):
        board = Board.start().after(case.moves)
        wanted = tuple((s, t) for s, _, t in case.changes)
        black, white = edited_words(board, wanted, "parity")
        discs = [
            mailbox.BLACK if black >> s & 1 else mailbox.WHITE if white >> s & 1 else mailbox.EMPTY for s in range(64)
        ]
        grid = [discs[8 * r : 8 * r + 8] for r in range(8)]
        side = mailbox.BLACK if board.side == "black" else mailbox.WHITE
        slow = mailbox.legal(grid, side) or mailbox.legal(grid, mailbox.other(side))
        assert list(edited_legal(board, wanted)) == slow


def test_connected_against_a_flood() -> None:
    draw = np.random.default_rng(0)
    for _ in range(200):
        bits = set(np.flatnonzero(draw.random(64) < draw.uniform(0.05, 0.5)).tolist())
        seen, todo = set(), list(bits)[:1]
        while todo:
            s = todo.pop()
            if s in seen:
                continue
            seen.add(s)
            todo += [t for t in bits if max(abs(s // 8 - t // 8), abs(s % 8 - t % 8)) == 1]
        assert connected(sum(1 << s for s in bits)) == (bool(bits) and seen == bits)


def test_errors_are_counted_as_in_the_papers() -> None:
    legal = legal_mask([19, 26, 37])
    p = np.zeros((2, 61))
    p[0, TOKEN_OF_SQUARE[[19, 26, 44]]] = (0.5, 0.009, 0.491)
    p[1, TOKEN_OF_SQUARE[[19, 26, 37]]] = (0.4, 0.3, 0.3)
    found = errors(p, legal)
    assert found.positives.tolist() == [1, 0] and found.negatives.tolist() == [2, 0]
    assert found.exact.tolist() == [False, True] and found.total.tolist() == [3, 0] and found.top_n.tolist() == [2, 0]
    low, high = interval(np.array([0.0, 1.0] * 50))
    assert 0.35 < low < 0.5 < high < 0.65 and len(GRID) == 20
