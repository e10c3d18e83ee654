"""Whether a region is about a theme, a single token, or grammar; what to call it; which tokens stand out in it.

In a small model most regions are about tokens and grammar, and only some about a theme. Telling them apart needs no
judge: the entropy of the tokens of a region's members, and the share of its most frequent theme with the lower end of
that share's interval, so that a handful of points never looks pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from analysis.corpora.passages import Passage

SMALL = 30
"""Regions with fewer members are not judged."""
ONE_TOKEN = 0.5
"""A region is about a single token from this share of its members on."""
PURE_LIFT = 5.0
"""A region is about a theme if even the low end of the theme's share is so many times its share of the corpus."""
NAMED = 1 / 3
"""It has the theme's name only if at least that share of its members is of the theme, again at the low end: five times
as frequent as in the corpus may be one in six where there are many themes."""
SOME_TEXTS = 8.0
"""A region whose members come from fewer texts, effectively, is about those texts and not about a theme."""
PLAIN_LIFT = 3.0
"""Below this, whatever the region has in common is not its theme: grammar, if it leans to any tokens at all."""
Z = 1.96


NO_THEME = "its members lean to no theme; what they have in common may be a part of speech, a place, or nothing"


def meanings(
    region: Tensor, size: Tensor, mass: Tensor, tokens: Tensor, documents: Tensor, passages: Sequence[Passage],
    labels: Sequence[Sequence[str]],
) -> list[dict[str, Any]]:  # fmt: skip
    """One row per region: character and why, score, label, themes, kinds, token statistics, words for a search.

    ``region``, ``tokens``, ``documents`` (N,); ``size``, ``mass`` (K,); ``labels``: of each region, the tokens that
    stand out in it, as texts.
    """
    names, theme_of = _coded([p.theme for p in passages])
    kind_names, kind_of = _coded([f"{p.theme}\t{p.kind}" if p.kind else "" for p in passages])
    theme, kind = theme_of[documents.long()], kind_of[documents.long()]
    base = torch.bincount(theme, minlength=len(names)).double()
    base /= base.sum()
    order = torch.argsort(region, stable=True)
    bounds = [0, *size.cumsum(0).tolist()]
    rows = []
    for k in range(len(size)):
        mine = order[bounds[k] : bounds[k + 1]]
        words = _words(labels[k])
        rows.append(
            {"region": k, "size": len(mine), "mass": float(mass[k]), "texts": _effective(documents[mine])}
            | _tokens(tokens[mine])
            | _theme(theme[mine], base, names)
            | {"kinds": _kinds(kind[mine], kind_names)}
        )
        first = next((w.strip() for w in labels[k] if w.strip()), "a blank or line end")
        rows[-1] |= _judged(rows[-1], words, first)
    return rows


def lifted_tokens(region: Tensor, tokens: Tensor, components: int, count: int = 12) -> tuple[Tensor, Tensor]:
    """Tokens over-represented in each region: ids (K, count), -1 for none, and log-odds over the corpus (K, count).

    Ranked by the z-score of the log-odds ratio with the corpus's frequencies as prior of weight 10 (after Monroe and
    others 2008), so that neither rare accidents nor merely frequent tokens lead. Members are compared with the whole
    corpus and not with its rest: a token that a region holds alone has no count in the rest, and an uncertainty so
    large that the most telling tokens would drop out.
    """
    vocabulary, coded = tokens.long().unique(return_inverse=True)
    everywhere = torch.bincount(coded, minlength=len(vocabulary)).double()
    rate = everywhere / everywhere.sum()
    ids = torch.full((components, count), -1, dtype=torch.int32)
    values = torch.zeros(components, count)
    order = torch.argsort(region, stable=True)
    bounds = [0, *torch.bincount(region, minlength=components).cumsum(0).tolist()]
    for k in range(components):
        mine = torch.bincount(coded[order[bounds[k] : bounds[k + 1]]], minlength=len(vocabulary)).double()
        n = float(mine.sum())
        if not n:
            continue
        here = mine + 10 * rate
        ratio = (here / (n + 10 - here)).log() - (rate / (1 - rate)).log()
        z = (ratio / (1 / here + 1 / everywhere).sqrt()).masked_fill(mine < 2, -math.inf)
        best = z.topk(min(count, len(z)))
        good = best.values > Z
        ids[k, : int(good.sum())] = vocabulary[best.indices[good]].int()
        values[k, : int(good.sum())] = ratio[best.indices[good]].float()
    return ids, values


def lower_share(count: float, total: float) -> float:
    """Lower end of Wilson's 95 % interval of a share."""
    if total <= 0:
        return 0.0
    p, s = count / total, Z * Z / total
    return (p + s / 2 - Z * math.sqrt(p * (1 - p) / total + s / total / 4)) / (1 + s)


def _coded(texts: list[str]) -> tuple[list[str], Tensor]:
    names = sorted(set(texts))
    place = {name: i for i, name in enumerate(names)}
    return names, torch.tensor([place[t] for t in texts], dtype=torch.long)


def _tokens(tokens: Tensor) -> dict[str, float]:
    if not len(tokens):
        return {"entropy": 0.0, "top_share": 0.0}
    shares = tokens.unique(return_counts=True)[1].double() / len(tokens)
    return {"entropy": float(-(shares * shares.log2()).sum()), "top_share": float(shares.max())}


def _words(labels: Sequence[str]) -> list[str]:
    """Tokens that can be read, whole words first: those that begin with a blank and have three letters."""
    texts = [(w.startswith(" ") and sum(map(str.isalpha, w)) >= 3, w.strip()) for w in labels]
    readable = [(whole, w) for whole, w in texts if w.isprintable() and "‹" not in w and any(c.isalnum() for c in w)]
    return [w for whole, w in readable if whole] + [w for whole, w in readable if not whole]


def _effective(documents: Tensor) -> float:
    """Effective number of documents: the exponential of the entropy of the members' documents."""
    if not len(documents):
        return 0.0
    shares = documents.unique(return_counts=True)[1].double() / len(documents)
    return float((-(shares * shares.log()).sum()).exp())


def _theme(theme: Tensor, base: Tensor, names: list[str]) -> dict[str, Any]:
    """The theme with the largest lift at the low end of its share; empty where the corpus has no themes."""
    none = {"theme": "", "purity": 0.0, "purity_low": 0.0, "lift": 0.0, "lift_low": 0.0}
    if not len(theme) or names == [""]:
        return none
    counts = torch.bincount(theme, minlength=len(names)).tolist()
    named = [i for i, name in enumerate(names) if name]
    best = max(named, key=lambda i: lower_share(counts[i], len(theme)) / max(float(base[i]), 1e-9))
    share, low, rate = counts[best] / len(theme), lower_share(counts[best], len(theme)), max(float(base[best]), 1e-9)
    return {"theme": names[best], "purity": share, "purity_low": low, "lift": share / rate, "lift_low": low / rate}


def _kinds(kind: Tensor, names: list[str]) -> list[tuple[str, float]]:
    """Kinds of at least a tenth of the members, "theme: kind"."""
    if not len(kind):
        return []
    values, counts = kind.unique(return_counts=True)
    found = [
        (names[v].replace("\t", ": "), c / len(kind)) for v, c in zip(values.tolist(), counts.tolist(), strict=True)
    ]
    return sorted([(n, s) for n, s in found if n and s >= 0.1], key=lambda f: -f[1])[:6]


def _judged(row: dict[str, Any], words: list[str], token: str) -> dict[str, Any]:
    share = row["top_share"]
    common = ", ".join(dict.fromkeys(words[:4])) or "no token stands out"
    if row["size"] < SMALL:
        character, why, score = "small", f"fewer than {SMALL} members, not judged", 0.0
        label = f"few points: {common}"
    elif share >= ONE_TOKEN:
        character, why, score = "token", f"one token makes {share:.0%} of its members", share
        label = f"“{token}”"
    elif row["texts"] < SOME_TEXTS:
        character, score = "mixed", 0.0
        why = f"its members come from {row['texts']:.1f} texts, effectively"
        label = f"few texts: {common}"
    elif row["lift_low"] >= PURE_LIFT and row["purity_low"] >= NAMED:
        character = "theme"
        why = f"its theme is at least {row['lift_low']:.1f} times as frequent as in the corpus"
        # Many different tokens, and a pure theme: what a broad topic looks like.
        score = row["purity_low"] * min(1.0, row["entropy"] / 6)
        label = f"{row['theme']}: {common}"
    elif row["lift_low"] < PLAIN_LIFT:
        character, score = "grammar", row["size"] / (1 + row["lift"])
        why = NO_THEME
        label = common
    else:
        why = f"leans to {row['theme']}, {row['purity']:.0%} of its members: too few to bear the name"
        character, score = "mixed", row["lift_low"]
        label = common
    if not row["theme"] and character == "grammar":
        why = "the texts have no themes, so only tokens tell what it is"
    search = " ".join([row["theme"], *(name for name, _ in row["kinds"]), *words])
    return {"character": character, "why": why, "score": score, "label": label, "search": search}
