"""What an operation may use while it runs: models, stored results, a memory of recent passes, progress and cancel.

The worker hands each task a context bound to its scheduler; a notebook or a test uses :class:`Context` as it is, and
gets the same answers from the same code without a second process.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from analysis.engine.keys import content_key
from analysis.engine.memory import Memory
from analysis.engine.question import Question, Result
from analysis.engine.residents import Load, Residents
from analysis.engine.spread import Here, Spread
from analysis.engine.store import ResultStore
from analysis.models.spec import ModelSpec
from analysis.quota import check_room

if TYPE_CHECKING:
    from analysis.models.loaded_model import LoadedModel


class Context:
    """The surroundings of one running operation. This base runs in place, with no other task to give way to."""

    def __init__(
        self, residents: Residents | None = None, store: ResultStore | None = None, memory: Memory | None = None
    ):
        self.residents = residents or Residents()
        self.store = store or ResultStore()
        self.memory = memory or Memory()
        self.on_progress: Callable[[dict[str, Any]], None] | None = None

    def model(self, spec: ModelSpec, *, fresh: bool = False, load: Load | None = None) -> LoadedModel:
        """The model of that specification, loaded if it is not. ``fresh``: again if its files were saved over.
        ``load``: as for :meth:`Residents.get`."""
        return self.residents.get(
            spec, lambda share, text="", **facts: self.progress(None, text), fresh=fresh, load=load
        )

    def spread(self, model: LoadedModel | None = None, seconds: float = math.inf) -> Spread:
        """What computes shards of data with a model that is loaded: this process, or a cluster where there is one and
        the work, which takes about so many ``seconds`` here, is worth it."""
        return Here(model, self)

    def progress(self, share: float | None, text: str = "", **facts: Any) -> None:
        """Say how far the operation is (share in [0, 1] or None) and give way: a safe point, no tap may be open."""
        if self.on_progress is not None:
            self.on_progress({"share": share, "text": text, **facts})
        self.check()

    def tell(self, share: float, text: str) -> None:
        """Say how far the operation is and go on: no safe point, so this may stand where hooks are in place."""
        if self.on_progress is not None:
            self.on_progress({"share": share, "text": text})

    def say(self, **facts: Any) -> None:
        """Say one line of a stream, which is never dropped, and go on: no safe point."""
        if self.on_progress is not None:
            self.on_progress({"share": None, "text": "", "line": facts})

    def line(self, **facts: Any) -> None:
        """Say one line of a stream and give way: a safe point like :meth:`progress`."""
        self.say(**facts)
        self.check()

    def check(self) -> None:
        """A safe point: others may run, and a cancelled operation ends here by raising Cancelled."""

    def gap(self) -> None:
        """A safe point between two parts of a short question: quick ones may run; of a longer one, as :meth:`check`."""
        self.check()

    def end_if_unwanted(self) -> None:
        """End here by raising Cancelled if nobody wants the answer any more; nobody else is let in, so this may stand
        where hooks are in place."""

    def ended(self, part: str) -> bool:
        """Whether the asker wants no more of one part of a stream, such as one of several texts."""
        return False

    def key_of(self, operation: Question) -> str | None:
        """The content key of an operation, or None while its model is not loaded."""
        spec = getattr(operation, "model", None)
        identity = "" if spec is None else self.residents.identity(spec)
        return None if identity is None else content_key(operation, identity, operation.reads(self))

    def stored(self, operation: Question) -> Result | None:
        """The kept result of a job operation, or None."""
        key = self.key_of(operation)
        return None if key is None else self.store.get(key)

    def perform(self, operation: Question) -> Result:
        """Run an operation here; a job's result comes from the store if it is there, and is kept if it is not."""
        if operation.kind != "job":
            return operation.result(self)
        operation.load(self)
        key = self.key_of(operation)
        if key is None:
            raise RuntimeError("a loaded model has no identity")
        found = self.store.get(key)
        if found is not None:
            return found
        if operation.writes:
            check_room()
        result = operation.result(self)
        manifest = {"operation": type(operation).__name__, "settings": operation.to_params()}
        self.store.put(key, result, manifest)
        result.key = key
        return result
