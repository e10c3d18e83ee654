"""What the engine knows of a question before it knows any operation: the kinds, and the raw answer.

These lie apart from :mod:`analysis.engine.operation`, so that what runs and keeps operations (context, store) and what
they are made of do not need each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np

from analysis.home import home

Kind = Literal["live", "stream", "job", "read"]


@dataclass
class Result:
    """The answer to an operation as it travels and is kept: plain data, arrays beside it, and its key (jobs only).

    ``files``: what the job wrote to the data folder, as names below it (:func:`names_of`). Its answer is served from
    the store only while all of them are there as they were written.
    """

    data: dict[str, Any]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    key: str = ""
    files: tuple[str, ...] = ()


def names_of(*paths: Path) -> tuple[str, ...]:
    """Files of the data folder by their names below it. ValueError for one that lies elsewhere."""
    return tuple(str(path.relative_to(home())) for path in paths)


class Question(Protocol):
    """What a context asks of an operation (:class:`analysis.engine.operation.Operation`), which may have a field
    ``model``."""

    kind: ClassVar[Kind]
    reread: ClassVar[bool]
    writes: ClassVar[bool]

    def to_params(self) -> dict[str, Any]: ...

    def load(self, context: Any) -> None: ...

    def result(self, context: Any) -> Result: ...

    def reads(self, context: Any) -> str: ...
