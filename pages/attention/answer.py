"""Why this token: the answer line, the attribution bars, and the swap with what the whole model makes of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from dash import Input, Output, State, callback, clientside_callback, ctx, html, no_update

from analysis.errors import UserError
from analysis.qk.ops.prompt import AttentionRow
from analysis.qk.ops.swap import SwapPrediction, SwapRow
from components.kit.figure_card import blank
from components.qk.figures import attribution_bars, prediction_bars, swap_bars
from pages.attention.heads import settings_of
from pages.attention.state import features_of, rank_of
from pages.common import attempt, refusal, spec_of

MOST = 48


def on_head(reading: dict[str, Any], head: dict[str, int]) -> dict[str, Any]:
    """The arguments that say which head of which reading."""
    return {
        "model": spec_of(reading["model"]),
        "text": reading["text"],
        "chat": reading["chat"],
        "generate": reading["generate"],
        **head,
    }


def fitted_features(features: Any, fitted: Any) -> list[Any]:
    """(index, contrast) of the features that have been fitted."""
    flags = (fitted or {}).get("flags", [])
    return [(i, f) for i, (f, done) in enumerate(zip(features_of(features), flags, strict=False)) if done]


def shown_positions(attention: np.ndarray, visible: int, keep: int, drop_first: bool) -> list[int]:
    """The positions drawn: all of them in a short prompt, else those with most attention, in order, and ``keep``."""
    positions = list(range(1 if drop_first and visible > 2 else 0, visible))
    if len(positions) <= MOST:
        return positions
    best = sorted(positions, key=lambda i: -attention[i])[:MOST]
    return sorted({*best, *([keep] if keep in positions else [])})


@callback(
    Output("answer", "children"),
    Output("asked", "data"),
    Output("bars", "figure"),
    Output("bars-caption", "children"),
    Output("bars-error", "children"),
    Output({"settings": "bars"}, "data"),
    Input("reading", "data"),
    Input("head", "data"),
    Input("query", "data"),
    Input("key", "data"),
    Input("fitted", "data"),
    Input("side", "value"),
    Input("reference", "value"),
    Input("reference-token", "value"),
    Input("unit", "value"),
    Input("orthogonalise", "value"),
    Input("skip-first", "value"),
    Input("active", "value"),
    Input("rank", "value"),
    Input("manual-rank", "value"),
    State("features", "data"),
    State("theme", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def explain(
    reading: Any,
    head: Any,
    query: Any,
    key: Any,
    fitted: Any,
    side: str,
    reference: str,
    token: Any,
    unit: str,
    orthogonalise: bool,
    skip_first: bool,
    active: Any,
    rank: Any,
    manual: bool,
    features: Any,
    theme: str,
    session: str,
) -> tuple[Any, ...]:
    """The sentence, the bars and the sum check of one query and key."""
    if not reading or not head or query is None or query >= len(reading["labels"]):
        return (no_update,) * 6
    chosen = fitted_features(features, fitted)
    result, panel = attempt(
        lambda: AttentionRow(
            **on_head(reading, head),
            query=query,
            key=-1 if key is None else key,
            features=tuple(f for _, f in chosen),
            ranks=tuple(rank_of(rank, manual and i == active) for i, _ in chosen),
            side=side,
            orthogonalise=bool(orthogonalise),
            reference=reference,
            reference_token=int(token or 0),
            skip_first=bool(skip_first),
        ),
        session,
        "row",
        AttentionRow,
    )
    if result is None:
        return panel, None, blank(400), "", None, no_update
    facts, arrays = result.data, result.arrays
    asked = facts["key"]
    scale = 1.0 if unit == "nats" else 1.0 / facts["scaling"]
    parts = arrays["parts"] * np.float32(scale)
    shown = shown_positions(arrays["attention"], query + 1, asked, bool(skip_first))
    against = {
        "others": "difference to the mean of the other candidates",
        "token": "difference to the chosen token",
        "none": "not a difference: features may hold the mean key, which says nothing about this token",
    }[reference]
    unit_name = "nats" if unit == "nats" else "raw logit"
    figure = attribution_bars(parts, facts["names"], reading["labels"], shown, asked, unit_name, theme)
    notes = [
        f"{against[0].upper() + against[1:]}, in {unit_name}, split on the {side} side."
        if side != "both"
        else f"{against[0].upper() + against[1:]}, in {unit_name}, split on both sides."
    ]
    if len(facts["names"]) > 1:
        notes.append("Features take their share in the order of the list; what overlaps goes to the first.")
    if facts["softcap"]:
        notes.append(f"This model caps its logits at ±{facts['softcap']:g} afterwards; the bars are before the cap.")
    if len(shown) < query + 1 - bool(skip_first):
        notes.append(f"The {len(shown)} tokens with most attention of {query + 1} are drawn.")
    if skip_first:
        notes.append("The first token is left out, here and in the mean.")
    if facts["names"]:
        notes.append(f"Sum check: parts and remainder differ from the raw logit by at most {facts['sum_error']:.1e}.")
    settings = settings_of(
        reading,
        **head,
        query=query,
        key=asked,
        side=side,
        reference=reference,
        unit=unit_name,
        features=[f.to_dict() for _, f in chosen],
        ranks=facts["ranks"],
        orthogonalise=orthogonalise,
        first_token_left_out=skip_first,
    )
    return html.P(facts["sentence"]), asked, figure, " ".join(notes), None, settings


@callback(
    Output("reference-token", "options"),
    Output("swap-a", "options"),
    Output("swap-b", "options"),
    Input("reading", "data"),
    Input("query", "data"),
    prevent_initial_call=True,
)
def token_options(reading: Any, query: Any) -> tuple[Any, Any, Any]:
    """Tokens that the query can see, for the pickers."""
    if not reading or query is None:
        return [], [], []
    options = [{"label": f"{i} {label}", "value": i} for i, label in enumerate(reading["labels"][: query + 1])]
    return options, options, options


@callback(
    Output("swap-a", "value"),
    Output("swap-b", "value"),
    Input("asked", "data"),
    State("swap-b", "value"),
    State("query", "data"),
    prevent_initial_call=True,
)
def swap_defaults(asked: int | None, b: int | None, query: int | None) -> tuple[Any, Any]:
    """Swap the token that was asked about, with another that the query sees."""
    if asked is None or query is None:
        return no_update, no_update
    usable = b is not None and b != asked and b <= query
    other = next((i for i in range(query - 1, 0, -1) if abs(i - asked) > 1), 0 if asked else 1)
    return asked, no_update if usable else other


@callback(
    Output("swap", "figure"),
    Output("swap-caption", "children"),
    Output("swap-error", "children"),
    Output({"settings": "swap"}, "data"),
    Output("prediction", "figure"),
    Output("prediction-caption", "children"),
    Output({"settings": "prediction"}, "data"),
    Input("tab", "active_tab"),
    Input("reading", "data"),
    Input("head", "data"),
    Input("query", "data"),
    Input("swap-a", "value"),
    Input("swap-b", "value"),
    Input("fitted", "data"),
    Input("active", "value"),
    Input("rank", "value"),
    Input("manual-rank", "value"),
    Input("ask-model", "n_clicks"),
    State("features", "data"),
    State("theme", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def what_if(
    tab: str,
    reading: Any,
    head: Any,
    query: Any,
    a: Any,
    b: Any,
    fitted: Any,
    active: Any,
    rank: Any,
    manual: bool,
    _clicks: Any,
    features: Any,
    theme: str,
    session: str,
) -> tuple[Any, ...]:
    """Attention of this head after the swap; on demand, what the whole model predicts with that head so changed."""
    if tab != "swap" or not reading or not head or query is None or a is None or b is None:
        return (no_update,) * 7
    feature = dict(fitted_features(features, fitted)).get(active)
    nothing = (blank(380, "Fit a feature first"), "", None, no_update, blank(380), "", no_update)
    if feature is None:
        return nothing
    arguments = {**on_head(reading, head), "query": query, "a": a, "b": b, "feature": feature}
    try:
        arguments["rank"] = rank_of(rank, manual)
    except UserError as error:
        return nothing[0], "", refusal(error, SwapRow), no_update, no_update, no_update, no_update
    settings = settings_of(reading, **head, query=query, a=a, b=b, feature=feature.to_dict(), rank=arguments["rank"])
    if ctx.triggered_id == "ask-model":
        result, panel = attempt(lambda: SwapPrediction(**arguments), session, "swap-model")
        if result is None:
            return no_update, no_update, panel, no_update, no_update, no_update, no_update
        facts = result.data
        caption = (
            f"After token {query}, with this one head attending by the swapped row and everything else the "
            "model's own. "
            f"KL to the unswapped prediction {facts['kl']:.2e} nats; a random subspace of rank {facts['rank']} gives "
            f"{facts['kl_random']:.2e}. One head of many often changes little."
        )
        return no_update, no_update, None, no_update, prediction_bars(facts, theme), caption, settings
    result, panel = attempt(lambda: SwapRow(**arguments), session, "swap")
    if result is None:
        return nothing[0], "", panel, no_update, no_update, no_update, no_update
    facts, arrays = result.data, result.arrays
    others = np.argsort(-np.maximum(arrays["before"], arrays["after"]))
    shown = [a, b, *[int(i) for i in others if i not in (a, b) and i <= query][:6]]
    labels = reading["labels"]
    first, second = facts["a"], facts["b"]
    rule = (
        " (the energy rule's)"
        if facts["rank"] == facts["rule_rank"]
        else f" (the energy rule gives {facts['rule_rank']})"
    )
    caption = (
        f"Rank {facts['rank']}{rule} of {facts['width']}. “{labels[a]}” goes from {first[0]:.1%} to "
        f"{first[1]:.1%} of the "
        f"attention, “{labels[b]}” from {second[0]:.1%} to {second[1]:.1%}; {facts['draws']} random subspaces "
        "of the same "
        f"rank leave them at {first[3]:.1%} and {second[3]:.1%} (medians). Keys are swapped for this query of "
        "this head "
        "only; the read-out is the head's own attention."
    )
    figure = swap_bars(arrays["before"], arrays["after"], arrays["band"], labels, shown, theme)
    return (
        figure,
        caption,
        None,
        {**settings, "rank": facts["rank"]},
        blank(380),
        "Press “Ask the whole model”.",
        no_update,
    )


# A bar is a token, so a click opens the token card of it.
clientside_callback(
    "dash_clientside.attune_token.bar",
    Output("strip-sink", "title"),
    Input("prediction", "clickData"),
    prevent_initial_call=True,
)
