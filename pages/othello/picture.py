"""The small picture of the Othello page: the squares of a position in the plane of the colours."""

from __future__ import annotations

from analysis.models.spec import ModelSpec
from analysis.tpr.ops.reading import OthelloBinding, OthelloFacts
from components.othello.views import unbound_squares
from pages.common import reply_to
from pages.manifest import Picture
from pages.othello.state import START

LAYER = 3
"""The block of the bundled model at which its probes read the board best."""


def picture(_model: ModelSpec) -> Picture:
    """What the bundled OthelloGPT believes of each square, whichever model is in use."""
    replies = reply_to(OthelloBinding("bundled", START, len(START), LAYER, "parity")), reply_to(OthelloFacts())
    questions = [reply.question for reply in replies]
    return Picture(unbound_squares.ref(questions), f"64 squares in block {LAYER}", "OthelloGPT, bundled")
