"""A chunk of text through the model, and the activations that are kept of it: what collecting does with each shard.

Pieces come as token ids, so that whoever reads a chunk needs no tokenizer; within a chunk they are sorted by length, so
that little is computed for padding. Each batch is captured on its own, so no hook is in the model at a safe point.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from analysis.engine.spread import Bench
from analysis.models.capture import Captured, capture, ordinary
from analysis.models.sites import Site


@dataclass(frozen=True)
class Piece:
    """A piece of a passage as the model reads it. ``offset``: which token of the passage its first token is, negative
    where start tokens come before.
    """

    document: int
    offset: int
    ids: list[int]


@dataclass(frozen=True)
class Reading:
    """What all chunks have in common. ``sites``: of each store; ``prefix``: start tokens of a piece; ``skip_first`` and
    ``norm_guard`` as in a recipe; ``batch_tokens``: the most tokens of a batch, padding included."""

    sites: tuple[tuple[Site, ...], ...]
    prefix: int
    skip_first: int
    norm_guard: float
    batch_tokens: int


@dataclass(frozen=True)
class Chunk:
    """Pieces of some passages, and for which ``stores`` (their places in :attr:`Reading.sites`) they are read. ``ids``
    of all pieces in a row; ``lengths``, ``documents``, ``offsets`` of each piece; int32."""

    stores: tuple[int, ...]
    ids: np.ndarray
    lengths: np.ndarray
    documents: np.ndarray
    offsets: np.ndarray


@dataclass(frozen=True)
class Rows:
    """As :class:`Captured`, with numpy arrays by the site's place in its store."""

    activations: dict[str, np.ndarray]
    tokens: np.ndarray
    documents: np.ndarray
    positions: np.ndarray
    dropped: int


@dataclass(frozen=True)
class ReadChunk:
    """For each store of a chunk the rows of each batch; ``tokens``: how many were read."""

    rows: tuple[tuple[Rows, ...], ...]
    tokens: int


def chunk_of(pieces: Sequence[Piece], stores: Sequence[int]) -> Chunk:
    """The pieces as a shard."""
    ids = np.array([i for piece in pieces for i in piece.ids], np.int32)
    columns = ([len(p.ids) for p in pieces], [p.document for p in pieces], [p.offset for p in pieces])
    return Chunk(tuple(stores), ids, *(np.array(column, np.int32) for column in columns))


def read_chunk(bench: Bench, common: Reading, shard: Chunk) -> ReadChunk:
    """The activations of a chunk. ``bench.progress`` is told, beside the share, the ``rows`` so far (of each of the
    ``stores``) and the ``tokens`` of the last batch."""
    ends = np.cumsum(shard.lengths)
    pieces = [
        Piece(int(document), int(offset), shard.ids[end - length : end].tolist())
        for document, offset, length, end in zip(shard.documents, shard.offsets, shard.lengths, ends, strict=True)
    ]
    kept: list[list[Rows]] = [[] for _ in shard.stores]
    read, whole = 0, len(shard.ids)
    for batch in _batches(pieces, common.batch_tokens):
        bench.check()
        for place, rows in enumerate(_captured(bench, batch, common, shard.stores)):
            kept[place].append(rows)
        tokens = sum(len(piece.ids) for piece in batch)
        read += tokens
        so_far = tuple(sum(len(rows.tokens) for rows in store) for store in kept)
        bench.progress(read / whole, "", rows=so_far, stores=shard.stores, tokens=tokens)
    return ReadChunk(tuple(map(tuple, kept)), read)


def captured_of(rows: Rows, sites: Sequence[Site]) -> Captured:
    """The rows as a store of these sites takes them."""
    tensors = [_tensor(rows.activations[str(n)]) for n in range(len(sites))]
    tokens, documents, positions = map(_tensor, (rows.tokens, rows.documents, rows.positions))
    return Captured(dict(zip(sites, tensors, strict=True)), tokens, documents, positions, rows.dropped)


def _batches(pieces: list[Piece], batch_tokens: int) -> Iterator[list[Piece]]:
    """Pieces sorted by length, in batches that hold at most ``batch_tokens`` tokens with padding (at least a piece)."""
    batch: list[Piece] = []
    for piece in sorted(pieces, key=lambda p: len(p.ids)):
        if batch and (len(batch) + 1) * len(piece.ids) > batch_tokens:
            yield batch
            batch = []
        batch.append(piece)
    if batch:
        yield batch


def _captured(bench: Bench, batch: list[Piece], common: Reading, stores: Sequence[int]) -> Iterator[Rows]:
    """What one batch gives to each store."""
    rows = ([*range(len(batch))], [p.ids for p in batch])  # "documents" are places in the batch, until here below
    offsets = torch.tensor([p.offset for p in batch], dtype=torch.int32)
    documents = torch.tensor([p.document for p in batch], dtype=torch.int32)
    # A start token is no part of any text, so its activation is left out even where nothing else is skipped.
    skip = max(common.skip_first, common.prefix)
    sites = [site for store in stores for site in common.sites[store]]
    for found in capture(bench.loaded, [rows], sites, skip_first=skip, norm_guard=None):
        place = found.documents.long()
        texts, positions = documents[place], found.positions + offsets[place]
        for store in stores:  # each leaves out what is too long at its own sites
            own = {site: found.activations[site] for site in common.sites[store]}
            keep = ordinary(own, common.norm_guard)
            kept = {str(n): values[keep].numpy() for n, values in enumerate(own.values())}
            tokens, own_texts, places = (t[keep].int().numpy() for t in (found.tokens, texts, positions))
            yield Rows(kept, tokens, own_texts, places, len(keep) - int(keep.sum()))


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.require(array, requirements="W"))
