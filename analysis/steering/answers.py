"""Answers that every way of steering gives: the next token beside what it was without, and texts with their prices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from analysis.answer import Absent, Incidental


@dataclass(frozen=True)
class NextTokens:
    """The tokens that lead the next-token distribution without or with steering, at most 12, the likeliest first.

    ``labels`` and ``ids`` of the tokens, their probabilities ``base`` and ``steered``, and the ``change`` of their
    log-probability, in nats.
    """

    labels: tuple[str, ...]
    ids: tuple[int, ...]
    base: tuple[float, ...]
    steered: tuple[float, ...]
    change: tuple[float, ...]


@dataclass(frozen=True)
class NextTokenShift(NextTokens):
    """What steering did to the next token: ``kl`` of the unsteered distribution from the steered one and the
    ``entropy`` of both (unsteered, steered), in nats; ``same``: no bit of the logits differs."""

    kl: float
    entropy: tuple[float, float]
    same: bool


@dataclass(frozen=True)
class WrittenText:
    """A text that the model wrote: token ``ids`` with their ``labels``, and the ``text`` that they spell.

    Per token, in nats: ``kl`` of the unsteered model's prediction from the one that the token was drawn from (0 in the
    unsteered text), and ``surprise``, minus its log-probability in the unsteered model; ``mean_kl`` over all.
    ``perplexity`` of the text in the unsteered model, None for an empty text; ``repetition``: share of repeated
    3-grams.
    """

    ids: tuple[int, ...]
    text: str
    labels: tuple[str, ...]
    kl: tuple[float, ...]
    surprise: tuple[float, ...]
    mean_kl: float
    perplexity: float | None
    repetition: float


@dataclass(frozen=True)
class TokenReading:
    """What else was read of each written token, called ``name``: a value for each token of the ``base``, the
    ``steered`` and the ``control`` text. ``top``: the value at which a colour is full."""

    name: str
    top: float
    base: tuple[float, ...]
    steered: tuple[float, ...]
    control: tuple[float, ...] = ()


@dataclass(frozen=True)
class Alternatives(NextTokenShift):
    """What could have stood in the place of a written token: the tokens that led there in both models, each given the
    same text before. ``chosen``: id of the token that stands there, with its ``label``, its probability in the
    unsteered and the steered model (``chosen_base``, ``chosen_steered``) and its rank in each, 1 for the likeliest.
    ``place``: how many written tokens are before it. ``before``: prompt and text up to it as a text that reads into the
    same tokens; "" where there is none."""

    chosen: int
    label: str
    chosen_base: float
    chosen_steered: float
    ranks: tuple[int, int]
    place: int
    before: str


@dataclass(frozen=True)
class WrittenTexts:
    """Texts written side by side: unsteered, steered, and a control if there is one, with a ``control_note`` on what it
    is. ``rate``: tokens per second, also as a ``sentence``; ``base_remembered``: the unsteered text was there from an
    earlier request; ``done``: true, by which the browser knows the last line of a stream."""

    base: WrittenText
    steered: WrittenText
    control: Annotated[WrittenText | None, Absent()]
    control_note: str
    rate: Annotated[float, Incidental()]
    base_remembered: Annotated[bool, Incidental()]
    sentence: str
    done: bool
