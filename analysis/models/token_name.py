"""A token as it is shown: its number, and its label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from analysis.answer import Absent


@dataclass(frozen=True)
class TokenName:
    """A token by number and label; ``position``: its place in a typed text of several tokens."""

    id: int
    token: str
    position: Annotated[int | None, Absent()] = None
