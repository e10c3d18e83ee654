"""Callbacks of "What is this token?": regions and the split of every token of a text, and one token's two segments."""

from __future__ import annotations

from dataclasses import asdict

from dash import ALL, Input, Output, State, callback, ctx, html, no_update

from analysis.engine.client import Reply
from analysis.mfa.answers.regions import TokenParts
from analysis.mfa.ops.regions import ExplainTokens
from analysis.view_ref import QuestionRef
from components.kit.card import UNCHANGED, Card, Panel
from components.kit.panels import user_error
from components.kit.types import Json, Node, Outputs
from components.mfa.parts import token_regions
from components.mfa.region_figures import TokenOptions, token_parts, two_segments
from pages.cards import content, ref_of
from pages.common import ask_for, reply_of, spec_of

PARTS = Card("token-parts", "Centroid, local offset and rest")
SEGMENTS = Card("segments", "Two segments")
TEXT = Panel("token-text", "Text")


@callback(
    Output("explained", "data"),
    Output("explained-token", "data"),
    Output("explain-error", "children"),
    Input("explain", "n_clicks"),
    Input("region-fit", "value"),
    Input("rotation", "value"),
    State("explain-text", "value"),
    State("model", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def explain(
    _clicks: int | None, fit: str | None, rotation: str, text: str | None, model: Json, session: str
) -> tuple[Json, Json, Node]:
    """Every token of the text, split."""
    if not fit:
        return no_update, no_update, no_update
    reply, panel = ask_for(lambda: ExplainTokens(spec_of(model), fit, text or "", rotation), session, "explain")
    if reply is None:
        return no_update, no_update, panel
    return asdict(reply.question), _longest(reply.answer), None


def _longest(parts: TokenParts) -> int:
    """The token to open on: the one with the longest local offset that lies within what the fit has seen."""
    places = range(min(parts.outside, len(parts.labels) - 1), len(parts.labels))
    return max(places, key=lambda i: parts.local[i])


def _within(parts: TokenParts, token: int) -> int:
    """A token of this text: a click may still be one in the figure of a longer text before it."""
    return min(token, len(parts.labels) - 1)


@callback(
    Output("explained-token", "data", allow_duplicate=True),
    Input({"part": ALL}, "n_clicks"),
    Input("token-parts", "clickData"),
    State("explained-token", "data"),
    prevent_initial_call=True,
)
def choose(_clicks: Json, click: Json, chosen: int | None) -> Json:
    """Choose a token on the strip or in the figure."""
    if isinstance(ctx.triggered_id, dict):
        place = ctx.triggered_id["part"] if ctx.triggered[0]["value"] else None
    else:
        place = (click or {}).get("points", [{}])[0].get("pointNumber")
    return place if isinstance(place, int) and place != chosen else no_update


@callback(
    output={
        "strip": Output("token-strip", "children"),
        "facts": Output("token-facts", "children"),
        "parts": PARTS.outputs,
        "segments": SEGMENTS.outputs,
        "like": Output("steer-like", "disabled"),
        "text": TEXT.ref,
    },
    inputs={
        "question": Input("explained", "data"),
        "token": Input("explained-token", "data"),
        "theme": State("theme", "data"),
    },
    prevent_initial_call=True,
)
def show(question: Json, token: int | None, theme: str) -> Outputs:
    """Strip, sentence and both figures of the chosen token."""
    if not question or token is None:
        rest = dict.fromkeys(("strip", "facts", "like", "text"), no_update)
        return {"parts": UNCHANGED, "segments": UNCHANGED, **rest}
    reply: Reply[TokenParts] = reply_of(question)
    options = TokenOptions(_within(reply.answer, token))
    return {
        "strip": strip(reply.answer, options.token, reply.question.params["text"]),
        "facts": facts(reply.answer, options.token),
        "parts": content(token_parts, reply, options=options, theme=theme),
        "segments": content(two_segments, reply, options=options, theme=theme),
        "like": False,
        "text": ref_of(token_regions, reply, options=options),
    }


def strip(parts: TokenParts, chosen: int, text: str) -> Node:
    """The tokens of a text, shaded by how sure they are of their region."""
    buttons = [
        html.Button(
            label,
            id={"part": n},
            className="attune-token attune-tok" + (" attune-picked" if n == chosen else ""),
            type="button",
            **{"data-token-position": str(n), "data-token-soft": ""},
            title=f"{region}: {name}",
            style={"--shade": round(0.8 * share * (n >= parts.outside), 3)},
        )
        for n, (label, region, name, share) in enumerate(
            zip(parts.labels, parts.region, parts.region_labels, parts.responsibility, strict=True)
        )
    ]
    # The token card needs the text; the wrapper that holds it has no box of its own.
    return [html.Div(buttons, style={"display": "contents"}, **{"data-token-text": text})]


def facts(parts: TokenParts, i: int) -> Node:
    """Where a token lies, in a sentence."""
    square = max(parts.norm[i] ** 2, 1e-12)
    return html.P(
        [
            html.Strong(f"“{parts.labels[i]}”"),
            f" lies in region {parts.region[i]} (",
            html.Strong(parts.region_labels[i]),
            f") with responsibility {parts.responsibility[i]:.3f}; next is {parts.second[i]} "
            f"({parts.second_labels[i]}) with {parts.second_share[i]:.3f}. Of its squared distance from the "
            f"mean, the rest takes {parts.rest[i] ** 2 / square:.0%}. log p = {parts.log_density[i]:.0f} nats.",
            " The fit has not seen first positions such as this one." if i < parts.outside else "",
        ]
    )


@callback(
    Output("liked", "data"),
    Output("explain-error", "children", allow_duplicate=True),
    Input("steer-like", "n_clicks"),
    State("explained", "data"),
    State("explained-token", "data"),
    State("region-fit", "value"),
    prevent_initial_call=True,
)
def steer_like(clicks: int | None, question: Json, token: int | None, fit: str | None) -> tuple[Json, Node]:
    """Put the token's region on the sliders, with all local factors as they are at that token."""
    if not clicks or not question or token is None or not fit:
        return no_update, no_update
    if QuestionRef.from_dict(question).params["fit"] != fit:
        return no_update, user_error("This text was explained with another fit. Explain it again.")
    parts = reply_of(question).answer
    place = _within(parts, token)
    press = {"kind": "factors", "region": parts.region[place], "factors": list(parts.factors[place]), "turn": clicks}
    return press, None
