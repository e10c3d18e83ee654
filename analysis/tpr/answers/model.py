"""Answers about a model and its probes: what it is, how it plays, and the figures kept beside weights and probes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from analysis.tpr.answers.edit import TrialTable


@dataclass(frozen=True)
class ModelFacts:
    """What a page may say of an OthelloGPT. ``headline``: the block that the page opens on; ``kinds`` of its probes."""

    label: str
    source: str
    fingerprint: str
    layers: int
    heads: int
    width: int
    parameters: int
    headline: int
    kinds: tuple[str, ...]


@dataclass(frozen=True)
class Play:
    """How legally a model plays ``games`` fresh games of so many ``positions``.

    ``illegal`` and ``mass``: share of positions whose most likely move is illegal, and mean probability on illegal
    moves; ``loss`` and its ``floor`` in nats per move; by ply (59 entries): the illegal share, and the positions.
    """

    games: int
    positions: int
    illegal: float
    mass: float
    loss: float
    floor: float
    illegal_by_ply: tuple[float, ...]
    positions_by_ply: tuple[int, ...]


@dataclass(frozen=True)
class TrainingLog:
    """Against the ``games`` seen: loss ``above`` the floor (nats per move) and share of ``illegal`` first choices.
    ``told_from``: the game from which the target was the legal set, None if it never was."""

    games: tuple[int, ...]
    above: tuple[float, ...]
    illegal: tuple[float, ...]
    recipe: dict[str, Any]
    told_from: int | None


@dataclass(frozen=True)
class RandomNetwork:
    """Accuracy of two probes after block ``layer`` of a network that was never trained, fitted on ``games``."""

    layer: int
    games: int
    linear: float
    tpr: float


@dataclass(frozen=True)
class ProbeRow:
    """A probe of the set: its scores on other games, and the seconds that its fit took."""

    title: str
    layer: int
    labels: str
    parameters: int
    accuracy: float
    macro_f1: float
    seconds: float


@dataclass(frozen=True)
class ModelFigures:
    """All figures kept beside weights and probes; None or empty for what was not measured of this model.

    ``accuracy``: by name of a probe, the share of squares right after each block (None without a probe there), parity
    labels; ``constant``: of the most common class of each square at each ply. ``edits``: one square edited;
    ``edits_by_squares``: that and more. ``role_dims``: (role dimension, kind) of all TPR probes, ascending.
    """

    facts: ModelFacts
    words: tuple[str, ...]
    play: Play | None
    play_caption: str
    training: TrainingLog | None
    training_caption: str
    accuracy: dict[str, tuple[float | None, ...]]
    constant: float | None
    random_network: RandomNetwork | None
    accuracy_caption: str
    edits: TrialTable | None
    edits_by_squares: tuple[TrialTable, ...]
    probes: tuple[ProbeRow, ...]
    role_dims: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class ModelCheck:
    """That a model was loaded and plays, in a sentence."""

    sentence: str
    facts: ModelFacts


@dataclass(frozen=True)
class ProbeFit:
    """That probes were fitted, and how good they are, in a sentence."""

    sentence: str
