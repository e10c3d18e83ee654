"""How well a model plays: the share of illegal first choices by ply, and its loss above the floor of random play.

Random games cannot be predicted better than by the uniform distribution over the legal moves, so the floor of the loss
is the mean logarithm of their number, measured on the very games of the test.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from analysis.othello.games import Games, unpack
from analysis.othello.squares import PLAYABLE, POSITIONS
from analysis.progress import Check, no_check


@dataclass(frozen=True)
class Legality:
    """Measured over every prefix of ``games`` games that is followed by a move.

    ``illegal`` and ``mass``: shares of positions whose most likely move is illegal, and mean probability on illegal
    moves. ``loss`` and ``floor``: nats per move. ``illegal_by_ply`` (59,) and ``positions_by_ply`` (59,): entry t is
    for the move after ply t.
    """

    games: int
    positions: int
    illegal: float
    mass: float
    loss: float
    floor: float
    illegal_by_ply: list[float]
    positions_by_ply: list[int]


@torch.no_grad()
def legality(model: nn.Module, games: Games, batch: int = 250, check: Check = no_check) -> Legality:
    """Play the prefixes of games through a model that maps ids (B, 59) to ``.logits`` (B, 59, 61)."""
    wrong, total = np.zeros(POSITIONS), np.zeros(POSITIONS, np.int64)
    loss = mass = floor = 0.0
    device = next(model.parameters()).device
    for start in range(0, len(games.tokens), batch):
        check()
        part = games.take(slice(start, start + batch))
        ids = torch.from_numpy(part.tokens.astype(np.int64)).to(device)
        allowed = torch.from_numpy(legal_tokens(part.legal[:, :POSITIONS])).to(device)
        logits = model(ids[:, :POSITIONS], use_cache=False).logits.float()
        logp = logits.log_softmax(-1)
        there = ids[:, 1:] > 0
        best = logits.argmax(-1, keepdim=True)
        bad = ~allowed.gather(-1, best)[..., 0] & there
        wrong += bad.sum(0).cpu().numpy()
        total += there.sum(0).cpu().numpy()
        loss -= float(logp.gather(-1, ids[:, 1:, None])[..., 0][there].double().sum())
        mass += float((logp.exp() * ~allowed).sum(-1)[there].double().sum())
        floor += float(allowed.sum(-1)[there].double().log().sum())
    n = int(total.sum())
    if n == 0:
        raise ValueError("no position is followed by a move")
    by_ply = [float(w / t) if t else 0.0 for w, t in zip(wrong, total, strict=True)]
    return Legality(
        len(games.tokens), n, float(wrong.sum() / n), mass / n, loss / n, floor / n, by_ply, [int(t) for t in total]
    )


def legal_tokens(words: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Legal sets (...,) as booleans (..., 61) by token; padding is never legal."""
    bits = unpack(words)
    allowed = np.zeros((*words.shape, 61), np.bool_)
    allowed[..., 1:] = bits[..., list(PLAYABLE)]
    return allowed


def exact_targets(words: NDArray[np.uint64]) -> Tensor:
    """Legal sets (...,) as the uniform distribution over them, float32 (..., 61); zeros where no move is legal."""
    allowed = torch.from_numpy(legal_tokens(words)).float()
    return allowed / allowed.sum(-1, keepdim=True).clamp(min=1)
