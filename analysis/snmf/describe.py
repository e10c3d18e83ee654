"""What features are about, in words, from the tokens that use them: no judge, only counts of activation.

A feature's tokens are those on which much of its strong activation lies compared with their share of the text; its
theme is where its activation lies compared with the corpus. Whether a name may call a feature by a theme is decided by
the low end of the theme's share over the passages that the feature effectively comes from, so that three passages never
look like a theme.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.activations.fits import place_of_row

LARGEST, PER_PASSAGE, RANDOM = 24, 2, 4
"""Contexts kept of each feature: its largest, at most two of one passage; and some drawn from all that are active."""
NEAR = 12
"""Tokens before and after a context's own whose activations are kept."""
ACTIVE = 0.1
"""A feature is active on a token from this share of its typical large activation on."""
TOKENS = 20
ONE_TOKEN, FEW_TEXTS, PURE_LIFT = 0.5, 6.0, 3.0
_Z = 1.96


@dataclass(frozen=True)
class Index:
    """Which token of which passage each activation is: ``tokens``, ``documents``, ``positions`` (n,) int32."""

    tokens: Tensor
    documents: Tensor
    positions: Tensor


@dataclass(frozen=True)
class Description:
    """``rows``: plain data, one for each feature. ``arrays``: places and values, (K, …) each; ``themes``: their names,
    the columns of ``arrays["themes"]``."""

    rows: list[dict[str, Any]]
    arrays: dict[str, Tensor]
    themes: list[str]


def describe(
    activations: Tensor, index: Index, themes_of: Sequence[str], labels: Callable[[list[int]], list[str]], seed: int = 0
) -> Description:
    """Describe features by their activations (n, K) >= 0 on tokens of passages with the themes ``themes_of``.

    ``labels`` turns token ids into texts. Arrays: ``place`` (K, 24, 2) document and position of the largest
    activations, ``value`` (K, 24); ``near`` (K, 24, 25) uint8, activations of the tokens around in 255ths of the
    largest; the same with ``random_`` for four active tokens drawn evenly; ``deciles`` (K, 11) of the activations of
    active tokens; ``scale`` (K,) the typical large activation; ``active`` (K,) share of tokens; ``themes`` (K, T).
    """
    n, count = activations.shape
    generator = torch.Generator().manual_seed(seed)
    largest = _largest(activations, index.documents)
    value = activations.gather(0, largest.clamp(min=0).T).T.masked_fill(largest < 0, 0.0)
    places = (largest >= 0).sum(1).clamp(min=1)
    scale = value.sum(1) / places
    on = (activations >= ACTIVE * scale) & (activations > 0)
    mass = activations * on
    drawn = torch.full((count, RANDOM), -1, dtype=torch.long)
    deciles = torch.zeros(count, 11)
    for k in range(count):
        places = on[:, k].nonzero()[:, 0]
        if len(places):
            chosen = places[torch.randperm(len(places), generator=generator)[:RANDOM]]
            drawn[k, : len(chosen)] = chosen
            deciles[k] = torch.quantile(activations[places[:100_000], k], torch.linspace(0, 1, 11))
    top = activations.amax(0).clamp(min=1e-12)
    names = sorted(set(themes_of))
    theme = torch.tensor([names.index(t) for t in themes_of])[index.documents.long()]
    shares, base = _shares(mass, theme, len(names)), torch.bincount(theme, minlength=len(names)) / n
    place = {"": largest, "random_": drawn}
    arrays = {f"{p}place": place_of_row(index.documents, index.positions, rows) for p, rows in place.items()}
    arrays |= {f"{p}near": _near(activations / top, index, rows) for p, rows in place.items()}
    arrays["random_value"] = activations.gather(0, drawn.clamp(min=0).T).T.masked_fill(drawn < 0, 0.0)
    arrays |= {"value": value, "deciles": deciles, "scale": scale, "active": on.float().mean(0), "themes": shares}
    tokens, token_shares = _tokens(mass, index.tokens)
    texts = _effective(_shares(mass, index.documents.long(), len(themes_of)))
    words = [labels([i for i in row if i >= 0]) for row in tokens.tolist()]
    rows = []
    for k in range(count):
        row = _judged(words[k], float(token_shares[k]), float(texts[k]), shares[k], base, names)
        rows.append({"feature": k, "active": round(float(arrays["active"][k]), 6), "on": words[k], **row})
    return Description(rows, arrays, names)


def lower_share(share: float, total: float) -> float:
    """Lower end of Wilson's 95 % interval of a share of ``total`` independent cases."""
    if total <= 0:
        return 0.0
    s = _Z * _Z / total
    return (share + s / 2 - _Z * math.sqrt(share * (1 - share) / total + s / total / 4)) / (1 + s)


def _largest(activations: Tensor, documents: Tensor) -> Tensor:
    """Rows (K, 24) of the largest activations, at most two of one passage, -1 where there are no more."""
    n, count = activations.shape
    best = activations.T.contiguous().topk(min(n, 40 * LARGEST), 1)
    largest = torch.full((count, LARGEST), -1, dtype=torch.long)
    numbers = documents[best.indices].tolist()
    for k in range(count):
        seen: dict[int, int] = {}
        at = 0
        for j, (row, size) in enumerate(zip(best.indices[k].tolist(), best.values[k].tolist(), strict=True)):
            document = numbers[k][j]
            if size <= 0 or at == LARGEST:
                break
            if seen.get(document, 0) < PER_PASSAGE:
                seen[document] = seen.get(document, 0) + 1
                largest[k, at] = row
                at += 1
    return largest


def _near(relative: Tensor, index: Index, rows: Tensor) -> Tensor:
    """Activations around some rows (K, C), as (K, C, 2 NEAR + 1) uint8 in 255ths; 0 for tokens that were not read."""
    key = index.documents.long().numpy() * 2**22 + index.positions.long().numpy()
    order = np.argsort(key)
    wanted = torch.from_numpy(key)[rows.clamp(min=0)][..., None] + torch.arange(-NEAR, NEAR + 1)
    at = np.searchsorted(key[order], wanted.numpy()).clip(max=len(key) - 1)
    near = torch.from_numpy(order[at])
    good = (torch.from_numpy(key)[near] == wanted) & (rows >= 0)[..., None]
    values = relative[near, torch.arange(len(rows))[:, None, None]]
    return (255 * values * good).round().clamp(0, 255).to(torch.uint8)


def _shares(mass: Tensor, code: Tensor, count: int) -> Tensor:
    """Share (K, count) of each feature's activation (n, K) on tokens with each code (n,)."""
    sums = torch.zeros(count, mass.shape[1]).index_add_(0, code, mass)
    shares: Tensor = (sums / sums.sum(0).clamp(min=1e-12)).T.contiguous()
    return shares


def _effective(shares: Tensor) -> Tensor:
    """Effective number (K,) of things with shares (K, C): the exponential of the entropy."""
    number: Tensor = torch.special.entr(shares).sum(1).exp()
    return number


def _tokens(mass: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Token ids (K, 20) that stand out in each feature, -1 for none, and the largest share (K,) that one token has.

    Ordered by p ln(p / q)^2 where p > q: p is the token's share of the squared activation, q its share of the text. The
    square of the activation lets the strong ones speak, and that of the logarithm keeps frequent tokens from leading
    wherever a feature is weakly active on everything; p alone keeps rare accidents from leading.
    """
    vocabulary, code = tokens.long().unique(return_inverse=True)
    shares = _shares(mass.square(), code, len(vocabulary))
    base = torch.bincount(code, minlength=len(vocabulary)) / len(code)
    gain = shares * (shares / base).clamp(min=1).log().square()
    best = gain.topk(min(TOKENS, len(vocabulary)), 1)
    ids = vocabulary[best.indices].masked_fill(best.values <= 0, -1)
    return ids.int(), shares.max(1).values


def _judged(
    labels: Sequence[str], token_share: float, texts: float, shares: Tensor, base: Tensor, names: Sequence[str]
) -> dict[str, Any]:
    """Label, theme, purity and the words for a search of one feature."""
    low = [
        lower_share(float(s), texts) / max(float(b), 1e-9) if n else 0.0
        for s, b, n in zip(shares, base, names, strict=True)
    ]
    best = max(range(len(names)), key=low.__getitem__)
    theme, purity = (names[best], float(shares[best])) if low[best] > 1 else ("", 0.0)
    common = ", ".join(_words(labels)[:4]) or "blanks"
    telling = ", ".join(telling_words(labels)[:4]) or common
    if not labels:
        character, label = "silent", "active on no token"
    elif token_share >= ONE_TOKEN:
        character, label = "token", f"“{labels[0].replace('␣', ' ').strip() or labels[0]}”"
    elif texts < FEW_TEXTS:
        character, label = "few texts", f"few texts: {telling}"
    elif low[best] >= PURE_LIFT:
        character, label = "theme", f"{theme}: {telling}"
    else:
        character, label = "tokens", common
    plain = [t.replace("␣", " ").strip() for t in labels]
    return {
        "label": label,
        "character": character,
        "top": list(labels[:8]),
        "theme": theme,
        "purity": round(purity, 4),
        "texts": round(texts, 1),
        "words": " ".join(dict.fromkeys([label, theme, *plain])).lower(),
    }


_FUNCTION = frozenset(
    "a an the and or but if so as at by for from in into of off on onto out over to under up upon via with without "
    "about after before than then that this these those there here it its he his him she her hers they their them we "
    "our us you your my me mine i am is are was were be been being do does did done has have had having will would can "
    "could may might must shall should not no nor only just also very too such some any each other own same when while "
    "where which who whom whose what how all both more most many much s t m d ll re ve".split()
)
"""Words that say nothing of a theme, and what is left of them behind an apostrophe."""


def telling_words(labels: Sequence[str]) -> list[str]:
    """The words of a theme: those that begin with a space and carry content first, then pieces of words, then the
    rest; all in their order. Where none of the first four carries any, they are what the feature is about."""
    begins = {w.replace("␣", " ").strip().lower() for w in labels if w.startswith("␣")}

    def rank(word: str) -> int:
        low = word.lower().lstrip("'’")
        return 2 if low in _FUNCTION or len(low) < 2 else int(word.lower() not in begins)

    words = _words(labels)
    return sorted(words, key=rank) if any(rank(word) < 2 for word in words[:4]) else words


def label_of(row: dict[str, Any]) -> str:
    """The label of a described feature; one that was kept with words that tell nothing of its theme is worded anew."""
    label = str(row["label"])
    head, colon, _ = label.partition(": ")
    if not colon or head not in ("few texts", row.get("theme")):
        return label
    return f"{head}: {', '.join(telling_words(row.get('on') or row['top'])[:4])}"


def _words(labels: Sequence[str]) -> list[str]:
    """Tokens that can be read, in order, each once whatever its case; the others only where there are none."""
    plain = [w.replace("␣", " ").strip() for w in labels]
    readable = {w.lower(): w for w in reversed(plain) if "‹" not in w and any(c.isalnum() for c in w)}
    order = dict.fromkeys(w.lower() for w in plain)
    return [readable[w] for w in order if w in readable] or [w for w in dict.fromkeys(plain) if w]
