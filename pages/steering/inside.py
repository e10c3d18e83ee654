"""The tab on the inside of a steered pass: the logit lens of the prompt, unsteered and steered, after every block."""

from __future__ import annotations

import dash_bootstrap_components as dbc
from dash import Input, Output, State, callback, dcc, html, no_update

from analysis.mfa.ops.lens import SteerLens
from analysis.mfa.settings import SteeringSettings
from components.kit.card import UNCHANGED, Card
from components.kit.names import progress
from components.kit.panels import user_error
from components.kit.types import Json, Node, Outputs, Relay, Typed
from components.mfa.lens import HEIGHT, LensOptions, lens_maps
from pages.cards import content
from pages.common import ask_job, reply_of, spec_of
from pages.steering.state import PATH

LENS = Card("lens", "Where does it take effect?", HEIGHT, "Look inside first.")
SHOWN = [{"label": "log-odds and their change", "value": "odds"}, {"label": "rank", "value": "rank"}]


def stores() -> list[Node]:
    """The question that the lens answers."""
    return [dcc.Store(id="lens-asked")]


def inside_tab() -> Node:
    """The tab."""
    return html.Div(
        [
            html.Section(
                [
                    html.Div([html.H3("Inside the steered pass")], className="attune-card-head"),
                    html.P(
                        "The set-up on the sliders and the prompt above. The logit lens reads every block's stream as "
                        "if it were the last block's: where does what the steer does begin to show? Beside it random "
                        "directions that move the next token as far.",
                        className="attune-note",
                    ),
                    html.Div(
                        [
                            _labelled(
                                "Words, at commas", dbc.Input(id="lens-words", placeholder="of its theme", size="sm")
                            ),
                            _labelled(
                                "Last positions",
                                dbc.Input(id="lens-last", type="number", step="any", value=SteerLens.last, size="sm"),
                            ),
                            _labelled(
                                "Shown",
                                dcc.Dropdown(SHOWN, "odds", id="lens-shown", clearable=False, searchable=False),
                            ),
                        ],
                        className="attune-options",
                    ),
                    html.Div(
                        [
                            html.Button(
                                "Look inside", id="lens-start", className="attune-button attune-primary", type="button"
                            ),
                            html.Button(
                                "Cancel", id="lens-stop", className="attune-button", type="button", disabled=True
                            ),
                            progress("lens-bar", "reading every block"),
                        ],
                        className="attune-row",
                    ),
                    html.Div(id="lens-state", className="attune-note", **{"aria-live": "polite"}),
                    html.Div(id="lens-problem"),
                    html.P(id="lens-claim", className="attune-answer", **{"aria-live": "polite"}),
                ],
                className="attune-card",
                **{"aria-label": "Inside"},
            ),
            LENS.layout(),
        ],
        className="attune-sweep",
    )


def _labelled(text: str, field: Node) -> Node:
    return html.Div([dbc.Label(text, html_for=field.id), field], className="attune-labelled")


@callback(
    Output("lens-problem", "children"),
    Output("lens-asked", "data"),
    inputs={
        "clicks": Input("lens-start", "n_clicks"),
        "words": State("lens-words", "value"),
        "last": State("lens-last", "value"),
        "steer": State("steer", "data"),
        "text": State("steer-prompt", "value"),
        "chat": State("steer-chat", "value"),
        "seed": State("seed", "value"),
        "model": State("model", "data"),
        "session": State("session", "data"),
    },
    background=True,
    progress=[Output("lens-bar", "value"), Output("lens-state", "children")],
    progress_default=["0", ""],
    running=[(Output("lens-start", "disabled"), True, False), (Output("lens-stop", "disabled"), False, True)],
    cancel=[Input("lens-stop", "n_clicks")],
    interval=500,
    prevent_initial_call=True,
)
def look(
    set_progress: Relay, clicks: int | None, words: str | None, last: Typed, steer: Json, text: str | None,
    chat: bool, seed: Typed, model: Json, session: str,
) -> tuple[Node, Json]:  # fmt: skip
    """The lens of the prompt under the set-up, as a job."""
    if not clicks or not steer:
        return user_error("Put a region on the sliders first.") if clicks else no_update, no_update
    reply, panel = ask_job(
        lambda: SteerLens(
            spec_of(model), text or "", bool(chat), SteeringSettings.from_dict(steer), words or "", seed, last
        ),
        set_progress, session, PATH, None, SteerLens,
    )  # fmt: skip
    return panel, no_update if reply is None else reply.question.to_dict()


@callback(
    output={"card": LENS.outputs, "claim": Output("lens-claim", "children")},
    inputs={
        "asked": Input("lens-asked", "data"),
        "shown": Input("lens-shown", "value"),
        "theme": State("theme", "data"),
    },
    prevent_initial_call=True,
)
def show_lens(asked: Json, shown: str, theme: str) -> Outputs:
    """The heatmaps, and the sentence that says from which block on the effect stands."""
    if not asked:
        return {"card": UNCHANGED, "claim": no_update}
    reply = reply_of(asked)
    drawing = lens_maps.draw(reply.answer, LensOptions(shown), theme)
    card = content(lens_maps, reply, options=LensOptions(shown), theme=theme)
    return {"card": card, "claim": drawing.control.text if drawing.control else ""}
