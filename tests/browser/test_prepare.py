"""A model of one's own for which nothing is made: the card stands in place of the empty page, a press prepares it, and
the page fills without a reload."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Page

from benchmarks.architectures import saved, tiny
from tests.browser.conftest import QUIET, grave

pytestmark = pytest.mark.browser


def test_an_empty_page_is_prepared_and_fills(open_page: Callable[..., Page], tmp_path: Path) -> None:
    folder = saved(tiny("llama"), tmp_path / "tiny-own")
    page = open_page(f"/neurons?model={quote(json.dumps({'source': str(folder)}))}", width=1280, height=720)
    page.click("#linked-load")
    page.wait_for_selector("#prepare.prepare-empty")
    page.wait_for_selector("#prepare-budget input")
    assert page.locator("#nrn-layer").is_hidden(), "no blank frames below the card"
    assert "random vectors" in page.inner_text("#prepare-levels")
    assert re.search(r"at \d\d:\d\d: [\d,]+ tokens per second", page.inner_text("#prepare-machine"))
    assert page.evaluate("document.documentElement.scrollHeight") <= 720
    assert grave(page, "#prepare") == []
    # An answer may come for a component of a page that was left: Dash itself raises when asked for such a one.
    assert page.evaluate("dash_clientside.attune_kit.read('of-another-page', 'data')") is None

    assert "neuron=" not in page.url, "nobody has named a neuron yet"
    page.focus("#prepare-page")
    page.keyboard.press("Enter")
    page.wait_for_selector("#nrn-layer")  # without a reload and without another press
    page.evaluate(QUIET)
    assert "prepare-empty" not in page.get_attribute("#prepare", "class")
    assert page.input_value("#nrn-layer") != ""
    # The page opens on the neuron that the measurement shows, not on the one that stood in for it.
    page.wait_for_function("location.search.includes('neuron=')")
