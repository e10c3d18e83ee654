"""What a question of many passes costs here, before it is asked: seconds by passes of this model that were timed, bytes
by what its modules give.

A pass over a few tokens mostly waits for the weights, one over many for the arithmetic. So rows of a short prompt, of
which many make a batch, are reckoned by a batch that is timed once for each model, and those of a long one by the pass
that has recorded it, which holds how attention grows with the prompt.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.models.batch import rows_together
from analysis.models.head_scores import ScoreSums, induction_targets
from analysis.models.hooks import Call, hidden_of, layout, probe_blocks
from analysis.models.loaded_model import LoadedModel
from analysis.models.memory import host_memory
from analysis.models.midway import last_logits
from analysis.models.recording import PIECE, LayerAttention
from analysis.models.trace import held_bytes
from analysis.spoken import duration

MOST_SECONDS = 7_200.0
"""Longer runs are not begun."""
MOST_BYTES = 1_500 << 20
"""Nor those that take more memory, where that is more than an eighth of what there is."""
_ROWS, _TOKENS = 4, 64
_PIECES = 5
"""Copies of a piece of attention weights that are there at a time: logits, scaled, masked, and their softmax."""
_SQUARE = 256
_SECONDS, _NUMBERS, _LOOKS = "seconds of a batch", "numbers of a block", "seconds of a map"


@dataclass(frozen=True)
class Cost:
    """Seconds and bytes beside the model, both about."""

    seconds: float
    bytes: int

    @property
    def refused(self) -> str:
        """Why it is not begun, or ""."""
        most = max(MOST_BYTES, host_memory()[0] // 8)
        if self.seconds <= MOST_SECONDS and self.bytes <= most:
            return ""
        return (
            f"This would take about {duration(self.seconds)} and {self.bytes / 1e6:,.0f} MB here; at most "
            f"{duration(MOST_SECONDS)} and {most / 1e6:,.0f} MB are begun. Ask at an earlier token, shorten the "
            "prompt, or rank heads by what they write, which takes one pass."
        )

    def check(self) -> None:
        """Raises UserError(field="prompt") for what is not begun."""
        if self.refused:
            raise UserError(self.refused, "prompt")


def token_seconds(loaded: LoadedModel, tokens: int, seconds: float) -> float:
    """Seconds of a token of one row, of a prompt over whose ``tokens`` a pass took ``seconds`` (0: not known)."""
    if seconds > 0 and tokens >= _ROWS * _TOKENS:
        return seconds / tokens
    if rows_together(loaded) == "alone":
        return max(seconds / tokens, 0.0) or loaded.facts.seconds_per_token
    if _SECONDS not in loaded.extras:
        loaded.extras[_SECONDS] = _batch_seconds(loaded)
    found: float = loaded.extras[_SECONDS]
    return found


def parts_cost(
    loaded: LoadedModel, ids: int, layers: Sequence[int], per_token: float, together: int, kept: int, squares: int = 0
) -> Cost:
    """Of one row of ``ids`` tokens for each entry of ``layers``, which begins at that block, in batches of ``together``
    rows. ``kept``: numbers of a token that stand there all the time; ``squares``: attention weights of one head, of all
    tokens, at a time. The passes that are made before are counted as two."""
    blocks = loaded.facts.layers
    rows = sum(blocks - layer for layer in layers) / blocks + 2
    numbers = kept + together * block_numbers(loaded)
    return Cost(rows * ids * per_token, loaded.facts.item_bytes * ids * numbers + 4 * squares * ids * ids)


def reading_cost(loaded: LoadedModel, tokens: int) -> Cost:
    """Of the recorded pass over a prompt, with the scores of all heads: a batch that is timed, for what grows with the
    prompt, and all heads' weights of one layer, for what grows with its square."""
    facts = loaded.facts
    if _LOOKS not in loaded.extras:
        loaded.extras[_LOOKS] = _look_seconds(loaded)
    looks: float = loaded.extras[_LOOKS]
    maps = len(facts.attention_layers) * (tokens / _SQUARE) ** 2
    seconds = tokens * token_seconds(loaded, tokens, 0.0) + looks * maps
    size = loaded.facts.item_bytes * tokens * block_numbers(loaded) + _PIECES * PIECE
    return Cost(seconds, held_bytes(facts, tokens) + size)


def _look_seconds(loaded: LoadedModel) -> float:
    """Seconds of one layer's attention, weights and scores over :data:`_SQUARE` tokens, on numbers drawn at random."""
    facts, generator = loaded.facts, torch.Generator().manual_seed(0)
    groups = {"queries": facts.heads, "keys": facts.key_heads, "values": facts.key_heads}
    vectors = {n: torch.randn(1, h, _SQUARE, facts.head_width, generator=generator) for n, h in groups.items()}
    vectors = {name: value.to(loaded.device, loaded.model.dtype) for name, value in vectors.items()}
    record = LayerAttention(0, **vectors, mask=None, scaling=1.0, softcap=None, sinks=None, unrotated=None)
    best = float("inf")
    for _ in range(2):
        began = time.perf_counter()
        weights = record.weights()
        sums = ScoreSums(_SQUARE)
        sums.add(weights, follows=induction_targets([range(_SQUARE)]))
        (weights @ record.values[:, torch.arange(facts.heads) // record.group].float()).sum().item()
        sums.result()["entropy"].cpu()
        best = min(best, time.perf_counter() - began)
    return best


def block_numbers(loaded: LoadedModel) -> int:
    """How many numbers of a token the modules of a block give, at most, seen once on a short pass; they stand there
    together in the worst case."""
    if _NUMBERS not in loaded.extras:
        calls = probe_blocks(loaded, list(layout(loaded).blocks))
        loaded.extras[_NUMBERS] = max((_numbers(call) for call in calls.values()), default=0)
    found: int = loaded.extras[_NUMBERS]
    return found


def _numbers(block: Call) -> int:
    tokens = hidden_of(block.output).shape[:-1].numel()
    leaves = [c.output for c in block.inside if not c.inside and isinstance(c.output, Tensor)]
    return sum(output.numel() for output in leaves) // tokens


@torch.no_grad()
def _batch_seconds(loaded: LoadedModel) -> float:
    """Seconds of a token in a batch of short rows, the better of two, the first of which warms up."""
    length = min(_TOKENS, loaded.facts.max_positions or _TOKENS)
    ids = torch.arange(_ROWS * length).view(_ROWS, length) % loaded.facts.vocabulary
    best = float("inf")
    for _ in range(2):
        began = time.perf_counter()
        last_logits(loaded, ids)  # which waits for the device
        best = min(best, (time.perf_counter() - began) / ids.numel())
    return best
