"""Callbacks of steering: the strength at which a feature and its baselines reach a KL, what changes, and texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from dash import Input, Output, State, callback, clientside_callback, html, no_update

from analysis.engine.client import Reply
from analysis.errors import UserError
from analysis.models.spec import ModelSpec
from analysis.snmf.answers.steering import FeatureTexts, SteeringArm, TokenChange
from analysis.snmf.ops.steer import FeatureEffect, FeatureText
from analysis.snmf.steer import FeatureSteer
from components.kit.card import UNCHANGED
from components.kit.panels import user_error
from components.kit.readouts import readouts
from components.kit.token import token
from components.kit.types import Json, Node, Outputs, Typed
from components.kit.written import TextsOptions, digest_of
from components.snmf.evidence import arms_verdict
from components.snmf.figures import PromptEnd, number_or_none, steered_next
from components.snmf.parts import ARM_NAMES, arm_rows, feature_texts, in_order
from pages.cards import content, ref_of
from pages.common import ask_for, refusal, reply_of, spec_of
from pages.frame.proposals import facts_of
from pages.mlp_features.cards import ARMS, NEXT, TEXTS
from pages.mlp_features.state import START_CHAT, Start, table_of


@callback(
    Output("mlp-chat", "value"),
    Output("mlp-prompt", "value"),
    Output("mlp-chat-said", "children"),
    Input("model", "data"),
    State("mlp-start", "data"),
    State("session", "data"),
)
def propose_prompt(model: Json, start: Json, session: str) -> tuple[Typed, ...]:
    """A chat model opens on a question in its chat template, where the address names no prompt. The bundled model opens
    on a plain prompt, as do the results in docs/mlp-features.md."""
    facts = facts_of(model, session, "mlp-prompt-proposal")
    if facts is None or spec_of(model) == ModelSpec() or not Start.from_dict(start).fresh or not facts.chat_template:
        return no_update, no_update, ""
    return True, START_CHAT, "This model has a chat template: the prompt is put into it as the user's turn."


@callback(
    output={
        "effect": Output("mlp-effect", "data"),
        "arms": Output("mlp-arms", "children"),
        "rows": ARMS.ref,
        "sentence": Output("mlp-effect-said", "children"),
        "next": NEXT.outputs,
        "problem": Output("mlp-effect-error", "children"),
    },
    inputs={
        "feature": Input("mlp-feature", "data"),
        "pole": Input("mlp-pole", "value"),
        "target": Input("mlp-target", "value"),
        "text": Input("mlp-prompt", "value"),
        "chat": Input("mlp-chat", "value"),
        "tab": Input("mlp-tab", "active_tab"),
        "theme": State("theme", "data"),
        "question": State("mlp-facts", "data"),
        "model": State("model", "data"),
        "session": State("session", "data"),
    },
    running=[(Output("mlp-busy", "children"), "finding strengths …", "")],
    prevent_initial_call=True,
)
def show_effect(
    feature: int | None, pole: int, target: Typed, text: str | None, chat: bool, tab: str, theme: str, question: Json,
    model: Json, session: str,
) -> Outputs:  # fmt: skip
    """All arms at the same KL: strengths, whether they were met, what rises and what falls."""
    table = table_of(question)
    if table is None or feature is None or tab != "steer":
        return {"next": UNCHANGED, **dict.fromkeys(("effect", "arms", "rows", "sentence", "problem"), no_update)}
    fit, number = table.answer.fit, feature
    reply, panel = ask_for(
        lambda: FeatureEffect(spec_of(model), fit, number, int(pole), target, text or "", bool(chat)),
        session,
        "mlp-effect",
    )
    if reply is None:
        return {"effect": None, "arms": None, "rows": None, "sentence": "", "next": UNCHANGED, "problem": panel}
    options = PromptEnd((text or "")[-50:])
    return {
        "effect": asdict(reply.question),
        "arms": arms_table(reply.answer.arms),
        "sentence": [html.Strong(verdict), f" {reply.answer.sentence}"]
        if (verdict := arms_verdict(reply.answer))
        else reply.answer.sentence,
        "rows": ref_of(arm_rows, reply, options=options),
        "next": content(steered_next, reply, options=options, theme=theme),
        "problem": None,
    }


def arms_table(arms: Sequence[SteeringArm]) -> Node:
    """The feature and its baselines, each at the strength where the next token costs the same KL."""
    rows = [
        html.Tr(
            [
                html.Th(ARM_NAMES.get(arm.name, arm.name)),
                html.Td(number_or_none(arm.strength, ".3g")),
                html.Td(number_or_none(arm.kl, ".3f")),
                html.Td(
                    "met" if arm.met else "not met",
                    className="attune-good" if arm.met else "attune-bad",
                    title=arm.sentence,
                ),
                html.Td(_changes(arm.up)),
                html.Td(_changes(arm.down)),
                html.Td(" ".join(filter(None, [arm.note, "" if arm.met else arm.sentence])), className="attune-note"),
            ],
            className="mlp-own" if arm.name == "feature" else "",
        )
        for arm in in_order(arms)
    ]
    head = html.Tr([html.Th(t) for t in ("", "strength", "KL, nats", "target", "rises most", "falls most", "")])
    return html.Table([html.Thead(head), html.Tbody(rows)], className="attune-table")


def _changes(rows: Sequence[TokenChange]) -> Node:
    spans = [token(r.token, r.id, title=f"{r.change:+.2f}") for r in rows]
    return html.Div(spans, className="attune-words")


@callback(
    Output("mlp-steer-title", "children"),
    Input("mlp-feature", "data"),
    State("mlp-facts", "data"),
)
def name_feature(feature: int | None, question: Json) -> str:
    """Which feature is steered with: the open one."""
    table = table_of(question)
    labels = {} if table is None else {r.feature: r.label for r in table.answer.rows}
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
    clicks: int | None, effect: Json, baseline: str, count: Typed, temperature: Typed, top_p: Typed, seed: Typed,
    before: Json, model: Json,
) -> tuple[Json, Node]:  # fmt: skip
    """What the stream is to be asked; checked here, so that a refusal stands where the value was typed."""
    if not clicks:
        return no_update, no_update
    reply = reply_of(effect) if effect else None
    strengths = {} if reply is None else {arm.name: arm.strength for arm in reply.answer.arms if arm.usable}
    if reply is None or "feature" not in strengths:
        return no_update, user_error(
            "The feature has no strength for this KL yet. Wait for the table, or lower the KL."
        )
    if baseline != "none" and baseline not in strengths:
        name = ARM_NAMES.get(baseline, baseline)
        return no_update, user_error(f"“{name}” has no strength for this KL. Choose another baseline.")
    of = FeatureEffect.from_params(reply.question.params)
    try:
        operation = FeatureText(
            spec_of(model), of.fit, of.feature, of.pole, strengths.pop("feature"), of.text,
            count=count,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
            baseline=baseline,
            baseline_strength=strengths.get(baseline, 0.0),
            chat=of.chat,
        )  # fmt: skip
    except UserError as error:
        return no_update, refusal(error, FeatureText)
    turn = (before or {}).get("turn", 0) + 1
    # What the token card and the Attention page steer by: the same feature, at this KL.
    steer = FeatureSteer(of.fit, of.feature, of.pole, of.target).to_dict()
    return {"operation": "FeatureText", "params": operation.to_params(), "turn": turn, "steer": steer}, None


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


@callback(
    Output("mlp-readouts", "children"),
    Output("mlp-written-ref", "data"),
    Input("mlp-written", "data"),
    prevent_initial_call=True,
)
def show_readouts(question: Json) -> tuple[Node, Json]:
    """The numbers beside the texts."""
    if not question:
        return [], None
    reply: Reply[FeatureTexts] = reply_of(question)
    ref = ref_of(feature_texts, reply, options=options_of(reply)) | {"turn": question.get("turn")}
    return readouts(reply.answer, "with the feature", "baseline"), ref


def options_of(reply: Reply[FeatureTexts]) -> TextsOptions:
    """What the view of these texts says of their question, and which texts they are."""
    asked = FeatureText.from_params(reply.question.params)
    strengths = [(f"feature {asked.feature}", asked.strength)]
    if asked.baseline != "none":
        strengths.append((asked.baseline, asked.baseline_strength))
    return TextsOptions(asked.text, tuple(strengths), asked.baseline, digest_of(reply.answer))


# Figures of older texts stay grey until those of the texts on the screen have come.
clientside_callback(
    "(ref) => dash_clientside.attune.figuresCame('mlp', ref)",
    Output("mlp-stop", "lang"),
    Input("mlp-written-ref", "data"),
    prevent_initial_call=True,
)
# While a text is being written, there is none that could be pinned.
clientside_callback(
    "dash_clientside.attune.refOfWritten",
    TEXTS.ref,
    Input("mlp-written-ref", "data"),
    Input("mlp-ask", "data"),
    Input("mlp-colour", "value"),
)


@callback(Output("mlp-control-panel", "hidden"), Input("mlp-baseline", "value"))
def show_baseline(baseline: str) -> bool:
    """The third text only takes room when there is one."""
    return baseline == "none"
