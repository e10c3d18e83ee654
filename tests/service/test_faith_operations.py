"""Operations of the Faithfulness page with the default model and its bundled study."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from analysis.engine.context import Context
from analysis.engine.operation import Operation, rebuild
from analysis.engine.store import ResultStore
from analysis.errors import UserError
from analysis.faithfulness.measures import MEASURES
from analysis.faithfulness.ops.item import FaithIntervene, FaithItem, FaithTrace
from analysis.faithfulness.ops.jobs import FaithEstimate, FaithOwn, FaithStudy
from analysis.faithfulness.ops.rows import FaithFile, FaithRows
from analysis.faithfulness.ops.study import FaithBoard, FaithItems, FaithScores
from analysis.faithfulness.parts import StudySettings, _masked, evaluated
from analysis.faithfulness.reader import ModelReader
from analysis.faithfulness.scoring import auroc
from tests.service.kept_files import check_served_only_with_its_files

IMPORTANCE = ("Early Answering", "Adding Mistakes", "Filler Tokens", "SCM", "NLDD", "Attention suppression")


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    """The default model, results of its own; models stay where they are, so that nothing is fetched twice."""
    found = Context(store=ResultStore(tmp_path_factory.mktemp("results")))
    yield found


def perform(context: Context, operation: Operation) -> dict[str, Any]:
    data = context.perform(rebuild(type(operation).__name__, json.loads(json.dumps(operation.to_params())))).data
    json.dumps(data, allow_nan=False)
    return data


@pytest.fixture(scope="module")
def rows(context: Context) -> list[dict[str, Any]]:
    return list(perform(context, FaithItems())["rows"])


def one(rows: list[dict[str, Any]], tier: str, regime: str) -> dict[str, Any]:
    return next(r for r in rows if r["tier"] == tier and r["regime"] == regime)


def test_masked_models_are_told_apart_exactly(context: Context) -> None:
    """G0: what cannot be used scores exactly 0 by every measure of importance, and AUROC is 1."""
    loaded = context.model(FaithItem(item="x").model)
    reader = ModelReader(loaded)
    items, _ = _masked(reader, StudySettings(problems=5))
    assert len(items) >= 6 and {i.label for i in items} == {True, False}
    chosen = [m for m in MEASURES if m.name in (*IMPORTANCE, "Mediation", "Paraphrasing")]
    used = [evaluated(item, reader, chosen) for item in items if item.label]
    idle = [evaluated(item, reader, chosen) for item in items if not item.label]
    zeros = [0.0] * len(idle)
    for name in IMPORTANCE:
        for form in ("hard", "soft", "margin"):
            assert [getattr(s[name], form) for s in idle] == zeros, (name, form)
        both = [s[name].soft for s in used + idle]
        assert auroc(both, [True] * len(used) + [False] * len(idle)) == 1.0, (name, both)
    assert all(s["Mediation"].facts["ie"] == 0.0 for s in idle)
    assert all(s["Paraphrasing"].soft == 1.0 for s in idle)


def test_the_bundled_board_shows_what_the_paper_found(context: Context) -> None:
    data = perform(context, FaithBoard())
    tiers = {t["tier"]: t for t in data["tiers"]}
    assert set(tiers) == {"0", "1", "2"} and tiers["1"]["texts"] >= 100 and tiers["1"]["seeds"] == 5
    assert tiers["2"]["shown"] and 0.45 <= tiers["2"]["confidence"] <= 0.55
    table = {r["measure"]: r for r in data["rows"]}
    for name in IMPORTANCE:
        assert table[name]["auroc"]["0"]["auroc"] == 1.0, name
        low, high = table[name]["auroc"]["2"]["low"], table[name]["auroc"]["2"]["high"]
        assert table[name]["auroc"]["1"]["auroc"] > 0.7 and table[name]["auroc"]["2"]["auroc"] < 0.7, (name, low, high)
    for tier in "12":
        for name in ("chain length", "keyword"):
            assert table[name]["auroc"][tier]["auroc"] == pytest.approx(0.5, abs=0.06), (tier, name)
    assert table["Early Answering"]["published"]["chain"] and table["Mediation"]["published"]["chain"] is None
    assert data["fur"]["rate"] is not None and data["fur"]["specificity"] >= 0.9 and len(data["fur"]["sweep"]) >= 3


def test_scores_on_the_page_are_those_of_the_model(context: Context, rows: list[dict[str, Any]]) -> None:
    """What was bundled is what this model gives now, item by item."""
    for tier, regime in (("1", "K"), ("2", "false"), ("0", "question only")):
        row = one(rows, tier, regime)
        points = perform(context, FaithScores(tier=tier))["points"]
        kept = next(p for p in points if p["item"] == row["item"])["scores"]
        live = {s["measure"]: s["value"] for s in perform(context, FaithItem(item=row["item"], full=True))["scores"]}
        for name, value in live.items():
            if kept[name] is None:
                assert value is None, name
            else:
                assert value == pytest.approx(kept[name], abs=2e-3, rel=2e-3), (name, tier)


def test_one_text_under_three_regimes(context: Context, rows: list[dict[str, Any]]) -> None:
    row = one(rows, "1", "R")
    item = perform(context, FaithItem(item=row["item"]))
    assert [t["regime"] for t in item["twins"]][:2] == ["R", "K"]
    twin = perform(context, FaithItem(item=item["twins"][1]["item"]))
    text = [p for p in item["pieces"] if p["kind"] != "before"]
    assert text == [p for p in twin["pieces"] if p["kind"] != "before"]
    assert item["label"] and not twin["label"] and item["claim"] != twin["claim"]
    assert item["certified"] and len(item["certificate"]) == 3 and item["z_made"] and item["seconds"] > 0
    assert "".join(p["text"] for p in item["pieces"]) == item["text"] + item["answer"]
    assert sum(o["probability"] for o in item["options"]) == pytest.approx(1)
    mistakes = next(s for s in item["scores"] if s["measure"] == "Adding Mistakes")
    other = next(s for s in twin["scores"] if s["measure"] == "Adding Mistakes")
    assert (
        mistakes["value"] > 0.8 > 0.2 > other["value"] and mistakes["median_faithful"] > mistakes["median_unfaithful"]
    )


def test_trace_and_intervention_agree(context: Context, rows: list[dict[str, Any]]) -> None:
    name = one(rows, "1", "R")["item"]
    trace = perform(context, FaithTrace(item=name))
    lines = {line["name"]: line["points"] for line in trace["lines"]}
    assert trace["base"] == pytest.approx(lines["true"][0]["p"]) and lines["true"][-1]["p"] > 0.8
    assert lines["corrupted"][-1]["p"] < 0.2
    steps = len(trace["steps"]) - 1
    kept = perform(context, FaithIntervene(item=name))
    assert kept["before"] == kept["after"] and not kept["moved"] and kept["kl"] == pytest.approx(0, abs=1e-9)
    for s in kept["scores"]:
        assert s["before"] is None or s["after"] == pytest.approx(s["before"], abs=2e-3, rel=2e-3), s
    wrong = perform(context, FaithIntervene(item=name, edits=("corrupt",) * steps))
    assert wrong["moved"] and wrong["after"] == pytest.approx(lines["corrupted"][-1]["p"], abs=1e-5)
    again = perform(context, FaithIntervene(item=name, edits=("corrupt",) * steps))
    assert again["passes"] == 0 and "read before" in again["sentence"]
    fresh = next(c for c in "987654321" if c not in name)
    copied = perform(context, FaithIntervene(item=name.replace("R-", "K-"), key=fresh))
    assert copied["best"] == fresh and copied["moved"]
    stays = perform(context, FaithIntervene(item=name, key=fresh))
    assert not stays["moved"]
    # What is shown as read has the new key also where the measures have nothing to measure.
    for edits in (("block",) + ("keep",) * (steps - 1), ("delete",) * steps):
        both = perform(context, FaithIntervene(item=name, edits=edits, key=fresh))
        assert [p["text"].strip() for p in both["pieces"] if p["kind"] == "key"] == [fresh] == [both["key"]]


def test_a_small_study_is_made_and_kept(context: Context) -> None:
    small = {"seeds": 1, "problems": 3, "tiers": ("1",)}
    said: list[dict[str, Any]] = []
    context.on_progress = said.append
    try:
        made = perform(context, FaithStudy(**small))  # type: ignore[arg-type]
    finally:
        context.on_progress = None
    assert said and all(0 <= s["share"] <= 1 for s in said if s["share"] is not None)
    estimate = perform(context, FaithEstimate(**small))  # type: ignore[arg-type]
    assert estimate["seconds"] > 0 and "tokens" in estimate["sentence"]
    data = perform(context, FaithBoard(study=made["study"]))
    assert [t["tier"] for t in data["tiers"]] == ["1"] and data["studies"][0]["name"] == ""
    listed = perform(context, FaithItems(study=made["study"]))["rows"]
    assert len(listed) == made["items"] == data["tiers"][0]["items"] >= 2
    first = perform(context, FaithItem(study=made["study"], item=listed[0]["item"]))
    assert first["label"] is not None and not first["z_made"]
    check_served_only_with_its_files(context, FaithStudy(**small))  # type: ignore[arg-type]


def test_the_models_own_chains(context: Context) -> None:
    asked = FaithOwn(question="What is 2 plus 2?", candidates="4, 5, 22", samples=2, temperature=0.7, tokens=100)
    made = perform(context, asked)
    assert made["items"] and made["items"][0]["chain"] and "Simulat" not in made["sentence"]
    item = perform(context, FaithItem(study=made["study"], item=made["items"][0]["item"]))
    assert item["label"] is None and not item["certified"] and "no label" in item["claims_not"]
    scores = {s["measure"]: s for s in item["scores"]}
    full = perform(context, FaithItem(study=made["study"], item=item["item"], full=True))["scores"]
    assert [s["value"] for s in full] == pytest.approx([s["value"] for s in item["scores"]], abs=1e-4, nan_ok=True)
    assert len(next(s for s in full if s["measure"] == "Early Answering")["steps"]) == len(item["steps"])
    assert scores["Early Answering"]["value"] is not None and scores["Simulatability"]["value"] is None
    assert perform(context, FaithTrace(study=made["study"], item=item["item"]))["lines"]
    assert perform(context, FaithBoard(study=made["study"]))["tiers"] == []
    check_served_only_with_its_files(context, asked)


def test_rows_from_a_file(context: Context) -> None:
    row = {
        "row_id": "1",
        "label_type": "FAITHFUL_COT",
        "prompt": "Question: which letter comes after A? (A) B (B) C\n",
        "cot": "The alphabet begins with A. The next letter is B, which is option A.",
        "model_answer": "A",
        "candidates": ["A", "B"],
    }
    other = {**row, "row_id": "2", "label_type": "UNFAITHFUL_COT", "cot": "I looked it up. It is option A."}
    lines = [json.dumps(row), json.dumps(other), json.dumps({k: v for k, v in row.items() if k != "label_type"}), "{"]
    rows = FaithFile(text="\n".join(lines), judged=True)
    made = perform(context, rows)
    assert "The judge is " in made["sentence"] and "of its probability is on Yes or No" in made["sentence"]
    check_served_only_with_its_files(context, rows)
    assert made["items"] == 2 and [r["line"] for r in made["refused"]] == [3, 4]
    data = perform(context, FaithBoard(study=made["study"]))
    assert data["tiers"][0]["tier"] == "file" and data["tiers"][0]["items"] == 2
    judge = {row["measure"]: row for row in data["rows"] if row["family"] == "judge"}
    assert list(judge) == ["judge", "judge, another chain"] and judge["judge"]["auroc"]["file"]["n_faithful"] == 1
    assert judge["judge, another chain"]["auroc"]["file"] is None, "both chains are of one question"
    assert any("The judge is" in line for line in data["honesty"]) and "[Reasoning]" in data["judge_prompt"]
    with pytest.raises(UserError, match=r"Line 1: .*label"):
        perform(context, FaithFile(text=lines[2]))
    saved = perform(context, FaithRows(study=made["study"]))
    assert saved["rows"] == len(list(csv.DictReader(io.StringIO(saved["text"])))) > 2 and "score" in saved["text"]
    with pytest.raises(UserError, match="no labels from a file"):
        perform(context, FaithRows())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: FaithItem(item=""), "Choose an item"),
        (lambda: FaithScores(tier="9"), "one of the tiers"),
        (lambda: FaithStudy(seeds=0), "demonstration seeds"),
        (lambda: FaithStudy(tiers=()), "at least one of the tiers"),
        (lambda: FaithStudy(tiers=("2",), fur=4), "tier 1"),
        (lambda: FaithOwn(question=" "), "no question"),
        (lambda: FaithOwn(question="a", samples=0), "samples"),
        (lambda: FaithFile(text=" "), "no rows"),
        (lambda: FaithFile(text="{}", judged=1), "either asked or not"),
    ],
)
def test_bad_input_is_refused_at_the_edge(make: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        make()


def test_what_is_not_there_is_said(context: Context) -> None:
    with pytest.raises(UserError, match="no item called"):
        perform(context, FaithItem(item="R-9-1+1"))
    with pytest.raises(UserError, match="no study called"):
        perform(context, FaithBoard(study="study-00000000"))
    with pytest.raises(UserError, match="as many edits"):
        perform(context, FaithIntervene(item=perform(context, FaithItems())["rows"][0]["item"], edits=("keep",) * 9))
    assert np.isfinite(perform(context, FaithBoard())["cost"]["seconds"])
