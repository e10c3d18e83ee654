"""Who asks, and whether that one may only look.

The web process sets both for each request, from the cookie that came with it; they travel with the context, so that a
thread begun for that request works for the same person. Whoever changes something asks here first.
"""

from __future__ import annotations

from contextvars import ContextVar

from analysis.errors import UserError

LOOKING: ContextVar[bool] = ContextVar("looking", default=False)
WHO: ContextVar[str] = ContextVar("who", default="")
"""The browser for which this thread works, as its cookie says; "" for the owner, who sees and may end the jobs of all.
On one machine alone there is nobody else."""
NOBODY = "nobody"
"""One who has shown no token; no job is of that one."""
ONLY_LOOKING = "You may look here, and this would change or start something. Ask for the other link."


def refuse_change() -> None:
    """Raises UserError for one who may only look."""
    if LOOKING.get():
        raise UserError(ONLY_LOOKING)


def may_see(who: str, of: str) -> bool:
    """Whether ``who`` may see and end what was asked for by ``of``."""
    return who in ("", of)
