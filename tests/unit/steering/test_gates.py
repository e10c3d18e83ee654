"""Gates: an intervention acts where its gate says and nowhere else, token by token, in one pass and in a batch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from analysis.errors import UserError
from analysis.models.batch import Row
from analysis.models.sites import Site
from analysis.steering import Add, load_setup, save_setup
from analysis.steering.conversation import spanned_interventions
from analysis.steering.gates import Elsewhere, Gate, GatedSite, Projection
from analysis.steering.plan import Plan
from analysis.steering.rows import Arm
from analysis.steering.setup import SteeringSetup
from tests.unit.steering.test_rows import IDS, KINDS, A, B, C, assert_equal, single, together
from tests.unit.steering.test_sites import own_tiny

NEVER = Gate(reading=Projection(Site(0), A), threshold=1e8)
PLACES = ["all", "not_first", "prompt", "generated"]
gates = st.one_of(
    st.none(),
    st.builds(lambda n: Gate(after=n), st.integers(1, 4)),
    st.builds(lambda a, b: Gate(span=(a, a + b)), st.integers(0, 10), st.integers(1, 6)),
    st.builds(
        lambda layer, vector, side, value: Gate(reading=Projection(Site(layer), vector), side=side, threshold=value),
        st.just(0), st.sampled_from([A, B, C]), st.sampled_from(["above", "below"]), st.sampled_from([-0.3, 0.07, 0.4]),
    ),
)  # fmt: skip


def in_one_pass(loaded: Any, arm: Arm, written: list[int]) -> Tensor:
    """Logits from which each written token would be chosen, of one pass over the whole text."""
    ids = [*arm.row.ids, *written]
    with torch.no_grad(), Plan(loaded, arm.interventions, prompt_tokens=len(arm.row.ids)).installed():
        logits: Tensor = loaded.model(torch.tensor([ids])).logits[0, len(arm.row.ids) - 1 : -1]
    return logits


@settings(max_examples=10, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(3, 90), min_size=1, max_size=10),
            st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(PLACES), gates), min_size=1, max_size=3),
            st.sampled_from([0.0, 0.8]),
        ),
        min_size=2,
        max_size=4,
    )
)
def test_rows_equal_single_runs_and_one_pass_with_all_gates(drawn: list[Any]) -> None:
    loaded = own_tiny("llama")
    arms = [
        Arm(Row(tuple(ids), heat, 0.95, 3), [replace(kind(where), gate=gate) for kind, where, gate in made])
        for ids, made, heat in drawn
    ]
    assert_equal(loaded, arms, 5)
    for arm in arms:
        text = single(loaded, arm, 5)
        assert torch.allclose(
            in_one_pass(loaded, arm, [s.token for s in text]), torch.stack([s.logits for s in text]), atol=1e-4
        )


def test_a_long_conversation_steered_in_each_turn_has_one_gate_a_turn_and_place() -> None:
    own = Gate(reading=Projection(Site(0), B), threshold=0.1)
    steer = [Add(Site(1), v) for v in (A, B, C)] + [Add(Site(1), v, gate=own) for v in (A, B)]
    made = [i for n in range(25) for i in spanned_interventions(steer, (20 * n, 20 * n + 5, 20 * n + 20), last=n == 24)]
    assert len(made) == 125 and len({i.gate for i in made}) == 50
    assert [i.gate.span for i in made[5:10] if i.gate] == [(20, 40)] * 5
    assert [i.gate.reading is own.reading for i in made[:5] if i.gate] == [False] * 3 + [True] * 2
    GatedSite(made, lambda some: None)  # more gates than one place takes are refused


def test_closed_gates_are_the_unsteered_text_bit_for_bit() -> None:
    closed = [
        [replace(kind("all"), gate=NEVER) for kind in KINDS[1:2] + KINDS[3:]],
        [Add(Site(1), 9 * A, gate=Gate(after=6))],
        [Add(Site(1), 9 * A, gate=Gate(span=(40, 50)))],
        [Add(Site(2), 9 * A, gate=Gate(reading=Projection(Site(1), B), side="below", threshold=-1e8))],
    ]
    opened = [Add(Site(1), 9 * A, gate=Gate(reading=Projection(Site(1), B), threshold=-1e8))]
    for name in ("llama", "gpt2"):
        loaded = own_tiny(name)
        base, *others = together(loaded, [Arm(Row(IDS)), *[Arm(Row(IDS), made) for made in (*closed, opened)]], 6)
        for other in others[:-1]:
            assert all(torch.equal(a.logits, b.logits) for a, b in zip(base, other, strict=True))
        assert not torch.equal(base[0].logits, others[-1][0].logits)
        alone = [single(loaded, Arm(Row(IDS), made), 6) for made in ([], *closed)]
        assert all(
            torch.equal(a.logits, b.logits) for text in alone[1:] for a, b in zip(alone[0], text, strict=True)
        )  # fmt: skip


@pytest.mark.parametrize("way", ["pieces", "whole"])
def test_thinking_and_answer_are_told_apart_by_the_marks_as_they_are_written(way: str) -> None:
    loaded = own_tiny("llama")
    loaded.extras["way of going on"] = (loaded.model, way)
    strength = 9 * A
    loaded.extras["thinking marks"] = (loaded.tokenizer, (7, 9))
    row = Row((5, 7, 9, 12, 30), begin=(15, 7, 21, 22, 9, 16))  # the prompt's own thinking is over
    start = len(row.ids)
    spans = {"thinking": [(start + 1, start + 4)], "answer": [(start, start + 1), (start + 4, 10**6)]}
    try:
        for where, places in spans.items():
            arms = [
                Arm(row, [Add(Site(1), strength, where=where)]),
                Arm(row, [Add(Site(1), strength, where="all", gate=Gate(span=span)) for span in places]),
                Arm(row),
            ]
            texts = together(loaded, arms, 8)
            assert [s.token for s in texts[0]][:6] == list(row.begin)
            assert all(torch.allclose(a.logits, b.logits, atol=1e-4) for a, b in zip(*texts[:2], strict=True))
            assert not torch.allclose(texts[0][-1].logits, texts[2][-1].logits, atol=1e-4)
            whole = in_one_pass(loaded, arms[0], [s.token for s in texts[0]])
            assert torch.allclose(whole, torch.stack([s.logits for s in texts[0]]), atol=1e-4)
    finally:
        loaded.extras.clear()
    with pytest.raises(UserError, match="marks no thinking"):
        Plan(loaded, [Add(Site(1), strength, where="answer")], prompt_tokens=3)


def test_a_text_that_begins_with_its_own_tokens_goes_on_as_before_and_with_others_otherwise() -> None:
    loaded = own_tiny("llama")
    plain = Row(IDS, 1.2, 0.9, 4)
    free = together(loaded, [Arm(plain, [Add(Site(1), 4 * A)]), Arm(plain)], 7)
    same = replace(plain, begin=tuple(s.token for s in free[0][:3]))
    other = replace(plain, begin=(*same.begin[:2], 88))
    again = together(loaded, [Arm(same, [Add(Site(1), 4 * A)]), Arm(other, [Add(Site(1), 4 * A)])], 7)
    assert [s.token for s in again[0]] == [s.token for s in free[0]]
    assert [s.token for s in again[1]][:3] == list(other.begin)
    assert torch.equal(again[0][2].logits, again[1][2].logits)


def test_gates_that_cannot_be_read_are_refused() -> None:
    loaded = own_tiny("llama")
    late = Gate(reading=Projection(Site(2), A))
    for made, words in (
        (Add(Site(1), A, gate=late), "comes before it"),
        (Add(Site(2), A, gate=Gate(reading=Projection(Site(2), torch.ones(3)))), "reads 3 numbers"),
        (Add(Site(2), A, gate=Gate(reading=Elsewhere(Site(2), "responsibility of region 3"))), "region 3"),
    ):
        with pytest.raises(UserError, match=words):
            Plan(loaded, [made], prompt_tokens=4)
    with pytest.raises(UserError, match="must be known"):
        Plan(loaded, [Add(Site(1), A, gate=Gate(after=1))])
    for bad in ({"after": -1}, {"side": "beside"}, {"threshold": float("nan")}):
        with pytest.raises(UserError):
            Gate(**bad)  # type: ignore[arg-type]


def test_a_set_up_file_holds_its_gates() -> None:
    reading = Projection(Site(1), A, 0.25, "projection on region 3")
    gate = Gate(2, None, reading, "below", 0.5)
    setup = SteeringSetup("m", "f", 48, (Add(Site(1), B, gate=gate), Add(Site(2), C)))
    back = load_setup(save_setup(None, setup))
    first, second = back.interventions
    assert second.gate is None and first.gate is not None and isinstance(first.gate.reading, Projection)
    assert (first.gate.after, first.gate.side, first.gate.threshold) == (2, "below", 0.5)
    assert torch.equal(first.gate.reading.direction, A) and first.gate.reading.centre == 0.25
    assert "gate" not in setup.manifest()["interventions"][1]
    outside = replace(gate, reading=Elsewhere(Site(1), "responsibility of region 3 of the fit x"))
    told = load_setup(save_setup(None, SteeringSetup("m", "f", 48, (Add(Site(1), B, gate=outside),))))
    with pytest.raises(UserError, match="region 3 of the fit x"):
        Plan(own_tiny("llama"), told.interventions, prompt_tokens=2)
