"""Files from elsewhere: what is opened at all, how much of it is read, and JSON that may say anything.

Whoever brings a file chooses every byte of it, and its name may lead to a pipe, a device or another folder. Each reader
of such files would otherwise need the same four checks, and forget one: that it is a plain file before it is opened (a
pipe would hold the reader for ever), that it is not larger than such a file ever is, that it is text, and that its
numbers and its depth are those of data. What fails is a sentence, for nobody here is at fault but the file.
"""

from __future__ import annotations

import json
import logging
import math
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from analysis.disk import disk_refusal
from analysis.errors import Cancelled, UserError

log = logging.getLogger(__name__)
MAX_DEPTH = 64
"""Nesting of JSON from elsewhere; no format that is read here goes beyond ten."""
_LARGEST = 10**30


def regular(path: Path, field: str, what: str = "") -> int:
    """The size in bytes of a plain file, links followed; nothing is opened.

    ``what`` names the file in a sentence (its own name by default). Raises UserError(field): absent, a folder, a pipe,
    a socket or a device, or a name that no file can have.
    """
    name = what or path.name
    try:
        found = path.stat()
    except FileNotFoundError as error:
        said = f"There is no file {name} at this path, so it cannot be read. Check the spelling."
        raise UserError(said, field) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or "no file can have this name"
        raise UserError(f"{name} cannot be read ({reason}). Check its path and permissions.", field) from error
    if stat.S_ISDIR(found.st_mode):
        raise UserError(f"{name} is a folder where a file is needed.", field)
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{name} is no plain file but a pipe, a socket or a device, which is not opened.", field)
    return found.st_size


def read_bytes(path: Path, limit: int, field: str, what: str = "") -> bytes:
    """The bytes of a plain file of at most ``limit`` bytes. UserError(field) as :func:`regular`, or if larger."""
    name = what or path.name
    size = regular(path, field, what)
    if size > limit:
        raise UserError(
            f"{name} is {size / 1e6:,.1f} MB large; such a file has at most {limit / 1e6:,.0f} MB. It is another file.",
            field,
        )
    try:
        with path.open("rb") as file:
            body = file.read(limit + 1)  # a file may grow meanwhile
    except OSError as error:
        reason = error.strerror or "system error"
        raise UserError(f"{name} cannot be read ({reason}). Check its permissions.", field) from error
    if len(body) > limit:
        raise UserError(f"{name} grew while it was read. Try again when it is complete.", field)
    return body


def parse_json(text: str | bytes, field: str, what: str, *, infinite: bool = False, any_number: bool = False) -> Any:
    """The value of a JSON text whose numbers and strings are data.

    ``infinite``: whether Infinity and NaN, which JSON has not but Python writes, are let through. ``any_number``:
    numbers of any size, too, for a reader that refuses each on its own. Raises
    UserError(field) for what is no JSON, is no Unicode, is nested deeper than MAX_DEPTH, or has numbers beyond the
    range of a float or half of a character pair.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        # Python writes Infinity: where it may stand, only the reader can tell it from a number that is too large.
        value = json.loads(
            text,
            parse_float=_fraction if infinite and not any_number else None,
            parse_constant=None if infinite or any_number else _no_constant,
        )
        _check_values(value, infinite, any_number)
    except UserError:
        raise
    except RecursionError as error:
        raise UserError(
            f"{what} is nested deeper than any such file. It is damaged or made to do harm.", field
        ) from error
    except UnicodeError as error:
        raise UserError(f"{what} is not text in UTF-8. Save it again in that encoding.", field) from error
    except json.JSONDecodeError as error:
        raise UserError(
            f"{what} cannot be read as JSON (line {error.lineno}, column {error.colno}). It is damaged or cut off.",
            field,
        ) from error
    except (ValueError, OverflowError) as error:  # of the checks below
        raise UserError(f"{what} cannot be used: {error}.", field) from error
    return value


def read_json(path: Path, limit: int, field: str, what: str = "", *, infinite: bool = False) -> Any:
    """:func:`parse_json` of the bytes of a file of at most ``limit`` bytes."""
    return parse_json(read_bytes(path, limit, field, what), field, what or path.name, infinite=infinite)


def _fraction(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {digits[:20]} in it is beyond the range of numbers")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"it has {name} where a number is needed")


def _check_values(value: Any, infinite: bool, any_number: bool) -> None:
    """Depth, range of numbers and halves of characters, a level at a time: the parser's own depth is another one, and
    a file may have a million values."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise RecursionError
        if not (infinite or any_number) and not all(map(math.isfinite, [v for v in level if type(v) is float])):
            raise ValueError("a number in it is beyond the range of numbers")
        whole = [v for v in level if type(v) is int]
        if not any_number and whole and max(max(whole), -min(whole)) > _LARGEST:
            raise ValueError("a whole number in it is beyond any that is meant")
        _check_text("".join([v for v in level if type(v) is str]))
        inner = [v for v in level if type(v) in (dict, list)]
        _check_text("".join(["".join(v) for v in inner if type(v) is dict]))
        level = [v for part in inner for v in (part.values() if type(part) is dict else part)]


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("a text in it has half of a character pair (a lone surrogate)") from error


class Record(dict[str, Any]):
    """An object of a file: a name that it lacks is the file's fault and not a bug, so asking for it is a sentence."""

    def __init__(self, values: dict[str, Any], what: str, field: str) -> None:
        super().__init__({name: _recorded(value, what, field) for name, value in values.items()})
        self._what, self._field = what, field

    def __missing__(self, name: str) -> Any:
        raise UserError(f"{self._what} cannot be used: its file lacks “{name}”. Make it again.", self._field)


def _recorded(value: Any, what: str, field: str) -> Any:
    if isinstance(value, dict):
        return Record(value, what, field)
    if isinstance(value, list) and any(isinstance(v, dict) for v in value):
        return [_recorded(v, what, field) for v in value]
    return value


def misfit(record: dict[str, Any], kinds: dict[str, Any], where: str = "") -> str:
    """What in a record is of another kind than it must be, as a clause; empty if nothing. What is not there is passed.

    ``kinds``: the type of each name: str, bool, dict, list, int, float (finite; whole numbers too), a list of one such
    dictionary for a list of rows, or a tuple of types, None among them.
    """
    for name, kind in kinds.items():
        said = f"“{where + ' ' if where else ''}{name}”"
        if name not in record:
            continue
        value = record[name]
        if isinstance(kind, list):
            if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
                return f"{said} is no list of rows"
            fault = next((f for row in value if (f := misfit(row, kind[0], f"row of {name}:"))), "")
            if fault:
                return fault
        elif not any(_is(value, k) for k in (kind if isinstance(kind, tuple) else (kind,))):
            return f"{said} is of another kind than it must be"
    return ""


def _is(value: Any, kind: Any) -> bool:
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300
    if kind is int:
        return type(value) is int and abs(value) < 2**53
    return value is None if kind is None else isinstance(value, kind)


@contextmanager
def reading(sentence: str, field: str) -> Iterator[None]:
    """Whatever fails inside while a foreign file is read becomes ``sentence``, and is logged with what it was.

    For readers of others whose failures are not known beforehand; not for code of this project beside them.
    """
    try:
        yield
    except (UserError, Cancelled):
        raise
    except Exception as error:
        if disk_refusal(error):
            raise
        log.warning("a file could not be read: %s", sentence, exc_info=True)
        raise UserError(sentence, field) from error
