"""The step of a factorization on shards of its tokens: sums for the features, and sweeps for the activations.

Tokens are rows that do not know of each other: given the features, each shard's activations are found where its tokens
are, and the next features need only G'G and G'X, which add up. The asker has all activations after each step; a node
keeps those of its shards, and is given them anew if it has not had that shard before.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from analysis.activations.rows import SHARDS_PER_HAND
from analysis.activations.store import ActivationStore
from analysis.engine.memory import Memory
from analysis.engine.spread import Bench, Spread
from analysis.models.sites import Site
from analysis.progress import Check, no_check
from analysis.snmf.updates import from_products, nonnegative, products, winner_take_all


@dataclass(frozen=True)
class Tokens:
    """Rows of a store at a site: of those from ``first`` to before ``stop`` the ones whose bit is set in ``chosen``
    (packed, uint8). ``number``: which shard this is."""

    folder: str
    site: Site
    number: int
    first: int
    stop: int
    chosen: np.ndarray

    def points(self, memory: Memory) -> tuple[Tensor, np.ndarray]:
        """X (n, d) float32 and X' (d, n) C-contiguous; from memory if they were read before."""
        key = ("tokens", self.folder, self.site, self.first, self.stop, self.chosen.tobytes())
        found: tuple[Tensor, np.ndarray] | None = memory.get(key)
        if found is None:
            mask = torch.zeros(self.stop, dtype=torch.bool)
            bits = np.unpackbits(self.chosen, count=self.stop - self.first)
            mask[self.first :] = torch.from_numpy(bits.astype(bool))
            x = ActivationStore(Path(self.folder)).read(self.site, mask)
            found = x, np.ascontiguousarray(x.T.numpy())
            memory.put(key, found, 8 * x.numel())
        return found


@dataclass(frozen=True)
class Step:
    """A step of one fit (``run``): features F (K, d) and the lengths (K,) by which activations are divided before the
    ``sweeps``. ``given``: activations before the step, by the number of the shard, for those that may lack them."""

    run: str
    iteration: int
    features: np.ndarray
    lengths: np.ndarray
    sweeps: int
    given: dict[str, np.ndarray]


@dataclass(frozen=True)
class Stepped:
    """After a step: activations G (n, K), G'G (K, K), G'X (K, d), and in float64 the sums of XF' * G and FF' * G'G.
    ``lacks``: the activations before it were not here, and nothing was done."""

    activations: np.ndarray
    gram: np.ndarray
    cross: np.ndarray
    fit: float
    square: float
    lacks: bool = False


def step(bench: Bench, common: Step, shard: Tokens) -> Stepped:
    """Sweeps over the activations of a shard."""
    bench.check()
    key = ("activations", common.run, shard.number)
    given = common.given.get(str(shard.number))
    number, before = bench.memory.get(key) or (-1, None)
    if given is not None:
        before = torch.from_numpy(np.array(given))
    elif before is None or number != common.iteration - 1:
        none = np.zeros((0, 0), np.float32)
        return Stepped(none, none, none, 0.0, 0.0, lacks=True)
    x, transposed = shard.points(bench.memory)
    features, lengths = (torch.from_numpy(np.array(array)) for array in (common.features, common.lengths))
    cross, gram = products(x, features, transposed)
    after = nonnegative(before / lengths, cross, gram, common.sweeps)
    bench.memory.put(key, (common.iteration, after), 4 * after.numel())
    fit, own = float((cross.double() * after).sum()), after.T @ after
    square = float((gram.double() * own.double()).sum())
    return Stepped(after.numpy(), own.numpy(), (after.T @ x).numpy(), fit, square)


class Shards:
    """The chosen tokens of a store in shards for the hands of a spread. ``check``: called while parts are waited for.

    ``begin`` before each fit; then :meth:`step` is that of the fit, with its sums from the shards.
    """

    def __init__(
        self, spread: Spread, store: ActivationStore, site: Site, chosen: Tensor, check: Check = no_check
    ) -> None:
        self._spread, self._check = spread, check
        rows = chosen.nonzero()[:, 0]
        each = -(-len(rows) // (SHARDS_PER_HAND * spread.hands))
        self._slices = [slice(first, min(first + each, len(rows))) for first in range(0, len(rows), each)]
        self._shards = []
        for number, part in enumerate(self._slices):
            first, stop = int(rows[part.start]), int(rows[part.stop - 1]) + 1
            bits = np.packbits(chosen[first:stop].numpy())
            self._shards.append(Tokens(str(store.path), site, number, first, stop, bits))

    def begin(self, activations: Tensor, x: Tensor) -> None:
        """A fit begins with these activations G (n, K) of the tokens X (n, d)."""
        self._run, self._iteration = uuid.uuid4().hex, 0
        self._gram, self._cross = activations.T @ activations, activations.T @ x

    def step(self, activations: Tensor, sparsity: float, sweeps: int, total: float) -> tuple[Tensor, Tensor, float]:
        """Activations (n, K) and features (K, d) after a step from these activations, and the loss."""
        features = winner_take_all(from_products(self._gram, self._cross), sparsity)
        lengths = self._gram.diagonal().clamp(min=0).sqrt().clamp(min=1e-8)
        features = features * lengths[:, None]
        wanted = list(range(len(self._shards)))
        parts: dict[int, Stepped] = {}
        first = not self._iteration
        while wanted:
            given = {str(n): activations[self._slices[n]].numpy() for n in wanted} if first else {}
            common = Step(self._run, self._iteration, features.numpy(), lengths.numpy(), sweeps, given)
            chosen = [self._shards[n] for n in wanted]
            found = zip(wanted, self._spread(step, common, chosen, check=self._check), strict=True)
            parts |= {n: part for n, part in found if not part.lacks}
            wanted = [n for n in wanted if n not in parts]
            first = True  # those that lack them now are given them
        order = [parts[n] for n in range(len(self._shards))]
        self._iteration += 1
        self._gram, self._cross = (
            torch.from_numpy(sum(getattr(part, name).astype(np.float64) for part in order)).to(features)
            for name in ("gram", "cross")
        )
        fit, square = sum(part.fit for part in order), sum(part.square for part in order)
        after = torch.from_numpy(np.concatenate([part.activations for part in order]))
        return after, features, max(total - 2 * fit + square, 0.0)
