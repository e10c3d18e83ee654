"""theme.js and frame/shell.js: theme, address, ways between pages, the copied link."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

pytestmark = pytest.mark.browser
Scripted = Callable[..., Page]
THEME = "document.documentElement.dataset.bsTheme"


def test_the_theme_is_the_systems_until_one_is_chosen_and_then_that_of_last_time(scripted: Scripted) -> None:
    page = scripted()
    page.evaluate("() => localStorage.clear()")
    page.emulate_media(color_scheme="dark")
    assert scripted().evaluate(THEME) == "dark"
    page.emulate_media(color_scheme="light")
    page = scripted()
    assert page.evaluate(THEME) == "light" and page.evaluate("dash_clientside.attune.initTheme()") == "light"
    told = page.evaluate(
        """() => { window.drawn = []; const scale = (diverging) => ({ layout: { colorscale: { diverging } } });
        window.Plotly = { relayout: (plot, what) => drawn.push(what.template.layout.colorscale.diverging),
                          restyle: (plot, what, traces) => drawn.push([what.colorscale[0], traces]) };
        document.body.innerHTML = "<div class=js-plotly-plot></div>";
        const plot = document.body.firstChild;
        plot.layout = {}; plot.data = [{}, { colorscale: ["L"] }, { colorscale: ["x"] }];
        const toggle = dash_clientside.attune.toggleTheme, templates = { light: scale(["L"]), dark: scale(["D"]) };
        return [toggle(0, templates), toggle(1, templates), drawn]; }"""
    )
    assert told == ["unchanged", "dark", [["D"], [["D"], [1]]]] and page.evaluate(THEME) == "dark"
    page = scripted()
    assert page.evaluate(THEME) == "dark", "the theme of last time goes before the system's"
    page.evaluate("() => localStorage.clear()")


def test_a_state_becomes_the_query_of_the_address(scripted: Scripted) -> None:
    page = scripted()
    written = page.evaluate(
        "dash_clientside.attune.address('a b&c', 0, null, '', false, [], [1, 2], { x: 1 }, "
        "['text', 'zero', 'none', 'empty', 'no', 'list', 'pair', 'object'])"
    )
    assert written == "/?text=a+b%26c&zero=0&pair=%5B1%2C2%5D&object=%7B%22x%22%3A1%7D"
    assert page.evaluate("location.pathname + location.search") == written


def test_the_way_back_leads_to_the_view_that_was_left_without_its_model(scripted: Scripted) -> None:
    page = scripted()
    go = "(address, here) => dash_clientside.attune.wayBack(address, here, ['/one', '/two'])"
    assert page.evaluate(f"({go})(null, '/one')") == ["/one", True, "/two", False]
    assert page.evaluate(f"({go})('/one?tab=x&model=m', '/two')") == ["/one?tab=x", False, "/two", True]
    assert page.evaluate(f"({go})('/other?tab=x', '/onething')") == ["/one?tab=x", False, "/two", False]


def test_the_link_is_copied_or_it_is_said_where_it_stands(scripted: Scripted) -> None:
    page = scripted()
    told = page.evaluate(
        """async () => { const copy = dash_clientside.attune.copyAddress, told = [await copy(0)];
        navigator.clipboard.writeText = async (text) => { window.copied = text; };
        told.push(await copy(1), copied);
        navigator.clipboard.writeText = async () => { throw new Error("no"); };
        return [...told, await copy(2)]; }"""
    )
    assert told == ["unchanged", "Link copied", "http://localhost/", "Copy it from the address bar"]


def test_the_address_is_opened_again_once_its_model_is_loaded(scripted: Scripted) -> None:
    page = scripted()
    assert page.evaluate("dash_clientside.attune_linked.again(null)") == "unchanged"
    with page.expect_navigation():
        page.evaluate("() => { dash_clientside.attune_linked.again(1); }")
