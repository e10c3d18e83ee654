"""Settings that say once what they are: a field's range, choices and words stand in its annotation.

    generate: Annotated[int, Whole(0, 200, "The number of generated tokens")] = 0

From it follow the check and its sentence, the refusal of an emptied field, the place in an address, the form control
(:mod:`components.kit.field`) and the values that tests try. The classes are those of ``annotated_types``, so hypothesis
draws values from the same annotation. pydantic would check as well, but in its own sentences, and at 80 ms of the web
process's start.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

from annotated_types import GroupedMetadata, Interval, Predicate

from analysis.errors import UserError, empty_number, is_empty


@dataclass(frozen=True)
class Field(GroupedMetadata):
    """Base of all fields. ``words``: what it is called in a sentence, such as "The seed"."""

    words: str = dataclasses.field(default="", kw_only=True)

    def check(self, value: Any, name: str) -> None:
        """Raise UserError for a value that cannot be used; ``name`` is the field's."""
        raise NotImplementedError

    def read(self, text: str) -> Any:
        """A value from the text of an address, to be checked; ValueError where there is none in it."""
        raise NotImplementedError

    def rule(self) -> str:
        """What a value must be, to stand after "must be"."""
        raise NotImplementedError

    def wrong(self) -> tuple[Any, ...]:
        """Values that must be refused."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[object]:
        return iter(())


@dataclass(frozen=True)
class Whole(Field):
    """A whole number from ``low`` to ``high``, both included."""

    low: int = 0
    high: int = 0

    def check(self, value: Any, name: str) -> None:
        whole(value, self.low, self.high, name, self.words or None)

    def read(self, text: str) -> int:
        return int(text)

    def rule(self) -> str:
        return f"a whole number from {self.low:,} to {self.high:,}"

    def wrong(self) -> tuple[Any, ...]:
        return (None, "", self.low - 1, self.high + 1, self.low + 0.5, True, "x", float("nan"), [self.low])

    def __iter__(self) -> Iterator[object]:
        yield Interval(ge=self.low, le=self.high)


@dataclass(frozen=True)
class Real(Field):
    """A number from ``low`` to ``high``, both included."""

    low: float = 0.0
    high: float = 0.0

    def check(self, value: Any, name: str) -> None:
        number(value, self.low, self.high, name, self.words or None)

    def read(self, text: str) -> float:
        return float(text)

    def rule(self) -> str:
        return f"a number from {self.low:g} to {self.high:g}"

    def wrong(self) -> tuple[Any, ...]:
        below, above = self.low - max(1.0, abs(self.low)), self.high + max(1.0, abs(self.high))
        return (None, "", below, above, float("nan"), float("inf"), True, "x", [self.low])

    def __iter__(self) -> Iterator[object]:
        yield Interval(ge=self.low, le=self.high)


@dataclass(frozen=True)
class Choice(Field):
    """One of some words."""

    options: tuple[str, ...] = ()

    def check(self, value: Any, name: str) -> None:
        choice(value, self.options, name, self.words or None)

    def read(self, text: str) -> str:
        return text

    def rule(self) -> str:
        return f"one of {', '.join(self.options)}"

    def wrong(self) -> tuple[Any, ...]:
        return (None, "", "no such word", 3, [self.options[0]])

    def __iter__(self) -> Iterator[object]:
        yield Predicate(self.options.__contains__)


@dataclass(frozen=True)
class Flag(Field):
    """On or off."""

    def check(self, value: Any, name: str) -> None:
        if not isinstance(value, bool):
            raise UserError(f"{self.words or name} is either on or off.", name)

    def read(self, text: str) -> bool:
        if text not in ("true", "false"):
            raise ValueError(text)
        return text == "true"

    def rule(self) -> str:
        return "true or false"

    def wrong(self) -> tuple[Any, ...]:
        return (None, "", 1, "true", [])


@dataclass(frozen=True)
class Text(Field):
    """A text of at most ``most`` characters."""

    most: int = 1_000_000

    def check(self, value: Any, name: str) -> None:
        if not isinstance(value, str) or len(value) > self.most:
            raise UserError(f"{self.words or name} must be {self.rule()}.", name)

    def read(self, text: str) -> str:
        return text

    def rule(self) -> str:
        return f"a text of at most {self.most:,} characters"

    def wrong(self) -> tuple[Any, ...]:
        return (None, 3, "x" * (self.most + 1), ["x"])


def fields_of(kind: type) -> Mapping[str, tuple[Field, bool]]:
    """The declared fields of a dataclass by name, each with whether None stands for "not chosen"."""
    return _fields_of(kind)


@cache
def _fields_of(kind: Any) -> Mapping[str, tuple[Field, bool]]:
    out: dict[str, tuple[Field, bool]] = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        optional = get_origin(hint) is not None and type(None) in get_args(hint)
        for part in (hint, *get_args(hint)) if optional else (hint,):
            for mark in getattr(part, "__metadata__", ()):
                if isinstance(mark, Field):
                    out[name] = mark, optional
    return out


def check_fields(value: Any) -> None:
    """Check all declared fields of a dataclass instance, in their order; UserError for the first that is refused."""
    for name, (field, optional) in fields_of(type(value)).items():
        given = getattr(value, name)
        if not (optional and given is None):
            field.check(given, name)


def whole(value: Any, low: int, high: int, name: str, what: str | None = None) -> None:
    """Refuse anything but an integer in [low, high]."""
    if is_empty(value):
        raise empty_number(what or name, f"a whole number from {low:,} to {high:,}", name)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise UserError(
            f"{what or name} must be a whole number from {low:,} to {high:,}, not {repr(value)[:40]}.", name
        )


def number(value: Any, low: float, high: float, name: str, what: str | None = None) -> None:
    """Refuse anything but a finite number in [low, high]."""
    if is_empty(value):
        raise empty_number(what or name, f"a number from {low:g} to {high:g}", name)
    # Comparing refuses NaN and infinity as well, and unlike math.isfinite takes a whole number of any length.
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not low <= value <= high:
        raise UserError(f"{what or name} must be a number from {low:g} to {high:g}, not {repr(value)[:40]}.", name)


def choice(value: Any, allowed: tuple[str, ...], name: str, what: str | None = None) -> None:
    """Refuse anything but one of the allowed words."""
    if value not in allowed:
        raise UserError(f"{what or name} must be one of {', '.join(allowed)}, not {value!r}.", name)
