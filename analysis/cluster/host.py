"""The actor on a node: it minds the worker there, and says where that listens. No question goes through it.

What it is given and what it says are JSON, so that nothing depends on how Ray carries objects. It belongs to the keeper
(:mod:`analysis.cluster.keeper`) and ends with it, as a worker on one machine ends with the web process: a GPU is not
held by a worker that nobody minds. Ray starts it again on its node when its process dies; a node that dies takes it
along, and what was there is loaded elsewhere when it is asked for.
"""

from __future__ import annotations

import json
import os
from typing import Any

from analysis.cluster.alike import refusal, shows
from analysis.engine.supervisor import Supervisor
from analysis.models.spec import ModelSpec

OF_RAY = ("OMP_NUM_THREADS", "RAY_JOB_ID", "RAY_RAYLET_PID", "RAY_CLIENT_MODE", "RAY_LD_PRELOAD_ON_WORKERS")
"""What Ray sets for its own processes. A worker is none, and one thread is not what it is to compute with."""


class WorkerHost:
    """Minds one worker. ``settings``: JSON of ``home``, ``nonce``, ``versions``, ``place``, ``listen``, ``preload``,
    ``threads``, ``worker`` and ``environment``."""

    def __init__(self, settings: str) -> None:
        given = json.loads(settings)
        for name in OF_RAY:
            os.environ.pop(name, None)
        os.environ.update({**given["environment"], "ATTUNE_HOME": given["home"]})
        os.umask(0o077)
        self._facts: dict[str, Any] = {}
        self._refused, self._home, self._known = refusal(given), str(given["home"]), {given["nonce"]}
        if not self._refused:
            self._supervisor = Supervisor(
                [ModelSpec.from_dict(spec) for spec in given["preload"]], given["threads"], given["worker"],
                given["place"], given["listen"], self._take,
            )  # fmt: skip
            self._supervisor.start()

    def _take(self, facts: dict[str, Any]) -> None:
        self._facts = facts

    def where(self, nonce: str) -> str:
        """JSON: ``address``, ``authkey`` and ``pid`` of the worker if there is one, ``ended``, and ``refused``: why
        this node can have none. ``others``: the worker is that of another data folder, whose path is the same, since it
        does not see the asker's ``nonce``; then nothing is said of it."""
        if nonce not in self._known and not shows(self._home, nonce):
            text = "A worker of another data folder with the same path runs on this node."
            return json.dumps({"refused": text, "others": True})
        self._known.add(nonce)
        return json.dumps({**self._facts, "refused": self._refused, "others": False})
