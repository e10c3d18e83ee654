"""The Neurons page as a researcher uses it: find a neuron by a token, doubt its channels, search anew, ablate."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import shot

pytestmark = pytest.mark.browser


def says(page: Page, where: str, what: str) -> None:
    page.wait_for_function("([w, s]) => document.querySelector(w)?.innerText.includes(s)", arg=[where, what])


def opened(open_page: Callable[..., Page], query: str = "", theme: str = "light") -> Page:
    page = open_page(f"/neurons?{query}", theme=theme, width=1440, height=900)
    page.wait_for_selector("#nrn-ends .nrn-end")
    return page


def tab(page: Page, name: str) -> None:
    page.click(f"a.nav-link:has-text('{name}')")


def test_a_neuron_is_found_by_a_token_and_kept_in_the_address(open_page: Callable[..., Page]) -> None:
    page = opened(open_page)
    page.wait_for_selector("#nrn-cards .nrn-card")
    says(page, "#nrn-banner", "random vectors")  # the null stands beside the verdict
    rows = page.locator("#nrn-list .nrn-row")
    total = rows.count()
    assert total >= 50 and page.locator("#nrn-list [aria-current=true]").count() == 1
    tokens = page.locator("#nrn-cards .attune-tok, #nrn-ends .attune-tok")
    assert tokens.count() >= 100
    assert all(n.isdecimal() for n in tokens.evaluate_all("e => e.map(x => x.tabIndex === 0 ? x.dataset.tokenId : '')"))
    before = page.inner_text("#nrn-title")
    rows.nth(0).focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_function("t => document.querySelector('#nrn-title').innerText !== t", arg=before)
    # The list is drawn anew, and whoever walks through it stays where they are.
    assert page.evaluate("document.activeElement.classList.contains('nrn-row')")
    boxes = [page.locator(where).bounding_box() for where in ("#nrn-histogram", ".nav-tabs")]
    page.fill("#nrn-search", "but")
    page.wait_for_selector("#nrn-found-box .nrn-found")
    page.wait_for_function("n => document.querySelectorAll('#nrn-list .nrn-row').length < n", arg=total)
    assert boxes == [page.locator(where).bounding_box() for where in ("#nrn-histogram", ".nav-tabs")]  # nothing jumps
    place = page.locator("#nrn-found-box .nrn-found").first
    layer, vector, neuron, channel = (place.get_attribute("data-nrn-open") or "").split(":")
    place.click()
    says(page, "#nrn-title", f"{vector} {neuron} of layer {layer}")
    page.wait_for_function("n => new URLSearchParams(location.search).get('channel') === n", arg=channel)
    again = opened(open_page, page.url.split("?")[1], "dark")
    says(again, "#nrn-title", f"{vector} {neuron} of layer {layer}")
    says(again, "#nrn-cards .attune-chosen", f"Channel {channel}")
    shot(again, "neurons-dark")


def test_channels_are_looked_for_anew_without_a_token(open_page: Callable[..., Page]) -> None:
    page = opened(open_page, "layer=27&vector=down&neuron=947&channels=1")
    says(page, "#nrn-banner", "Made beforehand")
    skipped = page.locator("#nrn-cards .nrn-token .attune-tok").first
    token = skipped.get_attribute("data-token-id")
    page.locator("#nrn-cards .nrn-skip").first.click()
    page.wait_for_selector("#nrn-chips .attune-chip")
    says(page, "#nrn-stale", "tokens")
    page.click("#nrn-go")
    says(page, "#nrn-banner", "Computed here")
    left = page.locator("#nrn-cards .attune-tok").evaluate_all("e => e.map(x => x.dataset.tokenId)")
    assert len(left) == 20 and token not in left
    assert page.inner_text("#nrn-stale") == ""
    page.wait_for_function("t => new URLSearchParams(location.search).get('without') === `[${t}]`", arg=token)


def test_bad_input_is_answered_where_it_was_typed(open_page: Callable[..., Page]) -> None:
    page = opened(open_page, "layer=99&lk=x&channel=77")
    says(page, "#nrn-problems", "lk")
    says(page, "#nrn-pick-error", "99")
    page.fill("#nrn-index", "99999")
    page.keyboard.press("Tab")
    says(page, "#nrn-pick-error", "99,999")
    page.fill("#nrn-index", "3")
    page.keyboard.press("Tab")
    says(page, "#nrn-title", " 3 of layer")
    says(page, "#nrn-banner", "press Run")
    page.fill("#nrn-channels", "0")
    page.click("#nrn-go")
    says(page, "#nrn-run-error", "number of channels")
    page.wait_for_function("() => document.querySelector('#nrn-pick-error').innerText === ''")


def test_what_falls_without_a_channel_and_where_in_the_model_there_is_any(open_page: Callable[..., Page]) -> None:
    page = opened(open_page, "layer=27&vector=down&neuron=947&tab=ablation&text=The%20house%20was%20old%20and%20dark")
    page.wait_for_selector("#nrn-arms-table tbody tr")
    said = page.inner_text("#nrn-arms-table")
    assert "this channel" in said and "null: random direction" in said and "SVD" in said
    assert page.locator("#nrn-ab-strip .nrn-used").count() >= 1
    tab(page, "Geometry")
    says(page, "#nrn-rebuilding-caption", "null")
    tab(page, "Layers")
    says(page, "#nrn-map-caption", "random vectors")
    says(page, "#nrn-shares-caption", "5 %")
    page.locator("#nrn-map .scatterlayer .trace").first.locator("path.point").nth(12).click(force=True)
    says(page, "#nrn-title", "gate 947 of layer 12")  # a point opens its layer and vector; the number stays
    tab(page, "The null")
    page.wait_for_selector("#nrn-attractors .attune-tok")
    shot(page, "neurons-null")
