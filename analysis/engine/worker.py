"""The process that owns the model: ``python -m analysis.worker``, started and watched by the supervisor.

It opens its socket before it imports torch, so that the first page can say what is happening; the import and the
default model follow on the compute thread. It ends when its standard input closes, that is, when its parent is gone.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, Listener, answer_challenge, deliver_challenge
from typing import Any

from analysis.answer import plain_of
from analysis.engine import protocol
from analysis.engine.jobs import JobBook
from analysis.engine.memory import give_back
from analysis.engine.operation import rebuild
from analysis.engine.own import own_folder
from analysis.engine.question import Result
from analysis.engine.scheduler import Scheduler, Spreader, bug
from analysis.engine.spread import Here
from analysis.engine.task import Emit
from analysis.errors import UserError
from analysis.logs import cut, log_to
from analysis.models.spec import ModelSpec
from analysis.status import WorkerStatus

log = logging.getLogger("attune.worker")


class Outgoing:
    """The messages to one connection, written by a thread of their own.

    So a client that has stopped reading holds up itself, never the compute thread. Progress beyond ``BACKLOG`` unread
    messages is dropped; answers and the lines of a stream are not.
    """

    BACKLOG = 64

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._queue: queue.SimpleQueue[tuple[list[bytes], threading.Event] | None] = queue.SimpleQueue()
        self._gone = False
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def emit(self, message: dict[str, Any], result: Result | None = None) -> None:
        """Take a message over; its content may change afterwards."""
        progress = message["type"] == "progress"
        line = progress and "line" in message["value"]
        if self._gone or (progress and not line and self._queue.qsize() > self.BACKLOG):
            return
        arrays: dict[str, Any] = {}
        if result is not None:
            # A kept result is read from the store by whoever asked; only its key has to travel.
            message = {**message, "key": result.key}
            if not message.get("stored"):
                message["data"], arrays = result.data, result.arrays
        try:
            frames = protocol.encode(message, arrays)
        except Exception as error:
            failure = bug(error, f"the encoding of a message of type {message['type']}")
            if progress:
                return
            frames = protocol.encode(failure)
        written = threading.Event()
        self._queue.put((frames, written))
        if message["type"] == "started":
            # The asker must know that its job had begun before the job can take the process down.
            written.wait(1.0)

    def close(self) -> None:
        """Write what is left, unless the other side is gone, and end the thread."""
        self._queue.put(None)
        self._thread.join(5.0)
        self._connection.close()

    def _write(self) -> None:
        while (item := self._queue.get()) is not None:
            frames, written = item
            try:
                for frame in frames if not self._gone else []:
                    self._connection.send_bytes(frame)
            except (OSError, ValueError, TypeError) as error:
                self._gone = True
                log.info("a waiting side is gone: %s", error)
            written.set()


class Server:
    """Connections to the scheduler: each has a thread that reads and one that writes. ``unproved``: how many from
    other machines may be at the proof that they know the key; what comes beyond them is closed at once."""

    UNPROVED = 64

    def __init__(self, scheduler: Scheduler, authkey: bytes) -> None:
        self.scheduler = scheduler
        self.authkey = authkey
        self.starting = "starting"
        self.unproved = threading.BoundedSemaphore(self.UNPROVED)

    def accepted(self, connection: Connection, remote: bool) -> None:
        """Answer a new connection in a thread of its own; ``remote``: it may be a stranger's."""
        if remote and not self.unproved.acquire(blocking=False):
            log.warning("a connection was closed: %d others have not shown that they know the key", self.UNPROVED)
            connection.close()
            return
        proved = self.unproved.release if remote else None
        threading.Thread(target=self.serve, args=(connection, proved), daemon=True).start()

    def serve(self, connection: Connection, proved: Callable[[], None] | None = None) -> None:
        """Answer one connection until the other side closes it. Strangers are sent away first; ``proved`` is called
        once that is settled.

        The handshake happens here and not in the listener, which would let one silent stranger keep all others out.
        """
        try:
            protocol.ready(connection, answers=True)
            with protocol.within(connection, protocol.DIALS):  # a stranger holds no thread for longer
                deliver_challenge(connection, self.authkey)
                answer_challenge(connection, self.authkey)
        except (AuthenticationError, EOFError, OSError) as error:
            log.info("a connection was refused: %s", error)
            connection.close()
            return
        finally:
            if proved is not None:
                proved()
        outgoing, tokens = Outgoing(connection), list[tuple[str, str]]()
        try:
            while True:
                message, _ = protocol.receive(connection)
                if message.get("type") == "request":
                    token = str(message.get("token"))
                    if self._request(message, token, outgoing.emit):
                        tokens.append((token, who_of(message)))
                else:
                    outgoing.emit(self._control(message))
        except (EOFError, OSError) as error:
            log.debug("a connection ended: %s", error)
        finally:
            for token, who in tokens:
                self.scheduler.leave(token, "The page that had asked for this was closed.", who, outgoing.emit)
            outgoing.close()

    def _request(self, message: dict[str, Any], token: str, emit: Emit) -> bool:
        """Enter a request; whether its token is now this connection's, which ends with it."""
        try:
            operation = rebuild(str(message["operation"]), dict(message["params"]))
            slot = (str(message.get("session", "")), str(message.get("widget", "")))
            link, looking = str(message.get("link", "")), message.get("looking") is True
            self.scheduler.submit(operation, token, emit, slot, link, looking=looking, who=who_of(message))
            return True
        except UserError as error:
            emit({"type": "error", "kind": "user", "text": error.message, "field": error.field}, None)
        except Exception as error:
            emit(bug(error, f"the request for {str(message.get('operation'))[:80]}"), None)
        return False

    def _control(self, message: dict[str, Any]) -> dict[str, Any]:
        token = str(message.get("token"))
        if message.get("type") == "cancel":
            return {"type": "ok", "found": self.scheduler.leave(token, "cancelled", who_of(message))}
        if message.get("type") == "end part":
            return {"type": "ok", "found": self.scheduler.end_part(token, str(message.get("part")), who_of(message))}
        if message.get("type") == "jobs":
            return {"type": "ok", "jobs": plain_of(self.scheduler.book.listing(who_of(message)))}
        if message.get("type") == "status":
            models = self.scheduler.residents.listing()
            waiting = self.scheduler.waiting()
            busy = self.scheduler.busy_for(who_of(message))
            status = WorkerStatus(
                self.starting, os.getpid(), busy, *models, waiting, _gpu_bytes(), _resident_bytes(),
                self.scheduler.residents.limit, *_room(),
            )  # fmt: skip
            return {"type": "ok", "status": plain_of(status)}
        return {"type": "error", "kind": "user", "text": "The worker does not know this message.", "field": None}


def who_of(message: dict[str, Any]) -> str:
    """Who sends a message; "" for the owner."""
    return str(message.get("who", ""))


def _gpu_bytes() -> int:
    """What torch has taken of all GPUs; 0 before torch is there or where none is in use."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    if cuda is None or not cuda.is_initialized():
        return 0
    return sum(cuda.memory_reserved(n) for n in range(cuda.device_count()))


def _resident_bytes() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


def _room() -> tuple[int, int]:
    """Free and total bytes of the memory that models go to: of the GPUs once torch uses them, else of the machine."""
    import psutil

    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is not None and cuda.is_initialized():
        pairs = [cuda.mem_get_info(n) for n in range(cuda.device_count())]
        return sum(free for free, _ in pairs), sum(total for _, total in pairs)
    memory = psutil.virtual_memory()
    return int(memory.available), int(memory.total)


def main(spread: Spreader = Here) -> None:
    """Read authkey and settings from standard input, serve until it closes. ``spread``: as the scheduler's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides when this ends
    settings = json.loads(sys.stdin.readline())
    os.umask(0o077)  # whatever a library writes below the data folder is for its user alone
    logs = own_folder() / "logs"
    logs.mkdir(exist_ok=True, mode=0o700)
    log_to(logs / "worker.log")
    address = settings.get("address")  # a socket's path; a machine's own address and a port, in a cluster; None
    threading.Thread(target=_end_with_parent, args=(address,), daemon=True).start()
    listener = Listener(tuple(address) if isinstance(address, list) else address, backlog=64)
    scheduler = Scheduler(JobBook(died=settings.get("died", "")), spread=spread)
    server = Server(scheduler, bytes.fromhex(settings["authkey"]))
    threading.Thread(target=_accept, args=(listener, server), daemon=True).start()
    print(json.dumps({"address": listener.address, "pid": os.getpid()}), flush=True)
    threading.Thread(target=_keep_small, daemon=True).start()
    os.dup2(2, 1)  # nobody reads the pipe from here on; what a library prints must not fill it and block
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

    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(psutil.cpu_count(logical=False) or 1, allowed))


def _accept(listener: Listener, server: Server) -> None:
    while True:
        try:
            connection = listener.accept()
        except OSError as error:
            log.warning("a connection could not be accepted: %s", error)
            time.sleep(0.1)  # too many open files, perhaps: give others time to close some
            continue
        server.accepted(connection, isinstance(listener.address, tuple))


def _keep_small() -> None:
    """What libraries write to standard error goes to a file that nobody else watches; memory that is free goes back."""
    while True:
        with contextlib.suppress(OSError):
            cut(2)
        give_back()
        time.sleep(60)


def _end_with_parent(address: str | list[Any] | None) -> None:
    sys.stdin.read()
    if isinstance(address, str):  # the supervisor, which made this folder, cannot remove it any more
        shutil.rmtree(os.path.dirname(address), ignore_errors=True)
    os._exit(0)
