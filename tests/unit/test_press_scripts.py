"""The browser's halves of presses and answers, run by Node without a page: nothing pressed or typed is lost, whichever
answer comes and when."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ASSETS = Path(__file__).resolve().parents[2] / "assets"
pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="Node runs the browser's half without a browser.")

PAGE = r"""
const props = {}, sent = [];
globalThis.window = globalThis;
globalThis.document = { addEventListener() {}, activeElement: null, getElementById: () => null };
globalThis.dash_component_api = { getLayout: (id) => props[id] && { props: props[id] } };
globalThis.dash_clientside = { no_update: null, attune: {}, set_props: (id, p) => {
  props[id] = Object.assign(props[id] || {}, p);
  if (id.endsWith("-presses")) sent.push(JSON.parse(JSON.stringify(p.data)));
} };
"""
# A server that adds numbers to a list, in the order in which they are pressed.
SERVER = r"""
const attune = dash_clientside.attune;
props.sum = { data: [0] };
const add = (n) => attune.press("sum", { kind: "add", add: n });
const answer = (asked) => attune.settle("sum", { to: asked.list[asked.list.length - 1].n, from: asked.state,
  state: [...asked.state, ...asked.list.map((p) => p.add)] });
"""


def run(script: str, *sources: str) -> Any:
    """The JSON that the script gives as ``told``."""
    parts = [
        PAGE,
        *((ASSETS / name).read_text("utf-8") for name in sources),
        script,
        "console.log(JSON.stringify(told))",
    ]
    done = subprocess.run(["node", "-e", "\n".join(parts)], capture_output=True, text=True, check=True, timeout=20)
    return json.loads(done.stdout)


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
def test_each_press_counts_once_and_in_its_order(order: str, why: str) -> None:
    told = run(SERVER + f"[1, 2, 3, 4].forEach(add); {order}; const told = props.sum.data;", "attune_presses.js")
    assert told == [0, 1, 2, 3, 4], why


def test_a_state_that_something_else_has_written_is_asked_about_again() -> None:
    script = SERVER + (
        "add(1); props.sum.data = [9]; answer(sent[0]); const before = [...props.sum.data];"
        "answer(sent[1]); const told = [before, props.sum.data, attune.pressed('sum').length];"
    )
    assert run(script, "attune_presses.js") == [[9], [9, 1], 0]


def test_of_a_slider_only_the_last_place_counts_and_a_page_opened_anew_has_no_presses() -> None:
    script = SERVER + (
        "add(1); [2, 3].forEach((n) => attune.press('sum', { kind: 'slide', add: n }, true));"
        "const told = [sent[sent.length - 1].list.map((p) => p.add)];"
        "attune.fresh('sum'); answer(sent[sent.length - 1]); told.push(props.sum.data);"
    )
    assert run(script, "attune_presses.js") == [[1, 3], [0]]


# The renderer's two calls around a question: before it is sent, and once something has come back for it.
SENT = SERVER + (
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
def test_a_press_that_was_not_answered_does_not_act_with_a_later_one(failed: str, said: bool) -> None:
    script = SENT + (
        f"add(7); go(sent[0]); {failed}; const told = [waiting()]; add(1); go(sent[1]); answer(sent[1]);"
        "back({ 'sum-done': {} }); told.push(props.sum.data, waiting(), !!props.message);"
    )
    assert run(script, "attune_presses.js") == [[], [0, 1], [], said]


def test_a_failed_question_takes_no_press_that_a_newer_one_carries() -> None:
    script = SENT + (
        "add(1); go(sent[0]); add(2); go(sent[1]); back({}); const told = [waiting()]; answer(sent[1]);"
        "back({ 'sum-done': {} }); told.push(props.sum.data);"
        "add(3); go(sent[2]); add(4); back(undefined, 'no answer'); told.push(waiting());"  # 4 is not yet sent
    )
    assert run(script, "attune_presses.js") == [[1, 2], [0, 1, 2], [4]]


def test_presses_about_one_thing_do_not_act_on_another() -> None:
    script = SENT + (
        "attune.about('sum', undefined); attune.about('sum', 'fit a'); add(1); attune.about('sum', 'fit a');"
        "const told = [waiting()]; attune.about('sum', 'fit b'); told.push(waiting()); answer(sent[0]);"
        "told.push(props.sum.data);"
    )
    assert run(script, "attune_presses.js") == [[1], [], [0]]


def test_two_presses_that_come_as_one_leave_what_opens_and_closes_as_it_was() -> None:
    script = (
        "const t = (n, open) => dash_clientside.attune.toggle('tray', n, open);"
        "const told = [t(1, false), t(3, true), t(4, true), t(1, false)];"  # the last: the page was opened anew
    )
    assert run(script, "attune_presses.js") == [True, None, False, True]


QUESTION = (
    "const attune = dash_clientside.attune; props.prompt = { value: 'old' }; props.chat = { value: false };"
    "const q = { outputs: [{ id: 'prompt', property: 'value' }, { id: 'chat', property: 'value' },"
    " { id: 'why', property: 'children' }], inputs: [], state: [{ id: 'prompt', property: 'value', value: 'old' }] };"
    "const a = { prompt: { value: 'preset' }, chat: { value: true }, why: { children: 'w' } };"
    "attune.asked(q);"
)


@pytest.mark.parametrize(
    ("meanwhile", "taken"),
    [
        ("", {"prompt", "chat", "why"}),
        ("props.prompt.value = 'typed';", {"chat", "why"}),
        ("attune.asked(q); props.prompt.value = 'typed'; attune.asked(q);", {"chat", "why"}),  # a job asks many times
        (
            "document.activeElement = { value: 'half a word' }; document.getElementById = (id) => id === 'prompt' "
            "? document.activeElement : null;",
            {"chat", "why"},
        ),
    ],
)
def test_an_answer_does_not_overwrite_what_a_hand_has_changed(meanwhile: str, taken: set[str]) -> None:
    script = QUESTION + meanwhile + "attune.answered(q, a); const told = Object.keys(a);"
    assert set(run(script, "attune_presses.js", "attune_answers.js")) == taken


def test_what_another_answer_wrote_meanwhile_is_no_hand() -> None:
    script = QUESTION + (
        "const other = { outputs: [{ id: 'prompt', property: 'value' }], inputs: [] };"
        "attune.asked(other); const b = { prompt: { value: 'first' } }; attune.answered(other, b);"
        "props.prompt.value = b.prompt.value; attune.answered(q, a); const told = Object.keys(a);"
    )
    assert set(run(script, "attune_presses.js", "attune_answers.js")) == {"prompt", "chat", "why"}
