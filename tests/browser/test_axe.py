"""No page has a serious or critical barrier that axe-core finds, on any tab; nor one of contrast in the other theme."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from pages.registry import pages

pytestmark = pytest.mark.browser

# What stands on a page once it has answered about what it opens with.
ANSWERED = {
    "/": ".home-label:has-text('heads on a prompt')",
    "/attention": ".attune-answer p",
    "/steering": "#stream-state:has-text('a second.')",
    "/othello": "#oth-right-tpr:has-text('of 64 right')",
    "/neurons": "#nrn-ends .nrn-end",
    "/mlp-features": "#mlp-contexts-top .mlp-context",
    "/faithfulness": "#fth-list .fth-row",
    "/validation": "#toy-train",
    "/findings": ".fnd-main",
    "/model": "#source",
}
# No callback has been under way for half a second; ten seconds at most, since some ask at an interval.
QUIET = """() => new Promise((resolve) => { let quiet = 0, waited = 0; const look = () => {
  quiet = window.store.getState().isLoading ? 0 : quiet + 1; waited += 1;
  if (quiet >= 5 || waited > 100) resolve(); else setTimeout(look, 100); }; look(); })"""
TAB = ".tab-content > .active"
CONTRAST = ["color-contrast"]
"""The one rule that depends on the theme."""
THEME = "document.documentElement.dataset.bsTheme"


def barriers(page: Page, tab: str, where: str | None, rules: list[str] | None = None) -> list[str]:
    """The serious and critical violations on the page, or below a selector; only of some rules, if any are given."""
    page.evaluate(QUIET)
    options = {"resultTypes": ["violations"]} | ({"runOnly": rules} if rules else {})
    found: list[dict[str, Any]] = Axe().run(page, where, options).response["violations"]
    return [
        f"{page.evaluate(THEME)}, tab {tab}: {rule['id']} ({rule['impact']}) at {' '.join(map(str, node['target']))}: "
        + " ".join(node["failureSummary"].split())[:240]
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


def test_every_page_is_looked_at() -> None:
    assert {page.path for page in pages()} == set(ANSWERED)


@pytest.mark.parametrize("path", ANSWERED)
def test_nobody_meets_a_grave_barrier(open_page: Callable[..., Page], path: str) -> None:
    page = open_page(path, width=1440, height=900)
    page.wait_for_selector(ANSWERED[path])
    lines = barriers(page, "first", None)
    tabs = [name for name in page.locator(".nav-tabs .nav-link").all_inner_texts() if name]
    for name in tabs[1:]:
        page.locator(".nav-tabs .nav-link", has_text=name).first.click()
        lines += barriers(page, name, TAB)
    page.click("#theme-toggle")
    lines += barriers(
        page, "last", None, CONTRAST
    )  # all tabs once more would take the suite past its quarter of an hour
    assert not lines, f"{len(lines)} violations:\n" + "\n".join(lines)
