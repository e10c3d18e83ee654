"""Run a game through OthelloGPT with vectors added to the residual stream at its last position.

Only the last position is changed, so the earlier ones are computed once and kept as keys and values, and every
candidate (a method, a scale) is one row of a batch that runs a single position. Hooks are on the blocks only while that
batch runs, and are taken off whatever happens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from analysis.errors import UserError
from analysis.models.hooks import hooked
from analysis.models.loaded_model import LoadedModel
from analysis.models.sites import Site
from analysis.othello.squares import POSITIONS, token_of
from analysis.tpr.places import hooked_at


@dataclass(frozen=True)
class EditedRun:
    """``logits`` (S, 61) at the last position; ``residual`` (S, L, d) after each block there (or at the
    site that was edited), edits included.

    float64 for a model in float64, else float32.
    """

    logits: Tensor
    residual: Tensor

    @property
    def probabilities(self) -> Tensor:
        """(S, 61) without padding: column 0 is zero."""
        shares = self.logits.double().clone()
        shares[:, 0] = -torch.inf
        return shares.softmax(-1)


@torch.no_grad()
def run_edited(
    loaded: LoadedModel, moves: Sequence[int], vectors: Mapping[int, Tensor], site: str = "resid_post"
) -> EditedRun:
    """Play ``moves`` and read the last position S times, with ``vectors[layer]`` (S, d) added after that block, or at
    another site of it, which is then the one that is read.

    No vectors: one plain row. Rows whose vectors are all zero give exactly what a plain row of the same batch gives.
    Raises UserError(field="moves") for no moves or more than 59, (field="layer") for a block that is not there.
    """
    model: Any = loaded.model
    ids = _ids(loaded, moves, vectors)
    rows = len(next(iter(vectors.values()))) if vectors else 1
    cache: Any = DynamicCache(config=model.config)
    if len(moves) > 1:
        model.transformer(ids[:, :-1], past_key_values=cache, use_cache=True)
        if rows > 1:
            cache.batch_repeat_interleave(rows)
    streams: dict[int, Tensor] = {}

    def edited(layer: int, h: Tensor) -> Tensor | None:
        changed = h + vectors[layer][:, None].to(h) if layer in vectors else None
        streams[layer] = (h if changed is None else changed)[:, -1]
        return changed

    with hooked_at(loaded, site, {i: partial(edited, i) for i in range(loaded.facts.layers)}):
        position = torch.full((rows, 1), len(moves) - 1, device=ids.device)
        hidden = model.transformer(
            ids[:, -1:].expand(rows, 1), past_key_values=cache, position_ids=position, use_cache=True
        ).last_hidden_state
        logits: Tensor = model.lm_head(hidden[:, -1])
    residual = torch.stack([streams[i] for i in range(loaded.facts.layers)], 1)
    return EditedRun(_wide(logits), _wide(residual))


@torch.no_grad()
def run_slowly(loaded: LoadedModel, moves: Sequence[int], vectors: Mapping[int, Tensor]) -> Tensor:
    """Logits (61,) of the same by whole passes, one vector (d,) for each layer: what `run_edited` is checked by.

    Raises UserError as `run_edited` does.
    """
    ids = _ids(loaded, moves, vectors)

    def edited(vector: Tensor, h: Tensor) -> Tensor:
        h = h.clone()
        h[:, -1] += vector.to(h)
        return h

    with hooked(loaded, {Site(layer): partial(edited, vector) for layer, vector in vectors.items()}):
        return loaded.forward(ids, logits=True)[0, -1]


def _ids(loaded: LoadedModel, moves: Sequence[int], vectors: Mapping[int, Tensor]) -> Tensor:
    if not 1 <= len(moves) <= POSITIONS:
        raise UserError(f"An edit needs a game of 1 to {POSITIONS} moves, not {len(moves)}.", "moves")
    if any(not 0 <= layer < loaded.facts.layers for layer in vectors):
        raise UserError(f"This model has blocks 0 to {loaded.facts.layers - 1}.", "layer")
    return torch.tensor([[token_of(m) for m in moves]], device=loaded.device)


def _wide(vectors: Tensor) -> Tensor:
    return (vectors if vectors.dtype == torch.float64 else vectors.float()).cpu()
