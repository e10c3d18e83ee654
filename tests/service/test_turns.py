"""Several people at one model: whose turn it is, what each sees and may end, how long a job waits."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from analysis.engine import scheduler as scheduler_module
from analysis.engine.turns import EACH, QUICK, one_each, seconds_left, usual_seconds, waits
from analysis.errors import UserError
from analysis.status import OF_OTHERS, JobRecord
from tests.service.conftest import Desk, Inbox, lines, until
from tests.service.operations_for_tests import Echo, GatedJob, Moment, Parted, SayLines, SlowLive


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


@pytest.fixture
def journal(tmp_path: Path) -> str:
    return str(tmp_path / "journal")


def test_nobodys_many_questions_keep_anothers_one_waiting(desk: Desk, gate: Path, journal: str) -> None:
    desk.submit(SlowLive("first", str(gate), journal))
    until(lambda: lines(journal) == ["first"])
    for name in ("a1", "a2", "a3", "b1", "c1", "b2"):
        _, last = desk.submit(SlowLive(name, "", journal), who=name[0])
    gate.touch()
    last.end()
    until(lambda: len(lines(journal)) == 7)
    assert lines(journal)[1:] == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_a_question_of_a_moment_goes_before_long_ones_and_between_the_parts_of_one(
    desk: Desk, gate: Path, journal: str
) -> None:
    desk.submit(Moment("known", "", journal))[1].end()  # it is known from now on that its kind takes a moment
    desk.submit(Parted("long", str(gate), journal))
    until(lambda: lines(journal) == ["known", "long"])
    time.sleep(QUICK)
    desk.submit(SlowLive("slow", "", journal), who="a")
    for name in ("a1", "a2", "b1"):
        _, last = desk.submit(Moment(name, "", journal), who=name[0])
    _, end = desk.submit(Parted("second", "", journal), who="c")
    gate.touch()
    last.end()
    end.end()
    until(lambda: len(lines(journal)) == 9)
    assert lines(journal)[2:5] == ["a1", "b1", "a2"], "those of a moment, in rounds"
    assert lines(journal)[5:] == ["rest of long", "slow", "second", "rest of second"], "the others as they came"


def test_jobs_of_several_take_turns_and_say_how_many_come_first(desk: Desk, gate: Path, journal: str) -> None:
    running, inbox = desk.submit(GatedJob("a0", str(gate), journal), who="a")
    until(lambda: lines(journal) == ["a0"])
    made = {name: desk.submit(GatedJob(name, "", journal), who=name[0]) for name in ("a1", "a2", "b1", "b2")}
    text = {row.id: row.text for row in desk.book.listing()}
    assert [text[made[n][0]].split(",")[0] for n in ("b1", "a1", "b2", "a2")] == [
        "waiting: 1 job comes first", *(f"waiting: {n} jobs come first" for n in (2, 3, 4))
    ]  # fmt: skip
    told = [m["value"]["text"] for m, _ in made["a2"][1].messages if m["type"] == "waits"]
    assert told == ["waiting: 2 jobs come first", "waiting: 3 jobs come first", "waiting: 4 jobs come first"]
    assert desk.scheduler.leave(made["b1"][0])
    assert made["b2"][1].messages[-1][0]["value"]["text"] == "waiting: 1 job comes first"
    gate.touch()
    for name in ("a1", "a2", "b2"):
        assert made[name][1].end() == "result"
    assert lines(journal) == ["a0", "b2", "a1", "a2"] and inbox.end() == "result" and running


def test_each_sees_and_ends_own_jobs_and_the_owner_those_of_all(desk: Desk, gate: Path, journal: str) -> None:
    mine, inbox = desk.submit(GatedJob("mine", str(gate), journal), who="a")
    until(lambda: lines(journal) == ["mine"])
    theirs, _ = desk.submit(GatedJob("theirs", str(gate), journal), who="b")
    book = desk.scheduler.book
    assert [[row.id for row in book.listing(who)] for who in ("a", "b", "c")] == [[mine], [theirs], []]
    assert {row.id for row in book.listing("")} == {mine, theirs}
    assert desk.scheduler.busy_for("b") == OF_OTHERS
    assert desk.scheduler.busy_for("a") == desk.scheduler.busy_for("") == desk.scheduler.busy != ""
    for stranger in ("b", "nobody"):
        assert not desk.scheduler.leave(mine, "cancelled", stranger)
    assert desk.scheduler.leave(theirs, "cancelled", "") and desk.state(theirs) == "cancelled"
    assert desk.scheduler.leave(mine, "cancelled", "a") and inbox.end() == "cancelled"
    gate.touch()


def test_the_number_of_anothers_job_gives_no_power_over_it(desk: Desk, gate: Path, journal: str) -> None:
    token, inbox = desk.submit(GatedJob("mine", str(gate), journal), who="a")
    until(lambda: lines(journal) == ["mine"])
    stranger = Inbox()
    with pytest.raises(UserError, match="number of another"):
        desk.scheduler.submit(SayLines(3), token, stranger.emit, ("", ""), "", who="b")
    assert desk.state(token) == "running" and not desk.scheduler.leave(token, who="b")
    gate.touch()
    assert inbox.end() == "result"
    with pytest.raises(UserError, match="number of another"):
        desk.scheduler.submit(GatedJob("again", "", journal), token, stranger.emit, ("", ""), "", who="b")
    again = Inbox()
    desk.scheduler.submit(SayLines(3), token, again.emit, ("", ""), "", who="a")  # a text leaves the book as it is
    assert again.end() == "result" and desk.state(token) == "done" and stranger.messages == []


def test_a_text_begins_under_questions_without_end(
    desk: Desk, gate: Path, journal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler_module, "PATIENCE", 0.05)
    text, asked = Inbox(), list[Inbox]()

    class Again(Inbox):
        def emit(self, message: dict, result: object = None) -> None:  # type: ignore[override, type-arg]
            super().emit(message, result)  # type: ignore[arg-type]
            if message["type"] == "started" and text.kinds() == []:
                asked.append(Again())
                desk.scheduler.submit(Echo(str(len(asked))), f"e{len(asked)}", asked[-1].emit, None, "")

    first = Again()
    desk.scheduler.submit(SlowLive("first", str(gate), journal), "first", first.emit, None, "")
    desk.scheduler.submit(SayLines(3), "text", text.emit, None, "")
    gate.touch()
    assert text.end() == "result"


def test_the_end_of_one_connection_is_not_that_of_the_next_under_its_token(
    desk: Desk, gate: Path, journal: str
) -> None:
    first, second = Inbox(), Inbox()
    desk.scheduler.submit(GatedJob("one", "", journal), "token", first.emit, None, "")
    assert first.end() == "result"
    desk.scheduler.submit(GatedJob("two", str(gate), journal), "token", second.emit, None, "")
    assert not desk.scheduler.leave("token", "closed", "", first.emit)
    gate.touch()
    assert second.end() == "result" and desk.state("token") == "done"


def test_a_text_is_stopped_by_its_asker_alone(desk: Desk) -> None:
    token, inbox = desk.submit(SayLines(500), who="a")
    until(lambda: inbox.messages)
    assert not desk.scheduler.end_part(token, "x", "b") and desk.scheduler.end_part(token, "x", "a")
    assert desk.scheduler.leave(token, who="a")


def test_each_may_have_so_many_waiting_and_others_find_room(desk: Desk, gate: Path, journal: str) -> None:
    desk.submit(GatedJob("first", str(gate), journal), who="b")
    until(lambda: lines(journal) == ["first"])
    for n in range(EACH["job"]):
        desk.submit(GatedJob(f"a{n}", "", journal), who="a")
    token, refused = desk.submit(GatedJob("more", "", journal), who="a")
    assert refused.end() == "error" and desk.state(token) == "failed"
    assert "8 of your jobs wait already" in refused.messages[-1][0]["text"]
    _, other = desk.submit(GatedJob("b", "", journal), who="b")
    for n in range(EACH["job"] + 2):  # the owner of a machine alone has the whole queue
        _, own = desk.submit(GatedJob(f"own{n}", "", journal))
    gate.touch()
    assert other.end() == own.end() == "result"


def test_questions_without_end_keep_no_job_from_its_beginning(
    desk: Desk, gate: Path, journal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler_module, "PATIENCE", 0.05)
    asked: list[Inbox] = []

    class Again(Inbox):
        def emit(self, message: dict, result: object = None) -> None:  # type: ignore[override, type-arg]
            super().emit(message, result)  # type: ignore[arg-type]
            if message["type"] == "started" and job_inbox.kinds() == []:
                asked.append(Again())
                desk.scheduler.submit(Echo(str(len(asked))), f"e{len(asked)}", asked[-1].emit, None, "")

    job_inbox = Inbox()
    first = Again()
    desk.scheduler.submit(SlowLive("first", str(gate), journal), "first", first.emit, None, "")
    desk.scheduler.submit(GatedJob("job", "", journal), "job", job_inbox.emit, None, "")
    gate.touch()
    assert job_inbox.end() == "result" and len(asked) > 3


def record(job: str, operation: str = "Fit", **more: object) -> JobRecord:
    """A job of the book."""
    return JobRecord(job, operation, "", "", "", **more)  # type: ignore[arg-type]


def test_how_long_one_waits_comes_from_what_ran_before() -> None:
    now = time.time()
    done = [
        record("1", state="done", started=now - 900, began=now - 500, changed=now - 400),
        record("2", state="done", started=now - 400, began=now - 400, changed=now - 350),
        record("3", "Read", state="done", started=now - 30, began=now - 30, changed=now - 20),
        record("4", state="failed", began=now - 30, changed=now),
        record("5", state="done", text="from the store", changed=now),
    ]
    assert usual_seconds(done, "Fit") == pytest.approx(75) and usual_seconds(done, "Read") == pytest.approx(10)
    assert usual_seconds(done, "Other") is None and usual_seconds(done[3:], "Fit") is None
    runs = record("6", state="running", began=now - 60, share=0.75)
    assert seconds_left(runs, None, now) == pytest.approx(20)
    assert seconds_left(record("6", state="running", began=now - 60), 100.0, now) == pytest.approx(40)
    said = waits(done, [runs], [record("8", "Read"), record("7"), record("9")], now)
    assert said == {
        "8": "waiting: 1 job comes first, about 20 s",
        "7": "waiting: 2 jobs come first, about 30 s",
        "9": "waiting: 3 jobs come first, about 2 min",
    }
    assert waits([], [], [record("7")], now) == {}
    unknown = record("6", "Other", state="running", began=now - 60)
    assert waits(done, [unknown], [record("7")], now) == {"7": "waiting: 1 job comes first"}


def test_turns_go_to_whoever_waited_longest_for_one() -> None:
    class Waiting:
        def __init__(self, name: str) -> None:
            self.name, self.asker = name, name[0]

    order = one_each([Waiting(n) for n in ("a1", "a2", "b1", "c1", "a3")], {"b": 4, "a": 3})  # type: ignore[list-item]
    assert [t.name for t in order] == ["c1", "a1", "b1", "a2", "a3"]  # type: ignore[attr-defined]
