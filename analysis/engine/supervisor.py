"""Start the worker, watch it, start it again when it dies, and tell clients where it is.

The worker is a fresh interpreter, so nothing of the web process is forked. A lock in the data folder sees to it that
several web processes share one worker. What the clients need (address and key) lies in a file of mode 0600; in a
cluster, where workers listen to other machines, it goes to who has started the supervisor instead.
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
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from analysis.engine.own import own_folder
from analysis.home import home
from analysis.models.spec import ModelSpec, model_root

log = logging.getLogger(__name__)


# Nothing is told to the hub beyond what a download asks for, and nothing is converted there on this user's behalf.
QUIET_HUB = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    "DISABLE_SAFETENSORS_CONVERSION": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}


def whereabouts(root: Path | None = None) -> Path:
    """The file that says where the worker listens, in a data folder (default: :func:`analysis.home.home`)."""
    return (root or home()) / "worker.json"


@dataclass
class Supervisor:
    """Keeps one worker alive for as long as this process lives. ``preload`` are the models it loads at once,
    ``worker`` is the module that is run: it imports the operations that can be asked. In a cluster: ``place``, the name
    of the folder for what is the worker's own; ``listen``, the address of this machine's network on which it is asked
    (default: a socket that this machine alone reaches); and ``publish``, which takes what clients need."""

    preload: list[ModelSpec] = field(default_factory=lambda: [ModelSpec("default")])
    threads: int = 0
    worker: str = "analysis.worker"
    place: str = ""
    listen: str = ""
    publish: Callable[[dict[str, Any]], None] | None = None

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None
        self._ended: dict[str, str] | None = None
        self._home, self._own = home(), own_folder(self.place)

    def start(self) -> None:
        """Begin, in a thread of its own; returns at once."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._stop.clear()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="supervisor")
        self._thread.start()

    def stop(self) -> None:
        """End the worker, if it is ours; it is gone when this returns."""
        self._stop.set()
        if self._thread is None:
            return
        deadline = time.monotonic() + 5.0
        while self._thread.is_alive():  # again and again, since a new worker may just have been started
            process = self._process
            if process is not None:
                process.terminate() if time.monotonic() < deadline else process.kill()
            self._thread.join(0.1)

    def _watch(self) -> None:
        lock = FileLock(self._own / "worker.lock")
        while not self._stop.is_set():
            try:
                with lock.acquire(timeout=0.5):
                    self._keep_alive()
            except Timeout:
                continue  # another web process has the worker; take over when it ends
            except OSError:
                log.exception("the worker could not be started; trying again")
                self._stop.wait(5.0)

    def _keep_alive(self) -> None:
        reason, pause = "", 0.2
        try:
            while not self._stop.is_set():
                began = time.monotonic()
                code = self._run_once(reason)
                if self._stop.is_set():
                    return
                reason = _reason(code)
                log.warning("the worker stopped: %s", _why(code))
                pause = 0.2 if time.monotonic() - began > 30 else min(10.0, pause * 2)
                self._stop.wait(pause)
        finally:
            if self.publish is None:
                whereabouts(self._home).unlink(missing_ok=True)

    def _run_once(self, died: str) -> int:
        wanted = (self.listen, 0) if self.listen else _new_address()
        authkey = secrets.token_hex(32)
        settings = {
            "authkey": authkey,
            "address": wanted,
            "died": died,
            "preload": [m.to_dict() for m in self.preload],
        }
        try:
            with _error_log(self._own).open("a") as errors, self._start_process(errors) as process:
                self._process = process
                announced: dict[str, Any] = {}
                try:
                    announced = _converse(process, settings)
                    if announced:
                        self._publish({**announced, "authkey": authkey, "ended": self._ended})
                    code = process.wait()
                except (OSError, ValueError):
                    process.kill()
                    code = process.wait()
            if not self._stop.is_set():
                self._ended = {"address": str(announced.get("address")), "reason": _reason(code)}
                self._publish({"ended": self._ended})
            return code
        finally:
            self._process = None
            if isinstance(wanted, str):
                shutil.rmtree(os.path.dirname(wanted), ignore_errors=True)

    def _start_process(self, errors: IO[str]) -> subprocess.Popen[str]:
        # The worker runs in another folder, so a relative data folder has to be spelled out for it.
        environment = {**os.environ, "ATTUNE_HOME": str(self._home), "ATTUNE_PLACE": self.place}
        environment |= {"OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false", **QUIET_HUB}
        root = model_root()
        if root is not None:
            environment["ATTUNE_MODEL_ROOT"] = str(root)
        if self.threads:
            environment["ATTUNE_THREADS"] = str(self.threads)
        return subprocess.Popen(
            [sys.executable, "-m", self.worker],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
            cwd=Path(__file__).resolve().parents[2],
        )

    def _publish(self, facts: dict[str, Any]) -> None:
        if self.publish is not None:
            self.publish(facts)
            return
        path = whereabouts(self._home)
        part = path.with_suffix(".part")
        part.unlink(missing_ok=True)  # one that was left over might have another mode
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(facts, file)
        os.replace(part, path)


def _converse(process: subprocess.Popen[str], settings: dict[str, Any]) -> dict[str, Any]:
    """Hand over the settings and hear where the worker listens; empty if it ended before it said so."""
    if process.stdin is None or process.stdout is None:
        raise ValueError("the worker has no pipes")
    process.stdin.write(json.dumps(settings) + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    return dict(json.loads(line)) if line else {}


def _new_address() -> str | None:
    """A socket in a new folder of mode 0700 with a short path, wherever the data folder is; None: system's choice."""
    if not hasattr(os, "getuid"):
        return None
    base = tempfile.gettempdir()
    if len(os.fsencode(base)) > 60:  # a socket's path has at most 103 bytes on some systems
        base = "/tmp"  # noqa: S108  (a private folder is made in it)
    return os.path.join(tempfile.mkdtemp(prefix="attune-", dir=base), "worker")


def _error_log(root: Path) -> Path:
    """Where the worker's standard error goes; begun anew when it has grown large."""
    path = root / "logs" / "worker.err"
    path.parent.mkdir(exist_ok=True, mode=0o700)
    if path.exists() and path.stat().st_size > 2 << 20:
        path.unlink()
    path.touch(mode=0o600)
    return path


def _reason(code: int) -> str:
    return f"The worker process stopped ({_why(code)}) while this job ran. It has been started again."


def _why(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = str(-code)
    return f"killed by {name}" + (", often a sign of too little memory" if name == "SIGKILL" else "")
