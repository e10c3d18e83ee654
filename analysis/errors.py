"""The two ways in which a question can fail.

A ``UserError`` is a sentence for the person who typed something: it says what is wrong and what to do, and is
shown where it was typed. Everything else that is raised is a bug: it is logged with its traceback and shown as an
error panel with an id, never with the text of the exception.
"""

from __future__ import annotations


class UserError(ValueError):
    """What someone asked for cannot be done as asked.

    ``message`` is one or two plain sentences, written for the reader; ``field`` names the input that it belongs to
    (``"prompt"``, ``"model"``, ``"template"``, ...), or is None when it belongs to the request as a whole.
    """

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class Cancelled(Exception):
    """The person who asked has cancelled, or has gone away."""
