"""What cannot be used gets a sentence where it was typed, and nothing typed is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

from analysis.qk.contrasts.kinds import CONTRAST_KINDS
from tests.browser.conftest import read

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "The prompt is empty"),
        ("cat", "one token long"),
        ("word " * 20_000, "20,001 tokens long; the limit here is 8,192"),
        ("one\x07two and three", "control characters (U+0007)"),
    ],
    ids=["empty", "one token", "20,000 words", "control characters"],
)
def test_prompts_that_cannot_be_read(page: Page, text: str, says: str) -> None:
    before = page.inner_text("#answer")
    read(page, text, wait=False)
    page.wait_for_function("s => document.querySelector('#prompt-error').innerText.includes(s)", arg=says)
    assert page.input_value("#prompt") == text
    assert page.inner_text("#answer") == before, "the last good answer stays"


@pytest.mark.parametrize(
    ("text", "word", "note"),
    [
        ("שלום עולם וגם שלום", "", "Right-to-left text"),
        ("I ❤️ 🦄 and 🦄 loves me", "loves", "part of a character"),
    ],
    ids=["right to left", "emoji"],
)
def test_unusual_text_is_read_with_a_remark(page: Page, text: str, word: str, note: str) -> None:
    read(page, text)
    page.wait_for_function("s => document.querySelector('#prompt-notes').innerText.includes(s)", arg=note)
    assert word in page.inner_text("#query-strip")
    assert page.locator("#prompt-error .alert").count() == 0


def open_form(page: Page, kind: str) -> None:
    """Open the form of a kind of contrast."""
    if kind in page.inner_text("#kind"):
        page.click("#define")
        page.wait_for_selector("#add-feature")
        return
    page.click("#kind")
    page.locator("[role=option], .dash-dropdown-option").filter(has_text=kind).first.click()
    explanation = next(k.explanation for k in CONTRAST_KINDS.values() if kind in k.title)
    page.wait_for_function("e => document.querySelector('#contrast-form').textContent.includes(e)", arg=explanation)
    page.wait_for_selector("#add-feature")


def _refused(page: Page, says: str) -> None:
    page.click("#add-feature")
    page.wait_for_function("s => document.querySelector('#form-error').innerText.includes(s)", arg=says)


def _option(page: Page, name: str) -> str:
    return f'[id=\'{{"option":"{name}"}}\']'


def test_templates_and_jsonl_files_are_refused_in_words(page: Page) -> None:
    open_form(page, "Template")
    template, lists = _option(page, "template"), _option(page, "word_lists")
    usual_template, usual_lists = page.input_value(template), page.input_value(lists)
    page.fill(template, "There is nothing to fill in here.")
    _refused(page, "slot")
    assert page.input_value(template) == "There is nothing to fill in here."
    page.fill(template, "The {animal.1|+} met the {animal.2|-}. The {animal.1|?}")
    page.fill(lists, "animal: cat, dog, cow, hippopotamuses, horse, mouse, bird, fish, pig")
    _refused(page, "hippopotamuses")
    page.fill(template, usual_template)
    page.fill(lists, usual_lists)
    page.fill("#examples", "24")
    page.click("#preview-feature")
    page.wait_for_selector(".attune-mark-positive")
    page.click("#add-feature")
    page.wait_for_function("() => document.querySelectorAll('.attune-chip').length === 2")

    open_form(page, "Your own examples")
    good = json.dumps({"text": "A cat sat by the dog. Then", "positive": ["cat"], "negative": ["dog"]})
    page.fill(_option(page, "text"), "\n".join([good] * 5 + ['{"text": '] + [good] * 5))
    _refused(page, "ine 6")
    assert '{"text": ' in page.input_value(_option(page, "text"))


def test_models_that_cannot_be_loaded(open_page: Callable[..., Page], tmp_path: Path) -> None:
    page = open_page("/model")
    page.wait_for_selector(".attune-works")
    (tmp_path / "empty").mkdir()
    truncated = tmp_path / "cut.gguf"
    truncated.write_bytes(b"GGUF" + (3).to_bytes(4, "little") + (99).to_bytes(8, "little") + b"\0" * 20)
    for source, says in (
        ("nobody/no-such-model-anywhere", "nobody/no-such-model-anywhere"),
        (str(tmp_path / "empty"), "config.json"),
        (str(truncated), "cut"),
        ("../../etc/passwd\x00", "model"),
    ):
        for button in ("#check", "#load"):
            page.fill("#source", source)
            page.click(button)
            page.wait_for_function(
                "s => { const e = document.querySelector('#model-error .alert'); return e && "
                "e.innerText.length > 20 && "
                "(e.innerText.includes(s) || e.innerText.toLowerCase().includes('model')); }",
                arg=says,
            )
            assert page.locator("#model-error .alert-danger").count() == 0, page.inner_text("#model-error")
            page.wait_for_function("() => !document.querySelector('#load').disabled")
    page.fill("#source", "default")
    page.click("#check")
    page.wait_for_function("() => document.querySelector('#estimate').innerText.includes('134,515,008')")
    assert "works" in page.inner_text("#residents")


def test_an_emptied_number_is_refused_and_its_box_marked(open_page: Callable[..., Page]) -> None:
    page = open_page("/validation")
    for name, other in (("#toy-seed", "#toy-n1"), ("#toy-n1", "#toy-seed")):
        page.fill(name, "")
        page.fill(other, "3")
        page.click("#toy-train")
        page.wait_for_selector(f"{name}[aria-invalid=true]")
        said = page.get_attribute(name, "aria-describedby")
        assert "is empty" in page.inner_text(f"#{said}")
        assert page.locator("[data-refused]").count() == 1 and page.get_attribute(other, "aria-invalid") is None
