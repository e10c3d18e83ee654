"""Which head: the grid of all heads, the list of the best, the opened head's matrix and token strips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from dash import ALL, Input, Output, State, callback, clientside_callback, ctx, html, no_update

from analysis.qk.ops.features import FeatureScores, feature_name
from analysis.qk.ops.prompt import HeadAttention
from components.kit.cells import pack_cells
from components.kit.panels import failure
from components.qk.figures import head_grid
from pages.attention.reading import SCORE_NAMES
from pages.attention.state import features_of
from pages.common import attempt, client, spec_of

# What the attention itself does comes first: a gap in the logits, or a race won by a hair, need not move it.
FEATURE_SCORES = {
    "gap": ("contrast", "attention contrast: {}"),
    "trace": ("trace_nats", "logit gap, nats: {}"),
    "z": ("trace_z", "gap in null sd: {}"),
    "hits": ("hits", "share won: {}"),
}


@dataclass(frozen=True)
class HeadScore:
    """A score of every head: ``values`` (L, H), its name, whether it is signed, and for a feature's logit scores what
    attention its matching keys get, ``matching`` (L, H); below ``looks`` it counts as none. ``chance``: the share won
    if keys came in any order."""

    values: np.ndarray
    name: str
    signed: bool
    matching: np.ndarray | None = None
    chance: float | None = None
    looks: float = 0.1

    @property
    def order(self) -> np.ndarray:
        """By what heads are ranked: heads that hardly look at their matching keys come after those that do."""
        if self.matching is None:
            return self.values
        finite = self.values[np.isfinite(self.values)]
        lift = float(np.ptp(finite)) + 1.0 if finite.size else 1.0
        order: np.ndarray = self.values + lift * (self.matching >= self.looks)
        return order


@callback(
    Output("score", "options"),
    Output("score", "value"),
    Input("fitted", "data"),
    State("features", "data"),
    State("score", "value"),
)
def score_options(fitted: dict[str, Any], features: Any, value: str) -> tuple[Any, Any]:
    """Scores of the prompt, and of every fitted feature."""
    options = [{"label": label, "value": name} for name, label in SCORE_NAMES.items()]
    for i, (feature, done) in enumerate(zip(features_of(features), fitted["flags"], strict=False)):
        if done:
            options += [
                {"label": text.format(feature_name(feature)), "value": f"{short}:{i}"}
                for short, (_, text) in FEATURE_SCORES.items()
            ]
    # A link may ask for the score of a feature whose fit is still being looked up: keep it until that is known.
    known = {o["value"] for o in options} | ({value} if not fitted["flags"] else set())
    return options, value if value in known else "induction"


def scores_for(reading: dict[str, Any], score: str, features: Any) -> HeadScore | None:
    """The chosen score; None if it cannot be had."""
    if score in SCORE_NAMES:
        values = np.array([[np.nan if v is None else v for v in row] for row in reading["scores"][score]], float)
        return HeadScore(values, SCORE_NAMES[score], False)
    short, _, index = score.partition(":")
    chosen = features_of(features)
    if short not in FEATURE_SCORES or not index.isdigit() or int(index) >= len(chosen):
        return None
    field, text = FEATURE_SCORES[short]
    result, _ = attempt(lambda: FeatureScores(spec_of(reading["model"]), chosen[int(index)]))
    if result is None:
        return None
    return HeadScore(
        result.arrays[field].astype(float),
        text.format(feature_name(chosen[int(index)])),
        short != "hits",
        None if short == "gap" else result.arrays["matching"].astype(float),
        result.data["chance"] if short == "hits" else None,
        result.data["looks"],
    )


def score_caption(found: HeadScore, short: str) -> str:
    """What a reader must know of a score before ranking heads by it."""
    text = "Click a head to open it."
    if not np.isfinite(found.values).any():
        if short in SCORE_NAMES:
            return "Nothing in this prompt repeats, so there is no induction score. Choose another score."
        if short == "z":
            return "Too few relabellings fitted into memory for a null. Take the logit gap."
        return "This score is not defined for this feature: its other keys lie in another prompt. Take the logit gap."
    if found.chance is not None:
        text += (
            f" Share won: how often all matching keys get more attention than any other key, by however little; by "
            f"chance {found.chance:.0%}."
        )
    if found.matching is not None:
        text += f" Heads that give their matching keys less than {found.looks:.0%} of their attention are ranked last."
    return text


@callback(
    Output("grid", "figure"),
    Output("grid-caption", "children"),
    Output("top-heads", "children"),
    Output({"settings": "grid"}, "data"),
    Input("reading", "data"),
    Input("score", "value"),
    Input("grid-mode", "value"),
    Input("grid-ranked", "value"),
    Input("head", "data"),
    Input("fitted", "data"),
    State("features", "data"),
    State("theme", "data"),
    prevent_initial_call=True,
)
def show_grid(
    reading: Any, score: str, mode: str, ranked: bool, head: Any, _fitted: Any, features: Any, theme: str
) -> tuple[Any, ...]:
    """All heads in one picture, and the eight best by name."""
    if not reading:
        return no_update, no_update, no_update, no_update
    found = scores_for(reading, score, features)
    if found is None and score not in SCORE_NAMES:
        score = "induction"
        found = scores_for(reading, score, features)
    if found is None:
        return no_update, no_update, no_update, no_update
    thumbnails = None
    if mode == "patterns":
        stored = client().store.get(reading["key"])
        thumbnails = None if stored is None else stored.arrays["thumbnails"]
    chosen = (head["layer"], head["head"]) if head else None
    values, name = found.values, found.name
    figure = head_grid(values, name, theme, chosen, thumbnails, bool(ranked), found.signed, found.order)
    caption = score_caption(found, score.partition(":")[0])
    if thumbnails is not None and np.isfinite(values).any():
        caption = (
            "Each cell is a head's attention on this prompt, queries down and keys across, max-pooled; "
            "brightness is the square root of the share. " + caption
        )
    settings = {"score": name, **settings_of(reading)}
    return figure, caption, _top(found.order, name, chosen, values, found.matching), settings


def settings_of(reading: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What made a figure of this page, for its export."""
    return {
        "model": reading["model"],
        "prompt": reading["text"],
        "chat_template": reading["chat"],
        "generated": reading["generate"],
        **more,
    }


def _top(
    order: np.ndarray,
    name: str,
    chosen: tuple[int, int] | None,
    values: np.ndarray | None = None,
    matching: np.ndarray | None = None,
) -> list[Any]:
    """Buttons of the eight heads that come first in ``order`` (L, H), with their ``values`` and, where the score is not
    attention itself, with the attention that their matching keys get."""
    values = order if values is None else values
    places = np.argsort(np.where(np.isnan(order), -np.inf, order), axis=None)[::-1][:8]
    cells = [divmod(int(i), values.shape[1]) for i in places if np.isfinite(values.ravel()[i])]
    buttons = [
        html.Button(
            f"L{layer} H{head}  {values[layer, head]:.2f}"
            + ("" if matching is None else f", attention {matching[layer, head]:.0%}"),
            id={"top-layer": layer, "top-head": head},
            className="attune-button" + (" attune-chosen" if (layer, head) == chosen else ""),
            type="button",
        )
        for layer, head in cells
    ]
    return [html.Span("highest:", className="attune-note"), *buttons]


clientside_callback(
    "dash_clientside.attune.headClick",
    Output("head", "data", allow_duplicate=True),
    Input("grid", "clickData"),
    State("grid", "figure"),
    prevent_initial_call=True,
)


@callback(
    Output("head", "data", allow_duplicate=True),
    Input({"top-layer": ALL, "top-head": ALL}, "n_clicks"),
    prevent_initial_call=True,
)
def choose_top(clicks: list[int | None]) -> Any:
    """A head chosen from the list of the best."""
    if not any(clicks) or not ctx.triggered_id:
        return no_update
    return {"layer": ctx.triggered_id["top-layer"], "head": ctx.triggered_id["top-head"]}


@callback(
    Output("packed", "data"),
    Output("matrix-caption", "children"),
    Output({"settings": "matrix"}, "data"),
    Output("tokens-title", "children"),
    Input("reading", "data"),
    Input("head", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def open_head(reading: Any, head: Any, session: str) -> tuple[Any, ...]:
    """The attention of one head, packed for the browser, which draws it and shades the tokens."""
    if not reading or not head:
        return no_update, no_update, no_update, no_update
    result, panel = attempt(
        lambda: HeadAttention(spec_of(reading["model"]), reading["text"], reading["chat"], reading["generate"], **head),
        session,
        "matrix",
    )
    if result is None:
        return None, panel or failure("No attention to show."), no_update, "Tokens"
    packed = pack_cells(result.arrays["cells"]) | result.data
    step = packed["step"] * packed["max"] / 255
    caption = (
        f"Shown in steps of {step:.2g}; rows are queries, columns the keys that they attend to. Click a "
        "cell to ask why. Without the first token, the colours are scaled to the rest."
    )
    if packed["pool"] > 1:
        caption = f"Max-pooled {packed['pool']} × {packed['pool']} tokens per cell. " + caption
    return (
        packed,
        caption,
        settings_of(reading, **head, step=step),
        f"Tokens, layer {head['layer']}, head {head['head']}",
    )


clientside_callback(
    "(packed, skip, reading, t) => dash_clientside.attune.heatmap(packed, reading, t, 'head', skip)",
    Output("matrix", "figure"),
    Input("packed", "data"),
    Input("skip-first", "value"),
    State("reading", "data"),
    State("templates", "data"),
    prevent_initial_call=True,
)
clientside_callback(
    "dash_clientside.attune.cellClick",
    Output("query", "data", allow_duplicate=True),
    Output("key", "data", allow_duplicate=True),
    Input("matrix", "clickData"),
    State("packed", "data"),
    prevent_initial_call=True,
)
clientside_callback(
    "dash_clientside.attune.tokens",
    Output("strip-sink", "children"),
    Input("reading", "data"),
    Input("packed", "data"),
    Input("query", "data"),
    Input("asked", "data"),
    Input("skip-first", "value"),
    prevent_initial_call=True,
)
