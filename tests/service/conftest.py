"""A data folder of its own for each test, workers that are ended whatever happens, and a scheduler in this process."""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Client as connect
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
import pytest

from analysis.engine.client import Client
from analysis.engine.jobs import JobBook
from analysis.engine.operation import Operation
from analysis.engine.question import Result
from analysis.engine.scheduler import Scheduler
from analysis.engine.store import ResultStore
from analysis.engine.supervisor import Supervisor, whereabouts
from analysis.status import JobRow

EXTRA = "tests.service.operations_for_tests"


def until(condition: Callable[[], Any], seconds: float = 60.0, what: str = "") -> Any:
    """Wait until the condition gives something true, and return that; fail loudly if it never does."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen within {seconds:g} s: {what or condition}")
        time.sleep(0.005)


def lines(path: Path | str) -> list[str]:
    """The lines of a journal; none while it does not exist."""
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def settings_for_tests(patch: pytest.MonkeyPatch, home: Path) -> None:
    """The environment of a worker in a test."""
    for name, value in {
        "ATTUNE_HOME": str(home), "ATTUNE_EXTRA_OPERATIONS": EXTRA, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
    }.items():  # fmt: skip
        patch.setenv(name, value)


class Service:
    """A supervised worker with an own data folder, a client, and threads that ask."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.supervisor = Supervisor(preload=[], threads=1)
        self.supervisor.start()
        self.client = Client()
        self._threads = ThreadPoolExecutor(64)

    def pid(self) -> int:
        """Process id of the worker, once it is there."""
        return int(until(lambda: self.client.status().pid, what="the worker is there"))

    def ready(self) -> None:
        """Wait until the worker computes."""
        until(lambda: self.client.status().phase == "ready", 40, "the worker is ready")

    def ask(self, operation: Operation, **options: Any) -> Future[Result]:
        """Ask in a thread."""
        return self._threads.submit(self.client.ask, operation, **options)

    def job(self, token: str) -> JobRow:
        """The entry of a job in the book, or an empty one."""
        return next((row for row in self.client.jobs() if row.id == token), JobRow(token, "", "", "", "", state=""))

    def log(self) -> str:
        """What the worker has logged."""
        return (self.home / "logs" / "worker.log").read_text()

    def close(self) -> None:
        """End the worker and wait for whoever still asks."""
        self.supervisor.stop()
        self.client.patience = 0.0
        self._threads.shutdown(wait=True, cancel_futures=True)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One ready worker for all tests of a module."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("shared") / "home"
        settings_for_tests(patch, home)
        made = Service(home)
        made.ready()
        yield made
        made.close()


@pytest.fixture
def own_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A worker for one test alone, which may kill it."""
    settings_for_tests(monkeypatch, tmp_path / "home")
    made = Service(tmp_path / "home")
    yield made
    made.close()


@pytest.fixture
def no_process_left() -> Iterator[None]:
    """Fails if this test leaves a child process behind."""
    before = {p.pid for p in psutil.Process(os.getpid()).children(recursive=True)}
    yield
    after = {p.pid for p in psutil.Process(os.getpid()).children(recursive=True)}
    assert after <= before


def dial(service: Service, authkey: str | None = None) -> Connection:
    """A connection by hand."""
    facts = json.loads(whereabouts(service.home).read_text())
    return connect(facts["address"], authkey=bytes.fromhex(authkey or facts["authkey"]))


def request(asked: Operation, **changes: Any) -> dict[str, Any]:
    """The message that the client would send."""
    name, params = type(asked).__name__, asked.to_params()
    return {"type": "request", "operation": name, "params": params, "token": uuid.uuid4().hex, **changes}


def dead(pid: int) -> bool:
    """Whether a process has ended."""
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


class Inbox:
    """The messages that one asker got."""

    def __init__(self) -> None:
        self.messages: list[tuple[dict[str, Any], Result | None]] = []

    def emit(self, message: dict[str, Any], result: Result | None = None) -> None:
        """What the scheduler calls."""
        self.messages.append((message, result))

    def kinds(self) -> list[str]:
        """Their types, without progress and what is said of the queue."""
        return [m["type"] for m, _ in self.messages if m["type"] not in ("progress", "waits")]

    def end(self) -> str:
        """The type of the last message, once it is an end."""
        until(lambda: self.kinds() and self.kinds()[-1] != "started", what="an answer")
        return self.kinds()[-1]

    def data(self) -> dict[str, Any]:
        """The answer."""
        assert self.end() == "result", self.messages[-1]
        result = self.messages[-1][1]
        assert result is not None
        return result.data


class Desk:
    """A scheduler in this process, with its compute thread."""

    def __init__(self, root: Path) -> None:
        self.book = JobBook(root / "jobs.json")
        self.scheduler = Scheduler(self.book, ResultStore(root / "results"))
        threading.Thread(target=self.scheduler.run_forever, daemon=True).start()
        self._count = 0

    def submit(
        self, operation: Operation, session: str = "", widget: str = "", *, looking: bool = False, who: str = ""
    ) -> tuple[str, Inbox]:
        """Enter a request; its token and its inbox."""
        self._count += 1
        token, inbox = f"t{self._count}", Inbox()
        self.scheduler.submit(operation, token, inbox.emit, (session, widget), "", looking=looking, who=who)
        return token, inbox

    def state(self, token: str) -> str:
        """What the book says."""
        return str(next(row.state for row in self.book.listing() if row.id == token))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A scheduler with empty queues."""
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path / "home"))
    return Desk(tmp_path)
