"""For every supported architecture: what is recorded reproduces what the model itself attends to."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from analysis.models.capabilities import capability, recorded_attention
from analysis.models.facts import describe, recording_error
from analysis.models.hooks import available_sites
from analysis.models.loaded_model import LoadedModel
from analysis.models.recording import LayerAttention, tapped, with_unrotated
from analysis.models.spec import ModelSpec
from tests.unit.tiny_models import ARCHITECTURES, tiny_model

IDS = torch.randint(3, 96, (2, 24), generator=torch.Generator().manual_seed(1))
NAMES = sorted(ARCHITECTURES)


def record(model, ids, mask=None, unrotated=False):
    layers: dict[int, LayerAttention] = {}

    def keep(layer, _output):
        layers[layer.layer] = layer

    with torch.inference_mode(), tapped(keep):
        if unrotated:
            with with_unrotated(model):
                model(ids, attention_mask=mask, use_cache=False)
        else:
            model(ids, attention_mask=mask, use_cache=False)
    return layers


@pytest.mark.parametrize("name", NAMES)
def test_recorded_queries_and_keys_reproduce_the_models_own_attention(name):
    model = tiny_model(name)
    assert recording_error(model, IDS) < 1e-4
    own = tiny_model(name, "eager")(IDS, use_cache=False, output_attentions=True).attentions
    layers = record(model, IDS)
    assert sorted(layers) == list(range(model.config.num_hidden_layers)) and len(own) == len(layers)
    for index, attention in enumerate(own):
        assert (layers[index].weights() - attention).abs().max() < 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_padding_does_not_change_what_is_recorded(name):
    model = tiny_model(name)
    mask = torch.ones_like(IDS)
    mask[0, 17:] = 0
    padded = record(model, IDS, mask)
    alone = record(model, IDS[:1, :17])
    for index, layer in alone.items():
        assert (padded[index].weights()[:1, :, :17, :17] - layer.weights()).abs().max() < 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_logits_equal_those_of_the_eager_model(name):
    ours = tiny_model(name)(IDS, use_cache=False).logits
    assert (ours - tiny_model(name, "eager")(IDS, use_cache=False).logits).abs().max() < 1e-4


def test_the_sliding_window_hides_keys():
    layers = record(tiny_model("mistral"), IDS)
    visible = layers[0].visible()[0, 0]
    assert visible.sum(-1).tolist() == [min(i + 1, 5) for i in range(24)]


def test_the_soft_cap_matters_and_is_reproduced():
    model = tiny_model("gemma2")
    layer = record(model, IDS)[1]
    assert layer.softcap == 2.0
    uncapped = torch.softmax((layer.raw_logits() * layer.scaling).masked_fill(~layer.visible(), -torch.inf), -1)
    assert (layer.weights() - uncapped).abs().max() > 1e-2


def test_grouped_keys_are_shared_by_consecutive_heads():
    layer = record(tiny_model("llama"), IDS)[0]
    assert layer.group == 3
    by_hand = layer.queries[0, 4, 7] @ layer.keys[0, 1, 3]
    assert torch.isclose(layer.raw_logits()[0, 4, 7, 3], by_hand, atol=1e-5)


@pytest.mark.parametrize("name", ["llama", "gpt_neox", "phi3"])
def test_rotation_keeps_norms_and_leaves_position_zero_alone(name):
    layer = record(tiny_model(name), IDS, unrotated=True)[2]
    before_q, before_k = layer.unrotated
    assert torch.allclose(before_q.norm(dim=-1), layer.queries.norm(dim=-1), atol=1e-4)
    assert torch.allclose(before_k[:, :, 0], layer.keys[:, :, 0], atol=1e-5)
    assert (before_k[:, :, 5] - layer.keys[:, :, 5]).abs().max() > 1e-2


def test_the_rotary_function_is_put_back():
    import transformers.models.llama.modeling_llama as llama

    before = llama.apply_rotary_pos_emb
    record(tiny_model("llama"), IDS, unrotated=True)
    assert llama.apply_rotary_pos_emb is before


def test_an_edit_changes_the_pass_and_leaves_nothing_behind():
    model = tiny_model("qwen3")
    before = model(IDS, use_cache=False).logits

    def zero_one_head(layer, output):
        if layer.layer != 1:
            return None
        output = output.clone()
        output[:, :, 2] = 0
        return output

    with tapped(zero_one_head):
        edited = model(IDS, use_cache=False).logits
    assert (edited - before).abs().max() > 1e-3
    assert torch.equal(model(IDS, use_cache=False).logits, before)


def test_a_layer_that_does_not_report_is_named():
    model = tiny_model("gpt2", reorder_and_upcast_attn=True)
    facts = describe(model, IDS[:1], None, ModelSpec("default"), "")
    assert facts.missing_layers or (facts.recording_error or 0.0) < 1e-4
    if facts.missing_layers:
        assert facts.recording_error is None


def test_facts_come_from_what_was_seen():
    facts = describe(tiny_model("gemma2"), IDS[:1], None, ModelSpec("default"), "")
    assert (facts.layers, facts.heads, facts.key_heads, facts.head_width) == (4, 6, 2, 16)
    assert facts.softcap == 2.0 and facts.sliding_windows == [5] and not facts.missing_layers


@pytest.mark.parametrize(
    ("kind", "layers"), [("gptj", "n_layer"), ("gpt_neo", "num_layers"), ("mamba", "num_hidden_layers")]
)
def test_a_model_whose_attention_cannot_be_recorded_is_described_and_says_so(kind, layers):
    sizes = {"gptj": {"n_embd": 48, "n_head": 4, "rotary_dim": 4}}.get(kind, {"hidden_size": 48})
    more = {"gpt_neo": {"num_heads": 4, "attention_types": [[["global", "local"], 1]]}}.get(kind, {})
    config = CONFIG_MAPPING[kind](vocab_size=96, **{layers: 2}, **sizes, **more)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    facts = describe(model, torch.arange(1, 20)[None], None, ModelSpec(), "")
    assert facts.attention_layers == [] and facts.layers == 2 and facts.recording_error is None
    loaded = LoadedModel(model, None, ModelSpec(), facts)
    attention = recorded_attention(loaded.facts)
    assert not attention.works and "attention" in attention.reason
    assert capability("residual stream", loaded.facts).works
    assert available_sites(loaded)["residual"] == [0, 1]
