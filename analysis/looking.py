"""Whether the one for whom this thread works may only look.

The web process sets it for each request, from the token that came with it; it travels with the context, so that a
thread begun for that request works for the same person. Whoever changes something asks here first.
"""

from __future__ import annotations

from contextvars import ContextVar

from analysis.errors import UserError

LOOKING: ContextVar[bool] = ContextVar("looking", default=False)
ONLY_LOOKING = "You may look here, and this would change or start something. Ask for the other link."


def refuse_change() -> None:
    """Raises UserError for one who may only look."""
    if LOOKING.get():
        raise UserError(ONLY_LOOKING)
