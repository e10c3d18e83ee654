"""Many edits: every figure of the table against a recount in plain Python, one case, method and scale at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from analysis.errors import UserError
from analysis.models.loader import adopt
from analysis.models.spec import ModelSpec
from analysis.othello.board import Board
from analysis.othello.model import build, othello_config, othello_tokenizer
from analysis.othello.sources import OthelloSource
from analysis.othello.squares import PLAYABLE, TOKEN_OF_SQUARE
from analysis.tpr.activations import read
from analysis.tpr.cases import random_cases
from analysis.tpr.edits import METHODS, TITLES, linear_edit, tpr_edit, weight_tuples
from analysis.tpr.interventions import run_slowly
from analysis.tpr.library import new_set
from analysis.tpr.probes import LinearProbe, TPRProbe, TrilinearProbe
from analysis.tpr.room import Room
from analysis.tpr.trials import (
    GRID,
    best_fixed_scale,
    errors,
    interval,
    legal_mask,
    run_case,
    run_trials,
    tuning_cases,
    units,
)

WIDTH, LAYERS = 32, 2


@pytest.fixture(scope="module")
def room() -> Room:
    """A tiny random network with random probes, as the page would open it."""
    torch.manual_seed(3)
    model = build(othello_config(layers=LAYERS, width=WIDTH, heads=2)).eval()
    with torch.no_grad():  # so that some moves lie over one per cent and some under it
        for p in model.parameters():
            p += 0.1 * torch.randn_like(p)
    probes = new_set("test")
    for layer in range(LAYERS):
        probes.add("linear", layer, "parity", LinearProbe().take({"weights": torch.randn(3, 64, WIDTH)}))
        parts = {"binding_map": torch.randn(WIDTH, 10, 2), "roles": torch.randn(64, 10), "fillers": torch.randn(3, 2)}
        probes.add("tpr", layer, "parity", TPRProbe(10, 2).take(parts))
        cube = {"binding_map": torch.randn(WIDTH, 3, 4, 2), "row_embeddings": torch.randn(8, 3)}
        cube |= {"column_embeddings": torch.randn(8, 4), "fillers": torch.randn(3, 2)}
        probes.add("trilinear", layer, "parity", TrilinearProbe(3, 4, 2).take(cube))
    loaded = adopt(model, othello_tokenizer(), ModelSpec("othello"))
    return Room(OthelloSource(), loaded, "test", probes)


def recount(shares: list[float], legal: set[int]) -> tuple[int, int]:
    """Errors over one per cent and of the top N, by squares, in plain Python."""
    likely = {s for s, p in zip(PLAYABLE, shares, strict=True) if p > 0.01}
    order = sorted(zip(shares, PLAYABLE, strict=True), key=lambda row: -row[0])
    top = {s for _, s in order[: len(legal)]}
    return len(likely - legal) + len(legal - likely), len(top - legal) + len(legal - top)


def slow_shares(room: Room, moves: tuple[int, ...], vectors: dict[int, torch.Tensor]) -> list[float]:
    logits = run_slowly(room.loaded, moves, vectors)
    return [float(p) for p in logits[1:].double().softmax(-1)]


def slow_vectors(room: Room, method: str, case: Any, scale: float, weight: Any = None) -> dict[int, torch.Tensor]:
    found = {}
    for layer in range(LAYERS):
        if method.startswith("linear"):
            w = room.probes.probe("linear", layer).directions()
            unit = linear_edit(w, case.changes, minus=method == "linear-minus", weights=weight)
        else:
            unit = tpr_edit(room.probes.probe(method, layer), case.changes, weights=weight)
        found[layer] = scale * float(units(room)[layer]) * unit
    return found


def test_the_table_is_a_recount(room: Room) -> None:
    methods = ("linear", "linear-minus", "tpr", "trilinear")
    cases, tuning = random_cases(4, 2, 12), random_cases(3, 2, 9)
    rows = run_trials(room, cases, tuning, methods, layers=range(LAYERS))
    assert [(r.method, r.choice[:5]) for r in rows] == [(m, c) for m in methods for c in ("fixed", "best ")]
    null = [recount(slow_shares(room, c.moves, {}), set(c.legal)) for c in cases]
    own = [recount(slow_shares(room, c.moves, {}), set(c.before))[0] for c in cases]
    assert sum(own) != sum(e for e, _ in null)
    for m, method in enumerate(methods):
        count = {
            (i, scale): recount(slow_shares(room, c.moves, slow_vectors(room, method, c, scale)), set(c.legal))
            for i, c in enumerate([*tuning, *cases])
            for scale in GRID
        }
        fixed = min(GRID, key=lambda scale: (sum(count[i, scale][0] for i in range(3)), scale))
        best = [min(GRID, key=lambda scale: (count[i, scale][0], scale)) for i in range(3, 7)]
        for row, chosen in ((rows[2 * m], [fixed] * 4), (rows[2 * m + 1], best)):
            found = [count[3 + i, scale] for i, scale in enumerate(chosen)]
            assert row.mean == pytest.approx(np.mean([e for e, _ in found]))
            assert row.top_n == pytest.approx(np.mean([t for _, t in found]))
            assert row.exact == pytest.approx(np.mean([e == 0 for e, _ in found]))
            assert row.scale == pytest.approx(np.mean(chosen))
            assert row.null == pytest.approx(np.mean([e for e, _ in null]))
            assert row.null_top_n == pytest.approx(np.mean([t for _, t in null]))
            assert row.own == pytest.approx(np.mean(own))
            assert row.low <= row.mean <= row.high and row.cases == 4
            assert row.title == TITLES[method]


def test_best_never_has_more_errors_than_fixed_and_tuning_does_not_move_it(room: Room) -> None:
    cases = random_cases(6, 1, 20)
    one, two = (run_trials(room, cases, tuning_cases(1, s, "parity", 4), METHODS, layers=[0, 1]) for s in (20, 30))
    for fixed, best in zip(one[::2], one[1::2], strict=True):
        assert best.mean <= fixed.mean and best.exact >= fixed.exact
    deterministic = [r for r in one[1::2] if r.method not in ("random", "wrong-square")]
    assert deterministic == [r for r in two[1::2] if r.method not in ("random", "wrong-square")]
    again = run_trials(room, cases, tuning_cases(1, 20, "parity", 4), METHODS, layers=[0, 1])
    assert again == one


def test_weights_widen_the_choice_of_best_only(room: Room) -> None:
    cases, tuning = random_cases(3, 2, 5), random_cases(2, 2, 6)
    weights = weight_tuples(2)[:6]
    plain = run_trials(room, cases, tuning, ("linear", "tpr"), layers=[0, 1])
    wide = run_trials(room, cases, tuning, ("linear", "tpr"), layers=[0, 1], weights=weights)
    assert wide[::2] == plain[::2]
    assert all(a.mean <= b.mean for a, b in zip(wide[1::2], plain[1::2], strict=True))
    for method, row in (("linear", wide[1]), ("tpr", wide[3])):
        total, scales = [], []
        for c in cases:
            tried = {
                (s, w): recount(slow_shares(room, c.moves, slow_vectors(room, method, c, s, w)), set(c.legal))[0]
                for s in GRID
                for w in weights
            }
            chosen = min(tried, key=lambda k: (tried[k], k[0], weights.index(k[1])))
            total.append(tried[chosen])
            scales.append(chosen[0])
        assert row.mean == pytest.approx(np.mean(total)) and row.scale == pytest.approx(np.mean(scales))


def test_more_candidates_than_one_batch_holds_change_nothing(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    case = random_cases(1, 1, 8)[0]
    whole, legal = run_case(room, case, METHODS, [0, 1], "parity", 0)
    monkeypatch.setattr("analysis.tpr.trials._ROWS", 7)
    parts, _ = run_case(room, case, METHODS, [0, 1], "parity", 0)
    assert whole.shape == (1 + len(METHODS) * len(GRID), 61)
    assert np.allclose(whole, parts, atol=1e-6) and legal.sum() == len(case.legal)


def test_units_are_tenths_of_the_streams_length(room: Room) -> None:
    from analysis.tpr.activations import whole_games

    ids = torch.from_numpy(whole_games(30, 70_000).tokens[:, :59].astype(np.int64))
    slow = [float(np.median(h.norm(dim=-1).numpy())) / 10 for h in read(room.loaded, ids)[0]]
    assert units(room) == pytest.approx(slow, rel=1e-2)


def test_safe_points_come_with_no_hook_and_may_stop_it(room: Room) -> None:
    said: list[float | None] = []
    calls = 0
    before = [dict(block._forward_hooks) for block in room.loaded.model.transformer.h]

    def check() -> None:
        nonlocal calls
        calls += 1
        assert [block._forward_hooks for block in room.loaded.model.transformer.h] == before
        if calls == 4:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        run_trials(room, random_cases(4, 1, 8), random_cases(2, 1, 9), ("tpr",), layers=[0], check=check,
                   progress=lambda share, text="", **facts: said.append(share))  # fmt: skip
    assert calls == 4 and said == [0.0]
    assert [block._forward_hooks for block in room.loaded.model.transformer.h] == before


def test_errors_are_counted_as_in_the_papers() -> None:
    legal = legal_mask([19, 26, 37])
    p = np.zeros((2, 61))
    p[0, TOKEN_OF_SQUARE[[19, 26, 44]]] = (0.5, 0.009, 0.491)
    p[1, TOKEN_OF_SQUARE[[19, 26, 37]]] = (0.4, 0.3, 0.3)
    found = errors(p, legal)
    assert found.positives.tolist() == [1, 0] and found.negatives.tolist() == [2, 0]
    assert found.exact.tolist() == [False, True] and found.total.tolist() == [3, 0] and found.top_n.tolist() == [2, 0]
    assert errors(p, legal, 0.005).negatives.tolist() == [1, 0]
    assert not legal_mask(()).any()
    p[1, 0] = 0.9  # padding is no move, however likely
    assert errors(p, legal).total.tolist() == [3, 0] and errors(p, legal).top_n.tolist() == [2, 0]


def test_errors_against_a_recount_with_a_legal_set_for_each_row() -> None:
    draw = np.random.default_rng(0)
    p = np.zeros((5, 7, 61))
    p[..., 1:] = draw.dirichlet(np.full(60, 0.1), (5, 7))
    legal = np.zeros((5, 7, 61), np.bool_)
    legal[..., 1:] = draw.random((5, 7, 60)) < 0.15
    found = errors(p, legal)
    for at in np.ndindex(5, 7):
        total, top = recount(list(p[at][1:]), {s for s in PLAYABLE if legal[at][TOKEN_OF_SQUARE[s]]})
        assert (found.total[at], found.top_n[at], found.exact[at]) == (total, top, total == 0)


def test_no_errors_for_a_player_of_the_edited_board() -> None:
    for case in random_cases(20, 2, 4):
        p = legal_mask(case.legal) / len(case.legal)
        found = errors(p[None], legal_mask(case.legal))
        assert found.exact.all() and found.top_n.sum() == 0
        before = errors((legal_mask(case.before) / len(case.before))[None], legal_mask(case.legal))
        assert before.total[0] == len(set(case.legal) ^ set(case.before)) > 0


def test_the_fixed_scale_is_the_least_of_the_best() -> None:
    assert best_fixed_scale(np.array([[3, 1, 1, 4], [3, 2, 2, 0]])) == 1
    assert best_fixed_scale(np.array([[0, 1], [0, 1], [5, 1]])) == 1


def test_the_interval_is_that_of_the_mean() -> None:
    values = np.random.default_rng(1).normal(3, 2, 400)
    low, high = interval(values)
    reach = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - reach, values.mean() + reach), abs=0.02)
    assert interval(np.full(9, 2.0)) == (2.0, 2.0) and len(GRID) == 20


def test_tuning_cases_are_other_cases() -> None:
    tuned, tried = tuning_cases(1, 44, "parity", 40), random_cases(40, 1, 44)
    assert not {c.moves for c in tuned} & {c.moves for c in tried}
    assert all(Board.start().after(c.moves).legal == c.before for c in tuned)


def test_what_cannot_be_tried_is_said(room: Room) -> None:
    cases = random_cases(1, 2, 1)
    for arguments, field in (
        ((room, [], cases, ("tpr",)), "cases"),
        ((room, cases, [], ("tpr",)), "cases"),
    ):
        with pytest.raises(UserError) as caught:
            run_trials(*arguments, layers=[0])
        assert caught.value.field == field
    with pytest.raises(UserError, match="must be all 1"):
        run_trials(room, cases, cases, ("tpr",), layers=[0], weights=[(0.5, 1.0)])
