"""What the figures of the Othello page share: colours and symbols of the three classes, axis titles, hatches, lines."""

from __future__ import annotations

from components.kit.figure import AFTER, BEFORE
from components.kit.theme import REMAINDER

CLASSES = ("empty", "just moved", "to move")
CLASS_COLOURS = (REMAINDER, BEFORE, AFTER)
CLASS_SYMBOLS = ("circle-open", "circle", "square")
