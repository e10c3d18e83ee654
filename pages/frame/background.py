"""Dash's background callbacks, with the job body in a thread that relays instead of in a forked process.

The stock ``DiskcacheManager`` forks the web process for every job; under a multi-threaded server such children
deadlock inside diskcache, and two users with equal inputs steal each other's answer. Here the body only waits for the
worker, so a thread is enough. Six methods of an undocumented interface are overridden; tests/service holds their
contract, with the 80-job and the equal-inputs case.
"""

from __future__ import annotations

import contextvars
import json
import logging
import os
import shutil
import sqlite3
import threading
import traceback
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diskcache
import psutil
from dash import DiskcacheManager
from plotly.utils import PlotlyJSONEncoder

from pages.job import current_job

log = logging.getLogger(__name__)
_MAX_REFUSED = 500


class PlainDisk(diskcache.JSONDisk):  # type: ignore[misc]
    """JSON on disk, never pickle; components and arrays are written as Dash would send them."""

    def store(self, value: object, read: bool, key: object = diskcache.UNKNOWN) -> Any:
        """Encode a value."""
        if not read:
            value = zlib.compress(_encode(value), self.compress_level)
        return diskcache.Disk.store(self, value, read, key=key)


class PatientCache(diskcache.Cache):  # type: ignore[misc]
    """A cache that keeps in memory what a full disk refuses: an answer that cannot be left leaves a page waiting."""

    def __init__(self, *args: object, **settings: object) -> None:
        self._refused: dict[object, object] = {}
        super().__init__(*args, **settings)

    def set(self, key: object, value: object, *args: object, **more: object) -> bool:
        """Keep a value, on the disk if there is room."""
        self._refused.pop(key, None)
        try:
            return bool(super().set(key, value, *args, **more))
        except (OSError, sqlite3.Error, diskcache.Timeout) as error:
            log.warning("a value of the relay stays in memory: %s", error)
            while len(self._refused) >= _MAX_REFUSED:
                del self._refused[next(iter(self._refused))]
            self._refused[key] = json.loads(_encode(value))
            return True

    def add(self, key: object, value: object, *args: object, **more: object) -> bool:
        """Keep a value if there is none under that key yet."""
        if key in self._refused:
            return False
        try:
            return bool(super().add(key, value, *args, **more))
        except (OSError, sqlite3.Error, diskcache.Timeout):
            return self.get(key) is None and self.set(key, value)

    def get(self, key: object, default: object = None, *args: object, **more: object) -> Any:
        """The value under a key."""
        if key in self._refused:
            return self._refused[key]
        try:
            return super().get(key, default, *args, **more)
        except (OSError, sqlite3.Error, diskcache.Timeout):
            return default

    def pop(self, key: object, default: object = None, *args: object, **more: object) -> Any:
        """The value under a key, taken out."""
        if key in self._refused:
            return self._refused.pop(key)
        try:
            return super().pop(key, default, *args, **more)
        except (OSError, sqlite3.Error, diskcache.Timeout):
            return default

    def delete(self, key: object, *args: object, **more: object) -> bool:
        """Drop a key; on a full disk the old value stays until it expires."""
        there = self._refused.pop(key, None) is not None
        try:
            return bool(super().delete(key, *args, **more)) or there
        except (OSError, sqlite3.Error, diskcache.Timeout):
            return there


def _encode(value: object) -> bytes:
    return json.dumps(value, cls=PlotlyJSONEncoder).encode()


def open_cache(folder: Path) -> diskcache.Cache:
    """A fresh cache in a private folder of this process; JSON, not pickle. Those of dead processes are removed."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for old in folder.iterdir():
        if not psutil.pid_exists(int(old.name.partition("-")[0]) if old.name.partition("-")[0].isdigit() else 0):
            shutil.rmtree(old, ignore_errors=True)
    own = folder / f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
    own.mkdir(mode=0o700)
    return PatientCache(str(own), disk=PlainDisk, size_limit=1 << 28)


class RelayManager(DiskcacheManager):  # type: ignore[misc]
    """Runs the bodies of background callbacks in daemon threads; ``cancel`` ends the worker's side of one."""

    def __init__(self, cache: diskcache.Cache, cancel: Callable[[str], object]) -> None:
        super().__init__(cache)
        self._cancel = cancel

    def build_cache_key(self, *args: object, **kwargs: object) -> str:
        """Never share a result key between two requests, even with equal inputs."""
        return str(super().build_cache_key(*args, **kwargs)) + uuid.uuid4().hex

    def call_job_fn(self, key: str, job_fn: Callable[..., None], args: object, context: object) -> str:
        """Start the body; the id returned is also the token under which it asks the worker."""
        job = uuid.uuid4().hex
        self.handle.set("job:" + job, os.getpid(), expire=12 * 3600)

        def body() -> None:
            current_job.set(job)
            try:
                job_fn(key, self._make_progress_key(key), args, context)
            except Exception as error:
                # Without an answer the page would wait for ever; Dash's own handling covers only the body itself.
                log.exception("a background callback could not give its answer")
                failed = {"msg": str(error), "tb": traceback.format_exc()}
                self.handle.set(key, {"background_callback_error": failed})
            finally:
                self.handle.delete("job:" + job)

        threading.Thread(target=contextvars.copy_context().run, args=(body,), daemon=True).start()
        return job

    def terminate_job(self, job: object) -> None:
        """Cancel, whichever web process the click reached: the id is looked up in the worker."""
        if job and self.handle.pop("job:" + str(job)) is not None:
            self._cancel(str(job))

    def job_running(self, job: object) -> bool:
        """Whether the process that relays for this job is still there."""
        pid = self.handle.get("job:" + str(job)) if job else None
        return bool(pid) and psutil.pid_exists(int(pid or 0))

    def terminate_unhealthy_job(self, job: object) -> bool:
        """A thread is never half dead; nothing to do."""
        return False
