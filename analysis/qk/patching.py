"""Is it the subspace that carries it? One run's query or key is written into another, wholly, inside the fitted
subspace, outside it, and in random subspaces of its rank; what the head then attends to, and what the model answers.

The clean run is an example. On the query side the other run is another example that asks for something else; on the key
side it is the key that does not match: of the second prompt, where the contrast has one, else another key of the same
prompt. Only this head at this query reads what is written. Everything after its output is the model's own pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.models.batch import rows_together
from analysis.models.caching import agrees, states_of, way_of_going_on
from analysis.models.loaded_model import LoadedModel
from analysis.models.midway import last_logits
from analysis.models.recording import LayerAttention, Tap, tapped
from analysis.progress import Progress
from analysis.qk.answers.patch import Moved
from analysis.qk.contrasts.example import Example
from analysis.qk.heldout import HeadSamples
from analysis.qk.subspace import random_basis
from analysis.qk.swap import row_softmax

FEWEST = 8
"""Examples below which nothing is said."""
NONE, WHOLE, INSIDE, OUTSIDE, DRAWN = range(5)
"""Conditions of a patch by their rows; random subspaces from :data:`DRAWN` on."""
RANKS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
FEW_DRAWS = 8
"""Random subspaces of each kind at each of the ranks."""
_RESAMPLES = 2000
_BATCH_TOKENS = 2048
_TEXTS, _LOGITS = 8, 16 << 20
"""Texts that are read at once, and logits that are held at once."""


def halves(count: int) -> np.ndarray:
    """In which half (0 or 1) each of ``count`` examples is, at random and always the same."""
    order = np.random.default_rng(count).permutation(count)
    return (np.argsort(order) % 2).astype(np.int64)


def partners(examples: Sequence[Example], seed: int = 0) -> list[int]:
    """For each example the one whose query is written into it: of another label, or where all have one, whose match
    stands elsewhere; with its query at the same place, where there is such.

    Raises UserError(field="contrast") where all examples ask for the same.
    """
    rng, half = np.random.default_rng(seed), halves(len(examples))
    labels = len({e.label for e in examples}) > 1
    found = []
    for number, example in enumerate(examples):
        if labels:
            others = [i for i, e in enumerate(examples) if e.label != example.label]
        else:
            places = _matches(example)
            others = [i for i, e in enumerate(examples) if _matches(e) != places]
        # Of its own half, so that what random subspaces are drawn from and what they are tested on share no query.
        others = [i for i in others if half[i] == half[number]] or others
        near = [i for i in others if examples[i].query.position == example.query.position]
        if not others:
            raise UserError(
                "All examples of this contrast ask for the same, so no other query can be written.", "contrast"
            )
        found.append(int(rng.choice(near or others)))
    return found


def _matches(example: Example) -> tuple[int, ...]:
    return tuple(p.position for p in example.positive)


def differences(samples: HeadSamples, examples: Sequence[Example], side: str, seed: int = 0) -> list[Tensor | None]:
    """What a whole patch adds to each example's query (1, d), or to its visible matching keys (p, d); None where the
    query sees no match, or there is no other key."""
    if side == "query":
        chosen = partners(examples, seed)
        return [
            (samples.queries[other] - samples.queries[i])[None] if _seen(samples, i) else None
            for i, other in enumerate(chosen)
        ]
    rng = np.random.default_rng(seed)
    found: list[Tensor | None] = []
    for i in range(len(examples)):
        own = _seen(samples, i)
        visible = [p for p in samples.negative[i] if samples.visible[i][p]]
        rivals = samples.foreign[i] if len(samples.foreign[i]) else samples.keys[i][visible]
        if not own or not len(rivals):
            found.append(None)
            continue
        drawn = rng.choice(len(rivals), size=len(own), replace=len(rivals) < len(own))
        found.append(rivals[drawn] - samples.keys[i][own])
    return found


def _seen(samples: HeadSamples, i: int) -> list[int]:
    return [p for p in samples.positive[i] if samples.visible[i][p]]


def drawn_bases(
    moves: Sequence[Tensor | None], rank: int, draws: int, seed: int = 0
) -> tuple[tuple[Tensor, Tensor], bool]:
    """Bases (n, d, rank) of random subspaces, for the examples of either half, and whether the second kind is among
    them: ``draws`` of all directions alike, then as many spanned by random sums of the ``moves`` of the other half of
    the examples, so that none is tested on what it was drawn from.

    The second kind is left out where a half has no more moves than the rank: it would be all that they span.
    """
    own = halves(len(moves))
    both = [[move for move, half in zip(moves, own, strict=True) if move is not None and half == n] for n in (0, 1)]
    width = next(move.shape[1] for move in moves if move is not None)
    generator = torch.Generator().manual_seed(seed)
    even = torch.stack([random_basis(width, rank, generator) for _ in range(draws)])
    stacked = [torch.cat(half) for half in both if half]
    if len(stacked) < 2 or min(len(rows) for rows in stacked) <= rank:
        return (even, even), False
    matched = []
    for rows in stacked:
        weights = torch.randn(draws, len(rows), rank, generator=generator, dtype=torch.float64)
        matched.append(torch.linalg.qr(rows.mT @ weights)[0])
    return (torch.cat([even, matched[1]]), torch.cat([even, matched[0]])), True


def patched_rows(samples: HeadSamples, i: int, move: Tensor, side: str, basis: Tensor, drawn: Tensor) -> Tensor:
    """Attention rows (C, T) of example i: clean, patched wholly, inside ``basis`` (d, r), outside it, and inside each
    of ``drawn`` (n, d, r)."""
    inside = (move @ basis) @ basis.mT
    random = (move @ drawn) @ drawn.mT
    moves = torch.cat([torch.stack([torch.zeros_like(move), move, inside, move - inside]), random])
    keys, query, visible = samples.keys[i], samples.queries[i], samples.visible[i]
    if side == "query":
        raw = (query + moves[:, 0]) @ keys.mT
    else:
        own = _seen(samples, i)
        raw = (keys @ query).expand(len(moves), -1).clone()
        raw[:, own] = (keys[own] + moves) @ query
    return row_softmax(raw.masked_fill(~visible, -torch.inf), samples.record, samples.head)


def attention_on_matches(
    samples: HeadSamples, moves: Sequence[Tensor | None], side: str, basis: Tensor, drawn: Sequence[Tensor]
) -> tuple[np.ndarray, list[Tensor]]:
    """What the matching keys get together (n, C), and the rows that this is of, for each example that has a move.
    ``drawn``: bases for the examples of either half."""
    half = halves(len(moves))
    rows = [patched_rows(samples, i, m, side, basis, drawn[half[i]]) for i, m in enumerate(moves) if m is not None]
    matches = [_seen(samples, i) for i, move in enumerate(moves) if move is not None]
    return np.stack([row[:, own].sum(1).numpy() for row, own in zip(rows, matches, strict=True)]), rows


def shares_by_rank(
    samples: HeadSamples, moves: Sequence[Tensor | None], side: str, full: Tensor, progress: Progress
) -> tuple[tuple[int, ...], np.ndarray]:
    """Ranks, and shares (R, 7) as of :class:`PatchedSubspace`; ``full`` (d, d): all dimensions in their order."""
    width = full.shape[1]
    ranks = tuple(r for r in RANKS if r <= width)
    table = []
    for done, rank in enumerate(ranks, start=1):
        bases, _ = drawn_bases(moves, rank, FEW_DRAWS)
        values, _ = attention_on_matches(samples, moves, side, full[:, :rank], bases)
        falls = (values[:, [NONE]] - values).mean(0) / (values[:, NONE] - values[:, WHOLE]).mean()
        random = [falls[DRAWN:][:FEW_DRAWS], falls[DRAWN:][FEW_DRAWS:]]
        ends = [(some.mean(), *np.quantile(some, [0.05, 0.95])) if len(some) else (np.nan,) * 3 for some in random]
        table.append([falls[INSIDE], *ends[0], *ends[1]])
        progress(done / len(ranks), f"rank {rank}")
    return ranks, np.array(table, np.float32)


class Continuation:
    """What a model says after the last token of a text, where one head attends by given rows there.

    Nothing before that token changes, so what was kept of it is read on by one token for every row. Where a model
    cannot go on so, which is tried on the first text, whole texts are read.
    """

    def __init__(self, loaded: LoadedModel, layer: int, head: int) -> None:
        self.loaded, self.layer, self.head = loaded, layer, head
        ways = way_of_going_on(loaded), rows_together(loaded)
        self._goes_on: bool | None = False if ways[0] == "whole" or ways[1] == "alone" else None

    def logits(self, ids: Sequence[int], rows: Tensor) -> Tensor:
        """Logits (C, V) float32 after ``ids`` with each of ``rows`` (C, T). ``rows[0]`` has to be the head's own."""
        return self.several([ids], rows[None])[0]

    @torch.no_grad()
    def several(self, texts: Sequence[Sequence[int]], rows: Tensor) -> Tensor:
        """The same of several texts of one length at once: (N, C, V) from ``rows`` (N, C, T)."""
        if self._goes_on is not False and len(texts[0]) > 1:
            found = self._read_on(texts, rows)
            if self._goes_on is None:
                own = last_logits(self.loaded, torch.tensor([list(texts[0])])).double().log_softmax(-1)
                self._goes_on = found is not None and agrees(found[0, :1].double().log_softmax(-1), own, self.loaded)
            if found is not None and self._goes_on:
                return found
        return torch.stack([self._whole(ids, mine) for ids, mine in zip(texts, rows, strict=True)])

    def _whole(self, ids: Sequence[int], rows: Tensor) -> Tensor:
        size = 1 if rows_together(self.loaded) == "alone" else max(1, _BATCH_TOKENS // len(ids))
        parts = []
        for part in rows.split(size):
            with tapped(self._attending(part)):
                parts.append(last_logits(self.loaded, torch.tensor([list(ids)]).expand(len(part), -1)))
        return torch.cat(parts)

    def _read_on(self, texts: Sequence[Sequence[int]], rows: Tensor) -> Tensor | None:
        model, device = self.loaded.model, self.loaded.device
        ids, (many, count, _) = torch.tensor([list(text) for text in texts], device=device), rows.shape
        cache = states_of(model(ids[:, :-1], use_cache=True, logits_to_keep=1))
        if not hasattr(cache, "batch_repeat_interleave"):
            return None
        cache.batch_repeat_interleave(count)
        last = ids[:, -1:].repeat_interleave(count, 0)
        with tapped(self._attending(rows.flatten(0, 1))):
            output = model(last, past_key_values=cache, use_cache=True, logits_to_keep=1)
        found: Tensor = output.logits[:, -1].float().cpu()
        return found.view(many, count, -1)

    def _attending(self, rows: Tensor) -> Tap:
        def tap(record: LayerAttention, output: Tensor) -> Tensor | None:
            if record.layer != self.layer:
                return None
            values = record.values[:, self.head // record.group].float()
            # What a window has left behind is not kept, and has no attention.
            weights = rows[:, -values.shape[1] :].to(values.device, torch.float32)
            output = output.clone()
            output[:, -1, self.head] = torch.einsum("ct,ctd->cd", weights, values).to(output.dtype)
            return output

        return tap


def answers_of(examples: Sequence[Example], kind: str) -> tuple[list[list[int]], str]:
    """Token ids that are right after the query of each example, its matching keys' own; or nothing, and why."""
    if kind == "previous":
        return [], "A contrast of position has no answer."
    prompts = [e.prompts[e.query.prompt] for e in examples]
    if any(e.query.position != len(ids) - 1 for e, ids in zip(examples, prompts, strict=True)):
        return [], "The query is not the last token of these examples, so they have no answer."
    return [sorted({e.prompts[p.prompt][p.position] for p in e.positive}) for e in examples], ""


def batches_of(examples: Sequence[Example], rows: int, vocabulary: int) -> Iterator[range]:
    """Runs of examples whose texts have one length, few enough for their logits of ``rows`` each to be held at once."""
    most = max(1, min(_TEXTS, _LOGITS // (rows * vocabulary)))
    start = 0
    lengths = [len(e.prompts[e.query.prompt]) for e in examples]
    for stop in range(1, len(examples) + 1):
        if stop == len(examples) or stop - start == most or lengths[stop] != lengths[start]:
            yield range(start, stop)
            start = stop


def log_odds(logits: Tensor, answer: Sequence[int]) -> Tensor:
    """Log odds (C,) in nats of the tokens ``answer``, together, against all others, from logits (C, V)."""
    logits = logits.double()
    others = logits.clone()
    others[:, list(answer)] = -torch.inf
    return logits[:, list(answer)].logsumexp(-1) - others.logsumexp(-1)


def moved(values: np.ndarray, draws: int, seed: int = 0) -> Moved:
    """A read-out (n, C) summed up; ``draws``: random subspaces of each kind, the matched ones after the even ones, and
    not there in a read-out without them."""
    falls = values[:, [NONE]] - values
    effect, error = float(falls[:, WHOLE].mean()), float(falls[:, WHOLE].std(ddof=1) / len(falls) ** 0.5)
    parts: dict[str, tuple[float, float, float] | None] = dict.fromkeys(("inside", "outside", "random", "matched"))
    if abs(effect) > 2 * error:
        rng = np.random.default_rng(seed)
        again = falls[rng.integers(len(falls), size=(_RESAMPLES, len(falls)))].mean(1)
        for name, column in (("inside", INSIDE), ("outside", OUTSIDE)):
            ends = np.quantile(again[:, column] / again[:, WHOLE], [0.025, 0.975])
            parts[name] = float(falls[:, column].mean()) / effect, float(ends[0]), float(ends[1])
        shares = falls.mean(0)[DRAWN:] / effect
        for name, some in (("random", shares[:draws]), ("matched", shares[draws:])):
            if len(some):
                ends = np.quantile(some, [0.05, 0.95])
                parts[name] = float(some.mean()), float(ends[0]), float(ends[1])
    clean, patched = (float(values[:, column].mean()) for column in (NONE, WHOLE))
    return Moved(clean, patched, effect, error, **parts)
