"""What a model predicts with one head or one MLP taken out, for many of them: one row of a batch each.

Up to the block that is changed every row is what the plain pass was, so those blocks are not run again: while a batch
runs they hand on what they gave then. Whether a model allows that is tried on the prompt itself, and where it does not,
whole passes are run. Between two batches the model is untouched, so that others may run and a cancelled job ends there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.models.batch import rows_together
from analysis.models.hooks import Hook, available_sites, hooked, layout
from analysis.models.loaded_model import LoadedModel
from analysis.models.midway import begun, last_logits, may_begin, outputs_behind
from analysis.models.recording import LayerAttention, Tap, tapped
from analysis.models.sites import Site

Baseline = Literal["zero", "mean"]
"""What stands in place of an output: nothing, at every token; or its mean over the prompt's tokens, the first aside,
which keeps its own: many models use it to park attention, and its vectors are like no other's."""
MLP = -1
"""In place of a head's number: the MLP of the block."""
_BATCH_TOKENS = 1024
_HELD = 256 << 20


@dataclass(frozen=True)
class Ablated:
    """``head`` of block ``layer`` (:data:`MLP`: its MLP), and the logits (V,) float32 after the last token without
    it."""

    layer: int
    head: int
    logits: Tensor


@dataclass
class _Plain:
    """What a plain pass gave: hidden states behind some blocks, means of heads (H, w) and MLPs (D,), logits (V,)."""

    behind: dict[int, Any]
    heads: dict[int, Tensor]
    mlps: dict[int, Tensor]
    logits: Tensor


@torch.no_grad()
def plain_logits(loaded: LoadedModel, ids: Sequence[int]) -> Tensor:
    """Logits (V,) float32 after the last token, with nothing taken out."""
    return last_logits(loaded, torch.tensor([list(ids)]))[0]


def parts_of(loaded: LoadedModel) -> list[tuple[int, int]]:
    """(layer, head) of every head whose attention is recorded, and (layer, MLP) where a block's MLP can be reached."""
    facts = loaded.facts
    counts = dict(zip(facts.attention_layers, facts.layer_heads, strict=True))
    mlps = set(available_sites(loaded).get("mlp_output", ()))
    parts: list[tuple[int, int]] = []
    for layer in range(facts.layers):
        parts += [(layer, head) for head in range(counts.get(layer, 0))]
        parts += [(layer, MLP)] if layer in mlps else []
    return parts


def ablations(
    loaded: LoadedModel, ids: Sequence[int], parts: Sequence[tuple[int, int]], baseline: Baseline
) -> Iterator[list[Ablated]]:
    """Yield, batch by batch and block by block, what the model predicts after the last of ``ids`` without each part.

    Raises UserError(field="baseline") for a mean over a prompt of one token.
    """
    if baseline == "mean" and len(ids) < 2:
        raise UserError("A prompt of one token has no mean over other tokens. Take zero.", "baseline")
    size = 1 if rows_together(loaded) == "alone" else max(1, _BATCH_TOKENS // len(ids))
    blocks = layout(loaded).blocks
    element = 2 if loaded.facts.dtype in ("float16", "bfloat16") else 4
    step = max(1, _HELD // (len(ids) * loaded.facts.hidden * element))
    by_layer = [[head for layer, head in parts if layer == number] for number in range(len(blocks))]
    skips: bool | None = None
    for start in range(0, len(blocks), step):
        layers = range(start, min(start + step, len(blocks)))
        if not any(by_layer[layer] for layer in layers):
            continue
        plain = _plain(loaded, ids, layers)
        if skips is None:
            later = [layer for layer in layers if layer > 0]
            middle = later[len(later) // 2] if later else 0
            skips = bool(later) and may_begin(loaded, ids, plain.logits, middle, plain.behind[middle - 1])
        for layer in layers:
            heads = by_layer[layer]
            for first in range(0, len(heads), size):
                yield _batch(loaded, ids, layer, heads[first : first + size], baseline, plain, skips)


@torch.no_grad()
def _batch(
    loaded: LoadedModel,
    ids: Sequence[int],
    layer: int,
    heads: Sequence[int],
    baseline: Baseline,
    plain: _Plain,
    skips: bool,
) -> list[Ablated]:
    hooks: dict[Site, Hook] = {}
    if MLP in heads:
        hooks[Site(layer, "mlp_output")] = _without_mlp(heads.index(MLP), baseline, plain.mlps.get(layer))
    behind = plain.behind.get(layer - 1) if skips and layer > 0 else None
    with (
        begun(loaded, layer, behind, len(heads)),
        hooked(loaded, hooks),
        tapped(_without_heads(layer, heads, baseline, plain.heads.get(layer))),
    ):
        logits = last_logits(loaded, torch.tensor([list(ids)]).expand(len(heads), -1))
    return [Ablated(layer, head, row) for head, row in zip(heads, logits, strict=True)]


def _without_heads(layer: int, heads: Sequence[int], baseline: Baseline, means: Tensor | None) -> Tap:
    def tap(record: LayerAttention, output: Tensor) -> Tensor | None:
        if record.layer != layer:
            return None
        output = output.clone()
        for row, head in enumerate(heads):
            if head != MLP:
                _replace(output[row, :, head], baseline, None if means is None else means[head])
        return output

    return tap


def _without_mlp(row: int, baseline: Baseline, mean: Tensor | None) -> Hook:
    def hook(x: Tensor) -> Tensor:
        x = x.clone()
        _replace(x[row], baseline, mean)
        return x

    return hook


def _replace(rows: Tensor, baseline: Baseline, mean: Tensor | None) -> None:
    """Write into rows (T, D)."""
    if baseline == "zero":
        rows.zero_()
    else:
        assert mean is not None
        rows[1:] = mean.to(rows)


@torch.no_grad()
def _plain(loaded: LoadedModel, ids: Sequence[int], layers: range) -> _Plain:
    """One pass; what is behind a block is kept for those that stand before one of ``layers``."""
    plain = _Plain({}, {}, {}, torch.zeros(0))
    mlps = [layer for layer in available_sites(loaded).get("mlp_output", ()) if layer in layers]

    def tap(record: LayerAttention, output: Tensor) -> None:
        if record.layer in layers:
            plain.heads[record.layer] = output[0, 1:].float().mean(0)

    def mlp(layer: int) -> Hook:
        def keep(x: Tensor) -> None:
            plain.mlps[layer] = x[0, 1:].float().mean(0)

        return keep

    with (
        outputs_behind(loaded, [n - 1 for n in layers if n > 0]) as behind,
        tapped(tap),
        hooked(loaded, {Site(n, "mlp_output"): mlp(n) for n in mlps}),
    ):
        plain.logits = plain_logits(loaded, ids)
    plain.behind = behind
    return plain
