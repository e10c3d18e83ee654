"""The sweep: a job in three levels from coarse to fine, each of which stays when a finer one is cancelled; a click on a
cell puts its settings on the sliders."""

from __future__ import annotations

import time
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

SWEEP = Card("sweep-figure", "Where does it act?", HEIGHT, start="Start a sweep first")
EVERY = 2.0
"""Seconds between two pictures of a sweep that grows."""
OVER = [
    {"label": "block × KL", "value": "blocks"},
    {"label": "local factor × local factor", "value": "factors"},
]


def stores() -> list[Node]:
    """What a sweep keeps in the browser: what there is of it so far, the question of the finest level that is whole,
    and its cells."""
    return [dcc.Store(id=f"sweep-{name}") for name in ("grown", "picture", "level", "cells")]


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
        "session": State("session", "data"),
    },
    background=True,
    progress=[Output("sweep-bar", "value"), Output("sweep-state", "children"), Output("sweep-grown", "data")],
    progress_default=["0", "", None],
    running=[(Output("sweep-start", "disabled"), True, False), (Output("sweep-stop", "disabled"), False, True)],
    cancel=[Input("sweep-stop", "n_clicks")],
    interval=1000,
    prevent_initial_call=True,
)
def sweep(
    set_progress: Relay, clicks: int | None, form: dict[str, Typed], steer: Json, data: Json, text: str | None,
    chat: bool, model: Json, session: str,
) -> Node:  # fmt: skip
    """All levels, each as a job of its own; what there is so far goes to the page, and each whole level's question."""
    if not clicks or not steer or not data:
        return user_error("Put a region on the sliders first.") if clicks else no_update
    region, grown, drawn = rows_of(data)[0].region, None, 0.0

    def relay(bar: tuple[str, str], facts: Facts) -> None:
        nonlocal grown, drawn
        if facts.get("sweep") is not None and time.monotonic() > drawn + EVERY:
            grown, drawn = {"sweep": facts["sweep"]}, time.monotonic()
        set_progress((*bar, grown))

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
        grown, drawn = {"whole": asdict(reply.question)}, time.monotonic()
        set_progress(("100", f"level {level + 1} of {LEVELS} is whole", grown))
    return None


def _alone(steer: Json, region: int) -> SteeringSettings:
    """The set-up without what a sweep does not look at, so that moving a slider leaves the same question."""
    settings = SteeringSettings.from_dict(steer)
    regions = (RegionSetting(region),)
    return SteeringSettings(settings.fit, regions, settings.mode, settings.where, rotation=settings.rotation)


# Dash hands on what is so far at every look at the job, also where it is what it was.
clientside_callback(
    "(grown, before) => JSON.stringify(grown) === JSON.stringify(before) ? dash_clientside.no_update : grown",
    Output("sweep-picture", "data"),
    Input("sweep-grown", "data"),
    State("sweep-picture", "data"),
    prevent_initial_call=True,
)


@callback(
    output={"card": SWEEP.outputs, "cells": Output("sweep-cells", "data"), "level": Output("sweep-level", "data")},
    inputs={
        "grown": Input("sweep-picture", "data"),
        "level": State("sweep-level", "data"),
        "theme": State("theme", "data"),
    },
    prevent_initial_call=True,
)
def show(grown: Json, level: Json, theme: str) -> Outputs:
    """A level that grows, which cannot be pinned, or the finest one that is whole: also after the end and a cancel,
    which may leave half a level."""
    if grown and "sweep" in grown:
        sweep = sweep_from(grown["sweep"])
        words = f"Level {sweep.level + 1} of {LEVELS} is being measured."
        card = {"figure": sweep_figure(sweep, theme), "caption": words, "ref": None}
        return {"card": card, "cells": None, "level": no_update}
    question = (grown or {}).get("whole") or level
    if not question:
        return {"card": SWEEP.empty(), "cells": None, "level": None}
    try:
        reply: Reply[Sweep] = reply_of(QuestionRef.from_dict(question))
    except UserError:
        return {"card": SWEEP.empty("This sweep is not kept any more. Start it again."), "cells": None, "level": None}
    cells = cells_of(reply.answer, reply.question.params)
    return {"card": content(sweep_map, reply, theme=theme), "cells": cells, "level": question}


clientside_callback(
    "dash_clientside.attune.takeCell",
    Output("sweep-taken", "children"),
    Input("sweep-figure", "clickData"),
    State("sweep-cells", "data"),
    prevent_initial_call=True,
)
