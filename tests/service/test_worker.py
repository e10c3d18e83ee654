"""The worker as it runs: a process under its supervisor, asked by the client through the socket.

Tests that leave the worker alive share one; tests that kill it have one of their own. Nothing here needs a model.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client as connect
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from analysis.errors import Cancelled, UserError
from analysis.service import protocol
from analysis.service.client import Client, OperationFailed, Superseded, WorkerGone
from analysis.service.operation import Operation
from analysis.service.supervisor import Supervisor, whereabouts
from tests.service.conftest import Service, lines, settings_for_tests, until
from tests.service.operations_for_tests import (
    BigArray,
    BigJob,
    Chatty,
    Echo,
    EchoArrays,
    EchoJob,
    Fail,
    FailJob,
    GatedJob,
    KillWorker,
    ManyMessages,
    ReadOnly,
    Refuse,
    SleepSteps,
    SlowLive,
    odd_arrays,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


@pytest.fixture
def journal(tmp_path: Path) -> str:
    return str(tmp_path / "journal")


def dial(service: Service, authkey: str | None = None) -> Connection:
    """A connection by hand."""
    facts = json.loads(whereabouts(service.home).read_text())
    return connect(facts["address"], authkey=bytes.fromhex(authkey or facts["authkey"]))


def request(asked: Operation, **changes: Any) -> dict[str, Any]:
    """The message that the client would send."""
    name, params = type(asked).__name__, asked.to_params()
    return {"type": "request", "operation": name, "params": params, "token": uuid.uuid4().hex, **changes}


def dead(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


# What an asker gets ------------------------------------------------------------------------------------------------


def test_arrays_of_a_live_answer_and_of_a_kept_one_arrive_as_they_were(service: Service) -> None:
    found = service.client.ask(EchoArrays())
    assert found.data["names"] == sorted(odd_arrays())
    for name, expected in odd_arrays().items():
        assert found.arrays[name].shape == expected.shape
        np.testing.assert_array_equal(found.arrays[name], expected)
    live, kept = service.client.ask(BigArray(8, 3)), service.client.ask(BigJob(8, 3))
    np.testing.assert_array_equal(live.arrays["block"], kept.arrays["block"])
    assert live.arrays["block"].nbytes == 8 << 20 and len(kept.key) == 64
    again = service.client.store.get(kept.key)
    assert again is not None and again.data == {"seed": 3}


@pytest.mark.parametrize("operation", [Fail("the secret"), FailJob("the secret job")])
def test_bug_becomes_a_number_and_the_log_has_the_rest(service: Service, operation: Fail) -> None:
    with pytest.raises(OperationFailed) as caught:
        service.client.ask(operation)
    assert operation.secret not in str(caught.value)
    number = re.search(r"\(([0-9a-f]{8}), RuntimeError\)", str(caught.value))
    assert number is not None
    entry = service.log().partition(f"failure {number[1]} in {type(operation).__name__}")[2]
    assert "Traceback" in entry and f"RuntimeError: {operation.secret}" in entry


@pytest.mark.parametrize("how", ["nan", "object"])
@pytest.mark.parametrize("kind", [Fail, FailJob])
def test_answer_that_cannot_be_said_is_a_bug_and_not_silence(service: Service, kind: type[Fail], how: str) -> None:
    asked = service.ask(kind(how=how))
    with pytest.raises(OperationFailed, match=r"\([0-9a-f]{8}, (ValueError|TypeError)\)"):
        asked.result(10)
    assert service.client.ask(Echo("alive")).data["echo"] == "alive"


def test_progress_that_cannot_be_said_costs_only_itself(service: Service) -> None:
    assert service.ask(FailJob(how="progress")).result(10).data == {"value": 1}
    assert service.client.ask(Echo("alive")).data["echo"] == "alive"


def test_user_error_passes_with_its_field(service: Service) -> None:
    with pytest.raises(UserError, match="does not suit this model") as caught:
        service.client.ask(Refuse("x"))
    assert caught.value.field == "prompt"


@pytest.mark.parametrize(
    ("changes", "kind", "text"),
    [
        ({"operation": "Nothing"}, "user", "no operation called 'Nothing'"),
        ({"params": {"unknown": 1}}, "user", "does not know the setting 'unknown'"),
        ({"params": 3}, "bug", "TypeError"),
        ({"params": {"value": {"nested": {}}}, "operation": ["Echo"]}, "user", "no operation called"),
        ({"operation": "LoadModel", "params": {"model": 7}}, "user", "described by the fields"),
        ({"type": "unheard of"}, "user", "does not know this message"),
    ],
)
def test_strange_request_is_answered_and_not_dropped(
    service: Service, changes: dict[str, Any], kind: str, text: str
) -> None:
    connection = dial(service)
    protocol.send(connection, request(Echo("x"), **changes))
    assert connection.poll(5)
    message, _ = protocol.receive(connection)
    assert (message["type"], message["kind"]) == ("error", kind) and text in message["text"]
    protocol.send(connection, {"type": "status"})
    assert protocol.receive(connection)[0]["pid"] == service.pid()
    connection.close()


def test_progress_arrives_in_order_and_the_job_is_in_the_book(service: Service) -> None:
    heard: list[dict[str, Any]] = []
    found = service.client.ask(
        SleepSteps("told", 5, 0.005), token="told", session="s", link="/features", on_progress=heard.append
    )
    assert [h["share"] for h in heard] == [0.2, 0.4, 0.6, 0.8, 1.0]
    row = service.job("told")
    assert (row["state"], row["operation"], row["link"], row["session"]) == ("done", "SleepSteps", "/features", "s")
    assert service.client.ask(SleepSteps("told", 5, 0.005)).key == found.key


def test_twenty_askers_get_their_own_answers(service: Service) -> None:
    clients = [Client(), Client()]

    def ask(k: int) -> list[bool]:
        fine = []
        for n in range(10):
            value = f"{k}-{n}"
            kind = (Echo, EchoJob, ReadOnly, BigArray)[(k + n) % 4]
            operation = BigArray(1, 100 * k + n) if kind is BigArray else kind(value)
            found = clients[k % 2].ask(operation, session=f"s{k}", widget="w")
            if kind is BigArray:
                expected = np.random.default_rng(100 * k + n).standard_normal((1, 1 << 18), dtype=np.float32)
                fine.append(found.data["seed"] == 100 * k + n and np.array_equal(found.arrays["block"], expected))
            else:
                fine.append(found.data.get("echo", found.data.get("name")) == value)
        return fine

    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(ask, range(20)))
    assert [len(a) for a in answers] == [10] * 20 and all(map(all, answers))


def test_connections_leave_nothing_behind(service: Service) -> None:
    process = psutil.Process(service.pid())
    for n in range(50):
        service.client.ask(Echo(str(n)))
    until(lambda: process.num_threads() < 20 and process.num_fds() < 40, what="threads and sockets are closed")


def test_superseded_and_live_answers_while_a_job_runs(service: Service, gate: Path, journal: str) -> None:
    job = service.ask(GatedJob("job", str(gate), journal))
    until(lambda: lines(journal) == ["job"])
    began = time.monotonic()
    assert service.client.ask(Echo("now")).data["echo"] == "now"
    assert time.monotonic() - began < 2 and not job.done()
    blocker = gate.with_name("second")
    live = service.ask(SlowLive("blocks", str(blocker), journal, safe=False))
    until(lambda: lines(journal)[-1] == "blocks")
    older = service.ask(SlowLive("older", "", journal), session="s", widget="slider")
    newer = []
    while not older.done():  # the first of these may have overtaken the older one
        operation = SlowLive(f"newer {len(newer)}", "", journal)
        newer.append(service.ask(operation, session="s", widget="slider"))
        time.sleep(0.05)
    with pytest.raises(Superseded):
        older.result(10)
    blocker.touch()
    assert newer[-1].result(10).data["name"] == f"newer {len(newer) - 1}"
    assert live.result(10).data["name"] == "blocks"
    gate.touch()
    assert job.result(10).data["name"] == "job"
    assert lines(journal) == ["job", "blocks", f"newer {len(newer) - 1}"]


def test_equal_requests_of_two_processes_share_and_one_may_cancel(service: Service, gate: Path, journal: str) -> None:
    askers = [service.ask(GatedJob("shared", str(gate), journal), token=f"shared{n}") for n in range(3)]
    until(lambda: all(service.job(f"shared{n}").get("state") == "running" for n in range(3)))
    assert Client().cancel("shared1")
    with pytest.raises(Cancelled):
        askers[1].result(5)
    assert not askers[0].done() and not Client().cancel("shared1")
    gate.touch()
    assert [askers[n].result(10).data["name"] for n in (0, 2)] == ["shared", "shared"]
    assert lines(journal) == ["shared"]
    assert [service.job(f"shared{n}")["state"] for n in range(3)] == ["done", "cancelled", "done"]


def test_closed_connection_cancels(service: Service, journal: str) -> None:
    connection = dial(service)
    protocol.send(connection, request(SleepSteps("left", 1000, 0.02, journal), token="left"))
    until(lambda: len(lines(journal)) > 2)
    connection.close()
    until(lambda: service.client.status()["busy"] == "", 2)
    count = len(lines(journal))
    assert count < 100 and service.client.ask(EchoJob("next")).data["echo"] == "next"
    assert len(lines(journal)) == count
    row = service.job("left")
    assert row["state"] == "cancelled" and "closed" in row["reason"]


def test_trouble_of_the_listener_is_its_own_and_cancels(service: Service, journal: str) -> None:
    """An OSError of ``on_progress`` (a browser that has gone) is not taken for the end of the worker."""

    def broken(value: dict[str, Any]) -> None:
        raise BrokenPipeError("the browser is gone")

    with pytest.raises(BrokenPipeError, match="browser"):
        service.client.ask(SleepSteps("unheard", 500, 0.02, journal), on_progress=broken, token="unheard")
    until(lambda: service.job("unheard").get("state") == "cancelled", 2)
    assert [line for line in lines(journal) if line == "unheard 0"] == ["unheard 0"]


# What must not hold up the others -----------------------------------------------------------------------------------


def test_asker_that_does_not_read_holds_up_nobody(service: Service) -> None:
    deaf = dial(service)
    protocol.send(deaf, request(ManyMessages(3000, 10_000), token="deaf"))
    until(lambda: service.job("deaf").get("state") == "done", 20, "30 MB of progress to someone who does not read")
    assert service.ask(Echo("others")).result(5).data["echo"] == "others"
    kinds = []
    while not kinds or kinds[-1] in ("started", "progress"):
        kinds.append(protocol.receive(deaf)[0]["type"])
    assert kinds[0] == "started" and kinds[-1] == "result" and len(kinds) < 3000
    deaf.close()


def test_silent_stranger_holds_up_nobody(service: Service) -> None:
    address = json.loads(whereabouts(service.home).read_text())["address"]
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(address)
        assert service.ask(Echo("others")).result(5).data["echo"] == "others"


def test_wrong_key_and_garbage_are_refused(service: Service) -> None:
    with pytest.raises((AuthenticationError, EOFError, OSError)):
        dial(service, authkey="00" * 32)
    for frame in (b"\x80\x04N.", b'{"type": "request"', b"[]"):
        connection = dial(service)
        connection.send_bytes(frame)
        with pytest.raises((EOFError, OSError)):
            protocol.receive(connection)
        connection.close()
    oversized = dial(service)
    with socket.socket(fileno=os.dup(oversized.fileno())) as raw:
        raw.sendall((1 << 30).to_bytes(4, "big"))  # the length of a frame of 1 GiB
        with pytest.raises((EOFError, OSError)):
            protocol.receive(oversized)
    oversized.close()
    assert service.client.ask(Echo("others")).data["echo"] == "others"


def test_printing_does_not_block_the_worker(service: Service) -> None:
    assert service.ask(Chatty(300_000)).result(10).data["printed"] == 300_000


def test_interrupt_of_the_terminal_does_not_end_the_worker(service: Service, gate: Path, journal: str) -> None:
    job = service.ask(GatedJob("job", str(gate), journal))
    until(lambda: lines(journal) == ["job"])
    os.kill(service.pid(), signal.SIGINT)
    time.sleep(0.1)
    gate.touch()
    assert job.result(10).data["name"] == "job"


def test_only_the_user_can_come_near(service: Service) -> None:
    assert oct(service.home.stat().st_mode & 0o777) == "0o700"
    assert oct(whereabouts(service.home).stat().st_mode & 0o777) == "0o600"
    address = Path(json.loads(whereabouts(service.home).read_text())["address"])
    assert oct(address.parent.stat().st_mode & 0o777) == "0o700"
    assert len(os.fsencode(address)) < 100


# The worker's death -------------------------------------------------------------------------------------------------


def test_killed_worker_is_reported_and_replaced(own_service: Service, gate: Path, journal: str) -> None:
    running = own_service.ask(GatedJob("running", str(gate), journal), token="running")
    until(lambda: own_service.job("running").get("state") == "running", 40)
    queued = own_service.ask(GatedJob("queued", "", journal), token="queued")
    until(lambda: own_service.job("queued").get("state") == "queued")
    killed = own_service.pid()
    os.kill(killed, signal.SIGKILL)
    began = time.monotonic()
    with pytest.raises(WorkerGone, match="killed by SIGKILL"):
        running.result(10)
    assert time.monotonic() - began < 3
    assert queued.result(40).data["name"] == "queued"
    assert lines(journal) == ["running", "queued"]
    row = own_service.job("running")
    assert row["state"] == "failed" and "SIGKILL" in row["reason"]
    assert own_service.job("queued")["state"] == "done"
    assert own_service.pid() != killed and dead(killed)
    # The reason belongs to that death: a later one has its own.
    gate.unlink(missing_ok=True)
    second = own_service.ask(GatedJob("second", str(gate), journal), token="second")
    until(lambda: own_service.job("second").get("state") == "running")
    os.kill(own_service.pid(), signal.SIGTERM)
    with pytest.raises(WorkerGone, match="killed by SIGTERM"):
        second.result(10)
    until(lambda: own_service.job("second").get("state") == "failed")
    assert "SIGTERM" in own_service.job("second")["reason"] and "SIGKILL" in own_service.job("running")["reason"]


@pytest.mark.parametrize("how", ["at once", "writing"])
def test_job_that_kills_its_worker_is_not_tried_again_and_leaves_no_result(
    own_service: Service, journal: str, how: str
) -> None:
    with pytest.raises(WorkerGone, match="killed by SIGKILL"):
        own_service.ask(KillWorker("poison", how, journal), token="poison").result(60)
    own_service.ready()
    assert lines(journal) == ["poison"]
    assert own_service.job("poison")["state"] == "failed"
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

    def remember(patience: float | None = None) -> tuple[Connection, str]:
        held.append(original(patience)[0])
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
    assert service.client.status()["pid"] is None
    assert [row["state"] for row in service.client.jobs()] == [
        "running"
    ]  # as the book on disk has it, until it is opened
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
    assert until(lambda: Client().status()["pid"])
    supervisor.stop()


# Data folders and several web processes -----------------------------------------------------------------------------

PARENT = """
import sys, time
from analysis.service.supervisor import Supervisor
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
    pid = until(lambda: Client().status()["pid"])
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
    pid = until(lambda: client.status()["pid"])
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
    row = next(r for r in client.jobs() if r["id"] == "job")
    assert row["state"] == "failed" and row["reason"]
    second.stop()
    assert client.status()["pid"] is None


def test_second_supervisor_in_the_same_process(own_service: Service) -> None:
    pid = own_service.pid()
    second = Supervisor(preload=[], threads=1)
    second.start()
    time.sleep(0.3)
    assert own_service.pid() == pid
    own_service.supervisor.stop()
    assert until(lambda: own_service.client.status()["pid"]) != pid
    second.stop()
    assert own_service.client.status()["pid"] is None


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
    assert client.status()["pid"] is None
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
