"""What the environment says of the workers of a cluster, and what of it they are given."""

from __future__ import annotations

import os
from typing import Any

from analysis.cluster.seats import LABEL, label_of
from analysis.engine.supervisor import QUIET_HUB
from analysis.errors import UserError
from analysis.models.spec import model_root

GPUS, CPUS = "ATTUNE_WORKER_GPUS", "ATTUNE_WORKER_CPUS"
"""The environment's names for what each worker has of its node."""
HANDED_ON = ("HF_HUB_OFFLINE", "HF_ENDPOINT", "OMP_NUM_THREADS")
SECRETS = ("ATTUNE_TOKEN", "ATTUNE_LOOK_TOKEN", "ATTUNE_OWNER_TOKEN")


def settings_here() -> dict[str, Any]:
    """What the environment says of workers: ``gpus`` and ``cpus`` of each, the ``label`` of their nodes, and the
    ``environment`` that they are given. UserError where a number is none."""
    root = model_root()
    given = {name: value for name, value in os.environ.items() if name.startswith("ATTUNE_") and name not in SECRETS}
    given |= {name: os.environ[name] for name in HANDED_ON if name in os.environ} | QUIET_HUB
    if root is not None:
        given["ATTUNE_MODEL_ROOT"] = str(root)
    label = os.environ.get(LABEL, "")
    label_of(label)
    return {
        "gpus": _number(GPUS, None), "cpus": _number(CPUS, 0.0), "label": label,
        "environment": given,
    }  # fmt: skip


def _number(name: str, otherwise: float | None) -> float | None:
    text = os.environ.get(name, "").strip()
    if not text:
        return otherwise
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1000:
        raise UserError(f"{name} is {text!r}; it is a number from 0.", name.removeprefix("ATTUNE_").lower())
    return value
