"""One part of a model made as in another run: what it gives, where it looks, or what it is given, for many parts.

The two runs are of prompts with as many tokens, aligned by position. A head's query, key, value or pattern of the other
run goes into its own attention, computed again with it; keys and values that heads share are changed for one head only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.models.ablation import Ablated, changes
from analysis.models.hooks import Hook, available_sites, hooked
from analysis.models.loaded_model import LoadedModel
from analysis.models.midway import last_logits
from analysis.models.recording import LayerAttention, tapped
from analysis.models.sites import Site

What = Literal["output", "pattern", "query", "key", "value"]
"""What of a part is taken from the other run: what it gives (of MLPs too), where a head looks, or what it is given."""
WHATS: tuple[What, ...] = get_args(What)


@dataclass
class _Other:
    """Of the other run: attention and its output (1, T, H, w) by block, outputs of MLPs (T, D)."""

    records: dict[int, LayerAttention]
    outputs: dict[int, Tensor]
    mlps: dict[int, Tensor]


class Patch:
    """The change of a part to what it was in the run of ``other`` token ids, at all tokens or at ``positions``."""

    def __init__(
        self, loaded: LoadedModel, other: Sequence[int], what: What, positions: Sequence[int] | None = None
    ) -> None:
        self.loaded, self.other, self.what = loaded, list(other), what
        self.places = slice(None) if positions is None else list(positions)
        self._run = _Other({}, {}, {})

    @contextmanager
    def ready(self, layers: range) -> Iterator[None]:
        """What these blocks do in the other run is kept."""
        self._run = run = _Other({}, {}, {})
        sites = [n for n in available_sites(self.loaded).get("mlp_output", ()) if n in layers]

        def tap(record: LayerAttention, output: Tensor) -> None:
            if record.layer in layers:
                run.records[record.layer], run.outputs[record.layer] = record, output.detach().clone()

        def mlp(layer: int) -> Hook:
            def keep(x: Tensor) -> None:
                run.mlps[layer] = x[0].detach().clone()

            return keep

        with torch.no_grad(), tapped(tap), hooked(self.loaded, {Site(n, "mlp_output"): mlp(n) for n in sites}):
            last_logits(self.loaded, torch.tensor([self.other]))
        yield

    def head(self, record: LayerAttention, output: Tensor, row: int, head: int) -> None:
        """As of :class:`analysis.models.ablation.Change`."""
        where = self.places
        if self.what == "output":
            output[row, where, head] = self._run.outputs[record.layer][0, where, head]
            return
        theirs = self._run.records[record.layer]
        moved = change_with(record, row, head, self.what, theirs, 0, where)
        output[row, :, head] = (output[row, :, head] + moved).to(output.dtype)

    def mlp(self, layer: int, rows: Tensor) -> None:
        """As of :class:`analysis.models.ablation.Change`; only what is given can be patched of an MLP."""
        rows[self.places] = self._run.mlps[layer][self.places]


def change_with(
    record: LayerAttention,
    row: int,
    head: int,
    what: str,
    other: LayerAttention,
    other_row: int,
    where: slice | list[int] = slice(None),
) -> Tensor:
    """By how much what a head gives changes, (T, w) float32, with the ``what`` of another record, a pattern, query, key
    or value, at tokens ``where``.

    Patterns are computed again here, in another order than the model's own attention; of the difference nothing is left
    where nothing changes, so what the model gave plus this is then what the model gave, bit for bit.
    """
    mine, theirs = _of_head(record, row, head), _of_head(other, other_row, head)
    values, weights = mine.values[0, 0].float(), mine.weights()[0, 0]
    if what == "value":
        moved = torch.zeros_like(values)
        moved[where] = theirs.values[0, 0, where].float() - values[where]
        return weights @ moved
    if what == "pattern":
        moved = torch.zeros_like(weights)
        moved[where] = theirs.weights()[0, 0, where] - weights[where]
        return moved @ values
    name = {"query": "queries", "key": "keys"}[what]
    own = getattr(mine, name).clone()
    own[0, 0, where] = getattr(theirs, name)[0, 0, where]
    return (replace(mine, **{name: own}).weights()[0, 0] - weights) @ values


def _of_head(record: LayerAttention, row: int, head: int) -> LayerAttention:
    """The record of one head in one row of a batch."""
    group, mask = head // record.group, record.mask
    if mask is not None:
        mask = mask[row : row + 1] if mask.shape[0] > 1 else mask
        mask = mask[:, head : head + 1] if mask.shape[1] > 1 else mask
    return replace(
        record,
        queries=record.queries[row : row + 1, head : head + 1],
        keys=record.keys[row : row + 1, group : group + 1],
        values=record.values[row : row + 1, group : group + 1],
        mask=mask,
        sinks=None if record.sinks is None else record.sinks[head : head + 1],
        unrotated=None,
    )


def patches(
    loaded: LoadedModel,
    ids: Sequence[int],
    other: Sequence[int],
    parts: Sequence[tuple[int, int]],
    what: What,
    positions: Sequence[int] | None = None,
) -> Iterator[list[Ablated]]:
    """Yield, batch by batch, what the model predicts after the last of ``ids`` with each part as in the run of
    ``other``, at ``positions`` or at all. Raises as :func:`same_length`.
    """
    same_length(ids, other)
    yield from changes(loaded, ids, parts, Patch(loaded, other, what, positions))


def same_length(ids: Sequence[int], other: Sequence[int]) -> None:
    """Raises UserError(field="other") for prompts of different lengths."""
    if len(ids) != len(other):
        raise UserError(
            f"The other prompt has {len(other):,} tokens here and this one {len(ids):,}: they are aligned token by "
            "token, so both need as many. Add or take away a word.",
            "other",
        )
