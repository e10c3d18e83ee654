"""All heads by what was asked of a predicted token: what they write towards it, by what it falls without them, where
they look. The MLPs stand in the same picture and the same list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.qk.answers.prompt import Reading
from analysis.qk.answers.token import HeadSources, TokenAblation, TokenHeads, TokenPatch, TokenPath
from components.kit.figure import figure
from components.kit.labels import numbered
from components.kit.theme import CATEGORIES
from components.kit.view import Control, Drawing, view
from components.qk.controls import measured
from components.qk.figures import shown_positions
from components.qk.heads import HeadOptions, HeadScore, heads_drawing

TOKEN_SCORES = {
    "falls": "matters: by what the predicted token falls without it (nats)",
    "writes": "writes: what it adds to the predicted token itself (nats)",
    "pair": "looks: attention of the chosen pair",
    "weighted": "looks, by length: share of what it writes",
    "from-key": "writes from the chosen key (nats)",
}
"""Scores that begin at a predicted token or at a pair, by short name."""
BASELINES = {"zero": "at zero", "mean": "at its mean", "resampled": "as in other texts (mean of three)"}
_TAKEN = {
    "output": "output",
    "pattern": "pattern",
    "query": "queries",
    "key": "keys",
    "value": "values",
}
SMALL = 0.1
"""Below it in size, a score is written with four decimals."""
_SHOWN = 3
_GAP = 0.1
"""Tokens of another prompt that a caption names, and nats by which prompts must differ for a share to be given."""
_REFUSED = "Only where heads look is known of this model."


def token_score(answer: TokenHeads, short: str) -> HeadScore:
    """A score of a predicted token or a pair; KeyError for none of TOKEN_SCORES, and for "falls"."""
    values = {
        "writes": answer.writes,
        "pair": answer.attention,
        "weighted": answer.weighted,
        "from-key": answer.from_key,
    }
    signed = short in ("writes", "from-key")
    nowhere = f"{answer.refused} {_REFUSED}" if answer.refused else "Choose a key: click a token below the question."
    mlps = answer.mlps.astype(float) if short == "writes" and answer.split else None
    found = values[short].astype(float)
    return HeadScore(found, TOKEN_SCORES[short], signed, nowhere=nowhere, mlps=mlps, said=_said(answer, short))


def _said(answer: TokenHeads, short: str) -> str:
    split, words = answer.split, answer.target.words
    if short == "pair":
        return f"Attention of token {answer.target.query} to token {answer.key}. {spread(answer.attention)}"
    if split is None:
        return ""
    if short == "weighted":
        return (
            f"Share of token {answer.key} in the lengths of what a head writes at token {answer.target.query}. "
            f"{spread(answer.weighted)}"
        )
    if short == "from-key":
        return f"What a head writes towards {words} from token {answer.key}. {spread(answer.from_key)}"
    constant = f", biases {split.constant:+.1f}" if abs(split.constant) >= 0.05 else ""
    return (
        f"{words}: {split.total:+.1f} = heads {np.nansum(answer.writes):+.1f}, MLPs {np.nansum(answer.mlps):+.1f}, "
        f"embedding {split.embedding:+.1f}{constant} (remainder {abs(split.remainder):.0e}). By chance: a head "
        f"{split.chance_heads:.1f}, an MLP {split.chance_mlps:.1f}. {split.note}"
    ).strip()


def spread(values: np.ndarray) -> str:
    """Where a head drawn at random lies, in a sentence."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return ""
    low, high = np.quantile(finite, [0.05, 0.95])
    digits = decimals(finite)
    return f"90 % of heads: {low:.{digits}f} to {high:.{digits}f}."


def decimals(values: np.ndarray) -> int:
    """How many decimals tell values apart: two, and more where all are small."""
    finite = np.abs(values[np.isfinite(values)])
    return 2 if not finite.size or finite.max() >= SMALL else 4


def ablation_score(answer: TokenAblation) -> HeadScore:
    """By how much the token falls without each head and MLP."""
    how = ", to first order," if answer.estimated else ""
    said = (
        f"{answer.target.words}, {answer.total:+.1f}: its fall{how} with one output {BASELINES[answer.baseline]}. "
        f"{spread(answer.heads)}"
    )
    return HeadScore(answer.heads.astype(float), TOKEN_SCORES["falls"], True, mlps=answer.mlps.astype(float), said=said)


def patch_score(answer: TokenPatch, labels: Sequence[str]) -> HeadScore:
    """By how much the token falls with each part made as in another prompt. ``labels``: this prompt's tokens."""
    shown = list(zip(answer.differ, answer.others, strict=True))[:_SHOWN]
    words = ", ".join(f"“{labels[i]}” → “{other}”" for i, other in shown if i < len(labels))
    more = f" and {len(answer.differ) - _SHOWN} more" if len(answer.differ) > _SHOWN else ""
    where = "" if answer.at < 0 else f" at token {answer.at}"
    part = "one part’s" if answer.what == "output" else "one head’s"
    said = (
        f"{answer.target.words}: {answer.total:+.1f} here, {answer.other_total:+.1f} in the other prompt "
        f"({words}{more}). Its fall with {part} {_TAKEN[answer.what]} taken from there{where}. {spread(answer.heads)}"
    )
    mlps = answer.mlps.astype(float) if np.isfinite(answer.mlps).any() else None
    return HeadScore(answer.heads.astype(float), TOKEN_SCORES["falls"], True, mlps=mlps, said=said)


def patch_sentence(score: HeadScore, answer: TokenPatch, layer: int, head: int) -> str:
    """What the open head's part of the other prompt does, and what share of the prompts' difference that is."""
    found = place_in(score, layer, head)
    if found is None:
        return ""
    place, count, value = found
    gap = answer.total - answer.other_total
    share = f", {value / gap:.0%} of what the prompts differ by" if abs(gap) >= _GAP else ""
    return (
        f"Layer {layer}, head {head}: with its {_TAKEN[answer.what]} from the other prompt {answer.target.words} falls "
        f"by {value:.2f} nats{share}; {'first' if place == 1 else f'number {place}'} of {count} heads."
    )


def path_score(answer: TokenPath) -> HeadScore:
    """By how much the token falls where the change of each part goes straight into one side of one head."""
    how = {**BASELINES, "other": "as in the other prompt"}[answer.baseline]
    there = "" if answer.other_total is None else f" here, {answer.other_total:+.1f} in the other prompt"
    said = (
        f"{answer.target.words}, {answer.total:+.1f}{there}: its fall where one output, {how}, reaches only the "
        f"{answer.side} of layer {answer.layer}, head {answer.head}. {spread(answer.heads)}"
    )
    return HeadScore(answer.heads.astype(float), TOKEN_SCORES["falls"], True, mlps=answer.mlps.astype(float), said=said)


def path_sentence(score: HeadScore, answer: TokenPath, layer: int, head: int) -> str:
    """What the open head does by that way."""
    found = place_in(score, layer, head)
    if found is None:
        return f"From layer {layer}, head {head} no way leads into layer {answer.layer}, head {answer.head}."
    place, count, value = found
    return (
        f"Layer {layer}, head {head}: by the straight way into the {answer.side} of layer {answer.layer}, head "
        f"{answer.head} its change makes {answer.target.words} fall by {value:.{decimals(score.values)}f} nats; "
        f"{'first' if place == 1 else f'number {place}'} of {count} heads."
    )


@view("attention/ways into a head", Reading, TokenPath, options=HeadOptions)
def heads_before(reading: Reading, answer: TokenPath, options: HeadOptions, theme: str) -> Drawing:
    """All earlier heads by what their change does through one side of one head."""
    control = Control("random heads", spread(answer.heads), _spread_numbers(answer.heads))
    return heads_drawing(reading, path_score(answer), options, theme, control)


@view("attention/heads patched", Reading, TokenPatch, options=HeadOptions)
def heads_patched(reading: Reading, answer: TokenPatch, options: HeadOptions, theme: str) -> Drawing:
    """All heads by how much a predicted token falls with each made as in another prompt."""
    control = Control("random heads", spread(answer.heads), _spread_numbers(answer.heads))
    return heads_drawing(reading, patch_score(answer, reading.labels), options, theme, control)


@view("attention/heads of a token", Reading, TokenHeads, options=HeadOptions)
def heads_of_token(reading: Reading, answer: TokenHeads, options: HeadOptions, theme: str) -> Drawing:
    """All heads by what they write towards a predicted token, or by where they look."""
    score = token_score(answer, options.score)
    return heads_drawing(reading, score, options, theme, _control(answer, options.score))


@view("attention/heads taken out", Reading, TokenAblation, options=HeadOptions)
def heads_taken_out(reading: Reading, answer: TokenAblation, options: HeadOptions, theme: str) -> Drawing:
    """All heads by how much a predicted token falls without them."""
    numbers = _spread_numbers(answer.heads)
    control = Control("random heads", spread(answer.heads), numbers)
    return heads_drawing(reading, ablation_score(answer), options, theme, control)


def _control(answer: TokenHeads, short: str) -> Control | None:
    if short == "writes" and answer.split is not None:
        split = answer.split
        text = (
            f"Towards {split.draws} tokens drawn at random, 95 % of the largest heads write at most "
            f"{split.chance_heads:.2f} nats, and of the largest MLPs {split.chance_mlps:.2f}."
        )
        return Control("random tokens", text, {"largest head": split.chance_heads, "largest MLP": split.chance_mlps})
    values = {"pair": answer.attention, "weighted": answer.weighted, "from-key": answer.from_key}.get(short)
    if values is None or not np.isfinite(values).any():
        return None
    return Control("random heads", spread(values), _spread_numbers(values))


def _spread_numbers(values: np.ndarray) -> dict[str, float]:
    low, middle, high = np.nanquantile(values, [0.05, 0.5, 0.95])
    return measured({"5 %": float(low), "median": float(middle), "95 %": float(high)})


def ranking(score: HeadScore, heads: int = 5, mlps: int = 2) -> list[tuple[int, int, float]]:
    """(layer, head or -1 for the MLP, value), highest first, of the highest heads and MLPs and, of a signed score, of
    the part that is most against it."""
    by_head = [(a, b, float(v)) for (a, b), v in np.ndenumerate(score.values) if np.isfinite(v)]
    by_mlp = [] if score.mlps is None else [(a, -1, float(v)) for a, v in enumerate(score.mlps) if np.isfinite(v)]
    by_head.sort(key=lambda part: -part[2])
    by_mlp.sort(key=lambda part: -part[2])
    most = by_head[: heads + (0 if by_mlp else mlps)] + by_mlp[:mlps]
    least = min([*by_head, *by_mlp], key=lambda part: part[2], default=None)
    against = [least] if score.signed and least is not None and least[2] < 0 and least not in most else []
    return sorted(most, key=lambda part: -part[2]) + against


def place_in(score: HeadScore, layer: int, head: int) -> tuple[int, int, float] | None:
    """(place from 1, of how many heads, value) of a head by a score; None where it has none."""
    if not (0 <= layer < score.values.shape[0] and 0 <= head < score.values.shape[1]):
        return None
    value = float(score.values[layer, head])
    finite = score.values[np.isfinite(score.values)]
    return (int((finite > value).sum()) + 1, finite.size, value) if np.isfinite(value) else None


def why_sentence(score: HeadScore, words: str, layer: int, head: int, short: str, estimated: bool = False) -> str:
    """Why a head is open, or what the question says of it. ``estimated``: its fall is."""
    found = place_in(score, layer, head)
    if found is None:
        return ""
    place, count, value = found
    verb = {
        "writes": f"writes {value:+.2f} nats towards {words}",
        "falls": f"without it {words} {'would fall' if estimated else 'falls'} by {value:.2f} nats"
        + (" (to first order)" if estimated else ""),
        "pair": f"gives the chosen key {value:.1%} of its attention",
        "weighted": f"writes {value:.1%} of its length from the chosen key",
        "from-key": f"writes {value:+.2f} nats towards {words} from the chosen key",
        "drawn": f"attends to the drawn cells by {value:.2f} (1: wholly, 0: as to all alike)",
    }[short]
    rank = "first" if place == 1 else f"number {place}"
    name = f"Layer {layer}, head {head}"
    return (
        f"{name}: {verb}, {rank} of {count} heads." if short == "falls" else f"{name} {verb}, {rank} of {count} heads."
    )


@dataclass(frozen=True)
class SourceOptions:
    """``query``: the position that asks; ``key``: the one that is marked; ``skip_first``: the first token is left
    out."""

    query: int
    key: int = -1
    skip_first: bool = True


@view("attention/sources", Reading, HeadSources, options=SourceOptions)
def source_bars(reading: Reading, answer: HeadSources, options: SourceOptions, theme: str) -> Drawing:
    """What one head writes towards a predicted token, by the token that it writes from."""
    visible = options.query + 1
    shown = shown_positions(answer.attention, visible, options.key, options.skip_first)
    ticks = [numbered(reading.labels)[i] for i in shown]
    bars: dict[str, Any] = {
        "type": "bar",
        "x": ticks,
        "y": answer.writes[shown].astype(np.float32),
        "customdata": np.stack([answer.attention[shown], answer.weighted[shown]], 1).astype(np.float32).tolist(),
        "marker": {"color": [CATEGORIES[1] if i == options.key else CATEGORIES[0] for i in shown]},
        "hovertemplate": "%{x}<br>%{y:+.3f} nats<br>attention %{customdata[0]:.1%}, by length %{customdata[1]:.1%}"
        "<extra></extra>",
    }
    notes = [
        f"What this head writes towards {answer.target.words} from each token, in nats: {answer.head_writes:+.2f} in "
        f"all (sum check {answer.error:.0e}). Norms are held as they were."
    ]
    if options.skip_first and visible > 2:
        notes.append(f"The first token, “{reading.labels[0]}”, is left out: {float(answer.writes[0]):+.2f}.")
    if len(shown) < visible - options.skip_first:
        notes.append(f"The {len(shown)} tokens with most attention of {visible} are drawn.")
    across = {"type": "category", "title": {"text": "source token"}, "tickangle": -50, "showgrid": False}
    up = {"title": {"text": "nats"}, "zeroline": True}
    picture = figure([bars], theme, bargap=0.25, xaxis=across, yaxis=up, showlegend=False, uirevision="sources")
    numbers = {"head": answer.head_writes, "sum error": answer.error}
    if 0 <= options.key < visible:
        numbers["from the key"] = float(answer.writes[options.key])
    return Drawing(picture, " ".join(notes), numbers=measured(numbers))
