"""Operations of the Othello page: the reading of a game, its binding, the shared pieces, the directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from analysis.artefacts import pair_files
from analysis.engine.context import Context
from analysis.engine.operation import Operation
from analysis.engine.question import Kind, Result, names_of
from analysis.errors import UserError
from analysis.fields import choice, whole
from analysis.othello.board import Board
from analysis.othello.sources import OthelloSource
from analysis.othello.squares import MOVES

if TYPE_CHECKING:
    from analysis.tpr.room import GameRead, Room

PROBES = ("linear", "tpr", "trilinear")
BINDING_PROBES = ("tpr", "tpr-full", "trilinear")
LABELS = ("parity", "mover")
MAX_LAYER = 200


def check_moves(moves: Any) -> None:
    """Refuse anything but a legal game, as squares. Raises UserError(field="moves")."""
    if not isinstance(moves, tuple) or len(moves) > MOVES or any(type(m) is not int for m in moves):
        raise UserError("A game is a list of at most sixty squares, each a number from 0 to 63.", "moves")
    Board.start().after(moves)


@dataclass(frozen=True)
class OfOthello(Operation):
    """Something about one OthelloGPT."""

    source: str = "bundled"

    def __post_init__(self) -> None:
        OthelloSource(self.source)

    def reads(self, context: Context) -> str:
        """Which weights and which probes a kept result belongs to."""
        from analysis.tpr.room import open_room

        room = open_room(context.memory, self.source)
        return f"{room.fingerprint} {room.probes.manifest.get('sha256', '')}"

    def room(self, context: Context) -> Room:
        """The network with its probes."""
        from analysis.tpr.room import open_room

        return open_room(context.memory, self.source)


@dataclass(frozen=True)
class OthelloFacts(OfOthello):
    """What the model is, how well it plays, how good its probes are: the figures kept beside weights and probes."""

    def run(self, context: Context) -> Result:
        from analysis.tpr.figures import figures_of

        room = self.room(context)
        return Result({"facts": room.facts(), **figures_of(room)})


@dataclass(frozen=True)
class OpenOthello(OfOthello):
    """Load a model and see that it plays: what it is, and its share of illegal first choices on some fresh games."""

    def run(self, context: Context) -> Result:
        from analysis.tpr.figures import opened

        return Result(opened(self.room(context), context.check))


@dataclass(frozen=True)
class OfGame(OfOthello):
    """Something about one position: ``ply`` counts the moves that have been played, 1 or more."""

    moves: tuple[int, ...] = ()
    ply: int = 1
    layer: int = 0
    labels: str = "parity"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_moves(self.moves)
        whole(self.ply, 1, max(1, len(self.moves)), "ply", "The ply")
        whole(self.layer, 0, MAX_LAYER, "layer", "The block")
        choice(self.labels, LABELS, "labels", "The labels")

    def read(self, context: Context) -> tuple[Room, GameRead, int]:
        """Room, pass over the game, and the row of this ply."""
        from analysis.tpr.room import read_game

        room = self.room(context)
        if self.layer >= room.layers:
            raise UserError(f"This model has blocks 0 to {room.layers - 1}.", "layer")
        game = read_game(context.memory, room, self.moves)
        if self.ply > len(game.moves):
            raise UserError("The model reads 59 moves; after the sixtieth there is nothing to predict.", "ply")
        return room, game, self.ply - 1


@dataclass(frozen=True)
class OthelloReading(OfGame):
    """What the model would play next, and the board that linear, TPR and trilinear probes read at a block.

    Arrays: ``next`` (64,) probability by square; ``truth`` (64,); ``linear``, ``tpr``, ``trilinear`` (64, 3).
    """

    def run(self, context: Context) -> Result:
        from analysis.tpr.room import beliefs, truth

        room, game, row = self.read(context)
        shares = game.next_probabilities(row)
        legal = list(Board.start().after(self.moves[: self.ply]).legal)
        off = 1.0 - float(shares[legal].sum()) if legal else 1.0
        positive = shares[shares > 0]
        found = beliefs(room, game, self.layer, row, PROBES, self.labels)
        classes = truth(self.moves, row, self.labels)
        arrays = {k: v for k, v in found.items() if not isinstance(v, str)}
        right = {k: int((v.argmax(-1) == classes).sum()) for k, v in arrays.items()}
        by_layer = {
            kind: [_right(room, game, kind, layer, row, self.labels, classes) for layer in range(room.layers)]
            for kind in PROBES
        }
        data = {
            "layers": room.layers,
            "missing": {k: v for k, v in found.items() if isinstance(v, str)},
            "right": right,
            "right_by_layer": by_layer,
            "legal": legal,
            "illegal_mass": off,
            "entropy": float(-(positive * np.log(positive)).sum()),
            "log_legal": float(np.log(len(legal))) if legal else 0.0,
        }
        return Result(data, {"next": shares.astype(np.float32), "truth": classes, **arrays})


def _right(room: Room, game: GameRead, kind: str, layer: int, row: int, labels: str, classes: np.ndarray) -> int | None:
    if room.probes.find(kind, layer, labels) is None:
        return None
    probe = room.probes.probe(kind, layer, labels)
    return int((np.asarray(probe.predict(game.residual[layer, row : row + 1]))[0] == classes).sum())


@dataclass(frozen=True)
class OthelloBinding(OfGame):
    """The binding of one position at a block. Arrays: ``binding`` (r, f), ``unbound`` (64, f), ``fillers`` (3, f),
    ``logits`` (64, 3), ``truth`` (64,)."""

    probe: str = "tpr"

    def __post_init__(self) -> None:
        super().__post_init__()
        choice(self.probe, BINDING_PROBES, "probe", "The probe")

    def run(self, context: Context) -> Result:
        from analysis.tpr.room import bound, truth

        room, game, row = self.read(context)
        probe = room.probes.probe(self.probe, self.layer, self.labels)
        found = bound(probe, game.residual[self.layer, row])
        arrays = {
            "binding": found.binding,
            "unbound": found.unbound,
            "fillers": found.fillers,
            "logits": found.logits,
        }
        return Result(
            {"probe": self.probe, "layer": self.layer},
            {n: a.astype(np.float32) for n, a in arrays.items()} | {"truth": truth(self.moves, row, self.labels)},
        )


@dataclass(frozen=True)
class OthelloRoles(OfGame):
    """Roles and fillers of a probe in one choice of coordinates, and what the choice leaves alone.

    ``gauge``: 0 for the coordinates of the fit, else the seed of a random invertible change of basis of roles and
    fillers. ``layer`` names the block; the game supplies the activations on which the logits before and after the
    change are compared.
    """

    probe: str = "tpr"
    gauge: int = 0
    embedding: str = "pca"

    def __post_init__(self) -> None:
        super().__post_init__()
        choice(self.probe, BINDING_PROBES, "probe", "The probe")
        choice(self.embedding, ("pca", "isomap"), "embedding", "The embedding")
        whole(self.gauge, 0, 2**31 - 1, "gauge", "The seed of the change of coordinates")

    def run(self, context: Context) -> Result:
        from analysis.tpr.pieces import pieces

        room, game, _row = self.read(context)
        probe = room.probes.probe(self.probe, self.layer, self.labels)
        return Result(*pieces(room, probe, game.residual[self.layer], self.gauge, self.embedding))


@dataclass(frozen=True)
class OthelloDirections(OfOthello):
    """The 192 directions of a TPR probe against those of the linear probe, and accuracy against parameters."""

    layer: int = 0
    probe: str = "tpr"
    labels: str = "parity"

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self.layer, 0, MAX_LAYER, "layer", "The block")
        choice(self.labels, LABELS, "labels", "The labels")

    def run(self, context: Context) -> Result:
        from analysis.tpr.pieces import directions_against_linear

        return Result(*directions_against_linear(self.room(context), self.layer, self.probe, self.labels))


@dataclass(frozen=True)
class FitProbes(OfOthello):
    """Fit the default probes of a model's blocks on fresh games, and keep them for this model."""

    kind: ClassVar[Kind] = "job"
    games: int = 1000
    first: int = 0
    last: int = 199
    labels: str = "parity"
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self.games, 100, 20_000, "games", "The number of games")
        whole(self.first, 0, MAX_LAYER, "layer", "The first block")
        whole(self.last, self.first, MAX_LAYER, "layer", "The last block")
        choice(self.labels, LABELS, "labels", "The labels")
        whole(self.seed, 0, 2**31 - 1, "seed", "The seed")

    def describe(self) -> str:
        return "Fit board probes"

    def run(self, context: Context) -> Result:
        from analysis.tpr.library import PROBE_SETS
        from analysis.tpr.pipeline import fit_here

        room = self.room(context)
        data = fit_here(room, self, context.progress, context.check)
        return Result(data, files=names_of(*pair_files(PROBE_SETS.own() / room.fingerprint)))
