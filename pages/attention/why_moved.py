"""Why the opened head moved under the set-up of *Steered by*: its query's side, its keys', inside which feature."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, html

from analysis.bridge.why_moved import MOST_FEATURES, ExplainMove
from components.kit.card import Card
from components.kit.types import Json, Node, Outputs
from components.mfa.why_moved import HEIGHT, WhyOptions, claim, why_moved
from pages.attention.state import Head, features_of
from pages.cards import card_callbacks, content
from pages.common import ask_for

WHY = Card("steered-why", "Why this head moved", HEIGHT, "From its query, or from what its keys have become.")
card_callbacks(WHY)


def why_row() -> list[Node]:
    """The part of the tab below the heads."""
    return [html.Div(id="steered-why-claim", **{"aria-live": "polite"}), WHY.layout()]


@callback(
    output={"card": WHY.outputs, "claim": Output("steered-why-claim", "children")},
    inputs={
        "asked": Input("steered-asked", "data"),
        "ask": Input("steered-ask", "data"),
        "head": Input("head", "data"),
        "query": Input("query", "data"),
        "fitted": Input("fitted", "data"),
        "features": State("features", "data"),
        "theme": State("theme", "data"),
        "session": State("session", "data"),
    },
    prevent_initial_call=True,
)
def show_why(
    asked: Json, ask: Json, head: Json, query: int | None, fitted: Json, features: Json, theme: str, session: str
) -> Outputs:
    """The change of the chosen query's logits by side, and the sentence, of the head that is open."""
    at = Head.of(head)
    current = asked and ask and all(asked["params"].get(name) == value for name, value in ask.items())
    if not current or at is None or query is None:
        return {"card": WHY.empty(caption=WHY.caption), "claim": None}
    where: dict[str, Any] = {"layer": at.layer, "head": at.head, "query": query}
    chosen = zip(features_of(features), (fitted or {}).get("flags", []), strict=False)
    known = [feature.to_dict() for feature, done in chosen if done][:MOST_FEATURES]
    reply, panel = ask_for(
        lambda: ExplainMove.from_params({**ask, **where, "features": known}), session, "steered-why", ExplainMove
    )
    if reply is None:
        return {"card": WHY.empty(caption=WHY.caption), "claim": panel}
    card = content(why_moved, reply, options=WhyOptions(**where), theme=theme)
    return {"card": card, "claim": html.P(claim(reply.answer, query), className="attune-answer")}
