"""Texts that a model writes can be pinned once they stand there, and what is pinned is what was on the screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser
REF = "() => dash_component_api.getLayout({ settings: 'written-texts' })?.props.data ?? null"
PINNED = """async (pin) => (await (await fetch('/findings/api/pins/' + pin)).json())"""


def test_written_texts_are_pinned_as_they_were_on_the_screen(open_page: Callable[..., Page]) -> None:
    page = open_page("/steering?count=8", width=1280, height=720)
    page.wait_for_selector("[data-pin=written-texts]")
    page.wait_for_function(f"() => ({REF})() !== null")
    first: Any = page.evaluate(REF)
    assert first["view"] == "steering/texts" and first["options"]["digest"]

    # While texts grow there is nothing that could be pinned, and not when they were stopped either.
    page.fill("#count", "300")
    page.click("#write")
    page.wait_for_function("() => document.querySelectorAll('#steered-text span').length > 3")
    assert page.evaluate(REF) is None
    page.click("#stop")
    page.locator("[data-pin=written-texts]").click()
    expect(page.locator(".attune-pin-message")).to_contain_text("nothing to pin")

    # The same question again: its ref comes back, though it is equal to the one before.
    page.fill("#count", "8")
    page.click("#write")
    page.wait_for_function(f"() => ({REF})() !== null")
    assert page.evaluate(REF)["options"] == first["options"]
    shown = {name: page.inner_text(f"#{name}-text") for name in ("base", "steered")}
    with page.expect_response(lambda answer: answer.url.endswith("/findings/api/pin")) as answer:
        page.locator("[data-pin=written-texts]").click()
    expect(page.locator(".attune-pin-message")).to_contain_text("Pinned to")
    pinned = page.evaluate(PINNED, answer.value.json()["pin"])
    (texts,) = [part for part in pinned["parts"] if part["kind"] == "texts"]
    assert [" ".join(text["text"].split()) for text in texts["texts"]] == [
        " ".join(shown[name].split()) for name in ("base", "steered")
    ]
    assert pinned["control"]["name"] == "unsteered text" and pinned["numbers"]["strength"] == 0.6
