"""What runs next, who shares, who is cancelled: the scheduler with its compute thread, in this process."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from analysis.engine.turns import TOTAL
from analysis.errors import UserError
from analysis.home import home
from analysis.models.spec import ModelSpec
from tests.service.conftest import Desk, Inbox, lines, until
from tests.service.operations_for_tests import (
    Echo,
    EchoJob,
    Fail,
    FailJob,
    GatedJob,
    LoadWhenAsked,
    Nap,
    PlainPass,
    ReadOnly,
    Refuse,
    SayLines,
    SleepSteps,
    SlowLive,
    TappedJob,
    UseModel,
    WriteFile,
    WriteWords,
)


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


@pytest.fixture
def journal(tmp_path: Path) -> str:
    return str(tmp_path / "journal")


def test_live_requests_go_before_queued_jobs(desk: Desk, gate: Path, journal: str) -> None:
    desk.submit(SlowLive("first", str(gate), journal))
    until(lambda: lines(journal) == ["first"])
    _, job = desk.submit(GatedJob("job", "", journal))
    _, live = desk.submit(SlowLive("live", "", journal))
    gate.touch()
    assert (job.end(), live.end()) == ("result", "result")
    assert lines(journal) == ["first", "live", "job"]


def test_live_request_is_answered_while_a_job_runs(desk: Desk, gate: Path, journal: str) -> None:
    _, job = desk.submit(GatedJob("job", str(gate), journal))
    until(lambda: lines(journal) == ["job"])
    _, live = desk.submit(Echo("now"))
    assert live.data()["echo"] == "now"
    assert job.kinds() == ["started"]
    gate.touch()
    assert job.data()["name"] == "job"


def test_steady_stream_of_live_requests_does_not_stop_a_job(desk: Desk, journal: str) -> None:
    """Each safe point serves what waits then, not what comes in meanwhile."""
    _, job = desk.submit(SleepSteps("job", 5, 0.05, journal))
    until(lambda: lines(journal))
    waiting: list[Inbox] = []
    for n in range(200):
        waiting.append(desk.submit(Nap(str(n)), "s", f"w{n}")[1])
        while len(waiting) > 6:  # so there is always one in the queue
            waiting.pop(0).end()
        if "result" in job.kinds():
            return
    raise AssertionError("the job comes to its end only when the stream has stopped")


def test_newest_of_a_slot_wins(desk: Desk, gate: Path, journal: str) -> None:
    desk.submit(SlowLive("first", str(gate), journal))
    until(lambda: lines(journal) == ["first"])
    inboxes = [desk.submit(SlowLive(f"v{n}", "", journal), "s", "slider")[1] for n in range(5)]
    _, other_widget = desk.submit(SlowLive("other widget", "", journal), "s", "tokens")
    _, other_session = desk.submit(SlowLive("other session", "", journal), "t", "slider")
    _, no_slot = desk.submit(SlowLive("no slot", "", journal), "s", "")
    gate.touch()
    assert [i.end() for i in inboxes] == ["superseded"] * 4 + ["result"]
    assert [i.end() for i in (other_widget, other_session, no_slot)] == ["result"] * 3
    # each has a turn in each round
    assert lines(journal) == ["first", "v4", "other session", "other widget", "no slot"]


def test_newest_of_a_slot_does_not_take_the_answer_from_another_session(desk: Desk, gate: Path, journal: str) -> None:
    desk.submit(SlowLive("first", str(gate), journal))
    until(lambda: lines(journal) == ["first"])
    _, mine = desk.submit(SlowLive("shared", "", journal), "s", "slider")
    _, theirs = desk.submit(SlowLive("shared", "", journal), "t", "slider")
    _, newer = desk.submit(SlowLive("newer", "", journal), "s", "slider")
    gate.touch()
    assert (mine.end(), theirs.end(), newer.end()) == ("superseded", "result", "result")
    assert lines(journal) == ["first", "shared", "newer"]


def test_newest_that_joins_another_request_replaces_its_own_older(desk: Desk, gate: Path, journal: str) -> None:
    desk.submit(SlowLive("first", str(gate), journal))
    until(lambda: lines(journal) == ["first"])
    _, theirs = desk.submit(SlowLive("b", "", journal), "t", "slider")
    _, older = desk.submit(SlowLive("a", "", journal), "s", "slider")
    _, newer = desk.submit(SlowLive("b", "", journal), "s", "slider")
    gate.touch()
    assert (theirs.end(), older.end(), newer.end()) == ("result", "superseded", "result")
    assert lines(journal) == ["first", "b"]


def test_equal_requests_share_one_computation(desk: Desk, gate: Path, journal: str) -> None:
    _, first = desk.submit(GatedJob("job", str(gate), journal))
    until(lambda: lines(journal) == ["job"])
    others = [desk.submit(GatedJob("job", str(gate), journal))[1] for _ in range(3)]
    _, different = desk.submit(GatedJob("another", "", journal))
    gate.touch()
    for inbox in (first, *others):
        assert inbox.kinds() in (["started"], ["started", "result"])
        assert inbox.data()["name"] == "job"
    assert different.data()["name"] == "another"
    token, later = desk.submit(GatedJob("job", str(gate), journal))
    assert later.data()["name"] == "job" and desk.state(token) == "done"
    assert lines(journal) == ["job", "another"]


def test_cancel_of_one_of_two_does_not_stop_the_other(desk: Desk, gate: Path, journal: str) -> None:
    one, first = desk.submit(GatedJob("job", str(gate), journal))
    until(lambda: lines(journal) == ["job"])
    two, second = desk.submit(GatedJob("job", str(gate), journal))
    assert desk.scheduler.leave(one)
    assert first.end() == "cancelled" and desk.state(one) == "cancelled"
    assert second.kinds() == ["started"] and desk.state(two) == "running"
    gate.touch()
    assert second.end() == "result" and desk.state(two) == "done"
    assert first.kinds() == ["started", "cancelled"] and desk.state(one) == "cancelled"
    assert lines(journal) == ["job"]


def test_cancel_of_the_last_stops_within_one_step(desk: Desk, journal: str) -> None:
    token, inbox = desk.submit(SleepSteps("job", 500, 0.05, journal))
    until(lambda: len(lines(journal)) >= 2)
    assert desk.scheduler.leave(token)
    done = len(lines(journal))
    until(lambda: desk.scheduler.busy == "", 2)
    assert len(lines(journal)) <= done + 1
    assert inbox.end() == "cancelled" and desk.state(token) == "cancelled"
    assert not desk.scheduler.leave(token)


def test_request_equal_to_a_cancelled_one_is_computed_anew(desk: Desk, gate: Path, journal: str) -> None:
    token, _ = desk.submit(SlowLive("x", str(gate), journal, safe=False))
    until(lambda: lines(journal) == ["x"])
    desk.scheduler.leave(token)
    _, again = desk.submit(SlowLive("x", str(gate), journal, safe=False))
    gate.touch()
    assert again.end() == "result" and lines(journal) == ["x", "x"]


def test_cancelled_queued_job_never_runs(desk: Desk, gate: Path, journal: str) -> None:
    _, first = desk.submit(GatedJob("first", str(gate), journal))
    until(lambda: lines(journal) == ["first"])
    token, queued = desk.submit(GatedJob("queued", "", journal))
    assert desk.state(token) == "queued"
    assert desk.scheduler.leave(token)
    assert queued.kinds() == ["cancelled"] and desk.state(token) == "cancelled"
    _, last = desk.submit(GatedJob("last", "", journal))
    gate.touch()
    assert (first.end(), last.end()) == ("result", "result")
    assert lines(journal) == ["first", "last"]


def test_unknown_token_is_not_found(desk: Desk) -> None:
    assert not desk.scheduler.leave("nobody")


@pytest.mark.parametrize("kind", [GatedJob, SlowLive])
def test_full_queue_refuses_and_says_so(desk: Desk, gate: Path, journal: str, kind: Any) -> None:
    limit = TOTAL["job" if kind is GatedJob else "live"]
    desk.submit(SlowLive("first", str(gate), journal, safe=False))
    until(lambda: lines(journal) == ["first"])
    queued = [desk.submit(kind(str(n), "", journal), "s", f"w{n}") for n in range(limit)]
    token, refused = desk.submit(kind("too many", "", journal), "s", "w")
    message = refused.messages[-1][0]
    assert refused.end() == "error" and message["kind"] == "user" and "queue is full" in message["text"]
    if kind is GatedJob:
        assert desk.state(token) == "failed"
    _, joined = desk.submit(kind("0", "", journal), "t", "w")  # needs no place of its own
    newest = desk.submit(kind("newest", "", journal), "s", "w1")[1] if kind is SlowLive else None  # takes w1's place
    gate.touch()
    ends = [inbox.end() for _, inbox in queued]
    assert ends == ["result"] * limit if newest is None else ["result", "superseded"] + ["result"] * (limit - 2)
    assert joined.end() == "result" and (newest is None or newest.end() == "result")
    assert "too many" not in lines(journal)


def test_read_requests_do_not_wait_for_the_compute_thread(desk: Desk, gate: Path, journal: str) -> None:
    _, busy = desk.submit(SlowLive("busy", str(gate), journal, safe=False))
    until(lambda: lines(journal) == ["busy"])
    _, read = desk.submit(ReadOnly("read", "", journal))
    assert read.kinds() == ["started", "result"] and busy.kinds() == ["started"]
    gate.touch()
    assert busy.end() == "result"


@pytest.mark.parametrize(
    "operation", [Fail("the secret"), Fail("the secret", "panic"), FailJob("the secret"), Refuse("x")]
)
def test_failure_reaches_the_asker_and_the_next_task_runs(desk: Desk, operation: Any) -> None:
    token, inbox = desk.submit(operation)
    assert inbox.end() == "error"
    message = inbox.messages[-1][0]
    assert (message["kind"], message["field"]) == (
        ("user", "prompt") if isinstance(operation, Refuse) else ("bug", None)
    )
    assert "secret" not in message["text"]
    if isinstance(operation, FailJob):
        assert desk.state(token) == "failed" and desk.scheduler.store.get("0" * 64) is None
    assert desk.submit(Echo("after"))[1].data()["echo"] == "after"


def test_share_that_is_no_number_is_unknown(desk: Desk) -> None:
    token, inbox = desk.submit(FailJob(how="share"))
    assert inbox.end() == "result"
    texts = [row.text for row in desk.book.listing() if row.id == token]
    assert texts == ["not a share"] and desk.state(token) == "done"


def test_taps_of_a_job_do_not_reach_a_live_request_and_come_back_after_it(desk: Desk, gate: Path) -> None:
    _, before = desk.submit(PlainPass(0))
    plain = before.data()
    _, job = desk.submit(TappedJob(str(gate), passes=3))
    until(lambda: any(m["type"] == "progress" for m, _ in job.messages), 30)
    during = [desk.submit(PlainPass(n))[1].data() for n in (1, 2)]
    assert job.kinds() == ["started"]
    gate.touch()
    seen = job.data()
    assert [d["taps"] for d in during] == [0, 0]
    assert [d["logits"] for d in during] == [plain["logits"]] * 2 == [seen["plain"]] * 2
    assert seen["edited"] != seen["plain"] and seen["calls"] == 3


def test_live_request_does_not_load_again_the_model_that_a_job_is_loading(
    desk: Desk, gate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from analysis.models import loader

    folder = saved_model(tmp_path / "model")
    loads: list[str] = []
    original = loader.load_model

    def counted(spec: Any, *args: Any) -> Any:
        loads.append(spec.source)
        return original(spec, *args)

    monkeypatch.setattr(loader, "load_model", counted)
    _, job = desk.submit(LoadWhenAsked(str(folder), str(gate)))
    until(lambda: desk.scheduler.busy)
    _, live = desk.submit(UseModel(ModelSpec(str(folder))))
    _, other = desk.submit(Echo("needs no model"))
    gate.touch()
    assert job.data()["layers"] == live.data()["layers"] == 2
    assert other.data()["echo"] == "needs no model"
    assert loads == [str(folder)]


def saved_model(folder: Path) -> Path:
    """A tiny model on disk, with a tokenizer of a few letters."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Split
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = {c: n for n, c in enumerate("?abcdefghijklmnopqrstuvwxyzT .,", start=0)}
    tokenizer = Tokenizer(WordLevel(letters, unk_token="?"))
    tokenizer.pre_tokenizer = Split("", "isolated")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="?").save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(letters), hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=128,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def test_random_traffic_gives_each_request_exactly_one_end(desk: Desk, journal: str) -> None:
    """No request is lost, answered twice, or answered with another's answer, whatever is cancelled meanwhile."""
    chance = random.Random(5)
    asked = []
    for _ in range(300):
        value = str(chance.randrange(12))
        operation = (Echo, EchoJob, SlowLive)[chance.randrange(3)](value)
        asked.append((operation, *desk.submit(operation, f"s{chance.randrange(3)}", ("", "w")[chance.randrange(2)])))
        if chance.random() < 0.3:
            desk.scheduler.leave(chance.choice(asked)[1])
        if chance.random() < 0.1:
            time.sleep(0.005)
    for operation, token, inbox in asked:
        end = inbox.end()
        if end == "result":
            data = inbox.data()
            assert data.get("echo", data.get("name")) == getattr(operation, "value", getattr(operation, "name", None))
        assert end in ("result", "cancelled", "superseded") or "queue is full" in inbox.messages[-1][0]["text"]
        assert [k for k in inbox.kinds() if k != "started"] == [end]
        if isinstance(operation, EchoJob):
            rows = [row.state for row in desk.book.listing() if row.id == token]
            assert rows in ([], ["done"], ["cancelled"], ["failed"])
    until(lambda: desk.scheduler.busy == "")
    assert desk.scheduler._tasks == {} and not any(desk.scheduler._queues.values())


def test_who_may_only_look_gets_what_is_small_or_kept_and_starts_nothing(desk: Desk, journal: str) -> None:
    assert desk.submit(Echo("small"), looking=True)[1].data()["echo"] == "small"
    assert desk.submit(ReadOnly("read", "", journal), looking=True)[1].data()["name"] == "read"
    for asked in (EchoJob("a job"), UseModel(), SayLines(), WriteWords()):
        with pytest.raises(UserError, match=r"start something|may not load it"):
            desk.submit(asked, looking=True)
    assert desk.book.listing() == [] and desk.scheduler.waiting() == (0, 0, 0)
    assert desk.submit(EchoJob("a job"))[1].end() == "result"
    _, kept = desk.submit(EchoJob("a job"), looking=True)
    assert kept.end() == "result", "kept, so it may be seen"


def test_who_has_filled_a_share_writes_nothing_more(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTUNE_EACH", str(2_500 / 10**9))
    for number in range(3):
        token, inbox = desk.submit(WriteFile(f"file {number}"), who="a")
        assert inbox.end() == "result" and desk.state(token) == "done"
    token, inbox = desk.submit(WriteFile("one too many"), who="a")
    assert inbox.end() == "error" and "each person has" in inbox.messages[-1][0]["text"]
    assert desk.state(token) == "failed" and not (home() / "one too many").exists()
    assert desk.submit(EchoJob("nothing is written"), who="a")[1].end() == "result"
    assert desk.submit(WriteFile("of another"), who="b")[1].end() == "result"
    (home() / "file 0").unlink()
    assert desk.submit(WriteFile("there is room again"), who="a")[1].end() == "result"
