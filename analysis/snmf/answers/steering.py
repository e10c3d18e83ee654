"""Answers on steering with a feature: all directions at the same price."""

from __future__ import annotations

import math
from dataclasses import dataclass

from analysis.steering.answers import NextTokens, TokenReading, WrittenTexts


@dataclass(frozen=True)
class TokenChange:
    """A token and the change of its log-probability, in nats."""

    id: int
    token: str
    change: float


@dataclass(frozen=True)
class SteeringArm:
    """A direction at the ``strength`` where the next token costs the target: the ``kl`` there (nats, None where it is
    not finite), whether the target was ``met``, a ``sentence`` on that, tokens that go ``up`` and ``down`` most, and a
    ``note`` on what the direction is. Strength and KL are None where the direction cannot be had, and the sentence says
    why."""

    name: str
    strength: float | None
    kl: float | None
    met: bool
    sentence: str
    up: tuple[TokenChange, ...] = ()
    down: tuple[TokenChange, ...] = ()
    note: str = ""

    @property
    def usable(self) -> bool:
        """Whether it has a strength with which a text can be written."""
        return self.strength is not None and math.isfinite(self.strength) and self.strength != 0


@dataclass(frozen=True)
class SteeringComparison(NextTokens):
    """The feature and its baselines at the same KL, and the next token under the feature; ``tokens`` of the prompt, the
    feature's ``label``, and the ``site`` in words."""

    arms: tuple[SteeringArm, ...]
    tokens: int
    label: str
    site: str
    sentence: str


@dataclass(frozen=True)
class FeatureTexts(WrittenTexts):
    """Texts, and how active the feature is at each of their tokens (``readings``), read without steering."""

    readings: tuple[TokenReading, ...] = ()
