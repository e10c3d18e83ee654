"""frame/answers.js: an answer does not overwrite what a hand has changed since it was asked for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

pytestmark = pytest.mark.browser
Scripted = Callable[..., Page]

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
        ("document.querySelector('#prompt').focus();", {"chat", "why"}),  # the box holds half a word that is not sent
        ("document.querySelector('#other').focus();", {"prompt", "chat", "why"}),
    ],
)
def test_an_answer_does_not_overwrite_what_a_hand_has_changed(
    scripted: Scripted, meanwhile: str, taken: set[str]
) -> None:
    page = scripted("<input id='prompt' value='half a word'><input id='other'>")
    told = page.evaluate("() => {" + QUESTION + meanwhile + "attune.answered(q, a); return Object.keys(a); }")
    assert set(told) == taken


def test_what_another_answer_wrote_meanwhile_is_no_hand(scripted: Scripted) -> None:
    told = scripted().evaluate(
        "() => {" + QUESTION + "const other = { outputs: [{ id: 'prompt', property: 'value' }], inputs: [] };"
        "attune.asked(other); const b = { prompt: { value: 'first' } }; attune.answered(other, b);"
        "props.prompt.value = b.prompt.value; attune.answered(q, a); return Object.keys(a); }"
    )
    assert set(told) == {"prompt", "chat", "why"}


@pytest.mark.parametrize(
    ("theme", "answer", "again"),
    [
        ("light", "{ bars: { figure: { layout: { template: 'dark' } } } }", False),
        ("dark", "{ bars: { figure: { layout: { template: 'dark' } } } }", True),
        ("dark", "{ why: { children: 'w' } }", False),
    ],
)
def test_a_figure_that_comes_in_the_colours_of_the_theme_before_is_drawn_again(
    scripted: Scripted, theme: str, answer: str, again: bool
) -> None:
    page = scripted()
    shown = page.evaluate(
        "(theme) => { const q = { outputs: [{ id: 'bars', property: 'figure' }], inputs: [],"
        " state: [{ id: 'theme', property: 'data', value: theme }] }; dash_clientside.attune.asked(q);"
        f"props.templates = {{ data: {{ light: 'light', dark: 'dark' }} }}; const a = {answer};"
        " dash_clientside.attune.answered(q, a); return (a.bars || {}).figure; }",
        theme,
    )
    assert shown is None or shown["layout"]["template"] == ("light" if again else "dark"), (
        "at once, before the redrawing"
    )
    page.wait_for_timeout(200)
    assert page.evaluate("() => put") == ([["theme", {"data": "light"}]] if again else [])


@pytest.mark.parametrize(("now", "taken"), [("{ v: 1 }", True), ("{ v: 2 }", False)])
def test_a_card_that_has_got_other_settings_is_not_drawn_again_from_the_older_ones(
    scripted: Scripted, now: str, taken: bool
) -> None:
    drawn = scripted().evaluate(
        "() => { const id = { settings: 'bars' }, q = { outputs: { id: 'bars', property: 'figure@a1' }, inputs: [],"
        " state: [{ id, property: 'data', value: { v: 1 } }] }, a = { bars: { figure: {} } };"
        f"props[id] = {{ data: {now} }}; dash_clientside.attune.asked(q); dash_clientside.attune.answered(q, a);"
        " return 'bars' in a; }"
    )
    assert drawn is taken
