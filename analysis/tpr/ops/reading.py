"""Operations of the Othello page: the reading of a game, its binding, the shared pieces, the directions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np

from analysis.answer import to_wire
from analysis.artefacts import pair_files
from analysis.engine.context import Context
from analysis.engine.operation import A, Operation
from analysis.engine.question import Kind, Result, names_of
from analysis.errors import UserError
from analysis.fields import Choice, Text, Whole, whole
from analysis.models.spec import ModelSpec
from analysis.othello.board import Board
from analysis.othello.sources import OthelloSource
from analysis.othello.squares import MOVES
from analysis.tpr.answers.model import ModelCheck, ModelFigures, ProbeFit
from analysis.tpr.answers.reading import GameBinding, GameReading, ProbeDirections, ProbeRoles

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
class OfOthello(Operation[A]):
    """Something about one OthelloGPT. ``probes``: a set of others that was opened for it, empty for its own."""

    source: str = "bundled"
    probes: Annotated[str, Text(81, words="The set of probes")] = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        # Named once, since whoever asks later which model this needs must not hear of a path that is gone.
        object.__setattr__(self, "_model", OthelloSource(self.source).spec)
        super().__post_init__()

    @property
    def model(self) -> ModelSpec:
        """The network, as the models in memory name it."""
        spec: ModelSpec = self.__dict__["_model"]
        return spec

    def load(self, context: Context) -> None:
        self.room(context)

    def reads(self, context: Context) -> str:
        """Which weights and which probes a kept result belongs to."""
        from analysis.tpr.room import open_room

        room = open_room(context, self.source, fresh=False, probes=self.probes)
        return f"{room.fingerprint} {room.probes.manifest.get('sha256', '')}"

    def room(self, context: Context) -> Room:
        """The network with its probes."""
        from analysis.tpr.room import open_room

        return open_room(context, self.source, probes=self.probes)


@dataclass(frozen=True)
class OthelloFacts(OfOthello[ModelFigures]):
    """What the model is, how well it plays, how good its probes are: the figures kept beside weights and probes."""

    def run(self, context: Context) -> ModelFigures:
        from analysis.tpr.figures import figures_of

        return figures_of(self.room(context))


@dataclass(frozen=True)
class OpenOthello(OfOthello[ModelCheck]):
    """Load a model and see that it plays: what it is, and its share of illegal first choices on some fresh games."""

    def run(self, context: Context) -> ModelCheck:
        from analysis.tpr.figures import check_play

        return check_play(self.room(context), context.check)


@dataclass(frozen=True)
class OfGame(OfOthello[A]):
    """Something about one position: ``ply`` counts the moves that have been played, 1 or more."""

    moves: tuple[int, ...] = ()
    ply: int = 1
    layer: Annotated[int, Whole(0, MAX_LAYER, words="The block")] = 0
    labels: Annotated[str, Choice(LABELS, words="The labels")] = "parity"

    def __post_init__(self) -> None:
        check_moves(self.moves)
        whole(self.ply, 1, max(1, len(self.moves)), "ply", "The ply")
        super().__post_init__()

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
class OthelloReading(OfGame[GameReading]):
    """What the model would play next, and the board that linear, TPR and trilinear probes read at a block."""

    def run(self, context: Context) -> GameReading:
        from analysis.tpr.room import beliefs, truth

        room, game, row = self.read(context)
        shares = game.next_probabilities(row)
        legal = Board.start().after(self.moves[: self.ply]).legal
        positive = shares[shares > 0]
        boards, missing = beliefs(room, game, self.layer, row, PROBES, self.labels)
        classes = truth(self.moves, row, self.labels)
        return GameReading(
            layers=room.layers,
            missing=missing,
            right={kind: int((board.argmax(-1) == classes).sum()) for kind, board in boards.items()},
            right_by_layer={
                kind: tuple(_right(room, game, kind, layer, row, self.labels, classes) for layer in range(room.layers))
                for kind in PROBES
            },
            legal=tuple(legal),
            illegal_mass=1.0 - float(shares[list(legal)].sum()) if legal else 1.0,
            entropy=float(-(positive * np.log(positive)).sum()),
            log_legal=float(np.log(len(legal))) if legal else 0.0,
            next=shares.astype(np.float32),
            truth=classes,
            **boards,
        )


def _right(room: Room, game: GameRead, kind: str, layer: int, row: int, labels: str, classes: np.ndarray) -> int | None:
    if room.probes.find(kind, layer, labels) is None:
        return None
    probe = room.probes.probe(kind, layer, labels)
    return int((np.asarray(probe.predict(game.residual[layer, row : row + 1]))[0] == classes).sum())


@dataclass(frozen=True)
class OthelloBinding(OfGame[GameBinding]):
    """The binding of one position at a block."""

    probe: Annotated[str, Choice(BINDING_PROBES, words="The probe")] = "tpr"

    def run(self, context: Context) -> GameBinding:
        from analysis.tpr.room import bound, truth

        room, game, row = self.read(context)
        parts = bound(room.probes.probe(self.probe, self.layer, self.labels), game.residual[self.layer, row])
        return GameBinding(
            probe=self.probe,
            layer=self.layer,
            binding=parts.binding.astype(np.float32),
            unbound=parts.unbound.astype(np.float32),
            fillers=parts.fillers.astype(np.float32),
            logits=parts.logits.astype(np.float32),
            truth=truth(self.moves, row, self.labels),
        )


@dataclass(frozen=True)
class OthelloRoles(OfGame[ProbeRoles]):
    """Roles and fillers of a probe in one choice of coordinates, and what the choice leaves alone.

    ``gauge``: 0 for the coordinates of the fit, else the seed of a random invertible change of basis of roles and
    fillers. ``layer`` names the block; the game supplies the activations on which the logits before and after the
    change are compared.
    """

    probe: Annotated[str, Choice(BINDING_PROBES, words="The probe")] = "tpr"
    gauge: Annotated[int, Whole(0, 2**31 - 1, words="The seed of the change of coordinates")] = 0
    embedding: Annotated[str, Choice(("pca", "isomap"), words="The embedding")] = "pca"

    def run(self, context: Context) -> ProbeRoles:
        from analysis.tpr.pieces import pieces

        room, game, _row = self.read(context)
        probe = room.probes.probe(self.probe, self.layer, self.labels)
        return pieces(room, probe, game.residual[self.layer], self.gauge, self.embedding)


@dataclass(frozen=True)
class OthelloDirections(OfOthello[ProbeDirections]):
    """The 192 directions of a TPR probe against those of the linear probe, and accuracy against parameters."""

    layer: Annotated[int, Whole(0, MAX_LAYER, words="The block")] = 0
    probe: str = "tpr"
    labels: Annotated[str, Choice(LABELS, words="The labels")] = "parity"

    def run(self, context: Context) -> ProbeDirections:
        from analysis.tpr.pieces import directions_against_linear

        return directions_against_linear(self.room(context), self.layer, self.probe, self.labels)


@dataclass(frozen=True)
class FitProbes(OfOthello[ProbeFit]):
    """Fit the default probes of a model's blocks on fresh games, and keep them for this model."""

    kind: ClassVar[Kind] = "job"
    writes: ClassVar[bool] = True
    games: Annotated[int, Whole(100, 20_000, words="The number of games")] = 1000
    first: int = 0
    last: int = 199
    labels: Annotated[str, Choice(LABELS, words="The labels")] = "parity"
    seed: Annotated[int, Whole(0, 2**31 - 1, words="The seed")] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self.first, 0, MAX_LAYER, "layer", "The first block")
        whole(self.last, self.first, MAX_LAYER, "layer", "The last block")

    def describe(self) -> str:
        return "Fit board probes"

    def run(self, context: Context) -> Result:
        from analysis.tpr.library import PROBE_SETS
        from analysis.tpr.pipeline import fit_here
        from analysis.tpr.room import open_room

        room = open_room(context, self.source)
        fit = fit_here(room, self, context.progress, context.check)
        return Result(*to_wire(fit), files=names_of(*pair_files(PROBE_SETS.own() / room.fingerprint)))
