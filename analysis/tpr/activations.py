"""Residual streams of OthelloGPT with the boards they should hold: one pass of the model fills all layers.

Only games of exactly sixty moves are used, as in the papers, so that every game gives 59 rows. Rows are kept in
float16 on the way (a layer of 4,000 games of width 128 is then 60 MB) and handed out in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.errors import UserError
from analysis.models.capture import capture
from analysis.models.loaded_model import LoadedModel
from analysis.models.sites import Site
from analysis.othello.games import Games, Labels, board_labels, random_games
from analysis.othello.squares import MOVES, POSITIONS
from analysis.progress import Check, Progress, no_check, silent
from analysis.tpr.places import hooked_at

PROBE_SEED = 30_000
"""The seed of the games on which probes are trained; those on which they are tested have the next one."""


@dataclass(frozen=True)
class Boards:
    """``rows`` = games x 59 positions. ``activations``: (rows, d) float16 for each layer; ``games``: whole games."""

    activations: dict[int, Tensor]
    games: Games

    def layer(self, layer: int) -> Tensor:
        """Activations (rows, d) float32 after a block, counted from 0."""
        return self.activations[layer].float()

    def labels(self, kind: Labels = "parity") -> NDArray[np.uint8]:
        """Boards (rows, 64): 0 empty, 1 just moved, 2 to move."""
        return board_labels(self.games, kind, POSITIONS).reshape(-1, 64)

    @property
    def plies(self) -> NDArray[np.int64]:
        """The ply (0..58) of each row."""
        return np.tile(np.arange(POSITIONS), len(self.games.tokens))


def whole_games(n: int, seed: int) -> Games:
    """The first ``n`` random games of a seed that last exactly sixty moves."""
    games = random_games(n + n // 50 + 50, seed)
    rows = np.flatnonzero(games.length == MOVES)[:n]
    if len(rows) < n:
        raise UserError(f"Only {len(rows)} games of sixty moves came up; ask for fewer.", "games")
    return games.take(rows)


def collect(
    loaded: LoadedModel,
    n: int,
    seed: int = PROBE_SEED,
    layers: Sequence[int] | None = None,
    batch: int = 100,
    progress: Progress = silent,
    check: Check = no_check,
) -> Boards:
    """Play ``n`` games of sixty moves through the model and keep the residual stream after the blocks named (all).

    Raises UserError(field="site") for a block that the model does not have, field="games" for a number below 1.
    """
    if n < 1:
        raise UserError("At least one game is needed.", "games")
    games = whole_games(n, seed)
    blocks = list(range(loaded.facts.layers)) if layers is None else sorted(set(layers))
    activations = {layer: torch.empty(n * POSITIONS, loaded.facts.hidden, dtype=torch.float16) for layer in blocks}
    tokens = games.tokens[:, :POSITIONS].tolist()
    starts = range(0, n, batch)
    batches = ((range(start, min(n, start + batch)), tokens[start : start + batch]) for start in starts)
    sites = [Site(layer) for layer in blocks]
    for start, part in zip(starts, capture(loaded, batches, sites, skip_first=0, norm_guard=None), strict=True):
        check()
        for site, rows in part.activations.items():
            activations[site.layer][start * POSITIONS : start * POSITIONS + len(rows)] = rows.half()
        progress(min(1.0, (start + batch) / n), "playing games through the model")
    return Boards(activations, games)


def collect_at(
    loaded: LoadedModel, n: int, seed: int, site: str, *, batch: int = 50, check: Check = no_check
) -> Boards:
    """As :func:`collect`, for any site of ``places.SITES`` and all blocks."""
    games = whole_games(n, seed)
    parts: list[list[Tensor]] = []
    for start in range(0, n, batch):
        check()
        streams, _ = read(loaded, torch.as_tensor(games.tokens[start : start + batch, :POSITIONS].tolist()), site)
        parts.append([stream.flatten(0, 1).half().cpu() for stream in streams])
    return Boards({i: torch.cat([p[i] for p in parts]) for i in range(loaded.facts.layers)}, games)


def read(loaded: LoadedModel, ids: Tensor, site: str = "resid_post") -> tuple[list[Tensor], Tensor]:
    """The residual stream (B, T, d) after each block, or another site of each, for token ids (B, T), and the logits
    (B, T, 61), from one pass.

    Taken by hooks: what transformers calls the last hidden state has already gone through the final norm.
    """
    streams: dict[int, Tensor] = {}
    with hooked_at(loaded, site, {i: partial(streams.__setitem__, i) for i in range(loaded.facts.layers)}):
        logits = loaded.forward(ids, logits=True)
    return [streams[i] for i in sorted(streams)], logits
