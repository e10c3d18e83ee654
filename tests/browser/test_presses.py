"""No press is lost, and none is overtaken by an older answer: answers are held back on purpose, and let go late or in
the wrong order, as they come on a busy machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, Route

from tests.browser.conftest import QUIET
from tests.browser.test_othello import CELL, opened, says

pytestmark = pytest.mark.browser


class Held:
    """Answers of the callbacks whose output names a word, kept back until they are let go."""

    def __init__(self, page: Page, word: str) -> None:
        self.page, self.word, self.on = page, word, True
        self.waiting: list[Route] = []
        page.route("**/_dash-update-component*", self._take)

    def _take(self, route: Route) -> None:
        asked = route.request.post_data_json or {}
        if self.on and self.word in asked.get("output", ""):
            self.waiting.append(route)
        else:
            route.continue_()

    def count(self, least: int) -> None:
        """Wait until so many questions are held."""
        for _ in range(600):
            if len(self.waiting) >= least:
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"{len(self.waiting)} of {least} questions came")

    def go(self, backwards: bool = False) -> None:
        """Answer all that was held, and hold no more; ``backwards``: the newest first."""
        self.on = False
        for route in self.waiting[::-1] if backwards else self.waiting:
            route.continue_()
            self.page.wait_for_timeout(150)
        self.waiting.clear()


@pytest.mark.parametrize("backwards", [False, True], ids=["in order", "newest first"])
def test_quick_presses_on_the_board_all_count(open_page: Callable[..., Page], backwards: bool) -> None:
    page = opened(open_page)
    says(page, "#oth-status", "Ply 17 of 17")
    held = Held(page, "oth-game-done")
    for name in ["#oth-undo"] * 4 + ["#oth-redo"] * 3:
        page.click(name)
    held.count(1)
    page.locator("#oth-undo").press("Enter")  # the keyboard is a press like any other
    held.count(2)
    held.go(backwards)
    says(page, "#oth-status", "Ply 15 of 17")
    page.wait_for_function("() => location.search.includes('ply=15')")
    held = Held(page, "oth-game-done")
    page.click("#oth-redo")
    page.click("#oth-random-end")
    page.click("#oth-undo")
    held.count(1)
    held.go(backwards)
    says(page, "#oth-status", "Ply 59 of 60")
    before = page.input_value("#oth-text")
    page.wait_for_timeout(500)
    assert page.input_value("#oth-text") == before, "a random game is drawn once"


def test_a_press_on_which_the_server_failed_does_not_act_later(open_page: Callable[..., Page]) -> None:
    page = opened(open_page)
    says(page, "#oth-status", "Ply 17 of 17")
    held = Held(page, "oth-game-done")
    page.click("#oth-undo")
    held.count(1)
    held.on = False
    with page.expect_response("**/_dash-update-component*"):
        held.waiting.pop().fulfill(json={"multi": True, "response": {}})  # as after a failure that was logged
    page.click("#oth-undo")
    says(page, "#oth-status", "Ply 16 of 17")


def test_an_older_game_does_not_come_back(open_page: Callable[..., Page]) -> None:
    """What shows the game is held back too: slider, list and address follow the newest press."""
    page = opened(open_page)
    says(page, "#oth-status", "Ply 17 of 17")
    held = Held(page, "oth-board-play")
    page.click("#oth-undo")
    held.count(1)
    page.fill("#oth-text", "f5d6c3")  # typed while the list of the older game is under way
    page.click("#oth-undo")
    page.focus("#oth-text")
    held.count(2)
    held.go()
    says(page, "#oth-status", "Ply 15 of 17")
    assert page.input_value("#oth-text") == "f5d6c3"
    page.press("#oth-text", "Enter")
    says(page, "#oth-status", "Ply 3 of 3")


def test_squares_edited_quickly_are_all_edited(open_page: Callable[..., Page]) -> None:
    page = opened(open_page, "&tab=edit")
    says(page, "#oth-edit-said", "Press one to four squares")
    held = Held(page, "oth-edits-done")
    for square in (12, 11, 13):
        page.click(f'#oth-edit-board [data-square="{square}"]')
    held.count(1)
    held.go()
    page.wait_for_function("() => document.querySelectorAll('#oth-edit-board .attune-selected').length === 3")
    assert page.locator(CELL.format(12)).count() == 1


def test_features_pressed_quickly_are_the_ones_that_were_pressed(open_page: Callable[..., Page]) -> None:
    features = [{"kind": "induction", "seed": seed} for seed in range(2)] + [{"kind": "order"}]
    page = open_page("/attention?" + urlencode({"features": json.dumps(features)}))
    page.wait_for_function("() => document.querySelectorAll('#feature-list .attune-chip').length === 3")
    held = Held(page, "features-done")
    page.locator("button[aria-label^='remove 1']").click()
    page.locator("button[aria-label^='remove 2']").click()  # of the list that is still on screen
    page.click("#define")
    page.click("#define")
    held.count(1)
    held.go()
    page.wait_for_function("() => document.querySelectorAll('#feature-list .attune-chip').length === 1")
    assert "box" in page.inner_text("#feature-list")
    page.wait_for_timeout(500)
    assert not page.locator("#add-feature").is_visible(), "opened and closed again"


def test_regions_pressed_quickly_and_a_slider_moved_meanwhile(open_page: Callable[..., Page]) -> None:
    page = open_page("/steering?count=1")  # short texts: the sliders are what this is about
    page.wait_for_selector("#sliders .attune-steer")
    slider = "#sliders .attune-strength input"
    page.wait_for_function("() => document.querySelectorAll('.attune-region-list [data-add]').length > 3")
    held = Held(page, "on-sliders-done")
    for k in range(3):
        page.locator(".attune-region-list [data-add]").nth(k).click()
    held.count(1)
    page.locator(slider).first.fill("0.31")
    page.locator(slider).first.press("Enter")
    page.wait_for_function("() => location.search.includes('0.31')")
    held.go()
    page.wait_for_function("() => document.querySelectorAll('#sliders .attune-steer').length >= 3")
    page.evaluate(QUIET)
    assert page.input_value(slider) == "0.31", "the hand was not overtaken by an older answer"
    count = page.locator("#sliders .attune-steer").count()
    held = Held(page, "sliders-drawn")  # the drawing is held back: the slider is moved below it
    page.locator("button[aria-label^='remove region']").nth(count - 1).click()
    held.count(1)
    page.locator(slider).first.fill("0.47")
    page.locator(slider).first.press("Enter")
    page.wait_for_function("() => location.search.includes('0.47')")
    held.go()
    page.wait_for_function("n => document.querySelectorAll('#sliders .attune-steer').length === n", arg=count - 1)
    page.evaluate(QUIET)
    assert page.input_value(slider) == "0.47" and "0.47" in page.url


def test_what_is_typed_is_not_overwritten_by_an_older_answer(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.wait_for_selector(".attune-answer p")
    held = Held(page, "prompt.value")
    page.click("#preset")
    page.locator("[role=option], .dash-dropdown-option").nth(1).click()
    held.count(1)
    page.fill("#prompt", "typed meanwhile")
    held.go()
    page.wait_for_function("() => document.querySelector('#preset-why').innerText.length > 5")  # the answer has come
    assert page.input_value("#prompt") == "typed meanwhile"
    page.click("#preset")
    page.locator("[role=option], .dash-dropdown-option").nth(0).click()
    page.wait_for_function("() => document.querySelector('#prompt').value !== 'typed meanwhile'")  # a newer choice does
