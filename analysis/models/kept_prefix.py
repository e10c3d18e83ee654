"""What a model keeps of the beginning of a text, held in pieces so that texts with a common beginning share it.

Each piece is what one pass over one stretch of tokens left. A piece depends on all before it, so its key holds theirs.
Keys and values of plain attention are held as slices, whatever else a model keeps as a whole copy.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer


@dataclass(frozen=True)
class Piece:
    """What is kept of ``tokens`` tokens: (key, value) by layer, or ``whole``, all that is kept up to their end."""

    tokens: int
    layers: tuple[tuple[Tensor, Tensor], ...] = ()
    whole: Any = None

    @property
    def nbytes(self) -> int:
        """Bytes of the tensors, an estimate for a whole copy."""
        if self.whole is None:
            return sum(k.nbytes + v.nbytes for k, v in self.layers)
        tensors = [t for layer in getattr(self.whole, "layers", []) for t in vars(layer).values()]
        return sum(t.nbytes for t in tensors if isinstance(t, Tensor)) + 1


@dataclass(frozen=True)
class Before:
    """The beginning of a text that was read already: how many ``tokens``, and ``fresh``, what was kept of them, made
    anew at each call since a pass goes on in it."""

    tokens: int
    fresh: Callable[[], Any]


def piece_of(cache: Any, start: int) -> Piece:
    """What a cache holds of the tokens from ``start`` on."""
    end = int(cache.get_seq_length())
    if type(cache) is DynamicCache and all(type(layer) is DynamicLayer for layer in cache.layers):
        layers = tuple((la.keys[:, :, start:].clone(), la.values[:, :, start:].clone()) for la in cache.layers)
        return Piece(end - start, layers)
    return Piece(end - start, whole=copy.deepcopy(cache))


def joined(pieces: list[Piece]) -> Any:
    """A cache as if all pieces had just been read, one row; None for none."""
    if not pieces:
        return None
    if pieces[-1].whole is not None:
        return copy.deepcopy(pieces[-1].whole)
    cache = DynamicCache()
    for number, parts in enumerate(zip(*(piece.layers for piece in pieces), strict=True)):
        keys, values = (torch.cat([part[side] for part in parts], 2) for side in (0, 1))
        cache.update(keys, values, number)
    return cache
