"""The models that are in memory, by specification.

Requests name their model, so two people may use two models and never mix. At most ``limit`` stay loaded
(``ATTUNE_MODELS``, default 2); the one unused for longest makes room. Loading happens on the compute thread only.
"""

from __future__ import annotations

import gc
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from analysis.models.spec import ModelSpec

if TYPE_CHECKING:
    from analysis.models.loader import LoadedModel


class Residents:
    """Loaded models. ``get`` is for the compute thread; the other methods for any."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit or max(1, int(os.environ.get("ATTUNE_MODELS", "2")))
        self._lock = threading.Lock()
        self._loaded: OrderedDict[ModelSpec, LoadedModel] = OrderedDict()
        self._loading: tuple[ModelSpec, str, float | None] | None = None

    def get(self, spec: ModelSpec, progress: Callable[[str, float | None], None] | None = None) -> LoadedModel:
        """The loaded model, loading it first if need be. Raises UserError if that cannot be done."""
        with self._lock:
            if spec in self._loaded:
                self._loaded.move_to_end(spec)
                return self._loaded[spec]
            while len(self._loaded) >= self.limit:
                self._loaded.popitem(last=False)
                gc.collect()  # what is kept with a model refers back to it
            self._loading = (spec, "starting", 0.0)
        from analysis.models.loader import load_model

        def say(text: str, share: float | None) -> None:
            with self._lock:
                self._loading = (spec, text, share)
            if progress is not None:
                progress(text, share)

        try:
            loaded = load_model(spec, say)
            with self._lock:
                self._loaded[spec] = loaded
            return loaded
        finally:
            with self._lock:
                self._loading = None

    def may_use(self, spec: ModelSpec | None) -> bool:
        """Whether a task with that model (or with none) can run now without a second load inside a running one."""
        with self._lock:
            return self._loading is None or spec is None or spec in self._loaded

    def fingerprint(self, spec: ModelSpec) -> str | None:
        """Fingerprint of a loaded model's weights (``ModelFacts.fingerprint``), None while it is not loaded."""
        with self._lock:
            found = self._loaded.get(spec)
        return None if found is None else found.facts.fingerprint

    def identity(self, spec: ModelSpec) -> str | None:
        """What tells the numbers of a loaded model from those of any other: fingerprint of the weights, dtype and
        device. Computed answers are kept under it; files that belong to weights go by the fingerprint alone."""
        with self._lock:
            found = self._loaded.get(spec)
        return None if found is None else f"{found.facts.fingerprint} {found.facts.dtype} {found.facts.device}"

    def put(self, loaded: LoadedModel) -> None:
        """Enter a model that was made elsewhere (tests, notebooks)."""
        with self._lock:
            self._loaded[loaded.spec] = loaded

    def listing(self) -> dict[str, Any]:
        """What is loaded, newest use last, and what is being loaded; plain data."""
        with self._lock:
            loading = self._loading
            return {
                "loaded": [{"spec": s.to_dict(), "facts": m.facts_dict()} for s, m in self._loaded.items()],
                "loading": loading and {"spec": loading[0].to_dict(), "text": loading[1], "share": loading[2]},
            }
