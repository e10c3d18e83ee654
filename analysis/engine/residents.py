"""The models that are in memory, by specification.

Requests name their model, so two people may use two models and never mix. At most ``limit`` stay loaded
(``ATTUNE_MODELS``, default 2); the one unused for longest makes room. The checkpoints that a method reads by itself are
counted apart, so that a game on the Othello page does not send anyone's own model away. Loading happens on the compute
thread only.
"""

from __future__ import annotations

import gc
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from analysis.engine.keys import hash_of
from analysis.models.spec import ModelSpec
from analysis.models.stamp import stamp_of
from analysis.progress import Progress, silent
from analysis.status import Loading, Resident

if TYPE_CHECKING:
    from analysis.models.loaded_model import LoadedModel

Load = Callable[[ModelSpec, Progress], "LoadedModel"]
_VARIANT = "weights beside the fingerprint"


class Residents:
    """Loaded models. ``get`` is for the task whose turn it is; the other methods are for any thread."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit or max(1, int(os.environ.get("ATTUNE_MODELS", "2")))
        self._lock = threading.Lock()
        self._loaded: OrderedDict[ModelSpec, LoadedModel] = OrderedDict()
        self._apart: set[ModelSpec] = set()
        self._loading: Loading | None = None

    def get(
        self, spec: ModelSpec, progress: Progress = silent, *, fresh: bool = False, load: Load | None = None
    ) -> LoadedModel:
        """The loaded model, loading it first if need be. ``fresh``: read it again if its files were saved over.
        ``load``: what reads it where that is a method's own, and the model is then counted apart.

        A model leaves memory only once the new one is known to load; or, where both do not fit, once the new one's
        files are known to be readable. Raises UserError if it cannot be loaded: then all others are still there.
        """
        with self._lock:
            known = self._loaded.get(spec)
            if known is not None:
                self._loaded.move_to_end(spec)
            full = load is None and known is None and len(self._counted(False)) >= self.limit
        if known is not None and not (fresh and changed_on_disk(known)):
            return known
        with self._lock:
            self._loading = Loading(spec, "starting", 0.0)
        from analysis.models.loader import load_model

        def told(share: float | None, text: str = "", **facts: Any) -> None:
            with self._lock:
                self._loading = Loading(spec, text, share)
            progress(share, text, **facts)

        try:
            if full and not _fits_beside(spec):
                self._make_room(False)
            loaded = (load or load_model)(spec, told)
            if known is not None:
                loaded = _renewed(loaded, known)
            with self._lock:
                self._loaded.pop(spec, None)
            self._make_room(load is not None)
            with self._lock:
                self._loaded[spec] = loaded
                (self._apart.discard if load is None else self._apart.add)(spec)
            return loaded
        finally:
            with self._lock:
                self._loading = None

    def _counted(self, apart: bool) -> list[ModelSpec]:
        return [spec for spec in self._loaded if (spec in self._apart) == apart]

    def _make_room(self, apart: bool) -> None:
        """Let go of those unused for longest, until one more may be loaded."""
        while True:
            with self._lock:
                counted = self._counted(apart)
                if len(counted) < self.limit:
                    return
                del self._loaded[counted[0]]
            gc.collect()  # what is kept with a model refers back to it

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
        device, and the tokenizer and settings where these may change. Computed answers are kept under it; files that
        belong to weights go by the fingerprint alone."""
        with self._lock:
            found = self._loaded.get(spec)
        if found is None:
            return None
        parts = [found.facts.fingerprint, found.facts.dtype, found.facts.device, found.surroundings]
        parts.append(found.extras.get(_VARIANT, ""))  # weights that changed where the fingerprint does not look
        return " ".join(part for part in parts if part)

    def put(self, loaded: LoadedModel) -> None:
        """Enter a model that was made elsewhere (tests, notebooks)."""
        with self._lock:
            self._loaded[loaded.spec] = loaded

    def listing(self) -> tuple[tuple[Resident, ...], Loading | None]:
        """What is loaded, newest use last, and what is being loaded."""
        with self._lock:
            loaded = tuple(Resident(s, m.facts, changed_on_disk(m), s in self._apart) for s, m in self._loaded.items())
            return loaded, self._loading


def changed_on_disk(loaded: LoadedModel) -> bool:
    """Whether the files of a loaded model were saved over, or are gone, since they were read."""
    return bool(loaded.stamp) and stamp_of(loaded.spec) != loaded.stamp


def _same_weights(a: Any, b: Any) -> bool:
    """Whether two models have the same weights, every one of them."""
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(
        t.shape == theirs[n].shape and bool((t == theirs[n]).all()) for n, t in ours.items()
    )


def _fits_beside(spec: ModelSpec) -> bool:
    """Whether a model fits into what is free now. Raises UserError if its files cannot be read at all."""
    from analysis.models.metadata import estimate

    return estimate(spec).fits


def _renewed(loaded: LoadedModel, before: LoadedModel) -> LoadedModel:
    """The model read again, with a sentence on whether its weights are others now."""
    text = "The files were saved over since they were last read"
    if loaded.facts.fingerprint != before.facts.fingerprint:
        text += ": the weights changed. These are the new ones, and what was fitted to the old ones is not theirs."
    elif _same_weights(loaded.model, before.model):
        other = loaded.surroundings != before.surroundings
        text += f"; the weights are the same{', the tokenizer or the settings are not' if other else ''}."
        loaded.extras[_VARIANT] = before.extras.get(_VARIANT, "")
    else:
        text += (
            ": a few weights changed, none of them among those that the fingerprint samples. These are the new ones; "
            "what was fitted to the old ones is offered still, and is not theirs."
        )
        loaded.extras[_VARIANT] = hash_of([list(entry) for entry in loaded.stamp])
    facts = replace(loaded.facts, note=f"{text} {loaded.facts.note}".strip())
    return replace(loaded, facts=facts)
