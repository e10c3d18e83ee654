"""The Faithfulness page without a model: its address, which item opens, what stands on the item, its interventions."""

from __future__ import annotations

import json
import re
from contextvars import copy_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from dash import no_update
from dash._callback_context import context_value
from dash._utils import AttributeDict
from flask.testing import FlaskClient
from plotly.utils import PlotlyJSONEncoder

from analysis.errors import UserError
from analysis.faithfulness.answers.board import ItemRow, TwinName
from analysis.faithfulness.answers.item import (
    Forms,
    ItemScore,
    ItemTrace,
    MovedScore,
    Option,
    Passes,
    TraceLine,
    TracePoint,
)
from analysis.faithfulness.ops.item import _scores, tokens_of
from analysis.models.spec import ModelSpec
from components.faithfulness import item as faith_item
from components.faithfulness import item_figures
from components.faithfulness.tables import certified, claim_words
from components.kit.view import NoOptions
from pages.attention.state import AttentionState
from pages.faithfulness import intervene, item, pick, trace
from pages.faithfulness.state import MOST_STEPS, TABS, FaithState, is_edit
from pages.frame.drawn import tree
from pages.state import names_of, read
from tests.unit.faithfulness.answers import Held, intervention, piece, reading

TYPED = reading().pieces
POINT = TracePoint(0, 0.5, "no step yet", ())
ROOT = Path(__file__).resolve().parents[2]


def read_address(query: dict[str, Any]) -> FaithState:
    return read(FaithState, query)


def text_of(component: Any) -> str:
    """All text of components, in order."""
    if component is None:
        return ""
    if isinstance(component, (str, int, float)):
        return str(component)
    if isinstance(component, (list, tuple)):
        return "".join(text_of(part) for part in component)
    return text_of(getattr(component, "children", None))


def found(component: Any, name: str) -> list[Any]:
    """All components of that class, in order."""
    if isinstance(component, (list, tuple)):
        return [one for part in component for one in found(part, name)]
    inner = getattr(component, "children", None)
    here = [component] if name in str(getattr(component, "className", "")).split() else []
    return here + (found(inner, name) if not isinstance(inner, str) and inner is not None else [])


# The address


def test_an_empty_address_opens_the_usual_view() -> None:
    assert (
        read_address({}) == FaithState()
        and FaithState().tab == "trace"
        and FaithState().item == FaithState().study == ""
    )


def test_a_view_survives_its_address() -> None:
    model = ModelSpec("default", dtype="float32").to_dict()
    query = {
        "model": json.dumps(model), "study": "own-1a", "item": "R-0-1+3", "tab": "intervene", "tier": "Z",
        "measure": "SCM", "edits": '["keep","text:So 5."]', "key": "7",
    }  # fmt: skip
    assert list(query) == names_of(FaithState)
    assert read_address(query) == FaithState(
        model, "own-1a", "R-0-1+3", "intervene", "Z", "SCM", ("keep", "text:So 5."), "7"
    )


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ({"study": "../x"}, "study"), ({"study": "A"}, "study"),
        ({"item": "\x00"}, "item"), ({"item": "x" * 201}, "item"), ({"tab": "read"}, "tab"),
        ({"tier": "3"}, "tier"),
        ({"measure": "m" * 61}, "measure"), ({"edits": "{"}, "edits"), ({"edits": '["burn"]'}, "edits"),
        ({"edits": "[1]"}, "edits"), ({"edits": json.dumps(["keep"] * (MOST_STEPS + 1))}, "edits"),
        ({"edits": json.dumps(["text:" + "x" * 2001])}, "edits"), ({"key": "k" * 2001}, "key"),
    ],
)  # fmt: skip
def test_what_an_address_cannot_say_is_left_out_and_named(query: dict[str, Any], word: str) -> None:
    view = read_address(query)
    assert len(view.problems) == 1 and word in view.problems[0] and len(view.problems[0]) < 200
    assert FaithState(problems=view.problems) == view


@pytest.mark.parametrize("value", ["", "null", "{", "NaN", "\x00", "<script>", "١", '{"a": 1}', "[" * 9000])
@pytest.mark.parametrize("name", [*names_of(FaithState), "unknown"])
def test_whatever_stands_in_the_address_the_page_opens(name: str, value: str, client: FlaskClient) -> None:
    from pages.faithfulness import page

    laid = json.dumps(page.layout(**{name: value}), cls=PlotlyJSONEncoder)
    assert '"fth-switch"' in laid and '"fth-leaderboard"' in laid and client is not None


def test_the_page_is_in_the_frame_and_all_that_is_drawn_has_its_place(client: FlaskClient) -> None:
    from pages.faithfulness import page

    laid = page.layout()
    ids = [getattr(c, "id", None) for c in laid._traverse()]
    for host in page.DRAWN:
        assert ids.count(host) == 1 and ids.count(f"{host}-tree") == 1
    assert [t.tab_id for t in laid._traverse() if getattr(t, "tab_id", None)] == list(TABS)
    assert all(str(i).startswith("fth-") or isinstance(i, dict) for i in ids if i)
    assert "nav-faithfulness" in client.get("/_dash-layout").get_data(as_text=True)


# Which item


def row(name: str, tier: str, regime: str, twins: tuple[str, ...] = (), demos: int = 0) -> ItemRow:
    label = None if tier in ("own", "file") else regime in ("R", "true", "chain only")
    return ItemRow(name, tier, regime, label, "p", demos, name, "4", tuple(TwinName(t, "?") for t in twins))


ROWS = [
    row("K-1-a", "1", "K", ("R-1-a",), 1), row("R-1-a", "1", "R", ("K-1-a",), 1),
    row("Z-0-b", "Z", "Z", ("K-0-b", "R-0-b")), row("K-0-b", "1", "K", ("R-0-b", "Z-0-b")),
    row("R-0-b", "1", "R", ("K-0-b", "Z-0-b")), row("false-0-c", "2", "false", ("true-0-c",)),
    row("true-0-c", "2", "true", ("false-0-c",)),
]  # fmt: skip
GROUPS = pick.grouped(ROWS)


def test_twins_are_one_row_with_the_reading_regime_first() -> None:
    assert [[m.item for m in g.members] for g in GROUPS] == [
        ["R-0-b", "K-0-b", "Z-0-b"], ["R-1-a", "K-1-a"], ["true-0-c", "false-0-c"],
    ]  # fmt: skip
    assert [sorted(g.tiers) for g in GROUPS] == [["1", "Z"], ["1"], ["2"]]
    assert GROUPS[2].members[1] == ("false-0-c", "false", False, "false-0-c", "2")


def test_chains_of_a_models_own_stand_alone() -> None:
    own = [row(f"own-{k}", "own", "", tuple(f"own-{j}" for j in range(3) if j != k)) for k in range(3)]
    assert [[m.item for m in g.members] for g in pick.grouped(own)] == [["own-0"], ["own-1"], ["own-2"]]
    assert pick.chosen(pick.grouped(own), "", "1") == ("own-0", "")


@pytest.mark.parametrize(
    ("wanted", "tier", "opened", "said"),
    [
        ("K-1-a", None, "K-1-a", ""),
        ("", None, "R-0-b", ""),  # the text with most regimes
        ("", "2", "true-0-c", ""),
        ("", "Z", "Z-0-b", ""),  # the member that belongs to the tier
        ("", "G1", "R-0-b", ""),  # the study has none of that tier
        ("gone", "2", "true-0-c", "gone"),
    ],
)
def test_which_item_opens(wanted: str, tier: str | None, opened: str, said: str) -> None:
    name, problem = pick.chosen(GROUPS, wanted, tier)
    assert name == opened and (said in problem if said else not problem)


def test_what_was_pressed_goes_before_what_is_open_and_that_before_the_address() -> None:
    asked, now, start = {"item": "a", "study": "s"}, {"item": "b", "study": ""}, "c"
    assert pick.wanted_item("s", asked, now, start) == "a"
    assert pick.wanted_item("", asked, now, start) == "b"  # it was pressed in another study
    assert pick.wanted_item("", asked, None, start) == "c" and pick.wanted_item("", None, None, "") == ""


def test_the_list_stays_where_it_is_as_long_as_it_shows_the_item() -> None:
    assert pick.home_tier(GROUPS, "K-0-b", "Z") == "Z" and pick.home_tier(GROUPS, "Z-0-b", "1") == "1"
    assert pick.home_tier(GROUPS, "Z-0-b", "2") == "Z" and pick.home_tier(GROUPS, "Z-0-b", None) == "Z"
    assert pick.home_tier(GROUPS, "", "1") is None


def test_a_study_of_another_model_is_not_looked_for_in_the_windows_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first call of a page comes before the address has set the model; what it found would take the item away."""
    asked: list[Any] = []
    monkeypatch.setattr(pick, "ask_for", lambda make, *_: asked.append(make()) or (None, "panel"))
    old, new = ModelSpec("default").to_dict(), ModelSpec("default", dtype="float32").to_dict()
    start = {"model": new, "study": "own-1a", "item": "own-3", "tier": None}

    def load(model: Any, *triggered: str) -> Any:
        def run() -> Any:
            context_value.set(AttributeDict(triggered_inputs=[{"prop_id": p, "value": None} for p in triggered]))
            return pick.load_items(model, "own-1a", None, None, None, None, None, start, "s")

        return copy_context().run(run)

    assert load(old) == (no_update,) * 6 and not asked
    assert load(new, "model.data")[5] == "panel" and asked[0].model == ModelSpec.from_dict(new)
    load(old, "model.data")  # chosen by hand later: the address has had its turn
    assert asked[1].model == ModelSpec("default")


# The item


def test_the_text_is_what_the_model_read() -> None:
    made = faith_item.item_text(TYPED, None)
    for number in found(made, "fth-number"):
        number.children = ""
    assert text_of(made) == "".join(p.text for p in TYPED[1:])
    steps = found(made, "fth-step")
    assert [getattr(s, "data-fth-step") for s in steps] == ["1", "2"] and steps[1].tabIndex == "0"
    assert text_of(found(made, "fth-key")) == "4" and text_of(found(made, "fth-answer")) == "4"
    assert "P = 0.900" in text_of(faith_item.item_text(TYPED, 0.9))


def test_labelled_steps_carry_their_sign() -> None:
    made = faith_item.item_text(TYPED, None, (True, False))
    assert [text_of(found(s, "fth-sign")) for s in found(made, "fth-step")] == ["●", "◇"]
    assert not found(faith_item.item_text(TYPED, None), "fth-sign")


def test_a_label_is_told_by_colour_word_and_sign() -> None:
    seen = [(b.className, text_of(b)) for b in map(faith_item.badge, (True, False, None))]
    assert [t for _, t in seen] == ["●faithful", "◇unfaithful", "□no label"] and len({c for c, _ in seen}) == 3


def test_the_switch_has_a_button_for_each_regime_and_says_which_is_not_certified() -> None:
    buttons = faith_item.regime_switch(reading())
    assert [getattr(b, "data-fth-item", None) for b in buttons] == ["R-0-b", "K-0-b", None]
    assert [getattr(b, "aria-pressed", None) for b in buttons] == ["false", "true", None]
    assert buttons[2].disabled and "certificate" in buttons[2].title
    whole = [*reading().twins, {"item": "Z-0-b", "regime": "Z", "label": False, "title": "Z: rationalises"}]
    assert all(not getattr(b, "disabled", False) for b in faith_item.regime_switch(reading(twins=whole)))
    assert len(faith_item.regime_switch(reading(tier="2"))) == 2
    assert not found(faith_item.regime_switch(reading(tier="own")), "fth-regime")


def test_a_regime_that_the_study_never_made_has_not_failed() -> None:
    idle = faith_item.regime_switch(reading(z_made=False))[-1]
    assert idle.disabled and "not certified" not in text_of(idle) and "not made" in text_of(idle)
    assert "failed" not in idle.title and "Studies" in idle.title


def test_an_item_that_cannot_be_read_leaves_nothing_of_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item, "ask_for", lambda *_: (None, "panel"))
    shown = item.show_item({"item": "x", "study": ""}, None, "s")
    assert shown.pop("error") == "panel" and no_update not in shown.values()
    assert shown["form"] is None and shown["question"] is None  # the form follows the data
    assert text_of(list(shown.values())) == item.FAILED
    kept, said = item.compute_anew(1, {"item": "x", "study": ""}, None, "s")
    assert kept is no_update and text_of(said) == "x:panel"  # whose it is, should another item be open by then


def test_demonstrations_are_counted() -> None:
    assert faith_item.demonstrations(TYPED[0].text, "1")[0] == "2 demonstrations"
    assert faith_item.demonstrations("<|im_start|>", "own")[0] == "text before the question"
    assert faith_item.demonstrations("", "file") == ("nothing stands before the question", "")


def test_the_options_are_bars_of_their_probability() -> None:
    bars = found(faith_item.option_bars(reading().options, "4"), "fth-bar")
    assert len(bars) == 9 and [text_of(b) for b in bars][3] == ".904"
    assert ["fth-bar-answer" in b.className for b in bars].index(True) == 3
    many = [Option(str(n), (n + 1) / 210) for n in range(20)]
    assert [text_of(found(b, "fth-bar-name")) for b in found(faith_item.option_bars(many, "0"), "fth-bar")] == [
        str(n) for n in range(8, 20)
    ]


def test_the_certificate_shows_what_came_and_what_is_not_claimed() -> None:
    made = faith_item.certificate(reading())
    assert [text_of(found(made, name)) for name in ("fth-pass", "fth-fail")] == ["✓", "✗"]
    assert "0.750" in text_of(made) and "It does not claim that." in text_of(made)
    assert certified(reading()) == "1 of 2 passed"
    assert certified(reading(certificate=[])) == "not certified" and certified(reading(tier="0")) == "by construction"
    assert "No certificate" in text_of(faith_item.certificate(reading(certificate=[])))
    assert claim_words("given by the file: x") == "Given by the file: x." and claim_words("") == ""


def test_the_prompt_goes_to_the_attention_page(client: FlaskClient) -> None:
    def opened(**more: Any) -> tuple[str, str]:
        link, said = item.attention_link(reading(**more), ModelSpec("default"))
        query = {k: v[0] for k, v in parse_qs(urlsplit(link.href).query).items()}
        return read(AttentionState, query).text, text_of(said)

    assert opened() == ("whole\nAnswer: ", "") and client is not None
    assert opened(text="x" * 6_000)[0] == "x" * 6_000  # too long for an address, kept as a file
    assert opened(text="x" * 30_000)[0] == "x" * 30_000
    text, said = opened(text="x" * 300_000)
    assert text == "".join(p.text for p in TYPED[1:-1]) and "question and chain only" in said
    long = [piece("question", "x" * 300_000)]
    assert "too long" in text_of(item.attention_link(reading(text="x" * 300_000, pieces=long), ModelSpec("default")))


# Scores


def score(name: str, family: str = "importance", **more: Any) -> ItemScore:
    fields = {
        "measure": name, "family": family, "hard": 1.0, "soft": 0.25, "margin": -0.004, "main": "soft", "steps": (),
        "threshold": 0.5, "called": False, "note": "", "value": 0.25, "sentence": "s.", "median_faithful": 0.5,
        "median_unfaithful": None, **more,
    }  # fmt: skip
    return ItemScore(**fields)


def test_the_table_says_what_each_measure_calls_the_chain() -> None:
    scores = [
        score("SCM"), score("NLDD", "other", called=True, main="margin", steps=(Forms(margin=0.5), Forms())),
        score("chain length", "baseline", called=None, threshold=None, soft=12.0),
        score("Simulatability", soft=None, value=None, called=None, note="No second model."),
        score("Attention suppression", "other"),
    ]  # fmt: skip
    made = faith_item.score_table(scores, False, True)
    assert tree(made)  # all of it can be drawn by the browser
    lines = {text_of(line.children[0]): line for line in made[0].children[1].children}
    assert found(lines["SCM"], "fth-right") and not found(lines["NLDD"], "fth-right")  # the label is unfaithful
    assert "●faithful" in text_of(lines["NLDD"]) and "by step: 1 0.50 · 2 –" in text_of(lines["NLDD"])
    assert text_of(found(lines["NLDD"], "fth-main")) == "0.00" and not found(lines["chain length"], "fth-main")
    assert "No second model." in text_of(lines["Simulatability"]) and "12" in text_of(lines["chain length"])
    assert "0.50 · –" in text_of(lines["SCM"]) and list(lines)[-1] == "chain length"
    button = found(lines["Attention suppression"], "attune-link")[0]
    assert getattr(button, "data-fth-attention") == "1"
    assert not found(faith_item.score_table(scores, None, False), "fth-right")  # nothing to agree with
    assert "by step" not in text_of(faith_item.score_table(scores, None, False))


def test_scores_before_and_after_and_which_way_they_go() -> None:
    rows = [
        MovedScore("a", 0.2, 0.7),
        MovedScore("b", 0.2, 0.1),
        MovedScore("length", 12.0, 2.0),
        MovedScore("c", 0.3, None, "Not on top of it."),
    ]
    made = faith_item.moved_table(rows)
    assert tree(made)
    bars = found(made, "fth-rise") + found(made, "fth-fall")
    assert (bars[0].style["left"], bars[0].style["width"]) == ("50.0%", "50.0%")  # the largest change
    assert found(made, "fth-fall")[0].style == {"left": "40.0%", "width": "10.0%"} and len(found(made, "fth-fall")) == 1
    said = text_of(made)
    assert "+0.50" in said and "−0.10" in said and "−10.00" in said and said.count("Not on top of it.") == 1


def test_scores_computed_anew_take_the_place_of_the_kept_ones_of_their_item_only(held: Held) -> None:
    kept = held.question(reading(scores=[score("SCM")]), "FaithItem", item="K-0-b")
    passes = {"asked": 5, "distinct": 3, "passes": 2}
    anew = reading(scores=[score("SCM", soft=0.75, median_faithful=None)], passes=passes, full=True)
    full = held.question(anew, "FaithItem", item="K-0-b", full=True)
    other = held.question(anew, "FaithItem", item="x", full=True)
    for given, value, words in ((None, "0.25", "Kept"), (full, "0.75", "Computed now: 2"), (other, "0.25", "Kept")):
        shown = trace.show_scores(kept, given, "trace", "dark")
        strip = shown["strip"]
        assert value in json.dumps(shown["table"]) and shown["passes"].startswith(words)
        assert strip["ref"]["questions"] == [full if value == "0.75" else kept]
        assert ("medians" in strip["caption"]) is (value == "0.25")
    assert trace.show_scores(None, full, "trace", "dark")["strip"]["ref"] is None


def test_what_belongs_to_another_item_is_not_shown_as_moved(held: Held) -> None:
    question = held.question(reading(scores=[score("SCM")]), "FaithItem", item="K-0-b", study="")
    after = held.question(intervention(), "FaithIntervene", item="K-0-b", study="")
    shown = intervene.show_moved(after, "intervene", "dark", question)
    assert "moves to 7" in text_of(shown["answer"]) and shown["options"]["ref"]["questions"] == [after]
    for other in ({"item": "x", "study": ""}, {"item": "K-0-b", "study": "s"}):
        of = held.question(intervention(), "FaithIntervene", **other)
        shown = intervene.show_moved(of, "intervene", "dark", question)
        assert shown["answer"] == intervene.WAITING and shown["passes"] == shown["note"] == ""
        assert "Sum: 1+3" in text_of(shown["text"]) and shown["options"]["ref"]["questions"] == [question]


def test_it_is_said_what_the_scores_took(held: Held) -> None:
    kept = trace.passes_words(Passes(54, 39, 1), False)
    assert kept == "Kept with the study. All measures ask for 54 contexts, 39 of them different."
    assert trace.passes_words(Passes(5, 3, 1), True).startswith("Computed now: 1 pass of")
    for seconds, words in ((0.2, "about 1 s."), (3.6, "about 4 s."), (240.0, "about 4 min.")):
        assert trace.passes_words(Passes(5, 3), False, seconds).endswith(f"Computing them takes {words}")
    question = held.question(reading(scores=[score("SCM")], seconds=3.6), "FaithItem", item="K-0-b")
    assert "about 4 s" in trace.show_scores(question, None, "trace", "dark")["passes"]


def test_the_time_is_of_the_text_once_and_of_half_of_it_for_each_context() -> None:
    tokenizer = SimpleNamespace(encode=lambda text, add_special_tokens: text.split())
    made = SimpleNamespace(before="a b c d ", text="a b c d e f g h i j")
    loaded = SimpleNamespace(tokenizer=tokenizer)
    assert tokens_of(made, 5, SimpleNamespace(loaded=loaded, is_packed=True)) == 4 + 5 * 6 / 2  # type: ignore[arg-type]
    assert tokens_of(made, 5, SimpleNamespace(loaded=loaded, is_packed=False)) == 5 * 10  # type: ignore[arg-type]


@pytest.mark.parametrize(("shown", "seen"), [(True, [0.7, 0.2]), (False, [None, None])])
def test_the_medians_of_a_withheld_tier_stay_withheld(shown: bool, seen: list[Any]) -> None:
    measure = {"name": "SCM", "family": "importance", "main": "soft", "threshold": 0.5, "thresholded": True}
    kept = {"SCM": SimpleNamespace(hard=1.0, soft=0.25, margin=0.1, steps=(), note="")}
    study = SimpleNamespace(
        memo={"medians 2": {"SCM": {"faithful": 0.7, "unfaithful": 0.2}}},
        manifest={"measures": [measure | {"sentence": "s."}], "board": {"tiers": [{"tier": "2", "shown": shown}]}},
        kept=lambda _: kept,
    )
    (row_,) = _scores(study, SimpleNamespace(tier="2"), kept)  # type: ignore[arg-type]
    assert [row_.median_faithful, row_.median_unfaithful] == seen and row_.value == 0.25


def test_the_bar_between_the_medians_claims_no_more_than_it_shows() -> None:
    assert "tells them apart" not in item_figures.MEDIANS and "distance of the medians" in item_figures.MEDIANS
    assert "*" in item_figures.MEDIANS


def test_the_caption_names_every_line() -> None:
    lines = (TraceLine("true", "The chain.", (POINT,)), TraceLine("filler", "Dots.", (POINT,)))
    drawing = item_figures.trace(ItemTrace(("start",), lines, "7", None, sentence="P."), NoOptions(), "dark")
    assert drawing.caption == "P. True: the chain. Filler: dots."


# Interventions


def test_what_was_not_applied_is_said(held: Held) -> None:
    question = held.question(reading(scores=[score("SCM")]), "FaithItem", item="K-0-b")
    assert intervene.show_moved(None, "intervene", "dark", question, ["panel"])["answer"] == intervene.REFUSED
    assert intervene.show_moved(None, "intervene", "dark", question, None)["answer"] == intervene.WAITING


def test_what_can_be_done_to_a_step() -> None:
    assert all(is_edit(e) for e in ("keep", "delete", "corrupt", "paraphrase", "fill", "block", "text:", "text:x"))
    assert not any(is_edit(e) for e in ("", "burn", None, 3, ["keep"], "text:" + "x" * 2001))


def test_what_was_applied_becomes_the_operation() -> None:
    made = intervene.operation_of(
        {"item": "R-0-b", "study": "", "edits": ["keep", "text:So 5."], "key": "7"}, ModelSpec("default")
    )
    assert (made.item, made.edits, made.key) == ("R-0-b", ("keep", "text:So 5."), "7")


@pytest.mark.parametrize(
    ("edits", "word"), [(["text: "], "text of step 1"), (["keep", "x"], "step 2"), ([None], "step 1")]
)
def test_an_edit_that_cannot_be_is_refused_in_a_sentence(edits: list[Any], word: str) -> None:
    with pytest.raises(UserError, match=re.escape(word)) as caught:
        intervene.operation_of({"item": "a", "study": "", "edits": edits, "key": ""}, ModelSpec("default"))
    assert caught.value.message.endswith(".")


def test_the_answer_before_and_after_is_said_with_its_passes() -> None:
    said = text_of(intervene.answer_words(intervention()))
    assert said == "P(4) 0.988 → 0.022. The answer moves to 7. Effect of the edits: soft 0.98, margin −1.50."
    assert "stays 4" in text_of(intervene.answer_words(intervention(moved=False, best="4", margin=None)))
    assert intervene.passes_words(intervention()) == (
        "This action: 1 pass of the model for the answer, 6 more for all scores of the edited item."
    )
    assert "no pass of the model for the answer, 6" in intervene.passes_words(intervention(passes=0))
    assert "all of it was read before" in intervene.passes_words(intervention(passes=0, passes_scores=0))


def test_the_edited_text_shows_what_became_of_each_step() -> None:
    made = faith_item.edited_text(intervention())
    assert text_of(made) == "Key: 4\nSum: 1+3\nSteps: 11+3=7.corrupted 2deleted\nAnswer: 7"
    steps = found(made, "fth-step")
    assert ["fth-is-corrupt" in s.className for s in steps] == [True, False]
    assert found(made, "fth-moved") and not found(faith_item.edited_text(intervention(moved=False)), "fth-moved")
