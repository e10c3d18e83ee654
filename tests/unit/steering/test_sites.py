"""Sites as data, hooks on every architecture, and what a capture hands over."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from analysis.errors import UserError
from analysis.models.capture import capture
from analysis.models.hooks import available_sites, hooked, layout, place_of, site_width
from analysis.models.loaded_model import LoadedModel
from analysis.models.recording import IMPLEMENTATION
from analysis.models.sites import KINDS, Site
from analysis.models.spec import ModelSpec
from tests.unit.test_fit import loaded_tiny
from tests.unit.tiny_models import ARCHITECTURES

IDS = torch.randint(3, 96, (2, 9), generator=torch.Generator().manual_seed(3))
NAMES = sorted(ARCHITECTURES)


def loaded_other(kind: str, **settings: Any) -> LoadedModel:
    """A tiny random model of an architecture that the common list does not have."""
    torch.manual_seed(3)
    config = CONFIG_MAPPING[kind](vocab_size=96, hidden_size=48, num_attention_heads=6, **settings)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=IMPLEMENTATION, dtype=torch.float32)
    model.eval().requires_grad_(False)
    # Only what hooks look at; the loader describes models with attention.
    facts: Any = SimpleNamespace(
        layers=config.num_hidden_layers,
        hidden=48,
        vocabulary=96,
        architecture=type(model).__name__,
        embeddings=96,
        max_positions=0,
    )
    tokenizer: Any = None
    return LoadedModel(model, tokenizer, ModelSpec("default"), facts)


def own_tiny(name: str) -> LoadedModel:
    """A tiny model that a test may change: the common one is shared by all tests. It writes no end token."""
    shared = loaded_tiny(name)
    model = deepcopy(shared.model)
    model.generation_config.eos_token_id = model.config.eos_token_id = None  # type: ignore[union-attr]
    return replace(shared, model=model, extras={})


def read(loaded: LoadedModel, *sites: Site) -> dict[Site, Tensor]:
    found: dict[Site, Tensor] = {}
    with hooked(loaded, {s: lambda x, s=s: found.__setitem__(s, x.clone()) for s in sites}):  # type: ignore[misc]
        loaded.forward(IDS)
    return found


def hook_count(loaded: LoadedModel) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in loaded.model.modules())


def test_a_site_is_plain_data_and_refuses_what_it_is_not() -> None:
    site = Site(10, "mlp_hidden")
    assert Site.from_dict(site.to_dict()) == site and Site.from_dict({"layer": 3}) == Site(3, "residual")
    assert Site(10).label == "residual stream after block 10"
    shuffled = [Site(4), Site(3, "mlp_output"), Site(4, "mlp_hidden"), Site(3)]
    assert sorted(shuffled, key=lambda s: s.order) == [
        Site(3, "mlp_output"),
        Site(3),
        Site(4, "mlp_hidden"),
        Site(4),
    ]
    for layer, kind in ((-1, "residual"), (True, "residual"), (1.0, "residual"), ("2", "residual"), (1, "attention")):
        with pytest.raises(UserError) as error:
            Site(layer, kind)  # type: ignore[arg-type]
        assert error.value.field == "site"
    for data in (None, [], {}, {"kind": "residual"}, {"layer": 1, "head": 2}):
        with pytest.raises(UserError):
            Site.from_dict(data)


@pytest.mark.parametrize("name", NAMES)
def test_the_residual_stream_is_what_the_model_itself_reports(name: str) -> None:
    loaded = loaded_tiny(name)
    hidden = loaded.model(IDS, use_cache=False, output_hidden_states=True).hidden_states
    assert available_sites(loaded)["residual"] == [0, 1, 2, 3]
    found = read(loaded, *(Site(n) for n in range(3)))
    for layer in range(3):  # the model reports the last one after its final norm only
        assert torch.equal(found[Site(layer)], hidden[layer + 1])


@pytest.mark.parametrize("name", NAMES)
def test_the_mlp_is_found_and_its_projection_explains_its_output(name: str) -> None:
    loaded = loaded_tiny(name)
    sites = available_sites(loaded)
    assert sites["mlp_output"] == [0, 1, 2, 3]
    if name == "gpt_oss":  # experts: no projection alone makes the output
        assert "mlp_hidden" not in sites
        return
    hidden, output = Site(2, "mlp_hidden"), Site(2, "mlp_output")
    assert site_width(loaded, hidden) == (192 if name == "gpt2" else 64) and site_width(loaded, output) == 48
    found = read(loaded, hidden, output)
    projection: Any = place_of(loaded, hidden).module
    weight = projection.weight if name == "gpt2" else projection.weight.T
    bias = 0 if projection.bias is None else projection.bias
    assert torch.allclose(found[hidden] @ weight + bias, found[output], atol=1e-4)


@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen2"])
def test_the_mlp_output_is_what_the_block_adds_last(name: str) -> None:
    loaded = loaded_tiny(name)
    plain = read(loaded, Site(1), Site(1, "mlp_output"))
    with hooked(loaded, {Site(1, "mlp_output"): torch.zeros_like}):
        without = read(loaded, Site(1))
    assert torch.allclose(plain[Site(1)] - without[Site(1)], plain[Site(1, "mlp_output")], atol=1e-4)


def test_other_layouts_flat_blocks_residual_inside_the_mlp_and_no_mlp() -> None:
    flat = loaded_other("opt", ffn_dim=64, word_embed_proj_dim=48, num_hidden_layers=3, max_position_embeddings=128)
    found = read(flat, Site(1, "mlp_hidden"), Site(1, "mlp_output"))
    assert found[Site(1, "mlp_hidden")].shape == (2, 9, 64) and found[Site(1, "mlp_output")].shape == (2, 9, 48)
    before = flat.forward(IDS, logits=True)
    with hooked(flat, {Site(1, "mlp_hidden"): lambda x: x * 2}):
        assert not torch.allclose(flat.forward(IDS, logits=True), before)
    bloom = loaded_other("bloom", n_layer=3, n_head=6)
    found = read(bloom, Site(1, "mlp_hidden"), Site(1, "mlp_output"), Site(1))
    assert found[Site(1, "mlp_hidden")].shape == (2, 9, 192)
    # The module adds the residual stream itself; the site is what it adds to it.
    assert not torch.allclose(found[Site(1, "mlp_output")], found[Site(1)], atol=1e-3)
    mamba = loaded_other("mamba", num_hidden_layers=3, state_size=4)
    assert available_sites(mamba) == {"residual": [0, 1, 2]}
    with pytest.raises(UserError, match="cannot be reached"):
        site_width(mamba, Site(1, "mlp_hidden"))


def test_hooks_run_in_the_order_given_nest_and_leave_nothing() -> None:
    loaded = loaded_tiny("llama")
    layout(loaded)
    count, before = hook_count(loaded), loaded.forward(IDS, logits=True)
    seen: list[Tensor] = []

    def keep(x: Tensor) -> None:
        seen.append(x.clone())

    double, plus = (lambda x: x * 2), (lambda x: x + 1)
    with hooked(loaded, {Site(1): [keep, double, plus]}), hooked(loaded, {Site(1): keep}):
        loaded.forward(IDS)
    assert torch.equal(seen[1], seen[0] * 2 + 1)
    with pytest.raises(RuntimeError, match="inside"), hooked(loaded, {Site(1): double, Site(2, "mlp_hidden"): plus}):
        assert hook_count(loaded) == count + 2
        raise RuntimeError("inside")
    assert hook_count(loaded) == count and torch.equal(loaded.forward(IDS, logits=True), before)


def test_what_a_model_does_not_have_is_refused_in_words() -> None:
    loaded = loaded_tiny("gpt_oss")
    count = hook_count(loaded)
    for site, field, words in (
        (Site(4), "layer", "blocks 0 to 3"),
        (Site(1, "mlp_hidden"), "site", "Choose the residual stream"),
    ):
        with pytest.raises(UserError, match=words) as error, hooked(loaded, {Site(0): torch.neg, site: torch.neg}):
            raise AssertionError("a hook was installed")
        assert error.value.field == field
    assert hook_count(loaded) == count
    assert set(available_sites(loaded)) < set(KINDS)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2"])
def test_a_capture_equals_reading_each_text_alone(name: str) -> None:
    loaded = loaded_tiny(name)
    rows = [IDS[0, :5].tolist(), IDS[1, :9].tolist(), IDS[0, :2].tolist(), IDS[1, 2:9].tolist()]
    sites = [Site(2), Site(1, "mlp_hidden")]
    (found,) = capture(loaded, [([7, 3, 9, 7], rows)], sites, norm_guard=None)
    assert found.tokens.tolist() == [t for row in rows for t in row[2:]]
    assert found.documents.tolist() == [7] * 3 + [3] * 7 + [7] * 5
    assert found.positions.tolist() == [2, 3, 4, *range(2, 9), *range(2, 7)]
    assert found.tokens.dtype == found.documents.dtype == found.positions.dtype == torch.int32 and found.dropped == 0
    for site in sites:
        alone = []
        for row in rows:
            kept: list[Tensor] = []
            with hooked(loaded, {site: lambda x, kept=kept: kept.append(x[0, 2:].clone())}):  # type: ignore[misc]
                loaded.forward(torch.tensor([row]))
            alone += kept
        assert torch.allclose(found.activations[site], torch.cat(alone), atol=2e-4)


def test_a_capture_drops_outliers_at_all_sites_and_counts_them() -> None:
    loaded = loaded_tiny("llama")
    sites = [Site(0), Site(2)]
    batch = ([0, 1], IDS.tolist())

    def spike(x: Tensor) -> Tensor:
        x = x.clone()
        x[1, 4] *= 1000
        return x

    (every,) = capture(loaded, [batch], sites)
    with hooked(loaded, {Site(0): spike}):
        (found,) = capture(loaded, [batch], sites)
        (unguarded,) = capture(loaded, [batch], sites, norm_guard=0)
    assert every.dropped == 0 and found.dropped == 1 and len(found.tokens) == len(every.tokens) - 1
    assert len(unguarded.tokens) == len(every.tokens) and unguarded.dropped == 0
    assert (1, 4) not in set(zip(found.documents.tolist(), found.positions.tolist(), strict=True))
    assert all(len(a) == len(found.tokens) for a in found.activations.values())


def test_a_capture_runs_no_block_behind_the_last_site_and_leaves_no_hook() -> None:
    loaded = loaded_tiny("llama")
    count = hook_count(loaded)
    ran: list[int] = []
    handles = [b.register_forward_pre_hook(lambda *_, n=n: ran.append(n)) for n, b in enumerate(layout(loaded).blocks)]
    (found,) = capture(loaded, [([0, 1], IDS.tolist())], [Site(1), Site(0)])
    for handle in handles:
        handle.remove()
    assert ran == [0, 1] and set(found.activations) == {Site(0), Site(1)}
    assert hook_count(loaded) == count
    assert list(capture(loaded, [([0], [[5, 6]])], [Site(1)])) == []
    with pytest.raises(UserError, match="blocks 0 to 3"):
        list(capture(loaded, [], [Site(9)]))
