"""The MLP features page as a researcher uses it: find a feature, doubt it, compare, follow it up the tree, steer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import shot

pytestmark = pytest.mark.browser


def says(page: Page, where: str, what: str) -> None:
    page.wait_for_function("([w, s]) => document.querySelector(w)?.innerText.includes(s)", arg=[where, what])


def opened(open_page: Callable[..., Page], query: str = "", theme: str = "light") -> Page:
    page = open_page(f"/mlp-features?{query}", theme=theme, width=1440, height=900)
    page.wait_for_selector("#mlp-contexts-top .mlp-context")
    return page


def tab(page: Page, name: str) -> None:
    page.click(f"a.nav-link:has-text('{name}')")


def test_a_feature_is_found_opened_and_kept_in_the_address(open_page: Callable[..., Page]) -> None:
    page = opened(open_page)
    rows = page.locator("#mlp-list .mlp-row")
    total = rows.count()
    assert total >= 50 and page.locator("#mlp-list [aria-current=true]").count() == 1
    # The null stands beside the number, and every output token can open the token card.
    assert "random sparse directions" in page.inner_text("#mlp-evidence .mlp-detection")
    tokens = page.locator("#mlp-card .mlp-pole .attune-tok")
    assert tokens.count() >= 20
    assert all(n.isdecimal() for n in tokens.evaluate_all("e => e.map(x => x.tabIndex === 0 ? x.dataset.tokenId : '')"))
    before = page.inner_text("#mlp-card-title")
    rows.nth(0).focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_function("t => document.querySelector('#mlp-card-title').innerText !== t", arg=before)
    number = page.inner_text("#mlp-card-title").split(":")[0]
    page.wait_for_function("n => new URLSearchParams(location.search).get('feature') === n", arg=number)
    top = page.locator("#mlp-evidence").bounding_box()
    page.fill("#mlp-search", "house")
    page.wait_for_function("n => document.querySelectorAll('#mlp-list .mlp-row').length < n", arg=total)
    page.fill("#mlp-search", "zzqx")
    says(page, "#mlp-list", "No feature matches")
    assert page.locator("#mlp-evidence").bounding_box() == top  # nothing jumps while one types
    url = page.url
    again = open_page(url, width=1440, height=900)
    says(again, "#mlp-card-title", f"{number}:")


def test_a_sentence_its_features_and_bad_input(open_page: Callable[..., Page]) -> None:
    page = opened(open_page, "feature=9999&threshold=x", "dark")
    says(page, "#mlp-problems", "threshold")
    says(page, "#mlp-list-error", "9999")
    says(page, "#mlp-reading-caption", "explain")
    assert page.locator("#mlp-strip .attune-tok").count() > 5
    page.fill("#mlp-text", "")
    page.keyboard.press("Tab")
    says(page, "#mlp-reading-error", ".")
    page.fill("#mlp-text", "They played football in the rain.")
    page.keyboard.press("Tab")
    says(page, "#mlp-strip", "football")
    page.wait_for_function("() => document.querySelector('#mlp-reading-error').innerText === ''")
    shot(page, "mlp-features-dark")


def test_overlap_and_tree(open_page: Callable[..., Page]) -> None:
    page = opened(open_page, "tab=overlap")
    page.click("#mlp-related .mlp-pair")
    says(page, "#mlp-split", "core")
    says(page, "#mlp-shared-caption", "drawn at random")
    assert page.locator("#mlp-chips .attune-chip").count() == 2
    page.click("#mlp-chips .attune-small")
    page.wait_for_function("() => document.querySelectorAll('#mlp-chips .attune-chip').length === 1")
    tab(page, "Tree")
    says(page, "#mlp-tree-caption", "Drawn:")
    before = page.inner_text("#mlp-tree-caption")
    page.locator(".mlp-threshold [role=slider]").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    says(page, "#mlp-threshold-said", "0.18")
    assert page.inner_text("#mlp-tree-caption") != before
    page.click("summary:has-text('The same as a list')")
    lowest = page.locator("#mlp-outline [data-mlp-node^='1:']").first
    node = (lowest.get_attribute("data-mlp-node") or "").split(":")[1]
    lowest.click()
    says(page, "#mlp-card-title", f"{node}:")
    shot(page, "mlp-features-tree")


def test_steering_beside_its_baselines(open_page: Callable[..., Page]) -> None:
    page = opened(open_page, "tab=steer")
    page.wait_for_selector("#mlp-arms tbody tr")
    assert page.locator("#mlp-arms tbody tr").count() == 5
    assert page.locator("#mlp-arms tbody .attune-good").count() >= 1
    page.fill("#mlp-length", "6")
    page.click("#mlp-write")
    says(page, "#mlp-readouts", "perplexity")
    assert page.inner_text("#mlp-steered-text") != "" and page.inner_text("#mlp-base-text") != ""
    page.fill("#mlp-target", "0")
    page.keyboard.press("Tab")
    says(page, "#mlp-effect-error", "target KL must be")
    page.click("#mlp-write")
    says(page, "#mlp-write-error", "no strength")


def test_a_fit_that_cannot_be_made_is_explained_where_it_was_asked(open_page: Callable[..., Page]) -> None:
    page = opened(open_page, "tab=fit")
    for name, value, words in (
        ("levels", "many", "such as 50, 25"),
        ("layer", "99", "blocks 0 to"),
        ("features", "0", "number of features"),
    ):
        usual = page.input_value(f"#mlp-new-{name}")
        page.fill(f"#mlp-new-{name}", value)
        page.click("#mlp-new-go")
        says(page, "#mlp-new-problem", words)
        page.fill(f"#mlp-new-{name}", usual)
