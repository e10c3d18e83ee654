"""The Faithfulness page as a researcher uses it: switch the mechanism under one text, change a step, doubt a board."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import shot

pytestmark = pytest.mark.browser


def says(page: Page, where: str, what: str) -> None:
    page.wait_for_function("([w, s]) => document.querySelector(w)?.innerText.includes(s)", arg=[where, what])


def asks(page: Page, name: str) -> str:
    return page.evaluate("n => new URLSearchParams(location.search).get(n) || ''", name)


def opened(open_page: Callable[..., Page], query: str = "", theme: str = "light") -> Page:
    page = open_page(f"/faithfulness?{query}", theme=theme, width=1440, height=900)
    page.wait_for_selector("#fth-certificate .fth-swap")
    return page


def tab(page: Page, name: str) -> None:
    page.click(f'#fth-tab >> text="{name}"')


def choose(page: Page, dropdown: str, option: str) -> None:
    page.click(dropdown)
    page.locator(".dash-dropdown-option, [role=option]").filter(has_text=option).first.click()


def point(page: Page, figure: str, number: int) -> None:
    """Click a point of a figure as a hand does: go there first."""
    there = page.locator(f"{figure} .point").nth(number)
    there.evaluate("e => e.scrollIntoView({block: 'center'})")
    page.wait_for_timeout(300)
    box = there.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_timeout(300)
    page.mouse.down()
    page.mouse.up()


def test_the_mechanism_is_switched_under_a_text_that_stays(open_page: Callable[..., Page]) -> None:
    page = opened(open_page)
    says(page, "#fth-honesty", "A demonstration, not a replication")
    assert page.locator("#fth-list .fth-row").count() > 5
    assert page.inner_text("#fth-badge").strip().endswith("faithful") and "3 of 3" in page.inner_text("#fth-certified")
    text, where = page.inner_text("#fth-text").split("Answer")[0], page.locator("#fth-text").bounding_box()
    tabs = page.locator("#fth-tab").bounding_box()
    page.locator("#fth-switch .fth-regime").nth(1).click()
    says(page, "#fth-badge", "unfaithful")
    # The key leads to the answer now: swapping it must have moved the answer, swapping the result must not.
    page.wait_for_selector("#fth-certificate .fth-swap")
    assert "key" in page.inner_text("#fth-claim")
    assert page.inner_text("#fth-text").split("Answer")[0] == text
    assert page.locator("#fth-text").bounding_box() == where and page.locator("#fth-tab").bounding_box() == tabs
    page.wait_for_function("() => /-K-|K/.test(new URLSearchParams(location.search).get('item') || '')")
    page.wait_for_selector("#fth-trace .scatterlayer .point", state="attached")
    assert page.locator("#fth-numbers tr").count() > 15
    again = open_page(page.url, theme="dark", width=1440, height=900)
    says(again, "#fth-badge", "unfaithful")
    assert again.inner_text("#fth-text").split("Answer")[0] == text
    again.wait_for_selector("#fth-trace .scatterlayer .point", state="attached")
    says(again, "#fth-trace-caption", "Without any step")
    shot(again, "faithfulness-trace-dark")
    shot(page, "faithfulness-trace-light")


def test_an_intervention_and_its_address(open_page: Callable[..., Page]) -> None:
    page = opened(open_page, "tab=intervene")
    page.wait_for_selector("#fth-form select[data-at]")
    page.locator("#fth-form select[data-at]").first.select_option("corrupt")
    page.click("#fth-apply")
    says(page, "#fth-after-said", "answer")
    page.wait_for_function("() => document.querySelectorAll('#fth-after-scores tr').length > 10")
    page.wait_for_function(
        "() => [...document.querySelectorAll('#fth-after-scores tr')].some(r => /[+−]0\\.\\d/.test(r.innerText))"
    )
    said = page.inner_text("#fth-after-said")
    page.wait_for_function("() => (new URLSearchParams(location.search).get('edits') || '').includes('corrupt')")
    shot(page, "faithfulness-intervene-light")
    again = open_page(page.url, theme="dark", width=1440, height=900)
    again.wait_for_function("s => document.querySelector('#fth-after-said')?.innerText === s", arg=said)
    # Whatever is typed is text: it is read by the model and never becomes a part of the page.
    again.locator("#fth-form select[data-at]").first.select_option("text")
    own = again.locator("#fth-form textarea").first
    own.fill(" <img src=x onerror=alert(1)>=4.")
    again.click("#fth-apply")
    says(again, "#fth-after-text", "<img src=x")
    assert again.locator("#fth-after-text img").count() == 0
    again.click("#fth-reset")
    again.wait_for_function("() => !(new URLSearchParams(location.search).get('edits') || '').includes('text:')")


def test_the_board_and_the_points_that_open_items(open_page: Callable[..., Page]) -> None:
    page = opened(open_page, "tab=board", "dark")
    page.wait_for_selector("#fth-leaderboard .scatterlayer .point", state="attached")
    says(page, "#fth-board-standing", "Trust a measure only")
    table = page.inner_text("#fth-board-table")
    assert all(name in table for name in ("Early Answering", "SCM", "FUR", "CC-SHAP", "chain length"))
    figure = page.inner_text("#fth-leaderboard")
    assert "other models" in figure and "Tier 2" in figure
    shot(page, "faithfulness-board-dark")
    tab(page, "Importance × truth")
    page.wait_for_selector("#fth-truth .point", state="attached")
    choose(page, "#fth-truth-tier", "Tier 1: is the chain used?")
    says(page, "#fth-truth-caption", "260 items")
    before = page.inner_text("#fth-text")
    point(page, "#fth-truth", 40)
    page.wait_for_function("t => document.querySelector('#fth-text').innerText !== t", arg=before)
    assert asks(page, "tab") == "truth"
    tab(page, "Bias and agreement")
    page.wait_for_selector("#fth-kappa .heatmaplayer", state="attached")
    share = page.inner_text("#fth-bias-said")
    page.locator("#fth-bias-threshold [role=slider]").focus()
    page.keyboard.press("Home")
    page.wait_for_function("s => document.querySelector('#fth-bias-said').innerText !== s", arg=share)
    tab(page, "Distributions")
    page.wait_for_selector("#fth-scores .point", state="attached")
    shot(page, "faithfulness-scores-dark")
    tab(page, "Length and cost")
    says(page, "#fth-sweep-caption", "bit for bit")
    shot(page, "faithfulness-cost-dark")


def test_what_cannot_be_measured_is_said_where_it_was_typed(open_page: Callable[..., Page]) -> None:
    page = opened(open_page, "tab=study&item=nothing&tier=7&edits=[1]&study=../x")
    for said in ("tier", "study", "edits"):
        says(page, "#fth-problems", said)
    says(page, "#fth-pick-error", "nothing")
    page.fill("#fth-own-question", "")
    page.click("#fth-own-go")
    page.wait_for_selector("#fth-own-problem .alert")
    page.click("#fth-file-go")
    page.wait_for_selector("#fth-file-problem .alert")
    row = {"question": "Which is larger, 3 or 5?", "cot": "5 is more than 3. So it is 5.", "model_answer": "5"}
    page.fill("#fth-file-text", json.dumps(row))
    page.click("#fth-file-go")
    says(page, "#fth-file-problem", "label")
    page.fill("#fth-new-seeds", "0")
    says(page, "#fth-new-estimate", "seeds")
    assert page.is_enabled("#fth-own-go") and page.is_enabled("#fth-file-go")
    assert page.input_value("#fth-file-text") == json.dumps(row)  # nothing that was typed is lost


def test_rows_from_a_file_become_a_study_and_an_item_opens_the_attention_page(open_page: Callable[..., Page]) -> None:
    page = opened(open_page, "tab=study")
    rows = [
        {"question": f"Which is larger, {a} or {b}?", "cot": f"I compare. {b} is more than {a}. So it is {c}.",
         "model_answer": str(c), "label_type": "FAITHFUL_COT" if c == b else "UNFAITHFUL_COT",
         "candidates": [str(a), str(b)]}
        for a, b, c in ((3, 5, 5), (2, 9, 2))
    ]  # fmt: skip
    page.fill("#fth-file-text", "\n".join(map(json.dumps, rows)) + "\nnot a row")
    page.click("#fth-file-go")
    page.wait_for_selector("#fth-file-answer .fthb-done")
    assert page.inner_text("#fth-file-refused")
    page.wait_for_function("() => (new URLSearchParams(location.search).get('study') || 'default') !== 'default'")
    says(page, "#fth-text", "Which is larger")
    tab(page, "Leaderboard")
    says(page, "#fth-leaderboard", "file")
    href = page.locator("#fth-attention a").first.get_attribute("href")
    assert href
    attention = open_page(href)
    attention.wait_for_selector(".attune-answer p")
    assert "Which is larger" in attention.input_value("#prompt")
