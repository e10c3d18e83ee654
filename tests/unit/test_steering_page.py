"""The Steering page without a model: its address, its sliders as data, its figures, and the stream to the browser."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from plotly.utils import PlotlyJSONEncoder

from analysis.answer import from_wire, to_wire
from analysis.engine.client import OperationFailed, Reply, Superseded, WorkerGone
from analysis.errors import Cancelled, UserError
from analysis.mfa.answers.regions import (
    ContextLine,
    Effects,
    Factor,
    FitFacts,
    FitMap,
    Iteration,
    NewFit,
    Region,
    RegionFacts,
    TokenParts,
    TokenValue,
)
from analysis.mfa.answers.steering import Control, ControlTable, Presence, SteeredNext, SteeredTexts
from analysis.mfa.ops.steer import SteerText
from analysis.mfa.settings import MAX_REGIONS, RegionSetting, SteeringSettings
from analysis.models.spec import ModelSpec
from analysis.steering.answers import NextTokens, WrittenText
from analysis.view_ref import QuestionRef, ViewRef
from components.kit.next_tokens import next_tokens
from components.kit.readouts import figures_of, readouts
from components.kit.view import NoOptions, View, view_called
from components.kit.written import TextsOptions
from components.mfa import region_figures, steering_figures
from components.mfa.card import factor_effects, region_card, region_effects
from components.mfa.evidence import control_said
from components.mfa.region_figures import MapOptions, TokenOptions
from components.mfa.region_list import matching, ranked, region_rows, themeless, why_met
from components.mfa.sliders import END, Zone, more_options, region_sliders, usual_zone
from components.mfa.steering_figures import ControlOptions, NextOptions
from pages.frame import api
from pages.frame import streams as route
from pages.state import read
from pages.steering.state import START_TEXT, Row, SteeringState, plain_rows, rows_of, rows_on
from tests.unit.test_attention_words import text_of

STEER = SteeringSettings(
    "block-10", (RegionSetting(3, 0.25, (1.0, -2.0)), RegionSetting(8, 0.5)), "add", "generated", (4,), "varimax"
)


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path / "home"))


# The address


def steer_with(**changes: Any) -> dict[str, Any]:
    return {"steer": json.dumps({**STEER.to_dict(), **changes})}


def read_address(query: dict[str, Any]) -> SteeringState:
    return read(SteeringState, query)


def regions_of(view: SteeringState) -> list[int]:
    return [r["region"] for r in (view.steer or {}).get("regions", [])]


def test_a_view_survives_its_address() -> None:
    model = ModelSpec("default", dtype="float32").to_dict()
    view = read_address(
        {
            "model": json.dumps(model), "steer": json.dumps(STEER.to_dict()), "text": "Once", "chat": "true",
            "seed": "7", "temperature": "0.25", "top_p": "0.5", "count": "60", "tab": "controls",
        }
    )  # fmt: skip
    assert view.problems == () and view.model == model and SteeringSettings.from_dict(view.steer) == STEER
    assert (view.text, view.chat, view.seed, view.temperature) == ("Once", True, 7, 0.25)
    assert (view.top_p, view.count, view.tab) == (0.5, 60, "controls")


def test_an_empty_address_opens_the_usual_view() -> None:
    assert read_address({}) == SteeringState()
    assert SteeringState().steer is None and SteeringState().text == START_TEXT


@pytest.mark.parametrize("name", ["seed", "count", "temperature", "top_p"])
@pytest.mark.parametrize("value", ["NaN", "nan", "1e9", "-1", "inf", "-Infinity", "x", "9" * 5000, "1_0e400"])
def test_numbers_that_cannot_be_used_are_said_and_the_rest_is_kept(name: str, value: Any) -> None:
    view = read_address({name: value, "text": "Once", **steer_with()})
    (problem,) = view.problems
    assert (
        getattr(view, name) == getattr(SteeringState(), name) and f"gives {name} as" in problem and len(problem) < 200
    )
    assert view.text == "Once" and regions_of(view) == [3, 8]


@pytest.mark.parametrize("strength", ["NaN", "1e9", "-0.5", "Infinity", "1e999", "null", '"0.5"', "9" * 400, "[]"])
def test_a_strength_that_cannot_be_used_takes_its_region_and_no_other(strength: str) -> None:
    steer = '{"fit": "f", "mode": "add", "regions": [{"region": 3, "strength": %s}, {"region": 8, "strength": 0.5}]}'
    view = read_address({"steer": steer % strength, "seed": "4"})
    (problem,) = view.problems
    assert regions_of(view) == [8] and view.steer is not None and view.steer["mode"] == "add" and view.seed == 4
    assert "from 0 to 1" in problem and "left out" in problem and len(problem) < 200


@pytest.mark.parametrize(
    "row",
    [
        {"region": -1}, {"region": 1.5}, {"strength": 0.5}, {"region": 1, "factors": "12"}, {"region": 1, "factors": 3},
        {"region": 1, "factors": [math.nan]}, {"region": 1, "factors": [1e9]}, {"region": 1, "factors": [0] * 65},
        3, None, "x", [1],
    ],
)  # fmt: skip
def test_a_region_that_cannot_be_used_is_left_out_and_said(row: Any) -> None:
    view = read_address(steer_with(regions=[row, {"region": 8, "strength": 0.5}]))
    assert regions_of(view) == [8] and len(view.problems) == 1 and view.problems[0].endswith("left out.")


@pytest.mark.parametrize(
    "changes",
    [{"mode": "evil"}, {"where": ["all"]}, {"rotation": None}],
)
def test_an_option_that_cannot_be_used_is_left_out_and_said(changes: dict[str, Any]) -> None:
    view = read_address(steer_with(**changes))
    (name,) = changes
    assert regions_of(view) == [3, 8] and view.steer is not None
    assert view.steer[name] == getattr(SteeringSettings(), name) and name in view.problems[0]


@pytest.mark.parametrize(
    "steer",
    [
        "null", "{", "3", "[]", "[" * 50_000, '{"a":' * 5000,
        json.dumps({"regions": [{"region": 1}, {"region": 1}]}), json.dumps({"layers": list(range(65))}),
        json.dumps({"regions": [{"region": k} for k in range(MAX_REGIONS + 1)]}), json.dumps({"fit": "x" * 300}),
    ],
)  # fmt: skip
def test_a_set_up_that_cannot_be_used_at_all_is_said(steer: str) -> None:
    view = read_address({"steer": steer, "count": "9"})
    assert view.steer is None and len(view.problems) == 1 and view.count == 9


HOSTILE = [
    {name: value}
    for name in ("model", "steer", "text", "chat", "tab", "seed", "unknown")
    for value in (
        "",
        "null",
        "{",
        "-1",
        "NaN",
        "\x00",
        "<script>",
        "١",
        "@" + "0" * 64,
        "@../../etc/passwd",
        '{"a": 1}',
    )
]


@pytest.mark.parametrize("query", HOSTILE, ids=str)
def test_whatever_stands_in_the_address_the_page_opens(query: dict[str, str], client: FlaskClient) -> None:
    from pages.steering import page

    view = read_address(query)
    assert view.text and view.tab in ("region",) and not view.chat and 0 <= view.seed < 2**31
    assert all(p.endswith((".", "!")) for p in view.problems)
    json.dumps(page.layout(**query), cls=PlotlyJSONEncoder)


def test_a_prompt_whose_file_is_gone_is_said() -> None:
    view = read_address({"text": "@" + "0" * 64})
    assert view.text == START_TEXT and "not in this data folder" in view.problems[0]


# Sliders and regions as data


def some_regions(count: int = 6, fit: str = "f") -> FitMap:
    characters = ["token", "theme", "grammar", "theme", "small", "mixed"]
    rows = [
        Region(
            region=k, label=f"label {k} <b>", own_label="", character=characters[k % 6], score=k / 10,
            size=100 * (k + 1) % 370, purity=0.5, theme="baking" if k % 2 else "", entropy=3.0,
            words=f"{k} label baking flour{k}", x=float(k), y=-float(k), near=((k + 1) % count, 99),
        )
        for k in range(count)
    ]  # fmt: skip
    facts = FitFacts("c", count, 2, 8, "Tiny", 1000, -1.0, -2.0, 0, "a test", 1, "residual", 4)
    return FitMap(fit, facts, tuple(rows))


def numbers(rows: Sequence[Region | Row]) -> list[int]:
    return [r.region for r in rows]


def test_the_list_is_ranked_by_character_then_score_or_by_size() -> None:
    rows = some_regions().regions
    assert numbers(ranked(rows, "theme")) == [3, 1, 5, 4, 2, 0]
    assert numbers(ranked(rows, "grammar"))[0] == 2 and numbers(ranked(rows, "token"))[:2] == [0, 5]
    by_size = ranked(rows, "size")
    assert [r.size for r in by_size] == sorted((r.size for r in rows), reverse=True)
    assert ranked(rows, "evil") == by_size and ranked([], "theme") == []


def test_a_search_needs_every_word() -> None:
    rows = some_regions().regions
    assert numbers(matching(rows, "Baking FLOUR3")) == [3] and matching(rows, "flour3 flour4") == []
    assert matching(rows, None) == matching(rows, "   ") == list(rows)


def test_a_search_puts_first_what_bears_the_word_in_its_name_and_says_why_the_rest_is_there() -> None:
    names = ("the", "flours", "oven: flour, rye", "Flour", "salt")
    named = [
        dataclasses.replace(
            r, label=label, words=f"{r.words} {label} flour".lower(), theme="flour" if label == "salt" else ""
        )
        for r, label in zip(some_regions().regions, names, strict=False)
    ]
    found = matching(named, "flour")
    assert [r.label for r in found] == ["Flour", "oven: flour, rye", "flours", "salt", "the"]
    assert [why_met(r, "flour") for r in found[2:]] == ["", "by its theme", "by a token or text of its members"]
    assert why_met(found[-1], None) == "" and "met by its theme" in text_of(region_rows(found, "flour")[3])


def test_values_under_the_hand_are_kept_if_they_are_of_this_fit(client: FlaskClient) -> None:
    from pages.steering.sliders import current

    before = [Row(1, 0.6), Row(2, 0.2)]
    steer = SteeringSettings("f", (RegionSetting(1, 0.9, (1.0,)),))
    assert current(before, steer, "f") == [Row(1, 0.9, (1.0,), "f"), Row(2, 0.2, (), "f")]
    assert [r.strength for r in current(before, dataclasses.replace(steer, fit="g"), "f")] == [0.6, 0.2]
    assert current([], None, "f") == [] and current(before, None, "f")[0].strength == 0.6


def test_rows_survive_the_store_of_the_sliders() -> None:
    rows = [Row(1, 0.9, (1.0, -0.5), "f"), Row(2)]
    assert rows_of(json.loads(json.dumps(plain_rows(rows)))) == rows and rows_of(None) == []
    assert rows_on(SteeringSettings("f", (RegionSetting(1, 0.9, (1.0, -0.5)),))) == rows[:1] and rows_on(None) == []


def test_a_region_is_added_once_and_not_beyond_the_limit(client: FlaskClient) -> None:
    from pages.steering.sliders import START_STRENGTH, added

    rows = added([], 3)
    assert numbers(rows) == [3] and rows[0].strength == START_STRENGTH
    rows = added(rows, 4)
    assert numbers(rows) == [3, 4] and rows[1].strength < START_STRENGTH
    assert added(rows, 3) == rows and added(rows, None) == rows
    full = [Row(k, 0.1) for k in range(MAX_REGIONS)]
    with pytest.raises(UserError, match=f"At most {MAX_REGIONS}"):
        added(full, 99)


def test_factors_of_a_token_are_set_at_once_within_the_sliders(client: FlaskClient) -> None:
    from pages.steering.sliders import with_factors

    now = [Row(1, 0.3, (9.0,)), Row(2, 0.2, (0.5,))]
    rows = with_factors(now, 1, [0.126, -7.5, 30.0])
    assert rows[0] == Row(1, 0.3, (0.13, -END, END)) and rows[1] == now[1]
    rows = with_factors(now, 5, [1.0])
    assert numbers(rows) == [1, 2, 5] and rows[2].factors == (1.0,) and now[0].factors == (9.0,)
    full = [Row(k, 0.1) for k in range(MAX_REGIONS)]
    with pytest.raises(UserError, match=f"At most {MAX_REGIONS}"):
        with_factors(full, 99, [1.0])
    assert with_factors(full, 2, [1.0])[2].factors == (1.0,)


def test_presses_are_followed_one_after_the_other(client: FlaskClient) -> None:
    from pages.steering.sliders import pressed

    now = [Row(1, 0.3, (2.0,)), Row(2, 0.2)]

    def press(factors_of: Any = None, **what: Any) -> list[Row]:
        return pressed(now, what, factors_of)

    assert press(kind="reset") == [Row(1), Row(2)] and press(kind="remove", region=1) == now[1:]
    assert press(kind="strength", region=2, strength=0.7) == [now[0], Row(2, 0.7)]
    assert press(kind="factors", region=2, factors=[1]) == [now[0], Row(2, 0.2, (1,))]
    assert press(lambda context: (int(context[0]), [3.0]), kind="use", context="1:77") == [Row(1, 0.3, (3.0,)), now[1]]
    assert press(lambda context: None, kind="use", context="1:77") == now
    assert numbers(press(kind="add", region=5)) == [1, 2, 5]
    assert numbers(press(kind="only", region=5)) == [5] and press(kind="only", region=None) == now


def test_choosing_a_region_steers_with_it_until_a_hand_has_moved_a_slider(client: FlaskClient) -> None:
    from pages.steering.sliders import START_STRENGTH, pressed

    choose = {"kind": "choose", "region": 5}
    placed = [Row(1, START_STRENGTH, (0.0, 0.0))]
    for untouched in ([], placed):
        assert [(r.region, r.strength) for r in pressed(untouched, choose, lambda _: None)] == [(5, START_STRENGTH)]
    for moved in ([Row(1, 0.3)], [Row(1, START_STRENGTH, (1.0,))], [*placed, Row(2, 0.2)]):
        assert pressed(moved, choose, lambda _: None) == moved
    assert pressed(placed, {"kind": "choose", "region": None}, lambda _: None) == placed


def opened(before: Any, start: Any, fit: str = "f") -> tuple[Any, Any]:
    from pages.steering.sliders import opening

    return opening(some_regions(fit=fit), before, start)


def test_a_page_opens_on_what_the_address_says_or_on_the_best_theme(client: FlaskClient) -> None:
    asked = SteeringSettings("f", (RegionSetting(2, 0.3),))
    rows, problem = opened(None, asked)
    assert rows == [Row(2, 0.3, (), "f")] and problem is None
    rows, problem = opened(None, SteeringSettings("f", (*asked.regions, RegionSetting(77, 0.3))))
    assert numbers(rows) == [2] and "left out" in problem.children
    for start in (None, SteeringSettings("other", asked.regions), SteeringSettings("f")):
        assert numbers(opened(None, start)[0]) == [3]


def test_a_fit_without_themes_opens_on_what_leans_to_one_and_then_on_a_token(client: FlaskClient) -> None:
    from pages.steering.sliders import opening

    fit = some_regions(12)
    rest = tuple(r for r in fit.regions if r.character != "theme")
    first = opening(dataclasses.replace(fit, regions=rest), None, None)[0]
    assert first is not None and {r.region: r.character for r in rest}[first[0].region] == "mixed"
    few_texts = tuple(dataclasses.replace(r, score=0.0) if r.character == "mixed" else r for r in rest)
    first = opening(dataclasses.replace(fit, regions=few_texts), None, None)[0]
    assert first is not None and {r.region: r.character for r in rest}[first[0].region] == "token"


def test_another_fit_takes_the_regions_of_the_last_one_off_the_sliders(client: FlaskClient) -> None:
    from pages.steering.sliders import added, current

    asked = SteeringSettings("f", (RegionSetting(2, 0.3),))
    by_address, _ = opened(None, asked)
    by_hand = [dataclasses.replace(row, fit="f") for row in added([], 2)]
    by_itself, _ = opened(None, None)
    for rows in (by_address, by_hand, by_itself, current(by_address, None, "f")):
        assert opened(rows, asked)[0] is None  # the map came anew, after a renaming
        other, _ = opened(rows, asked, "g")
        assert numbers(other) == [3] and other[0].fit == "g"


# Figures and components


def plain(figure: Any) -> Any:
    """The figure as the browser gets it; fails for what JSON does not have."""

    def refuse(name: str) -> None:
        raise AssertionError(name)

    return json.loads(json.dumps(figure, cls=PlotlyJSONEncoder), parse_constant=refuse)


def values(array: Any) -> list[float]:
    """The numbers of a trace, which plotly may have packed."""
    import base64

    if isinstance(array, dict):
        return np.frombuffer(base64.b64decode(array["bdata"]), array["dtype"]).tolist()  # type: ignore[no-any-return]
    return list(array)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_map_holds_every_region_where_it_lies(theme: str) -> None:
    fit = some_regions()
    rows = tuple(dataclasses.replace(r, words=f"{r.words} odd") if r.region in (3, 5) else r for r in fit.regions)
    drawing = region_figures.region_map(dataclasses.replace(fit, regions=rows), MapOptions(3, (1, 77), "odd"), theme)
    figure = plain(drawing.figure)
    assert drawing.caption == "c"
    at = {}
    for trace in figure["data"]:
        if trace["mode"] != "markers" or not trace.get("showlegend", True):
            continue
        places = zip(
            trace["customdata"], values(trace["x"]), values(trace["y"]), trace["marker"]["opacity"], strict=True
        )
        at |= {n: (x, y, opacity > 0.5) for n, x, y, opacity in places}
        assert all("<b>" not in text for text in trace["text"])
    assert at == {r.region: (r.x, r.y, r.region in (3, 5)) for r in rows}
    assert figure["data"][-1]["customdata"] == [1, 3]
    names = {n["x"]: (n["ay"], n["xanchor"]) for n in figure["layout"]["annotations"]}
    highest = max(r.y for r in rows)
    assert names[1][0] > highest and names[3][0] > names[1][0] and names[3][1] == "right", "above the cloud, in lines"
    edges = next(t for t in figure["data"] if t["mode"] == "lines")
    assert edges["x"] == [3.0, 4.0, None]


def test_an_empty_map_is_drawn() -> None:
    empty = dataclasses.replace(some_regions(), regions=())
    assert plain(region_figures.region_map(empty, MapOptions(), "light").figure)["data"] == []


def test_next_tokens_keep_equal_labels_apart_and_show_both_probabilities() -> None:
    base, steered = (0.5, 0.25, 0.1), (0.1, 0.3, 0.4)
    change = tuple(math.log(s / b) for b, s in zip(base, steered, strict=True))
    figure = plain(next_tokens(NextTokens(("<b>", "<b>", "c"), (7, 8, 9), base, steered, change), "light"))
    first, second = figure["data"]
    assert values(first["x"]) == pytest.approx(base) and values(second["x"]) == pytest.approx(steered)
    assert len(set(first["y"])) == 3 and not any("<b>" in label for label in first["y"])
    assert [point[0] for point in second["customdata"]] == [7, 8, 9], "a click says which token it is by its id"
    assert [n["text"] for n in figure["layout"]["annotations"]] == ["-1.61", "+0.18", "+1.39", "nats"]


def some_text(*kl: float) -> WrittenText:
    labels = ("a", "<i>")[: len(kl)]
    return WrittenText((3, 4)[: len(kl)], "a<i>", labels, kl, kl, 0.2, 5.5 if kl else None, 0.0)


TEXTS = SteeredTexts(
    some_text(0, 0), some_text(0.1, 0.3), some_text(), "", 9.0, False, "s", True, Presence(("3: <b>",), (0.1,), (0.7,))
)  # fmt: skip
_SHIFT = ((), (), (), (), (), 0.25, (1.0, 2.0), False)
CONTROLS = ControlTable(
    (Control(*_SHIFT, "the set-up", True, ""), Control(*_SHIFT[:5], 0.5, *_SHIFT[6:], "random <b>", False, "")),
    (),
    False,
)
PARTS = TokenParts(
    ("a", "a"), (0, 1), ("r", "<b>"), (1, 0), ("<b>", "r"), (0.9, 0.8), (0.1, 0.2), (-5.0, -6.0), (1.0, 2.0),
    (3.0, 4.0), (5.0, 6.0), (6.0, 7.0), ((), ()), ((0.0, 1.0, 1.5, 2.0), (0.0,) * 4),
    ((0.0, 0.5, 1.0, 0.0), (0.0,) * 4), 1,
)  # fmt: skip
FIT = NewFit("f", (Iteration(0, -5.0, None), Iteration(1, -4.0, -4.5)), "Kept.", {"layer": 3})
NEXT = SteeredNext(("<b>", "c"), (7, 8), (0.5, 0.1), (0.4, 0.2), (-0.2, 0.7), 0.3, (1.5, 1.25), False, 0.01, 0.05, 9)


def test_prices_presence_controls_and_parts_hold_their_numbers() -> None:
    (trace,) = plain(steering_figures.price_per_token(TEXTS, TextsOptions(), "dark").figure)["data"]
    assert values(trace["y"]) == pytest.approx([0.1, 0.3]) and trace["x"] == [1, 2] and trace["text"][1] != "<i>"
    both = dataclasses.replace(TEXTS, control=TEXTS.steered, control_note="a push")
    drawing = steering_figures.price_per_token(both, TextsOptions(), "dark")
    assert len(plain(drawing.figure)["data"]) == 2 and drawing.caption.endswith("Control: a push.")
    assert drawing.facts == {"texts": {"base": "a<i>", "steered": "a<i>", "control": "a<i>"}}
    bars = plain(steering_figures.region_presence(TEXTS, TextsOptions(), "light").figure)["data"]
    assert [values(b["y"])[0] for b in bars] == pytest.approx([0.1, 0.7])
    drawing = steering_figures.controls_bars(CONTROLS, ControlOptions("Once", 3), "light")
    (bars,) = plain(drawing.figure)["data"]
    assert values(bars["x"]) == [0.25, 0.5] and len(set(bars["marker"]["color"])) == 2 and "<b>" not in bars["y"][1]
    assert "“Once”" in drawing.caption and drawing.caption.endswith("Seed 3.")
    data = plain(region_figures.token_parts(PARTS, TokenOptions(1), "light").figure)["data"]
    assert [values(t["y"]) for t in data[:3]] == [[1, 2], [3, 4], [5, 6]] and len(set(data[0]["x"])) == 2
    for token, theme in ((0, "light"), (1, "dark")):
        drawing = region_figures.two_segments(PARTS, TokenOptions(token), theme)
        plain(drawing.figure)
        assert drawing.caption.startswith(f"Token {token}, “a”")
    drawing = region_figures.new_fit(FIT, NoOptions(), "light")
    train, held = plain(drawing.figure)["data"]
    assert train["y"] == [-5.0, -4.0] and held["y"] == [None, -4.5] and drawing.caption == "Kept."
    caption = steering_figures.steered_next(NEXT, NextOptions("Once"), "light").caption
    assert caption.startswith("After “Once”. Entropy 1.50 → 1.25 nats. Computed in 10 ms; a full pass over 9 tokens")


@pytest.mark.parametrize(
    ("shown", "answer", "options"),
    [
        (region_figures.region_map, some_regions(), MapOptions(3, (1,), "flour3")),
        (region_figures.token_parts, PARTS, TokenOptions(1)),
        (region_figures.two_segments, PARTS, TokenOptions(1)),
        (region_figures.new_fit, FIT, NoOptions()),
        (steering_figures.steered_next, NEXT, NextOptions("Once")),
        (steering_figures.price_per_token, TEXTS, TextsOptions("Once", (("region 3", 0.5),))),
        (steering_figures.region_presence, TEXTS, TextsOptions()),
        (steering_figures.controls_bars, CONTROLS, ControlOptions("Once", 3)),
    ],
    ids=lambda part: getattr(part, "name", ""),
)
def test_every_figure_is_drawn_again_from_json(shown: View[Any], answer: Any, options: Any) -> None:
    ref = ViewRef.from_dict(json.loads(json.dumps(shown.ref([QuestionRef("Asked", {})], options).to_dict())))
    data, arrays = to_wire(answer)
    again = from_wire(type(answer), json.loads(json.dumps(data)), arrays)
    drawn = view_called(ref.view).draw(again, shown.options_from(ref.options), "dark")
    first = shown.draw(answer, options, "dark")
    assert again == answer and drawn.caption == first.caption and plain(drawn.figure) == plain(first.figure)
    assert drawn.facts == first.facts == json.loads(json.dumps(first.facts)) != {}, "what an export prints with it"


def test_a_click_in_the_figure_of_a_longer_text_means_the_last_token_of_this_one(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pages.steering import tokens

    question = QuestionRef("ExplainTokens", {"fit": "f", "text": "a a"})
    monkeypatch.setattr(tokens, "reply_of", lambda _: Reply(PARTS, question))
    press, problem = tokens.steer_like(1, dataclasses.asdict(question), 150, "f")
    assert problem is None and press == {"kind": "factors", "region": 1, "factors": [], "turn": 1}


def test_a_control_text_says_which_push_it_is_and_how_strong() -> None:
    region, direction = TextsOptions(control="region"), TextsOptions(control="direction")
    assert control_said("length", region, "3: salt") == "random region of the same length (3: salt)"
    assert control_said("length", direction, "the same distance") == "random direction of the same length"
    assert control_said("kl", direction, "1.4 times as long").endswith("at the set-up's KL (1.4 times as long)")
    assert figures_of(some_text(0.1), "strength 0.5") == "strength 0.5 · KL 0.20 per token · perplexity 5.5"


def test_numbers_of_texts_stand_in_a_row_each() -> None:
    texts = dataclasses.replace(TEXTS, steered=some_text(), control=None)
    two = text_of(readouts(texts, "steered", "control"))
    assert "unsteered 0.200 nats 5.5" in two and "steered 0.200 nats no text" in two and "control" not in two
    three = text_of(readouts(dataclasses.replace(texts, control=texts.base), "steered", "control"))
    assert "control 0.200 nats 5.5" in three


CONTEXT = ContextLine("…before ", "<b>", "w", " after…", "x", 3, 4097)
FACTOR = Factor(1.5, 0.25, "lo", "hi", "l", "h", (CONTEXT,), ())
CARD = RegionFacts(
    region=3, label="Label", own_label="", facts=(("Character", "theme"), ("Size", "5")),
    contexts={"random": (CONTEXT,), "likelihood": (CONTEXT, CONTEXT), "responsibility": ()},
    lifted=(TokenValue(5, "x", 1.5),), unembedded=(), readout="", factors=(FACTOR,) * 6,
)  # fmt: skip


def ids_in(component: Any) -> list[Any]:
    return [c.id for c in component._traverse() if getattr(c, "id", None)]


def marked(component: Any, name: str) -> list[str]:
    """What the buttons inside say by a data attribute, in order."""
    found = [getattr(c, "to_plotly_json", dict)().get("props", {}).get(name) for c in component._traverse()]
    return [value for value in found if value is not None]


def test_a_card_can_be_sent_and_its_buttons_name_their_contexts() -> None:
    card = region_card(CARD)
    plain(card)
    assert marked(card, "data-use") == ["3:4097"] * 9 and marked(card, "data-token-id") == ["5"]
    effects = region_effects(Effects((TokenValue(8, "a", 1.0),), ()))
    assert "+1.00" in json.dumps(plain(effects)) and marked(effects, "data-token-id") == ["8"]
    text = json.dumps(plain(factor_effects(Effects(factors=((("x", "y"), ()),) * 2))))
    assert "factor 1" in text and "x, y" in text and "nothing" in text


def test_rows_open_and_add_their_region_and_long_lists_say_how_many_are_left() -> None:
    *rows, rest = region_rows(some_regions(90).regions, limit=80)
    plain(rows)
    for name in ("data-choose", "data-add"):
        assert [marked(row, name) for row in rows] == [[str(n)] for n in range(80)]
    assert "10 more" in rest.children and "No region" in region_rows([])[0].children


@pytest.mark.parametrize("mode", ["interpolate", "add", "project_out", "clamp"])
def test_every_factor_has_a_slider_at_its_value(mode: str) -> None:
    panel = region_sliders(CARD, 0.35, [1.0, -2.0], usual_zone(mode))
    plain(panel)
    sliders = [c for c in panel._traverse() if type(c).__name__ == "Slider"]
    assert [s.id for s in sliders] == [{"strength": 3}, *({"factor": j, "region": 3} for j in range(6))]
    assert [s.value for s in sliders] == [0.35, 1.0, -2.0, 0.0, 0.0, 0.0, 0.0]
    assert all(s.min <= s.value <= s.max for s in sliders)


def test_the_mark_of_the_slider_says_whether_it_was_measured_here() -> None:
    usual = text_of(region_sliders(CARD, 0.35, [], usual_zone("add")))
    assert "▲ 0.8: usual limit of texts" in usual and "not measured" in usual
    measured = text_of(region_sliders(CARD, 0.35, [], Zone(0.6, True)))
    assert "▲ 0.6: here the text of this prompt breaks" in measured
    assert "No strength up to 1" in text_of(region_sliders(CARD, 0.35, [], Zone(None, True)))
    assert "▲" not in text_of(region_sliders(CARD, 0.35, [], usual_zone("clamp")))


def test_options_offer_what_they_are_given() -> None:
    panel = more_options([{"label": "add", "value": "add"}], [{"label": "all", "value": "all"}], [1, 2])
    plain(panel)
    assert {"mode", "where", "layers", "rotation"} <= {i for i in ids_in(panel) if isinstance(i, str)}


# The stream


class FakeClient:
    """A client that gives the lines, or raises the error, that a test wants."""

    def __init__(self, *lines: dict[str, Any] | Exception) -> None:
        self.lines, self.asked, self.closed, self.cancelled = lines, [], 0, []  # type: ignore[var-annotated]

    def stream(self, operation: Any, **options: Any) -> Iterator[dict[str, Any]]:
        self.asked.append((operation, options))
        try:
            for line in self.lines:
                if isinstance(line, Exception):
                    raise line
                yield line
        finally:
            self.closed += 1

    def cancel(self, token: str) -> bool:
        self.cancelled.append(token)
        if token == "gone":
            raise WorkerGone("no worker")
        return token == "known"


PARAMS = {"text": "Once upon a time", "steer": STEER.to_dict(), "count": 12, "seed": 3}


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> Any:
    def use(*lines: Any) -> FakeClient:
        made = FakeClient(*lines)
        monkeypatch.setattr(route, "client", lambda: made)
        return made

    return use


def lines_of(answer: Any) -> list[dict[str, Any]]:
    assert answer.status_code == 200 and answer.mimetype == "application/x-ndjson"
    return [json.loads(line) for line in answer.get_data(as_text=True).splitlines()]


def test_lines_reach_the_browser_as_they_were_said(client: FlaskClient, faked: Any) -> None:
    said = [{"piece": {"of": "base", "text": "“ü\n”"}}, {"marks": {"of": "base", "kl": [0.5]}}, {"done": True}]
    fake = faked(*said)
    answer = client.post("/steering/stream", json={"params": PARAMS, "session": "s" * 100, "token": "t"})
    assert lines_of(answer) == said and answer.headers["Cache-Control"] == "no-store"
    ((operation, options),) = fake.asked
    assert operation == SteerText(text="Once upon a time", steer=STEER, count=12, seed=3)
    assert options == {"session": "s" * 64, "widget": "steer-text", "token": "t"} and fake.closed == 1
    client.post("/steering/stream", json={"params": PARAMS})
    assert fake.asked[1][1] == {"session": "", "widget": "steer-text", "token": None}


def test_a_form_of_another_site_is_refused(client: FlaskClient, faked: Any) -> None:
    fake = faked({"done": True})
    body = json.dumps({"params": PARAMS})
    for path in ("/steering/stream", "/steering/stop"):
        assert client.post(path, data={"params": body}).status_code == 415
        assert client.post(path, data=body, content_type="text/plain").status_code == 415
        assert client.post(path, data=body, content_type="multipart/form-data").status_code == 415
        assert client.post(path, data=body).status_code == 415
        long = client.post(path, data=b" " * (api.MAX_BODY + 1), content_type="application/json")
        assert "too much at once" in long.text or long.get_json() == {"found": False}
        assert client.post(path, json={"params": PARAMS}, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
        # Not served at all: Dash answers a GET of any address with its own page.
        assert client.get(path).mimetype != "application/x-ndjson"
    assert fake.asked == [] and fake.cancelled == []


@pytest.mark.parametrize("body", ["", "{", "3", "[]", "null", '"x"', "[" * 50_000, '{"a":' * 50_000, "\x00"])
def test_a_body_that_is_no_object_is_refused(body: str, client: FlaskClient, faked: Any) -> None:
    fake = faked()
    for path in ("/steering/stream", "/steering/stop"):
        assert client.post(path, data=body, content_type="application/json").status_code == 400
    assert fake.asked == [] and fake.cancelled == []


@pytest.mark.parametrize(
    "params",
    [
        None, {}, [], [1], "x", 3, {"evil": 1}, {"text": ""}, {"text": 5}, {"text": "a\x00b"}, {"steer": None},
        {"steer": {"regions": [{"region": 1, "strength": math.nan}]}}, {"steer": {"evil": 1}}, {"steer": [1]},
        {"steer": {"regions": [{"region": 1, "strength": 10**400}]}}, {"temperature": 10**400}, {"top_p": math.nan},
        {"count": 10**6}, {"count": "5"}, {"temperature": 1e9}, {"control": []}, {"control": {}}, {"positive": 5},
        {"positive": "one side"}, {"model": "x"}, {"model": {"source": []}}, {"model": {"source": ""}}, {"seed": []},
    ],
)  # fmt: skip
def test_bad_settings_answer_with_one_sentence(params: Any, client: FlaskClient, faked: Any) -> None:
    fake = faked({"done": True})
    whole = {**PARAMS, **params} if isinstance(params, dict) and params else params
    answer = client.post("/steering/stream", data=json.dumps({"params": whole}), content_type="application/json")
    (line,) = lines_of(answer)
    assert set(line) == {"error"} and line["error"].endswith(".") and 10 < len(line["error"]) < 300
    assert fake.asked == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (UserError("Choose a fit above the map.", "fit"), "Choose a fit above the map."),
        (Superseded(), "A newer request"),
        (Cancelled(), "Stopped."),
        (WorkerGone("The worker is away."), "The worker is away."),
        (OperationFailed("It failed (ab12)."), "It failed (ab12)."),
        (RuntimeError("secret detail"), "Something failed inside Attune"),
    ],
    ids=lambda v: type(v).__name__,
)
def test_what_ends_a_stream_is_its_last_line(error: Exception, words: str, client: FlaskClient, faked: Any) -> None:
    faked({"piece": 1}, error)
    first, last = lines_of(client.post("/steering/stream", json={"params": PARAMS}))
    assert first == {"piece": 1} and set(last) == {"error"} and last["error"].startswith(words)
    assert "secret" not in last["error"]


def test_closing_the_request_closes_the_connection_to_the_worker(client: FlaskClient, faked: Any) -> None:
    fake = faked(*({"piece": n} for n in range(100)))
    answer = client.post("/steering/stream", json={"params": PARAMS}, buffered=False)
    lines = iter(answer.response)  # type: ignore[call-overload]
    assert json.loads(next(lines)) == {"piece": 0} and fake.closed == 0
    answer.close()
    del lines
    assert fake.closed == 1


def test_stop_says_whether_there_was_something_to_stop(client: FlaskClient, faked: Any) -> None:
    fake = faked()
    for token, found in (("known", True), ("other", False), ("gone", False), ("x" * 100, False)):
        answer = client.post("/steering/stop", json={"token": token})
        assert answer.status_code == 200 and answer.json == {"found": found}
    assert fake.cancelled[-1] == "x" * 64


def test_a_fit_without_a_theme_says_so_and_opens_on_what_stands_out_most() -> None:
    rows = [dataclasses.replace(r, character="grammar", score=900.0) for r in some_regions().regions]
    assert themeless([]) == "" and "clearly to a theme" in themeless(rows)
    rows[4] = dataclasses.replace(rows[4], character="token", score=0.7)
    assert ranked(rows, "theme")[0].region == 4 and ranked(rows, "grammar")[-1].region == 4
    rows[2] = dataclasses.replace(rows[2], character="theme", score=0.1)
    assert ranked(rows, "theme")[0].region == 2 and themeless(rows) == ""
