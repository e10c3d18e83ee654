"""The supervisor: what becomes of those who ask when the worker dies, several web processes, unusual data folders.

Each test has a worker of its own, since it kills it or looks at how it begins and ends. Nothing here needs a model.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import pytest

from analysis.engine.client import Client, WorkerGone
from analysis.engine.places import Place
from analysis.engine.supervisor import Supervisor, whereabouts
from tests.service.conftest import Service, dead, lines, settings_for_tests, until
from tests.service.operations_for_tests import (
    Echo,
    EchoJob,
    GatedJob,
    KillWorker,
    ReadOnly,
    SleepSteps,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


@pytest.fixture
def journal(tmp_path: Path) -> str:
    return str(tmp_path / "journal")


# The worker's death -------------------------------------------------------------------------------------------------


def test_killed_worker_is_reported_and_replaced(own_service: Service, gate: Path, journal: str) -> None:
    running = own_service.ask(GatedJob("running", str(gate), journal), token="running")
    until(lambda: own_service.job("running").state == "running", 40)
    queued = own_service.ask(GatedJob("queued", "", journal), token="queued")
    until(lambda: own_service.job("queued").state == "queued")
    killed = own_service.pid()
    os.kill(killed, signal.SIGKILL)
    began = time.monotonic()
    with pytest.raises(WorkerGone, match="killed by SIGKILL"):
        running.result(10)
    assert time.monotonic() - began < 3
    assert queued.result(40).data["name"] == "queued"
    assert lines(journal) == ["running", "queued"]
    row = own_service.job("running")
    assert row.state == "failed" and "SIGKILL" in row.reason
    assert own_service.job("queued").state == "done"
    assert own_service.pid() != killed and dead(killed)
    # The reason belongs to that death: a later one has its own.
    gate.unlink(missing_ok=True)
    second = own_service.ask(GatedJob("second", str(gate), journal), token="second")
    until(lambda: own_service.job("second").state == "running")
    os.kill(own_service.pid(), signal.SIGTERM)
    with pytest.raises(WorkerGone, match="killed by SIGTERM"):
        second.result(10)
    until(lambda: own_service.job("second").state == "failed")
    assert "SIGTERM" in own_service.job("second").reason and "SIGKILL" in own_service.job("running").reason


@pytest.mark.parametrize("how", ["at once", "writing"])
def test_job_that_kills_its_worker_is_not_tried_again_and_leaves_no_result(
    own_service: Service, journal: str, how: str
) -> None:
    with pytest.raises(WorkerGone, match="killed by SIGKILL"):
        own_service.ask(KillWorker("poison", how, journal), token="poison").result(60)
    own_service.ready()
    assert lines(journal) == ["poison"]
    assert own_service.job("poison").state == "failed"
    results = own_service.home / "results"
    assert not list(results.glob("??/[0-9a-f]*"))
    assert len(list(results.glob("??/.part-*"))) == (how == "writing")
    assert own_service.client.ask(EchoJob("next")).data["echo"] == "next"


def test_lost_connection_is_not_explained_by_an_earlier_crash(own_service: Service, gate: Path, journal: str) -> None:
    own_service.ready()
    os.kill(own_service.pid(), signal.SIGKILL)
    until(lambda: not whereabouts(own_service.home).exists() or "pid" not in whereabouts(own_service.home).read_text())
    own_service.ready()
    held: list[Connection] = []
    client = Client()
    original = client._connect

    def remember(place: Place, patience: float | None = None) -> tuple[Connection, str]:
        held.append(original(place, patience)[0])
        return held[-1], json.loads(whereabouts(own_service.home).read_text())["address"]

    client._connect = remember  # type: ignore[method-assign]
    with ThreadPoolExecutor(1) as threads:
        job = threads.submit(client.ask, GatedJob("job", str(gate), journal))
        until(lambda: lines(journal) == ["job"])
        with socket.socket(fileno=os.dup(held[0].fileno())) as raw:
            raw.shutdown(socket.SHUT_RDWR)
        with pytest.raises(WorkerGone) as caught:
            job.result(10)
    assert "SIGKILL" not in str(caught.value)


def test_stop_leaves_nothing_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_process_left: None, journal: str
) -> None:
    settings_for_tests(monkeypatch, tmp_path / "home")
    service = Service(tmp_path / "home")
    job = service.ask(SleepSteps("job", 10_000, 0.01, journal))
    until(lambda: lines(journal), 40)
    pid, address = service.pid(), Path(json.loads(whereabouts(service.home).read_text())["address"])
    service.client.patience = 0.0
    began = time.monotonic()
    service.supervisor.stop()
    assert time.monotonic() - began < 3 and dead(pid)
    assert not address.parent.exists() and not whereabouts(service.home).exists()
    with pytest.raises(WorkerGone):
        job.result(10)
    with pytest.raises(WorkerGone, match="is starting"):
        service.client.ask(Echo("nobody is there"))
    assert service.client.status().pid is None
    assert [row.state for row in service.client.jobs()] == ["running"]  # as the book on disk has it, until it is opened
    service.close()


def test_supervisor_may_be_stopped_at_any_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_process_left: None
) -> None:
    settings_for_tests(monkeypatch, tmp_path / "home")
    Supervisor(preload=[]).stop()  # was never started
    for n in range(8):
        supervisor = Supervisor(preload=[], threads=1)
        supervisor.start()
        supervisor.start()  # a second time: the same
        time.sleep(0.04 * n)
        supervisor.stop()
        supervisor.stop()
    supervisor.start()
    assert until(lambda: Client().status().pid)
    supervisor.stop()


# Data folders and several web processes -----------------------------------------------------------------------------

PARENT = """
import sys, time
from analysis.engine.places import Place
from analysis.engine.supervisor import Supervisor
Supervisor(preload=[], threads=1).start()
time.sleep(120)
"""


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """Another web process, with a worker."""
    settings_for_tests(monkeypatch, tmp_path / "home")
    process = subprocess.Popen([sys.executable, "-c", PARENT], cwd=ROOT)
    yield process
    process.kill()
    process.wait()


def test_worker_ends_with_its_parent(parent: subprocess.Popen[bytes], tmp_path: Path) -> None:
    pid = until(lambda: Client().status().pid)
    address = Path(json.loads(whereabouts(tmp_path / "home").read_text())["address"])
    assert pid in {p.pid for p in psutil.Process(parent.pid).children()}
    parent.kill()
    parent.wait()
    until(lambda: dead(pid), 5, "the worker has ended")
    until(lambda: not address.parent.exists(), 2, "and its socket is removed")


def test_second_supervisor_shares_the_worker_and_takes_over(
    parent: subprocess.Popen[bytes], tmp_path: Path, journal: str
) -> None:
    client = Client()
    pid = until(lambda: client.status().pid)
    second = Supervisor(preload=[], threads=1)
    second.start()
    time.sleep(1.0)
    assert client.ask(Echo("x")).data["pid"] == pid
    with ThreadPoolExecutor(1) as threads:
        job = threads.submit(client.ask, SleepSteps("job", 10_000, 0.01, journal), token="job")
        until(lambda: lines(journal))
        parent.kill()  # the stale worker.json of the first is still there
        with pytest.raises(WorkerGone, match="stopped while this job ran"):
            job.result(10)
    assert client.ask(Echo("x")).data["pid"] != pid
    row = next(r for r in client.jobs() if r.id == "job")
    assert row.state == "failed" and row.reason
    second.stop()
    assert client.status().pid is None


def test_second_supervisor_in_the_same_process(own_service: Service) -> None:
    pid = own_service.pid()
    second = Supervisor(preload=[], threads=1)
    second.start()
    time.sleep(0.3)
    assert own_service.pid() == pid
    own_service.supervisor.stop()
    assert until(lambda: own_service.client.status().pid) != pid
    second.stop()
    assert own_service.client.status().pid is None


@pytest.mark.parametrize(
    "stale",
    [
        "",
        "{",
        '{"address": "SOCKET", "authkey": "00"}',
        '{"address": "/nowhere/s", "authkey": "00"}',
        '{"died": "killed by SIGKILL", "ended": {"address": "x", "reason": "y"}}',
    ],
)
def test_stale_whereabouts_confuse_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stale: str) -> None:
    settings_for_tests(monkeypatch, tmp_path / "home")
    (tmp_path / "home").mkdir(mode=0o700)
    folder = tempfile.mkdtemp()
    with socket.socket(socket.AF_UNIX) as left:  # a socket file of a dead process: bound, nobody listens
        left.bind(f"{folder}/s")
    whereabouts(tmp_path / "home").write_text(stale.replace("SOCKET", f"{folder}/s"))
    client = Client()
    assert client.status().pid is None
    service = Service(tmp_path / "home")
    try:
        assert service.client.ask(ReadOnly("hello")).data["name"] == "hello"
        assert oct(whereabouts(service.home).stat().st_mode & 0o777) == "0o600"
    finally:
        service.close()
        shutil.rmtree(folder)


@pytest.mark.parametrize("where", ["long", "relative", "spaces", "long temporary folder"])
def test_unusual_data_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    names = {"long": "/".join(["x" * 60] * 3), "spaces": "a b/ü '\"$(x)"}
    home = tmp_path / names.get(where, "home")
    monkeypatch.chdir(tmp_path)
    settings_for_tests(monkeypatch, Path("home") if where == "relative" else home)
    if where == "long temporary folder":
        temporary = tmp_path / ("t" * 100)
        temporary.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    service = Service(home)
    try:
        assert service.client.ask(ReadOnly("hello")).data["name"] == "hello"
        assert (home / "worker.json").exists() and (home / "logs" / "worker.log").exists()
    finally:
        service.close()


def test_failure_to_start_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_process_left: None
) -> None:
    settings_for_tests(monkeypatch, tmp_path / "home")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "jobs.json").mkdir()  # the book cannot be replaced: the worker must live with it
    service = Service(tmp_path / "home")
    assert service.client.ask(ReadOnly("hello")).data["name"] == "hello"
    service.close()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    failing = Supervisor(preload=[], threads=1)
    failing.start()
    time.sleep(0.5)
    assert any(t.name == "supervisor" and t.is_alive() for t in threading.enumerate())
    failing.stop()
