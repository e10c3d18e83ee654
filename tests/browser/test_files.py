"""An artefact leaves by a page and comes back by another; the shelf on the Model page lists, saves and deletes it."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from analysis.portable.header import header_bytes, read_arrays
from tests.browser.conftest import SHOTS, Server
from tests.browser.test_walk import barriers

pytestmark = pytest.mark.browser


def renamed(file: Path, name: str) -> None:
    """Another fit with the arrays of the one in a file: of another name and seed."""
    body = file.read_bytes()
    with file.open("rb") as source:
        metadata, arrays, start = read_arrays(source, len(body))
    attune = json.loads(metadata["attune"])
    attune["name"], attune["manifest"]["seed"] = name, 99
    file.write_bytes(header_bytes(arrays, attune) + body[start:])


def choose(page: Page, button: str, file: Path) -> None:
    """Give a file to the chooser that a button opens."""
    with page.expect_file_chooser() as chooser:
        page.click(button)
    chooser.value.set_files(file)


def test_a_fit_travels_and_the_shelf_knows_it(open_page: Callable[..., Page], server: Server, tmp_path: Path) -> None:
    SHOTS.mkdir(exist_ok=True)
    page = open_page("/steering", width=1280, height=720)
    page.wait_for_selector("#region-fit:has-text('block 10')")
    with page.expect_download() as download:
        page.click("[data-files=save]")
    fit = tmp_path / "fit.attune.safetensors"
    download.value.save_as(fit)
    renamed(fit, "brought-fit")

    choose(page, "[data-files=open]", fit)
    answer = page.locator(".attune-files-answer")
    expect(answer).to_contain_text("Opened a fit of regions of SmolLM2")
    expect(answer).to_contain_text("as “brought-fit”")
    page.wait_for_selector("#region-fit:has-text('own fit ht-fit')")
    page.screenshot(path=SHOTS / "files-steering.png")
    assert barriers(page, "answer", ".attune-title-row") == []

    (tmp_path / "junk.safetensors").write_bytes(b"no such file" * 100)
    drop = """([name, text]) => { const data = new DataTransfer(); data.items.add(new File([text], name));
      document.querySelector('.attune-page').dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true,
      cancelable: true })); }"""
    page.evaluate(drop, ["junk.safetensors", "no such file " * 100])
    expect(answer.locator(".attune-files-refused")).to_contain_text("cut off within its header")

    page.goto(server.url + "/model")
    row = page.locator(".attune-shelf tr", has_text="brought-fit")
    expect(row).to_be_visible()
    page.wait_for_selector("#model-badge.attune-ready")
    expect(page.locator(".attune-shelf tr", has_text="measurement of neurons")).to_be_visible()
    page.screenshot(path=SHOTS / "files-shelf.png", full_page=True)
    assert barriers(page, "shelf", "section[aria-label=Shelf]") == []
    with page.expect_download() as download:
        page.click("[data-files=save]")
    with zipfile.ZipFile(download.value.path()) as pack:
        assert "fit/brought-fit.attune.safetensors" in pack.namelist()
    row.locator("[data-files=delete]").click()
    page.click(".attune-files-answer .attune-primary")
    expect(row).to_have_count(0)
    choose(page, "[data-files=open]", Path(download.value.path()))
    expect(page.locator(".attune-files-answer")).to_contain_text(re.compile(r"[1-9]\d* new on the shelf"))
    expect(row).to_be_visible()
    row.locator("[data-files=delete]").click()  # as it was, for the tests that follow
    page.click(".attune-files-answer .attune-primary")
    expect(row).to_have_count(0)
