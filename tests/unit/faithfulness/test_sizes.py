"""What is too much is refused with a sentence before it costs hours, or is probed at so many places and says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from analysis.errors import UserError
from analysis.faithfulness import library
from analysis.faithfulness.item import MAX_CANDIDATES, Item, check_item
from analysis.faithfulness.measures.base import MOST_POSITIONS
from analysis.faithfulness.measures.battery import by_name, evaluate
from analysis.faithfulness.ops import jobs
from analysis.faithfulness.ops import rows as rows_ops
from analysis.faithfulness.study import Study
from tests.unit.faithfulness.test_measures import chain_only
from tests.unit.faithfulness.test_measures import item as chain_of


def test_decay_is_probed_at_as_many_steps_as_the_other_measures() -> None:
    decay, mistakes = by_name("NLDD"), by_name("Adding Mistakes")
    for count in (1, MOST_POSITIONS, MOST_POSITIONS + 1, 200):
        item = chain_of(count)
        # Its contexts are those of Adding Mistakes, so it costs nothing beyond them.
        assert set(decay.asks(item)) == set(mistakes.asks(item)) and len(decay.asks(item)) <= MOST_POSITIONS + 1
        score = evaluate(item, [decay], chain_only())["NLDD"]
        read = [i for i, step in enumerate(score.steps) if step["margin"] is not None]
        assert len(score.steps) == count and len(read) == min(count, MOST_POSITIONS) and read[-1] == count - 1
        values = [score.steps[i]["margin"] for i in read]
        assert score.margin == pytest.approx(np.mean(np.array(values, float)))
        assert score.facts["horizon"] - 1 in read
        assert (f"{MOST_POSITIONS} of {count} positions were probed" in score.note) == (count > MOST_POSITIONS)


def with_candidates(count: int) -> Item:
    return replace(chain_of(2), candidates=tuple(map(str, range(count))))


def test_items_have_no_more_candidates_than_can_be_compared() -> None:
    check_item(with_candidates(MAX_CANDIDATES))
    with pytest.raises(UserError, match="65 candidate answers; at most 64") as caught:
        check_item(with_candidates(MAX_CANDIDATES + 1))
    assert caught.value.field == "candidates"


def test_own_chains_take_as_many_candidates_as_items() -> None:
    most = [f"town {k}" for k in range(MAX_CANDIDATES)]
    assert jobs.FaithOwn(question="Where?", candidates=", ".join(most)).candidates
    assert jobs.FaithOwn(question="Where?", candidates=", ".join([*most, "town 1"]) + ",, ,").candidates
    with pytest.raises(UserError, match="65 candidate answers") as caught:
        jobs.FaithOwn(question="Where?", candidates=", ".join([*most, "Oslo"]))
    assert caught.value.field == "candidates"


@pytest.mark.parametrize("field", ["question", "hint", "candidates"])
def test_half_a_character_is_refused_where_it_was_typed(field: str) -> None:
    with pytest.raises(UserError, match="half a character") as caught:
        jobs.FaithOwn(**{"question": "Why?", field: "is it \ud83d"})  # type: ignore[arg-type]
    assert caught.value.field == field
    assert jobs.FaithOwn(question="Why \U0001f600?").question


def test_a_file_of_too_many_chains_is_to_be_split(monkeypatch: pytest.MonkeyPatch) -> None:
    items = tuple(chain_of(2, id=f"file-{k}", facts={"line": k}) for k in range(rows_ops.MAX_ITEMS + 1))
    found = SimpleNamespace(items=items, refused=(), sentence="")
    monkeypatch.setattr("analysis.faithfulness.rows.read_rows", lambda *_, **__: found)
    monkeypatch.setattr(rows_ops, "keep", lambda *_: None)
    measured: list[int] = []

    def scored(context: Any, loaded: Any, items: tuple[Item, ...], *rest: Any, **more: Any) -> Any:
        measured.append(len(items))
        return SimpleNamespace(items=items, manifest={"refused": []})

    monkeypatch.setattr(rows_ops, "scored", scored)
    context: Any = SimpleNamespace(
        model=lambda _: SimpleNamespace(facts=SimpleNamespace(fingerprint="abc", label="tiny"), tokenizer=None),
        check=lambda: None,
    )
    with pytest.raises(UserError, match=r"2,001 chains; at most 2,000 .*Split it") as caught:
        rows_ops.FaithFile(text="{}").run(context)
    assert caught.value.field == "text" and not measured
    found.items = items[1:]
    assert rows_ops.FaithFile(text="{}").run(context).data["items"] == rows_ops.MAX_ITEMS == measured[0]


def test_a_study_is_written_only_if_it_can_be_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = (chain_of(3, id="é1"), chain_of(5))
    study = Study({"title": "t"}, items, np.zeros((3, 2, 2)), np.zeros((3, 2, 0)))
    size = len(json.dumps([item.to_dict() for item in items], ensure_ascii=False).encode())
    for limit in (size // 2, size - 1, size):
        monkeypatch.setattr(library, "MAX_ITEMS", limit)
        with pytest.raises(UserError, match=r"these 2 chains .* Measure them in several parts") as caught:
            library.save_study(study, tmp_path / "study")
        assert caught.value.field == "study" and not list(tmp_path.iterdir())
    for limit in (size + 1, 2 * size):
        monkeypatch.setattr(library, "MAX_ITEMS", limit)
        library.save_study(study, tmp_path / "study")
        assert library.STUDIES.read(tmp_path / "study").items == items
