"""Rows taken apart, keys swapped, and subspaces tried on held-out examples, each against arithmetic done by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from analysis.answer import to_wire
from analysis.errors import UserError
from analysis.models.trace import Trace, trace_prompt
from analysis.qk import QKSubspace, random_basis
from analysis.qk.contrasts.example import Example, Place
from analysis.qk.heldout import RANKS, HeadSamples, collect, gap_shares, map_points, swap_table
from analysis.qk.swap import compare_predictions, predictions_after, random_rows, row_softmax, swapped_row
from analysis.qk.why import HEAVY, alignment_matrix, row_parts, sentence
from tests.unit.test_fit import alone, loaded_tiny, random_examples

IDS = torch.randint(3, 96, (18,), generator=torch.Generator().manual_seed(2)).tolist()
NAMES = ("llama", "gemma2", "gpt_oss")


@cache
def trace_of(name: str) -> Trace:
    return trace_prompt(loaded_tiny(name), IDS, overview=False)[0]


def subspace(d: int, rank: int, seed: int = 0) -> QKSubspace:
    generator = torch.Generator().manual_seed(seed)
    left, right = (random_basis(d, d, generator) for _ in range(2))
    return QKSubspace(left, right, torch.linspace(2, 1, d, dtype=torch.float64), rank)


def vectors(name: str, layer: int, head: int) -> tuple[np.ndarray, np.ndarray, Any]:
    """Queries (T, d) and keys (T, d) of one head, float64, and the layer's record."""
    record = trace_of(name).layers[layer]
    group = 6 // record.keys.shape[1]
    return record.queries[0, head].double().numpy(), record.keys[0, head // group].double().numpy(), record


def softmax_by_hand(raw: list[float], record: Any, head: int) -> list[float]:
    logits = [x * record.scaling for x in raw]
    if record.softcap is not None:
        logits = [x if x == -math.inf else record.softcap * math.tanh(x / record.softcap) for x in logits]
    extra = [] if record.sinks is None else [math.exp(float(record.sinks[head]))]
    powers = [math.exp(x) for x in logits]
    return [p / (sum(powers) + sum(extra)) for p in powers]


# Why: one row, taken apart


def parts_by_hand(name: str, layer: int, head: int, query: int, found: QKSubspace) -> np.ndarray:
    """(T, 2) in nats, of the query side, without a reference."""
    q, k, record = vectors(name, layer, head)
    basis = found.left[:, : found.rank].numpy()
    inside = basis @ (basis.T @ q[query])
    return np.stack([k @ inside, k @ (q[query] - inside)], 1) * record.scaling


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("skip_first", [True, False])
def test_parts_relative_to_each_reference(name: str, skip_first: bool) -> None:
    layer, head, query = 1, 4, 12
    d = vectors(name, layer, head)[0].shape[1]
    found = subspace(d, 3)
    plain = parts_by_hand(name, layer, head, query, found)
    at = (trace_of(name), layer, head, query, [found])
    none = row_parts(*at, reference="none", skip_first=skip_first)
    token = row_parts(*at, reference="token", token=3, skip_first=skip_first)
    others = row_parts(*at, skip_first=skip_first)
    start = 1 if skip_first else 0
    assert others.candidates.nonzero()[:, 0].tolist() == list(range(start, query + 1))
    for key in range(query + 1):
        assert np.allclose(none.parts[key], plain[key], atol=1e-6)
        assert np.allclose(token.parts[key], plain[key] - plain[3], atol=1e-6)
        rest = [i for i in range(start, query + 1) if i != key]
        assert np.allclose(others.parts[key], plain[key] - plain[rest].mean(0), atol=1e-6)
    for row in (none, token, others):
        assert row.parts[query + 1 :].isnan().all() and row.total[query + 1 :].isnan().all()
        assert torch.allclose(row.total[: query + 1], row.parts[: query + 1].sum(1))
        assert (row.nats[query + 1 :] == -math.inf).all() and row.nats[: query + 1].isfinite().all()
        assert row.error < 1e-9
    raw, weights = trace_of(name).row(layer, head, query)
    assert torch.equal(none.attention, weights)
    if name != "gemma2":
        assert torch.allclose(none.total[: query + 1], none.nats[: query + 1])
    else:
        bounded = 2.0 * torch.tanh(none.total[: query + 1] / 2.0)
        assert torch.allclose(bounded, none.nats[: query + 1])
        assert (none.total - none.nats)[: query + 1].abs().max() > 0.1
    assert raw[query + 1 :].isinf().all()


def test_a_sliding_window_hides_parts_and_candidates() -> None:
    row = row_parts(trace_of("gemma2"), 0, 1, 12, [subspace(16, 2)])
    assert row.parts.isfinite().all(1).nonzero()[:, 0].tolist() == [8, 9, 10, 11, 12]
    assert row.candidates.nonzero()[:, 0].tolist() == [8, 9, 10, 11, 12]
    with pytest.raises(UserError, match="masked") as caught:
        row_parts(trace_of("gemma2"), 0, 1, 12, [], reference="token", token=3)
    assert caught.value.field == "reference"
    with pytest.raises(UserError):
        row_parts(trace_of("llama"), 0, 1, 12, [], reference="token", token=13)


def test_early_queries_keep_the_first_token_as_candidate() -> None:
    row = row_parts(trace_of("llama"), 0, 0, 1, [])
    assert row.candidates.nonzero()[:, 0].tolist() == [0, 1]
    alone_row = row_parts(trace_of("llama"), 0, 0, 0, [subspace(8, 2)])
    assert alone_row.parts.isnan().all()
    assert "no other token to compare it with" in sentence(alone_row, 0, ["order"], ["a"] * 18, 0)


def test_the_sum_check_can_fail() -> None:
    stretched = replace(subspace(8, 3), right=1.2 * subspace(8, 3).right)
    assert row_parts(trace_of("llama"), 1, 4, 12, [subspace(8, 3)], side="both").error < 1e-9
    damaged = replace(trace_of("llama").layers[1], keys=trace_of("llama").layers[1].keys * 1.01)
    trace = Trace(IDS, {1: damaged}, torch.zeros(1))
    honest = row_parts(trace, 1, 4, 12, [stretched], side="both")
    assert honest.error < 1e-9  # a remainder takes up whatever a bad basis leaves
    raw, weights = trace.row(1, 4, 12)
    shifted = raw + 1

    class Wrong(Trace):
        def row(self, layer: int, head: int, query: int) -> tuple[torch.Tensor, torch.Tensor]:
            return shifted, weights

    assert row_parts(Wrong(IDS, trace.layers, torch.zeros(1)), 1, 4, 12, []).error == pytest.approx(1.0)


def test_the_sentence_says_what_the_row_holds() -> None:
    labels = [f"t{i}" for i in range(18)]
    row = row_parts(trace_of("llama"), 1, 4, 12, [subspace(8, 3)])
    for key in range(13):
        text = sentence(row, key, ["order"], labels, 12)
        gap = float(row.total[key])
        assert text.startswith(f"“t12” gives “t{key}” {float(row.attention[key]):.1%} of its attention")
        assert f"{abs(gap):.2f} nats {'above' if gap >= 0 else 'below'} the mean of the other candidates" in text
        assert f"{float(row.parts[key, 0]):+.2f} from order" in text
        assert f"{float(row.parts[key, 1]):+.2f} unexplained" in text
        for place, name in ((0, "the first token, “t0”"), (12, "itself"), (int(row.attention.argmax()), "")):
            share = float(row.attention[place])
            if place != key and share >= HEAVY:
                assert f"{share:.1%} goes to {name or f'“t{place}”'}" in text or (name == "" and place in (0, 12))
            elif name:
                assert f"goes to {name}" not in text
    sink = replace(row, attention=torch.eye(18, dtype=torch.float64)[0])
    assert "0.0% of its attention (100.0% goes to the first token, “t0”): its" in sentence(sink, 3, [], labels, 12)
    assert "Fit a feature" in sentence(row_parts(trace_of("llama"), 1, 4, 12, []), 3, [], labels, 12)


@pytest.mark.parametrize("name", NAMES)
def test_alignment_matrix_by_hand(name: str) -> None:
    layer, head = 0, 5
    q, k, record = vectors(name, layer, head)
    found = subspace(q.shape[1], 3)
    u, v = found.left[:, :3].numpy(), found.right[:, :3].numpy()
    matrix = alignment_matrix(trace_of(name), layer, head, found)
    window = 5 if name != "llama" else 99
    for i in range(18):
        for j in range(18):
            if i - window < j <= i:
                expected = float((u @ (u.T @ q[i])) @ (v @ (v.T @ k[j]))) * record.scaling
                assert float(matrix[i, j]) == pytest.approx(expected, abs=1e-4)
            else:
                assert math.isnan(float(matrix[i, j]))


# Swaps


@pytest.mark.parametrize("name", NAMES)
def test_a_swapped_row_by_hand(name: str) -> None:
    layer, head, query, a, b = 1, 4, 12, 3, 9
    q, k, record = vectors(name, layer, head)
    for rank in (0, 1, 5, k.shape[1]):
        basis = random_basis(k.shape[1], rank, torch.Generator().manual_seed(1))
        inside = basis.numpy() @ basis.numpy().T
        keys = k.copy()
        keys[a] = k[a] - inside @ k[a] + inside @ k[b]
        keys[b] = k[b] - inside @ k[b] + inside @ k[a]
        raw = [float(q[query] @ keys[j]) if j <= query else -math.inf for j in range(18)]
        row = swapped_row(trace_of(name), layer, head, query, a, b, basis)
        assert np.allclose(row, softmax_by_hand(raw, record, head), atol=1e-9)
    own = trace_of(name).row(layer, head, query)[1]
    assert torch.allclose(swapped_row(trace_of(name), layer, head, query, a, b, basis[:, :0]), own, atol=1e-5)
    exchanged = own.clone()
    exchanged[a], exchanged[b] = own[b], own[a]
    assert torch.allclose(row, exchanged, atol=1e-5) and abs(float(own[a] - own[b])) > 1e-3


def test_a_swap_lets_no_masked_token_in() -> None:
    basis = random_basis(16, 2, torch.Generator().manual_seed(1))
    for a, b in ((3, 9), (9, 3), (9, 13)):
        with pytest.raises(ValueError, match="visible"):
            swapped_row(trace_of("gemma2"), 0, 1, 12, a, b, basis)


def test_random_rows_are_swaps_in_seeded_random_bases() -> None:
    rows = random_rows(trace_of("llama"), 1, 4, 12, 3, 9, rank=2, count=4, seed=6)
    generator = torch.Generator().manual_seed(6)
    for row in rows:
        expected = swapped_row(trace_of("llama"), 1, 4, 12, 3, 9, random_basis(8, 2, generator))
        assert torch.equal(row, expected)
    assert len({tuple(r.tolist()) for r in rows}) == 4
    own = trace_of("llama").row(1, 4, 12)[1]
    assert torch.allclose(random_rows(trace_of("llama"), 1, 4, 12, 3, 9, rank=0, count=2), own.expand(2, -1), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_predictions_with_the_heads_own_row_are_the_models_own(name: str) -> None:
    loaded, trace = loaded_tiny(name), trace_of(name)
    own = loaded.model(torch.tensor([IDS]), use_cache=False).logits
    for layer, head, query in ((0, 0, 5), (1, 4, 12), (3, 5, 17)):
        after = predictions_after(loaded, trace, layer, head, query, trace.row(layer, head, query)[1])
        assert (after - own[0, query]).abs().max() < 1e-5 * (1 + own.abs().max())
    assert torch.equal(loaded.model(torch.tensor([IDS]), use_cache=False).logits, own)


def test_predictions_change_this_head_at_this_query_and_nothing_else() -> None:
    loaded, trace, layer, head, query = loaded_tiny("llama"), trace_of("llama"), 1, 4, 12
    row = torch.zeros(18, dtype=torch.float64)
    row[3] = 1.0
    after = predictions_after(loaded, trace, layer, head, query, row)

    def by_hand(_module: Any, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        mixed = inputs[0].clone()
        mixed[0, query, head * 8 : (head + 1) * 8] = trace.layers[layer].values[0, head // 3, 3]
        return (mixed,)

    model: Any = loaded.model
    handle = model.model.layers[layer].self_attn.o_proj.register_forward_pre_hook(by_hand)
    expected = model(torch.tensor([IDS]), use_cache=False).logits[0, query]
    handle.remove()
    own = model(torch.tensor([IDS]), use_cache=False).logits[0, query]
    assert torch.allclose(after, expected, atol=1e-4) and (after - own).abs().max() > 1e-2


def test_compared_predictions() -> None:
    before, after = torch.tensor([3.0, 1.0, 0.0, -2.0, 0.5]), torch.tensor([0.0, 1.0, 4.0, -2.0, 0.5])
    found = compare_predictions(before, after, top=3)
    p = [math.exp(x) / sum(math.exp(y) for y in before.tolist()) for x in before.tolist()]
    q = [math.exp(x) / sum(math.exp(y) for y in after.tolist()) for x in after.tolist()]
    assert list(found.ids) == sorted(range(5), key=lambda i: -max(p[i], q[i]))[:3] == [2, 0, 1]
    assert np.allclose(found.before, [p[i] for i in found.ids], atol=1e-6)
    assert np.allclose(found.after, [q[i] for i in found.ids], atol=1e-6)
    assert found.kl == pytest.approx(sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)), abs=1e-6)
    assert compare_predictions(before, before).kl == 0.0
    assert len(compare_predictions(before, after, top=50).ids) == 5


# Held-out examples


def held_out(name: str = "llama", kind: str = "clean", layer: int = 1, head: int = 4, n: int = 30) -> HeadSamples:
    return collect(loaded_tiny(name), random_examples(kind, n=n, seed=9), layer, head)


@pytest.mark.parametrize("rotary", ["post", "pre"])
@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_collected_vectors_are_those_of_each_prompt_alone(name: str, rotary: str) -> None:
    examples = random_examples("two prompts", n=25, seed=9)
    shares: list[float | None] = []
    samples = collect(loaded_tiny(name), examples, 2, 4, rotary, lambda share, _: shares.append(share))
    for i, example in enumerate(examples):
        ids, query = example.prompts[0], example.query.position
        queries, keys = alone(name, ids, rotary)[0][2]
        assert torch.allclose(samples.queries[i], queries[4, query], atol=1e-4)
        assert torch.allclose(samples.keys[i], keys[1], atol=1e-4)
        first = max(0, query - 4) if name == "gemma2" else 0
        assert samples.visible[i].nonzero()[:, 0].tolist() == list(range(first, query + 1))
        assert samples.positive[i] == [p.position for p in example.positive] and samples.negative[i] == []
        logits = samples.logits(i)
        assert logits[query + 1 :].isinf().all() and logits[first : query + 1].isfinite().all()
    assert shares[-1] == 1 and len(shares) > 1


def test_key_labels_go_with_the_keys_that_are_kept() -> None:
    prompts = (tuple(IDS[:10]), tuple(IDS[5:15]))
    positive, negative = (Place(1, 2), Place(0, 3)), (Place(0, 4), Place(1, 5), Place(0, 6))
    example = Example(prompts, Place(0, 9), positive, negative, "x", ("far", "near", "four", "gone", "six"))
    samples = collect(loaded_tiny("llama"), [example], 0, 0)
    assert (samples.positive, samples.negative) == ([[3]], [[4, 6]])
    found = map_points(samples, subspace(8, 3))
    assert found.map.labels == ("x", "near", "four", "six")
    assert found.map.kinds == ("query", "positive", "negative", "negative")


def test_no_examples_are_an_error() -> None:
    with pytest.raises(ValueError, match="no examples"):
        collect(loaded_tiny("llama"), [], 0, 0)


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_swap_table_at_its_ends_and_against_loops(name: str) -> None:
    samples = held_out(name)
    d = samples.queries.shape[1]
    found = subspace(d, 3)
    table = swap_table(samples, found, random_bases=2, seed=4)
    by_rank = {row.rank: row for row in table.rows}
    assert list(by_rank) == sorted({0, 3, d, *[r for r in RANKS if r < d]}) and table.rule_rank == 3
    rng, pairs = np.random.default_rng(4), []
    for i in range(len(samples.keys)):
        own, other = ([p for p in s[i] if samples.visible[i][p]] for s in (samples.positive, samples.negative))
        if own and other:
            pairs.append((i, own[0], int(rng.choice(other))))
    assert table.pairs == len(pairs) > 10
    for rank in (0, 2, d):
        basis = found.right[:, :rank]
        sums = np.zeros(3)
        for i, a, b in pairs:
            keys = samples.keys[i].clone()
            inside = basis @ basis.mT
            keys[a] = samples.keys[i][a] + inside @ (samples.keys[i][b] - samples.keys[i][a])
            keys[b] = samples.keys[i][b] + inside @ (samples.keys[i][a] - samples.keys[i][b])
            raw = (keys @ samples.queries[i]).masked_fill(~samples.visible[i], -math.inf)
            row = row_softmax(raw, samples.record, samples.head)
            candidates = samples.positive[i] + samples.negative[i]
            sums += [row[a], row[b], max(candidates, key=lambda p, row=row: float(row[p])) == b]
        got = [by_rank[rank].original, by_rank[rank].target, by_rank[rank].flip]
        assert np.allclose(got, sums / len(pairs), atol=1e-9)
    none, full = by_rank[0], by_rank[d]
    assert full.original == pytest.approx(none.target, abs=1e-9)
    assert full.target == pytest.approx(none.original, abs=1e-9)
    assert full.random_target == pytest.approx(full.target, abs=1e-9)
    assert none.random_original is None and None not in (by_rank[2].random_original, by_rank[2].random_flip)
    assert by_rank[2].random_target_min <= by_rank[2].random_target <= by_rank[2].random_target_max
    assert abs(by_rank[2].random_target - by_rank[2].target) > 1e-6
    json.dumps(to_wire(table)[0], allow_nan=False)


def test_swap_tables_are_seeded() -> None:
    samples = held_out()
    one, same, other = (swap_table(samples, subspace(8, 2), 2, seed) for seed in (1, 1, 2))
    assert one == same != other


def test_keys_outside_the_window_are_not_swapped() -> None:
    examples = [
        Example((tuple(IDS[i : i + 12]),), Place(0, 11), (Place(0, 9),), (Place(0, 2), Place(0, 10)), "x", ("k",) * 3)
        for i in range(6)
    ]
    narrow, wide = (swap_table(collect(loaded_tiny("gemma2"), examples, i, 0), subspace(16, 2), 1) for i in (0, 1))
    assert narrow.pairs == wide.pairs == 6
    samples = collect(loaded_tiny("gemma2"), examples, 0, 0)
    one = np.mean([float(row_softmax(samples.logits(i), samples.record, 0)[10]) for i in range(6)])
    assert narrow.rows[0].target == pytest.approx(one, abs=1e-9)
    hidden = [replace(e, negative=(Place(0, 2),), key_labels=("k", "k")) for e in examples]
    nothing = swap_table(collect(loaded_tiny("gemma2"), hidden, 0, 0), subspace(16, 2), 1)
    assert nothing.pairs == 0 and nothing.rows == ()


def test_gap_shares() -> None:
    samples = held_out()
    pairs = [(i, samples.positive[i][0], samples.negative[i][0]) for i in range(len(samples.keys))]
    found = subspace(8, 8)
    assert all(v == pytest.approx(1.0, abs=1e-9) for v in gap_shares(samples, pairs, found))
    assert all(v == pytest.approx(0.0, abs=1e-12) for v in gap_shares(samples, pairs, found.with_rank(0)))
    u, v = found.left[:, :3], found.right[:, :3]
    whole = query = key = both = 0.0
    for i, _, _ in pairs:
        up = sum(samples.keys[i][p] for p in samples.positive[i]) / len(samples.positive[i])
        down = sum(samples.keys[i][p] for p in samples.negative[i]) / len(samples.negative[i])
        q, gap = samples.queries[i], up - down
        whole += float(q @ gap)
        query += float((u @ u.mT @ q) @ gap)
        key += float(q @ (v @ v.mT @ gap))
        both += float((u @ u.mT @ q) @ (v @ v.mT @ gap))
    shares = gap_shares(samples, pairs, found.with_rank(3))
    assert shares[0] == pytest.approx(query / whole)
    assert shares[1] == pytest.approx(key / whole)
    assert shares[2] == pytest.approx(both / whole)


def test_shares_of_no_gap_are_none() -> None:
    samples = held_out()
    flat = replace(samples, keys=[torch.ones_like(k) for k in samples.keys])
    pairs = [(i, samples.positive[i][0], samples.negative[i][0]) for i in range(len(samples.keys))]
    assert set(gap_shares(flat, pairs, subspace(8, 2))) == {None}
    json.dumps(to_wire(swap_table(flat, subspace(8, 2), 1))[0], allow_nan=False)


@pytest.mark.parametrize("rank", [0, 1, 2, 3, 8])
def test_map_points(rank: int) -> None:
    samples, found = held_out(), subspace(8, rank)
    shown = map_points(samples, found, limit=12)
    count = sum(1 + len(samples.positive[i]) + min(2, len(samples.negative[i])) for i in range(12))
    assert shown.points.shape == (count, 3) and shown.points.dtype == np.float32
    assert len(shown.map.labels) == len(shown.map.kinds) == count and shown.map.kinds.count("query") == 12
    assert len(shown.map.explained) == 3 and list(shown.map.explained) == sorted(shown.map.explained, reverse=True)
    coordinates = []
    for i in range(12):
        coordinates.append(samples.queries[i] @ found.query_basis)
        places = samples.positive[i] + samples.negative[i][:2]
        coordinates += [samples.keys[i][p] @ found.key_basis for p in places]
    if rank:
        spread = np.linalg.eigvalsh(np.atleast_2d(np.cov(torch.stack(coordinates).numpy().T)))[::-1]
        expected = [*(spread / spread.sum()), 0, 0][:3]
        assert np.allclose(shown.map.explained, expected, atol=1e-9)
    else:
        assert shown.map.explained == (0.0, 0.0, 0.0) and not shown.points.any()
    if rank in (1, 2, 3):
        # Three axes hold all of it, so that distances are those of the coordinates.
        query, key = samples.queries[0] @ found.query_basis, samples.keys[0][samples.positive[0][0]] @ found.key_basis
        distance = np.linalg.norm(shown.points[0] - shown.points[1])
        assert distance == pytest.approx(float((query - key).norm()), rel=1e-4)
