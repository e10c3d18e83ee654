"""pages/neurons.js, pages/features.js, pages/faithfulness/items.js: lists drawn outside React, and their presses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

pytestmark = pytest.mark.browser
Scripted = Callable[..., Page]
EVIL = "<img src=x onerror='alert(1)'>"

# Neurons


def test_a_neurons_list_is_drawn_from_a_tree_and_walked(scripted: Scripted) -> None:
    page = scripted("<div id='list' class='nrn-list'></div>")
    row = [
        {"t": "button", "a": {"class": "nrn-row", "data-nrn-open": f"3:in:{n}"}, "c": [EVIL, str(n)]} for n in (5, 6)
    ]
    draw = "([tree, id]) => dash_clientside.attune_neurons.draw(tree, id)"
    page.evaluate(draw, [row, "list-tree"])
    assert page.locator(".nrn-row").all_inner_texts() == [EVIL + "5", EVIL + "6"] and page.locator("img").count() == 0
    page.focus(".nrn-row")
    page.keyboard.press("ArrowDown")
    page.evaluate(draw, [row, "list-tree"])
    assert page.evaluate("document.activeElement.dataset.nrnOpen") == "3:in:6"
    assert page.evaluate(draw, [row, "gone-tree"]) == "unchanged" == page.evaluate(draw, [None, "list-tree"])
    page.click("[data-nrn-open='3:in:5']")
    picked = page.evaluate("data('nrn-picked')")
    assert picked.pop("turn") and picked == {"layer": 3, "vector": "in", "neuron": 5, "channel": None}


@pytest.mark.parametrize(
    ("attributes", "store", "value"),
    [
        ("data-nrn-open='1:out:2:7'", "nrn-picked", {"layer": 1, "vector": "out", "neuron": 2, "channel": 7}),
        ("data-nrn-channel='4'", "nrn-asked", {"channel": 4}),
    ],
)
def test_presses_on_a_neurons_cards(scripted: Scripted, attributes: str, store: str, value: dict[str, Any]) -> None:
    page = scripted(f"<button {attributes}><b>x</b></button>")
    page.click("b")
    saved = page.evaluate(f"data('{store}')")
    assert saved.pop("turn") and saved == value


def test_tokens_are_left_out_and_taken_back_through_the_queue(scripted: Scripted) -> None:
    page = scripted(
        "<button id=a data-nrn-skip='9' data-nrn-label=' the'>a</button><button id=b data-nrn-keep='9'>b</button>"
    )
    page.click("#a")
    page.click("#b")
    presses = page.evaluate("dash_clientside.attune.pressed('nrn-excluded').map(({ n, seed, ...what }) => what)")
    assert presses == [{"kind": "skip", "id": 9, "token": " the"}, {"kind": "keep", "id": 9}]


def test_an_answer_goes_to_the_neuron_that_is_still_open(scripted: Scripted) -> None:
    page = scripted()
    open_, other = {"layer": 1, "vector": "in", "neuron": 2}, {"layer": 1, "vector": "in", "neuron": 3}
    take = "([answer, neuron]) => dash_clientside.attune_neurons.take(answer, neuron)"
    page.evaluate(take, [{"params": open_}, other])
    page.evaluate(take, [None, open_])
    assert page.evaluate("put") == []
    page.evaluate(take, [{"params": open_}, open_])
    assert page.evaluate("data('nrn-found')") == {"params": open_}
    layer = page.evaluate("dash_clientside.attune_neurons.layer({ points: [{ customdata: [4, 'out'] }] })")
    assert layer.pop("turn") and layer == {"layer": 4, "vector": "out"}


# Features

ROWS = [{"feature": n, "label": EVIL, "auc": "0.9", "active": "1%", "top": "a"} for n in (3, 4)]


def test_a_list_of_features_is_drawn_once_and_then_marked(scripted: Scripted) -> None:
    page = scripted("<div id='mlp-list' class='mlp-list'></div>")
    told = page.evaluate(
        """(rows) => { const draw = dash_clientside.attune_features.list; draw(rows, 3, []);
        const first = document.querySelector(".mlp-row"); draw(rows, 4, [3]);
        return first === document.querySelector(".mlp-row"); }""",
        ROWS,
    )
    assert told and page.locator("img").count() == 0
    rows, signs = page.locator(".mlp-row"), page.locator("[data-mlp-member]")
    assert [r.get_attribute("aria-current") for r in rows.all()] == ["false", "true"] and signs.all_inner_texts() == [
        "−",
        "+",
    ]
    assert rows.nth(0).get_attribute("title") == "feature 3: a" and EVIL in rows.nth(0).inner_text()
    rows.nth(0).focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.evaluate("data('mlp-picked').feature") == 4
    signs.nth(0).click()
    assert page.evaluate("dash_clientside.attune.pressed('mlp-members')[0].feature") == 3
    page.evaluate("() => dash_clientside.attune_features.list([], null, [])")
    assert page.inner_text("#mlp-list") == "No feature matches."


def test_contexts_shade_tokens_and_name_those_that_are_known(scripted: Scripted) -> None:
    page = scripted("<div id='mlp-contexts-top'></div><div id='mlp-contexts-random'>old</div>")
    context = {"tokens": ["a", EVIL], "values": [0.001, 0.5], "at": 1, "theme": "t"}
    page.evaluate("(top) => dash_clientside.attune_features.contexts({ top })", [context, context | {"ids": [7, 8]}])
    tokens = page.locator(".mlp-token")
    shade = "(all) => all.map((e) => e.style.getPropertyValue('--shade'))"
    assert tokens.evaluate_all(shade) == ["", "0.5", "", "0.5"] and page.inner_text("#mlp-contexts-random") == ""
    assert page.locator(".attune-tok").evaluate_all("(all) => all.map((e) => [e.dataset.tokenId, e.tabIndex])") == [
        ["7", -1],
        ["8", 0],
    ]
    assert tokens.nth(1).get_attribute("title") == "50 % of the feature's largest"
    assert "mlp-here" in (tokens.nth(1).get_attribute("class") or "") and page.locator("img").count() == 0


def test_clicks_in_figures_of_features(scripted: Scripted) -> None:
    page = scripted("<button id=a data-mlp-node='2:1'>a</button><button id=b data-mlp-pair='3:5'>b</button>")
    node = "(c) => dash_clientside.attune_features.node(c)"
    assert page.evaluate(node, {"points": [{"customdata": ["1:2"]}]})["node"] == "1:2"
    assert page.evaluate(node, {"points": [{"customdata": "none"}]}) == "unchanged"
    figure = {"data": [{"y": ["a", "b"], "customdata": [[3], [4]]}]}
    cell = "([c, f]) => dash_clientside.attune_features.cell(c, f)"
    assert page.evaluate(cell, [{"points": [{"y": "b"}]}, figure])["feature"] == 4
    assert page.evaluate(cell, [{"points": [{"y": "z"}]}, figure]) == "unchanged"
    page.click("#a")
    page.click("#b")
    assert page.evaluate("data('mlp-node').node") == "2:1"
    assert page.evaluate("dash_clientside.attune.pressed('mlp-members')[0].pair") == [3, 5]


# Items of the Faithfulness page


def group(name: str, text: str, tiers: list[str]) -> dict[str, Any]:
    members = [[f"{name}-{regime}", regime, sign, text, tiers[0]] for regime, sign in (("K", True), ("R", None))]
    return {"members": members, "tiers": tiers}


ITEMS = {"study": "s", "failed": False, "groups": [group("a", "One text", ["1"]), group("b", EVIL, ["2"])]}
LIST = "<div id='fth-list' class='fth-list'></div>"
DRAW = "([items, item, tier, words]) => dash_clientside.attune_faith.list(items, item, tier, words)"


def test_items_are_listed_by_text_tier_and_words(scripted: Scripted) -> None:
    page = scripted(LIST)
    assert page.evaluate(DRAW, [ITEMS, {"item": "a-R"}, "", ""]) == ["unchanged", "2 texts"]
    rows = page.locator(".fth-row")
    assert [r.get_attribute("data-fth-item") for r in rows.all()] == ["a-R", "b-R"], "the regime that is open stays"
    assert rows.nth(0).get_attribute("aria-current") == "true" and page.locator("img").count() == 0
    assert page.locator(".fth-sign").all_inner_texts() == ["●", "□", "●", "□"]
    assert page.evaluate(DRAW, [ITEMS, None, "1", ""])[1] == "1 text"
    assert page.evaluate(DRAW, [ITEMS, None, "", "one  TEXT"])[1] == "1 of 2" and rows.count() == 1
    page.evaluate(DRAW, [ITEMS, None, "", "nowhere"])
    assert page.inner_text("#fth-list") == "No item has these words."
    assert page.evaluate(DRAW, [ITEMS | {"failed": True}, None, "", ""])[1] == ""


def test_the_focus_stays_with_a_text_when_its_regime_changes(scripted: Scripted) -> None:
    page = scripted(LIST)
    page.evaluate(DRAW, [ITEMS, {"item": "b-K"}, "", ""])
    page.focus(".fth-row:nth-child(2)")
    page.evaluate(DRAW, [ITEMS, {"item": "b-R"}, "", ""])
    assert page.evaluate("document.activeElement.dataset.fthItem") == "b-R"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    assert page.evaluate("data('fth-picked').item") == "a-R"


def test_an_item_opens_from_elsewhere_with_its_study_and_tier(scripted: Scripted) -> None:
    page = scripted(
        "<div id='fth-item-card'></div><button id='fth-flag' hidden></button><p style='height: 3000px'></p>"
    )
    open_ = "([asked, items, tier]) => dash_clientside.attune_faith.open(asked, items, tier)"
    assert page.evaluate(open_, [{"item": "a-K", "study": "s"}, ITEMS, "1"]) == [
        {"item": "a-K", "study": "s"},
        "unchanged",
        "unchanged",
    ]
    assert page.evaluate(open_, [{"item": "b-K", "study": "s"}, ITEMS, "1"])[2] == "2"
    assert page.evaluate(open_, [{"item": "b-K"}, ITEMS, "1"]) == ["unchanged", "", "unchanged"]
    assert (
        page.evaluate(open_, [{"item": "z", "study": "s"}, ITEMS, "1"])
        == ["unchanged"] * 3
        == page.evaluate(open_, [None, ITEMS, ""])
    )
    assert page.inner_text("#fth-flag") == "b-K is open. See it ↑" and page.is_visible("#fth-flag")
    page.click("#fth-flag")
    assert page.is_hidden("#fth-flag")
    pick = "([picked, items]) => dash_clientside.attune_faith.pick(picked, items)"
    assert page.evaluate(pick, [{"item": "a-K"}, ITEMS]) == {"item": "a-K", "study": "s"}
    assert page.evaluate(pick, [None, ITEMS]) == "unchanged"


def test_the_switch_of_regimes_shows_what_was_pressed_and_is_walked(scripted: Scripted) -> None:
    regimes = "".join(f"<button data-fth-item='a-{r}' aria-pressed='false'>{r}</button>" for r in "KR")
    page = scripted(f"<div class='fth-switch'>{regimes}<button disabled>no</button></div>")
    page.click("[data-fth-item='a-K']")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.fthItem") == "a-R"
    page.keyboard.press("Enter")
    assert page.evaluate("[...document.querySelectorAll('[aria-pressed=true]')].map((b) => b.textContent)") == ["R"]


def test_a_step_of_the_text_is_edited_in_its_tab_and_the_prompt_opens_on_its_page(scripted: Scripted) -> None:
    page = scripted(
        "<span data-fth-step='2' role='button' tabindex='0'>s</span>"
        "<div id='fth-form'><select data-at='1'></select></div>"
        "<button data-fth-attention='1'>p</button><div id='fth-attention'><a href='#there'>a</a></div>"
    )
    page.focus("[data-fth-step]")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.activeElement.tagName === 'SELECT'")
    assert page.evaluate("props['fth-tab'].active_tab") == "intervene"
    page.click("[data-fth-attention]")
    assert page.url.endswith("#there")
