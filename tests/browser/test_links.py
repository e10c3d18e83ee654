"""A link with a model of its own: nothing is loaded until the button is pressed, and then its view opens."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Page
from transformers import PreTrainedTokenizerFast

from tests.browser.conftest import Server
from tests.unit.tiny_models import tiny_model

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny saved model with a tokenizer of words."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    path = tmp_path_factory.mktemp("linked") / "tiny-linked"
    words = {w: i for i, w in enumerate(["<unk>", "<s>", "</s>", *"the a cat dog sat ran on in red blue".split()])}
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    tiny_model("llama").save_pretrained(path)
    PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>").save_pretrained(path)
    return path


def test_a_link_with_a_model_of_its_own_waits_for_a_press(
    open_page: Callable[..., Page], server: Server, folder: Path
) -> None:
    address = f"/attention?text=the+cat+sat+on+the+cat&model={quote(json.dumps({'source': str(folder)}))}"
    page = open_page(address)
    page.wait_for_selector("#linked-load")
    assert "tiny-linked" in page.inner_text("#linked") and page.locator("#read").count() == 0
    page.wait_for_timeout(2500)  # longer than it takes to load
    assert "tiny-linked" not in page.inner_text("#model-badge"), "nothing is loaded, and the window keeps its model"
    page.click("#linked-load")
    page.wait_for_selector("#prompt")
    assert page.input_value("#prompt") == "the cat sat on the cat"
    page.wait_for_function("() => document.querySelector('#model-badge').innerText.includes('tiny-linked')")
    other = open_page(address)  # it is in memory now
    other.wait_for_selector("#prompt")


def test_the_page_can_be_opened_with_the_model_in_use(open_page: Callable[..., Page]) -> None:
    page = open_page(f"/neurons?model={quote(json.dumps({'source': 'owner/never-seen'}))}")
    page.wait_for_selector("#linked-load")
    page.get_by_text("Open this page with the model in use").click()
    page.wait_for_selector("#nrn-layer")
    assert "never-seen" not in page.inner_text("#model-badge")
