"""Which channels come back for vectors that have nothing to do with one another.

A vocabulary has tokens that lie far out in a common direction for reasons of their own (rare pieces of words, closing
quotes), and the descent from almost anywhere can end there. Sets of top tokens are therefore grouped by what they
share; a group to which many random vectors come is an attractor of the model, and no finding about a neuron.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

SHARED = 7
"""So many of the 20 top tokens make two channels the same."""


@dataclass(frozen=True)
class Attractor:
    """A group of channels: the ids of its tokens, commonest first (20,), and the ``share`` of vectors with one."""

    tokens: tuple[int, ...]
    share: float

    def holds(self, top: Tensor) -> bool:
        """Whether a channel with these top tokens (20,) belongs to the group."""
        return len(set(self.tokens) & set(top.tolist())) >= SHARED


def attractors(top: Tensor, least: float = 0.02) -> list[Attractor]:
    """Groups that at least a share ``least`` of vectors come to, largest first; ``top`` (N, C, 20) token ids.

    Groups are taken greedily: the channel that shares tokens with most others founds the next one.
    """
    vectors, rounds, _ = top.shape
    flat = top.reshape(vectors * rounds, -1)
    owner = torch.arange(len(flat)) // rounds
    ids, places = flat.unique(return_inverse=True)
    # One row per channel with a one for each of its tokens: products count shared tokens.
    marks = torch.zeros(len(flat), len(ids)).scatter_(1, places, 1.0)
    alike = marks @ marks.T >= SHARED
    left = torch.ones(len(flat), dtype=torch.bool)
    found = []
    while bool(left.any()):
        counts = (alike & left).sum(1).masked_fill(~left, 0)
        founder = int(counts.argmax())
        members = alike[founder] & left
        left &= ~members
        share = len(owner[members].unique()) / vectors
        if share < least or int(members.sum()) < 2:
            if int(counts.max()) < 2:
                break
            continue
        common = marks[members].sum(0).argsort(descending=True, stable=True)[: flat.shape[1]]
        found.append(Attractor(tuple(ids[common].tolist()), share))
    return sorted(found, key=lambda a: -a.share)
