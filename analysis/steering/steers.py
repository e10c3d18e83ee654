"""What steers, whatever method it is of, as plain data.

Questions about the inside of a steered pass are the same for a region, a feature or an edit of a board. So each method
declares its settings as a :class:`Steer`, and reads them into a
:class:`analysis.steering.ready.ReadySteer`; who asks knows no method.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from analysis.errors import UserError

KINDS: dict[str, type[Steer]] = {}
"""Of what a set-up may be made, by the name under which its data says so."""


class Steer(ABC):
    """Settings of a set-up, frozen and checked. ``page``: where it is made; ``null``: what its random pushes are."""

    kind: ClassVar[str] = ""
    page: ClassVar[str] = ""
    null: ClassVar[str] = "each vector turned to one drawn at random, of its length"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.kind:
            KINDS[cls.kind] = cls

    @classmethod
    def from_dict(cls, data: Any) -> Steer:
        """A set-up of whichever kind, for data that nobody has checked. Raises UserError."""
        if cls is not Steer:
            raise NotImplementedError
        kind = data.get("kind", "regions") if isinstance(data, dict) else "regions"
        if not isinstance(kind, str) or kind not in KINDS:
            raise UserError(f"There is no kind of steering set-up {str(kind)[:20]!r}.", "steer")
        return KINDS[kind].from_dict(data)

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON-able data."""

    @property
    @abstractmethod
    def idle(self) -> bool:
        """Whether nothing is changed at all."""

    @property
    def reads_on(self) -> bool:
        """Whether positions of the prompt are changed."""
        return True

    @property
    @abstractmethod
    def title(self) -> str:
        """The set-up in a few words."""


def fields_of(cls: type[Steer], data: Any, known: set[str], name: str) -> dict[str, Any]:
    """The fields of a set-up in data that nobody has checked, without its kind. Raises UserError."""
    values = dict(data) if isinstance(data, dict) else {}
    if values.pop("kind", cls.kind) != cls.kind or not values or set(values) - known:
        raise UserError(f"{name} in a set-up has the fields {', '.join(sorted(known))} and no others.", "steer")
    return values
