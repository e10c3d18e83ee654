"""A frozen view: everything that a finding needs later is in the pin, and stale is exactly what depends on a change."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest

import analysis.catalogue  # noqa: F401  the operations of the house
from analysis.answer import Incidental, Key, leaves
from analysis.engine.client import Reply
from analysis.engine.context import Context
from analysis.errors import UserError
from analysis.findings.freeze import freeze, models_of, plain
from analysis.findings.numbers import LONGEST, MOST, number_words, scalars
from analysis.findings.ops.stamps import Stamps
from analysis.findings.records import QuestionStamp
from analysis.findings.stale import UNKNOWN, UNSTAMPED, stale
from analysis.findings.store import FindingStore
from analysis.view_ref import QuestionRef, ViewRef


@dataclass(frozen=True)
class Arm:
    name: str
    kl: float | None
    seconds: Annotated[float, Incidental()] = 0.0


@dataclass(frozen=True)
class Answered:
    rank: int
    mean: Annotated[float, Key("mean_nats")]
    met: bool
    arms: tuple[Arm, ...]
    by_name: dict[str, float]
    grid: np.ndarray
    long: tuple[int, ...] = ()
    passes: Annotated[int, Incidental()] = 3


ANSWER = Answered(2, 0.5, True, (Arm("own", 0.25, 3.0), Arm("random", None)), {"x": 1.5}, np.eye(2), (7,) * 30)


def test_leaves_are_all_that_an_answer_says() -> None:
    found = dict(leaves(replace(ANSWER, long=(7,), by_name={"x": 1.5, "y": float("nan")})))
    assert found.pop("grid") is ANSWER.grid and np.isnan(found.pop("by_name.y"))  # type: ignore[call-overload]
    assert found == {
        "rank": 2, "mean_nats": 0.5, "met": True, "arms.0.name": "own", "arms.0.kl": 0.25, "arms.1.name": "random",
        "by_name.x": 1.5, "long.0": 7,
    }  # fmt: skip


def test_scalars_are_numbers_that_prose_may_name() -> None:
    assert scalars(ANSWER) == {"rank": 2.0, "mean_nats": 0.5, "arms.0.kl": 0.25, "by_name.x": 1.5}
    many = {f"n{n}": {"inner": {f"m{m}": float(m) for m in range(20)}} for n in range(30)} | {"last": 1.0}
    assert len(scalars(many)) == MOST and scalars(many)["last"] == 1.0
    assert len(scalars({"rows": list(range(LONGEST))})) == LONGEST and not scalars({"rows": list(range(LONGEST + 1))})
    assert number_words("arms.0.kl") == "arms 1, kl" and number_words("mean_nats") == "mean nats"


def test_a_frozen_view_has_all_that_was_on_screen(tmp_path: Path) -> None:
    store = FindingStore(tmp_path)
    question = QuestionRef("TrainToy", {"seed": 1}, "a" * 64)
    ref = ViewRef("validation/spectra", (question, question), {"theme": "x"})
    stamp = QuestionStamp("TrainToy", "", "12", "")
    pin = freeze(
        store,
        ref,
        [Reply(ANSWER, question), Reply(ANSWER, question)],
        title="Spectra" * 60,
        address="/validation?seed=1",
        caption="What it shows.",
        figure={"data": [{"y": np.array([1.0, np.nan])}], "layout": {"title": ("a", np.float32(0.5))}},
        height=300,
        parts=[{"kind": "table", "rows": [[1, float("inf")]]}],
        control={"name": "shuffled labels", "text": "0.1 nats", "numbers": {"mean": 0.1, "absent": None}},
        numbers={"rank": 3.0, "gain": 0.4, "none": float("nan")},
        facts={"rule": "energy"},
        window={"xaxis.range": [0, 1]},
        models=[{"label": "m"}],
        stamps=[stamp, stamp],
    )
    again = FindingStore(tmp_path).pin(store.put_pin(pin).id)
    assert again == pin and ViewRef.from_dict(again.ref) == ref and len(again.title) == 200
    assert store.json(pin.figure) == {"data": [{"y": [1.0, None]}], "layout": {"title": ["a", 0.5]}}
    assert pin.parts[0]["rows"] == [[1, None]] and len(set(pin.answers)) == 1
    kept = store.answer(pin.answers[0])
    assert kept.data["mean_nats"] == 0.5 and np.array_equal(kept.arrays["grid"], np.eye(2))
    assert pin.numbers["rank"] == 3.0 and pin.numbers["gain"] == 0.4 and pin.numbers["control.mean"] == 0.1
    assert pin.numbers["2.rank"] == 2.0 and not {"none", "control.absent"} & pin.numbers.keys()
    with pytest.raises(TypeError):
        plain(object())


def test_models_are_named_once_even_when_they_are_not_in_memory() -> None:
    questions = [QuestionRef("HeadAttention", {"model": {"source": "default"}, "text": "a"})] * 2
    questions += [QuestionRef("TrainToy", {}), QuestionRef("OthelloFacts", {})]
    default, othello = models_of(questions, ())
    assert default["source"] == "default" and default["fingerprint"] == ""
    assert othello["source"] == "othello" and othello["label"]


def stamp(**changes: Any) -> QuestionStamp:
    return replace(QuestionStamp("FeatureCard", "f1 float32 cpu s1", "c1", "fit:1"), **changes)


@pytest.mark.parametrize(
    ("now", "says"),
    [
        (stamp(), None),
        (stamp(model=UNKNOWN, files=UNKNOWN), None),
        (stamp(model="f2 float32 cpu s1"), "its weights"),
        (stamp(model="f1 bfloat16 cpu s1"), "number format (float32 then, bfloat16 now)"),
        (stamp(model="f1 float32 cuda:0 s1"), "device that computes it (cpu then, cuda:0 now)"),
        (stamp(model="f1 float32 cpu s2"), "tokenizer or settings"),
        (stamp(files="fit:2"), "were made again"),
        (stamp(files=""), "not there any more"),
        (stamp(code="c2"), "the code that computes it"),
        (stamp(code=""), "does not know the question"),
    ],
)
def test_stale_says_what_changed(tmp_path: Path, now: QuestionStamp, says: str | None) -> None:
    ref = ViewRef("v", (QuestionRef("FeatureCard", {}),))
    pin = freeze(FindingStore(tmp_path), ref, [], title="t", address="/", stamps=[stamp()])
    sentence = stale(pin, [now])
    assert sentence is None if says is None else sentence is not None and says in sentence
    assert stale(replace(pin, stamps=()), [now]) == UNSTAMPED


def test_stamps_without_a_model_in_memory() -> None:
    questions = (
        QuestionRef("TrainToy", {"seed": 1}),
        QuestionRef("HeadAttention", {"model": {"source": "default"}, "text": "a"}),
        QuestionRef("GoneWithAnOlderVersion", {}),
    )
    toy, head, gone = Stamps.from_params(Stamps(questions).to_params()).run(Context()).stamps
    assert (toy.model, toy.files) == ("", "") and len(toy.code) == 16
    assert (head.model, head.files) == (UNKNOWN, UNKNOWN) and len(head.code) == 16
    assert gone.code == ""
    with pytest.raises(UserError):
        Stamps(questions * 2000)
