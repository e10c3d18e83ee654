"""Models that carry a state, whole or in part, and models with keys and values: what is written equals whole passes."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from analysis.errors import UserError
from analysis.faithfulness.lines import Line
from analysis.faithfulness.passes import Count, hiding_works, plain
from analysis.faithfulness.reader import packing_works
from analysis.models.batch import Row
from analysis.models.caching import way_of_going_on
from analysis.models.facts import describe, probe_ids
from analysis.models.generation import decode
from analysis.models.loaded_model import LoadedModel
from analysis.models.sites import Site
from analysis.models.spec import ModelSpec
from analysis.steering import Add, Arm, generate_batch, generate_stream, steer
from analysis.steering.writing import Reader

IDS = [5, 9, 30, 7, 11, 13, 40, 41]
COMMON: dict[str, Any] = {
    "vocab_size": 96, "hidden_size": 64, "num_hidden_layers": 2, "max_position_embeddings": 128,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
HEADS: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 96}
# How each can go on from what it kept, and whether a token can be hidden from later ones.
KINDS: dict[str, tuple[dict[str, Any], str, bool]] = {
    "llama": (HEADS, "pieces", True),
    "gpt2": ({"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 128}, "pieces", True),
    "mamba": ({"state_size": 8}, "whole", False),
    "rwkv": ({"attention_hidden_size": 64}, "whole", False),
    "recurrent_gemma": (
        {**HEADS, "num_hidden_layers": 3, "head_dim": 16, "lru_width": 64, "attention_window_size": 16}, "whole", False
    ),
    "jamba": (
        {**HEADS, "attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1,
         "num_experts": 2, "mamba_d_state": 8, "mamba_dt_rank": 4, "use_mamba_kernels": False},
        "tokens", False,
    ),
    "lfm2": ({**HEADS, "layer_types": ["conv", "full_attention"]}, "pieces", False),
}  # fmt: skip


@cache
def loaded_kind(kind: str) -> LoadedModel:
    settings = COMMON | KINDS[kind][0]
    if kind == "gpt2":
        settings = {k: v for k, v in settings.items() if k not in ("hidden_size", "num_hidden_layers")}
        settings.pop("max_position_embeddings")
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind](**settings), attn_implementation="eager")
    with torch.no_grad():
        for parameter in model.float().parameters():
            if parameter.ndim >= 2:
                parameter.normal_(0, 0.2)
    model.eval().requires_grad_(False)
    spec = ModelSpec("tiny")
    tokenizer: Any = SimpleNamespace(pad_token_id=0)
    return LoadedModel(model, tokenizer, spec, describe(model, torch.arange(3, 19)[None], None, spec))


def whole(loaded: LoadedModel, ids: list[int]) -> torch.Tensor:
    return loaded.forward(torch.tensor([ids]), logits=True)[0].float()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_equals_whole_passes_whatever_the_model_keeps(kind: str) -> None:
    loaded, ids = loaded_kind(kind), list(IDS)
    before = whole(loaded, IDS)
    assert way_of_going_on(loaded) == KINDS[kind][1]
    for token, logits in decode(loaded, IDS, 5, temperature=1.0, seed=1):
        assert torch.allclose(logits, whole(loaded, ids)[-1], atol=2e-3)
        ids.append(token)
    assert len(ids) > len(IDS)
    assert torch.equal(whole(loaded, IDS), before)


@pytest.mark.parametrize("kind", ["llama", "mamba", "jamba"])
def test_steered_text_and_its_prices_equal_whole_passes(kind: str) -> None:
    loaded, ids = loaded_kind(kind), list(IDS)
    push = torch.randn(64, generator=torch.Generator().manual_seed(2)) * 3
    made = [Add(Site(1), push, where="generated")]
    for token, logits in generate_stream(loaded, IDS, 4, interventions=made, temperature=1.0, seed=1):
        with steer(loaded, made, prompt_tokens=len(IDS)):
            assert torch.allclose(logits, whole(loaded, ids)[-1], atol=2e-3)
        ids.append(token)
    reader, texts = Reader(loaded, IDS, 2), ([3, 4, 5, 6, 7], [9, 8, 7])
    first, second = reader.logits_before({0: [3, 4], 1: [9, 8]}), reader.logits_before({0: [5, 6, 7], 1: [7]})
    for n, text in enumerate(texts):
        read = torch.cat([first[n], second[n]])
        assert torch.allclose(read, whole(loaded, [*IDS, *text])[len(IDS) - 1 : -1], atol=2e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_texts_of_a_batch_are_those_of_single_runs(kind: str) -> None:
    loaded = loaded_kind(kind)
    push = torch.randn(64, generator=torch.Generator().manual_seed(2)) * 3
    arms = [
        Arm(Row(tuple(IDS), 1.0, seed=1)),
        Arm(Row(tuple(IDS[:3]), 1.0, seed=2), [Add(Site(1), push)]),
        Arm(Row(tuple(IDS)), [Add(Site(0), push, where="generated")]),
    ]
    texts: list[list[int]] = [[], [], []]
    for steps in generate_batch(loaded, arms, 5):
        for step in steps:
            with steer(loaded, arms[step.arm].interventions, prompt_tokens=len(arms[step.arm].row.ids)):
                want = whole(loaded, [*arms[step.arm].row.ids, *texts[step.arm]])[-1]
            assert torch.allclose(step.logits, want, atol=2e-3)
            texts[step.arm].append(step.token)
    assert all(texts)


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_cannot_be_hidden_from_and_is_read_line_by_line(kind: str) -> None:
    loaded = loaded_kind(kind)
    assert hiding_works(loaded) == KINDS[kind][2]
    if not KINDS[kind][2]:
        assert not packing_works(loaded)
    read = plain(loaded, Line(tuple(IDS), ((5, (1, 2, 3)),)), Count())[0]
    assert np.allclose(read.logits, whole(loaded, IDS)[5, [1, 2, 3]].double().numpy(), atol=1e-4)


def test_the_longest_input_is_found_under_whatever_name_a_configuration_has_for_it() -> None:
    torch.manual_seed(0)
    config = CONFIG_MAPPING["mpt"](vocab_size=96, d_model=64, n_heads=4, n_layers=2, max_seq_len=24)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval().requires_grad_(False)
    assert probe_ids(model, None).shape[1] <= 24
    facts = describe(model, torch.arange(3, 19)[None], None, ModelSpec("tiny"))
    assert facts.max_positions == 24
    loaded = LoadedModel(model, None, ModelSpec("tiny"), facts)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="at most 24"):
        loaded.forward(torch.ones(1, 25, dtype=torch.long))
    assert len(list(decode(loaded, list(range(3, 25)), 9, temperature=1.0))) <= 2
