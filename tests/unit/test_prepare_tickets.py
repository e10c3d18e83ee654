"""Tickets of runs: held by whoever carries a run, free once that process has died, given up after deaths in vain."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.models.spec import ModelSpec
from analysis.prepare.ops.prepare import PrepareModel
from analysis.prepare.tickets import PATIENCE, Ticket, begin, left_over

RUN = PrepareModel(ModelSpec("default"), ("/steering",), 600.0)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))


def part(seconds: float, state: str = "made") -> dict[str, Any]:
    return {"part": {"state": state}, "seconds": seconds}


def dying(first: Callable[[], Any]) -> None:
    """Do something in a process that is killed at once after it."""
    child = os.fork()
    if not child:
        first()
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL


def test_a_run_belongs_to_the_process_that_carries_it_until_that_dies(tmp_path: Path) -> None:
    mine = begin(RUN, "/steering?model=m")
    assert mine.next_try() == RUN and left_over() == []

    def carry() -> None:
        ticket = begin(RUN, "/neurons")
        ticket.next_try()
        time.sleep(0.1)  # its turn has not come
        ticket.hear({"share": 0.0, "text": "it begins"})
        ticket.spent = 200.0
        ticket.hear(part(90.0))
        ticket.hear({"share": 0.5, "text": "no part", "seconds": 1.0})

    dying(carry)
    (taken,) = left_over()
    assert (taken.link, taken.parts, taken.asked) == ("/neurons", 1, RUN) and left_over() == []
    again = taken.next_try()
    assert again is not None and again.pages == RUN.pages and 399.95 < again.budget <= 400
    taken.end()
    mine.end()
    assert left_over() == [] and not list((tmp_path / "prepare").iterdir())


def test_what_was_promised_is_kept_though_the_budget_is_used_up() -> None:
    ticket = begin(RUN, "")
    assert ticket.next_try() == RUN
    ticket.spent = 590.0
    ticket.hear(part(300.0))
    again = ticket.next_try()
    assert again is not None and again.budget == 300.0
    ticket.spent = 5_000.0
    ticket.hear(part(1e6, "failed"))
    again = ticket.next_try()
    assert again is not None and again.budget == RUN.budget and ticket.parts == 1
    ticket.end()


def test_a_run_that_dies_again_and_again_without_a_part_is_given_up() -> None:
    dying(lambda: begin(RUN, "").next_try())

    def take() -> Ticket:
        (ticket,) = left_over()
        return ticket

    for _ in range(PATIENCE - 1):
        dying(lambda: take().next_try())
    last = take()
    assert last.next_try() is None
    last.hear(part(10.0))
    assert last.next_try() is not None
    last.end()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[" * 10_000,
        "[]",
        "{}",
        '{"params": {"budget": -1}, "link": "", "parts": 0, "spent": 0, "left": 0, "tries": 0}',
    ],
)
def test_a_note_that_cannot_be_read_is_thrown_away(tmp_path: Path, text: str) -> None:
    (tmp_path / "prepare").mkdir()
    (tmp_path / "prepare" / "a.json").write_text(text)
    assert left_over() == [] and not list((tmp_path / "prepare").iterdir())
    good = {"params": RUN.to_params(), "link": "", "parts": 0, "spent": 0, "left": 0, "tries": 0}
    (tmp_path / "prepare" / "b.json").write_text(json.dumps(good))
    (ticket,) = left_over()
    assert ticket.next_try() == RUN
    ticket.end()
