"""The state of a page and its place in the address: one codec for all pages.

A page declares its state once, as a frozen dataclass. Each field that carries a :class:`analysis.fields.Field` in its
annotation stands in the address, under its own name or that of an :class:`At`, in the order of the fields:

    layer: Annotated[int, Whole(0, 9_999)] | None = None
    kurtosis_weight: Annotated[float, Real(0, 100), At("lk")] = 0.3
    text: Annotated[str, Prompt()] = START_TEXT
    problems: tuple[str, ...] = ()

What an address says is not trusted: an entry that cannot be used is left at its default, and a sentence in ``problems``
says so. The browser writes the address (``attune.address``) from the names of :func:`names_of`; :func:`write` does the
same here, for links and for the test that every state survives.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, TypeVar, get_args, get_type_hints

from analysis.errors import UserError
from analysis.fields import Field, fields_of
from analysis.models.spec import ModelSpec
from pages.address import parse_json, recall, remember, short

S = TypeVar("S", bound="State")


class State(Protocol):
    """What every state has beside its own fields: sentences on what an address said and could not be used."""

    @property
    def problems(self) -> tuple[str, ...]: ...

    def __init__(self, **fields: Any) -> None: ...


@dataclass(frozen=True)
class At:
    """In an annotation: the name in the address, where it is not that of the field."""

    name: str


@dataclass(frozen=True)
class Partly:
    """What of an entry can be used, and sentences on the rest: what ``load`` may give in place of a value."""

    value: Any
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Entry(Field):
    """A field with a form of its own in an address. ``load`` raises UserError, with a whole sentence, for what cannot
    be used; ``examples`` are values that must survive."""

    def check(self, value: Any, name: str) -> None:
        return None

    def load(self, text: str) -> Any:
        raise NotImplementedError

    def dump(self, value: Any) -> Any:
        """What stands for the value: text, number, or data that is written as JSON."""
        return value

    def examples(self) -> tuple[Any, ...]:
        raise NotImplementedError


@dataclass(frozen=True)
class Model(Entry):
    """The model of the window, as the data of its specification."""

    def load(self, text: str) -> Any:
        data = parse_json(text)
        return None if data is None else ModelSpec.from_dict(data).to_dict()

    def examples(self) -> tuple[Any, ...]:
        return (ModelSpec("gpt2", dtype="float16").to_dict(), None)


@dataclass(frozen=True)
class Prompt(Entry):
    """A text of any length: one too long for an address is kept as a file of the data folder, named by its hash."""

    def load(self, text: str) -> Any:
        known = recall(text)
        if not known:
            raise UserError("A text that the address names is not in this data folder; the usual one is here.")
        return known

    def dump(self, value: Any) -> Any:
        return remember(value)

    def examples(self) -> tuple[Any, ...]:
        return ("Some words & signs: <b>ü</b>\n", "x" * 3_000)


@dataclass(frozen=True)
class Parsed(Entry):
    """Data as JSON (``parse`` gets its value) or, with ``raw``, a text of its own form. ``parse`` raises UserError for
    what cannot be used; ``form`` gives what is written, where it is not the value itself."""

    parse: Callable[[Any], Any] = lambda value: value
    survive: tuple[Any, ...] = ()
    raw: bool = False
    form: Callable[[Any], Any] = lambda value: value

    def load(self, text: str) -> Any:
        return self.parse(text if self.raw else parse_json(text))

    def dump(self, value: Any) -> Any:
        return self.form(value)

    def examples(self) -> tuple[Any, ...]:
        return self.survive


def names_of(state: type) -> list[str]:
    """The names in the address, in the order of the fields: what ``attune.address`` is given with the values."""
    return list(_entries(state))


def read(state: type[S], query: Mapping[str, Any]) -> S:
    """A state from the query of an address, with a sentence in ``problems`` for each entry that could not be used."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    for name, (attribute, field) in _entries(state).items():
        text = query.get(name)
        if not isinstance(text, str) or not text:
            continue
        try:
            value = _load(field, text, name)
        except UserError as error:
            problems.append(error.message)
            continue
        if isinstance(value, Partly):
            problems += value.problems
            value = value.value
        values[attribute] = value
    return state(**values, problems=tuple(problems))


def write(state: Any) -> dict[str, str]:
    """The query of a state's address, as the browser writes it: what is empty or off is left out."""
    query = {}
    for name, (attribute, field) in _entries(type(state)).items():
        value = getattr(state, attribute)
        if isinstance(field, Entry) and value is not None:
            value = field.dump(value)
        if value is None or value is False or value == "" or (isinstance(value, (list, tuple)) and not value):
            continue
        query[name] = json.dumps(value) if isinstance(value, (dict, list, tuple, bool)) else str(value)
    return query


def _load(field: Field, text: str, name: str) -> Any:
    if isinstance(field, Entry):
        return field.load(text)
    try:
        value = field.read(text)
        field.check(value, name)
    except (UserError, ValueError, OverflowError):
        sentence = f"The address gives {name} as {short(text)}; it must be {field.rule()}."
        raise UserError(f"{sentence} The usual value stands in its place.") from None
    return value


def _entries(state: type) -> dict[str, tuple[str, Field]]:
    """By name in the address: attribute and field."""
    return _cached_entries(state)


@cache
def _cached_entries(state: Any) -> dict[str, tuple[str, Field]]:
    out = {}
    fields = fields_of(state)
    hints = get_type_hints(state, include_extras=True)
    for attribute in (f.name for f in dataclasses.fields(state)):
        if attribute in fields:
            hint = hints[attribute]
            marks = [m for part in (hint, *get_args(hint)) for m in getattr(part, "__metadata__", ())]
            name = next((m.name for m in marks if isinstance(m, At)), attribute)
            out[name] = attribute, fields[attribute][0]
    return out
