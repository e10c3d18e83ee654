"""The toy model of dossier section 2: the acceptance figures of 6.2, and the parts that they rest on."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch

from analysis.answer import extended, from_wire, to_wire
from analysis.errors import Cancelled, UserError
from analysis.qk.answers.validation import ToyPoint, ToyReport, ToySwap, ToyTraining
from analysis.qk.toy import (
    ToySettings,
    TrainedToy,
    accuracy_ceiling,
    sample_batch,
    sample_contrast,
    toy_report,
    train_toy,
)
from analysis.qk.toy.data import draw_embedding, generator_for, latent_codes
from components.kit.view import VIEWS, NoOptions
from components.qk import validation_figures

ENOUGH = 2_000
"""Steps after which all figures stand; the page's own recipe trains twice as long."""
TINY = ToySettings(max_steps=60, check_every=20, check_rows=512, batch=64)


@pytest.fixture(scope="module")
def trained() -> TrainedToy:
    return train_toy(ToySettings(max_steps=ENOUGH))


@pytest.fixture(scope="module")
def report(trained: TrainedToy) -> ToyReport:
    return toy_report(trained)


@pytest.fixture(scope="module")
def swaps(report: ToyReport) -> dict[str, ToySwap]:
    return {row.condition: row for row in report.swaps}


def test_accuracy_reaches_the_ceiling(report: ToyReport) -> None:
    assert report.accuracy == pytest.approx(0.97, abs=0.01)
    assert report.accuracy == pytest.approx(report.ceiling, abs=0.005)


@pytest.mark.parametrize(("latent", "width"), [("z1", 3), ("z2", 5)])
def test_rank_gap_and_closed_form(report: ToyReport, latent: str, width: int) -> None:
    found = report.latents[latent]
    assert found.rank == found.true_rank == width
    assert found.singular_values.shape == (16,)
    assert found.gap >= 100
    assert found.closed_form_error <= 0.03
    assert found.noise_share < 0.01
    assert found.trace == pytest.approx(found.mean_gap, abs=1e-9)
    assert found.trace > 10


def test_swap_of_both_moves_the_attention_and_random_planes_do_not(swaps: dict[str, ToySwap]) -> None:
    both, nothing = swaps["z1+z2"], swaps["none"]
    assert nothing.original > 0.9
    assert nothing.target < 0.01
    assert both.rank == 8
    assert both.target >= 0.9
    assert both.original < 0.01
    assert both.argmax_target >= 0.9
    assert swaps["random, rank of z1"].target <= 0.1
    for name in ("z1", "z2"):
        assert swaps[name].target > swaps[f"random, rank of {name}"].target + 0.05
        assert swaps[name].rank == swaps[f"random, rank of {name}"].rank
    assert 0 < swaps["z1"].original < nothing.original


def test_interaction_is_nearly_diagonal(report: ToyReport) -> None:
    interaction = report.interaction
    matrix = interaction.matrix.astype(np.float64)
    assert matrix.shape == (8, 8)
    assert len(interaction.names) == 8
    share = (np.diag(matrix) ** 2).sum() / (matrix**2).sum()
    assert interaction.diagonal_share == pytest.approx(share, rel=1e-5)
    assert share >= 0.9
    assert (np.diag(matrix) > 1).all()


def test_map_shows_a_cube(report: ToyReport) -> None:
    shown = report.map
    assert shown.points.shape == (3_200, 3)
    assert shown.shares.sum() == pytest.approx(1.0, abs=1e-5)
    assert shown.role.sum() == 1_600
    assert len(shown.edges) == 12
    lengths = [np.linalg.norm(shown.code_means[a] - shown.code_means[b]) for a, b in shown.edges]
    assert min(lengths) > 0.6 * max(lengths)
    codes = shown.code[1_600:].astype(int)
    away = np.linalg.norm(shown.points[1_600:, None] - shown.code_means[None], axis=-1)
    assert (away.argmin(1) == codes).mean() > 0.95


def test_attribution_adds_up(report: ToyReport) -> None:
    split = report.attribution
    assert split.additivity_error < 1e-10
    assert split.target.sum() == pytest.approx(split.target_total, rel=1e-4)
    assert split.others.sum() == pytest.approx(split.others_total, abs=1e-3)
    assert min(split.target[:2]) > 3 * abs(split.target[2])
    assert split.energy_explained > 0.9
    assert abs(split.others_total) < 0.1 * split.target_total


def test_overlap_has_one_cosine_per_shared_rank(report: ToyReport) -> None:
    for side in ("query", "key"):
        cosines = getattr(report.overlap, side)
        assert cosines.shape == (3,)
        assert ((cosines >= 0) & (cosines < 0.9)).all()


def test_an_export_says_the_recipe_and_the_steps(report: ToyReport) -> None:
    toy = extended(ToyTraining, report, curve=(ToyPoint(200, 1.0, 0.5),), recipe="fast")
    views = [view for view in VIEWS.values() if view.draw.__module__ == validation_figures.__name__]
    assert len(views) == 5 and validation_figures.toy_map in views
    for view in views:
        facts = view.draw(toy, NoOptions(), "light").facts
        assert facts == asdict(report.settings) | {"steps": report.steps} == json.loads(json.dumps(facts))
        assert {"noise", "learning_rate", "batch", "max_steps", "patience"} < facts.keys()


def test_report_is_plain_and_seeded(trained: TrainedToy) -> None:
    first, again, other = (toy_report(trained, samples=2_000, swap_rows=400, seed=seed) for seed in (5, 5, 6))
    data, arrays = to_wire(first)
    json.dumps(data, allow_nan=False)
    assert len(arrays) == 12 and all(array.dtype == np.float32 for array in arrays.values())
    assert to_wire(from_wire(ToyReport, data, arrays)) == (data, arrays)
    assert first.swaps == again.swaps
    assert first.swaps != other.swaps
    assert np.array_equal(first.map.points, again.map.points)


@pytest.mark.parametrize(
    "settings",
    [
        ToySettings(n1=1, n2=1, d_head=2, context=4, max_steps=20),
        ToySettings(n1=12, n2=2, d_head=4, max_steps=20),
        ToySettings(task="gaussian", max_steps=20),
    ],
)
def test_report_of_odd_shapes(settings: ToySettings) -> None:
    report = toy_report(train_toy(settings), samples=500, swap_rows=500, random_bases=1)
    assert report.latents["z1"].true_rank == min(settings.n1, settings.d_head)
    assert (report.latents["z1"].gap is None) == (settings.n1 >= settings.d_head)
    assert np.isfinite(report.map.points).all()
    assert (report.ceiling is None) == (settings.task == "gaussian")
    assert 0 < report.swap_rows <= 500


@pytest.mark.slow
@pytest.mark.parametrize("seed", [12])
def test_superposition_loses_ranks(seed: int) -> None:
    trained = train_toy(ToySettings(n1=5, n2=5, d_head=8, seed=seed))
    report = toy_report(trained)
    assert report.accuracy > 0.98
    ranks = [report.latents[latent].rank for latent in ("z1", "z2")]
    assert sum(ranks) <= 8
    assert min(ranks) < 5


@pytest.mark.slow
@pytest.mark.parametrize("seed", [11])
def test_gaussian_task_has_the_same_ranks(seed: int) -> None:
    report = toy_report(train_toy(ToySettings(task="gaussian", seed=seed, max_steps=ENOUGH)))
    assert report.accuracy == pytest.approx(0.88, abs=0.02)
    assert [report.latents[latent].rank for latent in ("z1", "z2")] == [3, 5]
    assert report.map.edges == ()


def test_training_repeats_for_a_seed_and_leaves_the_global_state_alone() -> None:
    state = torch.get_rng_state()
    first, again = train_toy(TINY), train_toy(TINY)
    other = train_toy(ToySettings(**{**TINY.__dict__, "seed": 12}))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first.arrays()[name], again.arrays()[name]) for name in first.arrays())
    assert not torch.equal(first.head.query, other.head.query)
    assert not torch.equal(first.embedding.a1, other.embedding.a1)


def test_progress_gets_plain_facts_and_may_cancel() -> None:
    seen: list[dict[str, Any]] = []
    trained = train_toy(TINY, lambda share, text="", **facts: seen.append({"share": share, **facts}))
    assert [fact["step"] for fact in seen] == [20, 40, 60]
    assert set(seen[0]) == {"share", "step", "loss", "accuracy"}
    assert all(type(value) in (int, float) for fact in seen for value in fact.values())
    assert trained.loss == min(fact["loss"] for fact in seen)

    def stop(share: float | None, text: str = "", **facts: Any) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        train_toy(TINY, stop)


def test_patience_stops_early_and_keeps_the_best_weights() -> None:
    seen: list[dict[str, Any]] = []
    settings = ToySettings(max_steps=400, check_every=20, check_rows=512, batch=16, patience=2, tolerance=10.0)
    trained = train_toy(settings, lambda share, text="", **facts: seen.append(facts))
    assert trained.steps == 60
    assert trained.loss == min(fact["loss"] for fact in seen)


def test_arrays_carry_the_embedding_and_come_back(trained: TrainedToy) -> None:
    back = TrainedToy.from_arrays(trained.settings, trained.arrays(), trained.figures())
    assert all(torch.equal(one, two) for one, two in zip(back.embedding, trained.embedding, strict=True))
    assert all(torch.equal(one, two) for one, two in zip(back.head, trained.head, strict=True))
    assert (back.loss, back.accuracy, back.steps) == (trained.loss, trained.accuracy, trained.steps)
    lacking = {name: tensor for name, tensor in trained.arrays().items() if name != "embedding.b1"}
    with pytest.raises(UserError, match=r"embedding\.b1"):
        TrainedToy.from_arrays(trained.settings, lacking, trained.figures())


def test_attention_is_the_textbook_softmax(trained: TrainedToy) -> None:
    batch = sample_batch(trained.settings, trained.embedding, 64, torch.Generator().manual_seed(0))
    queries, keys = trained.head.queries(batch.query), trained.head.keys(batch.context)
    expected = torch.softmax(torch.einsum("nd,ncd->nc", queries, keys) / math.sqrt(16), dim=-1)
    assert torch.allclose(trained.head.attention(batch.context, batch.query), expected, atol=1e-5)
    values = torch.einsum("nc,ncd->nd", expected, batch.context @ trained.head.value.T)
    logits = trained.head.predict(batch.context, batch.query)
    assert torch.allclose(logits, values @ trained.head.output.T, atol=1e-3)


def test_rows_are_what_they_say() -> None:
    settings = ToySettings(noise=0.0)
    embedding = draw_embedding(settings, generator_for(0, "embedding"))
    batch = sample_batch(settings, embedding, 200, torch.Generator().manual_seed(1))
    line = torch.arange(200)
    one, two = batch.z1[line, batch.place], batch.z2[line, batch.place]
    assert torch.allclose(batch.query, one @ embedding.b1.T + two @ embedding.b2.T, atol=1e-6)
    named = one @ embedding.a1.T + two @ embedding.a2.T + embedding.payload[batch.label]
    assert torch.allclose(batch.context[line, batch.place], named, atol=1e-5)
    assert set(torch.unique(batch.z1).tolist()) == {-1.0, 1.0}
    assert torch.unique(batch.place).numel() == settings.context
    assert torch.unique(batch.label).numel() == settings.classes


@pytest.mark.parametrize("factor", ["z1", "z2", "both"])
def test_contrast_keys_differ_only_in_the_factor(factor: Any) -> None:
    settings = ToySettings(noise=0.0)
    drawn = draw_embedding(settings, generator_for(0, "embedding"))
    embedding = drawn._replace(payload=torch.zeros_like(drawn.payload))
    triples = sample_contrast(settings, embedding, factor, 4_000, torch.Generator().manual_seed(1))
    held = torch.linalg.pinv(torch.cat([embedding.a1, embedding.a2], dim=1))
    asked = torch.linalg.pinv(torch.cat([embedding.b1, embedding.b2], dim=1))
    query, positive, negative = triples.query @ asked.T, triples.positive @ held.T, triples.negative @ held.T
    inside = {"z1": slice(0, 3), "z2": slice(3, 8), "both": slice(0, 8)}[factor]
    outside = [place for place in range(8) if place not in range(8)[inside]]
    assert torch.allclose(positive[:, inside], query[:, inside], atol=1e-3)
    assert torch.allclose(positive[:, outside], negative[:, outside], atol=1e-3)
    agree = (positive[:, inside] * negative[:, inside]).mean(0)
    assert agree.abs().max() < 0.08
    if outside:
        assert (query[:, outside] * positive[:, outside]).mean(0).abs().max() < 0.08


def test_codes_and_ceiling() -> None:
    assert latent_codes(torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])).tolist() == [0, 1, 2, 3]
    assert accuracy_ceiling(ToySettings()) == pytest.approx(0.975, abs=0.002)
    assert accuracy_ceiling(ToySettings(n1=3, n2=3)) == pytest.approx(0.90, abs=0.01)
    assert accuracy_ceiling(ToySettings(n1=5, n2=5)) == pytest.approx(0.993, abs=0.001)
    assert accuracy_ceiling(ToySettings(task="gaussian")) is None


def test_reference_recipe() -> None:
    recipe = ToySettings.reference(n1=5)
    assert (recipe.n1, recipe.learning_rate, recipe.weight_decay, recipe.batch) == (5, 1e-4, 1e-2, 256)
    assert (recipe.max_steps, recipe.check_every, recipe.check_rows, recipe.patience) == (50_000, 200, 20 * 512, 5)
    assert recipe.schedule == "constant"
    with pytest.raises(UserError):
        ToySettings.reference(depth=2)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n1", 0),
        ("n2", 99),
        ("d_head", 1),
        ("seed", -1),
        ("context", 2.5),
        ("max_steps", True),
        ("task", "ternary"),
        ("schedule", "steps"),
        ("noise", float("nan")),
        ("learning_rate", 0.0),
        ("weight_decay", "a lot"),
    ],
)
def test_settings_out_of_range_are_refused(field: str, value: Any) -> None:
    with pytest.raises(UserError) as caught:
        ToySettings(**{field: value})
    assert caught.value.field == field
    assert field in caught.value.message


def test_report_sizes_and_factors_out_of_range_are_refused(trained: TrainedToy) -> None:
    with pytest.raises(UserError) as caught:
        toy_report(trained, samples=3)
    assert caught.value.field == "samples"
    with pytest.raises(UserError):
        sample_contrast(trained.settings, trained.embedding, "z3", 10, torch.Generator())  # type: ignore[arg-type]
