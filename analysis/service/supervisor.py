"""Start the worker, watch it, start it again when it dies, and tell clients where it is.

The worker is a fresh interpreter, so nothing of the web process is forked. A lock in the data folder sees to it that
several web processes share one worker. What the clients need (address and key) lies in a file of mode 0600.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from analysis.home import folder, home
from analysis.models.spec import ModelSpec

log = logging.getLogger(__name__)


def whereabouts() -> Path:
    """The file that says where the worker listens."""
    return home() / "worker.json"


@dataclass
class Supervisor:
    """Keeps one worker alive for as long as this process lives. ``preload`` are the models it loads at once."""

    preload: list[ModelSpec] = field(default_factory=lambda: [ModelSpec("default")])
    threads: int = 0

    def start(self) -> None:
        """Begin, in a thread of its own; returns at once."""
        self._stop = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._watch, daemon=True, name="supervisor")
        self._thread.start()

    def stop(self) -> None:
        """End the worker, if it is ours."""
        self._stop.set()
        if self._process is not None:
            self._process.terminate()
        self._thread.join(5)

    def _watch(self) -> None:
        lock = FileLock(home() / "worker.lock")
        while not self._stop.is_set():
            try:
                with lock.acquire(timeout=1):
                    self._keep_alive()
            except Timeout:
                continue  # another web process has the worker; take over when it ends

    def _keep_alive(self) -> None:
        died, pause = "", 0.2
        while not self._stop.is_set():
            began = time.monotonic()
            code = self._run_once(died)
            if self._stop.is_set():
                return
            died = f"The worker process stopped ({_why(code)}) while this job ran. It has been started again."
            log.warning("the worker stopped: %s", _why(code))
            pause = 0.2 if time.monotonic() - began > 30 else min(10.0, pause * 2)
            self._publish({"died": died})
            self._stop.wait(pause)

    def _run_once(self, died: str) -> int:
        sockets = tempfile.mkdtemp(prefix="attune-")
        authkey = secrets.token_hex(32)
        address = os.path.join(sockets, "worker") if hasattr(os, "getuid") else None
        environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}
        if self.threads:
            environment["ATTUNE_THREADS"] = str(self.threads)
        errors = (folder("logs") / "worker.err").open("a")
        process = subprocess.Popen(
            [sys.executable, "-m", "analysis.service.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
            cwd=Path(__file__).resolve().parents[2],
        )
        self._process = process
        assert process.stdin is not None and process.stdout is not None
        settings = {
            "authkey": authkey,
            "address": address,
            "died": died,
            "preload": [m.to_dict() for m in self.preload],
        }
        try:
            process.stdin.write(json.dumps(settings) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if line:
                self._publish({**json.loads(line), "authkey": authkey, "died": died})
            return process.wait()
        except (OSError, ValueError):
            process.kill()
            return process.wait()
        finally:
            errors.close()
            shutil.rmtree(sockets, ignore_errors=True)

    def _publish(self, facts: dict[str, Any]) -> None:
        path = whereabouts()
        descriptor = os.open(path.with_suffix(".part"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(facts, file)
        os.replace(path.with_suffix(".part"), path)


def _why(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = str(-code)
    return f"killed by {name}" + (", often a sign of too little memory" if name == "SIGKILL" else "")
