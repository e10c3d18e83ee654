"""The loss of FUR (arXiv 2502.14829; dossier M6): negative preference on content words, and a hold on other texts."""

from __future__ import annotations

import re

import torch.nn.functional as F
from torch import Tensor

_STOP = frozenset(
    "the and but for nor yet are was were been being has have had having does did doing will would shall should can "
    "could may might must not this that these those there then than thus hence therefore because since while when "
    "where which who whom whose what why how with without from into onto over under about after before between through "
    "during again once here his her hers him its our ours your yours their theirs them they she you also just only "
    "very too own same such each any all both few more most some other another let now get gets got next first finally "
    "final step steps answer".split()
)
_CONTENT = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]{3,}")


def content_spans(text: str) -> list[tuple[int, int]]:
    """Half-open character spans of the words of a step that carry content: numbers, and words of three letters or more
    that are no stop words. A rule instead of the parts of speech of the original (dossier M6)."""
    found = _CONTENT.finditer(text)
    return [m.span() for m in found if m.group()[0].isdigit() or m.group().lower() not in _STOP]


def npo(nll: Tensor, before: float | Tensor, beta: float) -> Tensor:
    """-(2/beta) log sigmoid(beta (NLL - NLL_0)): the negative preference loss of one step, NLL in nats summed over its
    content tokens. (2/beta) ln 2 where nothing has changed."""
    return -(2.0 / beta) * F.logsigmoid(beta * (nll - before))


def divergence(before: Tensor, now: Tensor) -> Tensor:
    """Sum over positions of KL(original || trained), nats, from log-probabilities (positions, V)."""
    return (before.exp() * (before - now)).sum()
