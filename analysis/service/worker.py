"""The process that owns the model: ``python -m analysis.service.worker``, started and watched by the supervisor.

It opens its socket before it imports torch, so that the first page can say what is happening; the import and the
default model follow on the compute thread. It ends when its standard input closes, that is, when its parent is gone.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import sys
import threading
from multiprocessing.connection import Connection, Listener
from typing import Any

from analysis.errors import UserError
from analysis.home import folder
from analysis.models.spec import ModelSpec
from analysis.service import protocol
from analysis.service.jobs import JobBook
from analysis.service.operation import Result, rebuild
from analysis.service.scheduler import Scheduler

log = logging.getLogger("attune.worker")


class Server:
    """Connections to the scheduler: one thread each, one request each."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.starting = "starting"

    def serve(self, connection: Connection) -> None:
        """Answer one connection until the other side closes it."""
        lock, tokens = threading.Lock(), []

        def emit(message: dict[str, Any], result: Result | None = None) -> None:
            arrays: dict[str, Any] = {}
            if result is not None:
                # A kept result is read from the store by whoever asked; only its key has to travel.
                message = {**message, "key": result.key}
                if not message.get("stored"):
                    message["data"], arrays = result.data, result.arrays
            try:
                with lock:
                    protocol.send(connection, message, arrays)
            except (OSError, ValueError) as error:
                log.info("a waiting side is gone: %s", error)

        try:
            while True:
                message, _ = protocol.receive(connection)
                if message.get("type") == "request":
                    token = str(message["token"])
                    tokens.append(token)
                    self._request(message, token, emit)
                else:
                    emit(self._control(message))
        except (EOFError, OSError, KeyError, TypeError):
            pass
        finally:
            for token in tokens:
                self.scheduler.leave(token, "The page that had asked for this was closed.")
            connection.close()

    def _request(self, message: dict[str, Any], token: str, emit: Any) -> None:
        try:
            operation = rebuild(str(message["operation"]), dict(message["params"]))
        except UserError as error:
            emit({"type": "error", "kind": "user", "text": error.message, "field": error.field})
            return
        slot = (str(message.get("session", "")), str(message.get("widget", "")))
        self.scheduler.submit(operation, token, emit, slot, str(message.get("link", "")))

    def _control(self, message: dict[str, Any]) -> dict[str, Any]:
        if message.get("type") == "cancel":
            return {"type": "ok", "found": self.scheduler.leave(str(message.get("token")), "cancelled")}
        if message.get("type") == "jobs":
            return {"type": "ok", "jobs": self.scheduler.book.listing()}
        if message.get("type") == "status":
            listing = self.scheduler.residents.listing()
            return {"type": "ok", "pid": os.getpid(), "phase": self.starting, "busy": self.scheduler.busy, **listing}
        return {"type": "error", "kind": "user", "text": "The worker does not know this message.", "field": None}


def main() -> None:
    """Read authkey and settings from standard input, serve until it closes."""
    settings = json.loads(sys.stdin.readline())
    handler = logging.handlers.RotatingFileHandler(folder("logs") / "worker.log", maxBytes=2 << 20, backupCount=2)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    listener = Listener(settings.get("address"), backlog=64, authkey=bytes.fromhex(settings["authkey"]))
    scheduler = Scheduler(JobBook(died=settings.get("died", "")))
    server = Server(scheduler)
    threading.Thread(target=_accept, args=(listener, server), daemon=True).start()
    print(json.dumps({"address": listener.address, "pid": os.getpid()}), flush=True)
    _prepare(server, settings)
    scheduler.run_forever()


def _prepare(server: Server, settings: dict[str, Any]) -> None:
    server.starting = "importing torch"
    import torch

    torch.set_num_threads(int(os.environ.get("ATTUNE_THREADS", 0)) or _cores())
    server.starting = "loading the model"
    try:
        for spec in settings.get("preload", []):
            server.scheduler.residents.get(ModelSpec.from_dict(spec))
        server.starting = "ready"
    except UserError as error:
        server.starting = error.message
    except Exception:
        log.exception("the first model could not be loaded")
        server.starting = "The first model could not be loaded; the log has the details. Choose one on the Model page."


def _cores() -> int:
    import psutil

    return max(1, min(psutil.cpu_count(logical=False) or 1, len(os.sched_getaffinity(0)))) if hasattr(
        os, "sched_getaffinity"
    ) else (os.cpu_count() or 1)


def _accept(listener: Listener, server: Server) -> None:
    while True:
        try:
            connection = listener.accept()
        except Exception as error:  # a stranger, or one who left during the handshake
            log.info("a connection was refused: %s", error)
            continue
        threading.Thread(target=server.serve, args=(connection,), daemon=True).start()


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
