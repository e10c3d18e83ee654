"""What an operation may use while it runs: models, stored results, a memory of recent passes, progress and cancel.

The worker hands each task a context bound to its scheduler; a notebook or a test uses :class:`Context` as it is, and
gets the same answers from the same code without a second process.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from analysis.engine.operation import Operation, Result, content_key
from analysis.engine.store import ResultStore
from analysis.models.spec import ModelSpec

if TYPE_CHECKING:
    from analysis.engine.residents import Residents
    from analysis.models.loaded_model import LoadedModel


class Memory:
    """Recent values by key, the least recently used dropped when their sizes exceed ``limit`` bytes. Thread-safe."""

    def __init__(self, limit: int = 600 << 20) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._items: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def get(self, key: Hashable) -> Any | None:
        """The value under a key, or None."""
        with self._lock:
            if key not in self._items:
                return None
            self._items.move_to_end(key)
            return self._items[key][0]

    def put(self, key: Hashable, value: Any, size: int) -> None:
        """Remember a value of ``size`` bytes."""
        with self._lock:
            self._items[key] = (value, size)
            self._items.move_to_end(key)
            while len(self._items) > 1 and sum(s for _, s in self._items.values()) > self.limit:
                self._items.popitem(last=False)


class Context:
    """The surroundings of one running operation. This base runs in place, with no other task to give way to."""

    def __init__(
        self, residents: Residents | None = None, store: ResultStore | None = None, memory: Memory | None = None
    ):
        if residents is None:
            from analysis.engine.residents import Residents

            residents = Residents()
        self.residents = residents
        self.store = store or ResultStore()
        self.memory = memory or Memory()
        self.on_progress: Callable[[dict[str, Any]], None] | None = None

    def model(self, spec: ModelSpec, *, fresh: bool = False) -> LoadedModel:
        """The model of that specification, loaded if it is not. ``fresh``: again if its files were saved over."""
        return self.residents.get(spec, lambda text, share: self.progress(None, text), fresh=fresh)

    def progress(self, share: float | None, text: str = "", **facts: Any) -> None:
        """Say how far the operation is (share in [0, 1] or None) and give way: a safe point, no tap may be open."""
        if self.on_progress is not None:
            self.on_progress({"share": share, "text": text, **facts})
        self.check()

    def line(self, **facts: Any) -> None:
        """Say one line of a stream and give way: a safe point like :meth:`progress`, but no line is ever dropped."""
        if self.on_progress is not None:
            self.on_progress({"share": None, "text": "", "line": facts})
        self.check()

    def check(self) -> None:
        """A safe point: others may run, and a cancelled operation ends here by raising Cancelled."""

    def key_of(self, operation: Operation) -> str | None:
        """The content key of an operation, or None while its model is not loaded."""
        spec = getattr(operation, "model", None)
        identity = "" if spec is None else self.residents.identity(spec)
        return None if identity is None else content_key(operation, identity, operation.reads(self))

    def stored(self, operation: Operation) -> Result | None:
        """The kept result of a job operation, or None."""
        key = self.key_of(operation)
        return None if key is None else self.store.get(key)

    def perform(self, operation: Operation) -> Result:
        """Run an operation here; a job's result comes from the store if it is there, and is kept if it is not."""
        if operation.kind != "job":
            return operation.run(self)
        if getattr(operation, "model", None) is not None:
            self.model(operation.model, fresh=operation.reread)  # type: ignore[attr-defined]
        key = self.key_of(operation)
        if key is None:
            raise RuntimeError("a loaded model has no identity")
        found = self.store.get(key)
        if found is not None:
            return found
        result = operation.run(self)
        manifest = {"operation": type(operation).__name__, "settings": operation.to_params()}
        self.store.put(key, result, manifest)
        result.key = key
        return result
