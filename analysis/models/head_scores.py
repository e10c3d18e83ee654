"""What a head's attention looks like, in a few numbers: one definition for a prompt and for many texts.

Every score is a mean over the queries after the first, which can look at nothing but itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SCORES = ("entropy", "sink", "previous", "induction", "self", "distance")
"""Entropy in nats; shares of attention on the first token, one step back, on what followed earlier copies of the
query's token, and on itself; and the mean distance in tokens of the attention that is not on the first token, which
would else measure the sink again."""
_NOTHING = 1e-6


class ScoreSums:
    """Sums from which scores come, over queries that are handed over some at a time: of a long prompt the weights of
    all of them would be gigabytes. ``tokens``: T, of the whole."""

    def __init__(self, tokens: int) -> None:
        self._tokens, self._sums = tokens, dict[str, Tensor]()

    def add(self, weights: Tensor, row: int = 0, key: int = 0, follows: Tensor | None = None) -> None:
        """Attention ``weights`` (B, H, r, k) float32 of the queries from ``row`` on to the keys from ``key`` on, which
        are all that they see; ``follows`` (B, r, T) of all keys, as of :func:`induction_targets`."""
        # Of a long prompt a few heads' weights are large already, so nothing here makes another of their size but one.
        here = weights.device
        if row == 0:
            weights, row = weights[:, :, 1:], 1  # the first query can look at nothing but itself
            follows = None if follows is None else follows[:, 1:]
        rows, keys = weights.shape[2:]
        count = torch.arange(rows, device=here)
        queries = (count + row).double()
        places = (torch.arange(keys, device=here) + key).double()
        rest = weights[..., 1:] if key == 0 else weights
        by_query, by_key = rest.sum(-1).double(), rest.sum(-2).double()
        self._put("entropy", torch.special.entr(weights).sum(-1).sum(-1, dtype=torch.float64))
        self._put("sink", weights[..., 0].sum(-1, dtype=torch.float64) if key == 0 else by_query.sum(-1) * 0)
        self._put("mass", by_query.sum(-1))
        self._put("away", by_query @ queries - by_key @ (places[1:] if key == 0 else places))
        for name, back in (("previous", 1), ("self", 0)):
            at = count + row - back - key
            there = (at >= 0) & (at < keys)
            self._put(name, weights[:, :, count[there], at[there]].sum(-1, dtype=torch.float64))
        if follows is not None:
            follows = follows.to(here)
            # A query asks for what lies outside its window, too.
            self._put("asked", follows.any(-1).sum(-1)[:, None].double())
            share = weights.flatten(2) @ follows[..., key : key + keys].to(weights).flatten(1)[..., None]
            self._put("induction", share[..., 0].double())

    def _put(self, name: str, value: Tensor) -> None:
        self._sums[name] = self._sums[name] + value if name in self._sums else value

    def result(self) -> dict[str, Tensor]:
        """Scores (B, H) float32, NaN where one is not defined: induction where nothing repeats, the distance where all
        attention is on the first token."""
        sums, count = self._sums, self._tokens - 1
        found = {name: (sums[name] / count).float() for name in ("entropy", "sink", "previous", "self")}
        away = sums["away"] / sums["mass"].clamp_min(1e-30)
        found["distance"] = torch.where(sums["mass"] > _NOTHING * count, away, torch.nan).float()
        found["induction"] = torch.full_like(found["distance"], torch.nan)
        if "asked" in sums:
            share = sums["induction"] / sums["asked"].clamp_min(1)
            found["induction"] = torch.where(sums["asked"] > 0, share, torch.nan).float()
        return {name: found[name] for name in SCORES}


def head_scores(weights: Tensor, follows: Tensor | None) -> dict[str, Tensor]:
    """Scores (B, H) of attention ``weights`` (B, H, T, T), float32, with ``follows`` as of :func:`induction_targets`.

    NaN as of :meth:`ScoreSums.result`.
    """
    sums = ScoreSums(weights.shape[-1])
    sums.add(weights, follows=follows)
    return sums.result()


def induction_targets(rows: Sequence[Sequence[int]], queries: slice = slice(None)) -> Tensor:
    """(B, q, T) booleans for rows of token ids of one length T: for each query, all or some, the tokens before it that
    followed an earlier copy of its own token."""
    ids = torch.tensor([list(row) for row in rows])
    place = torch.arange(ids.shape[1])
    before = torch.cat([torch.full_like(ids[:, :1], -1), ids[:, :-1]], 1)
    return (ids[:, queries, None] == before[:, None]) & (place < place[queries, None])
