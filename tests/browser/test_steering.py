"""The Steering page as a researcher uses it: find a region, slide, read both texts, doubt, keep. On the real model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import QUIET, shot

pytestmark = pytest.mark.browser
WRITTEN = "() => (document.querySelector('#readouts')?.innerText || '').includes('perplexity')"


@pytest.fixture
def steering(open_page: Callable[..., Page]) -> Page:
    """The page, once it has written its first two texts."""
    page = open_page("/steering?count=8", width=1440)
    page.wait_for_function(WRITTEN)
    return page


def tab(page: Page, name: str) -> None:
    page.click(f"a.nav-link:has-text('{name}')")
    page.wait_for_selector(f"a.nav-link.active:has-text('{name}')")


def kl(page: Page) -> float:
    return float(page.inner_text("#next-price strong").split()[0])


def strength(page: Page) -> float:
    value = page.locator(".attune-strength [role=slider]").first.get_attribute("aria-valuenow")
    assert value is not None
    return float(value)


def test_it_opens_on_a_theme_the_slider_moves_token_and_address_and_a_text_is_stopped(steering: Page) -> None:
    page = steering
    assert "theme:" in page.inner_text("#card")
    page.wait_for_function("() => document.querySelector('#card-effects').innerText.includes('gain')")
    shot(page, "steering")  # widths and both themes: the walk
    assert page.inner_text("#base-text") != page.inner_text("#steered-text")
    assert page.locator("#region-list .attune-region").count() > 20
    before, at = kl(page), strength(page)
    assert before > 0.01
    handle = page.locator(".attune-strength [role=slider]").first
    handle.focus()
    for _ in range(8):
        page.keyboard.press("ArrowLeft")
    page.wait_for_function("k => parseFloat(document.querySelector('#next-price strong').innerText) < k", arg=before)
    assert strength(page) < at
    page.wait_for_function("s => decodeURIComponent(location.search).includes('\"strength\":' + s)", arg=strength(page))
    page.click("#reset")
    page.wait_for_selector("#next-price:has-text('bit for bit')")
    assert kl(page) == 0
    page.wait_for_function(
        "() => document.querySelector('#base-text').innerText === "
        "document.querySelector('#steered-text').innerText && "
        "document.querySelector('#base-text').innerText.length > 10"
    )
    # Stop ends the text, the next one begins, and goes on from another token.
    page.fill("#count", "300")
    page.click("#write")
    page.wait_for_function(
        "() => document.querySelectorAll('#steered-text span').length > 3 && "
        "document.querySelectorAll('#steered-text span').length < 280"
    )
    page.click("#stop")
    expect(page.locator("#stream-state")).to_contain_text("Stopped after")
    count = page.locator("#steered-text span").count()
    page.wait_for_timeout(600)
    assert page.locator("#steered-text span").count() == count
    page.fill("#count", "6")
    page.click("#write")
    page.wait_for_function("() => document.querySelector('#stream-state').innerText.endsWith('a second.')")
    assert 1 <= page.locator("#steered-text span").count() <= 6
    first = page.locator("#steered-text span").first
    before = first.inner_text()
    first.click()
    other = page.locator("#alternatives button[data-go-on]").first
    other.click()
    page.wait_for_selector("#steered-text .attune-swapped")
    assert page.locator("#steered-text span").first.inner_text() != before


LINES = """() => ['base', 'steered'].map((of) => { const box = document.getElementById(of + '-text');
  const style = getComputedStyle(box), edge = parseFloat(style.paddingTop) + parseFloat(style.paddingBottom);
  return Math.floor((box.clientHeight - edge) / parseFloat(style.lineHeight)); })"""


def test_a_region_is_chosen_and_its_limit_found_on_the_first_screen(open_page: Callable[..., Page]) -> None:
    page = open_page("/steering?count=12", width=1280, height=720)
    page.wait_for_function(WRITTEN)
    assert min(page.evaluate(LINES)) >= 6
    # A row of the list steers, since no slider was moved by hand, and the list stays where it was.
    on = ".attune-steer-head .attune-link"
    row = page.locator("#region-list .attune-region").nth(12)
    row.scroll_into_view_if_needed()
    place, name = page.evaluate("document.querySelector('#region-list').scrollTop"), row.get_attribute("title") or ""
    row.click()
    page.wait_for_function(f"n => n.endsWith(': ' + document.querySelector('{on}').innerText)", arg=name)
    expect(row).to_have_attribute("aria-current", "true")
    assert page.evaluate("document.querySelector('#region-list').scrollTop") == place > 0
    # The picker above the sliders takes a word.
    page.click("#region-pick")
    page.fill(".dash-dropdown-search", "space")
    page.locator(".dash-dropdown-option").first.click()
    page.wait_for_function(f"() => document.querySelector('{on}').innerText.startsWith('space')")
    expect(page.locator("#card-title")).to_contain_text("space")
    page.wait_for_function("() => document.querySelector('#steered-figures').dataset.figures === ''")
    expect(page.locator("#steered-figures")).to_contain_text("strength 0.6 · KL")
    assert "not measured" in page.inner_text(".attune-zone")
    page.click("#find-limit")
    page.wait_for_selector("#limit-said:has-text('unsteered')")
    expect(page.locator(".attune-zone")).not_to_contain_text("not measured")
    assert str(strength(page)) in page.inner_text("#limit-said") or strength(page) == 0.6
    page.click("#to-target")
    expect(page.locator("#target-said")).to_contain_text("nats")
    page.fill("#steer-prompt", "Yesterday we")  # what was found was about the other prompt
    expect(page.locator("#limit-said")).to_be_empty()
    expect(page.locator("#target-said")).to_be_empty()
    expect(page.locator(".attune-zone")).to_contain_text("not measured")


def test_search_second_region_comparison_a_token_and_a_fit(steering: Page) -> None:
    page = steering
    page.fill("#search", "religion")
    page.wait_for_function("() => [...document.querySelectorAll('#region-list .attune-region')].length < 40")
    first = page.locator("#region-list .attune-region").first
    assert "religion" in first.inner_text().lower()
    page.locator("#region-list button[aria-label^='add']").first.click()
    page.wait_for_function("() => document.querySelectorAll('.attune-strength [role=slider]').length === 2")
    tab(page, "Controls")
    page.fill("#positive", "I baked a cake with cream.\nThe soup needs salt.")
    page.fill("#negative", "The car is fast.\nHe went to court.")
    page.click("#compare")
    page.wait_for_function("() => document.querySelector('#controls-table').innerText.includes('difference of means')")
    rows = page.locator("#controls-table tbody tr")
    assert rows.count() == 4
    assert "random region" in rows.nth(1).inner_text() and "random direction" in rows.nth(2).inner_text()
    page.locator("button[aria-label^='remove region']").nth(1).click()
    page.wait_for_function("() => document.querySelectorAll('.attune-strength [role=slider]').length === 1")
    tab(page, "What is this token")
    page.fill("#explain-text", "The priest read from the Bible in the old church.")
    page.click("#explain")
    page.wait_for_function("() => document.querySelector('#token-strip').innerText.includes('church')")
    page.locator("#token-strip button").nth(6).click()
    page.wait_for_function("() => document.querySelector('#token-facts').innerText.includes('responsibility')")
    page.click("#steer-like")
    page.wait_for_function("() => document.querySelectorAll('.attune-strength [role=slider]').length === 2")
    values = [
        float(v)
        for v in page.locator(".attune-slider-row [role=slider]").evaluate_all(
            "s => s.map(h => h.getAttribute('aria-valuenow'))"
        )
    ]
    assert any(v != 0 for v in values[-8:]), "the local factors stand where that token lies"
    tab(page, "Fit another")
    for field, value in (("layer", "4"), ("tokens", "3000"), ("regions", "12"), ("factors", "3")):
        page.fill(f"#fit-{field}", value)
    page.wait_for_function("() => document.querySelector('#fit-estimate').innerText.includes('About')")
    page.click("#fit-start")
    page.wait_for_selector("#fit-curve-caption:has-text('Kept as residual-4-k12-r3')")
    page.wait_for_function("() => document.querySelector('#region-map-caption').innerText.startsWith('12 regions')")
    page.wait_for_function("() => document.querySelectorAll('.attune-slider-row [role=slider]').length === 4")


def test_presets_files_and_names_are_kept(steering: Page, tmp_path: Path, open_page: Callable[..., Page]) -> None:
    page = steering
    tab(page, "Keep it")
    page.fill("#preset-name", "mine")
    page.click("#preset-keep")
    page.wait_for_selector("#preset-list :text('mine')")
    with page.expect_download() as download:
        page.click("#save-file")
    path = tmp_path / "setup.safetensors"
    download.value.save_as(path)
    page.set_input_files("#open-file input[type=file]", str(path))
    page.wait_for_selector("#file-said:has-text('The vectors are those of the fit')")
    before = page.url
    broken = bytearray(path.read_bytes())
    broken[-3] ^= 1
    (tmp_path / "broken.safetensors").write_bytes(bytes(broken))
    page.set_input_files("#open-file input[type=file]", str(tmp_path / "broken.safetensors"))
    page.wait_for_selector("#file-said:has-text('cannot be read')")
    assert page.url == before
    tab(page, "Regions")
    page.evaluate(QUIET)
    page.fill("#label", "sweet things")
    page.press("#label", "Enter")
    page.wait_for_selector("#card-title:has-text('sweet things')")
    again = open_page(page.url)
    again.wait_for_selector("#card-title:has-text('sweet things')")
    assert again.input_value("#steer-prompt") == page.input_value("#steer-prompt")
    for one in (page, again):  # the address follows the sliders, a moment after the card
        one.wait_for_function("location.search.includes('steer=')")
    query = [json.loads(parse_qs(urlsplit(p.url).query)["steer"][0]) for p in (page, again)]
    again.wait_for_function(WRITTEN)
    assert query[0] == query[1]


def test_refusals_stand_where_something_was_typed(open_page: Callable[..., Page]) -> None:
    # A senseless slider in the address; other values: tests/unit/test_steering_page.py
    steer = '{"fit":"block-10","regions":[{"region":3,"strength":NaN}],"mode":"add"}'
    page = open_page(f"/steering?count=6&steer={quote(steer)}")
    page.wait_for_selector("#address-problems :text('must be a number from 0 to 1')")
    page.wait_for_function(WRITTEN)
    before = page.inner_text("#steered-text")
    page.fill("#steer-prompt", "word " * 3_900)
    page.click("#write")
    page.wait_for_function("() => document.querySelector('#stream-error').innerText.includes('tokens')")
    page.fill("#steer-prompt", "I think that")
    page.fill("#temperature", "99")
    page.click("#write")
    page.wait_for_selector("#stream-error-panel :text('temperature')")
    assert page.input_value("#temperature") == "99"
    page.fill("#temperature", "0.7")
    tab(page, "Fit another")
    page.fill("#fit-tokens", "2000")
    page.fill("#fit-regions", "1900")
    page.wait_for_selector("#fit-estimate :text('can tell apart')")
    page.set_input_files(
        "#corpus-upload input[type=file]", {"name": "two.txt", "mimeType": "text/plain", "buffer": b"two words"}
    )
    page.wait_for_selector("#source-said :text('only 2 words')")
    assert before
