"""What stands before the unembedding: found by what it does, held against the model's own way to the logits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from analysis.models.hooks import hooked
from analysis.models.loaded_model import LoadedModel
from analysis.models.promoted import final_gain, promoted
from analysis.models.readout import readout
from analysis.models.sites import Site
from tests.unit.test_fit import loaded_of
from tests.unit.tiny_models import tiny_model

GEMMA4 = {
    "head_dim": 16, "global_head_dim": 16, "hidden_size_per_layer_input": 16, "vocab_size_per_layer_input": 96,
    "sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"] * 2,
}  # fmt: skip
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "gpt2": ("gpt2", {}),
    "gpt_neox": ("gpt_neox", {}),
    "a module deeper": ("opt", {"word_embed_proj_dim": 48, "ffn_dim": 64}),
    "embeddings narrower than the stream": ("opt", {"word_embed_proj_dim": 32, "ffn_dim": 64}),
    "narrower, and no norm": ("opt", {"word_embed_proj_dim": 32, "ffn_dim": 64, "do_layer_norm_before": False}),
    "another norm after it in the list": ("gemma4_text", GEMMA4),
    "scaled logits": ("granite", {"logits_scaling": 8.0}),
    "scaled logits, norms with mean": ("cohere", {"logit_scale": 0.25}),
    "unembedding with bias": ("phi", {}),
}


def shaken(kind: str, settings: dict[str, Any]) -> LoadedModel:
    """A tiny model whose gains and biases all count."""
    loaded = loaded_of(tiny_model(kind, **settings))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in loaded.model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return loaded


def own_logits(loaded: LoadedModel, v: Tensor) -> Tensor:
    """What the model makes of vectors (M, hidden) as the output of its last block: logits (M, V)."""
    site = Site(loaded.facts.layers - 1)
    with hooked(loaded, {site: lambda x: v[:, None].expand_as(x).to(x)}):
        return loaded.forward(torch.full((len(v), 2), 5), logits=True)[:, -1]


@pytest.mark.parametrize("name", list(MODELS))
def test_the_readout_is_the_models_own_but_for_length_and_bias(name: str) -> None:
    loaded = shaken(*MODELS[name])
    v = torch.randn(6, loaded.facts.hidden, generator=torch.Generator().manual_seed(3))
    v -= v.mean(1, keepdim=True)  # what a norm with a mean would take off
    way = readout(loaded)
    assert way.readable
    own = (own_logits(loaded, v) - own_logits(loaded, -v)) / 2
    cosine = nn.functional.cosine_similarity(own, way.logits(v), dim=-1)
    assert float(cosine.min()) > 0.9999, cosine
    up, *_ = promoted(loaded, Site(loaded.facts.layers - 1), v, 3)
    assert up.tolist() == own.topk(3).indices.tolist()
    assert way.note.startswith("No norm stands") if name == "narrower, and no norm" else way.note == ""


def test_the_gain_is_that_of_the_norm_before_the_unembedding() -> None:
    opt = shaken(*MODELS["a module deeper"])
    assert torch.allclose(final_gain(opt), opt.model.model.decoder.final_layer_norm.weight, atol=1e-3)
    gemma = shaken(*MODELS["another norm after it in the list"])
    assert torch.allclose(final_gain(gemma), gemma.model.model.norm.weight, atol=1e-3)


@pytest.mark.parametrize(("kind", "readable"), [("bert", True), ("electra", False)])
def test_what_is_more_than_norms_and_linear_maps_is_said(kind: str, readable: bool) -> None:
    loaded = shaken(kind, {"embedding_size": 32, "is_decoder": True, "num_hidden_layers": 2})
    way = readout(loaded)
    assert way.readable == readable and "more than norms and linear maps" in way.note
    assert torch.equal(final_gain(loaded), torch.ones(48))
    up, values, *_ = promoted(loaded, Site(1), torch.randn(3, 48), 5)
    assert up.shape == values.shape == (3, 5 if readable else 0)


def test_what_happens_between_the_last_block_and_the_norm_is_said() -> None:
    loaded = shaken("llama", {})
    norm = loaded.model.model.norm

    class Turned(nn.Module):
        """A norm that is handed something else than what the last block gave."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = norm

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x.roll(1, -1).tanh())

    loaded.model.model.norm = Turned()
    assert readout(loaded).note == "What this model does between its last block and that norm is left out."
