"""A tiny Llama in GGUF files, whole or in parts, with a byte-level tokenizer of single bytes and a few merges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
from transformers.convert_slow_tokenizer import bytes_to_unicode

WIDTH, INNER, HEADS, KEYS, LAYERS = 32, 48, 4, 2, 2
_SPECIAL = ["<pad>", "<s>", "</s>"]
_MERGES = ["t h", "th e", "Ġ 1", "1 2"]
TOKENS = [*_SPECIAL, *sorted(bytes_to_unicode().values()), *(m.replace(" ", "") for m in _MERGES)]


def tensors(seed: int = 0) -> dict[str, np.ndarray]:
    """The weights by GGUF's names, float32."""
    draw = np.random.default_rng(seed)

    def matrix(rows: int, columns: int) -> np.ndarray:
        return draw.normal(0, 0.2, (rows, columns)).astype(np.float32)

    ones, keys = np.ones(WIDTH, np.float32), WIDTH // HEADS * KEYS
    found = {"token_embd.weight": matrix(len(TOKENS), WIDTH), "output.weight": matrix(len(TOKENS), WIDTH)}
    for i in range(LAYERS):
        found |= {f"blk.{i}.attn_norm.weight": ones, f"blk.{i}.ffn_norm.weight": ones}
        found |= {f"blk.{i}.attn_{n}.weight": matrix(r, WIDTH) for n, r in (("q", WIDTH), ("k", keys), ("v", keys))}
        found |= {f"blk.{i}.attn_output.weight": matrix(WIDTH, WIDTH), f"blk.{i}.ffn_down.weight": matrix(WIDTH, INNER)}
        found |= {f"blk.{i}.ffn_{n}.weight": matrix(INNER, WIDTH) for n in ("gate", "up")}
    return found | {"output_norm.weight": ones}


def write(path: Path, parts: int = 1, pre: str | None = "gpt-2", **numbers: Any) -> list[Path]:
    """The file, or as many parts of it; ``numbers``: settings that take the place of the right ones."""
    weights = tensors()
    names = list(weights)
    files = []
    for part in range(parts):
        file = path if parts == 1 else path.with_name(f"{path.stem}-{part + 1:05d}-of-{parts:05d}.gguf")
        writer = gguf.GGUFWriter(str(file), "llama")
        if parts > 1:
            writer.add_uint16("split.no", part)
            writer.add_uint16("split.count", parts)
            writer.add_int32("split.tensors.count", len(names))
        if part == 0:
            _describe(writer, pre, {"blocks": LAYERS, "start": True} | numbers)
        for name in names[len(names) * part // parts : len(names) * (part + 1) // parts]:
            writer.add_tensor(name, weights[name])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        files.append(file)
    return files


def _describe(writer: gguf.GGUFWriter, pre: str | None, numbers: dict[str, Any]) -> None:
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(numbers["blocks"])
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEYS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    if pre is not None:
        writer.add_tokenizer_pre(pre)
    writer.add_token_list(TOKENS)
    writer.add_token_merges(_MERGES)
    writer.add_token_types([3] * len(_SPECIAL) + [1] * (len(TOKENS) - len(_SPECIAL)))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(numbers["start"])
