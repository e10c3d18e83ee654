"""Tokens that a vector promotes: the model's own norm and unembedding, and one matrix product."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from analysis.models.loaded_model import LoadedModel
from analysis.models.promoted import final_gain, promoted
from analysis.models.sites import Site
from tests.unit.test_fit import loaded_tiny

NORMS = {"llama": "norm", "gemma2": "norm", "gemma3_text": "norm", "gpt2": "ln_f", "gpt_neox": "final_layer_norm"}


def shaken(name: str, seed: int) -> LoadedModel:
    """A tiny model whose norms are not all ones."""
    loaded = loaded_tiny.__wrapped__(name)  # one of its own, not the shared one
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in loaded.model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return loaded


@pytest.mark.parametrize("name", list(NORMS))
def test_the_gain_is_the_weight_of_the_last_norm(name: str) -> None:
    loaded = shaken(name, 1)
    weight: Tensor = getattr(loaded.model.base_model, NORMS[name]).weight
    # Gemma stores its gain minus one.
    expected = weight + 1 if name.startswith("gemma") else weight
    assert torch.allclose(final_gain(loaded), expected, atol=1e-4) and float(expected.std()) > 0.2


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
def test_promoted_tokens_are_those_of_a_plain_product(name: str) -> None:
    loaded = shaken(name, 2)
    vectors = torch.randn(300, loaded.facts.hidden, generator=torch.Generator().manual_seed(3))
    weight: Tensor = getattr(loaded.model.base_model, NORMS[name]).weight
    gain = weight + 1 if name.startswith("gemma") else weight
    unembedding: Tensor = loaded.model.get_output_embeddings().weight
    up, up_logits, down, down_logits = promoted(loaded, Site(1), vectors, 5)
    assert up.shape == down.shape == (300, 5) and up.dtype == torch.int32
    for n in (0, 1, 255, 256, 299):  # on both sides of the blocks in which vectors go through
        logits = torch.stack([(row.double() * gain.double() * vectors[n].double()).sum() for row in unembedding])
        order = logits.argsort(descending=True)
        assert up[n].tolist() == order[:5].tolist() and down[n].tolist() == order.flip(0)[:5].tolist()
        assert torch.allclose(up_logits[n].double(), logits[order[:5]], atol=1e-4)
        assert torch.allclose(down_logits[n].double(), logits[order.flip(0)[:5]], atol=1e-4)


def test_the_direction_ranks_as_the_model_itself_does_after_the_last_block() -> None:
    loaded = shaken("llama", 4)
    v = torch.randn(1, loaded.facts.hidden, generator=torch.Generator().manual_seed(5))
    logits = loaded.model.get_output_embeddings()(loaded.model.base_model.norm(v))[0]
    up, *_ = promoted(loaded, Site(3), v, 96)
    assert up[0].tolist() == logits.argsort(descending=True).tolist()


def test_a_vector_before_a_projection_is_taken_through_it_without_its_bias() -> None:
    loaded = shaken("gpt2", 6)  # whose projections have a bias
    mlp = loaded.model.base_model.h[2].mlp
    hidden = torch.randn(4, mlp.c_proj.weight.shape[0], generator=torch.Generator().manual_seed(7))
    assert float(mlp.c_proj.bias.abs().max()) > 0.1
    direct = promoted(loaded, Site(2), hidden @ mlp.c_proj.weight, 8)
    through = promoted(loaded, Site(2, "mlp_hidden"), hidden, 8)
    assert torch.equal(through[0], direct[0]) and torch.allclose(through[1], direct[1], atol=1e-3)


def test_turning_a_vector_round_swaps_the_two_lists() -> None:
    loaded = loaded_tiny("llama")
    v = torch.randn(3, loaded.facts.hidden, generator=torch.Generator().manual_seed(8))
    up, up_logits, down, down_logits = promoted(loaded, Site(0), v, 7)
    other = promoted(loaded, Site(0), -v, 7)
    assert torch.equal(other[2], up) and torch.allclose(other[3], -up_logits)
    assert torch.equal(other[0], down) and torch.allclose(other[1], -down_logits)
