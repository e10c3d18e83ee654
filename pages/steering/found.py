"""What is found for a set-up, and how it leaves: a strength for a wanted change of the next token, and where texts
break (the ladder writes the texts)."""

from __future__ import annotations

from dash import Input, Output, State, callback, clientside_callback, no_update

from analysis.mfa.ops.steer import StrengthForKL
from analysis.mfa.settings import SteeringSettings
from components.kit.types import Json, Node, Typed
from pages.common import ask_for, spec_of
from pages.steering.state import rows_of

FIND = "Find"


@callback(
    Output("reached", "data"),
    Output("target-said", "children"),
    Input("to-target", "n_clicks"),
    State("target", "value"),
    State("on-sliders", "data"),
    State("steer", "data"),
    State("steer-prompt", "value"),
    State("steer-chat", "value"),
    State("model", "data"),
    State("session", "data"),
    running=[
        (Output("to-target", "disabled"), True, False),
        (Output("to-target", "children"), "Finding …", FIND),
    ],
    prevent_initial_call=True,
)
def reach_target(
    clicks: int | None, target: Typed, data: Json, steer: Json, text: str | None, chat: bool, model: Json, session: str
) -> tuple[Json, Node]:
    """Set the strength of the first region so that the next token costs the wanted KL."""
    if not clicks or not data or not steer:
        return no_update, "Put a region on the sliders first." if clicks else no_update
    region = rows_of(data)[0].region
    reply, panel = ask_for(
        lambda: StrengthForKL(
            spec_of(model), text or "", bool(chat), SteeringSettings.from_dict(steer), region,
            target,
        ),
        session,
        "target",
    )  # fmt: skip
    if reply is None:
        return no_update, panel
    strength = round(reply.answer.strength, 3)
    return {"kind": "strength", "region": region, "strength": strength, "turn": clicks}, reply.answer.sentence


# A sentence about what was found holds for the set-up and the prompt that it was found for, and leaves with them.
_ABOUT = ("steer-prompt", "steer-chat", "count", "temperature", "top-p", "seed")
clientside_callback(
    "dash_clientside.attune.foundFor",
    Output("on-sliders-sink", "dir"),
    Input("reached", "data"),
    Input("ask-ladder", "data"),
    Input("limit", "data"),
    State("steer", "data"),
    *[State(name, "value") for name in _ABOUT],
    prevent_initial_call=True,
)
clientside_callback(
    "dash_clientside.attune.forgetFound",
    Output("target-said", "children", allow_duplicate=True),
    Output("limit-said", "children", allow_duplicate=True),
    Output("limit", "data", allow_duplicate=True),
    Input("steer", "data"),
    *[Input(name, "value") for name in _ABOUT],
    prevent_initial_call=True,
)
