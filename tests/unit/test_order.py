"""Questions of one widget that arrive in another order than they were asked in."""

from __future__ import annotations

from typing import Any

import pytest
from dash.exceptions import PreventUpdate
from flask import Flask

from analysis.engine.client import Superseded
from analysis.qk.ops.features import FeatureStatus
from pages import common, order


class Worker:
    """Says of each question that a newer one has come, so many times."""

    def __init__(self, times: int) -> None:
        self.times, self.asked = times, 0

    def ask(self, operation: Any, **_: Any) -> str:
        self.asked += 1
        if self.asked <= self.times:
            raise Superseded
        return "answer"

    def remember(self, _operation: Any, result: str) -> str:
        return result


@pytest.mark.parametrize(("others", "asked"), [((), 2), ((50.0,), 2), ((150.0,), None)])
def test_the_newest_is_asked_again_and_an_older_one_is_not(
    others: tuple[float, ...], asked: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, session = Worker(1), f"order {others}"
    monkeypatch.setattr(common, "client", lambda: worker)
    for at in others:
        order.note(session, "row", at)
    with Flask("t").test_request_context("/", method="POST", json={"asked": 100.0}):
        if asked is None:
            with pytest.raises(PreventUpdate):
                common.ask_for(FeatureStatus, session, "row")
        else:
            assert common.ask_for(FeatureStatus, session, "row")[0] == "answer"
    assert worker.asked == (asked or 1)


@pytest.mark.parametrize("body", [{}, {"asked": "1"}, {"asked": True}, {"asked": float("inf")}, [1]], ids=repr)
def test_a_question_that_does_not_say_when_is_not_asked_again(body: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(1)
    monkeypatch.setattr(common, "client", lambda: worker)
    with Flask("t").test_request_context("/", method="POST", json=body), pytest.raises(PreventUpdate):
        common.ask_for(FeatureStatus, "somebody", "row")
    assert worker.asked == 1


def test_one_that_is_overtaken_for_ever_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(99)
    monkeypatch.setattr(common, "client", lambda: worker)
    with Flask("t").test_request_context("/", method="POST", json={"asked": 5}), pytest.raises(PreventUpdate):
        common.ask_for(FeatureStatus, "somebody else", "row")
    assert worker.asked == common.TRIES + 1
