"""Recording and editing attention where every architecture does it: at the call of its attention function.

transformers hands queries and keys, after rotary embedding and per-head norms, to one function that is looked up by
name. Attune registers its own under the name ``attune``: it calls the model's native attention and shows what passed
through to the *taps* that are open in the current context. With no tap open it adds nothing. So one piece of code
serves every layout of rotary embedding, grouped keys, soft-capping and sliding window, and no forward pass is written
again. The mask interface is registered under the same name, since without it transformers drops the causal mask
without a word; and nothing here depends on ``output_attentions``, which is an empty tuple under SDPA.

Queries and keys *before* the rotary embedding come through the same function: :mod:`analysis.models.rotation` runs a
second pass in which nothing rotates and every layer answers as it did in the first.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from analysis.models.rotation import Call, TwoPasses

IMPLEMENTATION = "attune"
PIECE = 32 << 20
"""Bytes of attention weights that are worked out at a time: of a long prompt all of them would be gigabytes."""


@dataclass(frozen=True)
class LayerAttention:
    """What one layer handed to its softmax, for one forward pass.

    ``queries`` (B, H, Tq, d), ``keys`` (B, Hkv, Tk, d) and ``values`` (B, Hkv, Tk, dv) are post-rotary and post-norm,
    so that ``q . k`` is the model's raw logit; query head h reads key head ``h // (H // Hkv)``. ``mask`` is None
    (causal), boolean (True = visible) or additive, broadcastable to (B, H, Tq, Tk). ``scaling`` multiplies the raw
    logit, ``softcap`` bounds it afterwards, ``sinks`` (H,) are learned extra logits of models that have them.
    ``unrotated`` holds (queries, keys) before the rotary embedding where that was asked for and something rotates.
    """

    layer: int
    queries: Tensor
    keys: Tensor
    values: Tensor
    mask: Tensor | None
    scaling: float
    softcap: float | None
    sinks: Tensor | None
    unrotated: tuple[Tensor, Tensor] | None

    @property
    def group(self) -> int:
        """Query heads per key head."""
        return self.queries.shape[1] // self.keys.shape[1]

    def raw_logits(
        self, heads: slice = slice(None), rows: slice | Tensor = slice(None), keys: slice = slice(None)
    ) -> Tensor:
        """``q . k`` before scaling and mask, float32, (B, h, t, k) for the chosen heads, query and key positions."""
        index = torch.arange(self.queries.shape[1], device=self.queries.device)[heads] // self.group
        return self.queries[:, heads, rows].float() @ self.keys[:, :, keys][:, index].float().mT

    def weights(
        self, heads: slice = slice(None), rows: slice | Tensor = slice(None), keys: slice = slice(None)
    ) -> Tensor:
        """Attention weights recomputed from the recorded queries and keys, float32, (B, h, t, k).

        ``keys`` must hold all that these queries see, as :meth:`reach` does; what lies outside gets nothing.
        """
        logits = scaled_logits(self.raw_logits(heads, rows, keys), self.scaling, self.softcap)
        logits = logits.masked_fill(~self.visible(heads, rows, keys), -torch.inf)
        if self.sinks is None:
            return torch.softmax(logits, -1)
        extra = self.sinks.float()[heads].view(1, -1, 1, 1).expand(*logits.shape[:3], 1)
        return torch.softmax(torch.cat([logits, extra], -1), -1)[..., :-1]

    def visible(
        self, heads: slice = slice(None), rows: slice | Tensor = slice(None), keys: slice = slice(None)
    ) -> Tensor:
        """Which keys each query may attend to, boolean, broadcastable to (B, h, t, k)."""
        queries, count = self.queries.shape[2], self.keys.shape[2]
        if self.mask is None:
            order = torch.arange(count, device=self.keys.device)
            return (order[None, keys] <= order[count - queries :][rows, None])[None, None]
        mask = self.mask[..., :count]
        mask = (mask[:, heads] if mask.shape[1] > 1 else mask)[:, :, rows][..., keys]
        return mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2

    def reach(self, rows: slice) -> slice:
        """The keys from the first to the last that any of these queries may attend to: what comes later is not among
        them, nor what lies before a window."""
        if self.mask is None:
            queries, count = self.queries.shape[2], self.keys.shape[2]
            return slice(0, count - queries + range(queries)[rows].stop)
        seen = torch.nonzero(self.visible(rows=rows).flatten(0, 2).any(0))[:, 0]
        return slice(int(seen[0]), int(seen[-1]) + 1) if len(seen) else slice(0, 1)

    def pieces(self, heads: int = 0, whole: int = 1) -> Iterator[slice]:
        """Query positions, some at a time, so that weights of so many ``heads`` (0: all) take :data:`PIECE` bytes at
        most; all but the last are a multiple of ``whole``."""
        queries, count = self.queries.shape[2], self.keys.shape[2]
        step = PIECE // (4 * self.queries.shape[0] * (heads or self.queries.shape[1]) * count)
        step = max(whole, step - step % whole)
        for start in range(0, queries, step):
            yield slice(start, min(queries, start + step))


# A tap sees a layer and its native output (B, Tq, H, dv); what it returns, if not None, replaces the output.
Tap = Callable[[LayerAttention, Tensor], Tensor | None]

_taps: ContextVar[tuple[Tap, ...]] = ContextVar("attune_taps", default=())
_passes: ContextVar[TwoPasses | None] = ContextVar("attune_passes", default=None)


def scaled_logits(raw: Tensor, scaling: float, softcap: float | None) -> Tensor:
    """Raw logits as the softmax sees them, in nats: scaled, then soft-capped where the model does so."""
    logits = raw * scaling
    return logits if softcap is None else softcap * torch.tanh(logits / softcap)


@contextmanager
def tapped(*taps: Tap) -> Iterator[None]:
    """Open taps for forward passes in this context; closed again whatever happens, leaving the model untouched."""
    token = _taps.set((*_taps.get(), *taps))
    try:
        yield
    finally:
        _taps.reset(token)


@contextmanager
def with_unrotated(model: nn.Module) -> Iterator[TwoPasses]:
    """Let taps see queries and keys before the rotary embedding as well, where something rotates them.

    Each pass in this context becomes two, see :class:`analysis.models.rotation.TwoPasses`, which is given; taps see the
    second, in which every layer answers as it did in the first, and a record holds the vectors of both.

    Raises:
        UserError(field="rotary"): in the pass, where the vectors of this model cannot be had.
    """
    with TwoPasses(model) as passes:
        token = _passes.set(passes)
        try:
            yield passes
        finally:
            _passes.reset(token)


def _attune_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    scaling = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
    softcap, sinks = kwargs.get("softcap"), kwargs.get("s_aux")
    passes, unrotated = _passes.get(), None
    if passes is not None and passes.repeating:
        call, unrotated = passes.repeat(_layer(module), query, key, value)
        query, key, value, output, weights = call.query, call.key, call.value, call.output, call.weights
    else:
        output, weights = _native(module, query, key, value, attention_mask, scaling, dropout, kwargs)
        if passes is not None:
            passes.keep(Call(_layer(module), query, key, value, output, weights))
            return output, weights
    for tap in _taps.get():
        record = LayerAttention(_layer(module), query, key, value, attention_mask, scaling, softcap, sinks, unrotated)
        changed = tap(record, output)
        output = output if changed is None else changed
    return output, weights


def _layer(module: Any) -> int:
    return int(module.layer_idx)


def _native(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    scaling: float,
    dropout: float,
    kwargs: dict[str, Any],
) -> tuple[Tensor, Tensor | None]:
    """SDPA where it computes the same thing; the architecture's own eager function where it does not, which holds the
    weights of all heads, so that a long prompt is put to it some queries at a time: each row is a softmax by itself."""
    if kwargs.get("softcap") is None and kwargs.get("s_aux") is None:
        result: tuple[Tensor, Tensor | None] = sdpa_attention_forward(
            module, query, key, value, mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return result
    if mask is None:
        size = (query.shape[2], key.shape[2])
        mask = torch.ones(size, dtype=torch.bool, device=query.device).tril(size[1] - size[0])[None, None]
    eager = sys.modules[type(module).__module__].eager_attention_forward

    def some(rows: slice) -> tuple[Tensor, Tensor | None]:
        seen = mask[:, :, rows] if mask.shape[2] > 1 else mask
        if seen.dtype == torch.bool:
            seen = torch.zeros_like(seen, dtype=query.dtype).masked_fill(~seen, torch.finfo(query.dtype).min)
        found: tuple[Tensor, Tensor | None] = eager(
            module, query[:, :, rows], key, value, seen, scaling=scaling, dropout=dropout, **kwargs
        )
        return found

    step = max(1, PIECE // (4 * query.shape[0] * query.shape[1] * key.shape[2]))
    if step >= query.shape[2]:
        return some(slice(None))
    parts = [some(slice(start, start + step))[0] for start in range(0, query.shape[2], step)]
    return torch.cat(parts, 1), None


AttentionInterface.register(IMPLEMENTATION, _attune_attention)
AttentionMaskInterface.register(IMPLEMENTATION, sdpa_mask)
