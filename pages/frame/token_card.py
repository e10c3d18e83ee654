"""The token card's one callback, and how a place that the answer names becomes an address.

The card belongs to the frame, so it is there on every page. Which features of the Attention page are looked at comes
from the way back to that page, which the frame keeps in its navigation: no page has to be open for it.
"""

from __future__ import annotations

import json
from urllib.parse import parse_qsl, urlencode, urlsplit

from dash import Dash, Input, Output, State, ctx, no_update

from analysis.bridge.steers import Steer, SteeringSettings
from analysis.errors import UserError
from analysis.models.spec import ModelSpec
from analysis.qk.contrasts.spec import ContrastSpec
from analysis.token_card.answers import Place
from analysis.token_card.card import TokenCard
from components.frame.token_card import HINT, PANEL, TITLES, empty_part, head, offer, part
from components.frame.token_parts import token_parts
from components.kit.panels import note
from components.kit.types import Json, Node
from pages.address import parse_json, remember
from pages.attention.state import AttentionState, features_of
from pages.cards import ref_of
from pages.common import ask_for, spec_of
from pages.state import read as read_state

CLASS = "card-tok"
MIXED = "Turns of this conversation were steered in different ways, so no set-up goes along."
OTHER_MODEL = "The model has changed, and this token was one of the other model's. Choose a token again, or type one."


def register_token_card(app: Dash) -> None:
    """Register the card's callback on the app."""

    @app.callback(
        Output("card-tok-word", "children"),
        Output("card-tok-head", "children"),
        Output("card-tok-parts", "children"),
        Output("card-tok-error", "children"),
        Output("card-tok-shown", "data"),
        PANEL.ref,
        Input("card-tok-ask", "data"),
        Input("model", "data"),
        State("card-tok-shown", "data"),
        State("session", "data"),
        State("nav-attention", "href"),
        State("nav-steering", "href"),
        running=[(Output("card-tok", "className"), f"{CLASS} card-tok-busy", CLASS)],
        prevent_initial_call=True,
    )
    def show(
        ask: Json, model: Json, shown: Json, session: str, way_back: str | None, sliders: str | None
    ) -> tuple[Node, ...]:
        if not isinstance(ask, dict):
            return (no_update,) * 6
        here = {"turn": ask.get("turn"), "model": model}
        moved = ctx.triggered_id == "model" or (shown or {}).get("turn") == ask.get("turn")
        if moved and (shown or {}).get("model") != model and not ask.get("token"):
            return "", note(OTHER_MODEL), no_parts(), None, here, None
        spec = spec_of(model)
        reply, panel = ask_for(lambda: asked(spec, ask, way_back, sliders), session, "token-card")
        if reply is None:
            return "", note(HINT), no_parts(), panel, here, None
        card, ref = reply.answer, ref_of(token_parts, reply)
        if card.id is None:
            return card.text.strip(), offer(card), no_parts(), None, here, ref
        to = lambda place: href(place, spec)  # noqa: E731
        top = head(card, to, json.dumps(ask["steer"]) if "steer" in ask else "")
        if ask.get("mixed"):
            top.append(note(MIXED))
        return card.token, top, [part(p, to) for p in card.parts], None, here, ref


def no_parts() -> list[Node]:
    """The four frames with nothing in them."""
    return [empty_part(title) for title in TITLES]


def asked(model: ModelSpec, ask: Json, way_back: str | None, sliders: str | None = None) -> TokenCard:
    """The question that the browser asks. Raises UserError for what cannot be used."""
    return TokenCard(
        model,
        token=ask.get("token") or "",
        token_id=_whole(ask.get("id")),
        text=ask.get("text") or "",
        chat=bool(ask.get("chat")),
        position=_whole(ask.get("position")),
        generate=max(0, _whole(ask.get("generate"))),
        ids=tuple(ask.get("ids") or ()),
        contrasts=contrasts_of(way_back),
        steer=_own_steer(ask["steer"]) if "steer" in ask else steer_of(sliders),
    )


def _own_steer(data: Json) -> Steer | None:
    """The set-up that a text says it was written under, which may be none."""
    steer = Steer.from_dict(data) if data else None
    return None if steer is None or steer.idle else steer


def steer_of(sliders: str | None) -> SteeringSettings | None:
    """What stands on the sliders of the Steering page; None where nothing is moved."""
    found = dict(parse_qsl(urlsplit(sliders or "").query)).get("steer")
    try:
        steer = SteeringSettings.from_dict(parse_json(found)) if found else SteeringSettings()
    except UserError:
        return None
    return None if steer.idle else steer


def contrasts_of(way_back: str | None) -> tuple[ContrastSpec, ...]:
    """The features that the Attention page shows, or would show when one goes back to it."""
    return features_of(read_state(AttentionState, dict(parse_qsl(urlsplit(way_back or "").query))).features)


def href(place: Place, model: ModelSpec) -> str:
    """The address of a place: a path, and entries that the page of that path reads back. A long text is kept as a file,
    as on the page itself."""
    if not place.query:
        return place.path
    entries = {"model": json.dumps(model.to_dict())}
    for name, value in place.query.items():
        if isinstance(value, str):
            entries[name] = remember(value) if name == "text" else value
        elif isinstance(value, bool):
            entries |= {name: "true"} if value else {}
        else:
            entries[name] = json.dumps(value)
    return f"{place.path}?{urlencode(entries)}"


def _whole(value: Json) -> int:
    return value if type(value) is int else -1
