"""The small picture of the Othello page: the squares of a position in the plane of the colours."""

from __future__ import annotations

from analysis.models.spec import ModelSpec
from analysis.tpr.ops.reading import OthelloBinding
from components.othello.views import unbound_squares
from pages.common import reply_to
from pages.manifest import Picture
from pages.othello.state import START

LAYER = 5
"""A late block of the bundled model, where its probes read nearly all squares right."""


def picture(_model: ModelSpec) -> Picture:
    """What the bundled OthelloGPT believes of each square, whichever model is in use."""
    reply = reply_to(OthelloBinding("bundled", START, len(START), LAYER, "parity"))
    return Picture(unbound_squares.ref([reply.question]), f"64 squares in block {LAYER}", "OthelloGPT, bundled")
