"""How far patterns move: against the architectures' own eager attention, and nothing where nothing is steered."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from analysis.models.sites import Site
from analysis.steering import Add
from analysis.steering.moved import distance, movement, steered_trace
from analysis.steering.plan import Plan
from analysis.steering.why_moved import moved_inside, sides
from tests.unit.test_fit import loaded_of
from tests.unit.tiny_models import tiny_model

IDS = list(range(3, 11))
LAYER = 1
VECTOR = 4 * torch.randn(48, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt_neox", "gpt_oss"])
def test_the_distance_is_that_of_the_models_own_attention(name: str) -> None:
    loaded, eager = loaded_of(tiny_model(name)), loaded_of(tiny_model(name, "eager"))
    steer = [Add(Site(LAYER), VECTOR)]
    base, steered = steered_trace(loaded, IDS, []), steered_trace(loaded, IDS, steer)
    found = movement(loaded, base, steered)
    maps: list[Any] = []
    for made in ([], steer):
        with torch.no_grad(), Plan(eager, made).installed():
            maps.append(eager.model(torch.tensor([IDS]), output_attentions=True, use_cache=False).attentions)
    for layer, (one, other) in enumerate(zip(*maps, strict=True)):
        outside = [1 - m[0].sum(-1, keepdim=True) for m in (one, other)]  # what a sink takes
        rows = [torch.cat([m[0], rest], -1)[:, 1:] for m, rest in zip((one, other), outside, strict=True)]
        moved = (rows[0] - rows[1]).abs().sum(-1) / 2
        assert np.allclose(found.mean[layer], moved.mean(1), atol=1e-5)
        assert np.allclose(found.worst[layer], moved.max(1).values, atol=1e-5)
        query = int(found.query[layer, 2])
        assert layer <= LAYER or float(moved[2, query - 1]) == pytest.approx(float(moved[2].max()), abs=1e-5)
    assert not found.worst[: LAYER + 1].any() and found.mean[LAYER + 1 :].min() > 0
    assert steered.layers[2].values.numel() == 0
    at = [t.row(3, 2, 5)[1] for t in (base, steered)]
    assert 0 < distance(*at) <= float(found.worst[3, 2]) + 1e-9


def test_strength_0_is_the_unsteered_reading_bit_for_bit() -> None:
    loaded = loaded_of(tiny_model("llama"))
    base, same = steered_trace(loaded, IDS, []), steered_trace(loaded, IDS, [Add(Site(LAYER), VECTOR, 0.0)])
    for layer, record in base.layers.items():
        assert torch.equal(record.queries, same.layers[layer].queries)
        assert torch.equal(record.keys, same.layers[layer].keys)
    shared = steered_trace(loaded, IDS, [Add(Site(2), VECTOR)], base).layers
    assert [n for n, r in shared.items() if r is base.layers[n]] == [0, 1, 2]
    assert torch.equal(base.next_logits, same.next_logits) and not movement(loaded, base, same).worst.any()


def softmax_by_hand(query: np.ndarray, keys: np.ndarray, record: Any, head: int, seen: np.ndarray) -> np.ndarray:
    """Attention (T + 1,) in float64, what a sink takes last."""
    logits = keys @ query * record.scaling
    if record.softcap is not None:
        logits = record.softcap * np.tanh(logits / record.softcap)
    powers = np.exp(logits) * seen
    sink = 0.0 if record.sinks is None else np.exp(float(record.sinks[head]))
    return np.append(powers, sink) / (powers.sum() + sink)


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma2", "gpt_neox", "gpt_oss", "gpt2", "olmo2", "mistral"])
def test_a_move_is_split_into_the_querys_side_and_the_keys(name: str) -> None:
    loaded = loaded_of(tiny_model(name))
    base, other = (steered_trace(loaded, IDS, made) for made in ([], [Add(Site(LAYER), VECTOR)]))
    layer, head, query = 3, 4, 6
    found = sides(base, other, layer, head, query)
    vectors = []
    for trace in (base, other):
        record = trace.layers[layer]
        vectors.append([record.queries[0, head, query].double(), record.keys[0, head // record.group].double()])
    (q, k), (new_q, new_k) = [[v.numpy() for v in pair] for pair in vectors]
    record = base.layers[layer]
    seen = np.arange(len(IDS)) <= query
    if name in ("mistral",):
        seen &= np.arange(len(IDS)) > query - 5
    own = softmax_by_hand(q, k, record, head, seen)
    for moved, vector, keys in ((found.whole, new_q, new_k), (found.query, new_q, k), (found.key, q, new_k)):
        assert moved == pytest.approx(
            np.abs(softmax_by_hand(vector, keys, record, head, seen) - own).sum() / 2, abs=1e-5
        )
    assert found.whole == pytest.approx(distance(*[t.row(layer, head, query)[1] for t in (base, other)]), abs=1e-5)
    change = (new_k @ new_q - k @ q) * record.scaling
    parts = found.parts.numpy()
    assert np.allclose(parts.sum(1)[seen], (change - change[seen].mean())[seen]) and np.isnan(parts[~seen]).all()
    by_query = k @ (new_q - q) * record.scaling
    assert np.allclose(parts[seen, 0], (by_query - by_query[seen].mean())[seen]) and found.error < 1e-9
    where = (base, other, layer, head, query)
    whole, none = torch.eye(len(q)), torch.zeros(len(q), 0)
    assert moved_inside(*where, whole, whole) == pytest.approx(found.whole, abs=1e-5)
    assert moved_inside(*where, none, none) == 0.0
    assert moved_inside(*where, whole, none) == pytest.approx(found.query, abs=1e-5)
    still = sides(base, base, layer, head, query)
    assert still.whole == still.query == still.key == 0.0 and not still.parts[: query + 1].nan_to_num().any()
