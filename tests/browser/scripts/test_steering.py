"""pages/steering.js: what the sliders say together, at most one question in a while; what a hand has moved stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

pytestmark = pytest.mark.browser
Scripted = Callable[..., Page]
# The arguments of gather: strengths dragged and released, factors dragged and released, and the rest.
GATHER = """({ changed = [], dragged = [null], released = [0.5], when = [0, "none", null, "above", 0.5] }) => {
  dash_clientside.callback_context.triggered = changed.map((name) => ({ prop_id: '{"strength":7}.' + name, value: 1 }));
  return dash_clientside.attune.gather(dragged, released, [null, null], [0.1, -0.2], "add", "all", null, true, true,
    ...when, [-1.5, null], "fit", [{ region: 7 }], [{ strength: 7 }],
    [{ factor: 0, region: 7 }, { factor: 1, region: 7 }], [{ vector: "happy" }, { vector: "sad" }]); }"""
DRAWN = {
    "props": {
        "children": [{"props": {"id": {"strength": 7}, "value": 0.1}}, {"props": {"id": "other", "value": 3}}, "text"]
    }
}


def strength(steer: Any) -> float:
    return float(steer["regions"][0]["strength"])


def test_sliders_become_one_plain_question(scripted: Scripted) -> None:
    assert scripted().evaluate(GATHER, {}) == {
        "fit": "fit", "mode": "add", "where": "all", "layers": [], "rotation": True,
        "regions": [{"region": 7, "strength": 0.5, "factors": [0.1, -0.2]}],
        "vectors": [{"name": "happy", "strength": -1.5}],
    }  # fmt: skip


def test_when_steering_acts_is_part_of_the_question_and_a_bad_number_of_it_is_said(scripted: Scripted) -> None:
    page = scripted()
    made = page.evaluate(GATHER, {"when": [3, "projection", None, "below", 0.25]})
    assert made["after"] == 3 and made["gate"] == {"kind": "projection", "region": 7, "side": "below", "value": 0.25}
    said = "Steers only after 3 written tokens, and while the projection on the direction of region 7 is below 0.25."
    assert page.evaluate("props['gate-said'].children") == said
    for when, words in (
        ([None, "none", None, "above", 0.5], "whole number"),
        ([0, "projection", 1, "above", ""], "value"),
    ):
        assert page.evaluate(GATHER, {"when": when}) == "unchanged"
        assert words in page.evaluate("props['gate-said'].children")


def test_nothing_is_asked_until_the_sliders_stand_there(scripted: Scripted) -> None:
    call = (
        "dash_clientside.attune.gather([], [], [], [], 'add', 'all', null, true, true, 0, 'none', null, 'above', 0.5, "
    )
    call += "[], {}, {}, [], [], [])"
    page = scripted()
    page.evaluate("() => { dash_clientside.callback_context.triggered = []; }")
    assert page.evaluate(call.format("'fit'", "[{ region: 7 }]")) == "unchanged"
    assert page.evaluate(call.format("'fit'", "[]"))["regions"] == []
    assert page.evaluate(call.format("null", "[]")) == "unchanged"


def test_dragging_asks_for_the_latest_and_not_for_each(scripted: Scripted) -> None:
    page = scripted()
    page.evaluate("() => { dash_clientside.callback_context.triggered = []; }")
    page.evaluate(GATHER, {})
    # Two moves within one frame: the second is what the one question is about.
    asked = page.evaluate(
        f"() => {{ const gather = {GATHER}; gather({{ changed: ['drag_value'], dragged: [0.6] }});"
        "gather({ changed: ['drag_value'], dragged: [0.9] }); return put.length; }"
    )
    page.wait_for_function("() => data('steer')")
    page.wait_for_timeout(100)
    assert asked == 0 and strength(page.evaluate("data('steer')")) == 0.9
    assert page.evaluate("put.length") == 1
    assert strength(page.evaluate(GATHER, {"changed": ["value"], "dragged": [0.9], "released": [1.0]})) == 1.0


def test_what_a_hand_has_moved_stays_when_sliders_are_drawn_anew(scripted: Scripted) -> None:
    page, draw = scripted(), "(drawn) => dash_clientside.attune.underHand(drawn)"
    assert page.evaluate(draw, DRAWN) == DRAWN and page.evaluate(draw, None) == "unchanged"
    page.evaluate(GATHER, {"changed": ["value"], "released": [1.5]})
    children = page.evaluate(draw, DRAWN)["props"]["children"]
    assert [c["props"]["value"] for c in children[:2]] == [1.5, 3] and children[2] == "text"
    page.evaluate("() => dash_clientside.attune.rowsSet()")
    assert page.evaluate(draw, DRAWN) == DRAWN


def test_rows_that_no_press_has_touched_keep_what_a_hand_made_of_them(scripted: Scripted) -> None:
    page = scripted()
    page.evaluate("() => { dash_clientside.callback_context.triggered = []; }")
    page.evaluate(GATHER, {"released": [2.0]})
    state = page.evaluate(
        """() => { const row = (region, strength) => ({ fit: "fit", region, strength, factors: [] });
        dash_clientside.set_props("on-sliders", { data: [row(7, 0.5)] });
        const start = [row(7, 0.5), row(8, 1)];
        dash_clientside.attune.press("on-sliders", { kind: "add", region: 9 });
        dash_clientside.attune.settle("on-sliders", { to: 1, from: [row(7, 0.5)], start,
          state: [row(7, 0.5), row(8, 3), row(9, 1)] });
        return data("on-sliders"); }"""
    )
    assert [(r["region"], r["strength"]) for r in state] == [(7, 2.0), (8, 3), (9, 1)]


def test_lists_and_the_map_pick_regions(scripted: Scripted) -> None:
    kinds = {"a": "choose='3'", "b": "add='4'", "c": "use='k'"}
    page = scripted("".join(f"<button id={name} data-{kind}>{name}</button>" for name, kind in kinds.items()))
    for name in "abc":
        page.click("#" + name)
    assert page.evaluate("data('chosen-region')") == 3
    presses = page.evaluate("dash_clientside.attune.pressed('on-sliders').map((p) => [p.kind, p.region ?? p.context])")
    assert presses == [["choose", 3], ["add", 4], ["use", "k"]]
    click = "(c) => dash_clientside.attune.mapClick(c)"
    assert page.evaluate(click, {"points": [{"customdata": [12]}]}) == 12
    assert page.evaluate(click, {"points": [{"customdata": 0}]}) == 0
    assert page.evaluate(click, {"points": [{}]}) == page.evaluate(click, None) == "unchanged"


def test_the_picker_puts_a_region_on_the_sliders_alone_and_shows_the_first_there(scripted: Scripted) -> None:
    page = scripted()
    rows, options = [{"region": 7}, {"region": 8}], [{"value": 7}, {"value": 9}]
    pick = "([region, rows]) => dash_clientside.attune.pickRegion(region, rows)"
    assert page.evaluate("([rows, options]) => dash_clientside.attune.pickOf(rows, options)", [rows, options]) == 7
    assert page.evaluate("(options) => dash_clientside.attune.pickOf([{ region: 3 }], options)", options) is None
    for region in (7, None):
        assert page.evaluate(pick, [region, rows]) == "unchanged"
    assert page.evaluate("dash_clientside.attune.pressed('on-sliders')") == []
    page.evaluate(pick, [9, rows])
    presses = page.evaluate("dash_clientside.attune.pressed('on-sliders').map((p) => [p.kind, p.region])")
    assert presses == [["only", 9]] and page.evaluate("data('chosen-region')") == 9


def test_the_chosen_row_is_marked_where_the_list_stands_and_also_in_a_list_that_comes_later(scripted: Scripted) -> None:
    page = scripted("<div id='region-list' style='height: 40px; overflow: auto'></div>")
    fill = """(n) => document.getElementById('region-list').replaceChildren(...[...Array(n).keys()].map((k) => {
      const row = document.createElement('button'); row.dataset.choose = k; row.style.display = 'block';
      row.style.height = '20px'; return row; }))"""
    page.evaluate(fill, 9)
    page.evaluate("() => { document.getElementById('region-list').scrollTop = 60; }")
    mark = "(region) => dash_clientside.attune.markChosen(region)"
    current = "() => [...document.querySelectorAll('[aria-current=true]')].map((row) => row.dataset.choose)"
    page.evaluate(mark, 4)
    assert page.evaluate(current) == ["4"] and page.evaluate("document.getElementById('region-list').scrollTop") == 60
    page.evaluate(mark, 8)
    assert page.evaluate(current) == ["8"] and page.evaluate("document.getElementById('region-list').scrollTop") == 140
    page.evaluate(fill, 9)
    page.wait_for_function(
        "() => document.querySelector('[data-choose=\"8\"]').getAttribute('aria-current') === 'true'"
    )


FOUND = """([changed, reached, asked, limit, steer, ...values]) => {
  dash_clientside.callback_context.triggered = [{ prop_id: changed, value: [reached, asked, limit].find((v) => v) }];
  return dash_clientside.attune.foundFor(reached, asked, limit, steer, ...values); }"""
FORGET = "(values) => dash_clientside.attune.forgetFound(...values)"


def test_what_was_found_leaves_with_what_it_was_about(scripted: Scripted) -> None:
    page = scripted()

    def steer(strength: float, factor: float = 0.0) -> Any:
        return {"fit": "f", "regions": [{"region": 7, "strength": strength, "factors": [factor]}], "mode": "add"}

    page.evaluate(
        "() => { for (const n of ['target-said', 'limit-said']) dash_clientside.set_props(n, { children: 'x' });"
        "dash_clientside.set_props('limit', { data: {} }); }"
    )
    how = ["a prompt", False, 40, 0.7, 0.95, 1]
    page.evaluate(FOUND, ["reached.data", {"region": 7, "strength": 0.3}, None, None, steer(0.6), *how])
    page.evaluate(FOUND, ["ask-ladder.data", None, {"limit": True, "params": {"region": 7}}, None, steer(0.6), *how])
    page.evaluate(FOUND, ["limit.data", None, None, {"region": 7}, steer(0.6), *how])
    for there in (steer(0.6), steer(0.3)):  # under way, and arrived
        assert page.evaluate(FORGET, [there, *how]) == ["unchanged"] * 3
    # Another strength: the sentence on the KL is no longer about it; where texts break is.
    assert page.evaluate(FORGET, [steer(0.9), *how]) == ["", "unchanged", "unchanged"]
    assert page.evaluate(FORGET, [steer(0.9), *how[:5], 2]) == ["", "", None]


def test_bytes_are_saved_under_their_name(scripted: Scripted) -> None:
    page = scripted()
    with page.expect_download() as made:
        page.evaluate("() => { dash_clientside.attune.saveBytes({ name: 'v.bin', bytes: 'AAEC' }); }")
    assert made.value.suggested_filename == "v.bin" and Path(made.value.path()).read_bytes() == b"\x00\x01\x02"
    assert page.evaluate("dash_clientside.attune.saveBytes(null)") == "unchanged"


def test_a_cell_of_a_sweep_goes_onto_the_controls(scripted: Scripted) -> None:
    page = scripted()
    cells = {
        "over": "blocks", "region": 7, "layer": 10, "mode": "add", "axes": [0, 2], "rows": [4, 10],
        "columns": [0.05, 1], "strength": [[0.2, None], [0.5, 0.9]],
        "fit": "block-10", "model": {"source": "m"}, "where": "all",
    }  # fmt: skip
    page.evaluate(
        "() => { dash_clientside.set_props('region-fit', { value: 'block-10' });"
        "dash_clientside.set_props('model', { data: { source: 'm' } }); }"
    )
    take = "([click, cells]) => dash_clientside.attune.takeCell({ points: [click] }, cells)"
    assert page.evaluate(take, [{"x": 0, "y": 0}, cells]) == "On the sliders: region 7 at strength 0.2, block 4."
    assert page.evaluate("() => [props.layers.value, props['own-block'].value, props.mode.value]") == [
        [4],
        False,
        "add",
    ]
    assert page.evaluate("() => ['where', 'gate-kind', 'gate-after'].map((n) => props[n].value)") == ["all", "none", 0]
    other = page.evaluate(take, [{"x": 0, "y": 0}, cells | {"fit": "block-15"}])
    assert other == "This sweep is of the fit “block-15” of m. Open that one to take a cell of it."
    assert page.evaluate(take, [{"x": 1, "y": 0}, cells]) == "The KL is not reached in this cell."
    factors = cells | {"over": "factors", "rows": [-3, 3], "columns": [-3, 3]}
    page.evaluate(take, [{"x": 1, "y": 1}, factors])
    last = page.evaluate("() => data('on-sliders-presses').list.at(-1)")
    assert last["factors"] == [3, 0, 3] and last["strength"] == 0.9 and last["kind"] == "only"
    assert page.evaluate("() => [props.layers.value, props['own-block'].value]") == [[], True]


def test_places_are_marked_across_pieces_and_unmarked_again(scripted: Scripted) -> None:
    page = scripted(
        "<div class='attune-sample'><div id='samples-base-0-text'>"
        "<span>a wi</span><span>ne &lt;b&gt;</span></div></div>"
    )
    mark = "(marks) => dash_clientside.attune.markSamples(marks)"
    page.evaluate(mark, {"base-0": [[2, 6]], "gone-1": [[0, 1]]})
    html = "document.querySelector('#samples-base-0-text').innerHTML"
    assert page.evaluate(html) == "<span>a <mark>wi</mark></span><span><mark>ne</mark> &lt;b&gt;</span>"
    assert page.evaluate("document.querySelectorAll('.attune-with').length") == 1
    page.evaluate(mark, {"base-0": []})
    assert page.evaluate(html) == "<span>a wi</span><span>ne &lt;b&gt;</span>"
