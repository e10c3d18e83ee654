"""Contrastive covariances of all heads of all layers at once, streamed.

Per head only d x d sums are kept, in float64: one for each half of the examples (together the estimate, apart the
split-half check) and one for each relabelling (the null). Rows wait in a buffer until there are enough of them for one
large product per layer, since adding a small product to every accumulator after every batch would cost more memory
traffic than the forward pass itself.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from analysis.models.recording import LayerAttention, scaled_logits
from analysis.qk.batching import Batch

FLUSH_ROWS = 256


class LayerSums:
    """The sums of one layer: H query heads, Hkv key heads, C channels (2 halves, then relabellings), width d.

    ``covariance`` (H, C, d, d): sums of q (weighted key sum)^T. For centring: ``query_sum`` (H, 2, d) by half over
    ``rows`` (2,) rows, ``key_sum`` (Hkv, C, d), and what matters only where positive and negative keys have queries of
    their own: ``query_gap`` (H, C, d), sums of q+ - q-, and ``key_mid`` (Hkv, 2, d), sums of (k+ + k-) / 2 by half.
    ``query_sq`` (H,): summed squared norms of q over rows; ``key_sq`` (Hkv,): of k+ - k- over examples.
    ``gap_sum`` and ``gap_sq`` (H,): of the raw-logit gap per example. ``attention`` (H, 2): summed attention on the
    positive keys over ``scored`` rows, and on the negative ones over ``compared`` rows, those that have some in the
    query's own prompt, each averaged within its row; ``hits`` (H,): compared rows whose positive keys all get more than
    every negative one.
    """

    def __init__(self, heads: int, key_heads: int, width: int, channels: int, device: torch.device) -> None:
        def zeros(*shape: int) -> Tensor:
            return torch.zeros(*shape, dtype=torch.float64, device=device)

        self.group = heads // key_heads
        self.channels = channels
        # Kept as the product comes out of the matrix multiplication, so that adding to it copies nothing.
        self._sums = zeros(key_heads, self.group * width, channels * width)
        self._shape = (key_heads, self.group, width, channels, width)
        self.query_sum, self.key_sum = zeros(heads, 2, width), zeros(key_heads, channels, width)
        self.query_gap, self.key_mid = zeros(heads, channels, width), zeros(key_heads, 2, width)
        self.rows = zeros(2)
        self.query_sq, self.key_sq = zeros(heads), zeros(key_heads)
        self.gap_sum, self.gap_sq = zeros(heads), zeros(heads)
        self.attention, self.hits, self.scored, self.compared = zeros(heads, 2), zeros(heads), 0, 0
        self.scaling = 0.0
        self._pending: list[tuple[Tensor, Tensor, Batch]] = []

    @property
    def state(self) -> dict[str, Tensor]:
        """All sums that are tensors, by name; what waits in the buffer is not in them."""
        names = ("query_sum", "key_sum", "query_gap", "key_mid", "rows", "query_sq", "key_sq", "gap_sum", "gap_sq")
        return {"sums": self._sums, **{name: getattr(self, name) for name in (*names, "attention", "hits")}}

    @property
    def covariance(self) -> Tensor:
        """Sums of q (weighted key sum)^T by head and channel, (H, C, d, d); what waits in the buffer is not in it."""
        key_heads, group, width, channels, _ = self._shape
        return self._sums.view(self._shape).permute(0, 1, 3, 2, 4).reshape(key_heads * group, channels, width, width)

    def add(self, queries: Tensor, keys: Tensor, batch: Batch) -> None:
        """Take one batch: ``queries`` (P, H, T, d) and ``keys`` (P, Hkv, T, d) of its prompts."""
        rows = queries[batch.prompt, :, batch.position]  # (R, H, d)
        slots = keys[batch.key_prompt, :, batch.key_position]  # (R, S, Hkv, d)
        self._pending.append((rows, slots, batch))
        if sum(r.shape[0] for r, _, _ in self._pending) >= FLUSH_ROWS:
            self.flush()

    def score(self, record: LayerAttention, batch: Batch) -> None:
        """Add the attention that positive and negative keys got, from the queries' own rows."""
        self.scaling = record.scaling
        asked = batch.positive.any(1)
        prompt, position = batch.prompt[asked], batch.position[asked]
        weights = _rows_of_attention(record, prompt, position)  # (R, H, T)
        slots = batch.key_position[asked][:, None].expand(-1, weights.shape[1], -1)
        got = torch.gather(weights, 2, slots)  # (R, H, S)
        positive, negative = batch.positive[asked][:, None], batch.negative[asked][:, None]
        on_positive = (got * positive).sum(-1) / positive.sum(-1)
        on_negative = (got * negative).sum(-1) / negative.sum(-1).clamp_min(1)
        self.attention += torch.stack([on_positive.sum(0), on_negative.sum(0)], -1)
        best = got.masked_fill(~negative, -1).amax(-1)
        compared = negative.any(-1)  # (R, 1)
        self.hits += ((got.masked_fill(~positive, 2).amin(-1) > best) & compared).sum(0)
        self.scored += int(asked.sum())
        self.compared += int(compared.sum())

    def flush(self) -> None:
        """Turn the buffered rows into sums, all in float64: one large product per key head."""
        if not self._pending:
            return
        rows = torch.cat([r for r, _, _ in self._pending]).double()  # (R, H, d)
        most = max(slots.shape[1] for _, slots, _ in self._pending)
        padded = [nn.functional.pad(slots, (0, 0, 0, 0, 0, most - slots.shape[1])) for _, slots, _ in self._pending]
        slots = torch.cat(padded).double()  # (R, S, Hkv, d)
        weights = torch.cat(
            [nn.functional.pad(b.weights, (0, most - b.weights.shape[2])) for _, _, b in self._pending], 1
        )
        owners, examples = [], 0
        for _, _, batch in self._pending:
            owners.append(batch.owner + examples)
            examples += batch.examples
        self._pending = []
        self._reduce(rows, slots, weights, torch.cat(owners), examples)

    def _reduce(self, rows: Tensor, slots: Tensor, weights: Tensor, owner: Tensor, examples: int) -> None:
        weighted = torch.einsum("crs,rsgd->grcd", weights, slots)  # (Hkv, R, C, d)
        difference = weighted[:, :, 0] + weighted[:, :, 1]  # (Hkv, R, d): the true labels, both halves
        # An example whose negative keys have a query of their own is two rows, and one difference.
        whole = difference.new_zeros(difference.shape[0], examples, difference.shape[2])
        whole.index_add_(1, owner, difference)
        self.query_sq += (rows**2).sum((0, 2))
        self.key_sq += (whole**2).sum((1, 2))
        even = weights[0].abs().sum(1) > 0
        self.query_sum[:, 0] += rows[even].sum(0)
        self.query_sum[:, 1] += rows[~even].sum(0)
        self.rows += torch.stack([even.sum(), (~even).sum()]).to(self.rows)
        self.key_sum += weighted.sum(1)
        self.query_gap += torch.einsum("cr,rhd->hcd", weights.sum(-1), rows)
        self.key_mid += torch.einsum("crs,rsgd->gcd", weights[:2].abs() / 2, slots)
        by_row = (rows * difference.repeat_interleave(self.group, 0).permute(1, 0, 2)).sum(-1)  # (R, H)
        gaps = by_row.new_zeros(examples, by_row.shape[1]).index_add_(0, owner, by_row)
        self.gap_sum += gaps.sum(0)
        self.gap_sq += (gaps**2).sum(0)
        key_heads, group, width, channels, _ = self._shape
        left = rows.reshape(-1, key_heads, group * width).permute(1, 2, 0)
        self._sums.baddbmm_(left, weighted.reshape(key_heads, -1, channels * width))


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The batch with its tensors on the accumulators' device."""
    held = {f.name: getattr(batch, f.name) for f in fields(batch)}
    moved: dict[str, Any] = {n: v.to(device) for n, v in held.items() if isinstance(v, Tensor)}
    return replace(batch, **moved)


def _rows_of_attention(record: LayerAttention, prompt: Tensor, position: Tensor) -> Tensor:
    """Attention weights (R, H, T) of chosen rows only, float32."""
    queries = record.queries[prompt, :, position].float()  # (R, H, d)
    rows, heads, width = queries.shape
    keys = record.keys.float()[prompt]  # (R, Hkv, T, d)
    grouped = queries.view(rows, keys.shape[1], record.group, width)
    logits = (grouped @ keys.mT).view(rows, heads, -1)
    logits = scaled_logits(logits, record.scaling, record.softcap)
    visible = record.visible()
    if visible.shape[1] > 1:
        seen = visible.expand(record.queries.shape[0], *visible.shape[1:])[prompt, :, position]
    else:
        seen = visible.expand(record.queries.shape[0], *visible.shape[1:])[prompt, 0, position][:, None]
    logits = logits.masked_fill(~seen, -torch.inf)
    if record.sinks is None:
        return torch.softmax(logits, -1)
    extra = record.sinks.float().view(1, -1, 1).expand(rows, -1, 1)
    return torch.softmax(torch.cat([logits, extra], -1), -1)[..., :-1]
