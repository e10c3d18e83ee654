"""What a steering result is compared with: pushes of the same size that were not fitted.

An effect of a direction counts only beside that of a random one of equal length and of the simplest direction that
knows the concept, the difference of two means. Both are made here, from activations and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.models.capture import capture
from analysis.models.frames import text_ids
from analysis.models.legible import check_legible
from analysis.models.loaded_model import LoadedModel
from analysis.models.sites import Site

_BATCH = 16
_WINDOW = 128


def random_direction(vector: Tensor, seed: int) -> Tensor:
    """A vector (D,) of the length of ``vector`` (D,), uniform over all directions; the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(vector.shape, generator=generator, dtype=torch.float64)
    scaled: Tensor = drawn / drawn.norm() * vector.double().norm().cpu()
    return scaled.to(vector)


def difference_of_means(positive: Tensor, negative: Tensor) -> Tensor:
    """Mean of ``positive`` (N, D) minus mean of ``negative`` (M, D), as (D,) float32.

    Raises:
        UserError: one of them is empty, or they differ in width.
    """
    if positive.ndim != 2 or negative.ndim != 2 or not len(positive) or not len(negative):
        raise UserError("A difference of means needs at least one activation on each side.", "sentences")
    if positive.shape[1] != negative.shape[1]:
        raise UserError("The two sides have activations of different widths. Take both from one site.", "sentences")
    return (positive.double().mean(0) - negative.double().mean(0)).float()


def sentence_limit(loaded: LoadedModel) -> int:
    """How many tokens of a sentence are read at most: 128, or the positions of a model that has fewer."""
    return min(_WINDOW, loaded.facts.max_positions or _WINDOW)


def sentences_cut(loaded: LoadedModel, sentences: Sequence[str]) -> int:
    """How many of the sentences have more tokens than :func:`sentence_limit`."""
    most = sentence_limit(loaded)
    return sum(len(text_ids(loaded.tokenizer, s)) > most for s in sentences if s.strip())


def encode_sentences_mean(loaded: LoadedModel, sentences: Sequence[str], site: Site, *, skip_first: int = 2) -> Tensor:
    """Mean activation (D,) float32 at a site over all tokens of all sentences, the first two of each left out.

    Sentences are cut at :func:`sentence_limit` tokens; :func:`sentences_cut` says how many are.

    Raises:
        UserError: the model lacks the site, or no sentence has a token left.
    """
    for sentence in sentences:
        check_legible(loaded.tokenizer, sentence, "sentences")
    most = sentence_limit(loaded)
    rows = [text_ids(loaded.tokenizer, s)[:most] for s in sentences if s.strip()]
    rows = sorted((r for r in rows if len(r) > skip_first), key=len)
    if not rows:
        raise UserError("The sentences are too short: each needs more than two tokens. Write longer ones.", "sentences")
    batches = [(range(len(rows[i : i + _BATCH])), rows[i : i + _BATCH]) for i in range(0, len(rows), _BATCH)]
    total, count = None, 0
    for found in capture(loaded, batches, [site], skip_first=skip_first):
        part = found.activations[site].double().sum(0)
        total, count = part if total is None else total + part, count + len(found.tokens)
    assert total is not None
    return (total / count).float()
