"""What the tokens of a written text are shaded by: its choices, their scales, and the shades of what leaves the page.

The browser shades the same way while a text grows (assets/frame/colouring.js); the two agree by a test.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dash import dcc, html

from analysis.errors import UserError
from analysis.steering.answers import TokenReading, WrittenText, WrittenTexts
from components.kit.types import Node

KL, SURPRISE, READING = "kl", "surprise", "reading-"


@dataclass(frozen=True)
class Scale:
    """A colouring: what it is of in ``words``, its ``unit``, the value ``top`` at which the colour is full, and whether
    the shade grows with the ``root`` of the value, so that small ones are seen."""

    words: str
    unit: str
    top: float
    root: bool = False

    def shade(self, value: float) -> float:
        """From 0 to 1."""
        share = min(1.0, max(value, 0.0) / self.top)
        return math.sqrt(share) if self.root else share


SCALES = {
    KL: Scale("KL of the unsteered model's prediction from the one the token was drawn from", "nats", 3.0, True),
    SURPRISE: Scale("surprise of the unsteered model at the token", "nats", 10.0),
}
CHOICES = [
    {"label": "KL to the unsteered model", "value": KL},
    {"label": "surprise of the unsteered model", "value": SURPRISE},
]


def colour_row(prefix: str = "") -> Node:
    """The choice and the legend, which the browser fills, for the writer of that prefix."""
    return html.Div(
        [
            html.Span("Colour:", className="attune-note", id=f"{prefix}colour-label"),
            dcc.Dropdown(
                CHOICES, KL, id=f"{prefix}colour", clearable=False, searchable=False, className="attune-pick",
                optionHeight=40,
            ),
            html.Span(id=f"{prefix}colour-legend", className="attune-legend"),
        ],
        className="attune-row attune-colour",
    )  # fmt: skip


def scale_of(colour: str, readings: Sequence[TokenReading]) -> Scale:
    """The scale of a colouring. Raises UserError for a reading that is not among these."""
    if colour in SCALES:
        return SCALES[colour]
    reading = _reading(colour, readings)
    return Scale(reading.name, "", reading.top)


def shades_of(texts: WrittenTexts, colour: str) -> list[list[float]]:
    """The shades of the unsteered, the steered and the control text. Raises UserError as :func:`scale_of`."""
    readings: Sequence[TokenReading] = getattr(texts, "readings", ())
    scale = scale_of(colour, readings)
    if colour in SCALES:
        arms = [getattr(text, colour) for text in (texts.base, texts.steered, texts.control) if text is not None]
    else:
        reading = _reading(colour, readings)
        arms = [reading.base, reading.steered, reading.control]
    return [[scale.shade(value) for value in values] for values in arms]


def shades_by_price(text: WrittenText) -> list[float]:
    """Shades by KL."""
    return [SCALES[KL].shade(value) for value in text.kl]


def _reading(colour: str, readings: Sequence[TokenReading]) -> TokenReading:
    number = colour.removeprefix(READING)
    if not colour.startswith(READING) or not number.isdecimal() or int(number) >= len(readings):
        raise UserError("These texts have no such colouring. Write them again, then pin.")
    return readings[int(number)]
