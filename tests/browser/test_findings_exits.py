"""A board is handed over: the dialog, the page without a network, paper, and a link."""

from __future__ import annotations

import json
import re
import time
import urllib.request
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from pages.findings.paper import pdf_of
from tests.browser.board_of_forty import COUNT, bundle_of_forty, claim_of
from tests.browser.conftest import SHOTS, Server, grave

pytestmark = pytest.mark.browser
API = "/findings/api"
DRAWN = "html[data-drawn=all]"


def offline(browser: Browser, path: Path) -> tuple[Page, list[str]]:
    """A file in a browser without network, and what went wrong there."""
    context = browser.new_context(viewport={"width": 1280, "height": 720}, offline=True, color_scheme="light")
    page, problems = context.new_page(), list[str]()
    page.on("console", lambda m: problems.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: problems.append(str(e)))
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else problems.append(r.url))
    page.on("dialog", lambda d: problems.append(d.message))
    began = time.perf_counter()
    page.goto(path.as_uri())
    page.wait_for_selector(DRAWN, timeout=120_000)
    print(f"{path.name}: all drawn after {time.perf_counter() - began:.1f} s")
    return page, problems


def test_a_board_of_forty_is_handed_over(
    open_page: Callable[..., Page], browser: Browser, server: Server, tmp_path: Path
) -> None:
    page = open_page("/findings", width=1280, height=720)
    headers = {"Content-Type": "application/zip"}
    answer = page.request.post(
        f"{server.url}{API}/boards/from-bundle", data=bundle_of_forty(tmp_path / "store"), headers=headers
    )
    board = answer.json()["board"]["id"]
    page.goto(f"{server.url}/findings?board={board}")
    SHOTS.mkdir(exist_ok=True)
    page.click("text=Hand over")
    page.wait_for_selector("[data-size=page]:has-text('MB')")
    page.screenshot(path=SHOTS / "handover.png")
    assert grave(page, ".fnd-dialog") == []

    # Without the mouse: a claim is hidden, and the page is downloaded.
    claim = claim_of(7)
    page.focus("summary:has-text('of your own')")
    page.keyboard.press("Enter")
    page.locator(f".fnd-exit-text:has-text('{claim}') select").select_option("hide")
    page.focus("[data-exit=page]")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    print(f"static page of {COUNT} findings: {path.stat().st_size / 1e6:.2f} MB")
    assert path.stat().st_size < 12_000_000
    text = path.read_text(encoding="utf-8")
    assert claim not in text and claim_of(8) in text and "Slowly." not in text
    page.keyboard.press("Escape")
    page.click("text=Hand over")  # what was chosen is remembered
    assert page.locator(f".fnd-exit-text:has-text('{claim}') select").input_value() == "hide"

    # The file alone, without a network.
    alone, problems = offline(browser, path)
    figures = alone.locator(".attune-exhibit-plot").count()
    assert figures > COUNT / 2 and alone.locator(".js-plotly-plot .main-svg").count() >= figures
    assert alone.locator(".page-item h2").count() >= COUNT and alone.locator("[onerror]").count() == 0
    assert alone.evaluate("document.querySelectorAll('.fnd-number').length") >= COUNT
    alone.screenshot(path=SHOTS / "static-page.png")
    before = alone.locator(".js-plotly-plot text").first.evaluate("e => getComputedStyle(e).fill")
    alone.click("text=Dark or light")
    alone.wait_for_function(
        "was => getComputedStyle(document.querySelector('.js-plotly-plot text')).fill !== was", arg=before
    )
    alone.click(".attune-exhibit-sort >> nth=1")
    assert alone.locator("th[aria-sort=descending], th[aria-sort=ascending]").count() == 1
    assert grave(alone) == []
    assert problems == []
    alone.context.close()

    # A link for others, until it is withdrawn.
    page.click("[data-exit=link]")
    page.wait_for_selector(".fnd-exit-link")
    link = page.input_value(".fnd-exit-link")
    other = open_page(link)
    other.wait_for_selector(DRAWN)
    assert claim not in other.content() and other.evaluate("typeof window.dash_renderer") == "undefined"
    page.click("text=Withdraw")
    page.wait_for_selector("[data-exit=link]")
    assert page.request.get(link).status == 404


def test_a_page_is_printed_a_finding_a_sheet(tmp_path: Path, server: Server) -> None:
    """The PDF that the server's own Chromium makes has a sheet for each finding at least."""
    made = urllib.request.Request(  # noqa: S310
        f"{server.url}{API}/boards/from-bundle",
        bundle_of_forty(tmp_path / "store"),
        {"Content-Type": "application/zip"},
    )
    board = json.load(urllib.request.urlopen(made))["board"]["id"]  # noqa: S310
    asked = urllib.request.Request(  # noqa: S310
        f"{server.url}{API}/export/{board}/file/page", b"{}", {"Content-Type": "application/json"}
    )
    began = time.perf_counter()
    pdf = pdf_of(urllib.request.urlopen(asked).read())  # noqa: S310
    sheets = len(re.findall(rb"/Type\s*/Page\b", pdf))
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    drawn = sum(len(zlib.decompressobj().decompress(s)) for s in streams if s[:1] == b"x")
    print(
        f"PDF of {COUNT} findings: {sheets} sheets, {len(pdf) / 1e6:.1f} MB, {time.perf_counter() - began:.1f} s, "
        f"{drawn / 1e6:.1f} MB drawn"
    )
    assert drawn > 1_000_000  # 0.2 MB where the figures are missing
    assert pdf.startswith(b"%PDF") and COUNT <= sheets <= 3 * COUNT
