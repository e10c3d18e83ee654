"""Some rows of a store as a shard of the work: a few numbers travel, and the rows are read where they are wanted.

Whoever works on a shard opens the store in the data folder, which all nodes see, and keeps the rows for the next call.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from analysis.activations.store import ActivationStore
from analysis.engine.memory import Memory
from analysis.models.sites import Site

SHARDS_PER_HAND = 2
"""A lost node costs as much of a pass as one of them."""


@dataclass(frozen=True)
class StoreRows:
    """Of the first ``rows`` of a store at a site, those on one side of the split by (``fraction``, ``seed``), ``held``
    out or not; of these the ``first`` to before the ``stop``-th."""

    folder: str
    site: Site
    rows: int
    fraction: float
    seed: int
    held: bool
    first: int
    stop: int

    def points(self, memory: Memory) -> Tensor:
        """The rows, (stop - first, D) float32; from memory if they were read before. Raises UserError if they are
        gone."""
        found: Tensor | None = memory.get(self)
        if found is None:
            store = ActivationStore(Path(self.folder))
            kept, held = store.split(self.fraction, self.seed, self.rows)
            chosen = held if self.held else kept
            place = chosen.nonzero()[:, 0]
            chosen[place[: self.first]] = False
            chosen[place[self.stop :]] = False
            found = store.read(self.site, chosen)
            memory.put(self, found, found.numel() * found.element_size())
        return found

    def shards(self, batch: int, hands: int) -> tuple[StoreRows, ...]:
        """The same rows in shards for so many hands. Each begins with a whole batch, so that the batches are those of
        the rows at once, and sums over them the same up to the order of addition."""
        count = -(-(self.stop - self.first) // batch)
        each = batch * -(-count // (SHARDS_PER_HAND * hands))
        starts = range(self.first, self.stop, each)
        return tuple(replace(self, first=start, stop=min(start + each, self.stop)) for start in starts)
