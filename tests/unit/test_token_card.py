"""The token card without a model: finding tokens, the panel's parts, and addresses that the pages read back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from dash import dcc

from analysis.errors import UserError
from analysis.mfa.settings import RegionSetting, SteeringSettings
from analysis.models.lookup import check_typed, forms, meant, names_of, pieces, relatives, single
from analysis.models.spec import ModelSpec
from analysis.models.token_name import TokenName
from analysis.qk.contrasts.spec import ContrastSpec
from analysis.snmf.steer import FeatureSteer
from analysis.token_card.answers import (
    ChannelRow,
    LeadingRegionRow,
    Place,
    PromotingFeatureRow,
    RegionRow,
    Row,
    SubspaceRow,
    TokenCardAnswer,
    TokenContext,
    TokenPart,
    UsedFeatureRow,
)
from analysis.token_card.why import OTHERWISE, PARTLY, why_here
from components.frame import token_card as card
from pages.attention.state import AttentionState
from pages.frame import token_card as page
from pages.mlp_features.state import FeaturesState
from pages.neurons.state import NeuronsState
from pages.state import read
from pages.steering.state import SteeringState
from tests.unit.test_contrasts import _byte_level

HERE = Place("/attention")


def inside(component: Any) -> list[Any]:
    """A component and all that is in it, texts included."""
    if not hasattr(component, "to_plotly_json"):
        return [component] if not isinstance(component, (list, tuple)) else [x for c in component for x in inside(c)]
    children = getattr(component, "children", None)
    return [component, *([] if children is None else inside(children))]


def said(component: Any) -> str:
    return " ".join(x for x in inside(component) if isinstance(x, str))


def attribute(component: Any, name: str) -> Any:
    return component.to_plotly_json()["props"].get(name) if hasattr(component, "to_plotly_json") else None


# ---- finding tokens ----
def test_a_label_is_found_like_the_text_it_stands_for() -> None:
    tokenizer = _byte_level()
    (space,) = pieces(tokenizer, " the")
    assert single(tokenizer, "␣the") == single(tokenizer, " the") == space
    assert single(tokenizer, "the") not in (space, None)
    assert single(tokenizer, "the lamp is kept") is None
    token, remark = meant(tokenizer, "the")  # a plain word is looked up as it stands within a text
    assert token == space and "another token" in remark
    assert meant(tokenizer, " the") == meant(tokenizer, "␣the") == (space, "")
    assert meant(tokenizer, "the lamp is kept") == (None, "")
    for name in names_of(tokenizer, list(range(300))):  # every label on screen that is no byte leads back to a token
        if "‹" not in name.token and name.token != "<|end|>":
            token = single(tokenizer, name.token)
            assert token is not None and names_of(tokenizer, [token])[0].token == name.token


def test_relatives_are_the_same_word_and_never_the_token_itself() -> None:
    tokenizer = _byte_level()
    token = pieces(tokenizer, " the")[0]
    found = relatives(tokenizer, token)
    assert found and token not in found and len(set(found)) == len(found)
    assert {tokenizer.decode([i]).strip().lower() for i in found} == {"the"}
    assert token in forms(tokenizer, "the")
    assert forms(tokenizer, "  ") == [] == forms(tokenizer, "\ufffd")


@pytest.mark.parametrize("bad", ["", None, 7, "x" * 401])
def test_what_cannot_be_looked_up_is_refused_with_a_sentence(bad: Any) -> None:
    with pytest.raises(UserError, match=r"Type .*\."):
        check_typed(bad)
    with pytest.raises(UserError):
        page.asked(ModelSpec(), {"token": bad}, None)


# ---- addresses ----
def query_of(address: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(address).query))


def test_every_link_reads_back_as_the_place_it_means(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    spec = ModelSpec("owner/name")
    contrast = ContrastSpec("induction", n_examples=64)
    for text in ("a & b = <c> §", "word " * 1000):  # the second is too long for an address
        query = {"text": text, "chat": True, "generate": 3, "query": 2, "head": {"layer": 4, "head": 1}}
        address = page.href(Place("/attention", query | {"features": [contrast.to_dict()]}), spec)
        view = read(AttentionState, query_of(address))
        assert (view.text, view.chat, view.generate, view.query) == (text, True, 3, 2) and len(address) < 9_000
        assert view.head == {"layer": 4, "head": 1} and view.features == [contrast.to_dict()]
        assert view.model == spec.to_dict()
        # The same features are looked at when the card is opened after that.
        assert page.contrasts_of(address) == (contrast,)
    steer = {"fit": "block-10", "regions": [{"region": 7, "strength": 0.0, "factors": []}]}
    steering = read(SteeringState, query_of(page.href(Place("/steering", {"steer": steer}), spec)))
    assert not steering.problems and steering.steer is not None
    assert steering.steer["fit"] == "block-10" and [r["region"] for r in steering.steer["regions"]] == [7]
    neuron = {"layer": 28, "vector": "down", "neuron": 12, "channel": 3}
    neurons = read(NeuronsState, query_of(page.href(Place("/neurons", neuron), spec)))
    assert not neurons.problems and {k: getattr(neurons, k) for k in neuron} == neuron
    features = read(FeaturesState, query_of(page.href(Place("/mlp-features", {"fit": "f", "feature": 0}), spec)))
    assert not features.problems and (features.fit, features.feature) == ("f", 0)
    assert page.href(Place("/neurons", {}), spec) == "/neurons"


@pytest.mark.parametrize("way", [None, "", "/attention", "/attention?features=%5B1%2C2", "/attention?features=%5B7%5D"])
def test_a_broken_way_back_does_not_keep_the_card_from_opening(way: str | None) -> None:
    operation = page.asked(ModelSpec(), {"id": 5, "turn": 1}, way)
    assert operation.token_id == 5 and operation.position == -1
    assert all(isinstance(c, ContrastSpec) for c in operation.contrasts)


@pytest.mark.parametrize(
    "ask",
    [
        {"position": 0, "text": "\x00"},
        {"position": 0, "ids": [-3, 4]},
        {"position": 0, "ids": ["a"]},
        {"id": 10**9},
        {"id": "5"},
        {"token": ["a"]},
        {"position": 1, "text": "a b", "generate": 10**6},
        {"position": 0, "ids": [1] * 3000},
    ],
)
def test_a_browser_can_ask_for_no_nonsense(ask: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        page.asked(ModelSpec(), ask, None)


# ---- the panel ----
def test_the_card_is_closed_at_first_and_no_modal() -> None:
    drawer = card.token_drawer()
    assert drawer.hidden is True and drawer.role == "dialog" and attribute(drawer, "aria-modal") == "false"
    titles = [attribute(x, "aria-label") for x in inside(drawer) if getattr(x, "className", "") == "card-tok-part"]
    assert titles == list(card.TITLES)
    ids = [x.id for x in inside(drawer) if isinstance(getattr(x, "id", None), str)]
    assert len(ids) == len(set(ids)) and all(i.startswith("card-tok") for i in ids)


def test_tokens_of_the_context_say_where_they_are() -> None:
    tokens = (TokenName(9, "<b>"), TokenName(8, "␣x"), TokenName(7, "y"))
    context = TokenContext(tokens, 4, 5, 30, "some text", True, 2)
    strip = card.context_strip(context, context.count)
    buttons = [x for x in inside(strip) if "attune-tok" in str(getattr(x, "className", ""))]
    assert [attribute(b, "data-token-position") for b in buttons] == ["4", "5", "6"]
    assert [attribute(b, "data-token-id") for b in buttons] == ["9", "8", "7"]
    assert [attribute(b, "aria-current") for b in buttons] == [None, "true", None]
    assert attribute(strip, "data-token-text") == "some text" and attribute(strip, "data-token-ids") is None
    assert attribute(strip, "data-token-chat") == "1" and attribute(strip, "data-token-generate") == "2"
    assert said(strip).split().count("…") == 2 and buttons[0].children == "<b>"  # a child, not HTML
    own = card.context_strip(replace(context, text="", ids=(1, 2, 3), first=0), 3)
    assert attribute(own, "data-token-ids") == "1,2,3" and attribute(own, "data-token-text") is None
    assert "…" not in said(own)


SUBSPACE = SubspaceRow("Induction", 3, 2, 1.5, (-0.1, 0.2), 4, 16, 0.25, 0.5, 0.75, 0.41, 0.42, HERE)
REGION = RegionRow(
    "f", "somewhere", 1, 5, "ships", "", 0.0, HERE, 0.9, 0.999, 0.02, 6, "cars", 0.1, local=0.33, outside=True
)
CHANNEL = ChannelRow(2, "down", 7, 1, 5.0, 2.0, 0.1, 97.0, 0.0, 3, "␣x", False, HERE)
FEATURE = UsedFeatureRow("f", "somewhere", 2, 8, "food", "active here", 0.11, HERE, 1.7, 0.02, 0.01)
ROWS = dict(zip(card.TITLES, (SUBSPACE, REGION, CHANNEL, FEATURE), strict=True))


def test_no_number_stands_without_what_chance_gives() -> None:
    beside = {
        "QK subspaces": ("random subspace 25%", "median 41%", "median 42%", "relabelled −0.10 ± 0.20"),
        "Regions": ("2.0% of all tokens", "median 99.9%", "next 6 (cars) 10.0%", "has not seen first positions"),
        "Neuron channels": ("not beyond the null",),
        "MLP features": ("98.0", "2.0% of tokens", "one feature at 1.0%", "170% of its usual activation"),
    }
    for title, row in ROWS.items():
        part = card.part(TokenPart(title, (row,), "Read it so.", HERE), lambda place: place.path)
        text = said(part)
        assert all(words in text for words in (*beside[title], title, "Read it so.")), text
        links = [x for x in inside(part) if isinstance(x, dcc.Link)]
        assert len(links) == 2 and all(link.href == "/attention" for link in links)


def test_bars_and_ticks_stay_on_their_scale() -> None:
    row = replace(REGION, responsibility=1.2, expected=0.11)
    part = card.part(TokenPart("Regions", (row,), "Read it so.", HERE), lambda place: "")
    (bar,) = [x for x in inside(part) if type(x).__name__ == "I"]
    (tick,) = [x for x in inside(part) if type(x).__name__ == "B"]
    assert bar.style == {"width": "100.0%"} and tick.style == {"left": "11.0%"}
    assert "120.0%" in said(part)


def test_a_part_without_rows_still_says_why() -> None:
    for title in card.TITLES:
        part = card.part(TokenPart(title, (), "Press Fit.", HERE), lambda place: "/there")
        assert "Press Fit." in said(part) and attribute(part, "aria-label") == title


def test_lists_where_the_token_leads_are_rows_too() -> None:
    region = LeadingRegionRow("f", "w", 1, 5, "l", "", 0.0, HERE, "promoted by its centroid", 2)
    feature = PromotingFeatureRow("f", "w", 2, 8, "food", "promotes", 0.11, HERE, 3, 4.5)
    places: tuple[tuple[str, Row, str], ...] = (
        ("Regions", region, "rank 2 among the tokens promoted by its centroid"),
        ("MLP features", feature, "rank 3, logit +4.50"),
    )
    for title, row, words in places:
        part = card.part(TokenPart(title, (row,), "Read it so.", HERE), lambda place: "")
        assert words in said(part)


def test_typed_pieces_are_offered_in_the_text_that_they_make() -> None:
    parts = (TokenName(1, "un", 0), TokenName(2, "do", 1))
    forms_ = (TokenName(5, "␣undo"),)
    found = card.offer(TokenCardAnswer(None, "", forms_, text="undo", pieces=parts, sentence="Two tokens."))
    strip = next(x for x in inside(found) if attribute(x, "data-token-text") == "undo")
    assert [attribute(x, "data-token-position") for x in inside(strip) if attribute(x, "data-token-id")] == ["0", "1"]
    assert "␣undo" in said(found) and "Two tokens." in said(found)


def test_why_here_is_a_link_with_the_steer_and_says_what_does_not_go_along() -> None:
    steer = FeatureSteer("f", 3, -1, 0.5)
    place, none = why_here("a & b", 7, steer)
    assert place is not None and not none
    shown = TokenCardAnswer(7, "b", (), TokenContext((TokenName("b", 7),), 0, 0, 1, "", False, 0, (7,)), why=place)
    found = card.head(shown, lambda p: page.href(p, ModelSpec()), json.dumps(steer.to_dict()))
    (link,) = [x for x in inside(found) if isinstance(x, dcc.Link)]
    view = read(AttentionState, query_of(link.href))
    assert (view.text, view.target, view.tab, view.steer) == ("a & b", 7, "steered", steer.to_dict())
    assert not view.problems and "how the steer moves" in said(link)
    (strip,) = [x for x in inside(found) if attribute(x, "data-token-steer")]
    # The next token of that text is asked about under the same set-up, and an unsteered text is not under the sliders'.
    asked = {"id": 5, "steer": json.loads(attribute(strip, "data-token-steer"))}
    sliders = f"/steering?steer={quote(json.dumps({'fit': 'x', 'regions': [{'region': 1, 'strength': 1.0}]}))}"
    assert page.asked(ModelSpec(), asked, None, sliders).steer == steer
    assert page.asked(ModelSpec(), {"id": 5, "steer": None}, None, sliders).steer is None
    assert page.asked(ModelSpec(), {"id": 5}, None, sliders).steer is not None
    assert why_here("", 7) == (None, OTHERWISE)
    partly = SteeringSettings("x", (RegionSetting(1, 1.0),), after=3)
    assert why_here("a", 7, partly) == (Place("/attention", {"text": "a", "target": 7}), PARTLY)
    bare = card.head(TokenCardAnswer(7, "b", (), shown.context, why_note=OTHERWISE), lambda p: p.path)
    assert OTHERWISE in said(bare) and not [x for x in inside(bare) if isinstance(x, dcc.Link)]
