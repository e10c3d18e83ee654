"""From one part to one head: what a part's change does by the straight way into a later head's query, key or value.

Two passes. In the first, the part is changed, and everything between it and the head is held as it was: heads and MLPs
give what they gave, so that the change reaches the head through the residual stream alone. In the second, nothing is
changed but the head's query (or keys, or values), which are those of the first; what follows is the model's own pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.models.ablation import MLP, Ablated, Change, plain_logits, rows_at_once
from analysis.models.hooks import Hook, available_sites, hooked
from analysis.models.loaded_model import LoadedModel
from analysis.models.midway import begun, last_logits, may_begin, outputs_behind
from analysis.models.patches import change_with
from analysis.models.recording import LayerAttention, tapped
from analysis.models.sites import Site

Side = Literal["query", "key", "value"]
SIDES: tuple[Side, ...] = get_args(Side)


class _Reached(Exception):
    """The head has what it is given; the rest of the first pass is not needed."""


@dataclass
class _Plain:
    """Of the plain pass, up to the head's block: outputs of heads (1, T, H, w) and of MLPs (1, T, D), and what stands
    behind the blocks; None where passes cannot begin there."""

    heads: dict[int, Tensor]
    mlps: dict[int, Tensor]
    behind: dict[int, Any] | None


def paths(
    loaded: LoadedModel,
    ids: Sequence[int],
    parts: Sequence[tuple[int, int]],
    change: Change,
    to: tuple[int, int],
    side: Side,
) -> Iterator[list[Ablated]]:
    """Yield, batch by batch, what the model predicts after the last of ``ids`` where the change of each part reaches
    only the ``side`` of head ``to`` (layer, head). Parts are of blocks before that layer.

    Raises UserError(field="model") where MLPs between them cannot be held.
    """
    layer = to[0]
    before = [part for part in parts if part[0] < layer]
    if not before:
        return
    others = [n for n in loaded.facts.other_layers if n < layer]
    if others:
        raise UserError(
            f"Layers {', '.join(map(str, others))} of this model mix tokens without softmax attention and cannot be "
            "held, so the straight way to a head cannot be told from the ways through them.",
            "model",
        )
    missing = set(range(min(n for n, _ in before), layer)) - set(available_sites(loaded).get("mlp_output", ()))
    if missing:
        raise UserError(
            f"The MLPs of blocks {', '.join(map(str, sorted(missing)))} of this model cannot be reached, so the way to "
            "a head cannot be told from the ways through them.",
            "model",
        )
    plain = _plain(loaded, ids, change, layer)
    size = rows_at_once(loaded, len(ids))
    for first in range(layer):
        heads = [head for number, head in before if number == first]
        for start in range(0, len(heads), size):
            yield _batch(loaded, ids, first, heads[start : start + size], change, plain, to, side)


@torch.no_grad()
def _plain(loaded: LoadedModel, ids: Sequence[int], change: Change, layer: int) -> _Plain:
    plain = _Plain({}, {}, None)

    def tap(record: LayerAttention, output: Tensor) -> None:
        if record.layer < layer:
            plain.heads[record.layer] = output.detach().clone()

    def mlp(number: int) -> Hook:
        def keep(x: Tensor) -> None:
            plain.mlps[number] = x.detach().clone()

        return keep

    sites = [n for n in available_sites(loaded).get("mlp_output", ()) if n < layer]
    with (
        change.ready(range(layer)),
        outputs_behind(loaded, range(layer)) as behind,
        tapped(tap),
        hooked(loaded, {Site(n, "mlp_output"): mlp(n) for n in sites}),
    ):
        logits = plain_logits(loaded, ids)
    if may_begin(loaded, ids, logits, layer, behind[layer - 1]):
        plain.behind = behind
    return plain


@torch.no_grad()
def _batch(
    loaded: LoadedModel,
    ids: Sequence[int],
    first: int,
    heads: Sequence[int],
    change: Change,
    plain: _Plain,
    to: tuple[int, int],
    side: Side,
) -> list[Ablated]:
    layer, head = to
    rows, texts = len(heads), torch.tensor([list(ids)]).expand(len(heads), -1)
    given: list[LayerAttention] = []

    def changed(record: LayerAttention, output: Tensor) -> Tensor | None:
        if record.layer == layer:
            given.append(record)
            raise _Reached
        if record.layer < first:
            return None
        output = plain.heads[record.layer].expand(rows, *output.shape[1:]).clone()
        if record.layer == first:
            for row, number in enumerate(heads):
                if number != MLP:
                    change.head(record, output, row, number)
        return output

    def held(number: int) -> Hook:
        def hook(x: Tensor) -> Tensor:
            x = plain.mlps[number].expand(rows, *x.shape[1:]).clone()
            if number == first and MLP in heads:
                change.mlp(number, x[heads.index(MLP)])
            return x

        return hook

    hooks = {Site(n, "mlp_output"): held(n) for n in range(first, layer)}
    start = None if plain.behind is None or not first else plain.behind[first - 1]
    try:
        with begun(loaded, first, start, rows), hooked(loaded, hooks), tapped(changed):
            last_logits(loaded, texts)
    except _Reached:
        pass

    def reaching(record: LayerAttention, output: Tensor) -> Tensor | None:
        if record.layer != layer:
            return None
        output = output.clone()
        for row in range(rows):
            moved = change_with(record, row, head, side, given[0], row)
            output[row, :, head] = (output[row, :, head] + moved).to(output.dtype)
        return output

    start = None if plain.behind is None else plain.behind[layer - 1]
    with begun(loaded, layer, start, rows), tapped(reaching):
        logits = last_logits(loaded, texts)
    return [Ablated(first, number, row) for number, row in zip(heads, logits, strict=True)]
