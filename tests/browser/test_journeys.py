"""Longer ways through the app: two features side by side, numbers out of bounds, links back, narrow windows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import FITS, QUIET, read, shot
from tests.browser.test_bad_input import open_form

pytestmark = pytest.mark.browser

TABS = {"Whole head": "matrix", "What if": "swap", "Evidence": "spectrum", "Map": "map"}
# Where each card stands on the page, and how tall it is.
CARDS = """() => [...document.querySelectorAll('.attune-card')].filter(c => c.offsetHeight).map(c => {
  const b = c.getBoundingClientRect(); return [c.getAttribute('aria-label'), b.top + scrollY]; })"""
# Whether the legend of a figure lies on its plot, in pixels (0: it does not).
COVERED = """n => { const g = document.querySelector('#' + n + ' .js-plotly-plot'), l = g.querySelector('.legend'),
  p = g.querySelector('.plot, .nsewdrag'); if (!l || !p) return 0;
  return Math.max(0, l.getBoundingClientRect().bottom - g.querySelector('.nsewdrag').getBoundingClientRect().top); }"""
WIDE = "() => document.documentElement.scrollWidth - window.innerWidth"
DARK = "n => document.querySelector('#' + n + ' .js-plotly-plot')?._fullLayout.font.color === '#e6edf3'"


def add(page: Page, kind: str, examples: int, seed: int = 0) -> None:
    """Add a feature through its form."""
    before = page.locator(".attune-chip").count()
    open_form(page, kind)
    page.fill("#examples", str(examples))
    page.fill("#contrast-seed", str(seed))
    page.click("#add-feature")
    page.wait_for_function("n => document.querySelectorAll('.attune-chip').length === n", arg=before + 1)


def refused(page: Page, where: str, says: str) -> None:
    """Wait for a sentence."""
    page.wait_for_function("([w, s]) => document.querySelector(w).innerText.includes(s)", arg=[where, says])


def _hold(held: list[Route], route: Route) -> None:
    held.append(route)


def test_nothing_jumps_when_the_reading_comes(open_page: Callable[..., Page]) -> None:
    for width in (1600, 1280):
        page = open_page(width=width)
        # Parts of Dash arrive after the page; on a slow line they must find their places kept.
        held: list[Route] = []
        hold = partial(_hold, held)
        page.route("**/async-*", hold)
        page.reload()
        page.wait_for_selector("#prompt")
        page.wait_for_timeout(500)
        before = dict(page.evaluate(CARDS))
        assert held
        for route in held:
            route.continue_()
        page.unroute("**/async-*", hold)
        page.wait_for_selector(".attune-answer p")
        page.wait_for_function("() => document.querySelectorAll('.attune-top button').length > 3")
        page.evaluate(QUIET)
        after = dict(page.evaluate(CARDS))
        assert len(before) >= 6 and before.keys() == after.keys()
        for name, top in before.items():
            assert abs(after[name] - top) <= 4, f"{name} moved by {after[name] - top:.0f} px at {width} px"


def test_two_features_share_the_logits_and_all_tabs_follow_the_theme(open_page: Callable[..., Page]) -> None:
    page = open_page(width=1280)
    page.wait_for_selector(".attune-answer p")
    add(page, "Induction", 24)
    page.locator("button[aria-label^='remove 1']").click()
    page.wait_for_function("() => document.querySelectorAll('.attune-chip').length === 1")
    add(page, "Previous token", 24)
    page.evaluate(
        """() => { window.said = []; new MutationObserver(() => window.said.push(
        document.querySelector('#fit-text').innerText)).observe(document.querySelector('#fit-text'),
        {childList: true, characterData: true, subtree: true}); }"""
    )
    page.click("#fit")
    refused(page, "#fit-error", "Fitted Induction, Previous token")
    progress = " ".join(page.evaluate("window.said"))
    assert "examples" in progress, "no progress was shown"
    page.wait_for_function("() => document.querySelector('#answer').innerText.includes('from Previous token')")
    page.wait_for_function("() => document.querySelector('#active').innerText.includes('Previous token')")
    first = page.inner_text("#answer")
    assert re.search(r"from Induction, .* from Previous token, and .* unexplained", first)
    assert "what overlaps goes to the first" in page.inner_text("#bars-caption")
    shot(page, "two-features-light")
    for tab in ("What if", "Evidence", "Map"):
        page.click(f".nav-tabs >> text={tab}")
        if tab == "Map":
            page.click("#held-out")
            refused(page, "#by-rank-caption", "held-out gap")
        page.wait_for_function(FITS, arg=TABS[tab])
        assert page.evaluate(WIDE) <= 0, f"{tab} is wider than the window"
        assert page.evaluate(COVERED, TABS[tab]) <= 1, f"the legend covers the figure on {tab}"
    page.click("#theme-toggle")
    page.click(".nav-tabs >> text=Alignment and overlap")
    page.wait_for_function("() => (document.querySelector('#overlap .js-plotly-plot')?.data || []).length === 3")
    page.wait_for_function(FITS, arg="overlap")
    matrix = page.evaluate(
        "() => { const z = document.querySelector('#overlap .js-plotly-plot')._fullData[0].z; "
        "return Array.from(z, r => Array.from(r)); }"
    )
    assert len(matrix) == 2 and matrix[0][0] == pytest.approx(1, abs=1e-5) and 0 < matrix[0][1] < 1
    for name in ("overlap", "grid"):
        page.wait_for_function(DARK, arg=name)
    shot(page, "two-features-dark")
    for tab, name in TABS.items():
        page.click(f".nav-tabs >> text={tab}")
        page.wait_for_function(DARK, arg=name)  # no figure keeps the colours of the light theme
    page.wait_for_function(DARK, arg="bars")
    page.locator("button[aria-label^='move 2']").click()
    page.wait_for_function(
        "() => { const t = document.querySelector('#answer').innerText; const i = t.indexOf('from Previous token'); "
        "return i > 0 && i < t.indexOf('from Induction'); }"
    )
    page.locator("button[aria-label^='remove 1']").click()
    page.wait_for_function("() => !document.querySelector('#answer').innerText.includes('Previous token')")


def test_a_query_and_a_key_become_a_fitted_feature_that_has_a_name(open_page: Callable[..., Page]) -> None:
    asked = {"text": "When Mary and John went to the store, John gave a drink to", "query": 13, "key": 8}
    page = open_page("/attention?" + urlencode(asked | {"head": json.dumps({"layer": 24, "head": 4})}), width=1280)
    page.wait_for_selector(".attune-answer p:text('gives “,”')")
    page.click("#make")
    refused(page, "#made-said", "“,” is no word of one token")
    page.click("#made-said button")
    page.wait_for_function("() => document.querySelector('#score').innerText.startsWith('looks')")
    page.click("#key-strip button:nth-child(2)")
    page.wait_for_function("() => document.querySelector('#answer').innerText.includes('gives “␣Mary”')")
    page.click("#make")
    refused(page, "#made-said", "the matching one wins in 100% (by chance 50%)")
    template = page.locator('[id=\'{"option":"template"}\']')
    expect(template).to_have_value(re.compile(r"When \[\{name\.1\|\+\}\] and \[\{name\.2\|-\}\] went"))
    page.fill("#contrast-name", "who receives")
    page.fill("#examples", "8")
    page.click("#made-fit")
    refused(page, "#made-outcome", "who receives, layer 24, head 4, is fitted on 8 examples.")
    page.wait_for_function("() => document.querySelector('#active').innerText.includes('who receives')")
    page.wait_for_function("() => document.querySelector('#answer').innerText.includes('from who receives')")
    assert page.evaluate(WIDE) <= 0


def test_numbers_out_of_bounds_are_refused_in_words_and_stay_where_they_were_typed(page: Page) -> None:
    for value in ("500", "-3", "1.5"):
        page.fill("#generate", value)
        page.click("#read")
        refused(page, "#prompt-error", f"from 0 to 200, not {value}")
        assert page.input_value("#generate") == value
    page.fill("#generate", "0")
    open_form(page, "Induction")
    for where, value, says in (
        ("#examples", "3", "from 8 to 20,000"),
        ("#examples", "", "from 8 to 20,000"),
        ("#contrast-seed", "-5", "The seed must be"),
        ("#contrast-seed", "0.5", "The seed must be"),
    ):
        usual = page.input_value(where)
        page.fill(where, value)
        page.click("#add-feature")
        refused(page, "#form-error", says)
        assert page.input_value(where) == value and page.locator(".attune-chip").count() == 1
        page.fill(where, usual)


def test_numbers_of_the_toy_are_refused_in_words(open_page: Callable[..., Page]) -> None:
    page = open_page("/validation")
    page.wait_for_selector("#toy-train")
    page.evaluate(QUIET)
    for value in ("99", "0", "2.5"):
        page.fill("#toy-n1", value)
        page.click("#toy-train")
        refused(page, "#toy-error", f"from 1 to 12, not {value}")
        assert page.input_value("#toy-n1") == value


def test_the_job_tray_leads_to_what_was_read_and_the_way_back_keeps_it(page: Page) -> None:
    text = "Green tea and black tea and green"
    read(page, text)
    page.wait_for_function("() => document.querySelector('#answer').innerText.includes('green')")
    said = page.inner_text("#answer")
    page.click("#nav-model")
    page.wait_for_selector("#source")
    assert "active" in (page.get_attribute("#nav-model", "class") or "")
    page.wait_for_function("() => !document.querySelector('#nav-attention').classList.contains('active')")
    page.click("#nav-attention")
    page.wait_for_function("t => (document.querySelector('#prompt') || {}).value === t", arg=text)
    page.wait_for_function("t => document.querySelector('#answer').innerText === t", arg=said)
    page.click("#tray-open")
    job = page.locator(".attune-job").filter(has_text="Green tea").first
    with page.expect_navigation():
        job.locator("a").click()
    page.wait_for_function("t => (document.querySelector('#prompt') || {}).value === t", arg=text)
    page.wait_for_function("() => document.querySelector('#answer').innerText.includes('green')")
    page.click(".attune-brand")
    page.wait_for_selector("h1:has-text('Ask a model how it works')")


def test_no_form_is_wider_than_a_small_window(open_page: Callable[..., Page]) -> None:
    page = open_page(width=1280)
    page.wait_for_selector(".attune-answer p")
    assert page.evaluate(WIDE) <= 0
    for kind in ("Template", "Your own examples"):
        open_form(page, kind)
        assert page.evaluate(WIDE) <= 0, f"the form {kind}"
