"""Answers on many texts of one question: what a region does in general, not in one lucky text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from analysis.answer import Absent, Incidental


@dataclass(frozen=True)
class SampleText:
    """One of many texts: its token ``ids`` and ``text``; ``mean_kl`` per token (nats), ``perplexity`` in the unsteered
    model and ``repetition`` as of :class:`~analysis.steering.answers.WrittenText`. ``ended``: its reader ended it, so
    that it is counted nowhere: whoever ends dull texts would choose the share."""

    ids: tuple[int, ...]
    text: str
    mean_kl: float
    perplexity: float | None
    repetition: float
    ended: Annotated[bool | None, Absent()] = None


@dataclass(frozen=True)
class Push:
    """One drawn push of a control, or the set-up itself: a ``note`` on what it is, the ``scale`` of the set-up's
    strengths at which it acts, the ``kl`` of the next token after the prompt there (nats), and whether that is the KL
    that was wanted."""

    note: str
    scale: float
    kl: float
    met: bool


@dataclass(frozen=True)
class SampleArm:
    """The texts of one way to steer, one for each seed: unsteered, steered, or a control. ``pushes`` of a control take
    turns: text i is written under push i modulo their number; none for unsteered texts."""

    name: str
    title: str
    pushes: tuple[Push, ...]
    texts: tuple[SampleText, ...]


@dataclass(frozen=True)
class Subject:
    """What the regions of a set-up are about, in words that can be counted. ``listed``: the words are those of a theme
    of the bundled corpus, which no fit has seen; otherwise they are tokens that stand out in the region itself."""

    name: str
    words: tuple[str, ...]
    listed: bool


@dataclass(frozen=True)
class Samples:
    """Texts of every arm for the same ``seeds``. ``left_out``: titles of controls that cannot be made of this set-up;
    ``rate``: tokens per second of all texts; ``done`` as of :class:`~analysis.steering.answers.WrittenTexts`."""

    label: str
    subject: Subject
    seeds: tuple[int, ...]
    arms: tuple[SampleArm, ...]
    left_out: tuple[str, ...]
    rate: Annotated[float, Incidental()]
    sentence: str
    done: bool
