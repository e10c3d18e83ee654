"""Files from elsewhere: what is opened at all, how much of it is read, and JSON that may say anything.

Whoever brings a file chooses every byte of it, and its name may lead to a pipe, a device or another folder. Each reader
of such files would otherwise need the same four checks, and forget one: that it is a plain file before it is opened (a
pipe would hold the reader for ever), that it is not larger than such a file ever is, that it is text, and that its
numbers and its depth are those of data. What fails is a sentence, for nobody here is at fault but the file.
"""

from __future__ import annotations

import json
import math
import stat
from pathlib import Path
from typing import Any

from analysis.errors import UserError

MAX_DEPTH = 64
"""Nesting of JSON from elsewhere; no format that is read here goes beyond ten."""
_MAX_DIGITS = 30


def regular(path: Path, field: str, what: str = "") -> int:
    """The size in bytes of a plain file, links followed; nothing is opened.

    ``what`` names the file in a sentence (its own name by default). Raises UserError(field): absent, a folder, a pipe,
    a socket or a device, or a name that no file can have.
    """
    name = what or path.name
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise UserError(f"There is no file {name} at this path. Check the spelling.", field) from error
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


def parse_json(text: str | bytes, field: str, what: str, *, infinite: bool = False) -> Any:
    """The value of a JSON text whose numbers and strings are data.

    ``infinite``: whether Infinity and NaN, which JSON has not but Python writes, are let through. Raises
    UserError(field) for what is no JSON, is no Unicode, is nested deeper than MAX_DEPTH, or has numbers beyond the
    range of a float or half of a character pair.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        value = json.loads(text, parse_int=_whole, parse_float=_fraction, parse_constant=_constant(infinite))
        _check_values(value)
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


def _whole(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"a number in it has {len(digits)} digits")
    return int(digits)


def _fraction(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {digits[:20]} in it is beyond the range of numbers")
    return value


def _constant(allowed: bool) -> Any:
    def constant(name: str) -> float:
        if not allowed:
            raise ValueError(f"it has {name} where a number is needed")
        return float(name)

    return constant


def _check_values(value: Any) -> None:
    """Depth, and strings that can be written again: by a stack of its own, for the parser has another limit."""
    stack: list[tuple[Any, int]] = [(value, 0)]
    while stack:
        item, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise RecursionError
        if isinstance(item, str):
            _check_text(item)
        elif isinstance(item, dict):
            for key, inner in item.items():
                _check_text(key)
                if isinstance(inner, (str, dict, list)):
                    stack.append((inner, depth + 1))
        elif isinstance(item, list):
            stack.extend((inner, depth + 1) for inner in item if isinstance(inner, (str, dict, list)))


def _check_text(text: str) -> None:
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        raise ValueError("a text in it has half of a character pair (a lone surrogate)")
