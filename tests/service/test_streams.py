"""Streams of lines: between live requests and jobs, none lost, ended by a newer one or by whoever goes away."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from analysis.engine.client import Client, Superseded
from analysis.errors import Cancelled
from analysis.view_ref import QuestionRef
from tests.service.conftest import Desk, Service, lines, until
from tests.service.operations_for_tests import Echo, GatedJob, SayLines, SleepSteps, SlowLive


@pytest.fixture
def journal(tmp_path: Path) -> str:
    return str(tmp_path / "journal")


def test_a_stream_runs_at_the_safe_points_of_a_job_and_lets_live_requests_in(desk: Desk, journal: str) -> None:
    _, job = desk.submit(SleepSteps("job", 400, 0.005, journal))
    until(lambda: lines(journal))
    _, stream = desk.submit(SayLines("stream", 40, 0.01, journal))
    until(lambda: any(line.startswith("stream") for line in lines(journal)))
    _, live = desk.submit(Echo("now"))
    assert live.data()["echo"] == "now"
    assert "result" not in stream.kinds()
    assert stream.data() == {"said": 40}
    assert "result" not in job.kinds()
    assert [m["value"]["line"]["n"] for m, _ in stream.messages if m["type"] == "progress"] == list(range(40))


def test_queued_live_then_stream_then_job(desk: Desk, tmp_path: Path, journal: str) -> None:
    gate = tmp_path / "gate"
    desk.submit(SlowLive("first", str(gate), journal))
    until(lambda: lines(journal) == ["first"])
    _, job = desk.submit(GatedJob("job", "", journal))
    _, stream = desk.submit(SayLines("stream", 1, 0, journal))
    _, live = desk.submit(SlowLive("live", "", journal))
    gate.touch()
    assert (live.end(), stream.end(), job.end()) == ("result",) * 3
    assert lines(journal) == ["first", "live", "stream 0", "job"]


def test_a_newer_stream_of_a_widget_ends_the_running_one_at_its_next_line(desk: Desk, journal: str) -> None:
    _, old = desk.submit(SayLines("old", 1000, 0.01, journal), "s", "text")
    until(lambda: len(lines(journal)) > 3)
    _, other = desk.submit(SayLines("other", 2, 0.0, journal), "t", "text")
    _, new = desk.submit(SayLines("new", 3, 0.0, journal), "s", "text")
    assert new.data() == {"said": 3}
    assert old.kinds()[-1] == "superseded"
    assert other.data() == {"said": 2}
    said = lines(journal)
    last_old = max(i for i, line in enumerate(said) if line.startswith("old"))
    assert said.index("new 0") > last_old
    assert len([line for line in said if line.startswith("old")]) < 30


def test_equal_streams_are_not_shared(desk: Desk, journal: str) -> None:
    _, first = desk.submit(SayLines("same", 5, 0.01, journal))
    _, second = desk.submit(SayLines("same", 5, 0.01, journal))
    assert first.data() == second.data() == {"said": 5}
    assert len(lines(journal)) == 10


def test_lines_arrive_through_the_client_complete_and_in_order(service: Service) -> None:
    got = list(service.client.stream(SayLines("all", 500, 0.0)))
    assert got == [*({"n": n} for n in range(500)), {"said": 500}]


def test_the_answer_of_a_stream_is_there_without_asking_again(service: Service, journal: str) -> None:
    operation = SayLines("once", 3, 0.0, journal)
    question = QuestionRef("SayLines", operation.to_params())
    assert len(list(service.client.stream(operation))) == 4
    assert service.client.reply(question).answer.said == 3 and len(lines(journal)) == 3
    assert Client().reply(question).answer.said == 3 and len(lines(journal)) == 6, "another client asks"


def test_a_part_of_a_stream_ends_and_the_stream_is_answered(service: Service) -> None:
    stream = service.client.stream(SayLines("parts", 10_000, 0.01), token="parts")
    assert next(stream) == {"n": 0}
    assert service.client.end_part("parts", "other") and service.client.end_part("parts", "rest")
    *got, last = stream
    assert last == {"said": len(got) + 1} and last["said"] < 10_000
    assert not service.client.end_part("parts", "rest"), "it has ended"


def test_closing_the_iterator_stops_the_worker_and_the_next_request_starts(service: Service, journal: str) -> None:
    stream = service.client.stream(SayLines("left", 10_000, 0.02, journal))
    assert next(stream) == {"n": 0}
    stream.close()
    began = time.monotonic()
    assert next(iter(service.client.stream(SayLines("next", 1, 0.0)))) == {"n": 0}
    assert time.monotonic() - began < 2
    count = len(lines(journal))
    time.sleep(0.2)
    assert len(lines(journal)) <= count + 1


def test_cancel_by_token_and_by_a_newer_one(service: Service, journal: str) -> None:
    stream = service.client.stream(SayLines("cancel", 10_000, 0.02, journal), token="stop-me")
    next(stream)
    assert service.client.cancel("stop-me")
    with pytest.raises(Cancelled):
        list(stream)
    stream = service.client.stream(SayLines("older", 10_000, 0.02, journal), session="a", widget="w")
    next(stream)
    newer = service.client.stream(SayLines("newer", 1, 0.0), session="a", widget="w")
    assert list(newer)[-1] == {"said": 1}
    with pytest.raises(Superseded):
        list(stream)
