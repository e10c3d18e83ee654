"""Fields of operations as JSON-able data and back, by their annotations.

A field is a plain value, a tuple of plain values, an operation, or a settings object: a class with ``to_dict`` and
``from_dict``, which validates. Nothing here knows which settings there are.
"""

from __future__ import annotations

import types
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from analysis.errors import UserError


def plain(value: Any) -> Any:
    """A field's value as JSON-able data."""
    for name in ("to_dict", "to_params"):
        if hasattr(value, name):
            return getattr(value, name)()
    return [plain(v) for v in value] if isinstance(value, tuple) else value


def fields_from(kind: type, params: dict[str, Any]) -> dict[str, Any]:
    """Values for the fields of a dataclass from what :func:`plain` made of them. Raises UserError where a list was
    expected and none came, and whatever a settings object refuses."""
    kinds = annotations_of(kind)
    return {name: _rebuild(kinds[name], value) for name, value in params.items()}


@cache
def annotations_of(kind: type) -> dict[str, Any]:
    """The annotations of a dataclass and of its bases, evaluated."""
    return get_type_hints(kind)


def _rebuild(annotation: Any, value: Any) -> Any:
    if get_origin(annotation) is tuple:
        part = get_args(annotation)[0]
        if not _is_settings(part):
            return tuple(value) if isinstance(value, list) else value
        if not isinstance(value, (list, tuple)):
            raise UserError(f"A list of {part.__name__} was expected, not {type(value).__name__}.")
        return tuple(_rebuild(part, v) for v in value)
    if isinstance(annotation, (types.UnionType,)) or get_origin(annotation) is Union:
        if value is None:
            return None
        annotation = next(a for a in get_args(annotation) if a is not types.NoneType)
        return _rebuild(annotation, value)
    if _is_settings(annotation):
        return (annotation.from_dict if hasattr(annotation, "from_dict") else annotation.from_params)(value)
    return tuple(value) if isinstance(value, list) else value


def _is_settings(annotation: Any) -> bool:
    return hasattr(annotation, "from_dict") or hasattr(annotation, "from_params")
