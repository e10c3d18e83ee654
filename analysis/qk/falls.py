"""By how much a prediction falls where one part of a model is changed, for many parts: the passes behind pictures of
the Attention page, over runs of blocks, here or on the nodes of a cluster.

Of each pass two numbers come back, so that logits do not travel. A run has whole blocks, so its batches are those of
one machine; it begins with a plain pass of its own, so one machine has one run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor

from analysis.engine.spread import Bench, Spread
from analysis.models.ablation import Ablated, Change, TakenOut, ablations
from analysis.models.patches import Patch, patches
from analysis.models.paths import paths
from analysis.models.site_patches import ALL, site_patches
from analysis.progress import Check, Progress

if TYPE_CHECKING:
    from analysis.models.loaded_model import LoadedModel

T = TypeVar("T")
RUNS_PER_HAND = 2
"""A lost node costs as much as one run; each begins with a plain pass."""


@dataclass(frozen=True)
class Prediction:
    """What is asked about: after the token ``ids``, ``token`` over ``against`` (-1: the mean of all). ``logits`` (V,)
    float32 with nothing changed."""

    ids: tuple[int, ...]
    token: int
    against: int
    logits: np.ndarray


@dataclass(frozen=True)
class PartChange:
    """What is made of each part: the ``baseline`` ("zero", "mean") in place of it, or the ``what`` of it in the runs of
    ``others``, one after the other, at ``positions`` (None: all). With ``to``, a (layer, head), the change reaches only
    the ``side`` of that head."""

    prediction: Prediction
    baseline: str = ""
    others: tuple[tuple[int, ...], ...] = ()
    what: str = "output"
    positions: tuple[int, ...] | None = None
    to: tuple[int, int] | None = None
    side: str = ""


@dataclass(frozen=True)
class Parts:
    """Heads and MLPs, as of :mod:`analysis.models.ablation`, in the order of their blocks."""

    parts: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class SiteChange:
    """A ``site`` at the first token of each of the ``pairs``, and at all, made as at the second in the run of
    ``other``."""

    prediction: Prediction
    other: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]
    site: str


@dataclass(frozen=True)
class Blocks:
    """The blocks in which a site is changed."""

    layers: tuple[int, ...]


@dataclass(frozen=True)
class Falls:
    """Falls of the logit difference and divergences from the plain prediction, in nats, float64: (n,) of parts, (n,
    pairs + 1) of blocks, all pairs last."""

    falls: np.ndarray
    moved: np.ndarray


def logit_difference(logits: Tensor, token: int, against: int) -> float:
    """The logit of a token less that of another one, or less the mean of all (-1)."""
    other = logits.double().mean() if against < 0 else logits[against].double()
    return float(logits[token].double() - other)


class _Plain:
    """The plain prediction, from which each pass is told apart."""

    def __init__(self, asked: Prediction) -> None:
        logits = torch.from_numpy(np.require(asked.logits, requirements="W"))
        self.asked, self.total = asked, logit_difference(logits, asked.token, asked.against)
        self.before = logits.double().log_softmax(-1)

    def against(self, logits: Tensor) -> tuple[float, float]:
        """By how much the difference falls, and how far the prediction moves."""
        fall = self.total - logit_difference(logits, self.asked.token, self.asked.against)
        after = logits.double().log_softmax(-1)
        return fall, float((self.before.exp() * (self.before - after)).sum())


def falls_of_parts(bench: Bench, common: PartChange, shard: Parts) -> Falls:
    """The falls of some parts, means over the runs of others where there are several. Raises UserError as
    :mod:`analysis.models.patches` and its like."""
    plain, times = _Plain(common.prediction), max(1, len(common.others))
    place = {part: n for n, part in enumerate(shard.parts)}
    falls, moved = (np.zeros(len(place)) for _ in range(2))
    done = 0
    for batch in _changed(bench.loaded, common, shard.parts):
        for one in batch:
            fall, far = plain.against(one.logits)
            falls[place[one.layer, one.head]] += fall / times
            moved[place[one.layer, one.head]] += far / times
        done += len(batch)
        bench.check()
        bench.progress(done / (len(place) * times), f"block {batch[-1].layer}")
    return Falls(falls, moved)


def _changed(loaded: LoadedModel, common: PartChange, parts: Sequence[tuple[int, int]]) -> Iterator[Sequence[Ablated]]:
    ids, positions = common.prediction.ids, common.positions
    if common.to is not None:
        change: Change = TakenOut(loaded, common.baseline)  # type: ignore[arg-type]
        if common.others:
            change = Patch(loaded, common.others[0], common.what, positions)  # type: ignore[arg-type]
        yield from paths(loaded, ids, parts, change, common.to, common.side)  # type: ignore[arg-type]
    elif common.others:
        for other in common.others:
            yield from patches(loaded, ids, other, parts, common.what, positions)  # type: ignore[arg-type]
    else:
        yield from ablations(loaded, ids, parts, common.baseline)  # type: ignore[arg-type]


def falls_of_sites(bench: Bench, common: SiteChange, shard: Blocks) -> Falls:
    """The falls of some blocks at each pair of tokens."""
    plain, columns = _Plain(common.prediction), len(common.pairs) + 1
    row = {layer: n for n, layer in enumerate(shard.layers)}
    column = {mine: n for n, (mine, _) in enumerate(common.pairs)} | {ALL: columns - 1}
    falls, moved = (np.zeros((len(row), columns)) for _ in range(2))
    done = 0
    runs = site_patches(
        bench.loaded, common.prediction.ids, common.other, common.pairs, common.site, shard.layers  # type: ignore[arg-type]
    )  # fmt: skip
    for batch in runs:
        for one in batch:
            at = row[one.layer], column[one.at]
            falls[at], moved[at] = plain.against(one.logits)
        done += len(batch)
        bench.check()
        bench.progress(done / falls.size, f"block {batch[-1].layer}")
    return Falls(falls, moved)


def over_parts(
    spread: Spread, common: PartChange, parts: Sequence[tuple[int, int]], blocks: int, progress: Progress, check: Check
) -> Falls:
    """:func:`falls_of_parts` of all ``parts`` of a model with so many ``blocks``, on whatever hands there are."""
    shards = [Parts(run) for run in runs_of(parts, lambda part: part[0], blocks, spread.hands)]
    told = _counted(progress, len(parts) * max(1, len(common.others)), "heads and MLPs")
    return _joined(spread(falls_of_parts, common, shards, progress=told, check=check))


def over_sites(
    spread: Spread, common: SiteChange, layers: Sequence[int], blocks: int, progress: Progress, check: Check
) -> Falls:
    """:func:`falls_of_sites` of all ``layers``, on whatever hands there are."""
    shards = [Blocks(run) for run in runs_of(layers, lambda layer: layer, blocks, spread.hands)]
    told = _counted(progress, len(layers) * (len(common.pairs) + 1), "places")
    return _joined(spread(falls_of_sites, common, shards, progress=told, check=check))


def runs_of(items: Sequence[T], layer: Callable[[T], int], blocks: int, hands: int) -> list[tuple[T, ...]]:
    """Items in the order of their blocks, in runs of whole blocks for so many hands, about equal in how many blocks are
    run for them: a change in block n runs what comes from there."""
    if hands == 1:
        return [tuple(items)]
    each = sum(blocks - layer(item) for item in items) / (RUNS_PER_HAND * hands)
    runs: list[list[T]] = []
    cost = 0
    for number, block in groupby(items, layer):
        held = list(block)
        own = len(held) * (blocks - number)
        if not runs or cost + own / 2 > each * len(runs):
            runs.append([])
        runs[-1] += held
        cost += own
    return [tuple(run) for run in runs]


def _counted(progress: Progress, count: int, what: str) -> Progress:
    """Tells how many are done of all, and at which block one of them is."""

    def told(share: float | None, text: str = "", **_facts: object) -> None:
        done = f"{round((share or 0.0) * count)} of {count} {what}"
        progress(share, f"{done}, {text}" if text else done)

    return told


def _joined(runs: Iterator[Falls]) -> Falls:
    held = list(runs)
    return Falls(*(np.concatenate([getattr(run, name) for run in held]) for name in ("falls", "moved")))
