"""Callbacks of steering: the strength at which a feature and its baselines reach a KL, what changes, and texts."""

from __future__ import annotations

import math
from typing import Any

from dash import Input, Output, State, callback, clientside_callback, html, no_update

from analysis.errors import UserError
from analysis.snmf.ops.steer import FeatureEffect, FeatureText
from analysis.steering.answers import NextTokens
from components.kit.next_tokens import next_tokens
from components.kit.panels import user_error
from components.kit.readouts import readouts
from components.kit.token import token
from components.kit.types import Json, Node
from pages.common import attempt, refusal, reply_of, spec_of

NAMES = {
    "feature": "this feature",
    "DiffMean": "DiffMean (supervised)",
    "single neuron": "its largest neuron alone",
    "random sparse": "null: random sparse direction",
    "shuffled neurons": "null: its weights on other neurons",
}
"""What the arms are called, in the order in which they stand."""


@callback(
    Output("mlp-effect", "data"),
    Output("mlp-arms", "children"),
    Output("mlp-effect-said", "children"),
    Output("mlp-next", "figure"),
    Output("mlp-next-caption", "children"),
    Output({"settings": "mlp-next"}, "data"),
    Output("mlp-effect-error", "children"),
    Input("mlp-feature", "data"),
    Input("mlp-pole", "value"),
    Input("mlp-target", "value"),
    Input("mlp-prompt", "value"),
    Input("mlp-tab", "active_tab"),
    Input("theme", "data"),
    State("mlp-facts", "data"),
    State("model", "data"),
    State("session", "data"),
    running=[(Output("mlp-busy", "children"), "finding strengths …", "")],
    prevent_initial_call=True,
)
def show_effect(
    feature: int | None, pole: int, target: Any, text: str | None, tab: str, theme: str, facts: Any, model: Any,
    session: str,
) -> tuple[Any, ...]:  # fmt: skip
    """All arms at the same KL: strengths, whether they were met, what rises and what falls."""
    if not facts or feature is None or tab != "steer":
        return (no_update,) * 7
    result, panel = attempt(
        lambda: FeatureEffect(spec_of(model), facts["fit"], feature, int(pole), target, text or ""),
        session,
        "mlp-effect",
    )
    if result is None:
        return (None, None, "", no_update, no_update, no_update, panel)
    data = result.data
    arms = {a["name"]: a for a in data["arms"]}
    asked = {"fit": facts["fit"], "feature": feature, "pole": int(pole), "target": target, "text": text or ""}
    own = arms["feature"]
    caption = (
        f"After “{(text or '')[-50:]}”, with the feature at strength {_said(own['strength'], '.3g')}, KL "
        f"{_said(own['kl'], '.3f')} nats. "
        "The null, other directions at the same KL, is in the table above."
    )
    shift = NextTokens(*(data[name] for name in ("labels", "ids", "base", "steered", "change")))
    kept = {**asked, "strengths": {n: a["strength"] for n, a in arms.items() if usable(a)}}
    return kept, arms_table(data["arms"]), data["sentence"], next_tokens(shift, theme), caption, asked, None


def usable(arm: dict[str, Any]) -> bool:
    """Whether an arm has a strength with which a text can be written."""
    return arm["strength"] is not None and math.isfinite(arm["strength"]) and arm["strength"] != 0


def arms_table(arms: list[dict[str, Any]]) -> Any:
    """The feature and its baselines, each at the strength where the next token costs the same KL."""
    order = list(NAMES)
    rows = [
        html.Tr(
            [
                html.Th(NAMES.get(a["name"], a["name"])),
                html.Td(_said(a["strength"], ".3g")),
                html.Td(_said(a["kl"], ".3f")),
                html.Td(
                    "met" if a["met"] else "not met",
                    className="attune-good" if a["met"] else "attune-bad",
                    title=a["sentence"],
                ),
                html.Td(_changes(a["up"])),
                html.Td(_changes(a["down"])),
                html.Td(
                    " ".join(filter(None, [a.get("note", ""), "" if a["met"] else a["sentence"]])),
                    className="attune-note",
                ),
            ],
            className="mlp-own" if a["name"] == "feature" else "",
        )
        for a in sorted(arms, key=lambda a: order.index(a["name"]) if a["name"] in order else len(order))
    ]
    head = html.Tr([html.Th(t) for t in ("", "strength", "KL, nats", "target", "rises most", "falls most", "")])
    return html.Table([html.Thead(head), html.Tbody(rows)], className="attune-table")


def _said(value: float | None, shape: str) -> str:
    return "none" if value is None else format(value, shape)


def _changes(rows: list[dict[str, Any]]) -> Any:
    spans = [token(r["token"], r.get("id"), title=f"{r['change']:+.2f}") for r in rows]
    return html.Div(spans, className="attune-words")


@callback(
    Output("mlp-steer-title", "children"),
    Input("mlp-feature", "data"),
    State("mlp-facts", "data"),
)
def name_feature(feature: int | None, facts: Any) -> str:
    """Which feature is steered with: the open one."""
    labels = {r["feature"]: r["label"] for r in (facts or {}).get("rows", [])}
    return "Steer" if feature not in labels else f"Steer with {feature}: {labels[feature]}"


@callback(
    Output("mlp-ask", "data"),
    Output("mlp-write-error", "children"),
    Input("mlp-write", "n_clicks"),
    State("mlp-effect", "data"),
    State("mlp-baseline", "value"),
    State("mlp-length", "value"),
    State("mlp-temperature", "value"),
    State("mlp-top-p", "value"),
    State("mlp-seed", "value"),
    State("mlp-ask", "data"),
    State("model", "data"),
    prevent_initial_call=True,
)
def ask(
    clicks: Any, effect: Any, baseline: str, count: Any, temperature: Any, top_p: Any, seed: Any, before: Any,
    model: Any,
) -> tuple[Any, Any]:  # fmt: skip
    """What the stream is to be asked; checked here, so that a refusal stands where the value was typed."""
    if not clicks:
        return no_update, no_update
    strengths = (effect or {}).get("strengths", {})
    if "feature" not in strengths:
        return no_update, user_error(
            "The feature has no strength for this KL yet. Wait for the table, or lower the KL."
        )
    if baseline != "none" and baseline not in strengths:
        name = NAMES.get(baseline, baseline)
        return no_update, user_error(f"“{name}” has no strength for this KL. Choose another baseline.")
    try:
        operation = FeatureText(
            spec_of(model), effect["fit"], effect["feature"], effect["pole"], strengths["feature"], effect["text"],
            count=count,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
            baseline=baseline,
            baseline_strength=strengths.get(baseline, 0.0),
        )  # fmt: skip
    except UserError as error:
        return no_update, refusal(error, FeatureText)
    turn = (before or {}).get("turn", 0) + 1
    return {"operation": "FeatureText", "params": operation.to_params(), "turn": turn}, None


clientside_callback(
    "dash_clientside.attune_features.write",
    Output("mlp-sink", "children"),
    Input("mlp-ask", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
clientside_callback(
    "dash_clientside.attune_features.stop",
    Output("mlp-sink", "title"),
    Input("mlp-stop", "n_clicks"),
    prevent_initial_call=True,
)


@callback(Output("mlp-readouts", "children"), Input("mlp-written", "data"), prevent_initial_call=True)
def show_readouts(question: Json) -> Node:
    """The numbers beside the texts."""
    return readouts(reply_of(question).answer, "with the feature", "baseline") if question else []


@callback(Output("mlp-control-panel", "hidden"), Input("mlp-baseline", "value"))
def show_baseline(baseline: str) -> bool:
    """The third text only takes room when there is one."""
    return baseline == "none"
