"""Tiny, randomly initialised models of each supported architecture, with every feature of its attention switched on."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from analysis.models.recording import IMPLEMENTATION

_COMMON: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_HALF_SLIDING = ["sliding_attention", "full_attention"] * 2

# What differs from the common settings, and why it is worth a test.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama-scaled-rope": {
        "rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0},
        "head_dim": 16,
    },
    "mistral": {"sliding_window": 5},
    "qwen2": {"use_sliding_window": True, "sliding_window": 5, "layer_types": _HALF_SLIDING},
    "qwen3": {"head_dim": 16},
    "gemma2": {
        "head_dim": 16,
        "query_pre_attn_scalar": 7,
        "attn_logit_softcapping": 2.0,
        "sliding_window": 5,
        "layer_types": _HALF_SLIDING,
    },
    "gemma3_text": {
        "head_dim": 16,
        "query_pre_attn_scalar": 7,
        "sliding_window": 5,
        "layer_types": _HALF_SLIDING,
    },
    "gpt2": {
        "n_embd": 48,
        "n_layer": 4,
        "n_head": 6,
        "n_positions": 128,
        "scale_attn_by_inverse_layer_idx": True,
    },
    "gpt_neox": {"rotary_pct": 0.5},
    "phi3": {"partial_rotary_factor": 0.5, "sliding_window": 5},
    "olmo2": {},
    "gpt_oss": {
        "head_dim": 16,
        "sliding_window": 5,
        "layer_types": _HALF_SLIDING,
        "num_local_experts": 2,
        "num_experts_per_tok": 1,
    },
}


def tiny_model(name: str, implementation: str = IMPLEMENTATION, **changes: Any) -> PreTrainedModel:
    """A seeded random model of one architecture, in float32 on the CPU, with weights large enough to attend sharply."""
    kind = name.split("-")[0]
    settings = {**_COMMON, **ARCHITECTURES.get(name, {}), **changes}
    if kind in ("gpt2", "gpt_neox"):
        settings.pop("num_key_value_heads")
    if kind == "gpt2":
        for key in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"):
            settings.pop(key)
        settings.pop("max_position_embeddings")
    config = CONFIG_MAPPING[kind](**settings)
    torch.manual_seed(7)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=implementation, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.normal_(0, 0.25)
    return model.eval().requires_grad_(False)
