"""Answers as frozen dataclasses, and their way over the wire.

An answer has plain values, arrays, other answers, and tuples or dicts of these. Arrays travel beside the plain data
under dotted names (``latents.z1.singular_values``), which is how results are kept. What comes back is an instance of
the same class: pages and figures read attributes, and mypy checks them.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Iterator
from functools import cache
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

A = TypeVar("A")
Arrays = dict[str, np.ndarray]
_Reader = Callable[[Any, Arrays, str], Any]
_LEAVES = frozenset({bool, int, float, str, type(None)})


@dataclasses.dataclass(frozen=True)
class Key:
    """In an annotation: the name on the wire, where it is no name of Python or a bad one."""

    name: str


@dataclasses.dataclass(frozen=True)
class Absent:
    """In an annotation: the field is left out on the wire while it is None. Arrays that may be None are so anyway."""


@dataclasses.dataclass(frozen=True)
class Incidental:
    """In an annotation: how the answer was made (seconds, passes of a model), not what it says. The same question asked
    again gives another value."""


Leaf = bool | int | float | str | np.ndarray


def leaves(answer: Any) -> Iterator[tuple[str, Leaf]]:
    """Everything that an answer says, by dotted name as on the wire; incidental fields and None are left out."""
    yield from _leaves(answer, "")


def to_wire(answer: Any) -> tuple[dict[str, Any], Arrays]:
    """An answer as JSON-able data and its arrays by dotted name."""
    arrays: Arrays = {}
    data = _write(answer, arrays, "")
    return data, arrays


def from_wire(kind: type[A], data: dict[str, Any], arrays: Arrays) -> A:
    """The answer of that class. TypeError where data and class do not fit: a key too many or too few."""
    reader: Any = _reader
    made: A = reader(kind)(data, arrays, "")
    return made


def plain_of(answers: Any) -> Any:
    """Answers without arrays (one, or a list of them) as JSON-able data, for progress messages. ValueError for one
    that has arrays."""
    arrays: Arrays = {}
    data = _write(answers, arrays, "")
    if arrays:
        raise ValueError(f"the array {next(iter(arrays))} has no place in plain data")
    return data


def extended(kind: type[A], base: Any, **more: Any) -> A:
    """An answer of a subclass from one of its base class and the fields that it adds."""
    return kind(**{f.name: getattr(base, f.name) for f in dataclasses.fields(base)}, **more)


def names_on_wire(kind: type) -> dict[str, str]:
    """The fields of an answer's class by their names on the wire."""
    return {field.wire: field.name for field in _fields(kind)}


@dataclasses.dataclass(frozen=True)
class _Field:
    name: str
    wire: str
    hint: Any
    array: bool
    absent: bool
    default: bool
    incidental: bool

    @property
    def of_arrays(self) -> bool:
        bare = _bare(self.hint)
        return get_origin(bare) is dict and _bare(get_args(bare)[1]) is np.ndarray


@cache
def _fields(kind: type) -> tuple[_Field, ...]:
    hints = get_type_hints(kind, include_extras=True)
    out = []
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        marks = getattr(hint, "__metadata__", ())
        wire = next((m.name for m in marks if isinstance(m, Key)), field.name)
        bare = _bare(hint)
        parts = get_args(bare)
        array = bare is np.ndarray or (np.ndarray in parts and get_origin(bare) in (Union, types.UnionType))
        absent = any(isinstance(m, Absent) for m in marks) or (array and bare is not np.ndarray)
        default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        incidental = any(isinstance(m, Incidental) for m in marks)
        out.append(_Field(field.name, wire, hint, array, absent, default, incidental))
    return tuple(out)


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Leaf]]:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        inner = [(f.wire, getattr(value, f.name)) for f in _fields(type(value)) if not f.incidental]
    elif isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, (list, tuple)):
        inner = [(str(n), part) for n, part in enumerate(value)]
    else:
        if value is not None:
            yield path, value
        return
    for name, part in inner:
        yield from _leaves(part, f"{path}.{name}" if path else str(name))


def _write(value: Any, arrays: Arrays, path: str) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        out = {}
        for field in _fields(type(value)):
            part = getattr(value, field.name)
            if isinstance(part, np.ndarray):
                arrays[path + field.wire] = part
            elif not (part is None and field.absent):
                inner = _write(part, arrays, f"{path}{field.wire}.")
                if not field.of_arrays:
                    out[field.wire] = inner
        return out
    if isinstance(value, (list, tuple)):
        if _LEAVES.issuperset(map(type, value)):  # a spectrum has hundreds of numbers, and a click waits for this
            return list(value)
        return [_write(v, arrays, f"{path}{i}.") for i, v in enumerate(value)]
    if isinstance(value, dict):
        out = {}
        for key, part in value.items():
            if isinstance(part, np.ndarray):
                arrays[path + key] = part
            else:
                out[key] = _write(part, arrays, f"{path}{key}.")
        return out
    return value


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


@cache
def _reader(hint: Any) -> _Reader:
    """A function that rebuilds a value of that annotation from (plain value, arrays, dotted path)."""
    hint = _bare(hint)
    origin, parts = get_origin(hint), get_args(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return lambda value, arrays, path: _object_reader(hint)(value, arrays, path)  # a class may hold itself
    if origin in (tuple, list):
        inner = _reader(parts[0]) if parts else _same
        if inner is _same:
            return lambda value, arrays, path: origin(value)
        return lambda value, arrays, path: origin(inner(v, arrays, f"{path}{i}.") for i, v in enumerate(value))
    if origin is dict:
        if _bare(parts[1]) is np.ndarray:
            return lambda value, arrays, path: {k[len(path) :]: a for k, a in arrays.items() if k.startswith(path)}
        inner = _reader(parts[1])
        if inner is _same:
            return _same
        return lambda value, arrays, path: {k: inner(v, arrays, f"{path}{k}.") for k, v in value.items()}
    if origin in (Union, types.UnionType):
        kinds = [p for p in parts if p is not types.NoneType]
        if len(kinds) > 1:
            return _union_reader(kinds) if all(map(dataclasses.is_dataclass, kinds)) else _same
        inner = _reader(kinds[0])
        return (
            inner
            if inner is _same
            else lambda value, arrays, path: None if value is None else inner(value, arrays, path)
        )
    return _same


def _same(value: Any, arrays: Arrays, path: str) -> Any:
    return value


def _union_reader(kinds: list[Any]) -> _Reader:
    """One of several classes: the first whose fields are those that came."""

    def fits(kind: Any, value: Any) -> bool:
        names = {field.wire: field for field in _fields(kind)}
        needed = {wire for wire, f in names.items() if not (f.default or f.absent or f.array or f.of_arrays)}
        return bool(needed <= value.keys() <= names.keys())

    def read(value: Any, arrays: Arrays, path: str) -> Any:
        if value is None:
            return None
        kind = next((kind for kind in kinds if fits(kind, value)), None)
        if kind is None:
            raise TypeError(f"{sorted(value)} are the fields of none of {', '.join(k.__name__ for k in kinds)}")
        reader: Any = _object_reader
        return reader(kind)(value, arrays, path)

    return read


@cache
def _object_reader(kind: type) -> _Reader:
    fields = _fields(kind)
    readers = {f.name: _reader(f.hint) for f in fields if not f.array}
    known = {f.wire for f in fields}

    def read(value: Any, arrays: Arrays, path: str) -> Any:
        unknown = value.keys() - known
        if unknown:
            raise TypeError(f"{kind.__name__} has no field for {sorted(unknown)[0]!r}")
        out: dict[str, Any] = {}
        for field in fields:
            if field.array and path + field.wire in arrays:
                out[field.name] = arrays[path + field.wire]
            elif field.of_arrays or field.wire in value:
                out[field.name] = readers[field.name](value.get(field.wire), arrays, f"{path}{field.wire}.")
            elif field.absent:
                out[field.name] = None
            elif not field.default:
                raise TypeError(f"{kind.__name__} lacks {field.wire!r}")
        return kind(**out)

    return read
