"""Residual streams of OthelloGPT with the boards they should hold: one pass of the model fills all layers.

Only games of exactly sixty moves are used, as in the papers, so that every game gives 59 rows. Rows are kept in
float16 on the way (a layer of 4,000 games of width 128 is then 60 MB) and handed out in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import GPT2LMHeadModel

from analysis.errors import UserError
from analysis.othello.games import Games, Labels, board_labels, random_games
from analysis.othello.squares import MOVES, POSITIONS
from analysis.progress import Check, Progress, no_check, silent

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


@torch.no_grad()
def collect(
    model: GPT2LMHeadModel,
    n: int,
    seed: int = PROBE_SEED,
    layers: Sequence[int] | None = None,
    batch: int = 100,
    progress: Progress = silent,
    check: Check = no_check,
) -> Boards:
    """Play ``n`` games of sixty moves through the model and keep the residual stream after the blocks named (all).

    Raises UserError(field="layer") for a block that the model does not have, field="games" for a number below 1.
    """
    if n < 1:
        raise UserError("At least one game is needed.", "games")
    games = whole_games(n, seed)
    blocks = list(range(model.config.n_layer)) if layers is None else sorted(set(layers))
    activations = {layer: torch.empty(n * POSITIONS, model.config.n_embd, dtype=torch.float16) for layer in blocks}
    for start in range(0, n, batch):
        check()
        ids = torch.from_numpy(games.tokens[start : start + batch, :POSITIONS].astype(np.int64))
        streams = residuals(model, ids, blocks)
        rows = slice(start * POSITIONS, start * POSITIONS + ids.numel())
        for layer in blocks:
            activations[layer][rows] = streams[layer].flatten(0, 1).half().cpu()
        progress(min(1.0, (start + batch) / n), "playing games through the model")
    return Boards(activations, games)


@torch.no_grad()
def residuals(model: GPT2LMHeadModel, ids: Tensor, layers: Sequence[int] | None = None) -> dict[int, Tensor]:
    """The residual stream (B, T, d) after each block named (all) for token ids (B, T)."""
    return read(model, ids, layers)[0]


@torch.no_grad()
def read(model: GPT2LMHeadModel, ids: Tensor, layers: Sequence[int] | None = None) -> tuple[dict[int, Tensor], Tensor]:
    """Residual streams as `residuals` gives them, and the logits (B, T, 61), from one pass.

    Taken by hooks: what transformers calls the last hidden state has already gone through the final norm.
    """
    blocks = model.transformer.h
    indices = list(range(len(blocks))) if layers is None else list(layers)
    if any(not 0 <= layer < len(blocks) for layer in indices):
        raise UserError(f"This model has blocks 0 to {len(blocks) - 1}.", "layer")
    streams: dict[int, Tensor] = {}

    def keep(layer: int) -> Callable[..., None]:
        def hook(_module: object, _inputs: object, output: Tensor | tuple[Tensor, ...]) -> None:
            streams[layer] = output if isinstance(output, Tensor) else output[0]

        return hook

    handles = [blocks[layer].register_forward_hook(keep(layer)) for layer in indices]
    try:
        logits: Tensor = model(ids.to(blocks[0].ln_1.weight.device), use_cache=False).logits
    finally:
        for handle in handles:
            handle.remove()
    return streams, logits
