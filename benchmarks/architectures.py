"""Every causal architecture that the installed transformers knows, tiny, loaded by Attune and by transformers alone.

``python -m benchmarks.architectures [KIND ...]`` sorts them: equal to the plainly loaded model and causal; refused,
with the sentence; cannot be built tiny. Anything else is a fault and ends the run with 1. Some seventy are also
tested (tests/unit/test_architecture_zoo.py).

The default configuration of each class is made small by the names of its settings: what counts layers, heads, widths,
experts, tokens. A few classes check that their settings agree with each other; what they need stands in ``AGREED``.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from analysis.errors import UserError
from analysis.models.loader import load_model

TOKENS = 96
_SMALL: dict[int, tuple[str, ...]] = {
    64: (
        *("hidden_size", "n_embd", "d_model", "dim", "embedding_size", "word_embed_proj_dim", "attention_hidden_size"),
        *("lru_width", "embed_dim", "mamba_d_ssm"),
    ),
    TOKENS: (
        *("vocab_size", "vocab_size_per_layer_input"),
        *("intermediate_size", "n_inner", "ffn_dim", "decoder_ffn_dim", "encoder_ffn_dim", "d_ff", "dim_ff", "d_inner"),
        *("ffn_hidden_size", "intermediate_size_mlp", "feed_forward_size"),
    ),
    2: (
        *("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "encoder_layers"),
        *("num_encoder_layers", "num_decoder_layers"),
        *("num_key_value_heads", "num_kv_heads", "multi_query_group_num", "num_experts_per_tok", "moe_k", "moe_top_k"),
    ),
    4: (
        *("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads", "decoder_attention_heads"),
        *("encoder_attention_heads", "num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"),
    ),
    128: ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length"),
    16: ("head_dim", "global_head_dim", "v_head_dim", "qk_head_dim", "q_lora_rank", "kv_lora_rank"),
    32: ("moe_intermediate_size", "shared_expert_intermediate_size", "shared_intermediate_size"),
    8: ("qk_rope_head_dim", "qk_nope_head_dim", "rotary_dim", "sliding_window"),
    1: ("n_group", "topk_group", "first_k_dense_replace"),
}
_SIZES = {name: size for size, names in _SMALL.items() for name in names}
_ENDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
_HEADS, _KEYS = "num_attention_heads", ("num_key_value_heads", "num_kv_heads")

# Settings that a class wants to agree with each other, by model type.
AGREED: dict[str, dict[str, Any]] = {
    "bailing_hybrid": {"head_dim": 16, "num_mtp_layers": 0, "first_k_dense_replace": 1},
    "axk1": {"head_dim": 8},
    "deepseek_v3": {"head_dim": 8},
    "youtu": {"head_dim": 8},
    "deepseek_v2": {"num_experts_per_tok": 2},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "falcon_h1": {"mamba_d_ssm": 64, "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_expand": 1},
    "gemma3n_text": {
        "num_kv_shared_layers": 0,
        "intermediate_size": [96, 96],
        "activation_sparsity_pattern": [0.0, 0.0],
    },
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "hunyuan_v1_dense": {"head_dim": 16},
    "hunyuan_v1_moe": {"head_dim": 16, "num_experts": 2, "moe_topk": 1},
    "kimi_linear": {"linear_head_dim": 16, "linear_num_heads": 4},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "longcat_flash": {"moe_topk": 2, "zero_expert_num": 2, "expert_ffn_hidden_size": 32, "head_dim": 8},
    "mamba2": {"num_heads": 8, "head_dim": 16, "n_groups": 2},
    "ministral": {"head_dim": 16},
    "nemotron": {"num_key_value_heads": 2, "head_dim": 16},
    "reformer": {"is_decoder": True, "axial_pos_shape": [8, 16], "axial_pos_embds_dim": [32, 32], "num_buckets": 4},
    "xmod": {"default_language": "en_XX"},
    "zamba": {"layers_block_type": ["mamba", "hybrid"], "attention_hidden_size": 128, "attention_head_dim": 32},
    "zamba2": {"layers_block_type": ["mamba", "hybrid"], "num_mem_blocks": 1},
    "zaya": {"num_experts_per_tok": 1},
}


def kinds() -> list[str]:
    """The model types that AutoModelForCausalLM knows, in order."""
    return sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def tiny(kind: str, seed: int = 0) -> Any:
    """A seeded random model in float32 on the CPU, with weights large enough to attend sharply.

    Raises whatever its classes raise where the small settings do not agree with each other.
    """
    kind_class = CONFIG_MAPPING[kind]
    config = kind_class()
    settings = _small(config)
    for name in getattr(kind_class, "sub_configs", {}):
        part = getattr(config, name, None)
        if part is not None:
            settings[name] = _small(part)
    for name, value in AGREED.get(kind, {}).items():
        settings[name] = {**settings.get(name, {}), **value} if isinstance(value, dict) else value
    torch.manual_seed(seed)
    model: Any = AutoModelForCausalLM.from_config(kind_class(**settings), dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.normal_(0, 0.2)
    return model.eval()


def tokenizer() -> Any:
    """A tokenizer of 96 words, w0 to w95, the first three of them pad, start and end."""
    pad, start, end = "<pad>", "<s>", "</s>"
    words = {pad: 0, start: 1, end: 2} | {f"w{i}": i for i in range(3, TOKENS)}
    backend = Tokenizer(models.WordLevel(words, unk_token=pad))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=start, eos_token=end, pad_token=pad, unk_token=pad
    )


def saved(model: Any, folder: Path) -> Path:
    """Model and tokenizer as save_pretrained writes them."""
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def _small(config: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in config.to_dict().items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if name in _SIZES and number:
            found[name] = _SIZES[name]
        elif name in _ENDS and (number or value is None):
            found[name] = _ENDS[name]
    for name in _KEYS:  # latent and other attention that has as many key heads as query heads
        if name in found and getattr(config, name) == getattr(config, _HEADS, None):
            found[name] = _SIZES[_HEADS]
    return found


@dataclass(frozen=True)
class Finding:
    """What became of one architecture: "equal", "refused", "not built", or "fault"; and the words to it."""

    kind: str
    verdict: str
    words: str


def examine(kind: str, folder: Path) -> Finding:
    """Build, save below ``folder``, load both ways, and compare on a text that Attune's own proof does not use."""
    try:
        model = tiny(kind)
        with torch.no_grad():
            model(torch.arange(3, 20)[None], use_cache=False)
    except Exception as error:  # its own classes find the small settings wrong, or need a package that is not here
        return Finding(kind, "not built", f"{type(error).__name__}: {' '.join(str(error).split())[:120]}")
    path = saved(model, folder / kind)
    try:
        loaded = load_model(str(path))
    except UserError as error:
        return Finding(kind, "refused", error.message)
    except Exception as error:
        return Finding(kind, "fault", f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
    plain: Any = AutoModelForCausalLM.from_pretrained(path).eval()
    ids = torch.randint(3, TOKENS, (1, 24), generator=torch.Generator().manual_seed(1))
    other = ids.clone()
    other[0, -1] = 3 if int(ids[0, -1]) != 3 else 4
    with torch.no_grad():
        want, got = plain(ids, use_cache=False).logits, loaded.forward(ids, logits=True)
        moved = float((loaded.forward(other, logits=True)[0, :-1] - got[0, :-1]).abs().max())
    off, size = float((want - got).abs().max()), float(want.abs().max())
    words = f"logits off by {off:.1g}, earlier ones moved by {moved:.1g} (largest {size:.3g})"
    recorded = len(loaded.facts.attention_layers)
    good = off <= 1e-4 * size and moved <= 1e-4 * size
    return Finding(kind, "equal" if good else "fault", f"{words}; {recorded} of {loaded.facts.layers} layers recorded")


def main(names: list[str]) -> int:
    """Print a line for each architecture and the counts; 1 if there was a fault."""
    logging.disable(logging.WARNING)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    count: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for kind in names or kinds():
            began = time.perf_counter()
            found = examine(kind, Path(folder))
            count[found.verdict] += 1
            print(f"{found.kind:28} {found.verdict:10} {time.perf_counter() - began:5.1f} s  {found.words}", flush=True)
    print(f"transformers {transformers.__version__}: " + ", ".join(f"{n} {v}" for v, n in count.most_common()))
    return 1 if count["fault"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
