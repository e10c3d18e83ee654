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
NOT_IN_MEMORY = "This model is not in memory, and this link may not load it."
REFUSALS: ContextVar[list[str] | None] = ContextVar("refusals", default=None)
"""What was refused in words during a request, for the log of the web server, which has its address; else None."""


def refuse_change() -> None:
    """Raises UserError for one who may only look."""
    if LOOKING.get():
        note_refusal(ONLY_LOOKING)
        raise UserError(ONLY_LOOKING)


def note_refusal(text: str) -> None:
    """Keep what somebody is told, where it is that this one may only look."""
    refusals = REFUSALS.get()
    if refusals is not None and text in (ONLY_LOOKING, NOT_IN_MEMORY):
        refusals.append(text)


def may_see(who: str, of: str) -> bool:
    """Whether ``who`` may see and end what was asked for by ``of``."""
    return who in ("", of)
