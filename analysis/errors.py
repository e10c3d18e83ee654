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
    ``operation``: which operation refused a field of its own, by its name; empty if none did.
    """

    def __init__(self, message: str, field: str | None = None) -> None:
        message = message.encode("utf-8", "replace").decode()  # a quoted half of a character could not be sent
        super().__init__(message)
        self.message = message
        self.field = field
        self.operation = ""


def is_empty(value: object) -> bool:
    """Whether a form sent nothing for a number: the box was emptied, or what stands in it is no number."""
    return value is None or value == ""


def empty_number(what: str, wanted: str, field: str) -> UserError:
    """The refusal of an emptied number: no default takes its place in silence. ``wanted``: "a whole number from 1 to
    9"."""
    return UserError(f"{what} is empty. Type {wanted}.", field)


class Cancelled(Exception):
    """The person who asked has cancelled, or has gone away."""
