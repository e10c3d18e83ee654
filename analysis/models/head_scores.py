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


def head_scores(weights: Tensor, follows: Tensor | None) -> dict[str, Tensor]:
    """Scores (B, H) of attention ``weights`` (B, H, T, T), float32, with ``follows`` as of :func:`induction_targets`.

    NaN where a score is not defined: induction where nothing repeats, the distance where all attention is on the first
    token.
    """
    # Of a long prompt a few heads' weights are large already, so nothing here makes another of their size but one.
    rest = weights[:, :, 1:, 1:]
    place = torch.arange(1, weights.shape[-1], device=weights.device, dtype=torch.float64)
    by_query, by_key = rest.sum(-1, dtype=torch.float64), rest.sum(-2, dtype=torch.float64)
    mass = by_query.sum(-1)
    away = (by_query @ place - by_key @ place) / mass.clamp_min(1e-30)
    distance = torch.where(mass > _NOTHING * len(place), away, torch.nan).float()
    induction = torch.full_like(distance, torch.nan)
    if follows is not None:
        follows = follows.to(weights.device)
        asked = follows.any(-1).sum(-1)[:, None]
        share = (weights.flatten(2) @ follows.to(weights).flatten(1)[..., None])[..., 0]
        induction = torch.where(asked > 0, share / asked.clamp_min(1), torch.nan)
    return {
        "entropy": torch.special.entr(weights).sum(-1)[..., 1:].mean(-1),
        "sink": weights[..., 1:, 0].mean(-1),
        "previous": torch.diagonal(weights, -1, 2, 3).mean(-1),
        "induction": induction,
        "self": torch.diagonal(weights, 0, 2, 3)[..., 1:].mean(-1),
        "distance": distance,
    }


def induction_targets(rows: Sequence[Sequence[int]]) -> Tensor:
    """(B, T, T) booleans for rows of token ids of one length: for each query the tokens before it that followed an
    earlier copy of its own token."""
    ids = torch.tensor([list(row) for row in rows])
    same = (ids[:, :, None] == ids[:, None, :]).tril(-1)
    follow = torch.zeros_like(same)
    follow[..., 1:] = same[..., :-1]
    return follow.tril(-1)
