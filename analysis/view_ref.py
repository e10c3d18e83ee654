"""What a figure is made of, as JSON: a view, the questions whose answers it draws, and its options.

Whoever holds a ViewRef can ask and draw the same figure again: a card after a change of theme, an export, a link, a
notebook, a pin. Neither questions nor views are known here, only their names.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from analysis.errors import UserError


@dataclass(frozen=True)
class QuestionRef:
    """An operation by name with its parameters. ``key``: where the answer of a job is kept, empty for others."""

    operation: str
    params: dict[str, Any]
    key: str = ""

    @classmethod
    def from_dict(cls, data: Any) -> QuestionRef:
        """Rebuild from JSON. Raises UserError for what is no question."""
        if not isinstance(data, dict) or not isinstance(data.get("operation"), str):
            raise UserError("This is no question: it names no operation.")
        params, key = data.get("params") or {}, data.get("key") or ""
        if not isinstance(params, dict) or not isinstance(key, str):
            raise UserError("This is no question: its parameters cannot be read.")
        return cls(data["operation"], params, key)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data."""
        return asdict(self)


@dataclass(frozen=True)
class ViewRef:
    """A view by name, with what it draws."""

    view: str
    questions: tuple[QuestionRef, ...]
    options: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data."""
        return asdict(self) | {"questions": [asdict(q) for q in self.questions]}

    @classmethod
    def from_dict(cls, data: Any) -> ViewRef:
        """Rebuild from :meth:`to_dict`. Raises UserError for what is no view."""
        if not isinstance(data, dict) or not isinstance(data.get("view"), str):
            raise UserError("This is no figure of Attune: it names no view.")
        questions, options = data.get("questions") or [], data.get("options") or {}
        if not isinstance(questions, list) or not isinstance(options, dict):
            raise UserError("This is no figure of Attune: its questions or options cannot be read.")
        return cls(data["view"], tuple(QuestionRef.from_dict(q) for q in questions), options)
