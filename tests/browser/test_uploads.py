"""What opening a page sends to the server: questions and settings, never answers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Request

from tests.browser.conftest import Server
from tests.browser.test_axe import ANSWERED, QUIET

pytestmark = pytest.mark.browser
MOST = 100_000
"""Bytes that all callbacks together may send."""


@pytest.mark.parametrize("path", ANSWERED)
def test_opening_a_page_sends_little(open_page: Callable[..., Page], server: Server, path: str) -> None:
    sizes: list[tuple[int, str]] = []

    def count(request: Request) -> None:
        if "/_dash-update-component" in request.url:
            body = request.post_data_buffer or b""
            sizes.append((len(body), body[:120].decode("utf-8", "replace")))

    page = open_page("/assets/theme.js")  # a window that has asked nothing yet
    page.on("request", count)
    page.goto(server.url + path)
    page.wait_for_selector(ANSWERED[path])
    page.evaluate(QUIET)
    total = sum(size for size, _ in sizes)
    print(f"{path}: {total:,} bytes in {len(sizes)} requests")
    assert len(sizes) > 1 and total < MOST, f"{total:,} bytes, the largest: {sorted(sizes, reverse=True)[:5]}"
