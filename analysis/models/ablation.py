"""What a model predicts with one head or one MLP taken out, for many of them: one row of a batch each.

Up to the block that is changed every row is what the plain pass was, so those blocks are not run again: while a batch
runs they hand on what they gave then. Whether a model allows that is tried on the prompt itself, and where it does not,
whole passes are run. Between two batches the model is untouched, so that others may run and a cancelled job ends there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

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
    """``head`` of block ``layer`` (:data:`MLP`: its MLP), and the logits (V,) float32 after the last token with it
    changed."""

    layer: int
    head: int
    logits: Tensor


class HeadChange(Protocol):
    """What is made of the output of one head, in the row of a batch that changes it."""

    def head(self, record: LayerAttention, output: Tensor, row: int, head: int) -> None:
        """Write a head's outputs (T, w) into ``output[row, :, head]``."""


class Change(HeadChange, Protocol):
    """The same of any part."""

    def ready(self, layers: range) -> AbstractContextManager[None]:
        """Open around the plain pass that is made before parts of ``layers`` are changed, to keep what is needed."""

    def mlp(self, layer: int, rows: Tensor) -> None:
        """Write an MLP's outputs into ``rows`` (T, D)."""


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
    yield from changes(loaded, ids, parts, TakenOut(loaded, baseline))


def changes(
    loaded: LoadedModel, ids: Sequence[int], parts: Sequence[tuple[int, int]], change: Change
) -> Iterator[list[Ablated]]:
    """Yield, batch by batch and block by block, what the model predicts after the last of ``ids`` with each part
    changed, one at a time."""
    size, step = rows_at_once(loaded, len(ids)), blocks_at_once(loaded, len(ids))
    blocks = layout(loaded).blocks
    by_layer = [[head for layer, head in parts if layer == number] for number in range(len(blocks))]
    skips: bool | None = None
    for start in range(0, len(blocks), step):
        layers = range(start, min(start + step, len(blocks)))
        if not any(by_layer[layer] for layer in layers):
            continue
        with change.ready(layers), outputs_behind(loaded, [n - 1 for n in layers if n > 0]) as behind:
            plain = plain_logits(loaded, ids)
        if skips is None:
            later = [layer for layer in layers if layer > 0]
            middle = later[len(later) // 2] if later else 0
            skips = bool(later) and may_begin(loaded, ids, plain, middle, behind[middle - 1])
        for layer in layers:
            heads = by_layer[layer]
            for first in range(0, len(heads), size):
                given = behind[layer - 1] if skips and layer > 0 else None
                yield _batch(loaded, ids, layer, heads[first : first + size], change, given)


def rows_at_once(loaded: LoadedModel, tokens: int) -> int:
    """How many parts are changed in one batch, of a prompt of so many tokens."""
    return 1 if rows_together(loaded) == "alone" else max(1, _BATCH_TOKENS // tokens)


def blocks_at_once(loaded: LoadedModel, tokens: int) -> int:
    """Of how many blocks the outputs are held, so that the blocks before do not run again."""
    element = 2 if loaded.facts.dtype in ("float16", "bfloat16") else 4
    return max(1, _HELD // (tokens * loaded.facts.hidden * element))


@torch.no_grad()
def _batch(
    loaded: LoadedModel, ids: Sequence[int], layer: int, heads: Sequence[int], change: Change, behind: Any
) -> list[Ablated]:
    def mlp(x: Tensor) -> Tensor:
        x = x.clone()
        change.mlp(layer, x[heads.index(MLP)])
        return x

    hooks = {Site(layer, "mlp_output"): mlp} if MLP in heads else {}
    tap = changed_rows([(layer, head) for head in heads], change)
    with begun(loaded, layer, behind, len(heads)), hooked(loaded, hooks), tapped(tap):
        logits = last_logits(loaded, torch.tensor([list(ids)]).expand(len(heads), -1))
    return [Ablated(layer, head, row) for head, row in zip(heads, logits, strict=True)]


def changed_rows(parts: Sequence[tuple[int, int] | None], change: HeadChange) -> Tap:
    """A tap under which row n of a batch has the head ``parts[n]`` = (layer, head) changed; rows of None, or of an MLP,
    are left alone."""

    def tap(record: LayerAttention, output: Tensor) -> Tensor | None:
        mine = [(row, part[1]) for row, part in enumerate(parts) if part is not None and part[0] == record.layer]
        if not mine:
            return None
        output = output.clone()
        for row, head in mine:
            if head != MLP:
                change.head(record, output, row, head)
        return output

    return tap


class TakenOut:
    """A :class:`Change`: zero in place of a part, or its mean over the prompt."""

    def __init__(self, loaded: LoadedModel, baseline: Baseline) -> None:
        self.loaded, self.baseline = loaded, baseline
        self._heads: dict[int, Tensor] = {}
        self._mlps: dict[int, Tensor] = {}

    @contextmanager
    def ready(self, layers: range) -> Iterator[None]:
        """Means of heads (H, w) and MLPs (D,) of these blocks are kept."""
        self._heads, self._mlps = {}, {}
        sites = [n for n in available_sites(self.loaded).get("mlp_output", ()) if n in layers]

        def tap(record: LayerAttention, output: Tensor) -> None:
            if record.layer in layers:
                self._heads[record.layer] = output[0, 1:].float().mean(0)

        def mlp(layer: int) -> Hook:
            def keep(x: Tensor) -> None:
                self._mlps[layer] = x[0, 1:].float().mean(0)

            return keep

        with tapped(tap), hooked(self.loaded, {Site(n, "mlp_output"): mlp(n) for n in sites}):
            yield

    def head(self, record: LayerAttention, output: Tensor, row: int, head: int) -> None:
        """As of :class:`Change`."""
        self._replace(output[row, :, head], self._heads[record.layer][head])

    def mlp(self, layer: int, rows: Tensor) -> None:
        """As of :class:`Change`."""
        self._replace(rows, self._mlps[layer])

    def _replace(self, rows: Tensor, mean: Tensor) -> None:
        if self.baseline == "zero":
            rows.zero_()
        else:
            rows[1:] = mean.to(rows)
