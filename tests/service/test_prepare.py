"""Prepare between client and scheduler, asked questions meanwhile and cancelled; and in a process that is killed."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

import pytest

from analysis import shelf
from analysis.engine.client import Client
from analysis.engine.context import Context
from analysis.engine.store import ResultStore
from analysis.engine.supervisor import whereabouts
from analysis.engine.worker import Server
from analysis.errors import Cancelled
from analysis.home import folder
from analysis.prepare import products, tickets
from analysis.prepare.ops.prepare import DescribePrepare, PrepareModel
from analysis.view_ref import QuestionRef
from pages import common
from pages.frame import prepare_runs
from tests.service.conftest import Desk, until
from tests.service.test_steering_operations import SPEC, tiny
from tests.service.things_to_prepare import CLOCK, made, thing

RUN = PrepareModel(SPEC)


LINES: list[Connection] = []
"""The worker's ends of what clients have opened: closed, the worker is dead to them."""


@pytest.fixture
def counter(desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Desk]:
    """A scheduler in this process with a tiny model and things to prepare, and a socket at which clients find it."""
    monkeypatch.setattr(shelf, "DATA", tmp_path / "none")
    monkeypatch.setattr(products, "PRODUCTS", (thing("a", 0.02, 0.06), thing("b", 0.03), thing("c", 0.04)))
    monkeypatch.setattr(CLOCK, "wait", time.sleep)
    desk.scheduler.residents.put(tiny())
    desk.scheduler.store = ResultStore()
    key = secrets.token_bytes(32)
    listener = Listener(None)
    server = Server(desk.scheduler, key)

    def accept() -> None:
        while True:
            try:
                connection = listener.accept()
            except OSError:
                return
            LINES.append(connection)
            threading.Thread(target=server.serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    whereabouts().write_text(json.dumps({"address": listener.address, "authkey": key.hex()}))
    yield desk
    listener.close()
    LINES.clear()


def test_pages_see_each_part_and_a_cancelled_run_goes_on(counter: Desk) -> None:
    client, things = Client(), QuestionRef("ReadThings", {})

    def cancel(value: dict[str, Any]) -> None:
        if value.get("part"):
            client.cancel("first")

    with pytest.raises(Cancelled):
        client.ask(RUN, token="first", on_progress=cancel)
    assert made() == "a0" and counter.state("first") == "cancelled"

    assert client.reply(things).answer.text == client.reply(things).answer.text == "a1"
    texts, seen = list[str](), dict[str, str]()

    def look(value: dict[str, Any]) -> None:
        texts.append(value["text"])
        if value.get("part"):
            seen[value["part"]["name"]] = client.reply(things).answer.text  # not what was remembered before

    answer = PrepareModel.answer_from(client.ask(RUN, token="second", link="/steering", on_progress=look))
    assert [part.name for part in answer.parts] == ["b", "c", "a"] and made() == "a0 b0 c0 a1"
    assert "b1" in seen["b"] and "c1" in seen["c"] and seen["a"] == "a2 b1 c1"
    assert "part 2 of 3: c, about 1 s left" in texts
    row = next(row for row in client.jobs() if row.id == "second")
    assert (row.state, row.operation, row.link, len(row.files)) == ("done", "PrepareModel", "/steering", 3)

    again = PrepareModel.answer_from(client.ask(RUN))
    assert again.sentence == "Nothing is left to make." and made() == "a0 b0 c0 a1"


def test_questions_are_answered_while_a_part_is_made(counter: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    client, asked = Client(), list[str]()
    monkeypatch.setattr(CLOCK, "wait", lambda _: time.sleep(0 if asked else 0.1))

    def look(value: dict[str, Any]) -> None:
        if value.get("step") and not asked:
            pages = DescribePrepare.answer_from(client.ask(DescribePrepare(SPEC))).pages
            asked.extend(page.sentence for page in pages if page.page == "/steering")

    client.ask(RUN, on_progress=look)
    assert asked[0].startswith("A: nothing yet; the first result takes about 1 s.")
    assert made() == "a0 b0 c0 a1"


def test_a_run_goes_on_by_itself_after_the_worker_or_the_program_has_died(
    counter: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    common.client.cache_clear()
    monkeypatch.setattr(CLOCK, "wait", lambda _: time.sleep(0 if made().count(" ") > 1 else 0.05))
    prepare_runs.begin_run(RUN, "", "/steering")
    until(lambda: made() == "a0", what="a part is made")
    for line in LINES:
        with contextlib.suppress(OSError):
            socket.socket(fileno=os.dup(line.fileno())).shutdown(socket.SHUT_RDWR)
    until(lambda: made() == "a0 b0 c0 a1", what="the run has gone on")
    until(lambda: not list(folder("prepare").iterdir()), what="its note is gone")
    runs = [row.state for row in counter.book.listing() if row.operation == "PrepareModel"]
    assert runs == ["done", "cancelled"]

    child = os.fork()
    if not child:
        tickets.begin(RUN, "/neurons").next_try()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert prepare_runs.take_up_runs() == 1
    until(lambda: not list(folder("prepare").iterdir()), what="the run of the last program has ended")
    newest = counter.book.listing()[0]
    assert (newest.operation, newest.state, newest.link) == ("PrepareModel", "done", "/neurons")
    assert made() == "a0 b0 c0 a1" and prepare_runs.take_up_runs() == 0
    common.client.cache_clear()


def killed(root: Path, model: Any, after: Callable[[], bool]) -> bool:
    """Run in a process of its own, which is killed as soon as ``after`` says so; whether it was."""
    child = os.fork()
    if not child:  # the model is in memory already, and the parts are waits: nothing here computes
        code = 1
        try:
            context = Context(model, ResultStore(root / "results"))
            context.perform(RUN)
            code = 0
        finally:
            os._exit(code)
    ended = 0
    while not ended and not after():
        time.sleep(0.002)
        ended = os.waitpid(child, os.WNOHANG)[0]
    if ended:
        return False
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def test_a_run_that_is_killed_again_and_again_makes_each_part_once(counter: Desk, tmp_path: Path) -> None:
    residents = counter.scheduler.residents
    DescribePrepare(SPEC).run(Context(residents, ResultStore(tmp_path / "results")))  # measures, before there are forks
    kills = 0
    for count in range(1, 40):
        began = time.monotonic()
        wait = 0.03 * count
        kills += killed(tmp_path, residents, lambda began=began, wait=wait: time.monotonic() > began + wait)
        if made().split() == ["a0", "b0", "c0", "a1"]:
            break
    assert kills >= 3
    assert not killed(tmp_path, residents, lambda: False)
    assert made() == "a0 b0 c0 a1"
