"""The actor on a node: it minds the worker there, and says where that listens. No question goes through it.

What it is given and what it says are JSON, so that nothing depends on how Ray carries objects. It belongs to the keeper
(:mod:`analysis.cluster.keeper`) and ends with it, as a worker on one machine ends with the web process: a GPU is not
held by a worker that nobody minds. Ray starts it again on its node when its process dies; a node that dies takes it
along, and what was there is loaded elsewhere when it is asked for.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import socket
from pathlib import Path
from typing import Any

from analysis.engine.keys import code_version
from analysis.engine.own import PLACES
from analysis.engine.supervisor import Supervisor
from analysis.models.spec import ModelSpec

OF_RAY = ("OMP_NUM_THREADS", "RAY_JOB_ID", "RAY_RAYLET_PID", "RAY_CLIENT_MODE", "RAY_LD_PRELOAD_ON_WORKERS")
"""What Ray sets for its own processes. A worker is none, and one thread is not what it is to compute with."""
ALIKE = ("torch", "transformers")
"""Libraries whose versions decide numbers, so that all nodes need the same ones."""


def versions() -> dict[str, str]:
    """What must be the same wherever answers that are kept together are computed."""
    return {"Attune": code_version("analysis"), **{name: importlib.metadata.version(name) for name in ALIKE}}


def nonce_path(home: str, nonce: str) -> Path:
    """The file of a data folder by which a node shows that it sees the same folder."""
    return Path(home) / PLACES / f".seen-{nonce}"


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
        self._refused = refusal(given)
        if not self._refused:
            self._supervisor = Supervisor(
                [ModelSpec.from_dict(spec) for spec in given["preload"]], given["threads"], given["worker"],
                given["place"], given["listen"], self._take,
            )  # fmt: skip
            self._supervisor.start()

    def _take(self, facts: dict[str, Any]) -> None:
        self._facts = facts

    def where(self) -> str:
        """JSON: ``address``, ``authkey`` and ``pid`` of the worker if there is one, ``ended``, and ``refused``: why
        this node can have none."""
        return json.dumps({**self._facts, "refused": self._refused})


def refusal(given: dict[str, Any]) -> str:
    """Why what runs here would not fit the others, by ``home``, ``nonce`` and ``versions``; "" if it would."""
    node = socket.gethostname()
    try:
        seen = nonce_path(given["home"], given["nonce"]).read_text(encoding="utf-8")
    except OSError:
        seen = ""
    if seen != given["nonce"]:
        return (
            f"{node} does not see the data folder {given['home']} as the web server does. Share that folder under the "
            "same path with all nodes, and name it by ATTUNE_HOME."
        )
    ours = versions()
    for name, version in given["versions"].items():
        if ours.get(name) != version:
            what = "another version of Attune's code" if name == "Attune" else f"{name} {ours.get(name)}"
            wanted = "" if name == "Attune" else f", the web server's side {version}"
            return f"{node} has {what}{wanted}. Install the same on all nodes, or answers kept together would differ."
    return ""
