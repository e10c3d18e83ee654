"""Artefacts of others on the Steering page: a control vector steers beside the regions, what cannot be used is a
sentence where it was given. On the real model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from analysis.mfa.checkpoint import read_checkpoint
from analysis.steering.vectors import read_vectors
from tests.browser.conftest import grave, shot
from tests.browser.test_steering import kl, steering, tab
from tests.unit.steering.test_vectors import control_vector

pytestmark = pytest.mark.browser
__all__ = ["steering"]


def test_a_control_vector_steers_and_the_set_up_is_saved_as_one(
    steering: Page, open_page: Callable[..., Page], tmp_path: Path
) -> None:
    page = steering
    tab(page, "Keep")
    row = np.random.default_rng(0).normal(size=576).astype(np.float32)
    upload = page.locator("#vectors-open input[type=file]")
    upload.set_input_files({"name": "mood.gguf", "mimeType": "", "buffer": control_vector({"direction.12": row})})
    page.wait_for_selector("#vectors-said:has-text('Opened mood.gguf: vectors of block 12')")
    expect(page.locator("#vectors-list tbody tr")).to_contain_text(["mood.gguf"])
    assert f"{np.linalg.norm(row):.3g}" in page.inner_text("#vectors-list")
    before = kl(page)
    page.fill("#vectors-list input", "4")
    page.press("#vectors-list input", "Enter")
    page.wait_for_function(
        "k => parseFloat(document.querySelector('#next-price strong').innerText) !== k", arg=before, timeout=20_000
    )
    page.wait_for_function("() => decodeURIComponent(location.search).includes('\"strength\":4')")
    expect(page.locator("#vectors-on")).to_contain_text("× 4")
    shot(page, "steering-vectors")
    assert not grave(page, "#vectors-list")
    with page.expect_download() as download:
        page.click("#vectors-save")
    body = Path(download.value.path()).read_bytes()
    assert sorted(read_vectors("saved.gguf", body, 0).vectors) == [10, 12]
    upload.set_input_files({"name": "mood.gguf", "mimeType": "", "buffer": b"GGUF" + b"\xff" * 60})
    page.wait_for_selector("#vectors-said:has-text('no GGUF file, or a damaged one')")
    tab(page, "Fit")
    page.fill("#mixture-file", "nowhere.ckpt")
    page.click("#mixture-open")
    page.wait_for_selector("#mixture-problem:has-text('There is no file nowhere.ckpt')", timeout=60_000)
    shot(page, "steering-mixture")
    with page.expect_download() as download:  # the fit that is open, for the authors' code
        page.click("[data-files=authors]")
    fit = Path(download.value.path()).with_suffix(".ckpt")
    Path(download.value.path()).rename(fit)
    assert download.value.suggested_filename == "block-10.ckpt" and read_checkpoint(fit)[1]["extra"]["layer"] == 10
    again = open_page(page.url.partition(page.url.split("/steering")[0])[2], width=1440)
    again.wait_for_selector("#next-price strong")
    expect(again.locator("#vectors-list input")).to_have_value("4")
    # Reset is of the whole set-up, the vectors beside the sliders too.
    page.click("#reset")
    expect(page.locator("#vectors-list input")).to_have_value("0")
    expect(page.locator("#vectors-on")).not_to_contain_text("×")
