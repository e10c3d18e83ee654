"""Parts and studies on a reader of words, the board against figures counted by hand, traces, edits, what is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from analysis.engine.context import Context
from analysis.engine.memory import Memory
from analysis.engine.residents import Residents
from analysis.engine.store import ResultStore
from analysis.errors import UserError
from analysis.faithfulness import library, organisms
from analysis.faithfulness.ask import AnswerAsk, ask_of
from analysis.faithfulness.board import board, medians
from analysis.faithfulness.edits import edited
from analysis.faithfulness.item import Item
from analysis.faithfulness.masked import ChainBlind, QuestionBlind
from analysis.faithfulness.ops.jobs import FaithStudy
from analysis.faithfulness.parts import ALL, FORMS, Part, StudySettings, parts_of
from analysis.faithfulness.study import Study, estimate_tokens, joined, matched
from analysis.faithfulness.trace import MOST_PLACES, lines, traced
from analysis.models.spec import ModelSpec
from tests.unit.faithfulness.test_chains import loaded_bytes
from tests.unit.faithfulness.test_items import Rule

NAMES = [m.name for m in ALL]
CONFIDENCE = NAMES.index("answer confidence")


def items_of(tier: str, count: int, seeds: int = 2) -> tuple[Item, ...]:
    """Twins of both labels over some problems and seeds; texts do not matter here."""
    made = []
    for seed in range(seeds):
        rows = {r: organisms.drafts(r, seed, organisms.problems(count)) for r in "RK"}
        for r, k in zip(rows["R"], rows["K"], strict=True):
            made += [replace(d.item, tier=tier, id=f"{tier}{d.item.id}") for d in (r, k)]
    return tuple(made)


def study_of(lean: float = 0.0, seed: int = 0) -> Study:
    """Two tiers with drawn scores; in tier 2 the faithful items are ``lean`` surer."""
    draw = np.random.default_rng(seed)
    parts = []
    for tier in "12":
        items = items_of(tier, 20)
        labels = np.array([i.label for i in items])
        scores = draw.normal(size=(len(FORMS), len(ALL), len(items))).round(1)
        scores[:, :3] += labels * 1.5 * (tier == "1")
        if tier == "2":
            scores[:, CONFIDENCE] = draw.uniform(0.4, 0.6, len(items)) + lean * labels
        scores[:, 5, :4] = np.nan
        parts.append(Part(tier, 0, items, scores, 2 * len(items), {"result swapped": 3}, {}, 10, 7, 5, 100, 1.0))
    return joined(parts, StudySettings(tiers=("1", "2")), {"model": "a model", "title": "t", "command": "c"})


def test_the_board_counts_what_one_counts_by_hand() -> None:
    study = study_of()
    data = board(study)
    json.dumps(data, allow_nan=False)
    assert [t["tier"] for t in data["tiers"]] == ["1", "2"]
    for tier in data["tiers"]:
        at = study.of(tier["tier"])
        labels = [study.items[i].label for i in at]
        assert tier["items"] == len(at) and tier["seeds"] == 2
        assert tier["problems"] == len({study.items[i].problem for i in at})
        for row, cells in enumerate(data["rows"]):
            values = study.main()[row, at]
            known = np.isfinite(values)
            cell = cells["auroc"][tier["tier"]]
            expected = roc_auc_score(np.array(labels)[known], values[known])
            assert cell["auroc"] == pytest.approx(expected) and cell["low"] <= expected <= cell["high"]
            assert cell["n_faithful"] + cell["n_unfaithful"] == known.sum()
            assert cell["permuted"][0] < 0.5 < cell["permuted"][1]
            if cells["thresholded"]:
                assert cells["called"][tier["tier"]] == pytest.approx((values[known] >= cells["threshold"]).mean())
            else:
                assert cells["called"][tier["tier"]] is None
    strong = data["rows"][0]["auroc"]
    assert strong["1"]["low"] > 0.5 and strong["1"]["permuted"][1] < strong["1"]["auroc"]
    gaps = {(d["tier"], d["a"]): d for d in data["differences"]}
    here = gaps["1", NAMES[0]]
    base = data["rows"][CONFIDENCE]["auroc"]["1"]["auroc"]
    assert (
        here["difference"] == pytest.approx(strong["1"]["auroc"] - base)
        and here["low"] < here["difference"] < here["high"]
    )
    assert data["cost"]["asked"] == 20 and data["cost"]["distinct"] == 14
    assert "60 " not in data["tiers"][0]["dropped_sentence"] or data["tiers"][0]["dropped"] == 60


def test_tier_two_is_withheld_until_confidence_is_at_chance() -> None:
    fair = board(study_of())
    assert next(t for t in fair["tiers"] if t["tier"] == "2")["shown"]
    study = study_of()
    at = study.of("2")
    study.scores[:, CONFIDENCE, at] = [float(study.items[i].label is True) for i in at]
    tier = next(t for t in board(study)["tiers"] if t["tier"] == "2")
    assert not tier["shown"] and "Withheld" in tier["why_not"] and tier["confidence"] == 1.0


def test_pairs_that_lean_are_left_out_with_their_twins() -> None:
    items = items_of("2", 20)
    labels = np.array([i.label for i in items])
    draw = np.random.default_rng(1)
    sure = draw.uniform(0.4, 0.6, len(items)) + 0.06 * labels
    assert roc_auc_score(labels, sure) > 0.6
    kept = matched(items, sure)
    assert 0 < len(kept) < len(items)
    assert abs(roc_auc_score(labels[kept], sure[kept]) - 0.5) <= 0.04
    pairs = [(items[i].problem, items[i].demos) for i in kept]
    assert all(pairs.count(p) == 2 for p in pairs)
    leaning = study_of(lean=0.05)
    assert leaning.manifest["tiers"]["2"]["unmatched"] == len(items) - len(leaning.of("2")) > 0
    assert leaning.scores.shape[2] == len(leaning.items)


def test_studies_survive_the_disk_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    study = study_of()
    study.manifest["fingerprint"] = "abc"
    place = library.place("abc", "study-1")
    library.save_study(study, place)

    memory = Memory()
    again = library.open_study(memory, "abc", "study-1")
    assert again.items == study.items and again.item(study.items[3].id).certificate == study.items[3].certificate
    np.testing.assert_allclose(again.scores, study.scores.astype(np.float32))
    assert library.open_study(memory, "abc", "study-1") is again
    assert [row.name for row in library.studies("abc")] == ["study-1"]
    with pytest.raises(UserError, match="no study called"):
        library.open_study(memory, "abd", "study-1")
    for bad in ("../study-1", "A", "a/b", "x" * 80):
        with pytest.raises(UserError, match="small letters"):
            library.place("abc", bad)
    arrays = next(place.parent.glob("study-1-*.safetensors"))
    arrays.write_bytes(arrays.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match="changed after"):
        library.open_study(Memory(), "abc", "study-1")


def test_twins_are_on_the_same_problem_and_seed() -> None:
    study = study_of()
    item = study.items[0]
    (twin,) = study.twins(item)
    assert (twin.problem, twin.demos, twin.tier) == (item.problem, item.demos, item.tier) and twin.label != item.label
    with pytest.raises(UserError, match="no item called"):
        study.item("nothing")


def test_medians_are_of_the_tier_and_its_labels() -> None:
    study = study_of()
    found = medians(study, "1")
    at = [i for i in study.of("1") if study.items[i].label]
    assert found[NAMES[0]]["faithful"] == pytest.approx(np.median(study.main()[0, at]))


@pytest.mark.parametrize("changes", [{"seeds": 0}, {"problems": 61}, {"seed": -1}, {"tiers": ("3",)}, {"tiers": ()}])
def test_settings_of_a_study_are_checked(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        StudySettings(**changes)


def test_an_estimate_grows_with_what_is_asked() -> None:
    small, items = estimate_tokens(StudySettings(1, 10, ("1",)))
    large, more = estimate_tokens(StudySettings(3, 20, ("1", "2")))
    assert items == 20 and more == 3 * 80 and large > 6 * small
    assert parts_of(StudySettings(3, 20, ("0", "1"))) == [("0", 0), ("1", 0), ("1", 1), ("1", 2)]


ITEM = organisms.drafts("R", 0, organisms.problems(9))[0].item


def test_the_trace_of_a_reader_of_steps() -> None:
    rows = {row.name: row.points for row in traced(ITEM, Rule("steps"))}
    assert set(rows) == {"true", "corrupted", "filler", "attention blocked", "paraphrased"}
    assert [point.step for point in rows["true"]] == list(range(len(ITEM.steps) + 1))
    assert rows["true"][-1].p > 0.9 > 0.1 > rows["corrupted"][-1].p
    assert len({row[0].p for row in rows.values()}) == 1  # no step yet: all chains are one
    assert rows["corrupted"][1].text == ITEM.mistakes[0].strip()
    hidden = next(line for line in lines(ITEM) if line.name == "attention blocked")
    last = hidden.asks[-1]
    assert last is not None and last.hidden == tuple(range(1, len(ITEM.steps) + 1)) and last.chain == ITEM.chain
    assert sum(option.probability for option in rows["true"][0].options) == pytest.approx(1)


def test_the_trace_says_what_it_lacks_and_ends_in_time() -> None:
    bare = replace(ITEM, mistakes=("", *ITEM.mistakes[1:]), paraphrases=("",) * len(ITEM.steps))
    found = {line.name: line for line in lines(bare)}
    assert "paraphrased" not in found
    assert f"1 of {len(ITEM.steps)} steps have no wrong version" in found["corrupted"].sentence
    last = found["corrupted"].asks[-1]
    assert last is not None and last.chain[1:] == (ITEM.steps[0], *ITEM.mistakes[1:])
    count = 200
    long = replace(ITEM, steps=ITEM.steps[:1] * count, mistakes=ITEM.mistakes[:1] * count, paraphrases=())
    for line in lines(long):
        read = [k for k, ask in enumerate(line.asks) if ask is not None]
        assert len(read) == MOST_PLACES and read[0] == 0 and read[-1] == count


def test_what_is_read_shows_the_key_also_where_nothing_is_measured() -> None:
    keyed = organisms.drafts("K", 0, organisms.problems(9))[0].item
    for edit in ("block", "delete"):
        made = edited(keyed, (edit,) * len(keyed.steps), "9" if keyed.key != "9" else "8")
        assert made.item is None and "".join(p.text for p in made.question) == made.ask.question != keyed.question_text


def test_edits_change_what_they_name() -> None:
    keep = ("keep",) * len(ITEM.steps)
    plain = edited(ITEM, keep)
    assert plain.ask == ask_of(ITEM) and plain.item is not None and plain.item.steps == ITEM.steps
    wrong = edited(ITEM, ("corrupt", *keep[1:]))
    assert wrong.ask.chain[1] == ITEM.mistakes[0] and wrong.ask.chain[2:] == ITEM.chain[2:]
    gone = edited(ITEM, ("delete", *keep[1:]))
    assert (
        gone.ask.chain == (ITEM.lead, *ITEM.steps[1:])
        and gone.item is not None
        and len(gone.item.steps) == len(keep) - 1
    )
    blocked = edited(ITEM, (*keep[:-1], "block"))
    assert blocked.ask.hidden == (len(ITEM.steps),) and blocked.item is None and "Blocked" in blocked.note
    own = edited(ITEM, ("text: 1+1=2.", *keep[1:]))
    assert own.ask.chain[1] == " 1+1=2." and own.item is not None and own.item.mistakes[0] not in ("", " 1+1=2.")
    nothing = edited(ITEM, ("delete",) * len(keep))
    assert nothing.item is None and "No step is left" in nothing.note
    other = next(c for c in ITEM.candidates if c != ITEM.key)
    swapped = edited(ITEM, keep, other)
    assert f"{other}\n" in swapped.ask.question and swapped.ask.chain == ITEM.chain
    assert swapped.item is not None and swapped.item.key == other


@pytest.mark.parametrize(
    ("item", "edits", "key", "words"),
    [
        (ITEM, ("keep",), "", "as many edits"),
        (ITEM, ("shout",) * len(ITEM.steps), "", "can be edited by"),
        (replace(ITEM, mistakes=()), ("corrupt",) * len(ITEM.steps), "", "holds nothing"),
        (replace(ITEM, paraphrases=()), ("paraphrase",) * len(ITEM.steps), "", "no paraphrase"),
        (ITEM, ("text:" + "x" * 2_001,) * len(ITEM.steps), "", "at most 2,000"),
        (replace(ITEM, question=ITEM.question[2:]), ("keep",) * len(ITEM.steps), "9", "no key or hint"),
    ],
)
def test_edits_that_cannot_be_made_are_said(item: Item, edits: tuple[str, ...], key: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        edited(item, edits, key)


def test_blind_readers_do_not_see_the_other_part() -> None:
    class Seen:
        def __init__(self) -> None:
            self.asks: list[Any] = []

        def read(self, asks: Any) -> Any:
            self.asks += asks
            return Rule("steps").read(asks)

    below = Seen()
    ask = ask_of(ITEM, hidden=(1,))
    assert set(ChainBlind(below).read([ask])) == {ask}
    assert below.asks[-1] == AnswerAsk(ITEM.before, ITEM.question_text, (), ITEM.cue, ITEM.candidates)
    QuestionBlind(below).read([ask])
    assert below.asks[-1].question == "" and below.asks[-1].chain == ITEM.chain


def test_a_study_without_any_item_is_refused_in_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    residents = Residents(limit=1)
    residents.put(loaded_bytes())  # weights at random follow no examples
    asked = FaithStudy(ModelSpec("tiny"), seeds=1, problems=2, tiers=("1",))
    with pytest.raises(UserError, match=r"Nothing could be certified in tier 1: .* Under Studies"):
        Context(residents, ResultStore(tmp_path / "results")).perform(asked)
    assert not list(tmp_path.rglob("study-*"))
