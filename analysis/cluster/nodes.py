"""A hand of the cluster: the actor on a node that keeps models and data and works on shards, one at a time.

Its methods take and give plain values and blocks of bytes. It runs some of them at once, so that the end of a call gets
in while a shard is computed.
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import traceback
from dataclasses import replace
from importlib import import_module
from types import FunctionType
from typing import Any, get_type_hints

import numpy as np

from analysis.cluster.alike import refusal
from analysis.cluster.frames import answer_of, block
from analysis.cluster.weights import digest_of
from analysis.engine.context import Context
from analysis.engine.memory import Memory
from analysis.engine.residents import Residents
from analysis.engine.spread import Bench
from analysis.errors import Cancelled, UserError
from analysis.models.spec import ModelSpec
from analysis.progress import Check, no_check

log = logging.getLogger(__name__)
AT_ONCE = 4
"""Methods that run at once: a shard, the end of a call, how far it is, and one in reserve."""
KEPT = 0.4
"""Share of the free host memory that data of fits may take."""
CALLS = 64
_KNOWN = ("weights", "numbers", "tokenizer and settings")
_NAME = re.compile(r"(analysis(?:\.[a-z0-9_]+)+):([a-z0-9_]+)", re.ASCII)


def name_of(function: Any) -> str:
    """The name under which a function travels. Raises ValueError for one that is not at the top of a module of
    ``analysis``."""
    name = f"{function.__module__}:{function.__qualname__}"
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name} does not stand at the top of a module of analysis, so no node can find it")
    return name


def function_of(name: str) -> tuple[FunctionType, type, type, type]:
    """A function by its name, and the classes of what is common, of a shard and of a part. Raises ValueError."""
    match = _NAME.fullmatch(name)
    function = getattr(import_module(match[1]), match[2], None) if match else None
    if match is None or not isinstance(function, FunctionType) or function.__module__ != match[1]:
        raise ValueError(f"{name!r} is no function of analysis")
    hints = get_type_hints(function)
    part = hints.pop("return", None)
    bench, *kinds = hints.values()
    if bench is not Bench or len(kinds) != 2 or not isinstance(part, type):
        raise ValueError(f"{name!r} is no function of a bench, something common and a shard")
    return function, kinds[0], kinds[1], part


def wanted(loaded: Any, check: Check = no_check) -> dict[str, Any]:
    """What a node must hold to work in the place of a loaded model, as plain values. ``check`` is called meanwhile."""
    spec = replace(loaded.spec, device=loaded.device.type)
    return {"spec": spec.to_dict(), "known": _known(loaded, check)}


def _known(loaded: Any, check: Check = no_check) -> list[str]:
    """What decides the numbers of a loaded model, as :data:`_KNOWN` names it."""
    return [digest_of(loaded, check), loaded.facts.dtype, loaded.surroundings]


def model_there(residents: Residents, model: dict[str, Any], fresh: bool) -> Any:
    """The model of a node that stands for the asker's (as :func:`wanted` says). What the node holds may be older than
    the files: with ``fresh`` they are read again where it is not the asker's. UserError if that is not theirs
    either."""
    spec = ModelSpec.from_dict(model["spec"])
    loaded = residents.get(spec)
    if fresh and _known(loaded) != model["known"]:
        loaded = residents.get(spec, fresh=True)
    for its, ours, what in zip(_known(loaded), model["known"], _KNOWN, strict=True):
        if ours != its:
            raise UserError(f"the {what} of the model of this name are not the same there ({its}, not {ours})", "model")
    return loaded


class Node:
    """What runs on a node. ``threads``: for the computation. ``settings``: JSON of ``home``, ``nonce``, ``versions``
    and ``environment``, as a worker's. ``gpu``: which of the node's it uses, None for none."""

    def __init__(self, threads: int, settings: str, gpu: int | None) -> None:
        given = json.loads(settings)
        os.environ.update({**given["environment"], "ATTUNE_HOME": given["home"]})
        self._refused = refusal(given)
        visible = [part for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if part]
        if gpu is not None:  # Ray hides all of them from what asks for none
            os.environ["CUDA_VISIBLE_DEVICES"] = visible[gpu] if gpu < len(visible) else str(gpu)
        import torch

        from analysis.models.memory import host_memory

        torch.set_num_threads(threads)
        self._context = Context(Residents(), memory=Memory(max(600 << 20, int(KEPT * host_memory()[1]))))
        self._turn = threading.Lock()
        self._ended: dict[str, None] = {}
        self._at: dict[str, tuple[float, str]] = {}
        self._common: tuple[str, Any] = ("", None)

    def hold(self, model: dict[str, Any] | None) -> str:
        """Load a model if there is one; why it cannot stand for the asker's, or this node for the asker's, "" if it
        can."""
        if self._refused:
            return self._refused
        try:
            with self._turn:
                self._model(model, fresh=True)
        except UserError as error:
            return error.message
        except Exception as error:
            log.exception("a model could not be loaded on this node")
            return f"{type(error).__name__}: {error}"
        return ""

    def work(
        self, call: str, model: dict[str, Any] | None, name: str, common: np.ndarray, shard: np.ndarray
    ) -> tuple[str, np.ndarray]:
        """A shard of a call: what became of it as JSON, and the part as a block."""
        nothing = np.zeros(0, np.uint8)
        try:
            with self._turn:
                return json.dumps({"type": "part"}), self._part(call, model, name, common, shard)
        except Cancelled:
            return json.dumps({"type": "ended"}), nothing
        except UserError as error:
            return json.dumps({"type": "user", "text": error.message, "field": error.field}), nothing
        except BaseException as error:  # a library in Rust panics with what is no Exception
            log.exception("a shard of %s failed", name)
            told = {"type": "bug", "kind": type(error).__name__, "text": traceback.format_exc()}
            return json.dumps(told), nothing
        finally:
            self._at.pop(call, None)

    def end(self, call: str) -> None:
        """End the work on a call at its next safe point, and what comes of it later."""
        self._ended[call] = None
        while len(self._ended) > CALLS:
            self._ended.pop(next(iter(self._ended)))

    def share(self, call: str) -> tuple[float, str]:
        """How far the shard of a call is, in [0, 1], and in words."""
        return self._at.get(call, (0.0, ""))

    def _part(
        self, call: str, model: dict[str, Any] | None, name: str, common: np.ndarray, shard: np.ndarray
    ) -> np.ndarray:
        function, common_kind, shard_kind, _ = function_of(name)
        if self._common[0] != call:
            self._common = (call, answer_of(common_kind, common))

        def check() -> None:
            if call in self._ended:
                raise Cancelled

        def told(share: float | None, text: str = "", **facts: Any) -> None:
            self._at[call] = (share if share is not None else self.share(call)[0], text)
            check()

        check()
        bench = Bench(self._model(model), self._context.memory, told, check, self._context)
        return block(function(bench, self._common[1], answer_of(shard_kind, shard)))

    def _model(self, model: dict[str, Any] | None, fresh: bool = False) -> Any:
        return None if model is None else model_there(self._context.residents, model, fresh)
