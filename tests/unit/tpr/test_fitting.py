"""Do the fits find what is there? Known teachers, boards in random codes, the optimum by another way, and bad input."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from torch import Tensor

from analysis.errors import Cancelled, UserError
from analysis.othello.games import board_labels, random_games
from analysis.tpr import fitting, reference
from analysis.tpr.directions import centre_classes, cosines
from analysis.tpr.probes import LinearProbe, LowRankProbe, Probe, TPRProbe, TrilinearProbe
from analysis.tpr.start import random_parts, start_of
from analysis.tpr.truncate import role_truncation, truncated_svd

KINDS = (LinearProbe(), TPRProbe(12), TrilinearProbe(4, 5), LowRankProbe(20), TPRProbe(9, 1), TPRProbe(9, 5))


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sampled(probe: Probe, h: Tensor, seed: int) -> Tensor:
    """Boards drawn from a probe's own probabilities."""
    shares = probe.probabilities(h)
    return torch.multinomial(shares.reshape(-1, 3), 1, generator=generator(seed)).view(len(h), 64).to(torch.uint8)


@cache
def teacher() -> tuple[TPRProbe, Tensor, Tensor, Tensor]:
    """Dossier 8.2: a TPR of 10 x 2 at width 48, its logits of deviation 6; 8,000 vectors, drawn boards, fresh ones."""
    probe = TPRProbe(10, 2)
    probe.take(random_parts(probe, 48, torch.float64, generator(0)))
    h = torch.randn(8000, 48, generator=generator(1), dtype=torch.float64)
    probe.take({**probe.parts, "binding_map": probe.binding_map_ * (6 / probe.logits(h).std())})
    fresh = torch.randn(3000, 48, generator=generator(3), dtype=torch.float64)
    return probe, h, sampled(probe, h, 2), fresh


@cache
def student(roles: int) -> TPRProbe:
    _, h, boards, _ = teacher()
    return TPRProbe(roles, 2).fit(h, boards)


def divergence(probe: Probe) -> float:
    """KL(teacher, probe) in nats per square, on fresh vectors."""
    true, _, _, fresh = teacher()
    p, q = true.logits(fresh).log_softmax(-1), probe.logits(fresh).log_softmax(-1)
    return float((p.exp() * (p - q)).sum(-1).mean())


def test_a_student_of_the_right_size_recovers_its_teacher() -> None:
    true = centre_classes(teacher()[0].directions())
    found = centre_classes(student(10).directions())
    assert found.dtype == torch.float64
    near = cosines(found, true)
    assert near.mean() > 0.995 and near.min() > 0.98
    assert float((found * true).sum() / true.square().sum()) == pytest.approx(1, abs=0.05)
    bases = [torch.linalg.qr(roles)[0] for roles in (student(10).roles_, teacher()[0].roles_)]
    assert torch.linalg.svdvals(bases[0].T @ bases[1]).min() > 0.99
    assert divergence(student(10)) < 0.01
    agree = student(10).predict(teacher()[3]) == teacher()[0].predict(teacher()[3])
    assert agree.mean() > 0.98


def test_too_few_roles_are_clearly_worse_and_too_many_no_better() -> None:
    assert divergence(student(6)) > 0.1
    assert cosines(student(6).directions(), teacher()[0].directions()).mean() < 0.95
    assert 0.8 * divergence(student(10)) < divergence(student(12)) < 0.01


def test_a_trilinear_student_recovers_a_trilinear_teacher() -> None:
    true = TrilinearProbe(3, 4, 2)
    true.take(random_parts(true, 30, torch.float64, generator(4)))
    h = torch.randn(6000, 30, generator=generator(5), dtype=torch.float64)
    true.take({**true.parts, "binding_map": true.binding_map_ * (6 / true.logits(h).std())})
    found = TrilinearProbe(3, 4, 2).fit(h, sampled(true, h, 6))
    near = cosines(found.directions(), true.directions())
    assert near.mean() > 0.99 and near.min() > 0.9
    assert cosines(TrilinearProbe(2, 4, 2).fit(h, sampled(true, h, 6)).directions(), true.directions()).mean() < 0.95


@cache
def coded(width: int, noise: float) -> tuple[Tensor, np.ndarray, Tensor, np.ndarray]:
    """Random codes of real boards: to fit and held out (dossier 2.6)."""
    codes = torch.randn(64, 3, width, generator=generator(7))
    found: list[Any] = []
    for seed, games in ((11, 220), (12, 40)):
        boards = board_labels(random_games(games, seed)).reshape(-1, 64)
        hot = torch.nn.functional.one_hot(torch.as_tensor(boards).long(), 3).float().flatten(1)
        h = hot @ codes.flatten(0, 1)
        found += [h + noise * torch.randn(h.shape, generator=generator(seed)), boards]
    return tuple(found)  # type: ignore[return-value]


def test_boards_in_random_codes_are_read_and_the_probes_stand_in_their_order() -> None:
    h, boards, fresh, truth = coded(256, 0.1)
    linear = LinearProbe().fit(h, boards)
    assert linear.accuracy(fresh, truth) > 0.9995
    tpr = TPRProbe().fit(h, boards).accuracy(fresh, truth)
    low = LowRankProbe(80).fit(h, boards).accuracy(fresh, truth)
    cut = truncated_svd(linear.directions(), 80).accuracy(fresh, truth)
    closed = role_truncation(linear.directions(), 52).accuracy(fresh, truth)
    assert tpr > 0.99 and tpr > low > cut and tpr > closed
    # Labels: after one ply the disc just played, and the one it turned, belong to the side that just moved.
    game = random_games(40, 12)
    first = np.flatnonzero(board_labels(game)[0, 0] == 1)
    read = linear.predict(fresh[:1])[0]
    assert set(first) <= set(np.flatnonzero(read == 1)) and len(first) == 4 and (read == 2).sum() == 1


def test_noise_lowers_the_accuracy() -> None:
    found = []
    for noise in (0.5, 2.0, 4.0, 8.0):
        h, boards, fresh, truth = coded(64, noise)
        found.append(TPRProbe(40, max_epochs=4).fit(h, boards).accuracy(fresh, truth))
    assert found == sorted(found, reverse=True) and found[0] - found[-1] > 0.05


def test_the_linear_fit_is_near_the_optimum_that_lbfgs_finds() -> None:
    h, boards, fresh, truth = coded(32, 4.0)
    h, boards = h[:6000].double(), torch.as_tensor(boards[:6000])
    probe = LinearProbe().fit(h, boards)
    weights = torch.zeros(3, 64, 32, dtype=torch.float64, requires_grad=True)
    best = torch.optim.LBFGS([weights], max_iter=80, line_search_fn="strong_wolfe")

    def loss_of(w: Tensor, x: Tensor, y: Tensor) -> Tensor:
        logits = torch.einsum("nd,csd->ncs", x, w)
        return 64 * torch.nn.functional.cross_entropy(logits, y.long())

    def closure() -> Tensor:
        best.zero_grad()
        loss = loss_of(weights, h, boards)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    best.step(closure)
    least, found, nothing = (
        float(loss_of(w.detach(), h, boards)) for w in (weights, probe.weights_, torch.zeros_like(weights))
    )
    # 0.014 nats of 33; a rate that does not fall leaves 0.12.
    assert least <= found < least + 0.05 < nothing
    exact = LinearProbe().take({"weights": weights})
    x, y = fresh.double(), truth
    assert probe.accuracy(x, y) == pytest.approx(exact.accuracy(x, y), abs=1e-3)
    assert probe.weights_.sum(0).abs().max() < 1e-12


def test_the_gradient_written_down_is_that_of_the_cross_entropy() -> None:
    logits = (8 * torch.randn(128, 30, generator=generator(0), dtype=torch.float64)).requires_grad_(True)
    y = torch.randint(0, 3, (64, 30), generator=generator(1))
    full = torch.cat([torch.zeros(1, 64, 30, dtype=torch.float64), logits.view(2, 64, 30)])
    (true,) = torch.autograd.grad(torch.nn.functional.cross_entropy(full[None], y[None], reduction="sum"), logits)
    found = fitting.residual_(logits.detach().clone(), y.to(torch.uint8))
    assert torch.allclose(found, true, atol=1e-12)
    wide = torch.tensor([500.0, -500.0, 90.0, 900.0]).repeat_interleave(32)[:, None]
    assert torch.isfinite(fitting.residual_(wide, torch.zeros(64, 1, dtype=torch.uint8))).all()
    three = (8 * torch.randn(30, 3, 64, generator=generator(2), dtype=torch.float64)).requires_grad_(True)
    loss = len(three) * reference.cross_entropy(three, y.T)
    assert float(loss.detach()) == pytest.approx(
        float(torch.nn.functional.cross_entropy(three.detach(), y.T, reduction="sum"))
    )
    assert torch.allclose(reference.residual_of(three.detach(), y.T), torch.autograd.grad(loss, three)[0], atol=1e-12)


@pytest.mark.parametrize("probe", [TPRProbe(9, 2, bias=True), LowRankProbe(11), TrilinearProbe(3, 4, 3, bias=True)])
def test_a_step_by_way_of_the_directions_has_the_gradient_of_the_probe_itself(probe: Probe) -> None:
    h = torch.randn(40, 12, generator=generator(0), dtype=torch.float64) @ torch.randn(
        12, 12, generator=generator(1), dtype=torch.float64
    )
    y = torch.randint(0, 3, (40, 64), generator=generator(2)).to(torch.uint8)
    mean = h.mean(0) if probe.bias else torch.zeros_like(h[0])
    factor = fitting.whitening(h, mean)
    data = fitting.Batches(h, y, factor, mean, generator(0), torch.arange(40))
    parts = {k: v.requires_grad_(True) for k, v in random_parts(probe, 12, torch.float64, generator(3)).items()}
    loss = reference.cross_entropy(probe.forward(parts, (h - mean) @ factor), y)
    true = dict(zip(parts, torch.autograd.grad(loss, list(parts.values())), strict=True))
    fitting._gradients(probe, parts, data)
    for name, value in parts.items():
        assert value.grad is not None and torch.allclose(value.grad, true[name], atol=1e-10)
    plain = fitting.unwhiten(probe, {k: v.detach() for k, v in parts.items()}, data)
    assert torch.allclose(probe.forward(plain, h), probe.forward(parts, (h - mean) @ factor), atol=1e-9)


def test_whitening() -> None:
    turn = torch.linalg.qr(torch.randn(20, 20, generator=generator(1), dtype=torch.float64))[0]
    mix = turn * torch.logspace(-1, 1, 20).double() @ turn.T
    h = 3 + torch.randn(3000, 20, generator=generator(0), dtype=torch.float64) @ mix
    for mean in (torch.zeros(20, dtype=torch.float64), h.mean(0)):
        white = (h - mean) @ fitting.whitening(h, mean)
        assert torch.allclose(white.T @ white / 3000, torch.eye(20, dtype=torch.float64), atol=0.01)
    for degenerate in (torch.zeros(50, 6), torch.ones(50, 6), torch.randn(50, 2) @ torch.randn(2, 6)):
        assert torch.isfinite(fitting.whitening(degenerate, degenerate.mean(0))).all()


@pytest.mark.parametrize("probe", KINDS, ids=lambda p: f"{p.kind}{list(p.sizes.values())}")
def test_starts_are_what_the_directions_lose_least_by(probe: Probe) -> None:
    w = centre_classes(torch.randn(64, 3, 40, generator=generator(0), dtype=torch.float64))
    parts = start_of(probe, w, generator(1))
    assert {k: tuple(v.shape) for k, v in parts.items()} == probe.shapes(40)
    found = probe.effective(parts).transpose(0, 1)
    # A projection: what is found is part of what was given, and more of it than a random one of its shape would keep.
    assert float((found * w).sum()) == pytest.approx(float(found.square().sum()), rel=1e-9)
    kept = float(found.square().sum() / w.square().sum())
    sizes = probe.sizes
    chance = {
        "linear": 1.0,
        "low-rank": sizes.get("rank", 0) / 40,
        "tpr": sizes.get("role_dim", 0) / 64 * min(1, sizes.get("filler_dim", 0) / 2),
        "trilinear": sizes.get("row_dim", 0) * sizes.get("column_dim", 0) / 64,
    }[probe.kind]
    assert (1.02 if chance < 1 else 1 - 1e-12) * chance <= kept <= 1 + 1e-12
    if probe.kind == "tpr" and probe.sizes["filler_dim"] > 1:
        nearest = role_truncation(w, probe.sizes["role_dim"]).directions()
        assert torch.allclose(found, nearest, atol=1e-10)


def test_a_single_filler_goes_where_most_of_the_difference_is() -> None:
    axis = torch.tensor([0.5, 0.5, -1.0], dtype=torch.float64)
    w = axis[None, :, None] * torch.randn(64, 1, 40, generator=generator(0), dtype=torch.float64)
    w += 0.01 * torch.randn(64, 3, 40, generator=generator(1), dtype=torch.float64)
    probe = TPRProbe(64, 1)
    parts = start_of(probe, w, generator(2))
    assert abs(torch.nn.functional.cosine_similarity(parts["fillers"][:, 0], axis, dim=0)) > 0.999
    assert cosines(probe.effective(parts).transpose(0, 1), w).min() > 0.99


@pytest.mark.parametrize("probe", KINDS, ids=lambda p: f"{p.kind}{list(p.sizes.values())}")
def test_the_seed_decides_and_the_scale_of_the_activations_does_not_matter(probe: Probe) -> None:
    h, boards, fresh, _ = coded(32, 4.0)
    h, boards = h[:1500].double(), boards[:1500]
    fits = [copy.copy(probe), copy.copy(probe), copy.copy(probe)]
    for fit in fits:
        fit.max_epochs = 20
    fits[2].random_state = 1
    for fit in fits:
        fit.fit(h, boards)
    x = fresh.double()
    assert all(torch.equal(a, b) for a, b in zip(fits[0].parts.values(), fits[1].parts.values(), strict=True))
    assert not torch.equal(fits[0].logits(x), fits[2].logits(x))
    larger = copy.copy(fits[0]).fit(64 * h, boards)
    assert torch.allclose(larger.logits(64 * x), fits[0].logits(x), rtol=1e-6, atol=1e-6)


def test_a_bias_learns_what_the_activations_do_not_say() -> None:
    shares = torch.tensor([0.7, 0.2, 0.1])
    boards = torch.multinomial(shares.repeat(64, 1), 3000, replacement=True, generator=generator(0)).T
    h = 5 + torch.randn(3000, 6, generator=generator(1), dtype=torch.float64)
    probe = TPRProbe(5, 2, bias=True).fit(h, boards.to(torch.uint8))
    assert probe.bias_.shape == (3, 64)
    found = probe.probabilities(h).mean((0, 1))
    assert torch.allclose(found, shares.double(), atol=0.02)
    assert probe.parameter_count() == 6 * 10 + 64 * 5 + 6 + 192


def test_the_published_recipe_learns_and_stops_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("EVERY", 20), ("PATIENCE", 3), ("BATCH", 256), ("LOOKS", 20)):
        monkeypatch.setattr(reference, name, value)
    h, boards, fresh, truth = coded(64, 2.0)
    h, boards, said, seen = h[:6000], torch.as_tensor(boards[:6000]), [], []

    def look(seconds: float, parts: dict[str, Tensor]) -> bool:
        seen.append(float(reference._loss(probe, parts, *held)))
        return False

    probe, held = LinearProbe(), (h[5000:], boards[5000:])
    parts = reference.fit_reference(
        probe, h[:5000], boards[:5000], held, lambda t, s: said.append(t), lambda: None, look
    )
    probe.take(parts)
    fast = LinearProbe().fit(h[:5000], boards[:5000])
    common = np.stack([(boards.numpy() == c).mean(0) for c in range(3)]).max(0).mean()
    assert common + 0.1 < probe.accuracy(fresh, truth) < fast.accuracy(fresh, truth) + 0.01
    # The last three looks brought nothing, the one before them is the one that was kept.
    assert min(seen) == pytest.approx(reference._loss(probe, parts, *held), rel=1e-6)
    assert seen.index(min(seen)) == len(seen) - 3 and len(said) == len(seen) + 1


@pytest.mark.parametrize("recipe", ["fast", "reference"])
def test_a_fit_can_be_stopped_at_any_step(recipe: str) -> None:
    h, boards, *_ = coded(32, 4.0)
    calls, shares = [], []

    def check() -> None:
        calls.append(1)
        if len(calls) == 7:
            raise Cancelled

    probe = TPRProbe(8, 2, recipe=recipe)
    with pytest.raises(Cancelled):
        probe.fit(
            h[:2000], boards[:2000], check=check, progress=lambda share, text="", **facts: shares.append((text, share))
        )
    assert len(calls) == 7 and shares and all(text and (s is None or 0 <= s <= 1) for text, s in shares)
    with pytest.raises(NotFittedError):
        probe.logits(h)


def test_a_limit_on_passes_and_the_weight_decay_are_kept_to() -> None:
    h, boards, *_ = coded(32, 4.0)
    h, boards, steps = h[:4096], boards[:4096], []
    TPRProbe(8, 2, max_epochs=2).fit(h, boards, check=lambda: steps.append(1))
    assert len(steps) == 1 + 2 * 4
    steps.clear()
    TPRProbe(8, 2, max_epochs=3, recipe="reference").fit(h, boards, check=lambda: steps.append(1))
    assert len(steps) == 3
    for recipe in ("fast", "reference"):
        norms = [
            LinearProbe(max_epochs=40, recipe=recipe, weight_decay=decay).fit(h, boards).weights_.norm()
            for decay in (0.0, 5.0)
        ]
        assert norms[1] < 0.9 * norms[0]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda h, y: (h[0], y), "activations"),
        (lambda h, y: (h[:20], y[:20]), "activations"),
        (lambda h, y: (torch.where(torch.arange(8) == 3, torch.nan, h), y), "activations"),
        (lambda h, y: (h * float("inf"), y), "activations"),
        (lambda h, y: ([["a"] * 8] * 50, y), "activations"),
        (lambda h, y: (h, y[:40]), "boards"),
        (lambda h, y: (h, y[:, :60]), "boards"),
        (lambda h, y: (h, y + 1), "boards"),
        (lambda h, y: (h, y.astype(np.int64) - 1), "boards"),
        (lambda h, y: (h, y.astype(float)), "boards"),
        (lambda h, y: (h, y > 1), "boards"),
    ],
)
@pytest.mark.parametrize("recipe", ["fast", "reference"])
def test_what_cannot_be_learned_from_is_refused(recipe: str, change: Any, field: str) -> None:
    h = torch.randn(50, 8, generator=generator(0))
    y = torch.randint(0, 3, (50, 64), generator=generator(1)).numpy().astype(np.uint8)
    with pytest.raises(UserError) as caught:
        LinearProbe(recipe=recipe).fit(*change(h, y))
    assert caught.value.field == field and caught.value.message.endswith(".")
    with pytest.raises(UserError, match="held-out"):
        LinearProbe(recipe=recipe).fit(h, y, validation=(torch.randn(50, 7), y))


def test_the_callers_arrays_stay_as_they_are() -> None:
    h, boards, *_ = coded(32, 4.0)
    h, boards = h[:500].clone(), boards[:500].copy()
    before = h.clone(), boards.copy()
    TPRProbe(8, max_epochs=5).fit(h.numpy(), boards)
    assert torch.equal(h, before[0]) and np.array_equal(boards, before[1])
