"""Shared neurons against sets, and their effects against a model whose activations are changed by hand."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.models.facts import describe
from analysis.models.loaded_model import LoadedModel
from analysis.models.promoted import promoted
from analysis.models.sites import Site
from analysis.models.spec import ModelSpec
from analysis.snmf.library import Factorization, Level
from analysis.snmf.overlap import (
    NEUTRAL,
    core_and_own,
    direct_effects,
    measured_effects,
    overlap_of,
    parts_of,
    related_pairs,
    shared_counts,
)
from tests.unit.test_contrasts import _byte_level
from tests.unit.tiny_models import tiny_model

WIDTH, LAYER = 64, 1


def days() -> Tensor:
    """Five features: three with a common core of four neurons and two of their own, one with half of it, one apart."""
    rows = torch.zeros(5, WIDTH)
    for k in range(3):
        rows[k, :4] = torch.tensor([1.0, -1.0, 0.5, 0.7])
        rows[k, 10 + 2 * k : 12 + 2 * k] = torch.tensor([0.9, -0.4])
    rows[3, :2], rows[3, 30:33] = torch.tensor([-1.0, 1.0]), 0.3
    rows[4, 50:54] = 0.5
    return rows / rows.norm(dim=1, keepdim=True)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    tokenizer = _byte_level()
    model = tiny_model("llama", vocab_size=4000, max_position_embeddings=256)
    ids = torch.tensor([tokenizer("the lamp is kept in Box A")["input_ids"]])
    spec = ModelSpec("default")
    return LoadedModel(model, tokenizer, spec, describe(model, ids, tokenizer, spec, ""))


def test_core_and_own_neurons_are_those_of_sets() -> None:
    generator = torch.Generator().manual_seed(0)
    for count in (2, 3, 5, 8):
        rows = torch.randn(count, 20, generator=generator) * (torch.rand(count, 20, generator=generator) < 0.5)
        kept = [set(row.nonzero()[:, 0].tolist()) for row in rows]
        core, own = core_and_own(rows)
        least = max(2, (count + 1) // 2)
        assert core == [i for i in range(20) if sum(i in k for k in kept) >= least]
        for k, mine in enumerate(own):
            others = set().union(*(s for j, s in enumerate(kept) if j != k))
            assert set(mine) == kept[k] - others
        shared = shared_counts(rows)
        for i, j in itertools.product(range(count), repeat=2):
            assert int(shared[i, j]) == len(kept[i] & kept[j])
    core, own = core_and_own(days()[:3])
    assert core == [0, 1, 2, 3] and own == [[10, 11], [12, 13], [14, 15]]


def test_related_pairs_share_most() -> None:
    found = related_pairs(days(), 4)
    assert {(a, b) for a, b, _ in found[:3]} == {(0, 1), (0, 2), (1, 2)} and found[3][2] == 2 and found[3][1] == 3
    assert [n for *_, n in found] == [4, 4, 4, 2]
    assert related_pairs(days()[3:]) == []


def test_parts_keep_the_weights_of_their_features() -> None:
    rows, scale = days()[:3], torch.tensor([1.0, 2.0, 4.0])
    parts = parts_of(rows, scale)
    assert parts.shape == (4, WIDTH)
    assert torch.allclose(parts[0, :4], (rows[:, :4] * scale[:, None]).mean(0)) and not parts[0, 4:].any()
    for k in range(3):
        own = slice(10 + 2 * k, 12 + 2 * k)
        assert torch.allclose(parts[k + 1, own], rows[k, own] * scale[k]) and int((parts[k + 1] != 0).sum()) == 2
    # With one scale and equal cores, core and own part make up the feature.
    same = parts_of(rows, torch.ones(3))
    assert torch.allclose(same[0] + same[2], rows[1], atol=1e-6)
    opposed = parts_of(torch.stack([days()[0], -days()[0]]), torch.ones(2))
    assert not opposed.any()  # weights of opposite signs cancel in the core, and nothing is left of their own


@torch.no_grad()
def test_effects_are_those_of_a_pass_changed_by_hand(loaded: LoadedModel) -> None:
    parts = parts_of(days()[:2], torch.tensor([0.2, 0.3]))
    found = measured_effects(loaded, Site(LAYER, "mlp_hidden"), parts)
    wanted = torch.zeros(len(parts), 4000, dtype=torch.float64)
    texts = [list(loaded.tokenizer(text)["input_ids"]) for text in NEUTRAL]
    for text in texts:
        ids = torch.tensor([text[-min(map(len, texts)) :]])
        base = loaded.model(ids).logits[0, -1].double()
        for row, part in enumerate(parts):

            def add(_module: Any, args: tuple[Tensor, ...], part: Tensor = part) -> tuple[Tensor]:
                changed = args[0].clone()
                changed[0, -1] += part
                return (changed,)

            handle = loaded.model.model.layers[LAYER].mlp.down_proj.register_forward_pre_hook(add)
            wanted[row] += (loaded.model(ids).logits[0, -1].double() - base) / len(NEUTRAL)
            handle.remove()
    wanted -= wanted.mean(1, keepdim=True)
    assert wanted.abs().max() > 1e-3
    assert torch.allclose(found.double(), wanted, atol=1e-5 + 1e-3 * float(wanted.abs().max()))


def test_direct_effects_rank_tokens_as_the_unembedding_does(loaded: LoadedModel) -> None:
    for kind, width in (("mlp_hidden", WIDTH), ("residual", 48)):
        site = Site(LAYER, kind)
        vectors = torch.randn(3, width, generator=torch.Generator().manual_seed(1))
        found = direct_effects(loaded, site, vectors)
        ids, value, _, _ = promoted(loaded, site, vectors, 5)
        assert torch.equal(found.topk(5, 1).indices.int(), ids)
        gap = found.gather(1, ids.long()) - value
        assert torch.allclose(gap, gap[:, :1].expand(-1, 5), atol=1e-4)  # all that is taken off is a constant
        assert torch.allclose(found.mean(1), torch.zeros(3), atol=1e-4)


def fit() -> Factorization:
    rows = [{"feature": k, "label": f"day {k}"} for k in range(5)]
    plus = torch.arange(100).reshape(5, 20).int() + 300
    plus[1, 0] = plus[0, 0]  # one token that two features promote
    arrays = {"scale": torch.ones(5), "plus": plus}
    manifest = {"rows": rows, "layer": LAYER, "site": "mlp_hidden"}
    return Factorization("x", [Level(days())], arrays, manifest)


def test_the_page_gets_core_own_and_effects(loaded: LoadedModel) -> None:
    overlap = overlap_of(loaded, fit(), (0, 2, 1))
    assert overlap.core == (0, 1, 2, 3) and overlap.exclusive == ((10, 11), (14, 15), (12, 13))
    assert overlap.axes.rows == ("core", "only day 0", "only day 2", "only day 1")
    ids = list(overlap.axes.ids)
    assert len(set(ids)) == len(ids) == 8 == len(overlap.axes.columns)
    assert overlap.effects.shape == overlap.direct.shape == (4, 8)
    assert overlap.shared.tolist() == [[6, 4, 4], [4, 6, 4], [4, 4, 6]]
    assert overlap.related[0].shared == 4 and len(overlap.related) == 6
    whole = measured_effects(loaded, Site(LAYER, "mlp_hidden"), parts_of(days()[[0, 2, 1]], torch.ones(3)))
    assert np.allclose(overlap.effects, whole[:, ids].numpy(), atol=1e-6)
    opposed = overlap_of(loaded, fit(), (0, 3))
    assert opposed.core == (0, 1) and "opposite signs" in opposed.sentence


@pytest.mark.parametrize("features", [(0,), (0, 0), tuple(range(9)), (0, 5), (0, -1)])
def test_features_that_cannot_be_compared_are_refused(loaded: LoadedModel, features: tuple[int, ...]) -> None:
    with pytest.raises(UserError):
        overlap_of(loaded, fit(), features)
