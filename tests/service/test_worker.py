"""The worker as it runs: a process under its supervisor, asked by the client through the socket.

These tests leave the worker alive and share it; those that kill it are in ``test_supervisor``. None needs a model.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import AuthenticationError, Pipe
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from analysis.engine import protocol
from analysis.engine.client import Client, OperationFailed, Superseded
from analysis.engine.supervisor import whereabouts
from analysis.engine.worker import Outgoing
from analysis.errors import Cancelled, UserError
from tests.service.conftest import Service, dial, lines, request, until
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
    ManyMessages,
    ReadOnly,
    ReadWords,
    Refuse,
    SleepSteps,
    SlowLive,
    WriteWords,
    odd_arrays,
)


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


@pytest.fixture
def journal(tmp_path: Path) -> str:
    return str(tmp_path / "journal")


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


def test_answer_that_was_read_from_a_file_is_not_remembered_beyond_the_file(service: Service) -> None:
    client = service.client
    client.ask(WriteWords("first"))
    first = client.remember(ReadWords(), client.ask(ReadWords()))
    assert client.reply(first.question) is first
    client.ask(WriteWords("second"))
    assert client.reply(first.question).answer.text == "second"


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
    assert protocol.receive(connection)[0]["status"]["pid"] == service.pid()
    connection.close()


def test_progress_arrives_in_order_and_the_job_is_in_the_book(service: Service) -> None:
    heard: list[dict[str, Any]] = []
    found = service.client.ask(
        SleepSteps("told", 5, 0.005), token="told", session="s", link="/features", on_progress=heard.append
    )
    assert [h["share"] for h in heard] == [0.2, 0.4, 0.6, 0.8, 1.0]
    row = service.job("told")
    assert (row.state, row.operation, row.link, row.session) == ("done", "SleepSteps", "/features", "s")
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
    until(lambda: all(service.job(f"shared{n}").state == "running" for n in range(3)))
    assert Client().cancel("shared1")
    with pytest.raises(Cancelled):
        askers[1].result(5)
    assert not askers[0].done() and not Client().cancel("shared1")
    gate.touch()
    assert [askers[n].result(10).data["name"] for n in (0, 2)] == ["shared", "shared"]
    assert lines(journal) == ["shared"]
    assert [service.job(f"shared{n}").state for n in range(3)] == ["done", "cancelled", "done"]


def test_closed_connection_cancels(service: Service, journal: str) -> None:
    connection = dial(service)
    protocol.send(connection, request(SleepSteps("left", 1000, 0.02, journal), token="left"))
    until(lambda: len(lines(journal)) > 2)
    connection.close()
    until(lambda: service.client.status().busy == "", 2)
    count = len(lines(journal))
    assert count < 100 and service.client.ask(EchoJob("next")).data["echo"] == "next"
    assert len(lines(journal)) == count
    row = service.job("left")
    assert row.state == "cancelled" and "closed" in row.reason


def test_trouble_of_the_listener_is_its_own_and_cancels(service: Service, journal: str) -> None:
    """An OSError of ``on_progress`` (a browser that has gone) is not taken for the end of the worker."""

    def broken(value: dict[str, Any]) -> None:
        raise BrokenPipeError("the browser is gone")

    with pytest.raises(BrokenPipeError, match="browser"):
        service.client.ask(SleepSteps("unheard", 500, 0.02, journal), on_progress=broken, token="unheard")
    until(lambda: service.job("unheard").state == "cancelled", 2)
    assert [line for line in lines(journal) if line == "unheard 0"] == ["unheard 0"]


def test_asker_knows_that_its_job_has_begun_before_the_job_runs() -> None:
    """Else a job that takes the worker down at once would be taken for one that had not begun, and asked again."""
    here, there = Pipe()
    outgoing = Outgoing(there)
    for _ in range(300):
        outgoing.emit({"type": "started"})
        assert here.poll(0)
        assert protocol.receive(here)[0] == {"type": "started"}
    outgoing.close()
    here.close()


# What must not hold up the others -----------------------------------------------------------------------------------


def test_asker_that_does_not_read_holds_up_nobody(service: Service) -> None:
    deaf = dial(service)
    protocol.send(deaf, request(ManyMessages(3000, 10_000), token="deaf"))
    until(lambda: service.job("deaf").state == "done", 20, "30 MB of progress to someone who does not read")
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
