"""The token card on every page: opened by mouse and keyboard, typed into, followed, and closed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import shot

pytestmark = pytest.mark.browser
NASTY = "<img src=x onerror=alert(1)> house"


def says(page: Page, where: str, what: str) -> None:
    page.wait_for_function("([w, s]) => document.querySelector(w)?.innerText.includes(s)", arg=[where, what])


def answered(page: Page) -> None:
    """The card has an answer: all four parts say something."""
    page.wait_for_function("() => document.querySelectorAll('#card-tok-parts .card-tok-part > p').length === 4")
    page.wait_for_selector("#card-tok:not(.card-tok-busy)")


def test_a_token_of_the_prompt_opens_its_card_and_links_lead_on(page: Page) -> None:
    token = page.locator("#query-strip .attune-tok").nth(10)
    token.click()  # chooses the query, as before
    assert page.locator("#card-tok").is_hidden()
    place = page.locator("#content").bounding_box()
    token.press("c")
    answered(page)
    assert page.locator("#content").bounding_box() == place and page.locator("#card-tok").is_visible()
    assert page.inner_text("#card-tok-word") == token.inner_text()
    assert page.locator(".card-tok-context [aria-current]").get_attribute("data-token-position") == "10"
    assert (
        page.locator("#card-tok-parts").inner_text().count("block ") >= 6
    )  # regions and features of three blocks each
    page.locator(".card-tok-context .attune-tok").nth(12).click()
    page.wait_for_selector(".card-tok-context [aria-current][data-token-position='12']")
    page.keyboard.press("Escape")
    assert page.locator("#card-tok").is_hidden()
    assert page.evaluate("document.activeElement.dataset.tokenPosition") == "10"
    token.dblclick()
    answered(page)
    link = page.locator("[aria-label=Regions] .card-tok-row").first
    region = link.locator("strong").inner_text()
    link.click()
    page.wait_for_url("**/steering?**")
    says(page, "#card-title", region)
    assert page.locator("#card-tok").is_visible()  # it stays beside the page that it led to
    shot(page, "token-card-light")


def test_typing_into_the_card_on_a_page_without_tokens(open_page: Callable[..., Page]) -> None:
    page = open_page("/validation", theme="dark", width=1440, height=900)
    page.click("#card-tok-open")
    page.wait_for_function("() => document.activeElement.id === 'card-tok-input'")
    page.keyboard.press("Enter")
    says(page, "#card-tok-error", "Type a token or a short text.")
    page.fill("#card-tok-input", NASTY)
    page.keyboard.press("Enter")
    says(page, "#card-tok-head", "Choose one")
    assert page.inner_text("#card-tok-word") == NASTY and page.locator("#card-tok img").count() == 0
    page.locator(".card-tok-context .attune-tok").last.click()
    answered(page)
    assert page.inner_text("#card-tok-word") == "␣house" and page.inner_text("#card-tok-error") == ""
    # Whether subspaces are fitted depends on what this server was asked before; the part says something in any case.
    assert len(page.inner_text("[aria-label='QK subspaces']")) > len("QK subspaces") + 10
    assert page.locator("[aria-label='MLP features'] .card-tok-row").count() > 0
    card, header = page.locator("#card-tok").bounding_box(), page.locator(".attune-header").bounding_box()
    assert card and header and card["y"] >= header["height"] - 1 and header["height"] < 70  # the header stays in reach
    shot(page, "token-card-dark")
    page.locator("#card-tok-head .attune-note .attune-tok").first.click()
    says(page, "#card-tok-head", "without a text around it")
    page.click("#card-tok-close")
    assert page.locator("#card-tok").is_hidden()
    assert page.evaluate("document.activeElement.id") == "card-tok-open"
