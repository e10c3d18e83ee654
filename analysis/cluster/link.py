"""The way of this process to a Ray cluster, once one is named.

The web process and each worker have one of their own. What travels between Attune's parts through Ray are frames of
bytes (:mod:`analysis.engine.protocol`); that Ray itself pickles what it carries is a matter among the cluster's own
nodes, whose ports must be closed to others (docs/cluster.md).
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from types import ModuleType

from analysis.errors import UserError

log = logging.getLogger(__name__)
VARIABLE = "ATTUNE_RAY"
"""The environment's name for a cluster's address, as the web process hands it to its workers."""
NAMESPACE = "attune"


def named_cluster() -> str:
    """The address of the cluster that this process belongs to; "" where it belongs to none."""
    return os.environ.get(VARIABLE, "").strip()


def link(address: str = "") -> ModuleType:
    """The ray module, connected to the cluster of that address (default: the named one).

    Raises UserError(field="ray") where Ray is not installed or the cluster does not answer.
    """
    address = address or named_cluster()
    try:
        import ray
    except ImportError as error:
        raise UserError("A cluster needs Ray, which is not installed: pip install 'attune[cluster]'.", "ray") from error
    if not ray.is_initialized():
        try:
            ray.init(
                address, namespace=NAMESPACE, log_to_driver=False, configure_logging=False, include_dashboard=False
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UserError(f"The Ray cluster at {address!r} does not answer: {error}", "ray") from error
    module: ModuleType = ray
    return module


_trying = threading.Lock()


def link_aside() -> bool:
    """Whether this process is linked to the named cluster. Returns at once: where it is not, a thread tries, once at a
    time, since a head that is away keeps who asks it for more than a minute."""
    if not _trying.acquire(blocking=False):
        return False
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        _trying.release()
        return True
    threading.Thread(target=_try, daemon=True, name="link").start()
    return False


def _try() -> None:
    try:
        link()
    except UserError as error:
        log.warning("no link to the cluster: %s", error.message)
    except Exception:
        log.exception("the link to the cluster failed")
    finally:
        _trying.release()
