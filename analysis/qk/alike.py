"""Words that could stand where a word of a prompt stands: by the model's own word vectors and predictions.

Both are needed. What the model predicts at a place is useless at the beginning of a text, where nearly anything may
come, and after it prefers frequent words; word vectors know the kind of a word and not the place. Only tokens of the
same form count (the same space before them, letters or digits, the same capitals), so that each can be put there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from analysis.corpora.themes import themes
from analysis.models.loaded_model import LoadedModel

PROPOSED = 16
SHORTEST = 3
"""Letters of a word that is proposed; shorter tokens are mostly pieces of words."""
NEAR = 0.015
"""A word of the prompt is of the same kind if it is among this share of the nearest words."""
LEAST = 0.5
"""A word is proposed that is at least so near as the nearest other one, as a share."""
_KEPT = "forms of words"
_FORM = re.compile(r"([\u0120\u2581]?)([A-Za-z]+|[0-9]+)")
_SAMPLE, _ROWS, _STEPS = 8192, 8192, 40
_WEIGHT = 3.0  # of nearness, beside the prediction, both in standard deviations


@dataclass(frozen=True)
class Forms:
    """``names``: by token id, the form of a word and the word; only those that are one. ``centre`` (D,) and ``axis``
    (D,): mean of the word vectors, and the direction in which they differ most, which is how frequent they are."""

    names: dict[int, tuple[str, str]]
    centre: Tensor
    axis: Tensor


def forms_of(loaded: LoadedModel) -> Forms:
    """The words of a model's vocabulary; kept with the model."""
    if _KEPT not in loaded.extras:
        table = _table(loaded)
        names = {}
        for token, i in loaded.tokenizer.get_vocab().items():
            match = _FORM.fullmatch(token)
            if match and i < table.shape[0]:
                space, word = match.groups()
                names[i] = f"{len(space)} {_capitals(word)}", word
        step = max(1, table.shape[0] // _SAMPLE)
        some = table[::step].float().cpu()
        centre = some.mean(0)
        axis = _main_direction(some - centre)
        loaded.extras[_KEPT] = Forms(names, centre, axis)
    forms: Forms = loaded.extras[_KEPT]
    return forms


def _main_direction(rows: Tensor) -> Tensor:
    """The direction (D,) in which rows (n, D) differ most, by repeated multiplication: of wide vectors the whole
    spectrum would take seconds."""
    axis: Tensor = torch.ones(rows.shape[1]) / rows.shape[1] ** 0.5
    for _ in range(_STEPS):
        axis = rows.T @ (rows @ axis)
        axis = torch.nn.functional.normalize(axis, dim=0)
    return axis


def _table(loaded: LoadedModel) -> Tensor:
    embedding: Any = loaded.model.get_input_embeddings()
    weight: Tensor = embedding.weight.detach()
    return weight


def _capitals(word: str) -> str:
    if word.isdigit():
        return f"{len(word)} digits"
    return "lower" if word.islower() else "upper" if word.isupper() and len(word) > 1 else "capital"


@torch.no_grad()
def nearness(loaded: LoadedModel, token: int) -> Tensor:
    """Cosine (V,) of every word vector with one token's, less what all have in common; -inf for other forms, for pieces
    of words, and for other forms of the same word."""
    forms, table = forms_of(loaded), _table(loaded)
    values = torch.full((table.shape[0],), -torch.inf)
    if token not in forms.names:
        return values
    form, own = forms.names[token]
    able = [i for i, (f, word) in forms.names.items() if f == form and (i == token or _other(word, own))]
    target = _reduced(table[token][None].float().cpu(), forms)[0]
    for start in range(0, len(able), _ROWS):
        chunk = torch.tensor(able[start : start + _ROWS])
        values[chunk] = _reduced(table[chunk.to(table.device)].float().cpu(), forms) @ target
    return values


def _reduced(rows: Tensor, forms: Forms) -> Tensor:
    rows = rows - forms.centre
    rows = rows - (rows @ forms.axis)[:, None] * forms.axis
    lengths: Tensor = rows.norm(dim=1, keepdim=True)
    return rows / lengths.clamp_min(1e-12)


def _other(word: str, own: str) -> bool:
    """Whether a word can be proposed beside another: neither a piece of a word nor a form of the same one."""
    if word.isdigit():
        return True
    a, b = word.lower(), own.lower()
    return len(word) >= SHORTEST and not a.startswith(b) and not b.startswith(a)


def same_kind(near: Tensor, tokens: list[int]) -> list[bool]:
    """Which tokens are among the nearest by ``near`` (V,), as of :func:`nearness`."""
    able = near[near.isfinite()]
    if not able.numel():
        return [False] * len(tokens)
    digits = able.numel() <= 10
    least = able.min() if digits else able.topk(max(PROPOSED, int(NEAR * able.numel()))).values[-1]
    return [bool(near[t] >= least) for t in tokens]


def proposed(near: Tensor, loaded: LoadedModel, predicted: Tensor | None, count: int = PROPOSED) -> list[str]:
    """Words like one, best first: the nearest, in an order that also minds ``predicted`` (V,), log-probabilities at
    the place; None where nothing stands before it."""
    forms = forms_of(loaded)
    able = torch.nonzero(near.isfinite())[:, 0]
    chosen = able[near[able].topk(min(4 * count, len(able))).indices]
    chosen = chosen[near[chosen] >= LEAST * near[chosen[1:2]].max()] if len(chosen) > 1 else chosen
    score = _WEIGHT * _standard(near[chosen])
    if predicted is not None:
        score = score + _standard(predicted[chosen].float().cpu())
    words: list[str] = []
    for i in score.argsort(descending=True).tolist():
        word = forms.names[int(chosen[i])][1]
        if all(_other(word, earlier) for earlier in words):
            words.append(word)
    return words


def _standard(values: Tensor) -> Tensor:
    return (values - values.mean()) / values.std(correction=0).clamp_min(1e-9)


@torch.no_grad()
def partner_of(loaded: LoadedModel, ids: Sequence[int], attention: Tensor, key: int, query: int) -> int:
    """The position to swap with a key: of the other tokens that the query sees those alike, the one with most of its
    ``attention`` (T,); then those of the same form, then any; -1 where the key is the only one."""
    names = forms_of(loaded).names
    others = [p for p in range(1, query + 1) if ids[p] != ids[key]] or [p for p in range(query + 1) if p != key]
    form = names[ids[key]][0] if ids[key] in names else ""
    same = [p for p in others if ids[p] in names and names[ids[p]][0] == form]
    if same:
        rows = _reduced(
            _table(loaded)[torch.tensor([ids[key], *(ids[p] for p in same)])].float().cpu(), forms_of(loaded)
        )
        near = (rows[1:] @ rows[0]).tolist()
        same = [p for p, value in zip(same, near, strict=True) if value >= LEAST * max(near)] or same
    return max(same or others, key=lambda p: float(attention[p]), default=-1)


def themed(word: str) -> tuple[str, list[str]]:
    """The kind of the bundled corpus that a word belongs to, and its other words; "" and none where it is in none."""
    for theme in themes():
        for kind in theme.kinds:
            if word in kind.words:
                return kind.name, [w for w in kind.words if w != word]
    return "", []
