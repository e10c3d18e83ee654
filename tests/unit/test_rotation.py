"""Queries and keys before the rotary embedding, however an architecture rotates and whatever it calls it."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.models.recording import LayerAttention, tapped, with_unrotated
from tests.unit.tiny_models import tiny_model

IDS = torch.randint(3, 96, (2, 24), generator=torch.Generator().manual_seed(1))
MLA = {
    "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 12,
    "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "n_group": 1, "topk_group": 1,
    "first_k_dense_replace": 1, "num_key_value_heads": 6, "n_shared_experts": 1, "num_hidden_layers": 2,
}  # fmt: skip
ROTATING: dict[str, dict[str, Any]] = {
    "llama": {},
    "phi": {"partial_rotary_factor": 0.5},  # a part of each vector, joined to the rest afterwards
    "stablelm": {"partial_rotary_factor": 0.25},
    "gpt_neox": {},
    "phi3": {},
    "glm4": {"head_dim": 8, "partial_rotary_factor": 0.5},  # neighbouring coordinates form the pairs
    "cohere": {},
    "gemma3n_text": {  # queries and keys apart, and later layers take the keys of earlier ones
        "head_dim": 16, "intermediate_size": [64] * 4, "num_kv_shared_layers": 2, "laurel_rank": 8,
        "layer_types": ["sliding_attention", "full_attention"] * 2, "hidden_size_per_layer_input": 16,
        "vocab_size_per_layer_input": 96, "activation_sparsity_pattern": [0.0] * 4, "sliding_window": 8,
    },
    "gemma4_text": {
        "head_dim": 16, "global_head_dim": 32, "hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": 96,
        "sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"] * 2,
    },
    "deepseek_v3": MLA,  # a function of another name
    "deepseek_v2": {**MLA, "topk_method": "greedy", "topk_group": None, "n_group": None},  # complex numbers
    "llama4_text": {
        "head_dim": 16, "intermediate_size_mlp": 64, "num_local_experts": 2, "num_experts_per_tok": 1,
        "attention_chunk_size": 16, "no_rope_layers": [1, 1, 1, 0],
    },
    "smollm3": {"no_rope_layers": [1, 0, 1, 0]},
    "cohere2": {"layer_types": ["sliding_attention", "full_attention"] * 2, "sliding_window": 8},
}  # fmt: skip
STILL = {"smollm3": {1, 3}, "cohere2": {1, 3}, "llama4_text": {3}}
"""Layers without rotation."""


def recorded(model: Any, ids: Tensor, unrotated: bool = True) -> list[LayerAttention]:
    """What every layer hands to its softmax."""
    found: list[LayerAttention] = []
    with torch.no_grad(), tapped(lambda r, _: found.append(r)), with_unrotated(model) if unrotated else nullcontext():
        model.base_model(ids, use_cache=False)
    return found


@pytest.mark.parametrize("name", list(ROTATING))
def test_what_is_before_differs_by_a_rotation_and_knows_no_position(name: str) -> None:
    model = tiny_model(name, **ROTATING[name])
    own = recorded(model, IDS, unrotated=False)
    layers = recorded(model, IDS)
    # Of one token again and again every layer sees the same, so that only a rotation can tell positions apart.
    same = recorded(model, torch.full((1, 12), 17))
    assert [r.layer for r in layers] == [r.layer for r in own] == list(range(len(own)))
    for plain, record, repeated in zip(own, layers, same, strict=True):
        assert torch.equal(plain.queries, record.queries) and torch.equal(plain.keys, record.keys)
        assert torch.equal(plain.values, record.values)
        assert (record.unrotated is None) == (record.layer in STILL.get(name, ()))
        if record.unrotated is None:
            continue
        for before, after in zip(record.unrotated, (record.queries, record.keys), strict=True):
            assert torch.allclose(before.norm(dim=-1), after.norm(dim=-1), rtol=1e-3)
            assert torch.allclose(before[:, :, 0], after[:, :, 0], atol=1e-5)
            assert float((before[:, :, 1:] - after[:, :, 1:]).abs().max()) > 1e-2
        for before, after in zip(repeated.unrotated, (repeated.queries, repeated.keys), strict=True):
            scale = float(after.abs().max())
            assert float((before - before[:, :, :1]).abs().max()) < 1e-4 * scale
            assert float((after - after[:, :, :1]).abs().max()) > 1e-2 * scale


@pytest.mark.parametrize("name", ["llama", "llama-yarn"])
def test_it_is_what_the_rotary_function_is_given(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers.models.llama.modeling_llama as llama

    yarn = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 10000.0, "original_max_position_embeddings": 32}
    model = tiny_model(name, **({"rope_parameters": yarn} if name == "llama-yarn" else {}))
    given, true = [], llama.apply_rotary_pos_emb

    def looked_at(q: Tensor, k: Tensor, *args: Any, **kwargs: Any) -> Any:
        given.append((q, k))
        return true(q, k, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(llama, "apply_rotary_pos_emb", looked_at)
        recorded(model, IDS, unrotated=False)
    for record, (q, k) in zip(recorded(model, IDS), given, strict=True):
        assert torch.allclose(record.unrotated[0], q, atol=1e-5) and torch.allclose(record.unrotated[1], k, atol=1e-5)
        longer = float((record.keys.norm(dim=-1) / k.norm(dim=-1)).mean())
        assert (longer > 1.05) == (name == "llama-yarn")


@pytest.mark.parametrize("name", ["gpt2", "opt", "biogpt"])
def test_nothing_is_before_where_nothing_rotates(name: str) -> None:
    model = tiny_model(name, **({"word_embed_proj_dim": 48} if name == "opt" else {}))
    assert all(r.unrotated is None for r in recorded(model, IDS))


def test_the_whole_model_may_be_called_and_is_left_as_it_was() -> None:
    for name in ("llama", "opt"):  # whose head calls the decoder and not the base model
        model = tiny_model(name, **({"word_embed_proj_dim": 48} if name == "opt" else {}))
        hooks = lambda m=model: sum(len(x._forward_hooks) + len(x._forward_pre_hooks) for x in m.modules())  # noqa: E731
        before, none = model(IDS, use_cache=False).logits, hooks()
        found: list[LayerAttention] = []
        with torch.no_grad(), tapped(lambda r, _, f=found: f.append(r)), with_unrotated(model):  # type: ignore[misc]
            again = [model(IDS, use_cache=False).logits for _ in range(2)]
        assert len(found) == 8 and hooks() == none
        assert all((x - before).abs().max() < 1e-5 for x in again)


def test_a_pass_that_is_cut_off_does_not_disturb_the_next() -> None:
    model = tiny_model("llama")

    def stop(record: LayerAttention, _output: Tensor) -> None:
        if record.layer == 1:
            raise KeyboardInterrupt

    found: list[LayerAttention] = []
    with torch.no_grad(), with_unrotated(model):
        with tapped(stop), pytest.raises(KeyboardInterrupt):
            model(IDS, use_cache=False)
        with tapped(lambda r, _: found.append(r)):
            model(IDS, use_cache=False)
    assert [r.layer for r in found] == [0, 1, 2, 3] and all(r.unrotated is not None for r in found)


def test_a_norm_behind_the_rotation_is_refused_where_it_hides_what_was_before() -> None:
    model = tiny_model("hunyuan_v1_dense", head_dim=8)
    assert all(r.unrotated is not None for r in recorded(model, IDS))  # gains of one take nothing away
    with torch.no_grad():
        for layer in model.base_model.layers:
            layer.self_attn.key_layernorm.weight.copy_(torch.linspace(0.2, 3, 8))
    with pytest.raises(UserError) as refused:
        recorded(model, IDS)
    assert refused.value.field == "rotary" and "after it has rotated" in refused.value.message


def test_a_rotation_of_more_than_queries_and_keys_is_refused() -> None:
    model = tiny_model("llama")
    rotary = model.base_model.rotary_emb

    class Leaking(torch.nn.Module):
        """A layer norm whose gain hangs on the angles: hidden states are others without rotation."""

        def __init__(self, norm: torch.nn.Module) -> None:
            super().__init__()
            self.norm = norm

        def forward(self, x: Tensor) -> Tensor:
            cos, _ = rotary(x, torch.arange(x.shape[1])[None])
            return self.norm(x) * (1 + cos.mean(-1, keepdim=True))

    model.base_model.layers[1].input_layernorm = Leaking(model.base_model.layers[1].input_layernorm)
    with pytest.raises(UserError) as refused:
        recorded(model, IDS)
    assert refused.value.field == "rotary" and "layer 1" in refused.value.message
