"""The chunks that some stores lack, as shards of the work, and what was read of them on its way into the stores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from analysis.activations.reading import Chunk, Piece, ReadChunk, captured_of, chunk_of
from analysis.activations.store import ActivationStore


class Chunks(Sequence[Chunk]):
    """Chunks made as they are asked for: what a store has by then is not read for it.

    ``lacking``: the stores, held for writing, and how many activations each is to have. ``bounds``: first and last
    passage of each chunk in the seeded order. ``pieces``: what is read of the passages between two bounds. ``short``:
    places of the stores that have too few activations yet.
    """

    def __init__(
        self,
        lacking: Sequence[tuple[ActivationStore, int]],
        bounds: Sequence[tuple[int, int]],
        pieces: Callable[[int, int], list[Piece]],
    ) -> None:
        self._lacking, self._pieces = lacking, pieces
        first = min(store.next_passage for store, _ in lacking)
        self._bounds = [bound for bound in bounds if bound[0] >= first]
        self._wanted: dict[int, tuple[int, ...]] = {}
        self.short = list(range(len(lacking)))

    def __len__(self) -> int:
        return len(self._bounds)

    def __getitem__(self, n: Any) -> Any:
        start, stop = self._bounds[n]
        wanted = [m for m in self.short if start >= self._lacking[m][0].next_passage]
        self._wanted[n] = tuple(wanted)
        return chunk_of(self._pieces(start, stop) if wanted else [], wanted)

    def add(self, n: int, part: ReadChunk) -> None:
        """Give what was read of a chunk to the stores that it was read for, if they still want it."""
        for m, batches in zip(self._wanted.pop(n), part.rows, strict=True):
            store = self._lacking[m][0]
            if m in self.short:
                for rows in batches:
                    store.append(captured_of(rows, store.recipe.sites))
                store.commit(self._bounds[n][1])
        self.short = [m for m in self.short if self._lacks(m)]

    def _lacks(self, m: int) -> bool:
        store, tokens = self._lacking[m]
        return store.rows + store.waiting < tokens
