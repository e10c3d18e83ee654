"""Callbacks of the texts: when to write, the stream in the browser, and the readouts when it has ended."""

from __future__ import annotations

from dash import Input, Output, State, callback, clientside_callback, ctx, no_update

from analysis.engine.client import Reply
from analysis.errors import UserError
from analysis.mfa.answers.steering import SteeredTexts
from analysis.mfa.ops.steer import SteerText
from analysis.mfa.settings import SteeringSettings
from analysis.models.spec import ModelSpec
from components.kit.card import UNCHANGED, Card, Panel
from components.kit.readouts import figures_of, readouts
from components.kit.types import Json, Node, Outputs, Typed
from components.kit.written import TextsOptions, digest_of
from components.mfa.evidence import control_said
from components.mfa.parts import steered_texts
from components.mfa.steering_figures import price_per_token, region_presence
from pages.cards import content, ref_of
from pages.common import refusal, reply_of, spec_of
from pages.frame.proposals import facts_of
from pages.steering.state import START_CHAT

PRICE = Card("price", "Price of each token", 300, start="Write a text first")
PRESENCE = Card("presence", "Is the region in the text?", 300, start="Write a text first")
TEXTS = Panel("written-texts", "Texts")
WRITTEN = "texts"
"""The writer of this page (assets/frame/writer.js): what names it in data-figures-of is grey while it writes."""


@callback(
    Output("steer-chat", "value"),
    Output("steer-prompt", "value"),
    Output("chat-said", "children"),
    Input("model", "data"),
    State("start-steer", "data"),
    State("session", "data"),
)
def propose_prompt(model: Json, start: Json, session: str) -> tuple[Typed, ...]:
    """A chat model opens on a question in its chat template, where the address names no prompt. The bundled model opens
    on a plain prompt, as do the results in docs/steering.md."""
    facts = facts_of(model, session, "prompt-proposal")
    if facts is None or spec_of(model) == ModelSpec() or not (start or {}).get("fresh") or not facts.chat_template:
        return no_update, no_update, ""
    return True, START_CHAT, "This model has a chat template: the prompt is put into it as the user's turn."


@callback(
    Output("ask-text", "data"),
    Output("stream-error-panel", "children"),
    Input("write", "n_clicks"),
    Input("steer", "data"),
    State("write-on-release", "value"),
    State("steer-prompt", "value"),
    State("steer-chat", "value"),
    State("count", "value"),
    State("temperature", "value"),
    State("top-p", "value"),
    State("seed", "value"),
    State("control", "value"),
    State("control-equal", "value"),
    State("positive", "value"),
    State("negative", "value"),
    State("ask-text", "data"),
    State("model", "data"),
    prevent_initial_call=True,
)
def ask(
    _clicks: int | None, steer: Json, on_release: bool, text: str | None, chat: bool, count: Typed, temperature: Typed,
    top_p: Typed, seed: Typed, control: str, equal: str, positive: str | None, negative: str | None, before: Json,
    model: Json,
) -> tuple[Json, Node]:  # fmt: skip
    """What the stream is to be asked; checked here, so that a refusal stands where the value was typed."""
    if not steer or (ctx.triggered_id == "steer" and not on_release):
        return no_update, no_update
    try:
        operation = SteerText(
            spec_of(model), text or "", bool(chat), SteeringSettings.from_dict(steer),
            count, temperature, top_p, seed, control, positive or "", negative or "", equal=equal,
        )  # fmt: skip
    except UserError as error:
        return no_update, refusal(error, SteerText)
    params = operation.to_params()
    if ctx.triggered_id == "steer" and before and before["params"] == params:
        return no_update, None
    return {"params": params, "turn": (before or {}).get("turn", 0) + 1}, None


clientside_callback(
    "dash_clientside.attune.startStream",
    Output("steer-sink", "children"),
    Input("ask-text", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
clientside_callback(
    "dash_clientside.attune.stopStream",
    Output("steer-sink", "title"),
    Input("stop", "n_clicks"),
    prevent_initial_call=True,
)


@callback(
    output={
        "table": Output("readouts", "children"),
        "base": Output("base-figures", "children"),
        "steered": Output("steered-figures", "children"),
        "control": Output("control-figures", "children"),
        "price": PRICE.outputs,
        "presence": PRESENCE.outputs,
        "texts": Output("written-ref", "data"),
    },
    inputs={"question": Input("written", "data"), "theme": State("theme", "data")},
    prevent_initial_call=True,
)
def show_readouts(question: Json, theme: str) -> Outputs:
    """The numbers beside the texts that the browser has just got."""
    if not question:
        rest = dict.fromkeys(("table", "base", "steered", "control", "texts"), no_update)
        return rest | {"price": UNCHANGED, "presence": UNCHANGED}
    reply: Reply[SteeredTexts] = reply_of(question)
    options, texts = options_of(reply), reply.answer
    strengths = ", ".join(f"{strength:.3g}" for _, strength in options.strengths)
    control = control_said(reply.question.params.get("equal", "length"), options, texts.control_note)
    return {
        "table": readouts(texts, "steered", f"control: {control}"),
        "base": figures_of(texts.base),
        "steered": figures_of(texts.steered, f"strength {strengths}" if strengths else "nothing is moved"),
        "control": None if texts.control is None else figures_of(texts.control, control),
        "price": content(price_per_token, reply, options=options, theme=theme),
        "presence": content(region_presence, reply, options=options, theme=theme),
        "texts": ref_of(steered_texts, reply, options=options) | {"turn": question.get("turn")},
    }


def options_of(reply: Reply[SteeredTexts]) -> TextsOptions:
    """What the views of these texts say of their question, and which texts they are."""
    asked = SteerText.from_params(reply.question.params)
    strengths = tuple((f"region {r.region}", r.strength) for r in asked.steer.regions if not r.idle)
    strengths += tuple((v.name, v.strength) for v in asked.steer.vectors if v.strength)
    return TextsOptions(asked.text, strengths, asked.control, digest_of(reply.answer), when=asked.steer.when)


# Figures that belong to the texts on the screen are shown as theirs; those of older texts stay grey.
clientside_callback(
    f"(ref) => dash_clientside.attune.figuresCame('{WRITTEN}', ref)",
    Output("readouts", "role"),
    Input("written-ref", "data"),
    prevent_initial_call=True,
)
# While a text is being written, there is none that could be pinned.
clientside_callback(
    "dash_clientside.attune.refOfWritten",
    TEXTS.ref,
    Input("written-ref", "data"),
    Input("ask-text", "data"),
    Input("colour", "value"),
)


@callback(Output("control-panel", "hidden"), Output("control-equal-row", "hidden"), Input("control", "value"))
def show_control(control: str) -> tuple[bool, bool]:
    """The third text only takes room when there is one."""
    return control == "none", control == "none"
