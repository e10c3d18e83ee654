"""What a question is: a frozen dataclass, validated once, that can be computed from a context.

Page, notebook, benchmark and test build the same object. Defining a subclass registers it under its class name, so the
worker can rebuild it from JSON; ``run`` imports what it needs when it is called, so that the web process can hold
operations without torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, ClassVar, Generic, Self, TypeVar, get_args, get_origin

from analysis.answer import from_wire, to_wire
from analysis.engine.codec import fields_from, plain
from analysis.engine.context import Context
from analysis.engine.question import Kind, Result
from analysis.errors import UserError
from analysis.fields import check_fields

A = TypeVar("A")
REGISTRY: dict[str, type[Operation[Any]]] = {}


def _signed(check: Callable[[Any], None]) -> Callable[[Any], None]:
    """The check of an operation's fields, whose refusals say which operation they are of."""

    @wraps(check)
    def signed(self: Any) -> None:
        try:
            check(self)
        except UserError as error:
            error.operation = type(self).__name__
            raise

    return signed


@dataclass(frozen=True)
class Operation(Generic[A]):
    """Base of all operations: a question, and in brackets the class of its answer.

    ``kind`` is "live" (answered now on the compute thread, the newest of a widget wins), "stream" (says line after
    line, gives way to live ones and takes turns with other streams; the newest of a widget ends the older one), "job"
    (progress, cancel, kept in the result store) or "read" (touches stored results only, never a model; answered beside
    the compute thread).
    ``title`` is what the job tray shows. ``reread``: a model whose files were saved over is read again first.
    ``writes``: it changes something in the data folder besides the result store, so it is run only when somebody wants
    just that. ``common``: its job is made for all who use the model, so all may see it; its asker may end it.
    """

    kind: ClassVar[Kind] = "live"
    reread: ClassVar[bool] = False
    writes: ClassVar[bool] = False
    common: ClassVar[bool] = False
    title: ClassVar[str] = ""
    answer: ClassVar[type | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.answer = _answer_of(cls) or cls.answer
        if "__post_init__" in vars(cls):
            cls.__post_init__ = _signed(cls.__post_init__)  # type: ignore[assignment,method-assign]
        if "run" in vars(cls):  # shared bases without an answer of their own are no operations
            REGISTRY[cls.__name__] = cls

    @_signed
    def __post_init__(self) -> None:
        """Check the declared fields. A class with rules across its fields calls this first, then checks them."""
        check_fields(self)

    def load(self, context: Context) -> None:
        """Load the model that it names, if it names one that is not loaded."""
        spec = getattr(self, "model", None)
        if spec is not None:
            context.model(spec, fresh=self.reread)

    def built_on(self) -> tuple[Operation[Any], ...]:
        """Jobs whose kept answers this one is built on, each after those that it is built on itself. A page asks for
        them one by one, since they take long; who wants the answer whatever it takes makes them first."""
        return ()

    def run(self, context: Context) -> A | Result:
        """Compute the answer. Progress and cancel points go through ``context``."""
        raise NotImplementedError

    def result(self, context: Context) -> Result:
        """Compute the answer as it travels and is kept."""
        value = self.run(context)
        result = value if isinstance(value, Result) else Result(*to_wire(value))
        if result.files and not self.writes:
            raise TypeError(f"{type(self).__name__} writes files and does not say so")
        return result

    @classmethod
    def answer_from(cls, result: Result) -> A:
        """The answer in a result. TypeError if the operation declares none, or the result is none of its answers."""
        if cls.answer is None:
            raise TypeError(f"{cls.__name__} declares no answer")
        value: A = from_wire(cls.answer, result.data, result.arrays)
        return value

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


def _answer_of(kind: type) -> type | None:
    """The class in the brackets of a class's own bases, such as ``TraceAnswer`` in ``OnPrompt[TraceAnswer]``."""
    for base in getattr(kind, "__orig_bases__", ()):
        origin = get_origin(base)
        if isinstance(origin, type) and issubclass(origin, Operation):
            inner = get_args(base)[0]
            return inner if isinstance(inner, type) else None
    return None


def rebuild(name: str, params: dict[str, Any]) -> Operation[Any]:
    """The operation of that name with those parameters; UserError if there is none. Operations are known once their
    module is imported: :mod:`analysis.catalogue` imports all of this house."""
    if name not in REGISTRY:
        raise UserError(f"There is no operation called {name!r}.")
    return REGISTRY[name].from_params(params)
