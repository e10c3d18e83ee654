"""Heads ranked by a drawn pattern: patterns whose rank is known, and a slow version from eager models' attention."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from analysis.errors import UserError
from analysis.models.trace import trace_prompt
from analysis.qk.drawn import drawn_scores
from analysis.qk.ops.drawn import PatternHeads
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
    assert found.chance.shape == (4,) and (found.chance <= 1).all() and found.rows == (3 if windows[1] == 5 else 4)


class Known:
    """A layer whose heads attend one step back, to the first token, and to all alike."""

    queries = torch.zeros(1, 3, 12, 2)

    def visible(self) -> torch.Tensor:
        return torch.ones(1, 1, 12, 12, dtype=torch.bool).tril()

    def weights(self, heads: slice) -> torch.Tensor:
        back, first = torch.zeros(12, 12), torch.zeros(12, 12)
        back[range(1, 12), range(11)] = 1
        back[0, 0] = 1
        first[:, 0] = 1
        alike = self.visible()[0, 0].float()
        return torch.stack([back, first, alike / alike.sum(-1, keepdim=True)])[None, heads]


def test_a_head_that_does_what_was_drawn_has_one_and_one_that_looks_at_all_alike_has_none():
    trace: Any = SimpleNamespace(ids=[0] * 12, layers={0: Known()})
    back = drawn_scores(trace, [(q, q - 1) for q in range(1, 12)], 1, 3)
    assert back.scores[0].tolist() == pytest.approx([1, back.scores[0, 1], 0], abs=1e-6) and back.scores[0, 1] < 0.15
    assert np.quantile(back.chance, 0.95) < 0.5  # patterns at random suit none of them as this one suits the first
    first = drawn_scores(trace, [(q, 0) for q in range(3, 12)], 1, 3)
    assert first.scores[0, 1] == pytest.approx(1) and first.scores[0, 0] < 0 and first.rows == 9
    # The first query sees itself alone: its row tells no head apart.
    assert drawn_scores(trace, [(0, 0)], 1, 3).rows == 0


def test_the_operation_refuses_what_cannot_be_drawn(context):  # noqa: F811
    last = len(reader().tokenizer(TEXT)["input_ids"]) - 1
    answer = PatternHeads(text=TEXT, cells=((3, 2), (3, 2), (9, 8))).run(context)
    assert answer.scores.shape == (4, 6) and answer.cells == 2 and answer.rows == 2 and 0 < answer.uniform < 1
    for cells, said in (((), "Draw a pattern"), (((last + 1, 0),), f"0 to {last}"), (((2, 3),), "after its query")):
        with pytest.raises(UserError, match=said):
            PatternHeads(text=TEXT, cells=cells).run(context)
    with pytest.raises(UserError, match="every head would do"):
        PatternHeads(text=TEXT, cells=((0, 0),)).run(context)
