"""The streaming fit against a slow one: each prompt alone, without padding, one head and one example at a time."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from analysis.errors import UserError
from analysis.models.facts import describe
from analysis.models.loaded_model import LoadedModel
from analysis.models.recording import LayerAttention, tapped, with_unrotated
from analysis.models.spec import ModelSpec
from analysis.qk import accumulate, fit
from analysis.qk.batching import batches
from analysis.qk.contrasts.example import Example, Place
from analysis.qk.fit import ContrastFit, fit_contrast
from tests.unit.lossy import Lossy
from tests.unit.tiny_models import tiny_model
from tests.unit.wired import Wired

NAMES = ("llama", "gemma2", "gpt2")
KINDS = ("clean", "two prompts", "coded")
UNLIKE_HEADS = {
    "head_dim": 16, "global_head_dim": 32, "hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": 96,
    "sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"] * 2,
}  # fmt: skip
"""Of a Gemma 4 whose full layers have wider heads."""


@cache
def loaded_tiny(name: str) -> LoadedModel:
    """A tiny model with its facts, and a tokenizer that knows its padding and nothing else."""
    return loaded_of(tiny_model(name))


def loaded_of(model: Any) -> LoadedModel:
    """The same of a model that is there."""
    ids = torch.randint(3, 96, (1, 16), generator=torch.Generator().manual_seed(1))
    tokenizer: Any = SimpleNamespace(pad_token_id=0)
    spec = ModelSpec("default")
    return LoadedModel(model, tokenizer, spec, describe(model, ids, None, spec, ""))


def random_examples(kind: str = "clean", n: int = 15, seed: int = 0, keys: tuple[int, int] = (3, 4)) -> list[Example]:
    """Prompts of 9 to 16 random tokens, with up to as many positive and negative keys, drawn from the same places."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(n):
        prompts = tuple(tuple(rng.integers(3, 96, rng.integers(9, 17)).tolist()) for _ in range(1 + (kind != "clean")))
        # The query is not always the last token, so that padding and later tokens lie beyond it.
        query = int(rng.integers(8, len(prompts[0])))
        p, m = int(rng.integers(1, keys[0] + 1)), int(rng.integers(1, keys[1] + 1))
        places = rng.permutation(query)[: p + m].tolist()
        other = 0 if kind == "clean" else 1
        negative_query = Place(1, len(prompts[1]) - 1) if kind == "coded" else None
        positive = tuple(Place(0, i) for i in places[:p])
        negative = tuple(Place(other, i) for i in places[p:])
        found.append(Example(prompts, Place(0, query), positive, negative, "x", ("k",) * (p + m), negative_query))
    return found


@cache
def alone(name: str, ids: tuple[int, ...], rotary: str) -> tuple[list[tuple[torch.Tensor, torch.Tensor]], list[Any]]:
    """Queries (H, T, d) and keys (Hkv, T, d) of each layer, float64, and the eager model's own attention (H, T, T)."""
    found: list[tuple[torch.Tensor, torch.Tensor]] = []

    def keep(record: LayerAttention, _output: torch.Tensor) -> None:
        chosen = (record.queries, record.keys)
        if rotary == "pre" and record.unrotated is not None:
            chosen = record.unrotated
        found.append((chosen[0][0].double(), chosen[1][0].double()))

    model = loaded_tiny(name).model
    with torch.no_grad(), tapped(keep), with_unrotated(model):
        model(torch.tensor([ids]), use_cache=False)
    own = eager(name)(torch.tensor([ids]), use_cache=False, output_attentions=True).attentions
    return found, [a[0] for a in own]


@cache
def eager(name: str) -> Any:
    return tiny_model(name, "eager")


def slowly(name: str, examples: list[Example], layer: int, head: int, rotary: str) -> dict[str, Any]:
    """What a fit says of one head, from its definition."""
    queries, others, ups, downs, attended, beaten = [], [], [], [], [], []
    for example in examples:
        records = [alone(name, prompt, rotary) for prompt in example.prompts]

        def key(place: Place, records: list[Any] = records) -> torch.Tensor:
            keys = records[place.prompt][0][layer][1]
            return keys[head // (6 // len(keys)), place.position]

        def query(place: Place, records: list[Any] = records) -> torch.Tensor:
            return records[place.prompt][0][layer][0][head, place.position]

        queries.append(query(example.query))
        others.append(query(example.negative_query or example.query))
        ups.append(sum(key(p) for p in example.positive) / len(example.positive))
        downs.append(sum(key(p) for p in example.negative) / len(example.negative))
        row = records[example.query.prompt][1][layer][head, example.query.position]
        up = [float(row[p.position]) for p in example.positive]
        down = [float(row[p.position]) for p in example.negative if p.prompt == example.query.prompt]
        attended.append((np.mean(up), np.mean(down) if down else np.nan))
        beaten.append(min(up) > max(down) if down else np.nan)
    q, r, u, v = (torch.stack(x).numpy() for x in (queries, others, ups, downs))
    pairs = [np.outer(a, c) - np.outer(b, e) for a, b, c, e in zip(q, r, u, v, strict=True)]
    gaps = [float(a @ c - b @ e) for a, b, c, e in zip(q, r, u, v, strict=True)]
    coded = examples[0].negative_query is not None
    rows = np.stack([q, r]) if coded else q[None]
    covariance = [(a - a.mean(0)).T @ (b - b.mean(0)) / len(a) for a, b in ((q, u), (r, v))]
    with np.errstate(all="ignore"):
        return {
            "halves": np.stack([np.mean(pairs[half::2], 0) for half in (0, 1)]),
            "query_mean": np.stack([rows[:, half::2].mean((0, 1)) for half in (0, 1)]),
            "key_mean": np.stack([(u - v)[half::2].mean(0) for half in (0, 1)]),
            "centred": covariance[0] - covariance[1],
            "query_sq": (rows**2).sum(-1).mean(),
            "key_sq": ((u - v) ** 2).sum(-1).mean(),
            "trace": np.mean(gaps),
            "trace_error": np.std(gaps, ddof=1) / len(gaps) ** 0.5,
            "attention": np.mean(attended, 0),
            "hits": np.mean(beaten),
        }


@pytest.mark.parametrize("rotary", ["post", "pre"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_fit_equals_the_slow_one(name: str, kind: str, rotary: str) -> None:
    loaded, examples = loaded_tiny(name), random_examples(kind)
    if rotary == "pre" and name == "gpt2":
        with pytest.raises(UserError) as refused:
            fit_contrast(loaded, examples, permutations=2, rotary=rotary)
        assert refused.value.field == "rotary" and "No rotary embedding" in refused.value.message
        return
    assert len({len(p) for e in examples for p in e.prompts}) > 3
    found = fit_contrast(loaded, examples, permutations=2, rotary=rotary, max_tokens=96)
    assert found.counts == (8, 7) and found.layers == [0, 1, 2, 3]
    for layer in (0, 1, 3):
        for head in (0, 2, 3, 5):
            for what, value in slowly(name, examples, layer, head, rotary).items():
                got = (
                    found.delta(layer, head, centred=True).numpy()
                    if what == "centred"
                    else getattr(found, what)[layer, head]
                )
                scale = 1e-4 * (1 + float(np.nan_to_num(np.abs(value)).max()))
                assert np.shape(got) == np.shape(value)
                assert np.allclose(got, value, rtol=0, atol=scale, equal_nan=True), (what, layer, head)
            whole = found.delta(layer, head)
            assert float(whole.trace()) == pytest.approx(float(found.trace[layer, head]), rel=1e-4, abs=1e-3)
            assert torch.allclose(
                found.delta(layer, head, half=1), torch.from_numpy(found.halves[layer, head, 1]).double()
            )


def test_scaling_is_the_models_own() -> None:
    assert np.allclose(fit_contrast(loaded_tiny("gemma2"), random_examples(n=8), 0).scaling, 7**-0.5)
    by_layer = fit_contrast(loaded_tiny("gpt2"), random_examples(n=8), 0).scaling
    assert np.allclose(by_layer, [8**-0.5 / (i + 1) for i in range(4)])


def test_the_fit_before_the_rotary_embedding_is_another_one_with_the_same_scores() -> None:
    examples = random_examples(n=8)
    post, pre = (fit_contrast(loaded_tiny("llama"), examples, 0, rotary=r) for r in ("post", "pre"))
    assert all(np.abs(a - b).max() > 1e-2 for a, b in zip(post.halves, pre.halves, strict=True))
    assert np.array_equal(post.attention, pre.attention) and np.array_equal(post.scaling, pre.scaling)
    assert not pre.still.any() and not post.still.any()


def test_layers_in_which_nothing_rotates_are_named() -> None:
    loaded = loaded_of(tiny_model("smollm3", no_rope_layers=[1, 0, 1, 0]))
    post, pre = (fit_contrast(loaded, random_examples(n=8), 0, rotary=r) for r in ("post", "pre"))
    assert pre.still.tolist() == [False, True, False, True] and not post.still.any()
    same = [np.array_equal(a, b) for a, b in zip(post.halves, pre.halves, strict=True)]
    assert same == pre.still.tolist()


def test_heads_that_differ_between_layers_are_refused() -> None:
    loaded = loaded_of(tiny_model("gemma4_text", **UNLIKE_HEADS))
    with pytest.raises(UserError) as refused:
        fit_contrast(loaded, random_examples(n=8), 0)
    assert refused.value.field == "model"
    assert "layer 0 has 6 of width 16, layer 1 has 6 of width 32" in refused.value.message


def test_relabellings_keep_how_many_keys_are_positive_and_negative() -> None:
    for kind in KINDS:
        examples, moved, seen = random_examples(kind, n=12), 0, 0
        for batch in batches(examples, 6, seed=3, max_tokens=64):
            true = batch.weights[:2].sum(0)
            for i in range(batch.examples):
                rows = batch.owner == i
                weights = sorted(true[rows].flatten().tolist())
                example = examples[seen + i]
                assert sum(w > 0 for w in weights) == len(example.positive)
                assert sum(w < 0 for w in weights) == len(example.negative)
                for channel in batch.weights[2:]:
                    assert sorted(channel[rows].flatten().tolist()) == weights
                    moved += not torch.equal(channel[rows], true[rows])
            seen += batch.examples
        assert seen == 12 and moved > 30


def test_null_spectra_are_those_of_relabelled_covariances() -> None:
    loaded = loaded_tiny("llama")
    for kind in KINDS:
        examples, layer, head, d = random_examples(kind, n=10), 2, 4, 8
        found = fit_contrast(loaded, examples, permutations=3, seed=5)
        (batch,) = batches(examples, 3, 5, max_tokens=10_000)
        first = np.cumsum([0, *(len(e.prompts) for e in examples)])
        everywhere = [p for e in examples for p in e.prompts]
        assert len(everywhere) == first[-1]
        vectors = [alone("llama", prompt, "post")[0][layer] for prompt in everywhere]
        used = [(r, s) for r, s in np.argwhere(batch.weights[:2].sum(0).numpy() != 0).tolist()]
        q = {r: vectors[int(batch.prompt[r])][0][head, int(batch.position[r])].numpy() for r, _ in used}
        k = {
            (r, s): vectors[int(batch.key_prompt[r, s])][1][head // 3, int(batch.key_position[r, s])].numpy()
            for r, s in used
        }
        mean_q = np.mean(list(q.values()), 0)
        halved = batch.weights[:2].sum(0).abs().numpy() / 2
        mean_k = sum((halved[r, s] * k[r, s] for r, s in used), np.zeros(d)) / len(examples)
        for number, weights in enumerate(batch.weights[2:].numpy()):
            raw, centred = np.zeros((d, d)), np.zeros((d, d))
            for r, s in used:
                raw += weights[r, s] * np.outer(q[r], k[r, s]) / len(examples)
                centred += weights[r, s] * np.outer(q[r] - mean_q, k[r, s] - mean_k) / len(examples)
            assert found.null_trace[layer, head, number] == pytest.approx(np.trace(raw), abs=1e-3)
            for got, matrix in ((found.null_values, raw), (found.null_values_centred, centred)):
                expected = np.linalg.svd(matrix, compute_uv=False)
                assert np.allclose(got[layer, head, number], expected, atol=1e-4 * expected[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_batches_and_buffers_do_not_change_the_result(name: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    examples, runs = random_examples(kind), []
    for tokens, rows in ((1, 1), (70, 7), (4096, 10_000)):
        monkeypatch.setattr(accumulate, "FLUSH_ROWS", rows)
        runs.append(fit_contrast(loaded_tiny(name), examples, permutations=3, seed=2, max_tokens=tokens))
    for field in fields(ContrastFit):
        reference = np.asarray(getattr(runs[0], field.name), float)
        scale = 1e-4 * (1 + float(np.nan_to_num(np.abs(reference)).max()))
        for run in runs[1:]:
            assert np.allclose(getattr(run, field.name), reference, rtol=0, atol=scale, equal_nan=True), field.name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rotary", ["post", "pre"])
def test_runs_of_batches_on_other_nodes_give_the_same_fit(kind: str, rotary: str) -> None:
    loaded, examples = loaded_tiny("llama"), random_examples(kind)
    nodes = Lossy(loaded)
    plain, spread = (
        fit_contrast(loaded, examples, 3, 2, rotary, max_tokens=70, spread=spread) for spread in (None, nodes)
    )
    assert nodes.lost == ["add_run"]
    for field in fields(ContrastFit):
        ours, theirs = (np.asarray(getattr(fit, field.name), float) for fit in (spread, plain))
        scale = 1e-5 * (
            1 + float(np.nan_to_num(np.abs(theirs)).max())
        )  # float64 sums in another order, kept as float32
        assert np.allclose(ours, theirs, rtol=0, atol=scale, equal_nan=True), field.name


def test_what_no_fit_takes_is_refused_by_other_nodes_too() -> None:
    loaded = loaded_tiny("gpt2")
    with pytest.raises(UserError) as refusal:
        fit_contrast(loaded, random_examples(n=8), 2, rotary="pre", spread=Wired(loaded))
    assert refusal.value.field == "rotary"


def test_chance_of_winning_is_that_of_a_random_order() -> None:
    def example(positive: int, negative: int, elsewhere: bool = False) -> Example:
        ids, at = tuple(range(5, 15)), 1 if elsewhere else 0
        return Example(
            (ids, ids), Place(0, 9), tuple(Place(0, i) for i in range(positive)),
            tuple(Place(at, 4 + i) for i in range(negative)), "a", ("a",) * (positive + negative),
        )  # fmt: skip

    loaded = loaded_tiny("llama")
    fit = fit_contrast(loaded, [example(1, 2), example(2, 2), example(1, 3, elsewhere=True)], permutations=0)
    # One of three comes first in a third of all orders, two of four in a sixth; the last has nothing to win against.
    assert fit.chance == pytest.approx((1 / 3 + 1 / 6) / 2) and fit.candidates == (1.5, 2.0)
    alone = fit_contrast(loaded, [example(1, 2, elsewhere=True)] * 2, permutations=0)
    assert np.isnan(alone.chance) and np.isnan(alone.candidates).all()


def test_batches_hold_what_they_promise() -> None:
    examples = random_examples("coded")
    packed = list(batches(examples, 0, 0, max_tokens=100))
    assert sum(b.examples for b in packed) == len(examples) and len(packed) > 2
    assert all(b.tokens <= 100 or b.examples == 1 for b in packed)
    assert [int(b.mask.sum()) for b in batches(examples, 0, 0, max_tokens=1)] == [
        sum(map(len, e.prompts)) for e in examples
    ]


def z_scores(found: ContrastFit) -> np.ndarray:
    spread: np.ndarray = found.null_trace.std(-1, ddof=1)
    return (found.trace - found.null_trace.mean(-1)) / spread


@pytest.mark.parametrize("name", NAMES)
def test_random_labels_show_no_signal(name: str) -> None:
    found = fit_contrast(loaded_tiny(name), random_examples(n=80, seed=4), permutations=30)
    assert np.abs(z_scores(found)).max() < 5
    centre = found.null_trace.mean(-1) / (found.null_trace.std(-1, ddof=1) / 30**0.5)
    assert np.abs(centre).max() < 5 and abs(float(centre.mean())) < 1


@pytest.mark.parametrize("name", NAMES)
def test_planted_signal_lies_far_outside_the_null(name: str) -> None:
    layer, head = 1, 2
    planted = []
    for example in random_examples(n=80, seed=6):
        (queries, keys) = alone(name, example.prompts[0], "post")[0][layer]
        places = (*example.positive, *example.negative)
        logits = [
            float(queries[head, example.query.position] @ keys[head // (6 // len(keys)), p.position]) for p in places
        ]
        order = tuple(places[i] for i in np.argsort(logits)[::-1])
        count = len(example.positive)
        planted.append(replace(example, positive=order[:count], negative=order[count:]))
    found = fit_contrast(loaded_tiny(name), planted, permutations=30)
    scores = z_scores(found)
    assert scores[layer, head] > 5
    assert found.hits[layer, head] == 1.0
    assert abs(found.null_trace[layer, head].mean()) < 0.2 * found.trace[layer, head]


def test_progress_rises_to_one_and_cancelling_stops_the_pass() -> None:
    shares: list[float | None] = []
    fit_contrast(
        loaded_tiny("llama"), random_examples(), 1, max_tokens=64, progress=lambda share, text: shares.append(share)
    )
    numbers = [s for s in shares if s is not None]
    assert len(numbers) > 6 and numbers == sorted(numbers) and numbers[-1] == pytest.approx(1)

    def stop(_share: float | None, _text: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_contrast(loaded_tiny("llama"), random_examples(), 1, progress=stop)
    again = fit_contrast(loaded_tiny("llama"), random_examples(n=8), 0)
    assert np.isfinite(again.halves).all()


def test_relabellings_are_fewer_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    each = 4 * 6 * 8 * 8 * 8
    monkeypatch.setitem(fit.NULL_BYTES, "cpu", 3 * each + 1)
    found = fit_contrast(loaded_tiny("llama"), random_examples(n=8), permutations=20)
    assert found.null_trace.shape == (4, 6, 3)
    monkeypatch.setitem(fit.NULL_BYTES, "cpu", 0)
    assert fit_contrast(loaded_tiny("llama"), random_examples(n=8)).null_values.shape == (4, 6, 0, 8)


def test_a_layer_that_does_not_report_stops_the_fit() -> None:
    loaded = loaded_tiny("llama")
    facts = replace(loaded.facts, attention_layers=[0, 1, 2, 3, 4])
    with pytest.raises(RuntimeError, match=r"\[4\]"):
        fit_contrast(replace(loaded, facts=facts), random_examples(n=8), 0)
