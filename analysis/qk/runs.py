"""Batches of a contrast through the model, added to the sums of every layer: one after the other, or in runs of them
that other nodes take.

Sums are float64 and additive, so those of the runs, merged in their order, are those of all batches up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.engine.spread import Bench
from analysis.errors import UserError
from analysis.models.loaded_model import LoadedModel
from analysis.models.recording import LayerAttention, tapped, with_unrotated
from analysis.models.rotation import no_rotation
from analysis.qk.accumulate import LayerSums, on_device
from analysis.qk.batching import Batch

RUNS_PER_HAND = 2
"""A lost node costs as much as one run; the sums of each travel."""


@dataclass(frozen=True)
class Task:
    """Channels of the sums (the two halves and the relabellings), and which vectors: as in ``fit_contrast``."""

    channels: int
    rotary: str


@dataclass(frozen=True)
class Packed:
    """:class:`Batch` as arrays."""

    ids: np.ndarray
    mask: np.ndarray
    prompt: np.ndarray
    position: np.ndarray
    key_prompt: np.ndarray
    key_position: np.ndarray
    weights: np.ndarray
    positive: np.ndarray
    negative: np.ndarray
    owner: np.ndarray
    examples: int


@dataclass(frozen=True)
class Run:
    """Batches that follow each other."""

    batches: tuple[Packed, ...]


@dataclass(frozen=True)
class LayerPart:
    """The sums of one layer: ``heads``, ``key_heads`` and ``width`` of it, and :attr:`LayerSums.state`."""

    layer: int
    heads: int
    key_heads: int
    width: int
    sums: dict[str, np.ndarray]
    scored: int
    compared: int
    scaling: float


@dataclass(frozen=True)
class RunSums:
    """The sums of a run, and which layers rotate."""

    layers: tuple[LayerPart, ...]
    turned: tuple[int, ...]


def runs_of(batches: Iterable[Batch], hands: int) -> list[Run]:
    """Batches in runs for so many hands, equal in tokens as far as may be."""
    held = list(batches)
    each = sum(batch.tokens for batch in held) / (RUNS_PER_HAND * hands)
    runs: list[list[Batch]] = [[]]
    tokens = 0
    for batch in held:
        if runs[-1] and tokens >= each * len(runs):
            runs.append([])
        runs[-1].append(batch)
        tokens += batch.tokens
    return [Run(tuple(map(_packed, run))) for run in runs]


def add_run(bench: Bench, common: Task, shard: Run) -> RunSums:
    """The sums of a run. Raises UserError as ``fit_contrast``."""
    sums: dict[int, LayerSums] = {}
    turned: set[int] = set()
    with torch.no_grad():
        for n, packed in enumerate(shard.batches):
            bench.check()
            turned |= run_batch(bench.loaded, _batch(packed), sums, common.channels, common.rotary)
            if not n:
                check_layers(sums, turned, common.rotary)
            bench.progress((n + 1) / len(shard.batches))
    return RunSums(tuple(_part(layer, sums[layer]) for layer in sorted(sums)), tuple(sorted(turned)))


def merge(part: RunSums, sums: dict[int, LayerSums], device: torch.device, channels: int) -> set[int]:
    """Add the sums of a run to those of all, on the device of the model where that has float64; gives the layers that
    rotate."""
    place = device if device.type == "cuda" else torch.device("cpu")
    for layer in part.layers:
        if layer.layer not in sums:
            sums[layer.layer] = LayerSums(layer.heads, layer.key_heads, layer.width, channels, place)
        mine = sums[layer.layer]
        for name, value in mine.state.items():
            value += torch.from_numpy(np.require(layer.sums[name], requirements="W")).to(place)
        mine.scored += layer.scored
        mine.compared += layer.compared
        mine.scaling = layer.scaling
    return set(part.turned)


def _part(layer: int, sums: LayerSums) -> LayerPart:
    sums.flush()
    heads, _, width = sums.query_sum.shape
    arrays = {name: value.cpu().numpy() for name, value in sums.state.items()}
    return LayerPart(layer, heads, heads // sums.group, width, arrays, sums.scored, sums.compared, float(sums.scaling))


def _packed(batch: Batch) -> Packed:
    held: dict[str, Any] = {f.name: getattr(batch, f.name) for f in fields(Batch)}
    arrays: dict[str, Any] = {n: v.numpy() for n, v in held.items() if isinstance(v, Tensor)}
    return Packed(**{**held, **arrays})


def _batch(packed: Packed) -> Batch:
    held: dict[str, Any] = {f.name: getattr(packed, f.name) for f in fields(Packed)}
    made = {n: torch.from_numpy(np.require(v, requirements="W")) for n, v in held.items() if isinstance(v, np.ndarray)}
    return Batch(**{**held, **made})


def check_layers(sums: dict[int, LayerSums], turned: set[int], rotary: str) -> None:
    """Refuse, after the first batch, what could not be kept as one fit, or would be the fit after the embedding."""
    shapes = {n: tuple(s.query_sum.shape[::2]) for n, s in sorted(sums.items())}
    first = next(iter(shapes.items()), None)
    other = next(((n, shape) for n, shape in shapes.items() if first and shape != first[1]), None)
    if first and other:
        said = [f"layer {n} has {heads} of width {width}" for n, (heads, width) in (first, other)]
        raise UserError(
            f"The heads of this model differ between layers ({', '.join(said)}), and a fit takes layers of one shape. "
            "Its attention can be looked at, not fitted.",
            "model",
        )
    if rotary == "pre" and not turned:
        raise no_rotation()


def run_batch(loaded: LoadedModel, batch: Batch, sums: dict[int, LayerSums], channels: int, rotary: str) -> set[int]:
    """One forward pass over a batch, added to the sums of every layer; gives the layers that rotate, if asked."""
    here: dict[torch.device, Batch] = {}
    turned: set[int] = set()

    def add(record: LayerAttention, _output: Tensor) -> None:
        if record.queries.device.type not in ("cpu", "cuda"):  # no float64 there
            record = _on_cpu(record)
        where = record.queries.device
        if where not in here:
            here[where] = on_device(batch, where)
        if record.layer not in sums:
            _, heads, _, width = record.queries.shape
            sums[record.layer] = LayerSums(heads, record.keys.shape[1], width, channels, where)
        queries, keys = record.queries, record.keys
        if rotary == "pre" and record.unrotated is not None:
            turned.add(record.layer)
            queries, keys = record.unrotated
        sums[record.layer].add(queries, keys, here[where])
        sums[record.layer].score(record, here[where])

    with tapped(add), with_unrotated(loaded.model) if rotary == "pre" else nullcontext():
        loaded.forward(batch.ids, batch.mask)
    return turned


def _on_cpu(record: LayerAttention) -> LayerAttention:
    moved: dict[str, Any] = {n: v.cpu() for n, v in vars(record).items() if isinstance(v, Tensor)}
    before = record.unrotated
    return replace(record, **moved, unrotated=None if before is None else (before[0].cpu(), before[1].cpu()))
