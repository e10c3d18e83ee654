"""All heads in one picture: by a score of the prompt or of a feature, or as thumbnails of their attention.

A score says by itself how heads are ranked by it: a gap in the logits, or a race won by a hair, need not move the
attention, so heads that hardly look at their matching keys come last.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analysis.qk.answers.features import FeatureHeads
from analysis.qk.answers.prompt import Reading
from components.kit.figure import Figure, figure
from components.kit.labels import escaped
from components.kit.png import CIVIDIS, png_uri
from components.kit.theme import DIVERGING, SEQUENTIAL
from components.kit.view import Control, Drawing, view
from components.qk.controls import heads_control, measured

SCORE_NAMES = {
    "induction": "induction: attention to what followed this token before",
    "previous": "previous token: attention one step back",
    "sink": "sink: attention on the first token",
    "entropy": "entropy of attention (nats)",
    "self": "attention on the token itself",
    "distance": "distance of attention that is not on the first token (tokens)",
}
ENOUGH = 0.05
"""Attention that is not on the first token, with less of which no distance is given: that of a rest."""
# What the attention itself does comes first.
FEATURE_SCORES = {
    "gap": "attention contrast: {}",
    "trace": "logit gap, nats: {}",
    "z": "gap in null sd: {}",
    "hits": "share won: {}",
}


@dataclass(frozen=True)
class HeadScore:
    """A score of every head: ``values`` (L, H), its name, whether it is signed, and for a feature's logit scores what
    attention its matching keys get, ``matching`` (L, H); below ``looks`` it counts as none. ``chance``: the share won
    if keys came in any order. ``nowhere``: why it is not defined, where no head has it. ``mlps`` (L,): the same of the
    MLPs, for a score that they have. ``said``: a caption of its own. ``beside`` (L, H): the same on the prompt, where
    the score itself is not of the prompt. ``few``: said of heads below ``looks`` in place of that they come last."""

    values: np.ndarray
    name: str
    signed: bool
    matching: np.ndarray | None = None
    chance: float | None = None
    looks: float = 0.1
    nowhere: str = "Nothing in this prompt repeats, so there is no induction score."
    mlps: np.ndarray | None = None
    said: str = ""
    beside: np.ndarray | None = None
    few: str = ""

    @property
    def order(self) -> np.ndarray:
        """By what heads are ranked: heads that hardly look at their matching keys come after those that do."""
        if self.matching is None:
            return self.values
        finite = self.values[np.isfinite(self.values)]
        lift = float(np.ptp(finite)) + 1.0 if finite.size else 1.0
        order: np.ndarray = self.values + lift * (self.matching >= self.looks)
        return order

    @property
    def best(self) -> list[tuple[int, int]]:
        """(layer, head) of the eight heads that come first."""
        order = self.order
        places = np.argsort(np.where(np.isnan(order), -np.inf, order), axis=None)[::-1][:8]
        return [divmod(int(i), order.shape[1]) for i in places if np.isfinite(self.values.ravel()[i])]

    @property
    def caption(self) -> str:
        """What a reader must know of a score before ranking heads by it."""
        if not np.isfinite(self.values).any():
            return self.nowhere
        sentences = [self.said] if self.said else []
        if self.chance is not None:
            sentences.append(
                "Share won: how often all matching keys get more attention than any other key, by however little; by "
                f"chance {self.chance:.0%}."
            )
        if self.matching is not None:
            sentences.append(
                self.few
                or f"Heads that give their matching keys less than {self.looks:.0%} of their attention are ranked last."
            )
        return " ".join(sentences)


def prompt_score(reading: Reading, short: str) -> HeadScore:
    """A score of the prompt itself; KeyError for none of SCORE_NAMES."""
    values = {
        "induction": reading.induction,
        "previous": reading.previous,
        "sink": reading.sink,
        "entropy": reading.entropy,
        "self": reading.itself,
        "distance": np.full_like(reading.entropy, np.nan) if reading.distance is None else reading.distance,
    }[short]
    score = HeadScore(values.astype(float).round(4), SCORE_NAMES[short], False)
    return beyond_first(score, reading.sink) if short == "distance" else score


def beyond_first(score: HeadScore, sink: np.ndarray) -> HeadScore:
    """A score of distance with the share of attention that it is of, (L, H) less ``sink``; NaN where that is little."""
    share = 1 - sink.astype(float)
    few = f"Heads with less than {ENOUGH:.0%} of their attention there have none. Attention: the share that is there."
    values = np.where(share >= ENOUGH, score.values, np.nan)
    return replace(score, values=values, matching=share, looks=ENOUGH, few=few, nowhere=few)


def feature_score(heads: FeatureHeads, short: str, feature: str) -> HeadScore:
    """A score of a feature, which is called ``feature``; KeyError for none of FEATURE_SCORES."""
    values = {"gap": heads.contrast, "trace": heads.trace_nats, "z": heads.trace_z, "hits": heads.hits}[short]
    return HeadScore(
        values.astype(float),
        FEATURE_SCORES[short].format(feature),
        short != "hits",
        None if short == "gap" else heads.matching.astype(float),
        heads.chance if short == "hits" else None,
        heads.looks,
        "Too few relabellings fitted into memory for a null. Take the logit gap."
        if short == "z"
        else "This score is not defined for this feature: its other keys lie in another prompt. Take the logit gap.",
        said=f"Measured on the {heads.examples:,} examples of the feature, not on your prompt.",
    )


@dataclass(frozen=True)
class HeadOptions:
    """``score``: its short name; ``feature``: what the feature is called, if it is one of a feature; ``patterns``:
    thumbnails in place of numbers; ``ranked``: in order of the score; ``chosen``: (layer, head) of the opened head."""

    score: str = "induction"
    feature: str = ""
    patterns: bool = False
    ranked: bool = False
    chosen: tuple[int, int] | None = None


@view("attention/heads", Reading, options=HeadOptions)
def heads_of_prompt(reading: Reading, options: HeadOptions, theme: str) -> Drawing:
    """All heads by a score of the prompt."""
    return heads_drawing(reading, prompt_score(reading, options.score), options, theme, None)


@view("attention/heads of a feature", Reading, FeatureHeads, options=HeadOptions)
def heads_of_feature(reading: Reading, heads: FeatureHeads, options: HeadOptions, theme: str) -> Drawing:
    """All heads by a score of a feature."""
    score = feature_score(heads, options.score, options.feature)
    at = options.chosen or next(iter(score.best), None)
    return heads_drawing(reading, score, options, theme, heads_control(heads, options.score, at))


def heads_drawing(
    reading: Reading, score: HeadScore, options: HeadOptions, theme: str, control: Control | None
) -> Drawing:
    """All heads by a score, with its caption and the numbers of the best."""
    thumbnails = reading.thumbnails if options.patterns else None
    mlps = None if options.patterns else score.mlps
    picture = head_grid(
        score.values, score.name, theme, options.chosen, thumbnails, options.ranked, score.signed, score.order, mlps,
        score.beside,
    )  # fmt: skip
    caption = score.caption
    there = bool(np.isfinite(score.values).any())
    if options.patterns and there:
        caption = (
            "Each cell is a head's attention on this prompt, queries down and keys across, max-pooled; "
            "brightness is the square root of the share. " + caption
        )
    hint = "Click a head to open it." if there and score.mlps is None else ""
    numbers = head_numbers(score, options.chosen)
    return Drawing(picture, caption.strip(), control=control, numbers=numbers, hint=hint)


def head_numbers(score: HeadScore, chosen: tuple[int, int] | None) -> dict[str, float]:
    """The score of the head that is open, and those of the best."""
    heads = [*([chosen] if chosen else []), *score.best]
    there = [at for at in heads if all(0 <= i < n for i, n in zip(at, score.values.shape, strict=True))]
    return measured({f"layer {layer} head {head}": float(score.values[layer, head]) for layer, head in there})


def head_grid(
    scores: np.ndarray,
    name: str,
    theme: str,
    chosen: tuple[int, int] | None,
    thumbnails: np.ndarray | None = None,
    ranked: bool = False,
    signed: bool = False,
    order: np.ndarray | None = None,
    mlps: np.ndarray | None = None,
    beside: np.ndarray | None = None,
) -> Figure:
    """All heads in one picture: a score per cell, or a thumbnail of each head's attention, by place or by rank.

    ``scores`` (L, H) with NaN for layers without attention; ``thumbnails`` uint8 (L, H, s, s). In rank order, cells run
    from the highest score, or the highest ``order`` (L, H) if that is given, left to right and then down. Each cell's
    customdata is (layer, head). ``mlps`` (L,): one more row below the heads, whose head is -1; colours are scaled to
    the heads. ``beside`` (L, H): a second value for the words that stand at a cell.
    """
    layers, heads = scores.shape
    where = np.stack(np.meshgrid(np.arange(layers), np.arange(heads)), -1)  # (H, L, 2): heads down, layers across
    values, thumbs = scores.T, None if thumbnails is None else thumbnails.transpose(1, 0, 2, 3)
    finite = values[np.isfinite(values)]
    by = values if order is None else order.T
    if mlps is not None:
        values, by = np.concatenate([values, mlps[None]]), np.concatenate([by, mlps[None]])
        last = np.stack([np.arange(layers), np.full(layers, -1)], -1)
        where, heads = np.concatenate([where, last[None]]), heads + 1
    if ranked:
        places = np.argsort(np.where(np.isnan(by), -np.inf, by), axis=None)[::-1]
        where = where.reshape(-1, 2)[places].reshape(where.shape)
        values = values.ravel()[places].reshape(values.shape)
        thumbs = None if thumbs is None else thumbs.reshape(-1, *thumbs.shape[2:])[places].reshape(thumbs.shape)
    text = [
        [
            f"layer {a}, {'MLP' if b < 0 else f'head {b}'}<br>{escaped(name, 40)}: {v:.3f}"
            + ("" if beside is None or b < 0 else f"<br>on this prompt: {beside[a, b]:.3f}")
            for (a, b), v in zip(line, row, strict=True)
        ]
        for line, row in zip(where.tolist(), values.tolist(), strict=True)
    ]
    top = float(np.abs(finite).max()) if finite.size else 1.0
    low = -top if signed else min(0.0, float(finite.min())) if finite.size else 0.0
    trace = {
        "type": "heatmap",
        "z": values.astype(np.float32),
        "customdata": where.astype(np.int32).tolist(),
        "text": text,
        "hovertemplate": "%{text}<extra></extra>",
        "colorscale": DIVERGING if signed else SEQUENTIAL,
        "zmin": low,
        "zmax": top if top > low else low + 1,
        "xgap": 1,
        "ygap": 1,
        "colorbar": {
            "title": {"text": escaped(name.split(":")[0].split(", over")[0], 30), "side": "right"},
            "thickness": 12,
            "outlinewidth": 0,
        },
    }
    images: list[Any] = []
    if thumbs is not None:
        trace |= {"opacity": 0.0, "showscale": False, "xgap": 0, "ygap": 0}
        images = [
            {
                "source": png_uri(_mosaic(thumbs), CIVIDIS),
                "xref": "x",
                "yref": "y",
                "x": -0.5,
                "y": -0.5,
                "sizex": layers,
                "sizey": heads,
                "sizing": "stretch",
                "layer": "below",
                "xanchor": "left",
                "yanchor": "top",
            }
        ]
    shapes = []
    at = np.argwhere((where == np.array(chosen)).all(-1)) if chosen else np.zeros((0, 2), int)
    for row, column in at.tolist():
        shapes.append(
            {
                "type": "rect",
                "x0": column - 0.5,
                "x1": column + 0.5,
                "y0": row - 0.5,
                "y1": row + 0.5,
                "line": {"color": "#D55E00", "width": 3},
            }
        )
    ticks = {"showgrid": False, "zeroline": False, "dtick": max(1, layers // 15)}
    x_axis = {**ticks, "title": {"text": "layer"}, "range": [-0.5, layers - 0.5]}
    y_axis = {
        "showgrid": False,
        "zeroline": False,
        # Of few heads each has its number; of more plotly gives as many as there is room for.
        **({"dtick": 1} if heads <= 4 else {}),
        **({} if mlps is None else _with_mlp(heads)),
        "title": {"text": "head"},
        "range": [heads - 0.5, -0.5],
    }
    if ranked:
        x_axis |= {
            "title": {"text": "heads from the highest score (left to right, then down)"},
            "showticklabels": False,
        }
        y_axis |= {"title": {"text": ""}, "showticklabels": False}
    return figure([trace], theme, xaxis=x_axis, yaxis=y_axis, images=images, shapes=shapes, uirevision="heads")


def _with_mlp(rows: int) -> dict[str, Any]:
    """Ticks of the heads, and the name of the last row."""
    step = max(1, (rows - 1) // 4)
    heads = list(range(0, rows - 1 - step // 2, step))
    return {"tickvals": [*heads, rows - 1], "ticktext": [*map(str, heads), "MLP"]}


def _mosaic(thumbs: np.ndarray) -> np.ndarray:
    """(H, L, s, s) as one picture with a line of black between cells."""
    heads, layers, size, _ = thumbs.shape
    canvas = np.zeros((heads, size + 1, layers, size + 1), np.uint8)
    canvas[:, :size, :, :size] = thumbs.transpose(0, 2, 1, 3)
    return canvas.reshape(heads * (size + 1), layers * (size + 1))
