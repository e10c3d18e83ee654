"""How far work is, and where it may be stopped: one form for loading, collecting, fitting, builds and studies.

It lies below everything, since the loading of a model tells it too. What is told ends in a job's line, a page's bar, a
terminal or nowhere; the work does not know. The engine's ``Context.progress`` and
``Context.check`` are of these forms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

Check = Callable[[], None]
"""A point at which nothing is half done, so that other work may run; raises to end the work."""


class Progress(Protocol):
    """Tells how far work is: ``share`` in [0, 1], or None where it is not known, a text, and further facts by name.

    A point like ``Check``: it raises to end the work.
    """

    def __call__(self, share: float | None, text: str = "", **facts: Any) -> None: ...


def silent(share: float | None, text: str = "", **facts: Any) -> None:
    """Progress that nobody hears."""


def no_check() -> None:
    """A point at which nobody stops the work."""


def portion(progress: Progress, first: float = 0.0, last: float = 1.0, prefix: str = "") -> Progress:
    """Progress of a part of the work: its shares 0 to 1 are ``first`` to ``last`` of the whole's, its texts begin with
    ``prefix``. A share of None stays None."""

    def told(share: float | None, text: str = "", **facts: Any) -> None:
        progress(None if share is None else first + (last - first) * share, prefix + text, **facts)

    return told
