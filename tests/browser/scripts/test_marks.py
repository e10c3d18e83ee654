"""frame/refused.js and frame/controls.js: marks and names that are laid on controls from outside React."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

pytestmark = pytest.mark.browser
Scripted = Callable[..., Page]


def test_a_refusal_marks_its_control_for_as_long_as_it_stands(scripted: Scripted) -> None:
    page = scripted("<div id='a'><button>x</button></div><input id='b' title='own'>")
    button, entry = page.locator("#a button"), page.locator("#b")
    page.evaluate(
        """() => document.body.append(...["a", "b"].map((id) =>
        dash_clientside.attune_kit.element("p", { "data-refuses": id }, "No: " + id)))"""
    )
    page.wait_for_selector("#b[aria-invalid=true]")
    assert button.get_attribute("title") == "No: a" and entry.get_attribute("title") == "own"
    said = button.get_attribute("aria-describedby")
    assert page.inner_text(f"#{said}") == "No: a" and page.locator("#a").get_attribute("data-refused") == said
    page.evaluate("() => document.querySelectorAll('[data-refuses]').forEach((e) => e.remove())")
    page.wait_for_selector("#a:not([data-refused])")
    for control in (button, entry):
        assert control.get_attribute("aria-invalid") is None and control.get_attribute("aria-describedby") is None
    assert button.get_attribute("title") is None and entry.get_attribute("title") == "own"


def test_sliders_bars_and_files_are_named(scripted: Scripted) -> None:
    page = scripted()
    slider = "<div id='{}' class='dash-slider-container'><span role='slider'></span><input></div>"
    page.evaluate(
        "(html) => { document.body.innerHTML = html; }",
        "<label for='s'>layer</label>"
        + slider.format("s")
        + "<div role='group' aria-label='rank'>"
        + slider.format("t")
        + "</div><div role='progressbar'><span>fitting</span></div><div><input type='file'><button>Open</button></div>",
    )
    page.wait_for_selector("[role=progressbar][aria-label=fitting]")
    names = page.evaluate(
        "[...document.querySelectorAll('[role=slider], input')].map((e) => e.getAttribute('aria-label'))"
    )
    assert names == ["layer", "layer", "rank", "rank", "Open"]


def test_tabs_point_at_their_panels(scripted: Scripted) -> None:
    page = scripted()
    tab = "<li><a role='tab' id='tab-null' aria-controls='pane-null'>x</a></li>"
    panel = "<p id='pane-{0}' aria-labelledby='tab-{0}'></p>"
    page.evaluate(
        "(html) => { document.body.innerHTML = html; }",
        "<ul class='nav-tabs'>" + tab * 2 + "</ul><div>" + panel.format("a") + panel.format("b") + "</div>",
    )
    page.wait_for_selector("#tab-b[aria-controls=pane-b]")
    tabs = page.evaluate(
        "[...document.querySelectorAll('[role=tab]')].map((t) => [t.id, t.getAttribute('aria-controls')])"
    )
    assert tabs == [["tab-a", "pane-a"], ["tab-b", "pane-b"]]


def test_the_keyboard_stops_at_a_dropdown_once(scripted: Scripted) -> None:
    page = scripted()
    page.evaluate(
        "(html) => { document.body.innerHTML = html; }",
        "<label for='d'>kind</label><input class='dash-dropdown-focus-target' aria-hidden='true' tabindex='0'>"
        "<button id='d' tabindex='-1' aria-labelledby='v'><b id='v'>induction</b></button>",
    )
    page.wait_for_selector(".dash-dropdown-focus-target[inert]", state="attached")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "d"
    assert page.get_by_role("button", name="kind induction").count() == 1
