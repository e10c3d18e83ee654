"""Heads ranked by a drawn pattern: patterns whose rank is known, and a slow version from eager models' attention."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from analysis.engine.context import Context
from analysis.errors import Cancelled, UserError
from analysis.models.trace import trace_prompt
from analysis.qk import drawn
from analysis.qk.drawn import _moved, _patterns, drawn_scores
from analysis.qk.ops.drawn import LongPatternHeads, PatternHeads
from tests.unit.test_fit import loaded_tiny
from tests.unit.test_token_heads import TEXT, context, reader  # noqa: F401
from tests.unit.test_trace_prompts import IDS, eager_attention

CELLS = [(4, 1), (4, 3), (9, 8), (20, 0), (29, 7), (29, 8), (29, 29), (0, 0)]


def slow(weights: np.ndarray, window: int) -> tuple[float, float]:
    """Score and mean share of one head, from its attention (T, T), row by row."""
    values, shares = [], []
    for query in sorted({q for q, _ in CELLS}):
        seen = [k for k in range(query + 1) if query - k < window]
        drawn = [k for q, k in CELLS if q == query and k in seen]
        if drawn and len(drawn) < len(seen):
            mass, base = sum(weights[query, k] for k in drawn), len(drawn) / len(seen)
            values.append((mass - base) / (1 - base))
            shares.append(mass)
    return float(np.mean(values)), float(np.mean(shares))


@pytest.mark.parametrize(("name", "windows"), [("llama", [99] * 4), ("mistral", [5] * 4), ("gpt_oss", [5, 99] * 2)])
def test_scores_are_those_of_the_eager_models_attention(name, windows):
    trace, _ = trace_prompt(loaded_tiny(name), IDS, False)
    found = drawn_scores(trace, CELLS, 4, 6, draws=4)
    for layer, attention in enumerate(eager_attention(name)):
        wanted = [slow(head, windows[layer]) for head in attention]
        assert np.allclose(found.scores[layer], [w[0] for w in wanted], atol=2e-4)
        assert np.allclose(found.shares[layer], [w[1] for w in wanted], atol=2e-4)
    assert found.chance.shape == (2, 4) and (found.chance <= 1).all() and found.rows == (3 if windows[1] == 5 else 4)


class Known:
    """A layer whose heads attend one step back, to the first token, and to all alike."""

    queries = torch.zeros(1, 3, 12, 2)

    def visible(self) -> torch.Tensor:
        return torch.ones(1, 1, 12, 12, dtype=torch.bool).tril()

    def weights(self, heads: slice, rows: torch.Tensor) -> torch.Tensor:
        back, first = torch.zeros(12, 12), torch.zeros(12, 12)
        back[range(1, 12), range(11)] = 1
        back[0, 0] = 1
        first[:, 0] = 1
        alike = self.visible()[0, 0].float()
        return torch.stack([back, first, alike / alike.sum(-1, keepdim=True)])[None, heads][:, :, rows]


def test_a_head_that_does_what_was_drawn_has_one_and_one_that_looks_at_all_alike_has_none():
    trace: Any = SimpleNamespace(ids=[0] * 12, layers={0: Known()})
    back = drawn_scores(trace, [(q, q - 1) for q in range(1, 12)], 1, 3)
    assert back.scores[0].tolist() == pytest.approx([1, back.scores[0, 1], 0], abs=1e-6) and back.scores[0, 1] < 0.15
    # Other diagonals and other columns suit none of them as this one suits the first; of columns one suits the second.
    assert np.quantile(back.chance[1], 0.95) < 0.5
    first = drawn_scores(trace, [(q, 0) for q in range(3, 12)], 1, 3)
    assert first.scores[0, 1] == pytest.approx(1) and first.scores[0, 0] < 0 and first.rows == 9
    # The first query sees itself alone: its row tells no head apart.
    assert drawn_scores(trace, [(0, 0)], 1, 3).rows == 0


def test_random_patterns_have_the_shape_of_the_drawn_one_and_as_many_cells_in_each_row():
    seen = np.tril(np.ones((9, 9), bool))
    for shape in (np.eye(9, k=-1, dtype=bool), np.arange(9)[None] == np.full((9, 1), 2), np.eye(9, dtype=bool)):
        mine = shape & seen
        made = _patterns(mine, seen, 30, 1)
        assert made is not None and made.keys.shape == (61, len(made.row))
        query = made.rows[made.row]
        for n, key in enumerate(made.keys[1:]):
            assert len(set(zip(query, key, strict=True))) == len(key) and seen[query, key].all()
            assert not mine[query, key].any()  # one cell in a row: never the drawn one again
            # A column becomes a column as far as it is seen, a diagonal a diagonal.
            last = int(key[-1])
            if mine.any(0).sum() == 1 and n < 30:
                assert (key[query >= last] == last).all()
            elif mine.any(0).sum() > 1 and n >= 30:
                assert ((query - key)[query >= 8 - last] == 8 - last).all()


def test_an_arbitrary_column_is_not_beyond_chance_where_heads_look_at_columns():
    class Columns(Known):
        """Each head looks at a key of its own, as far as it is visible."""

        queries = torch.zeros(1, 12, 12, 2)

        def weights(self, heads: slice, rows: torch.Tensor) -> torch.Tensor:
            made = torch.eye(12)[:, None].expand(12, 12, 12).tril().clone()
            made[..., 0] += 1 - made.sum(-1)
            return (made * 0.7 + 0.3 * self.visible()[0, 0] / torch.arange(1, 13)[:, None])[None, heads][:, :, rows]

    trace: Any = SimpleNamespace(ids=[0] * 12, layers={0: Columns()})
    for key in range(1, 10):
        found = drawn_scores(trace, [(q, key) for q in range(key + 1, 12)], 1, 12)
        assert np.nanmax(found.scores) <= np.quantile(found.chance, 0.95, axis=1).max() + 1e-6, key


def by_rings(order: np.ndarray, query: np.ndarray, key: np.ndarray, seen: np.ndarray, distances: bool) -> list[int]:
    """The next key of each cell, from the whole ring of its row."""
    moved = []
    for q, k in zip(query, key, strict=True):
        ring = [q - d for d in order if q >= d and seen[q, q - d]] if distances else [k for k in order if seen[q, k]]
        moved.append(ring[(ring.index(k) + 1) % len(ring)])
    return moved


@pytest.mark.parametrize("window", [300, 3])
@pytest.mark.parametrize("distances", [False, True])
def test_cells_move_as_on_the_whole_ring_of_their_row(window: int, distances: bool) -> None:
    place = np.arange(300)
    seen = (place[None] <= place[:, None]) & (place[None] > place[:, None] - window)
    random = np.random.default_rng(0)
    query, key = np.nonzero(seen & (random.random(seen.shape) < 400 / seen.sum()))
    order = random.permutation(300)
    assert _moved(order, query, key, seen, distances).tolist() == by_rings(order, query, key, seen, distances)


def test_pieces_of_rows_give_the_same_and_a_long_one_tells_how_far_it_is(monkeypatch) -> None:
    trace, _ = trace_prompt(loaded_tiny("gpt_oss"), IDS, False)
    whole, told = drawn_scores(trace, CELLS, 4, 6, draws=4), []
    monkeypatch.setattr(drawn, "_CHUNK", 4 * len(IDS) * 2)
    pieces = drawn_scores(trace, CELLS, 4, 6, draws=4, progress=lambda share, text="", **_: told.append((share, text)))
    for name in ("scores", "shares", "chance"):
        assert np.allclose(getattr(whole, name), getattr(pieces, name), atol=1e-6, equal_nan=True)
    assert [t for n, t in enumerate(told) if t not in told[:n]] == [(n / 4, f"layer {n}") for n in range(4)]


def test_a_long_pattern_is_cancelled_between_two_layers_and_leaves_nothing(context, monkeypatch) -> None:  # noqa: F811
    job = LongPatternHeads(text=TEXT, cells=((3, 2), (9, 8)))
    read: list[int] = []

    class Ended(Context):
        """Whoever asked has pressed Cancel by the second layer."""

        def check(self) -> None:
            if len(read) == 2:
                raise Cancelled

    gathered = drawn._gathered
    monkeypatch.setattr(
        drawn, "_gathered", lambda record, *rest: (read.append(record.layer), gathered(record, *rest))[1]
    )
    ended = Ended(context.residents, context.store, context.memory)
    with pytest.raises(Cancelled):
        ended.perform(job)
    assert read == [0, 1] and context.stored(job) is None
    again = context.perform(job)
    assert read == [0, 1, 0, 1, 2, 3] and context.stored(job) is not None
    live = PatternHeads(text=TEXT, cells=job.cells).run(context)
    assert np.array_equal(again.arrays["scores"], live.scores)


def test_the_operation_refuses_what_cannot_be_drawn(context):  # noqa: F811
    last = len(reader().tokenizer(TEXT)["input_ids"]) - 1
    answer = PatternHeads(text=TEXT, cells=((3, 2), (3, 2), (9, 8))).run(context)
    assert answer.scores.shape == (4, 6) and answer.cells == 2 and answer.rows == 2 and 0 < answer.uniform < 1
    for cells, said in (((), "Draw a pattern"), (((last + 1, 0),), f"0 to {last}"), (((2, 3),), "after its query")):
        with pytest.raises(UserError, match=said):
            PatternHeads(text=TEXT, cells=cells).run(context)
    with pytest.raises(UserError, match="every head would do"):
        PatternHeads(text=TEXT, cells=((0, 0),)).run(context)
