"""Answers on steering with regions: the next token, its controls, a strength, texts, and set-up files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from analysis.answer import Absent, Incidental, Key
from analysis.mfa.settings import SteeringSettings
from analysis.steering.answers import NextTokenShift, TokenReading, WrittenText, WrittenTexts


@dataclass(frozen=True)
class SteeredNext(NextTokenShift):
    """The next token under a set-up: computed in ``seconds``, where a full pass over the prompt's ``tokens`` takes
    ``full_seconds``."""

    seconds: Annotated[float, Incidental()]
    full_seconds: Annotated[float, Incidental()]
    tokens: int


@dataclass(frozen=True)
class Control(NextTokenShift):
    """The set-up (``own``) or a control of it, by ``name``, with a ``note`` on what it is."""

    name: str
    own: bool
    note: str


@dataclass(frozen=True)
class ControlTable:
    """The set-up and its controls. ``left_out``: names of controls of which nothing is left without local factors;
    ``factors``: whether the set-up has any."""

    rows: tuple[Control, ...]
    left_out: tuple[str, ...]
    factors: bool


@dataclass(frozen=True)
class Strength:
    """The ``strength`` at which a region reaches a KL, the ``kl`` there (nats), whether the target was ``met``, and the
    same as a ``sentence``."""

    strength: float
    kl: float
    met: bool
    sentence: str
    region: int


@dataclass(frozen=True)
class Presence:
    """Mean responsibility of the steered regions over the tokens of the unsteered and of the steered text."""

    labels: tuple[str, ...]
    base: tuple[float, ...]
    steered: tuple[float, ...]


@dataclass(frozen=True)
class SteeredTexts(WrittenTexts):
    """Texts, and how much of the regions they carry, in all and token by token (``readings``)."""

    presence: Presence
    readings: tuple[TokenReading, ...] = ()


@dataclass(frozen=True)
class ChatReply(WrittenTexts):
    """The reply of a turn, ``base`` and ``steered``: unsteered in this turn, the earlier ones as they were. ``notes``:
    sentences on how the conversation is read; ``tokens`` of it before the reply, of which ``reused`` were not read
    again; ``readings`` of the reply's tokens."""

    notes: tuple[str, ...]
    tokens: int
    reused: Annotated[int, Incidental()]
    readings: tuple[TokenReading, ...] = ()


@dataclass(frozen=True)
class Rung:
    """One text of a ladder: the ``strength`` of its region, the KL (nats) of the next token after the prompt there, and
    what it carries of the region, ``presence``: its mean responsibility over the text. ``target``: the KL that was
    wanted, None where strengths were; ``met``: whether it was reached; ``ended``: its reader ended the text."""

    strength: float
    target: float | None
    kl: float
    met: bool
    text: WrittenText
    presence: float
    ended: Annotated[bool | None, Absent()] = None


@dataclass(frozen=True)
class Ladder:
    """The same prompt at growing strengths of one ``region``, called ``label``, beside the unsteered text ``base``,
    whose own presence is ``base_presence``. ``rate``: tokens per second of all texts; ``done`` as of
    :class:`~analysis.steering.answers.WrittenTexts`; ``base_ended`` as of a rung."""

    region: int
    label: str
    base: WrittenText
    base_presence: float
    rungs: tuple[Rung, ...]
    rate: Annotated[float, Incidental()]
    sentence: str
    done: bool
    base_ended: Annotated[bool | None, Absent()] = None


@dataclass(frozen=True)
class Generation:
    """How a text was generated, under the names of the page's controls."""

    prompt: Annotated[str, Key("steer-prompt")]
    chat: Annotated[bool, Key("steer-chat")]
    count: int
    temperature: float
    top_p: Annotated[float, Key("top-p")]
    seed: int


@dataclass(frozen=True)
class SetupFile:
    """A set-up file: its ``name``, how many ``interventions`` are in it, and its bytes, ``file`` (N,) uint8."""

    name: str
    interventions: int
    file: np.ndarray


@dataclass(frozen=True)
class OpenedSetup:
    """A set-up file, read: what stands on the sliders (None if the file does not say), how its text was generated, and
    remarks on whether it fits the loaded model. ``brought``: its fit is not here, so the regions came with the file."""

    steer: SteeringSettings | None
    generation: Generation
    interventions: int
    remarks: tuple[str, ...]
    brought: bool = False
