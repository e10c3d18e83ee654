"""What others made, as a user opens it: probes and cases on the Othello page, lists and results on the Neurons page."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest
import torch
from playwright.sync_api import Page

from analysis.tpr.library import BUNDLED, PROBE_SETS
from analysis.tpr.others import written
from tests.browser.test_othello import opened, says

pytestmark = pytest.mark.browser


def file(name: str, value: object) -> dict[str, object]:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return {"name": name, "mimeType": "application/octet-stream", "buffer": buffer.getvalue()}


def text(name: str, words: str) -> dict[str, object]:
    return {"name": name, "mimeType": "application/json", "buffer": words.encode()}


def test_probes_and_cases_of_others(open_page: Callable[..., Page]) -> None:
    page = opened(open_page, "&tab=model&layer=3")
    upload = "#oth-probes-upload input[type=file]"
    page.set_input_files(upload, [file("broken.pt", {"weights": torch.zeros(2)})])
    says(page, "#oth-probes-error", "holds no probe of the board")
    state = {
        "binding_map": torch.randn(128, 16, 8), "role_embeddings": torch.randn(8, 8, 16),
        "filler_embeddings": torch.randn(3, 8),
    }  # fmt: skip
    tpr = {"probe_kind": "tensor_product", "probe_state_dict": state, "layer": 3}
    linear = written(PROBE_SETS.read(BUNDLED).probe("linear", 3), 3, "resid_post")
    page.set_input_files(upload, [file("linear_l3.pt", linear), file("tpr_l3.pt", tpr)])
    says(page, "#oth-probes-said", "Opened 2 probes")
    says(page, "#oth-probes-in-use", "opened-linear-l3")
    says(page, "#oth-probe-table", "cosine with those fitted here")
    says(page, "#oth-probe-table", "1.000")
    says(page, "#oth-right-trilinear", "held no trilinear probe")
    says(page, "#oth-title-tpr", "TPR, 16 × 8")
    page.wait_for_function("() => location.search.includes('probes=opened-linear-l3')")
    page.click("text=Edit >> nth=0")
    cases = [{"history": [19, 18, 17], "pos_int": 17, "ori_color": 2.0}]
    page.set_input_files("#oth-given-upload input[type=file]", [text("bad.json", "[{}]")])
    says(page, "#oth-given-said", "Case 0 of bad.json lacks")
    page.set_input_files("#oth-given-upload input[type=file]", [text("cases.json", json.dumps(cases))])
    says(page, "#oth-given-said", "1 case from cases.json")


def test_a_list_of_neurons_is_run_read_and_written(open_page: Callable[..., Page]) -> None:
    page = open_page("/neurons?tab=lists&layer=20&vector=down&neuron=5")
    page.wait_for_function("() => document.querySelector('#nrn-title')?.innerText.includes('5 of layer 20')")
    page.set_input_files("#nrn-list-upload input[type=file]", [text("list.json", "[0.5]")])
    says(page, "#nrn-list-said", "list of whole numbers")
    page.set_input_files("#nrn-list-upload input[type=file]", [text("list.json", "[9, 5]")])
    says(page, "#nrn-list-said", "2 neurons from list.json")
    page.fill("#nrn-many-channels", "1")
    page.click("#nrn-many")
    says(page, "#nrn-set-said", "Channels of 2 neurons, 1 of each")
    page.wait_for_function("() => document.querySelector('#nrn-set')?.innerText.includes('2 neurons, block 20')")
    page.click("#nrn-set-read")
    says(page, "#nrn-set-table", "own z of the best")
    with page.expect_download(predicate=lambda d: d.suggested_filename == "results.pt") as waiting:
        page.click("#nrn-set-write")
    data = torch.load(waiting.value.path(), weights_only=True)
    assert list(data) == [5, 9] and len(data[5]["iterations"]) == 1
    page.set_input_files("#nrn-results-upload input[type=file]", [file("results.pt", {0: 1})])
    says(page, "#nrn-set-error", "Neuron 0 of results.pt has no “iterations”")
