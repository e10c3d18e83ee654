"""Scores of every head over many texts, so that a head's habit is told apart from what one prompt makes it do.

Attention weights live for one layer and a few heads of a batch only; what stays is one number for each score, head and
text, from which come the mean over texts and its standard error.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.models.batch import rows_together
from analysis.models.head_scores import SCORES, head_scores, induction_targets
from analysis.models.loaded_model import LoadedModel
from analysis.models.recording import LayerAttention, tapped
from analysis.progress import Progress, silent
from analysis.qk.answers.corpus import CorpusHeads

FEWEST = 4
"""Tokens below which there is nothing to score."""
_BATCH_TOKENS = 512
_CHUNK = 64 << 20
EVERY = 1.0
"""Seconds between two reports of what was measured so far, which hold every score of every head."""


@torch.no_grad()
def corpus_scores(loaded: LoadedModel, rows: Sequence[Sequence[int]], progress: Progress = silent) -> CorpusHeads:
    """Scores over ``rows`` of token ids, all of one length; between two batches ``progress`` is a safe point, and it
    is told the means so far (``so_far``, :meth:`CorpusHeads.sent`), at most each second.

    Raises UserError(field="tokens") for rows that are too short to score.
    """
    length = len(rows[0])
    if length < FEWEST or any(len(row) != length for row in rows):
        raise UserError(f"Texts of at least {FEWEST} tokens are scored, all of one length.", "tokens")
    facts = loaded.facts
    heads = np.full((len(SCORES), len(rows), facts.layers, facts.heads), np.nan, np.float32)
    alike = np.full((len(SCORES), len(rows), facts.layers), np.nan, np.float32)
    size = 1 if rows_together(loaded) == "alone" else max(1, _BATCH_TOKENS // length)
    sums, told = (_Sums(heads), _Sums(alike)), -math.inf
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        where, follows = slice(start, start + len(batch)), induction_targets(batch)

        def look(record: LayerAttention, _output: Tensor, where: slice = where, follows: Tensor = follows) -> None:
            seen = record.visible().expand(where.stop - where.start, -1, -1, -1)[:, :1].float()
            for n, values in enumerate(head_scores(seen / seen.sum(-1, keepdim=True), follows).values()):
                alike[n, where, record.layer] = values[:, 0].cpu().numpy()
            count = record.queries.shape[1]
            step = max(1, _CHUNK // (len(seen) * length * length * 4))
            for first in range(0, count, step):
                some = slice(first, min(count, first + step))
                for n, values in enumerate(head_scores(record.weights(some), follows).values()):
                    heads[n, where, record.layer, some] = values.cpu().numpy()

        with tapped(look):
            loaded.forward(torch.tensor([list(row) for row in batch]))
        done, more = start + len(batch), {}
        for of in sums:
            of.take(where)
        if done < len(rows) and time.monotonic() - told >= EVERY:
            told = time.monotonic()
            now, same = (of.means for of in sums)
            more["so_far"] = CorpusHeads(SCORES, done, length, _counts(alike[:, :done]), now, now, same).sent()
        progress(done / len(rows), f"{done} of {len(rows)} texts", **more)
    means, errors = _summary(heads)
    return CorpusHeads(SCORES, len(rows), length, _counts(alike), means, errors, _summary(alike)[0])


class _Sums:
    """Sums over the texts that have been read, of ``values`` (S, T, ...), so that a mean so far costs no second look at
    all of them."""

    def __init__(self, values: np.ndarray) -> None:
        self._values = values
        self._sum = np.zeros((values.shape[0], *values.shape[2:]))
        self._count = np.zeros_like(self._sum)

    def take(self, where: slice) -> None:
        """Add the texts at ``where``."""
        new = self._values[:, where]
        self._sum += np.nansum(new, 1, dtype=np.float64)
        self._count += np.isfinite(new).sum(1)

    @property
    def means(self) -> np.ndarray:
        """Means over the texts in which a score is defined; NaN where there is none."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return (self._sum / self._count).astype(np.float32)


def _counts(alike: np.ndarray) -> tuple[int, ...]:
    """In how many texts each score is defined, of those of uniform heads (S, T, L)."""
    return tuple(int(np.isfinite(values).any(-1).sum()) for values in alike)


def _summary(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and its standard error over the second axis, the texts in which a score is defined; NaN where there is none,
    and for the error where there is one only."""
    there = np.isfinite(values)
    count = there.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(there, values, 0).sum(1, dtype=np.float64) / count
        square = np.where(there, values - mean[:, None], 0).astype(np.float64) ** 2
        error = np.sqrt(square.sum(1) / (count - 1) / count)
    return mean.astype(np.float32), np.where(count > 1, error, np.nan).astype(np.float32)
