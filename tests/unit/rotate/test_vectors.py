"""Weight vectors against what the model itself computes from them, in every architecture that has an MLP of neurons."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.models.hooks import hooked, layout
from analysis.models.loaded_model import LoadedModel
from analysis.models.sites import Site
from analysis.rotate.vectors import GATED, PLAIN, NeuronVectors
from tests.unit.test_activations import Tokenizer
from tests.unit.test_fit import loaded_tiny
from tests.unit.tiny_models import ARCHITECTURES

IDS = torch.randint(3, 96, (2, 7), generator=torch.Generator().manual_seed(1))
PLAINS = ("gpt2", "gpt_neox")
NAMES = sorted(set(ARCHITECTURES) - {"gpt_oss"})


class Sized(Tokenizer):
    """The common tokenizer, with a size: two rows fewer than the tables have."""

    all_special_ids = (0, 1, 2)

    def __len__(self) -> int:
        return 94


@cache
def loaded(name: str) -> LoadedModel:
    return replace(loaded_tiny(name), tokenizer=Sized(False))  # type: ignore[arg-type]


@cache
def read(name: str) -> NeuronVectors:
    return NeuronVectors(loaded(name))


def mlp_input(model: LoadedModel, layer: int, module: torch.nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """What a projection reads, the neurons' activations and the MLP's output, on the test's tokens."""
    seen: dict[str, Tensor] = {}
    handle = module.register_forward_pre_hook(lambda _m, args: seen.update(x=args[0]))
    keep: dict[Site, Any] = {
        Site(layer, "mlp_hidden"): lambda h: seen.update(h=h),
        Site(layer, "mlp_output"): lambda y: seen.update(y=y),
    }
    try:
        with hooked(model, keep):
            model.forward(IDS)
    finally:
        handle.remove()
    return seen["x"], seen["h"], seen["y"]


@pytest.mark.parametrize("name", NAMES)
def test_the_model_computes_with_these_vectors(name: str) -> None:
    v, model = read(name), loaded(name)
    layer = 2
    kinds = PLAIN if name in PLAINS else GATED
    assert v.kinds == kinds and v.layers == [0, 1, 2, 3] and v.neurons == v.place(layer, "down").count
    module = v.place(layer, kinds[0]).module
    x, h, y = mlp_input(model, layer, module)
    act = _activation(model)
    if kinds == GATED:
        expected = act(x @ v.vectors(layer, "gate").T) * (x @ v.vectors(layer, "up").T)
    else:
        expected = act(x @ v.vectors(layer, "in").T + module.bias)
    assert torch.allclose(h, expected, atol=1e-4, rtol=1e-4)
    down = v.place(layer, "down").module
    bias = getattr(down, "bias", None)
    written = h @ v.vectors(layer, "down") + (0 if bias is None else bias)
    assert torch.allclose(y, written, atol=1e-4, rtol=1e-4)


def _activation(model: LoadedModel) -> Any:
    from transformers.activations import ACT2FN

    config: Any = model.model.config
    names = ("hidden_activation", "hidden_act", "activation_function")
    return ACT2FN[next(n for name in names if (n := getattr(config, name, None)))]


@pytest.mark.parametrize("name", ["llama", "gpt2", "phi3"])
def test_places_are_views_of_the_weights(name: str) -> None:
    v = read(name)
    for kind in v.kinds:
        place = v.place(1, kind)
        weight: Any = place.module.weight
        assert place.matrix().untyped_storage().data_ptr() == weight.untyped_storage().data_ptr()
        assert torch.equal(v.read(1, kind, 5), v.vectors(1, kind)[5]) and v.vectors(1, kind).shape == (v.neurons, 48)
    assert len({v.read(1, kind, 0).sum().item() for kind in v.kinds}) == len(v.kinds)


def test_projection_has_a_row_for_each_token_that_can_be_typed() -> None:
    v = read("llama")
    model: Any = loaded("llama").model
    assert not v.tied and v.projection(3).shape == (94, 48)
    assert torch.equal(v.projection(3), model.get_output_embeddings().weight[:94])
    assert torch.equal(v.projection(0), model.get_input_embeddings().weight[:94])
    # Three eighths of four blocks: 0 and 1, as 0 to 12 of 32.
    assert [v.uses_embedding(layer) for layer in v.layers] == [True, True, False, False]
    assert "up to block 1" in v.said()
    tied = read("gpt2")
    assert tied.tied and not tied.uses_embedding(0) and torch.equal(tied.projection(0), tied.projection(3))


def test_experts_have_no_neurons_of_their_own() -> None:
    with pytest.raises(UserError) as refused:
        NeuronVectors(replace(loaded_tiny("gpt_oss"), tokenizer=Sized(False)))  # type: ignore[arg-type]
    assert refused.value.field == "model" and "experts" in refused.value.message


@pytest.mark.parametrize(
    ("name", "asked", "field", "said"),
    [
        ("llama", (0, "in", 0), "vector", "gate, up, down"),
        ("gpt2", (0, "gate", 0), "vector", "plain"),
        ("llama", (4, "down", 0), "layer", "0 to 3"),
        ("llama", (0, "down", 64), "neuron", "0 to 63"),
        ("llama", (0, "down", -1), "neuron", "0 to 63"),
    ],
)
def test_what_is_not_there_is_said(name: str, asked: tuple[int, str, int], field: str, said: str) -> None:
    with pytest.raises(UserError) as refused:
        read(name).read(*asked)
    assert refused.value.field == field and said in refused.value.message


def test_finding_the_vectors_leaves_no_hooks_behind() -> None:
    model = loaded("llama")

    def hooks() -> int:
        modules = [m for block in layout(model).blocks for m in block.modules()]
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules)

    before = hooks()
    NeuronVectors(model)
    assert hooks() == before
