"""What a page may know about a loaded model, read off a short pass and not off a list of known names.

The pass shows shapes and which layers report their attention, and measures how well recorded queries and keys reproduce
the model's own attention; where they do not, the capabilities say so and the Attention page refuses.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from analysis.models.eight_bit import in_eight_bit, plain
from analysis.models.legible import unread
from analysis.models.model_facts import ModelFacts
from analysis.models.recording import IMPLEMENTATION, LayerAttention, tapped
from analysis.models.spec import EIGHT_BIT, ModelSpec

log = logging.getLogger(__name__)
_PROBE = "The probe of a model is a sentence that repeats itself, so that every kind of head has something to do. " * 3
_PROBE_TOKENS = 64
_LIMITS = ("max_position_embeddings", "max_seq_len", "max_target_positions", "n_positions", "n_ctx")


def probe_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None) -> Tensor:
    """Token ids (1, T) on the model's device for the probe: a sentence, or any tokens for a model of no words."""
    config = model.config.get_text_config()
    embedding: Any = model.get_input_embeddings()
    rows = int(embedding.weight.shape[0])
    longest = min([_PROBE_TOKENS, *_named_limits(config)])
    ids = torch.zeros(1, 0, dtype=torch.long)
    if tokenizer is not None:
        ids = torch.tensor([tokenizer(_PROBE)["input_ids"][:longest]])
    if len(ids.unique()) < 8 or int(ids.max()) >= rows:  # not a model of words: any tokens are as good
        ids = torch.arange(1, min(longest, rows))[None]
    return ids.to(embedding.weight.device)


def describe(
    model: PreTrainedModel,
    ids: Tensor,
    tokenizer: PreTrainedTokenizerBase | None,
    spec: ModelSpec,
    note: str = "",
    proof: list[str] | None = None,
    proof_seconds: float = 0.0,
) -> ModelFacts:
    """Read the facts of a model off a pass over token ids (1, T): shapes, reporting layers, error of the recording."""
    config = model.config.get_text_config()
    shapes: dict[int, tuple[int, int, int]] = {}
    softcaps: set[float] = set()

    def look(record: LayerAttention, _output: Tensor) -> None:
        shapes[record.layer] = (record.queries.shape[1], record.keys.shape[1], record.queries.shape[3])
        if record.softcap is not None:
            softcaps.add(float(record.softcap))

    with torch.no_grad(), tapped(look), _position_tables(model, ids) as tables:
        model(ids, use_cache=False)
    seconds = min(_pass_seconds(model, ids) for _ in range(2))
    layers = int(config.num_hidden_layers)
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * layers
    wanted = [i for i in range(layers) if "attention" in kinds[i] and "linear" not in kinds[i]]
    seen = sorted(shapes)
    heads, key_heads, width = (max((shapes[i][k] for i in seen), default=0) for k in range(3))
    limits = [*_named_limits(config), *tables]
    embedding: Any = model.get_input_embeddings()
    error = recording_error(model, ids)
    return ModelFacts(
        label=spec.label,
        source=spec.source,
        model_type=str(config.model_type),
        architecture=type(model).__name__,
        parameters=sum(p.numel() for p in model.parameters()),
        layers=layers,
        heads=heads,
        key_heads=key_heads,
        head_width=width,
        hidden=int(config.hidden_size),
        vocabulary=int(config.vocab_size),
        max_positions=min((n for n in limits if n > 0), default=0),
        dtype=str(model.dtype).removeprefix("torch."),
        device=str(model.device),
        chat_template=bool(getattr(tokenizer, "chat_template", None)),
        softcap=max(softcaps, default=None),
        sliding_windows=_windows(config, kinds),
        attention_layers=seen,
        missing_layers=[i for i in wanted if i not in shapes],
        other_layers=[i for i in range(layers) if i not in wanted],
        recording_error=error if math.isfinite(error) else None,
        probe_tokens=int(ids.shape[1]),
        seconds_per_token=seconds / ids.numel(),
        fingerprint=fingerprint(model),
        note=note,
        revision=str(getattr(config, "_commit_hash", None) or spec.revision or ""),
        layer_heads=[shapes[i][0] for i in seen],
        embeddings=int(embedding.weight.shape[0]),
        unread_english=0.0 if tokenizer is None else unread(tokenizer, _PROBE).share,
        proof=list(proof or []),
        proof_seconds=proof_seconds,
        eight_bit=spec.dtype == EIGHT_BIT,
    )


def _named_limits(config: Any) -> list[int]:
    """The longest inputs that a configuration names, under whatever name; those that are none (0, none) left out."""
    found = [getattr(config, name, None) for name in _LIMITS]
    return [int(n) for n in found if isinstance(n, int) and n > 0]


@contextmanager
def _position_tables(model: PreTrainedModel, ids: Tensor) -> Iterator[list[int]]:
    """How many positions the learned position tables take that run inside the context: embeddings, other than that of
    tokens, which are asked for consecutive rows. An offset (OPT keeps two rows for padding) is taken off."""
    tables: list[int] = []
    tokens = model.get_input_embeddings()

    def look(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        rows = next((a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)), None)
        weight: Any = module.weight
        if rows is None or rows.is_floating_point() or rows.numel() < 2:
            return
        if rows.shape == ids.shape and torch.equal(rows, ids):  # tokens, not positions
            return
        line = rows.reshape(-1)
        if bool((line[1:] - line[:-1] == 1).all()):
            tables.append(int(weight.shape[0]) - int(line[0]))

    found = [m for m in model.modules() if isinstance(m, nn.Embedding) and m is not tokens]
    handles = [m.register_forward_pre_hook(look, with_kwargs=True) for m in found]
    try:
        yield tables
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def _pass_seconds(model: PreTrainedModel, ids: Tensor) -> float:
    began = time.perf_counter()
    float(model(ids, use_cache=False).logits[0, -1, 0])  # reading a number waits for the device
    return time.perf_counter() - began


@torch.no_grad()
def recording_error(model: PreTrainedModel, ids: Tensor) -> float:
    """Largest absolute difference between recomputed and the model's own attention weights, over layers and heads.

    The model's own come from its eager implementation on the same ids (B, T). Infinite when a layer that the eager
    pass shows was not recorded.
    """
    recorded: dict[int, Tensor] = {}

    def keep(record: LayerAttention, _output: Tensor) -> None:
        recorded[record.layer] = record.weights().cpu()

    if model.config._attn_implementation != IMPLEMENTATION:
        return float("inf")
    with tapped(keep):
        model(ids, use_cache=False)
    if not recorded:
        return float("inf")
    model.set_attn_implementation("eager")
    try:
        own = model(ids, use_cache=False, output_attentions=True).attentions or ()
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError):
        log.info("the eager attention of %s does not run", type(model).__name__, exc_info=True)
        return float("inf")  # nothing to hold the recording against
    finally:
        model.set_attn_implementation(IMPLEMENTATION)
    own = [a for a in own if a is not None]
    if len(own) != len(recorded) or not own:
        return float("inf")
    pairs = list(zip(own, (recorded[i] for i in sorted(recorded)), strict=True))
    if any(a.shape != b.shape for a, b in pairs):
        return float("inf")
    return max(float((a.float().cpu() - b).abs().max()) for a, b in pairs)


@torch.no_grad()
def fingerprint(model: PreTrainedModel) -> str:
    """Twenty hex digits that identify the weights: names, shapes, dtypes and up to 4,096 values of each tensor."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        flat = (plain(tensor) if in_eight_bit(tensor) else tensor).reshape(-1)
        sample = flat[:: max(1, flat.numel() // 4096)][:4096].float().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(sample.numpy().tobytes())
    return digest.hexdigest()[:20]


def _windows(config: Any, kinds: list[str]) -> list[int]:
    window = getattr(config, "sliding_window", None)
    uses = "sliding_attention" in kinds or (window and "layer_types" not in vars(config))
    return [int(window)] if window and uses else []
