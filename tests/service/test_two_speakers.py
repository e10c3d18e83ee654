"""Two texts at once: they take turns by steps, none of them notices, and a stop, a lost page and a job still count."""

from __future__ import annotations

import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from analysis.engine import scheduler as scheduler_module
from analysis.engine.context import Context
from analysis.engine.question import Result
from analysis.engine.residents import Residents
from analysis.engine.store import ResultStore
from analysis.models.facts import describe
from analysis.models.loaded_model import LoadedModel
from analysis.models.spec import ModelSpec
from tests.service.conftest import Desk, Inbox, lines, until
from tests.service.operations_for_tests import Echo, SayLines, SleepSteps, SlowLive, WriteText
from tests.unit.test_contrasts import _byte_level
from tests.unit.tiny_models import tiny_model


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


@pytest.fixture
def journal(tmp_path: Path) -> str:
    return str(tmp_path / "journal")


def longest_wait(order: list[Any], name: Any) -> int:
    """Steps of others between two of that name."""
    places = [n for n, step in enumerate(order) if step == name]
    return max(b - a - 1 for a, b in pairwise(places))


def strands() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "strand"}


def test_second_stream_waits_for_one_step_of_the_first(desk: Desk, journal: str) -> None:
    _, first = desk.submit(SayLines("a", 40, 0.003, journal))
    until(lambda: len(lines(journal)) >= 3)
    _, second = desk.submit(SayLines("b", 20, 0.003, journal))
    seen = len(lines(journal))
    assert (first.data()["said"], second.data()["said"]) == (40, 20)
    order = [line.split()[0] for line in lines(journal)]
    assert order[:3] == ["a"] * 3 and "b" in order[seen : seen + 3], "begun at once"
    assert longest_wait(order[: 60 - order[::-1].index("b")], "a") == 1
    assert longest_wait(order, "b") == 1
    for inbox, count in ((first, 40), (second, 20)):
        said = [m["value"]["line"]["n"] for m, _ in inbox.messages if m["type"] == "progress"]
        assert said == list(range(count)), "every line, to the one who asked"


def test_stop_ends_a_waiting_stream_and_the_other_goes_on(desk: Desk, journal: str) -> None:
    one, first = desk.submit(SayLines("a", 400, 0.003, journal))
    _, second = desk.submit(SayLines("b", 40, 0.003, journal))
    until(lambda: any(line.startswith("b") for line in lines(journal)))
    assert desk.scheduler.leave(one, "The page that had asked for this was closed.")
    done = [line.split()[0] for line in lines(journal)].count("a")
    assert first.end() == "cancelled" and second.data()["said"] == 40
    assert [line.split()[0] for line in lines(journal)].count("a") <= done + 1
    until(lambda: desk.scheduler.busy == "")
    assert desk.scheduler._streams == [] and desk.scheduler._tasks == {}


def test_stop_ends_a_text_within_its_pass(desk: Desk) -> None:
    """Also a pass that takes long: it is not waited for, and the next text begins."""
    loaded = model("llama", ModelSpec("default"))
    desk.scheduler.residents.put(loaded)
    blocks, handles = loaded.model.model.layers, list[Any]()
    entered, go_on, passed = threading.Event(), threading.Event(), list[str]()

    def slow(*_: Any) -> None:
        if not entered.is_set():
            handles.append(blocks[-1].register_forward_hook(lambda *_: passed.append("end")))
            entered.set()
        go_on.wait(20)

    token, text = desk.submit(WriteText(count=200))
    until(lambda: any("piece" in m["value"].get("line", {}) for m, _ in text.messages if m["type"] == "progress"), 60)
    handles.append(blocks[0].register_forward_hook(slow))
    assert entered.wait(20) and desk.scheduler.leave(token)
    go_on.set()
    until(lambda: not desk.scheduler._streams)
    for handle in handles:
        handle.remove()
    assert passed == [] and text.end() == "cancelled"
    assert desk.submit(WriteText(count=3))[1].end() == "result"


def test_live_requests_go_between_the_steps_of_two_streams(desk: Desk, journal: str) -> None:
    streams = [desk.submit(SayLines(name, 400, 0.003, journal)) for name in "ab"]
    until(lambda: any(line.startswith("b") for line in lines(journal)))
    for n in range(5):
        before = len(lines(journal))
        assert desk.submit(Echo(str(n)))[1].data()["echo"] == str(n)
        assert len(lines(journal)) - before < 100, "not after a text"
    assert [inbox.kinds() for _, inbox in streams] == [["started"]] * 2
    for token, _ in streams:
        desk.scheduler.leave(token)


def test_streams_that_never_cease_do_not_stop_a_job(desk: Desk, journal: str) -> None:
    """While one text ends, another is written already; the job still comes to its end."""
    _, job = desk.submit(SleepSteps("job", 4, 0.002, journal))
    until(lambda: lines(journal))
    waiting: list[Inbox] = []
    for n in range(100):
        waiting.append(desk.submit(SayLines(str(n), 12, 0.001))[1])
        while len(waiting) > 2:
            waiting.pop(0).end()
        if "result" in job.kinds():
            return
    raise AssertionError("the job comes to its end only when no text is written")


def test_many_streams_leave_no_threads_and_no_more_than_a_few_take_turns(desk: Desk, gate: Path, journal: str) -> None:
    before = strands()
    desk.submit(SlowLive("first", str(gate), ""))
    until(lambda: desk.scheduler.busy)
    names = "abcdefghijkl"
    inboxes = [desk.submit(SayLines(name, 3, 0.0, journal))[1] for name in names]
    gate.touch()
    assert [inbox.data()["said"] for inbox in inboxes] == [3] * 12
    order = [line.split()[0] for line in lines(journal)]
    assert "".join(order[: scheduler_module.TOGETHER]) == names[: scheduler_module.TOGETHER]
    assert names[scheduler_module.TOGETHER] not in order[: 2 * scheduler_module.TOGETHER]
    until(lambda: len(strands() - before) <= 2, what="further threads end")


def test_stream_that_fails_hands_back(desk: Desk, gate: Path, journal: str, tmp_path: Path) -> None:
    desk.submit(SlowLive("first", str(gate), ""))
    until(lambda: desk.scheduler.busy)
    _, good = desk.submit(SayLines("a", 20, 0.0, journal))
    _, bad = desk.submit(WriteText(ModelSpec(str(tmp_path / "no such model"))))
    gate.touch()
    assert bad.end() == "error" and good.data()["said"] == 20


def model(kind: str, spec: ModelSpec) -> LoadedModel:
    """A tiny model as if it had been loaded under that specification."""
    tokenizer = _byte_level()
    made = tiny_model(kind, vocab_size=4000, max_position_embeddings=256)
    ids = torch.tensor([tokenizer("the lamp is kept in")["input_ids"]])
    return LoadedModel(made, tokenizer, spec, describe(made, ids, tokenizer, spec, ""))


def test_texts_in_turns_are_token_for_token_what_each_is_alone(desk: Desk, gate: Path, tmp_path: Path) -> None:
    """Two steers of one model, an unsteered text beside them, and another model: no hook of one touches another."""
    specs = ModelSpec("default"), ModelSpec("tiny/other")
    residents = Residents(limit=2)
    for kind, spec in zip(("llama", "gpt2"), specs, strict=True):
        residents.put(model(kind, spec))
    desk.scheduler.residents = residents
    asked = [
        WriteText(specs[0], push=2.0, seed=1),
        WriteText(specs[0], push=0.0, seed=2),
        WriteText(specs[1], push=3.0, seed=3),
        WriteText(specs[0], push=-1.5, seed=4, temperature=0.0),
    ]
    alone = [Context(residents, ResultStore(tmp_path / "alone")).perform(one).data for one in asked]
    assert len({tuple(data["steered"]["ids"]) for data in alone}) == 4, "each steer shows"
    assert all(data["steered"]["ids"] != data["base"]["ids"] for data in (alone[0], alone[2], alone[3]))

    order: list[int] = []
    answers: dict[int, Any] = {}

    def inbox(number: int) -> Any:
        def emit(message: dict[str, Any], result: Result | None = None) -> None:
            piece = message.get("value", {}).get("line", {}).get("piece")
            if piece is not None and piece["of"] == "base":
                order.append(number)
            if message["type"] not in ("started", "progress"):
                answers[number] = message if result is None else result.data

        return emit

    desk.submit(SlowLive("first", str(gate), ""))
    until(lambda: desk.scheduler.busy)
    for number, operation in enumerate(asked):
        desk.scheduler.submit(operation, f"text {number}", inbox(number), None, "")
    gate.touch()
    until(lambda: len(answers) == 4, 60)
    for number, data in enumerate(alone):
        for name in ("steered", "base"):
            for part in ("ids", "kl", "surprise"):
                assert answers[number][name][part] == data[name][part], (number, name, part)
    assert order[:4] == [0, 1, 2, 3] and len(order) >= 40
    assert max(longest_wait(order[:32], number) for number in range(4)) <= 6, "written in turns"
