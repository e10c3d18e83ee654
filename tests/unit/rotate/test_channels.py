"""The estimator: what decides a result, what masking may and may not do, poles, left-out tokens, bad settings."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import Tensor

from analysis.errors import UserError
from analysis.rotate import channels as module
from analysis.rotate.channels import MASKED, VocabularyChannels
from analysis.rotate.objective import kurtosis, skewness, z_scores
from tests.unit.rotate.test_descent import reference
from tests.unit.rotate.test_planted import Planted, planted

SETTINGS: dict[str, Any] = {"n_channels": 3, "keep_weights": True}


@cache
def truth() -> Planted:
    return planted(2, width=32, tokens=1200, directions=4, neurons=6)


@cache
def found() -> VocabularyChannels:
    return VocabularyChannels(**SETTINGS).fit(truth().vectors, truth().projection)


def equal(a: VocabularyChannels, b: VocabularyChannels) -> bool:
    return all(torch.equal(getattr(a, n), getattr(b, n)) for n in ("channels_", "loss_", "top_", "own_z_", "weights_"))


def test_the_seed_decides_everything() -> None:
    p = truth()
    torch.manual_seed(99)
    assert equal(found(), VocabularyChannels(**SETTINGS).fit(p.vectors, p.projection))
    other = VocabularyChannels(**SETTINGS, random_state=1).fit(p.vectors, p.projection)
    assert not torch.equal(other.channels_, found().channels_)
    twin = VocabularyChannels(1).fit(p.vectors[[0, 0]], p.projection)
    assert not torch.equal(twin.traces_[0][1][0, 0], twin.traces_[0][1][0, 1]), "starts of its own for every row"


def test_a_neuron_is_what_it_is_alone_whatever_batch_it_is_in(monkeypatch: pytest.MonkeyPatch) -> None:
    p = truth()
    monkeypatch.setattr(module, "BATCH", 4)
    split = VocabularyChannels(**SETTINGS).fit(p.vectors, p.projection)
    assert torch.allclose(split.loss_, found().loss_, atol=2e-3)
    same = [len(set(a.tolist()) & set(b.tolist())) for a, b in zip(split.top_[:, 0], found().top_[:, 0], strict=True)]
    assert min(same) >= 18 and split.traces_ == [] and len(found().traces_) == 3
    first = VocabularyChannels(**SETTINGS).fit(p.vectors[:1], p.projection)
    assert torch.allclose(first.loss_[0], found().loss_[0], atol=2e-3)


def test_reported_figures_are_those_of_the_channels() -> None:
    p, f = truth(), found()
    assert torch.allclose(f.channels_.norm(dim=2), p.vectors.norm(dim=1)[:, None].expand(-1, 3), rtol=1e-5)
    weights = torch.ones(6, 1200)
    for c in range(3):
        projected = f.channels_[:, c] @ p.projection.T
        seen = weights * projected
        assert torch.allclose(f.kurtosis_[:, c], kurtosis(seen), rtol=1e-4, atol=1e-4)
        assert torch.allclose(f.skewness_[:, c], skewness(seen), rtol=1e-4, atol=1e-4)
        cosine = torch.nn.functional.cosine_similarity(f.channels_[:, c], p.vectors)
        assert torch.allclose(f.cosine_[:, c], cosine, atol=1e-5)
        loss = -0.3 * kurtosis(seen).sign() * kurtosis(seen).abs().log1p() + 1 - cosine
        assert torch.allclose(f.loss_[:, c], loss, atol=1e-4)
        own, z = z_scores(p.vectors @ p.projection.T), z_scores(projected)
        for n in range(6):
            at, pole = f.top_[n, c], f.pole_[n, c]
            assert torch.allclose(f.top_z_[n, c], pole * z[n, at], atol=1e-4)
            assert torch.allclose(f.top_own_z_[n, c], pole * own[n, at], atol=1e-4)
            assert float(f.own_z_[n, c]) == pytest.approx(float((pole * own[n, at]).mean()), abs=1e-4)
        weights = torch.where(z.abs() > 4, weights.clamp(max=MASKED), weights)


def masks(start: Tensor, mask_z: float) -> tuple[Planted, VocabularyChannels, list[Tensor]]:
    """Token weights after 0, 1, 2 and 3 rounds, each from a fit of so many rounds."""
    p = truth()
    fits = [
        VocabularyChannels(c, keep_weights=True, mask_z=mask_z).fit(p.vectors, p.projection, start) for c in (1, 2, 3)
    ]
    return p, fits[-1], [start.expand(6, -1), *(f.weights_ for f in fits)]


@pytest.mark.parametrize("mask_z", [3.0, 4.0])
def test_masking_lowers_the_tails_and_nothing_else(mask_z: float) -> None:
    start = torch.ones(1200)
    start[:100], start[100:200] = 1e-4, 0.0
    kept = truth().vectors.clone()
    p, f, weights = masks(start, mask_z)
    assert torch.equal(p.vectors, kept)
    for c in range(3):
        before, after = weights[c], weights[c + 1]
        z = z_scores(f.channels_[:, c] @ p.projection.T)
        changed = after != before
        assert bool((after <= before).all()) and bool(changed.any(1).all() if c == 0 else changed.any())
        assert bool((z[changed].abs() > mask_z).all())
        assert bool((after[z.abs() > mask_z] <= MASKED).all()), "both tails, as no skewness here is beyond 10"
        assert f.masked_[:, c].tolist() == (z.abs() > mask_z).sum(1).tolist()
        for n in range(6):
            later = f.top_[n, c + 1 :].flatten()
            assert not bool(torch.isin(later, changed[n].nonzero()[:, 0]).any())
            assert not bool((start[f.top_[n, c]] < 1).any()), "left-out tokens stand for no channel"


def test_compatible_masks_raise_weights_as_the_official_code_does() -> None:
    p = truth()
    start = torch.ones(1200)
    start[p.blocks.flatten()[::2]] = 1e-4
    ours, theirs = (
        VocabularyChannels(1, keep_weights=True, compatible=c).fit(p.vectors, p.projection, start).weights_
        for c in (False, True)
    )
    assert not bool((ours > start).any())
    assert bool((theirs > start).any()) and bool((theirs[theirs > start] == MASKED).all())


def test_a_one_sided_tail_is_masked_on_its_side_only() -> None:
    """A single far token on one side makes a skewness beyond 10; then the other tail stays."""
    g = torch.Generator().manual_seed(0)
    U = torch.randn(3000, 16, generator=g)
    w = torch.randn(16, generator=g)
    unit = w / w.norm()
    U[:3] = 60 * unit
    U[3:6] = -7 * unit
    made = VocabularyChannels(1, keep_weights=True, cosine_weight=50.0).fit(torch.stack([w, -w]), U)
    plain = skewness(made.channels_[:, 0] @ U.T)
    assert float(plain[0]) > 10 and float(plain[1]) < -10 and made.pole_[:, 0].tolist() == [1.0, -1.0]
    z = z_scores(made.channels_[0, 0] @ U.T)
    made_low = VocabularyChannels(1, keep_weights=True, cosine_weight=50.0, mask_z=1.5).fit(torch.stack([w, -w]), U)
    assert bool((z[3:6] < 0).all())
    for n in range(2):
        assert bool((made_low.weights_[n, :3] == MASKED).all()) and bool((made_low.weights_[n, 3:6] == 1).all())
        assert set(made.top_[n, 0, :3].tolist()) == {0, 1, 2} and float(made.top_own_z_[n, 0, :3].min()) > 4


def test_both_optimisers_find_the_same_first_channels() -> None:
    p = truth()
    slow = VocabularyChannels(1, optimiser="adamw", rate=8e-3, max_steps=800).fit(p.vectors, p.projection)
    near = (slow.loss_[:, 0] - found().loss_[:, 0]).abs() < 0.02
    assert float(near.float().mean()) >= 0.8
    assert bool((found().loss_[:, 0] < slow.loss_[:, 0] + 0.02).all())
    assert bool((slow.evaluations_ > 5 * found().evaluations_[:, :1]).all())


def test_more_starts_never_end_higher() -> None:
    p = truth()
    one, four = (VocabularyChannels(1, starts=s).fit(p.vectors, p.projection).loss_[:, 0] for s in (1, 4))
    # The first start of four is the one start.
    assert bool((four <= one + 1e-4).all())


def test_progress_runs_from_nought_to_one_and_can_cancel() -> None:
    p = truth()
    said: list[dict[str, Any]] = []
    VocabularyChannels(2).fit(
        p.vectors, p.projection, progress=lambda share, text="", **facts: said.append({"share": share, **facts})
    )
    got = [line["share"] for line in said]
    assert 0 <= min(got) < 0.1 and 0.5 < max(got) <= 1 and got == sorted(got)
    assert {line["channel"] for line in said} == {1, 2} and all(len(line["figures"]) == 3 for line in said)

    def stop(*_line: Any, **_facts: Any) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        VocabularyChannels(2).fit(p.vectors, p.projection, progress=stop)


def test_it_is_an_estimator_and_reads_numpy() -> None:
    p = truth()
    made = clone(VocabularyChannels(2, mask_z=5.0, random_state=7))
    assert made.get_params()["mask_z"] == 5.0 and not hasattr(made, "channels_")
    assert made.fit(p.vectors.numpy(), p.projection.numpy()) is made
    tensors = VocabularyChannels(2, mask_z=5.0, random_state=7).fit(p.vectors, p.projection)
    assert torch.equal(made.channels_, tensors.channels_) and made.top_.shape == (6, 2, 20)


@pytest.mark.parametrize(
    ("settings", "X", "field"),
    [
        ({}, torch.zeros(2, 32), "neuron"),
        ({}, torch.full((1, 32), float("nan")), "neuron"),
        ({}, torch.ones(2, 31), "neuron"),
        ({}, torch.ones(32), "neuron"),
        ({}, torch.ones(0, 32), "neuron"),
        ({"n_channels": 0}, None, "channels"),
        ({"starts": 0}, None, "channels"),
        ({"optimiser": "sgd"}, None, "optimiser"),
        ({"kurtosis_weight": -1.0}, None, "weights"),
        ({"kurtosis_weight": float("nan")}, None, "weights"),
        ({"cosine_weight": 0.0}, None, "weights"),
    ],
)
def test_bad_input_is_refused_in_words(settings: dict[str, Any], X: Tensor | None, field: str) -> None:
    p = truth()
    with pytest.raises(UserError) as refused:
        VocabularyChannels(**settings).fit(p.vectors if X is None else X, np.asarray(p.projection))
    assert refused.value.field == field and refused.value.message.endswith(".")


def test_the_official_recipe_takes_the_largest_unweighted_kurtosis_and_its_masks() -> None:
    """Two rounds, each against the published loop (tests/unit/rotate/test_descent.py) with the masks of the round
    before, from the same starts."""
    p = planted(4, width=12, tokens=200, directions=2, neurons=2)
    U, W = p.projection.double(), p.vectors.double()
    m = torch.ones(200, dtype=torch.float64)
    m[:20] = 1e-4
    manner: dict[str, Any] = {"optimiser": "adamw", "starts": 1, "compatible": True, "mask_z": 2.0}
    made = VocabularyChannels(2, keep_weights=True, rate=0.02, max_steps=150, **manner).fit(W, U, m)
    weights = [m, m]
    for c in range(2):
        for n in range(2):
            start = made._start(n, c, 12)
            kept, _, _ = reference(
                start, W[n : n + 1], U, weights[n], rate=0.02, warm=100, most=150, every=100, compatible=True
            )
            assert torch.allclose(made.channels_[n, c], kept[0], atol=1e-6)
            z = z_scores(U @ kept[0])
            weights[n] = torch.where(z.abs() > 2.0, torch.full_like(m, MASKED), weights[n])
    assert torch.allclose(made.weights_, torch.stack(weights))
