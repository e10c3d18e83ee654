"""Boards in the browser: written and ordered by keyboard, by two people at once, and computed again."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, TimeoutError

from analysis.findings.records import Pin
from analysis.findings.store import FindingStore
from components.kit.figure import figure
from tests.browser.conftest import Server, grave, shot

pytestmark = pytest.mark.browser
SAVED = "() => document.querySelector('.fnd-state').textContent === 'saved'"


def claims(page: Page) -> list[str]:
    """What stands on the board, in order: the first text of each item."""
    return page.evaluate(
        "[...document.querySelectorAll('.fnd-item')].map((e) => e.querySelector('.fnd-read').textContent.trim())"
    )


def wait_for_claims(page: Page, wanted: list[str]) -> None:
    try:
        page.wait_for_function(
            "(wanted) => JSON.stringify([...document.querySelectorAll('.fnd-item')]"
            ".map((e) => e.querySelector('.fnd-read').textContent.trim())) === wanted",
            arg=json.dumps(wanted, separators=(",", ":")),
            timeout=30_000,
        )
    except TimeoutError as error:
        shown = page.inner_text("#findings-host")[:400]
        raise AssertionError(f"{claims(page)} in place of {wanted} at {page.url}: {shown}") from error


def bars(store: FindingStore, title: str, height: float) -> Pin:
    """A pin of a small figure, with a control and a number."""
    drawn = figure([{"type": "bar", "x": ["a", "b"], "y": [1, height]}], "light", yaxis={"title": {"text": "KL"}})
    control = {"name": "random subspace", "text": "A random subspace of this rank gives 0.1.", "numbers": {"kl": 0.1}}
    return store.put_pin(
        Pin(uuid.uuid4().hex, title, {"view": "validation/spectra", "questions": [], "options": {}}, "/validation", "",
            "light", time.time(), (), store.put_json(drawn), 320, control=control, numbers={"kl": height})
    )  # fmt: skip


def test_a_board_is_made_ordered_and_written_without_a_mouse(open_page: Callable[..., Page], server: Server) -> None:
    page = open_page("/findings", width=1280, height=720)
    page.wait_for_selector(".fnd-side-head summary")
    page.focus(".fnd-side-head summary")
    for key in ("Enter", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    page.wait_for_selector(".fnd-title:focus")
    page.keyboard.type("By hand")
    page.focus("[data-add-item=section]")
    for kind, text in (("s", "One part"), ("f", "A claim of 12"), ("n", "Words")):
        page.keyboard.press(kind)
        page.wait_for_selector(".fnd-open textarea:focus")
        page.keyboard.type(text)
        page.keyboard.press("Control+Enter")
        page.wait_for_function(SAVED)
        page.wait_for_selector(".fnd-edit:focus")
    wait_for_claims(page, ["One part", "A claim of 12", "Words"])
    page.keyboard.press("Alt+ArrowUp")  # the note is the item in use
    wait_for_claims(page, ["One part", "Words", "A claim of 12"])
    page.focus(".fnd-finding .fnd-handle")
    page.keyboard.press("Home")
    wait_for_claims(page, ["A claim of 12", "One part", "Words"])
    assert "place 1 of 3" in page.inner_text("#fnd-live")
    page.keyboard.press("Control+z")  # at once: what was moved last is what is undone
    wait_for_claims(page, ["One part", "Words", "A claim of 12"])
    page.keyboard.press("Control+Shift+z")
    wait_for_claims(page, ["A claim of 12", "One part", "Words"])
    assert page.locator(".fnd-finding .fnd-numeral").inner_text() == "12"

    # Hostile texts: they stand there as text, and what is too long is refused where it was typed.
    hostile = '<img src=x onerror="hit=1"> [a](javascript:hit=1) <script>hit=1</script> \u202etxt.exe'
    note = page.locator(".fnd-finding .fnd-write-note")
    note.fill(hostile)
    note.blur()
    page.wait_for_function(SAVED)
    assert "<script>hit=1</script> ⟨U+202E⟩txt.exe" in page.inner_text(".fnd-finding .fnd-read-note")
    assert page.locator(".fnd-read a, .fnd-read img, .fnd-read script").count() == 0
    assert page.evaluate("window.hit") is None
    typed = "box.value = 'x'.repeat(10e6); box.dispatchEvent(new Event('input', { bubbles: true }))"
    note.evaluate(f"(box) => {{ {typed}; }}")
    refusal = page.locator(".fnd-finding .fnd-text-note .fnd-refusal").text_content()
    assert refusal is not None and "10.0 million characters" in refusal
    written = page.inner_text(".fnd-finding .fnd-read-note")
    page.locator(".fnd-title").fill("By hand <b>alone</b>")
    page.reload()  # at once: what was typed last is sent while the page is left
    wait_for_claims(page, ["A claim of 12", "One part", "Words"])
    assert page.input_value(".fnd-title") == "By hand <b>alone</b>"
    assert page.inner_text(".fnd-finding .fnd-read-note") == written
    page.locator(".fnd-note .fnd-handle").drag_to(page.locator(".fnd-finding"), target_position={"x": 300, "y": 8})
    wait_for_claims(page, ["Words", "A claim of 12", "One part"])
    shot(page, "findings-keyboard")


def test_two_people_on_one_board_lose_nothing(open_page: Callable[..., Page], server: Server) -> None:
    store = FindingStore(server.home / "findings")
    board = store.new_board("Together").id
    pins = [bars(store, "Rank 2", 2.0), bars(store, "Rank 8", 8.0)]
    store.add(board, "finding", {"claim": "First", "note": "Ours", "pins": [pin.id for pin in pins]})
    item = store.add(board, "finding", {"claim": "Second", "note": "Ours"}).id
    one, two = (open_page(f"/findings?board={board}", width=1280, height=720) for _ in range(2))
    for page in (one, two):
        wait_for_claims(page, ["First", "Second"])
    # Two settings of one view stand in shared axes beside their control, and their difference is a press away.
    one.wait_for_function("() => document.querySelectorAll('.js-plotly-plot .main-svg').length >= 6")
    ranges = one.evaluate("[...document.querySelectorAll('.js-plotly-plot')].map((p) => p.layout.yaxis.range)")
    assert ranges[0] == ranges[1] == [0, 8.4]
    assert one.locator(".attune-exhibit-control h4").all_inner_texts() == ["Control: random subspace"] * 2
    one.click("text=Show the difference")
    one.wait_for_function("() => document.querySelectorAll('.js-plotly-plot').length === 3")
    assert one.evaluate("[...document.querySelectorAll('.js-plotly-plot')].pop().data[0].y") == [0, 6]
    shot(one, "findings-board")
    assert grave(two, ".fnd") == []

    # Fields of one finding are merged while both are writing.
    here = f"[data-item='{item}']"
    one.click(f"{here} .fnd-text-claim .fnd-edit")
    one.keyboard.type(" thoughts")
    two.click(f"{here} .fnd-text-note .fnd-edit")
    two.keyboard.type(" and theirs")
    one.wait_for_function(f"() => document.querySelector(\"{here} .fnd-write-note\").value === 'Ours and theirs'")
    assert one.evaluate("document.activeElement.value") == "Second thoughts"
    two.keyboard.press("Control+Enter")
    wait_for_claims(two, ["First", "Second thoughts"])

    # One field is not: both versions are shown, and kept.
    held: list[Route] = []
    one.route("**/items/*/change", lambda route: held.append(route))
    one.keyboard.type(" of mine!")
    one.wait_for_function("() => document.querySelector('.fnd-state').textContent === 'saving'")
    there = store.item(item)
    store.change(item, {**there.body, "claim": "Second to none"}, there.version, "other")
    while not held:
        one.wait_for_timeout(50)
    held[0].continue_()
    one.wait_for_selector(f"{here} .fnd-conflict")
    one.unroute("**/items/*/change")
    assert one.inner_text(".fnd-state") == "not saved: there are two versions"
    shot(one, "findings-conflict")
    one.click("text=Keep both")
    one.wait_for_function(SAVED)
    wait_for_claims(two, ["First", "Second to none / Second thoughts of mine!"])
    assert store.item(item).body["note"] == "Ours and theirs"
    store.close()


def test_a_view_is_pinned_quoted_and_still_true(page: Page, server: Server) -> None:
    page.click("[data-pin]:visible >> nth=0")
    page.wait_for_selector(".attune-pin-place a")
    page.goto(page.url.partition("/attention")[0] + page.get_attribute(".attune-pin-place a", "href"))  # type: ignore[operator]
    page.wait_for_selector(".fnd-view .attune-exhibit-control")
    page.click(".fnd-write-claim >> nth=-1")
    page.keyboard.type("It is ")
    page.click(".fnd-open >> text=Number")
    page.wait_for_selector(".fnd-choice")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector(".fnd-write-claim:focus")
    page.keyboard.press("Enter")
    page.wait_for_function(SAVED)
    quoted = page.locator(".fnd-read-claim .fnd-number")
    assert quoted.inner_text() and page.locator(".fnd-read-claim .fnd-unbound").count() == 0
    page.click(".fnd-bar >> text=Still true?")
    page.wait_for_selector(".fnd-verdict[data-verdict=equal]")
    page.wait_for_selector("text=/Computed again: 1 equal/")
    assert page.locator(".fnd-verdict[data-verdict=stale]").count() == 0
    shot(page, "findings-equal")
    page.click(".fnd-view >> text=Open")
    page.wait_for_selector(".attune-answer p")
    assert "/attention?" in page.url
