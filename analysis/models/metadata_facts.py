"""What every way of looking into a model reports, whichever file it looked at.

A folder, a GGUF file and the hub declare tensors in three ways; what comes after needs one. This module hides that
difference: the shared records, torch's names for stored types, and which stored tensors are parameters at all, since
files also hold masks, rotary frequencies and weights stored twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from analysis import foreign
from analysis.errors import UserError

_SAFETENSORS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "BOOL": "bool"} | {
    f"{letter}{bits}": f"{word}{bits}" for letter, word in (("I", "int"), ("U", "uint")) for bits in (8, 16, 32, 64)
}

MAX_INDEX = 100_000_000
"""Bytes of an index of weights or of a header; the largest published ones have about ten million."""


class Stored(NamedTuple):
    """One tensor as a file declares it: shape, dtype name, bytes on disk."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int

    @property
    def numbers(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


class Facts(NamedTuple):
    """What a way of looking found, before dtype and memory are considered."""

    tensors: list[Stored]
    config: dict[str, Any]
    architecture: str
    model_type: str
    layers: int | None
    heads: int | None
    origin: str
    bytes_on_disk: int | None
    notes: list[str]
    weights: str  # "safetensors", "pickle", "gguf" or "none"


def parameters_only(tensors: Iterable[Stored], tied: bool) -> list[Stored]:
    """Drop stored buffers, and a stored unembedding that the configuration ties to an embedding of the same shape."""
    kept = [t for t in tensors if not is_buffer(t)]
    if not tied:
        return kept
    ends = ("embed_tokens.weight", "wte.weight", "embed_in.weight", "word_embeddings.weight", "embeddings.weight")
    embeddings = {t.shape for t in kept if t.name.endswith(ends)}
    return [t for t in kept if not (t.name in ("lm_head.weight", "embed_out.weight") and t.shape in embeddings)]


def is_buffer(tensor: Stored) -> bool:
    """A stored causal mask or rotary frequency: in the file, but no parameter."""
    mask = tensor.name.endswith((".attn.bias", ".attention.bias")) and len(tensor.shape) == 4
    return mask or tensor.name.endswith(("rotary_emb.inv_freq", ".masked_bias", "rope_freqs.weight"))


def type_name(dtype: str) -> str:
    """safetensors' name of a type (BF16) as torch names it (bfloat16)."""
    return _SAFETENSORS.get(dtype, dtype.lower())


def read_json(path: Path, limit: int = MAX_INDEX) -> dict[str, Any]:
    """A JSON object from a file of the model of at most ``limit`` bytes. Raises UserError(field="model")."""
    data = foreign.read_json(path, limit, "model", infinite=True)
    if not isinstance(data, dict):
        raise bad(f"{path.name} does not hold what a model's {path.name} should. Download the model again.")
    return data


def gb(size: float) -> str:
    """Bytes as a person reads them: decimal GB, or MB below one."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def bad(message: str) -> UserError:
    """The fault of a model as the screen shows it."""
    return UserError(message, "model")
