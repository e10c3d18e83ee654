"""The activations of one recipe: a sequence of rows that only grows at its end, read in batches.

A fit reads far more activations than fit into memory, and goes through them many times; a description of it needs to
know which token of which passage a row is. Rows never change once they count, so "the first n rows" mean the same for
good, and a document that is held out once is held out always. How rows become numbers on disk is decided here:
float16, which holds every residual stream measured so far to a thousandth, and float32 from where a site exceeds it.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from analysis.activations.recipe import Recipe
from analysis.activations.room import amount
from analysis.activations.shards import Shards
from analysis.errors import UserError
from analysis.home import folder
from analysis.models.memory import host_memory
from analysis.models.sites import Site

if TYPE_CHECKING:
    from analysis.models.capture import Captured

SHARD_ROWS = 16_384
_HALF_MAX = 65_504.0  # the largest float16
_INDEX = ("tokens", "documents", "positions")


@dataclass(frozen=True)
class Batches:
    """Batches (M, D) float32 of one site that can be gone through any number of times; M is ``size`` but in the last.

    ``chosen`` (N,): boolean, which rows of the store.
    """

    shards: Shards
    site: Site
    size: int
    chosen: Tensor

    @property
    def rows(self) -> int:
        """How many activations one passage through the batches gives."""
        return int(self.chosen.sum())

    def __len__(self) -> int:
        return -(-self.rows // self.size)

    def __iter__(self) -> Iterator[Tensor]:
        waiting: list[Tensor] = []
        held = first = 0
        for number, entry in enumerate(list(self.shards.entries)):
            mask = self.chosen[first : first + entry["rows"]]
            first += entry["rows"]
            if not bool(mask.any()):
                continue
            rows = self.shards.array(number, site_key(self.site))[mask]
            # Full batches are cut straight out of the shard; only what is left over waits for the next one.
            while held + len(rows) >= self.size:
                cut = self.size - held
                yield torch.cat([part.float() for part in (*waiting, rows[:cut])])
                rows, waiting, held = rows[cut:], [], 0
            if len(rows):
                waiting.append(rows.clone())
                held += len(rows)
        if held:
            yield torch.cat([part.float() for part in waiting])


class ActivationStore:
    """The activations of one recipe, in the (seeded) order in which they were computed.

    To write: ``with store.writing():``, then :meth:`append` rows, :meth:`commit` finished passages, at the end of the
    corpus :meth:`finish`. What is committed is on disk when the block ends, however it ends.
    """

    _unfinished: list[Captured]  # rows of passages that are being worked on
    _ready: list[Captured]  # rows of finished passages, for the next shard
    _wide: set[Site]  # sites at which one of these rows exceeds float16
    _next: int  # the passage after the finished ones
    _dropped: int  # rows left out before it

    def __init__(self, path: Path, recipe: Recipe | None = None, *, shard_rows: int = SHARD_ROWS) -> None:
        """Open the store in a folder, or begin one there if a recipe is given (nothing is written yet).

        Raises UserError if there is none and no recipe; ValueError if the store there has another recipe.
        """
        self.path, self.shard_rows, self.shards = path, shard_rows, Shards(path)
        found = self._adopt()
        if found is None and recipe is None:
            raise UserError("The activations are no longer in the data folder. Collect them again.", "tokens")
        if found is not None and recipe is not None and found.key != recipe.key:
            raise ValueError("this folder holds activations of another recipe")
        self.recipe: Recipe = recipe or found  # type: ignore[assignment]
        self._begin()

    @classmethod
    def of(cls, recipe: Recipe) -> ActivationStore:
        """The store of a recipe in the data folder, begun if there is none."""
        return cls(folder("activations") / recipe.key, recipe)

    @property
    def rows(self) -> int:
        """How many activations are on disk."""
        return self.shards.rows

    @property
    def waiting(self) -> int:
        """How many were appended and are not on disk yet."""
        return _rows(self._ready) + _rows(self._unfinished)

    @property
    def complete(self) -> bool:
        """Whether the corpus is exhausted, so that the store will not grow."""
        return self.shards.complete

    @property
    def next_passage(self) -> int:
        """With which passage, in the seeded order, a run that goes on begins."""
        return int(self.shards.entries[-1]["next"]) if self.shards.entries else 0

    @property
    def dropped(self) -> int:
        """How many activations were left out for their norm before the end of the last shard."""
        return int(self.shards.entries[-1]["dropped"]) if self.shards.entries else 0

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the store for writing. Raises UserError if another process does."""
        with self.shards.writing():
            self._adopt()
            self._begin()
            try:
                yield
            finally:
                self._unfinished = []
                self.flush()

    def append(self, captured: Captured) -> None:
        """Add rows of passages that are being worked on; they count from the next :meth:`commit` on.

        Raises UserError if an activation is not a finite number.
        """
        for site in self.recipe.sites:
            values = captured.activations[site]
            largest = float(values.abs().max()) if values.numel() else 0.0
            if not np.isfinite(largest):
                raise UserError(
                    f"The activations at the {site.label} hold values that are not numbers, or too large for the "
                    "type of the model. Load the model in float32 or bfloat16.",
                    "model",
                )
            if largest > _HALF_MAX:
                self._wide.add(site)
        self._unfinished.append(captured)

    def commit(self, next_passage: int) -> None:
        """All passages before ``next_passage`` are finished. Writes a shard once enough rows are waiting."""
        self._dropped += sum(c.dropped for c in self._unfinished)
        self._ready += self._unfinished
        self._unfinished, self._next = [], next_passage
        if _rows(self._ready) >= self.shard_rows:
            self.flush()

    def finish(self) -> None:
        """The corpus is exhausted: write what is waiting and mark the store as complete."""
        self.flush()
        self.shards.head = {"recipe": self.recipe.to_dict(), "key": self.recipe.key}
        self.shards.complete = True
        self.shards.write_manifest()

    def flush(self) -> None:
        """Write the finished rows that are waiting. Raises UserError if there is no room for them."""
        ready, self._ready = self._ready, []  # given up if they cannot be written: the next run computes them again
        if not _rows(ready):
            return
        arrays = {n: torch.cat([getattr(c, n) for c in ready]).to("cpu", torch.int32).contiguous() for n in _INDEX}
        for site in self.recipe.sites:
            kind = torch.float32 if site in self._wide else torch.float16
            arrays[site_key(site)] = torch.cat([c.activations[site].to("cpu", kind) for c in ready]).contiguous()
        self.shards.head = {"recipe": self.recipe.to_dict(), "key": self.recipe.key}
        self.shards.add(arrays, _rows(ready), {"next": self._next, "dropped": self._dropped})
        self._wide = set()

    def index(self, rows: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """(tokens, documents, positions) of all rows, or of the first ``rows``; int32, each (N,).

        A document is the number of a passage in the list that was collected from; a position is a place among the
        tokens of that passage, start tokens not counted.
        """
        count = range(len(self.shards.entries))
        empty = torch.zeros(0, dtype=torch.int32)
        tokens, documents, positions = (
            torch.cat([empty, *(self.shards.array(i, name) for i in count)])[:rows] for name in _INDEX
        )
        return tokens, documents, positions

    def batches(self, site: Site, size: int = 4096, *, rows: Tensor | int | None = None) -> Batches:
        """The activations of a site in batches of ``size``.

        ``rows``: a boolean mask over the store (or its first rows), or how many of the first rows; None: all.
        Raises UserError(field="site") if the store has no such site, ValueError if the mask is longer than the store.
        """
        if site not in self.recipe.sites:
            raise UserError(f"There are no activations of the {site.label} here. Collect them first.", "site")
        chosen = torch.zeros(self.rows, dtype=torch.bool)
        if isinstance(rows, Tensor):
            if len(rows) > len(chosen):
                raise ValueError(f"a mask of {len(rows)} rows for a store of {len(chosen)}")
            chosen[: len(rows)] = rows.bool()
        else:
            chosen[:rows] = True
        return Batches(self.shards, site, size, chosen)

    def read(self, site: Site, rows: Tensor | int | None = None) -> Tensor:
        """The activations of a site at once, (N, D) float32. Raises UserError if they do not fit into memory."""
        found = self.batches(site, SHARD_ROWS, rows=rows)
        whole_bytes = 4 * found.rows * self.width(site)
        if whole_bytes > 0.6 * host_memory()[1]:
            raise UserError(
                f"{amount(whole_bytes)} of activations do not fit into the free memory of this machine. Take fewer.",
                "tokens",
            )
        whole = torch.empty(found.rows, self.width(site))
        first = 0
        for batch in found:
            whole[first : first + len(batch)] = batch
            first += len(batch)
        return whole

    def width(self, site: Site) -> int:
        """How many numbers an activation of the site has; 0 while there is none."""
        return self.shards.shape(0, site_key(site))[1] if self.shards.entries else 0

    def split(self, fraction: float, seed: int = 0, rows: int | None = None) -> tuple[Tensor, Tensor]:
        """Two boolean masks (N,) of the first ``rows``: to learn from, and held out. Documents are never divided.

        A draw from seed and number decides the side of a document, so it keeps its side while the store grows. About
        ``fraction`` of the documents are held out, at least one and never all. Raises UserError(field="texts") if
        there are fewer than two.
        """
        documents = self.index(rows)[1].numpy()
        every = np.unique(documents)
        if len(every) < 2:
            raise UserError(
                "All activations come from one passage, so none can be held out. Use more text, or separate its parts "
                "by blank lines.",
                "texts",
            )
        draws = np.array([_draw(seed, int(document)) for document in every])
        held = draws < min(max(fraction, float(np.nextafter(draws.min(), 1))), draws.max())
        mask = torch.from_numpy(np.isin(documents, every[held]))
        return ~mask, mask

    def delete(self) -> None:
        """Remove the store from the disk."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.shards.reload()
        self._begin()

    def _begin(self) -> None:
        self._unfinished, self._ready, self._wide = [], [], set()
        self._next, self._dropped = self.next_passage, self.dropped

    def _adopt(self) -> Recipe | None:
        """The recipe on disk. Shards without one that can be read (of another version) do not count."""
        try:
            if self.shards.head is not None:
                return Recipe.from_dict(self.shards.head["recipe"])
        except (UserError, ValueError, KeyError, TypeError):
            pass
        self.shards.head, self.shards.entries, self.shards.complete = None, [], False
        return None


def site_key(site: Site) -> str:
    """The name of a site's array in a shard."""
    return f"{site.kind}.{site.layer}"


def _rows(captured: list[Captured]) -> int:
    return sum(len(c.tokens) for c in captured)


def _draw(seed: int, document: int) -> float:
    """A number in [0, 1) that depends on seed and document only."""
    return int.from_bytes(hashlib.sha256(f"{seed} {document}".encode()).digest()[:6], "big") / 2**48
