"""The worker dies, a job is cancelled: the page says so, and the next question is answered."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import QUIET, Server, shot
from tests.browser.test_bad_input import open_form

pytestmark = pytest.mark.browser


def _replace(page: Page, examples: int, seed: int) -> None:
    """Put one induction feature in the place of the list."""
    open_form(page, "Induction")
    page.fill("#examples", str(examples))
    page.fill("#contrast-seed", str(seed))
    page.click("#add-feature")
    page.wait_for_function("() => document.querySelectorAll('.attune-chip').length === 2")
    page.locator("button[aria-label^='remove 1']").click()
    page.wait_for_function("() => document.querySelectorAll('.attune-chip').length === 1")


def _long_fit(page: Page, seed: int) -> None:
    """Replace the list by a fit that takes a while, and start it."""
    _replace(page, 1500, seed)
    page.click("#fit")
    page.wait_for_function("() => /\\d+ of 1,500 examples/.test(document.querySelector('#fit-text').innerText)")


def _tray(page: Page, *words: str) -> None:
    """Open the tray, and wait until it says so; it is asked for again and again."""
    if not page.locator(".offcanvas.show").count():
        page.click("#tray-open")
    page.wait_for_selector(".offcanvas.show .attune-job")
    for word in words:
        page.wait_for_function("w => document.querySelector('#tray').innerText.includes(w)", arg=word)


def test_a_fit_is_cancelled_from_its_button_and_from_the_tray(page: Page) -> None:
    _long_fit(page, 7001)
    page.click("#fit-cancel")
    page.wait_for_function("() => !document.querySelector('#fit').disabled")
    page.wait_for_function("() => document.querySelector('#tray-open').innerText === 'Jobs'")
    _tray(page, "cancelled")
    page.keyboard.press("Escape")
    page.wait_for_selector(".offcanvas.show", state="hidden")
    page.click("#fit")
    page.wait_for_function("() => /\\d+ of 1,500 examples/.test(document.querySelector('#fit-text').innerText)")
    _tray(page)
    page.locator(".attune-job:has(.attune-state-running) button").first.click()
    page.wait_for_function("() => document.querySelector('#fit-error').innerText.includes('Cancelled')")


def test_a_killed_worker_is_said_and_replaced(page: Page, server: Server) -> None:
    _long_fit(page, 7002)
    os.kill(json.loads((server.home / "worker.json").read_text())["pid"], signal.SIGKILL)
    page.wait_for_function("() => document.querySelector('#fit-error').innerText.includes('SIGKILL')")
    _tray(page, "failed", "SIGKILL")
    shot(page, "worker-killed-light")
    page.keyboard.press("Escape")
    page.wait_for_selector(".offcanvas.show", state="hidden")
    before = page.inner_text("#query-strip")
    page.fill("#prompt", "After the storm the ships came home. After the storm the ships")
    page.click("#read")
    page.wait_for_function("b => document.querySelector('#query-strip').innerText !== b", arg=before)
    page.wait_for_function("() => document.querySelector('#answer').innerText.includes('attention')")
    _replace(page, 16, 7003)
    page.click("#fit")
    page.wait_for_selector("#fit-error :text('Fitted')")


def test_validation_page_trains_the_toy_and_measures_the_invariants(open_page: Callable[..., Page]) -> None:
    page = open_page("/validation", theme="dark")
    page.wait_for_selector("#toy-train")
    page.evaluate(QUIET)
    page.click("#toy-train")
    page.wait_for_function("() => /step [\\d,]+: accuracy/.test(document.querySelector('#toy-text').innerText)")
    page.wait_for_function("() => document.querySelector('#toy-text').innerText.startsWith('trained in')")
    words = page.inner_text("#toy-checks")
    assert "not as expected" not in words and words.count("as expected") >= 8
    assert "come with Attune" in page.inner_text("#invariants")
    page.click("#measure")
    page.wait_for_function("() => !document.querySelector('#invariants').innerText.includes('come with Attune')")
    verdicts = page.inner_text("#invariants")
    assert "FAILS" not in verdicts and verdicts.count("holds") >= 9
    page.evaluate(QUIET)
    shot(page, "validation-dark")
    page.click("text=Model")
    page.wait_for_selector(".attune-works")
    shot(page, "model-dark")


@pytest.mark.parametrize("width", [1280, 1440])
def test_the_header_keeps_its_height_whatever_badge_and_tray_say(open_page: Callable[..., Page], width: int) -> None:
    page = open_page("/neurons", width=width, height=800)
    page.wait_for_selector("#nrn-histogram .main-svg")
    heights = set()
    # Through Dash, and measured before the next pulse writes what is true.
    write = """async ([badge, tray]) => {
        dash_clientside.set_props("model-badge", { children: badge });
        dash_clientside.set_props("tray-open", { children: tray });
        await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        const ends = [...document.querySelectorAll(".attune-right > *")].map((e) => e.getBoundingClientRect().right);
        return [document.getElementById("tray-open").innerText, document.querySelector(".attune-header").offsetHeight,
          Math.max(...ends), document.getElementById("model-badge").offsetWidth];
    }"""
    for badge, tray in [("m", "Jobs"), ("A-Model-Of-Some-Name · float32 · cuda:0 · was 4-bit", "Jobs: 12, starting")]:
        written, height, right, wide = page.evaluate(write, [badge, tray])
        assert written == tray
        heights.add(height)
        assert right <= width and wide >= 20
    assert len(heights) == 1 and heights.pop() < 60
