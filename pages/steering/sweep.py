"""The sweep: a job in three levels from coarse to fine, each of which stays when a finer one is cancelled; a click on a
cell puts its settings on the sliders."""

from __future__ import annotations

from dataclasses import asdict

import dash_bootstrap_components as dbc
from dash import Input, Output, State, callback, clientside_callback, dcc, html, no_update

from analysis.engine.client import Reply
from analysis.errors import UserError
from analysis.mfa.answers.sweep import Sweep
from analysis.mfa.ops.sweep import LEVELS, SteerSweep, sweep_from
from analysis.mfa.settings import RegionSetting, SteeringSettings
from analysis.view_ref import QuestionRef
from components.kit.card import Card
from components.kit.names import progress
from components.kit.panels import user_error
from components.kit.types import Facts, Json, Node, Outputs, Relay, Typed
from components.mfa.sweep import HEIGHT, cells_of, sweep_figure, sweep_map
from pages.cards import content
from pages.common import ask_job, reply_of, spec_of
from pages.steering.state import PATH, rows_of

SWEEP = Card("sweep-figure", "Where does it act?", HEIGHT, "Start a sweep first.")
OVER = [
    {"label": "block × KL", "value": "blocks"},
    {"label": "local factor × local factor", "value": "factors"},
]


def stores() -> list[Node]:
    """What a sweep keeps in the browser: the question of the finest level that is whole, and its cells."""
    return [dcc.Store(id="sweep-level"), dcc.Store(id="sweep-cells")]


def sweep_tab() -> Node:
    """The tab."""
    return html.Div(
        [
            html.Section(
                [
                    html.Div([html.H3("Sweep")], className="attune-card-head"),
                    html.P(
                        "The first region on the sliders, alone, after the prompt above. Every cell is brought to its "
                        "KL of the next token; then the gain of its words is read, and that of random pushes of the "
                        "same KL. Coarse first, then finer; what is whole stays when you cancel.",
                        className="attune-note",
                    ),
                    html.Div(
                        [
                            _labelled(
                                "Over", dcc.Dropdown(OVER, "blocks", id="sweep-over", clearable=False, searchable=False)
                            ),
                            _labelled("Factor, down", _number("first", SteerSweep.first)),
                            _labelled("Factor, across", _number("second", SteerSweep.second)),
                            _labelled("KL, for factors", _number("target", SteerSweep.target)),
                            _labelled(
                                "Words, at commas", dbc.Input(id="sweep-words", placeholder="of its theme", size="sm")
                            ),
                        ],
                        className="attune-options",
                    ),
                    html.Div(
                        [
                            html.Button(
                                "Start", id="sweep-start", className="attune-button attune-primary", type="button"
                            ),
                            html.Button(
                                "Cancel", id="sweep-stop", className="attune-button", type="button", disabled=True
                            ),
                            progress("sweep-bar", "sweeping"),
                        ],
                        className="attune-row",
                    ),
                    html.Div(id="sweep-state", className="attune-note", **{"aria-live": "polite"}),
                    html.Div(id="sweep-problem"),
                    html.Div(id="sweep-taken", className="attune-note", **{"aria-live": "polite"}),
                ],
                className="attune-card",
                **{"aria-label": "Sweep"},
            ),
            SWEEP.layout(),
        ],
        className="attune-sweep",
    )


def _labelled(text: str, field: Node) -> Node:
    return html.Div([dbc.Label(text, html_for=field.id), field], className="attune-labelled")


def _number(name: str, value: float) -> Node:
    return dbc.Input(id=f"sweep-{name}", type="number", step="any", value=value, size="sm")


@callback(
    Output("sweep-problem", "children"),
    inputs={
        "clicks": Input("sweep-start", "n_clicks"),
        "form": {name: State(f"sweep-{name}", "value") for name in ("over", "first", "second", "target", "words")},
        "steer": State("steer", "data"),
        "data": State("on-sliders", "data"),
        "text": State("steer-prompt", "value"),
        "chat": State("steer-chat", "value"),
        "model": State("model", "data"),
        "theme": State("theme", "data"),
        "session": State("session", "data"),
    },
    background=True,
    progress=[
        Output("sweep-bar", "value"),
        Output("sweep-state", "children"),
        Output("sweep-figure", "figure", allow_duplicate=True),
        Output("sweep-level", "data"),
    ],
    progress_default=["0", "", no_update, no_update],
    running=[(Output("sweep-start", "disabled"), True, False), (Output("sweep-stop", "disabled"), False, True)],
    cancel=[Input("sweep-stop", "n_clicks")],
    interval=500,
    prevent_initial_call=True,
)
def sweep(
    set_progress: Relay, clicks: int | None, form: dict[str, Typed], steer: Json, data: Json, text: str | None,
    chat: bool, model: Json, theme: str, session: str,
) -> Node:  # fmt: skip
    """All levels, each as a job; the map is drawn while it grows, and its question kept when a level is whole."""
    if not clicks or not steer or not data:
        return user_error("Put a region on the sliders first.") if clicks else no_update
    region, whole = rows_of(data)[0].region, no_update

    def relay(bar: tuple[str, str], facts: Facts) -> None:
        grown = facts.get("sweep")
        figure = no_update if grown is None else sweep_figure(sweep_from(grown), theme)
        set_progress((*bar, figure, whole))

    for level in range(LEVELS):
        reply, panel = ask_job(
            lambda level=level: SteerSweep(  # type: ignore[misc]
                spec_of(model), text or "", bool(chat), _alone(steer, region), region, level=level,
                **form | {"words": form["words"] or ""},
            ),
            set_progress, session, PATH, relay, SteerSweep,
        )  # fmt: skip
        if reply is None:
            return panel
        whole = asdict(reply.question)
        set_progress(("100", f"level {level + 1} of {LEVELS} is whole", no_update, whole))
    return None


def _alone(steer: Json, region: int) -> SteeringSettings:
    """The set-up without what a sweep does not look at, so that moving a slider leaves the same question."""
    settings = SteeringSettings.from_dict(steer)
    regions = (RegionSetting(region),)
    return SteeringSettings(settings.fit, regions, settings.mode, settings.where, rotation=settings.rotation)


@callback(
    output={"card": SWEEP.outputs, "cells": Output("sweep-cells", "data")},
    inputs={
        "question": Input("sweep-level", "data"),
        "_stopped": Input("sweep-stop", "n_clicks"),
        "theme": State("theme", "data"),
    },
    prevent_initial_call=True,
)
def show(question: Json, _stopped: int | None, theme: str) -> Outputs:
    """The finest level that is whole: also after a cancel, which leaves half a level on the screen."""
    if not question:
        return {"card": SWEEP.empty(), "cells": None}
    try:
        reply: Reply[Sweep] = reply_of(QuestionRef.from_dict(question))
    except UserError:
        return {"card": SWEEP.empty("This sweep is not kept any more. Start it again."), "cells": None}
    return {"card": content(sweep_map, reply, theme=theme), "cells": cells_of(reply.answer)}


clientside_callback(
    "dash_clientside.attune.takeCell",
    Output("sweep-taken", "children"),
    Input("sweep-figure", "clickData"),
    State("sweep-cells", "data"),
    prevent_initial_call=True,
)
