"""frame/writer.js: texts arrive token by token, are shaded, stopped, and asked again; on both pages that write."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.scripts.test_kit import SERVER

pytestmark = pytest.mark.browser
Scripted = Callable[..., Page]
PAGES = {"": ("attune.startStream", "attune.stopStream"), "mlp-": ("attune_features.write", "attune_features.stop")}
EVIL = "<b onclick='alert(1)'>x</b>"


class Writing:
    """A page that writes: its boxes, its two callbacks, and a server that answers when it is told to."""

    def __init__(self, page: Page, prefix: str) -> None:
        self.page, self.prefix = page, prefix
        self.write, self.stop = PAGES[prefix]
        page.evaluate("() => {" + SERVER + "}")

    def ask(self, **asked: Any) -> None:
        self.page.evaluate(f"(asked) => {{ window.over = dash_clientside.{self.write}(asked, 's'); }}", asked)

    def answer(self, *lines: dict[str, Any]) -> None:
        self.page.wait_for_function("() => window.answer")
        self.page.evaluate("(text) => answer(text)", "".join(json.dumps(line) + "\n" for line in lines))

    def prop(self, name: str, of: str) -> Any:
        return self.page.evaluate("([id, name]) => (props[id] || {})[name] ?? null", [self.prefix + of, name])

    def wait(self, of: str, name: str, value: Any) -> None:
        arguments = [self.prefix + of, name, value]
        self.page.wait_for_function("([id, name, v]) => (props[id] || {})[name] === v", arg=arguments)

    def text(self, of: str) -> str:
        return str(self.page.inner_text(f"#{self.prefix}{of}-text"))


@pytest.fixture(params=list(PAGES))
def writing(scripted: Scripted, request: pytest.FixtureRequest) -> Writing:
    """Both pages that write texts."""
    boxes = "".join(f"<div id='{request.param}{of}-text'>old</div>" for of in ("base", "steered", "control"))
    return Writing(scripted(boxes), request.param)


def piece(of: str, text: str) -> dict[str, Any]:
    return {"piece": {"of": of, "text": text}, "rate": 7.25}


def test_texts_arrive_are_shaded_and_end(writing: Writing) -> None:
    writing.ask(params={"p": 1}, turn=1)
    writing.answer(piece("base", "one"), piece("steered", EVIL), piece("steered", " two"))
    writing.wait("stream-state", "children", "2 steered tokens, 7.3 a second")
    assert (writing.text("base"), writing.text("steered"), writing.text("control")) == ("one", EVIL + " two", "")
    assert writing.prop("disabled", "stop") is False
    writing.answer({"marks": {"of": "steered", "start": 1, "kl": [0.75, 9], "surprise": [1, 2]}})
    writing.answer({"done": True, "sentence": "Two tokens."})
    writing.page.evaluate("() => end()")
    writing.wait("stop", "disabled", True)
    span = writing.page.locator(f"#{writing.prefix}steered-text .attune-piece").nth(1)
    assert span.get_attribute("title") == "KL to unsteered 0.75 nats; surprise 1.00 nats unsteered"
    assert span.evaluate("e => e.style.getPropertyValue('--shade')") == "0.5"
    assert writing.prop("children", "stream-state") == "Two tokens."
    assert writing.prop("data", "written") == {"operation": "SteerText", "params": {"p": 1}, "turn": 1}
    path, body = writing.page.evaluate("asked[0]")
    assert path == "/steering/stream" and body["params"] == {"p": 1} and body["session"] == "s" and body["token"]


def test_figures_of_older_texts_are_grey_while_new_ones_are_written_and_until_theirs_come(writing: Writing) -> None:
    own = writing.prefix.rstrip("-") or "texts"
    writing.page.evaluate(
        "(own) => document.body.insertAdjacentHTML('beforeend', `<p data-figures-of=${own}>5.0</p>`)", own
    )
    state = "() => document.querySelector('[data-figures-of]').dataset.figures"
    came = "([own, ref]) => dash_clientside.attune.figuresCame(own, ref)"
    writing.ask(params={}, turn=4)
    assert writing.page.evaluate(state) == "writing"
    writing.page.evaluate(came, [own, {"turn": 3}])
    writing.answer({"done": True, "sentence": "Two tokens."})
    writing.wait("stream-state", "children", "Two tokens.")
    assert writing.page.evaluate(state) == "writing"
    writing.page.evaluate(came, [own, {"turn": 4}])
    assert writing.page.evaluate(state) == ""
    writing.page.evaluate("() => end()")
    writing.wait("stop", "disabled", True)
    assert writing.page.evaluate(state) == ""
    writing.ask(params={}, turn=5)
    writing.page.evaluate(f"() => {{ dash_clientside.{writing.stop}(2); }}")
    assert writing.page.evaluate(state) == "none"


def test_a_text_is_stopped_here_and_at_the_server(writing: Writing) -> None:
    assert writing.page.evaluate(f"dash_clientside.{writing.stop}(1)") == "unchanged"  # nothing is under way
    writing.ask(params={}, turn=1)
    writing.answer(piece("steered", "a"))
    writing.wait("stream-state", "children", "1 steered tokens, 7.3 a second")
    writing.page.evaluate(f"() => {{ dash_clientside.{writing.stop}(2); }}")
    assert writing.page.evaluate("over") == "unchanged"
    assert writing.prop("children", "stream-state") == "Stopped after 1 tokens."
    assert writing.prop("disabled", "stop") is True and not writing.prop("children", "stream-error")
    (_, first), (path, second) = writing.page.evaluate("asked")
    assert path == "/steering/stop" and second == {"token": first["token"]}


def test_the_same_question_is_asked_once_and_a_newer_one_ends_the_older(writing: Writing) -> None:
    writing.ask(params={"p": 1}, turn=1)
    writing.answer(piece("base", "old"))
    writing.page.wait_for_function(
        "(id) => document.getElementById(id).innerText === 'old'", arg=writing.prefix + "base-text"
    )
    writing.ask(params={"p": 1}, turn=1)
    assert writing.page.evaluate("asked.length") == 1
    writing.page.evaluate("() => { window.answer = null; }")
    writing.ask(params={"p": 2}, turn=2, operation="FeatureText")
    writing.answer(piece("base", "new"))
    writing.page.wait_for_function(
        "(id) => document.getElementById(id).innerText === 'new'", arg=writing.prefix + "base-text"
    )
    assert writing.page.evaluate("asked[1][1].operation") == "FeatureText"
    assert writing.prop("disabled", "stop") is False


def test_what_the_server_says_instead_is_shown(writing: Writing) -> None:
    writing.ask(params={}, turn=1)
    writing.answer({"error": "Too many tokens."})
    writing.wait("stream-error", "children", "Too many tokens.")
    assert writing.prop("children", "stream-state") == ""
    writing.page.evaluate("() => { end(); window.status = 503; }")
    writing.wait("stop", "disabled", True)
    writing.ask(params={}, turn=2)
    said = "The text did not arrive: The server answered 503. Press Write to ask again."
    writing.wait("stream-error", "children", said)
    assert writing.prop("disabled", "stop") is True


def test_nothing_is_asked_without_a_question(writing: Writing) -> None:
    writing.page.evaluate(f"() => dash_clientside.{writing.write}(null, 's')")
    assert writing.page.evaluate("[asked, put]") == [[], []]


def test_dash_does_not_wait_for_a_text(writing: Writing) -> None:
    """A promise of a callback holds back the callbacks that read what led to it: sliders would stand still."""
    writing.ask(params={}, turn=1)
    assert writing.page.evaluate("over === dash_clientside.no_update")
    assert writing.prop("disabled", "stop") is False


def test_a_ladder_names_its_rungs_and_ends_with_its_answer(scripted: Scripted) -> None:
    boxes = "".join(f"<div id='ladder-{of}-text'></div>" for of in ("base", "rung-0", "rung-1", "rung-2"))
    boxes += "<div id='ladder-texts'><button data-end-text='ladder-' data-part='rung-1'>end</button></div>"
    ladder = Writing(scripted(boxes), "")
    ladder.prefix, ladder.write = "ladder-", "attune.startLadder"
    ladder.ask(params={"p": 1}, turn=1, operation="SteerLadder")
    rungs = [{"strength": 0.169, "target": 0.05, "kl": 0.05, "met": True}]
    rungs.append({"strength": 1.0, "target": 0.1, "kl": 0.08, "met": False})
    ladder.answer({"rungs": rungs, "region": 7}, piece("rung-1", "more"), piece("base", "plain"))
    ladder.wait("stream-state", "children", "1 steered tokens, 7.3 a second")
    assert ladder.text("rung-1") == "more" and ladder.prop("data", "region") == 7
    assert ladder.prop("children", "rung-0-head") == "0.17 · KL 0.05"
    assert ladder.prop("children", "rung-1-head") == "1.00 · KL 0.08 (0.1 is not reached)"
    assert [ladder.prop("hidden", f"rung-{n}") for n in range(3)] == [False, False, True]
    assert ladder.prop("data", "strength-0") == 0.169
    ladder.answer({"rungs": rungs, "done": True, "sentence": "All."})  # the answer names its rungs, too
    ladder.wait("stream-state", "children", "All.")
    assert ladder.prop("data", "written") == {"operation": "SteerLadder", "params": {"p": 1}, "turn": 1}
    assert ladder.page.get_attribute("#ladder-texts", "data-writing") == ""  # until the stream ends
    ladder.page.click("[data-end-text]")
    path, body = ladder.page.evaluate("asked[asked.length - 1]")
    assert path == "/steering/stop" and body["part"] == "rung-1"
