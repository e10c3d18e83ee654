"""From a steer to what it acts through, and to the heads that look elsewhere, without a word of documentation."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import grave

pytestmark = pytest.mark.browser

STEER = {"fit": "block-10", "regions": [{"region": 215, "strength": 0.6, "factors": []}], "mode": "add"}
TEXT = "My favourite thing in the world is the"


def test_a_steer_leads_to_its_shares_and_on_to_the_heads_it_moves(open_page: Callable[..., Page]) -> None:
    address = f"/steering?tab=inside&count=4&text={quote(TEXT)}&steer={quote(json.dumps(STEER))}"
    page = open_page(address, "dark", 1280, 720)
    expect(page.locator("#next-price")).to_contain_text("nats")
    page.locator("#frozen-start").click()
    said = page.locator("#frozen-claim")
    expect(said).to_contain_text("With all attention patterns above block 10 held as they were")
    expect(said).to_contain_text("Random directions at the same KL")
    expect(page.locator("#frozen .bars .point").first).to_be_visible()
    said.get_by_role("link", name="Which heads look elsewhere?").click()
    expect(page.locator("#prompt")).to_have_value(TEXT)
    expect(page.locator("#steered-claim")).to_contain_text("by chance")
    page.locator("#steered-claim button").first.click()
    expect(page.locator("#steered-sentence")).to_contain_text("of its attention elsewhere")
    assert grave(page, ".tab-pane.active") == [] and "steer=" in page.url
