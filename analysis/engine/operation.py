"""What a question is: a frozen dataclass, validated once, that can be computed from a context.

Page, notebook, benchmark and test build the same object. Defining a subclass registers it under its class name, so the
worker can rebuild it from JSON; ``run`` imports what it needs when it is called, so that the web process can hold
operations without torch.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from analysis.engine.codec import fields_from, plain
from analysis.errors import UserError, empty_number, is_empty
from analysis.home import home

if TYPE_CHECKING:
    from analysis.engine.context import Context

Kind = Literal["live", "stream", "job", "read"]
REGISTRY: dict[str, type[Operation]] = {}


@dataclass
class Result:
    """The answer to an operation: plain data, arrays beside it, and the key under which it is kept (jobs only).

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


@dataclass(frozen=True)
class Operation:
    """Base of all operations.

    ``kind`` is "live" (answered now on the compute thread, the newest of a widget wins), "stream" (says line after
    line and gives way to live ones between them; the newest of a widget ends the older one), "job" (progress, cancel,
    kept in the result store) or "read" (touches stored results only, never a model; answered beside the compute
    thread).
    ``title`` is what the job tray shows. ``reread``: a model whose files were saved over is read again first.
    """

    kind: ClassVar[Kind] = "live"
    reread: ClassVar[bool] = False
    title: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__post_init__" in vars(cls):
            cls.__post_init__ = _signed(cls.__post_init__)  # type: ignore[attr-defined]
        if "run" in vars(cls):  # shared bases without an answer of their own are no operations
            REGISTRY[cls.__name__] = cls

    def run(self, context: Context) -> Result:
        """Compute the answer. Progress and cancel points go through ``context``."""
        raise NotImplementedError

    def describe(self) -> str:
        """One short line for the job tray."""
        return self.title or type(self).__name__

    def reads(self, context: Context) -> str:
        """What the answer depends on besides parameters and model: checksums of the files that it is read from."""
        return ""

    def to_params(self) -> dict[str, Any]:
        """The fields as JSON-able data."""
        return {f.name: plain(getattr(self, f.name)) for f in dataclasses.fields(self)}

    @classmethod
    def from_params(cls, params: dict[str, Any]) -> Self:
        """Rebuild from :meth:`to_params`; validates again, since the other side of a socket is not trusted."""
        unknown = set(params) - {f.name for f in dataclasses.fields(cls)}
        if unknown:
            raise UserError(f"{cls.__name__} does not know the setting {sorted(unknown)[0]!r}.")
        return cls(**fields_from(cls, params))


def _signed(check: Callable[[Any], None]) -> Callable[[Any], None]:
    """The check of an operation's fields, whose refusals say which operation they are of."""

    @wraps(check)
    def signed(self: Operation) -> None:
        try:
            check(self)
        except UserError as error:
            error.operation = type(self).__name__
            raise

    return signed


def rebuild(name: str, params: dict[str, Any]) -> Operation:
    """The operation of that name with those parameters; UserError if there is none. Operations are known once their
    module is imported: :mod:`analysis.catalogue` imports all of this house."""
    if name not in REGISTRY:
        raise UserError(f"There is no operation called {name!r}.")
    return REGISTRY[name].from_params(params)


def content_key(operation: Operation, identity: str, reads: str = "") -> str:
    """64 hex digits for operation, parameters, model (``Residents.identity``), what it reads from files
    (``Operation.reads``) and code version: equal keys mean equal answers."""
    return hash_of([type(operation).__name__, operation.to_params(), identity, reads, code_version()])


def hash_of(data: Any) -> str:
    """SHA-256 of canonical JSON, in hex."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def code_version() -> str:
    """Digest of the source of :mod:`analysis`: results of other code are never served as those of this code."""
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


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
