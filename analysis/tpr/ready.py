"""An edit of the board that steers, read for the model of a page that knows nothing of Othello."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from analysis.errors import UserError
from analysis.models.loaded_model import LoadedModel
from analysis.models.sites import Site
from analysis.othello.board import Board
from analysis.othello.squares import NAMES, square_name, token_of
from analysis.steering import Add, Intervention
from analysis.steering.controls import random_direction
from analysis.steering.gates import Gate
from analysis.steering.prompt import ReadPrompt
from analysis.steering.ready import ReadySteer, Words
from analysis.tpr.cases import edited_legal
from analysis.tpr.editing import fixed_scale, usable_layers
from analysis.tpr.edits import PROBE_OF, edit_vector
from analysis.tpr.room import room_of
from analysis.tpr.steer import BoardSteer
from analysis.tpr.trials import units

if TYPE_CHECKING:
    from analysis.engine.context import Context

SITES = {"resid_post": "residual", "mlp_out": "mlp_output"}
"""Of the places that probes read, those at which a pass is steered."""


class ReadyBoard(ReadySteer):
    """An edit of up to four squares."""

    def __init__(self, steer: BoardSteer, context: Context, loaded: LoadedModel) -> None:
        """Raises UserError where the model is no OthelloGPT, or has not the probes of the edit."""
        self._steer = steer
        room = room_of(loaded, steer.probes)
        site = SITES.get(room.probes.site)
        if site is None:
            raise UserError(
                "These probes read between the parts of a block, where this page cannot steer. Take an edit by probes "
                "of the residual stream after a block.",
                "steer",
            )
        blocks = usable_layers(
            room, steer.method, range(steer.first, min(steer.last, room.layers - 1) + 1), steer.labels
        )
        scale = fixed_scale(room, steer.method) if steer.scale is None else steer.scale
        size = units(room, steer.unit)
        self._board = Board.start().after(steer.played)
        classes = self._board.classes(steer.labels)
        changes = [(s, classes[s], t) for s, t in steer.edits]
        self._vectors: dict[Site, torch.Tensor] = {}
        for layer in blocks:
            # As of analysis.tpr.editing.edit_position with seed 0.
            generator = torch.Generator().manual_seed(7919 * (layer + 1) if steer.method == "random" else 0)
            probe = room.probes.probe(PROBE_OF[steer.method], layer, steer.labels)
            direction = edit_vector(steer.method, probe, changes, classes, generator).float()
            self._vectors[Site(layer, site)] = scale * float(size[layer]) * direction
        self.lowest = blocks[0] - (site != "residual")

    def interventions(self, prompt: ReadPrompt) -> list[Intervention]:
        """Raises UserError where the prompt does not begin with the game."""
        return self._added(prompt, self._vectors, 1.0)

    def random(self, prompt: ReadPrompt, seed: int, scale: float) -> list[Intervention]:
        """Random directions of the edit's length, another in each block."""
        drawn = {site: random_direction(v, 1009 * seed + site.layer) for site, v in self._vectors.items()}
        return self._added(prompt, drawn, scale)

    def words(self) -> Words:
        """The moves that the edit makes legal."""
        legal = edited_legal(self._board, self._steer.edits, self._steer.labels)
        new = tuple(square_name(s) for s in sorted(set(legal) - set(self._board.legal)))
        return Words("the moves that the edit makes legal", new) if new else Words()

    def _added(self, prompt: ReadPrompt, vectors: dict[Site, torch.Tensor], scale: float) -> list[Intervention]:
        played = self._steer.played
        if prompt.ids[: len(played)] != [token_of(m) for m in played]:
            raise UserError(
                f"The edit is of the board after {game_text(played)}, and the prompt does not begin with that game. "
                "Make it the prompt, without the chat template.",
                "steer",
            )
        gate = Gate(span=(len(played) - 1, len(played)))
        return [Add(site, vector, scale, where="all", gate=gate) for site, vector in vectors.items()]


def game_text(moves: tuple[int, ...]) -> str:
    """A game as the tokenizer of OthelloGPT reads it."""
    return " ".join(NAMES[m] for m in moves)
