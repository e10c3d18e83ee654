"""Answers about a model and its probes: what it is, how it plays, and the figures kept beside weights and probes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from analysis.tpr.answers.edit import TrialTable

SITE_TITLES = {
    "resid_post": "residual stream after the block",
    "resid_mid": "residual stream between attention and MLP",
    "resid_pre": "residual stream before the block",
    "attn_out": "output of the attention",
    "mlp_out": "output of the MLP",
}
"""Where in a block a probe reads, by the names of TransformerLens."""


@dataclass(frozen=True)
class ModelFacts:
    """What a page may say of an OthelloGPT. ``headline``: the block that the page opens on; ``kinds`` of its probes;
    ``sets``: probes of others that were opened for it; ``probes``: the one of them in use, empty for its own; ``site``:
    where in a block these read."""

    label: str
    source: str
    fingerprint: str
    layers: int
    heads: int
    width: int
    parameters: int
    headline: int
    kinds: tuple[str, ...]
    sets: tuple[str, ...] = ()
    probes: str = ""
    site: str = "resid_post"


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
    """A probe of the set: its scores on other games, and the seconds that its fit took. Of a probe of others beside the
    model's own of that kind, block and labels: the ``cosine`` of their directions (mean over squares and classes, class
    mean taken out) and the ``own`` one's accuracy, None where there is none; ``site``: where in the block it reads."""

    title: str
    layer: int
    labels: str
    parameters: int
    accuracy: float
    macro_f1: float
    seconds: float
    site: str = "resid_post"
    cosine: float | None = None
    own: float | None = None


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


@dataclass(frozen=True)
class ProbesOpened:
    """That probes of others were opened, under which ``name`` they stand, and how well they read, in a sentence."""

    name: str
    sentence: str


@dataclass(frozen=True)
class CasesOpened:
    """That cases of an intervention were opened: their ``key``, how many, and a sentence."""

    key: str
    count: int
    sentence: str
