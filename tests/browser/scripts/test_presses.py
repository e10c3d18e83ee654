"""frame/presses.js: nothing that was pressed is lost, whichever answer comes and when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

pytestmark = pytest.mark.browser
Scripted = Callable[..., Page]

# A server that adds numbers to a list, in the order in which they are pressed.
SERVER = r"""
const attune = dash_clientside.attune, sent = [], set = dash_clientside.set_props;
dash_clientside.set_props = (id, more) => {
  set(id, more);
  if (id.endsWith("-presses")) sent.push(JSON.parse(JSON.stringify(more.data)));
};
props.sum = { data: [0] };
const add = (n) => attune.press("sum", { kind: "add", add: n });
const answer = (asked) => attune.settle("sum", { to: asked.list[asked.list.length - 1].n, from: asked.state,
  state: [...asked.state, ...asked.list.map((p) => p.add)] });
"""


def run(page: Page, script: str) -> Any:
    """What the script gives as ``told``, run where the stand-in server stands."""
    return page.evaluate("() => {" + SERVER + script + " return told; }")


@pytest.mark.parametrize(
    ("order", "why"),
    [
        ("answer(sent[3])", "only the newest answer is taken, as Dash does with quick presses"),
        ("answer(sent[3]); answer(sent[0]); answer(sent[1])", "older answers come after it"),
        (
            "answer(sent[0]); while (attune.pressed('sum').length) answer(sent[sent.length - 1])",
            "older ones come first",
        ),
        (
            "answer(sent[1]); answer(sent[3]); answer(sent[sent.length - 1])",
            "one about a state that is past is not taken",
        ),
    ],
)
def test_each_press_counts_once_and_in_its_order(scripted: Scripted, order: str, why: str) -> None:
    told = run(scripted(), f"[1, 2, 3, 4].forEach(add); {order}; const told = props.sum.data;")
    assert told == [0, 1, 2, 3, 4], why


def test_a_state_that_something_else_has_written_is_asked_about_again(scripted: Scripted) -> None:
    script = (
        "add(1); props.sum.data = [9]; answer(sent[0]); const before = [...props.sum.data];"
        "answer(sent[1]); const told = [before, props.sum.data, attune.pressed('sum').length];"
    )
    assert run(scripted(), script) == [[9], [9, 1], 0]


def test_a_press_that_leads_back_to_the_state_takes_a_slider_back(scripted: Scripted) -> None:
    """A hand has moved what is drawn of the state, not the state; the server began with what the hand had made."""
    script = (
        "const saved = [], put = dash_clientside.set_props;"
        "dash_clientside.set_props = (id, more) => { if (id === 'sum') saved.push(more.data); put(id, more); };"
        "const back = (start) => { add(1); attune.settle('sum', { to: sent[sent.length - 1].list[0].n, from: [0],"
        " state: [0], start }); return saved.length; };"
        "const told = [back([0]), back([5])];"
    )
    assert run(scripted(), script) == [0, 1]


def test_of_a_slider_only_the_last_place_counts_and_a_page_opened_anew_has_no_presses(scripted: Scripted) -> None:
    script = (
        "add(1); [2, 3].forEach((n) => attune.press('sum', { kind: 'slide', add: n }, true));"
        "const told = [sent[sent.length - 1].list.map((p) => p.add)];"
        "attune.fresh('sum'); answer(sent[sent.length - 1]); told.push(props.sum.data);"
    )
    assert run(scripted(), script) == [[1, 3], [0]]


# The renderer's two calls around a question: before it is sent, and once something has come back for it.
SENT = (
    "const one = { inputs: [{ id: 'sum-presses', property: 'data' }] };"
    "const go = (data) => attune.pressesAsked({ inputs: [{ id: 'sum-presses', property: 'data', value: data }] });"
    "const back = (data, error) => attune.pressesResolved(one, { data, error, payload: null });"
    "const waiting = () => attune.pressed('sum').map((p) => p.add);"
)


@pytest.mark.parametrize(
    ("failed", "said"),
    [("back({})", False), ("back(undefined, 'no answer')", True)],
    ids=["the server failed, or said nothing", "no server"],
)
def test_a_press_that_was_not_answered_does_not_act_with_a_later_one(
    scripted: Scripted, failed: str, said: bool
) -> None:
    script = SENT + (
        f"add(7); go(sent[0]); {failed}; const told = [waiting()]; add(1); go(sent[1]); answer(sent[1]);"
        "back({ 'sum-done': {} }); told.push(props.sum.data, waiting(), !!props.message);"
    )
    assert run(scripted(), script) == [[], [0, 1], [], said]


def test_a_failed_question_takes_no_press_that_a_newer_one_carries(scripted: Scripted) -> None:
    script = SENT + (
        "add(1); go(sent[0]); add(2); go(sent[1]); back({}); const told = [waiting()]; answer(sent[1]);"
        "back({ 'sum-done': {} }); told.push(props.sum.data);"
        "add(3); go(sent[2]); add(4); back(undefined, 'no answer'); told.push(waiting());"  # 4 is not yet sent
    )
    assert run(scripted(), script) == [[1, 2], [0, 1, 2], [4]]


def test_presses_about_one_thing_do_not_act_on_another(scripted: Scripted) -> None:
    script = SENT + (
        "attune.about('sum', undefined); attune.about('sum', 'fit a'); add(1); attune.about('sum', 'fit a');"
        "const told = [waiting()]; attune.about('sum', 'fit b'); told.push(waiting()); answer(sent[0]);"
        "told.push(props.sum.data);"
    )
    assert run(scripted(), script) == [[1], [], [0]]


def test_two_presses_that_come_as_one_leave_what_opens_and_closes_as_it_was(scripted: Scripted) -> None:
    script = (
        "const t = (n, open) => dash_clientside.attune.toggle('tray', n, open);"
        "const told = [t(1, false), t(3, true), t(4, true), t(1, false)];"  # the last: the page was opened anew
    )
    assert run(scripted(), script) == [True, "unchanged", False, True]
