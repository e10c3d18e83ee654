"""Texts of a batch are those of single runs, whatever is done to the rows beside them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import Cancelled, UserError
from analysis.models import batch
from analysis.models.batch import Row, decode_batch, rows_together
from analysis.models.generation import decode
from analysis.models.sites import Site
from analysis.steering import Add, Clamp, Interpolate, ProjectOut, generate_stream
from analysis.steering.rows import Arm, generate_batch
from analysis.steering.writing import Reader
from tests.unit.steering.test_sites import hook_count, own_tiny
from tests.unit.tiny_models import ARCHITECTURES

IDS = (5, 9, 12, 30, 7, 9, 44, 61)
A, B, C = torch.randn(3, 48, generator=torch.Generator().manual_seed(6))
KINDS: list[Any] = [
    lambda where: Interpolate(Site(1), 3 * A, 0.7, where=where),
    lambda where: Add(Site(2), 4 * B, where=where),
    lambda where: ProjectOut(Site(0), torch.stack([A, C]), 0.9, where=where),
    lambda where: Clamp(Site(1), B, 5.0, where=where),
    lambda where: Add(Site(2, "mlp_output"), 4 * C, where=where),
]


def single(loaded: Any, arm: Arm, count: int) -> list[Any]:
    row = arm.row
    return list(
        generate_stream(
            loaded, list(row.ids), count, temperature=row.temperature, top_p=row.top_p, seed=row.seed,
            interventions=arm.interventions,
        )
    )  # fmt: skip


def together(loaded: Any, arms: list[Arm], count: int, **more: Any) -> list[list[Any]]:
    texts: list[list[Any]] = [[] for _ in arms]
    for steps in generate_batch(loaded, arms, count, **more):
        for step in steps:
            texts[step.arm].append(step)
    return texts


def assert_equal(loaded: Any, arms: list[Arm], count: int) -> None:
    for arm, text in zip(arms, together(loaded, arms, count), strict=True):
        alone = single(loaded, arm, count)
        assert [s.token for s in text] == [s.token for s in alone]
        assert all(torch.allclose(a.logits, b.logits, atol=1e-4) for a, b in zip(text, alone, strict=True))


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_rows_equal_single_runs_on_every_architecture(name: str) -> None:
    loaded = own_tiny(name)
    arms = [
        Arm(Row(IDS)),
        Arm(Row(IDS[:5]), [Interpolate(Site(1), 3 * A, 0.7)]),
        Arm(Row(IDS, 1.3, 0.9, 4), [Add(Site(2), 4 * B, where="generated")]),
        Arm(Row(IDS[2:4], 1.0, 1.0, 5), [Add(Site(2), 4 * B, where="all")]),
    ]
    assert_equal(loaded, arms, 6)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(3, 90), min_size=1, max_size=12),
            st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(["all", "not_first", "generated"])), max_size=3),
            st.sampled_from([0.0, 0.8]),
            st.integers(0, 9),
        ),
        min_size=2,
        max_size=6,
    )
)
def test_rows_equal_single_runs_for_all_operators_and_positions(drawn: list[Any]) -> None:
    arms = [Arm(Row(tuple(ids), heat, 0.95, seed), [k(w) for k, w in made]) for ids, made, heat, seed in drawn]
    assert_equal(own_tiny("llama"), arms, 4)
    plain, idle = Arm(arms[0].row), Arm(arms[0].row, [Interpolate(Site(1), A, 0.0), Add(Site(2), B, 0.0)])
    *_, first, second = together(own_tiny("llama"), [*arms, plain, idle], 3)
    assert all(torch.equal(a.logits, b.logits) for a, b in zip(first, second, strict=True))


def test_idle_rows_are_the_unsteered_text_bit_for_bit() -> None:
    idle = [Interpolate(Site(1), A, 0.0), Add(Site(2), B, 0.0)]
    arms = [Arm(Row(IDS)), Arm(Row(IDS), idle), Arm(Row(IDS), [Add(Site(1), 9 * A)]), Arm(Row(IDS), idle)]
    base, *others = together(own_tiny("llama"), arms, 6)
    for other in (others[0], others[2]):
        assert all(torch.equal(a.logits, b.logits) for a, b in zip(base, other, strict=True))
    assert not torch.equal(base[0].logits, others[1][0].logits)


def test_a_row_that_ends_leaves_the_others_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = own_tiny("llama")
    arms = [Arm(Row(IDS, 1.5, 1.0, n)) for n in range(4)]
    whole = together(loaded, arms, 8)
    end = whole[1][3].token
    monkeypatch.setattr(batch, "end_ids", lambda _: frozenset([end]))
    sizes: list[int] = []
    real = batch._pass
    monkeypatch.setattr(batch, "_pass", lambda m, feed, *rest: (sizes.append(len(feed)), real(m, feed, *rest))[1])
    cut = together(loaded, arms, 8)
    for text, all_of_it in zip(cut, whole, strict=True):
        tokens = [s.token for s in all_of_it]
        assert [s.token for s in text] == (tokens[: tokens.index(end)] if end in tokens else tokens)
    assert sizes[0] == 4 and sizes[-1] < 4  # who has ended is not computed any more
    stopped = together(loaded, arms, 8, stop=lambda n: n == 2 or None)
    assert stopped[2] == [] and [s.token for s in stopped[0]] == [s.token for s in cut[0]]


def test_a_model_whose_rows_see_each_other_is_written_row_by_row() -> None:
    loaded = own_tiny("llama")
    assert rows_together(loaded) == "any"
    other = own_tiny("gpt2")
    layer = other.model.transformer.h[1]
    handle = layer.register_forward_hook(
        lambda _m, _a, out: (out[0] + out[0].mean(0, keepdim=True), *out[1:]) if isinstance(out, tuple)
        else out + out.mean(0, keepdim=True)
    )  # fmt: skip
    try:
        other.extras.clear()
        assert rows_together(other) == "alone"
        assert_equal(other, [Arm(Row(IDS)), Arm(Row(IDS[:4])), Arm(Row(IDS[1:]))], 4)
    finally:
        handle.remove()
        other.extras.clear()


def test_between_steps_the_model_is_untouched_and_bad_arms_are_refused() -> None:
    loaded = own_tiny("llama")
    hooks = hook_count(loaded)
    arms = [Arm(Row(IDS)), Arm(Row(IDS), [Add(Site(1), A)])]
    for _ in generate_batch(loaded, arms, 3):
        assert hook_count(loaded) == hooks
    for bad in (Row(()), Row(IDS, -1.0), Row(IDS, top_p=0.0)):
        with pytest.raises(UserError):
            generate_batch(loaded, [Arm(bad)], 1)
    with pytest.raises(UserError, match="blocks 0 to 3"):
        generate_batch(loaded, [Arm(Row(IDS), [Add(Site(5), A)])], 1)
    assert list(decode_batch(loaded, [Row(IDS)], 0)) == []
    plain = [t for t, _ in decode(loaded, list(IDS), 5)]
    assert [s[0][0] for s in decode_batch(loaded, [Row(IDS)], 5)] == plain


def test_a_pass_can_be_ended_in_its_midst_and_leaves_no_hook() -> None:
    loaded = own_tiny("llama")
    hooks, calls = hook_count(loaded), []

    def check() -> None:
        calls.append(hook_count(loaded))
        if len(calls) == 4:
            raise Cancelled

    with pytest.raises(Cancelled):
        list(generate_batch(loaded, [Arm(Row(IDS), [Add(Site(2), A)]), Arm(Row(IDS))], 9, check=check))
    assert len(calls) == 4 and min(calls) > hooks == hook_count(loaded), "before the blocks of a pass, then gone"
    reader = Reader(loaded, list(IDS), 1, check=check)
    calls[:] = calls[:3]
    with pytest.raises(Cancelled):
        reader.logits_before({0: [8, 11, 40]})
    assert hook_count(loaded) == hooks


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2"])
def test_texts_are_read_on_in_one_batch_as_each_alone(name: str) -> None:
    loaded = own_tiny(name)
    texts = [[8, 11, 40, 6, 7], [9, 9, 31], [50, 2, 3, 4, 5, 6, 7]]
    reader = Reader(loaded, list(IDS), 3)
    first = reader.logits_before({n: text[:3] for n, text in enumerate(texts)})
    second = reader.logits_before({0: texts[0][3:], 2: texts[2][3:]})  # text 1 has ended, text 0 ends within the piece
    for n, text in enumerate(texts):
        with torch.no_grad():
            whole = loaded.model(torch.tensor([[*IDS, *text]])).logits[0, len(IDS) - 1 : -1]
        found = torch.cat([part[n] for part in (first, second) if n in part])
        assert found.shape == whole.shape and torch.allclose(found, whole, atol=1e-4)
