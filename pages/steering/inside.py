"""The tab on the inside of a steered pass: through what the steer acts (free or frozen), and where it takes effect (the
logit lens behind every block)."""

from __future__ import annotations

import json
import re
from urllib.parse import urlencode

import dash_bootstrap_components as dbc
from dash import Input, Output, State, callback, dcc, html, no_update

from analysis.bridge.frozen import FreeOrFrozen
from analysis.bridge.lens import SteerLens
from analysis.errors import UserError
from analysis.mfa.settings import SteeringSettings
from components.kit.card import UNCHANGED, Card
from components.kit.links import local
from components.kit.names import named, popup, progress
from components.kit.panels import user_error
from components.kit.types import Json, Node, Outputs, Relay, Typed
from components.mfa import frozen as frozen_view
from components.mfa import lens as lens_view
from components.mfa.frozen import frozen_bars
from components.mfa.lens import LensOptions, lens_maps
from pages.address import remember
from pages.cards import content
from pages.common import ask_job, reply_of, spec_of
from pages.steering import lens_files
from pages.steering.lens_files import PLAIN
from pages.steering.state import PATH

FROZEN = Card("frozen", "Through what does it act?", frozen_view.HEIGHT, start="Press “Free or frozen”")
LENS = Card("lens", "Where does it take effect?", lens_view.HEIGHT, start="Press “Look inside”")
AT = [
    {"label": "the end of the prompt", "value": "prompt"},
    {"label": "the token pressed in a text above", "value": "token"},
]
SHOWN = [{"label": "log-odds and their change", "value": "odds"}, {"label": "rank", "value": "rank"}]

TOLD = {
    "frozen": "Is it what heads look at, what they carry, or what MLPs make of it that changes? Each is held.",
    "lens": "Every block’s stream, read as if it were the last one’s: where does the effect begin to show?",
}
_HELD = "Heads as 12.3, at commas"


def stores() -> list[Node]:
    """The questions that the two cards answer."""
    return [dcc.Store(id="lens-asked"), dcc.Store(id="frozen-asked"), dcc.Store(id="lens-opened")]


def inside_tab() -> Node:
    """The tab."""
    return html.Div(
        [
            html.Div(
                [
                    html.Span(
                        "The set-up on the sliders and the prompt above, looked at from inside, beside random "
                        "directions that move the next token as far.",
                        className="attune-note",
                    ),
                    _labelled("Words, at commas", dbc.Input(id="lens-words", placeholder="of its theme", size="sm")),
                ],
                className="attune-row attune-inside-head",
            ),
            html.Div(
                [
                    html.Section(
                        [
                            *_job(
                                "frozen",
                                "Free or frozen",
                                "holding parts of the pass",
                                _labelled(
                                    "Heads held", dbc.Input(id="frozen-heads", placeholder="all", size="sm"), _HELD
                                ),
                            ),
                            FROZEN.layout(),
                        ],
                        **{"aria-label": "Free or frozen"},
                    ),
                    html.Section(
                        [*_job("lens", "Look inside", "reading every block", _settings()), LENS.layout()],
                        **{"aria-label": "Lens"},
                    ),
                ],
                className="attune-inside",
            ),
        ],
        className="attune-low",
    )


def _settings() -> Node:
    """Where the lens looks, which one, and what of it is shown."""
    return popup(
        html.Div(
            [
                html.Span("Looked at is", className="attune-note"),
                named("Where the lens looks", dbc.RadioItems(AT, "prompt", id="lens-at"), "attune-inline"),
            ],
        ),
        html.Div(
            [
                _labelled(
                    "Last positions",
                    dbc.Input(id="lens-last", type="number", step="any", value=SteerLens.last, size="sm"),
                ),
                _labelled(
                    "Lens",
                    dcc.Dropdown([PLAIN], "plain", id="lens-which", clearable=False, searchable=False),
                ),
                _labelled(
                    "Shown",
                    dcc.Dropdown(SHOWN, "odds", id="lens-shown", clearable=False, searchable=False),
                ),
            ],
            className="attune-options",
        ),
        lens_files.opening(),
    )


def _job(name: str, label: str, doing: str, *beside: Node) -> list[Node]:
    """A button with its bar, its refusal and its sentence, and controls ``beside`` it."""
    return [
        html.Div(
            [
                html.Button(
                    label,
                    id=f"{name}-start",
                    className="attune-button attune-primary",
                    type="button",
                    title=TOLD[name],
                ),
                html.Button("Cancel", id=f"{name}-stop", className="attune-button", type="button", disabled=True),
                *beside,
                progress(f"{name}-bar", doing),
            ],
            className="attune-row",
        ),
        html.Div(id=f"{name}-state", className="attune-note", **{"aria-live": "polite"}),
        html.Div(id=f"{name}-problem"),
        html.Div(id=f"{name}-claim", **{"aria-live": "polite"}),
    ]


def _labelled(text: str, field: Node, title: str = "") -> Node:
    more = {"title": title} if title else {}
    return html.Div([dbc.Label(text, html_for=field.id), field], className="attune-labelled", **more)


def _said(text: str) -> Node:
    return html.P(text, className="attune-answer")


def _heads_link(asked: Json) -> Node:
    """The way to the Attention page, where the same prompt is read under the same set-up."""
    query = {
        "model": json.dumps(asked["model"]), "text": remember(asked["text"]), "tab": "steered",
        "steer": json.dumps(asked["steer"]), **({"chat": "true"} if asked["chat"] else {}),
    }  # fmt: skip
    return html.A("Which heads look elsewhere?", href=local(f"/attention?{urlencode(query)}"))


def heads_in(text: str | None) -> tuple[tuple[int, int], ...]:
    """The heads that a reader typed, such as "12.3, 14.0"; none for an empty text. Raises UserError(field="heads")."""
    found = []
    for part in filter(None, (p.strip() for p in (text or "").replace(";", ",").split(","))):
        match = re.fullmatch(r"[Ll]?(\d{1,4})\s*[.Hh ]\s*[Hh]?(\d{1,4})", part)
        if match is None:
            raise UserError(f"“{part[:20]}” is no head. Type block and head such as 12.3, several at commas.", "heads")
        found.append((int(match[1]), int(match[2])))
    return tuple(dict.fromkeys(found))


def at_token(pick: Json, written: Json, last: Typed, lens: str = "") -> SteerLens:
    """The question of a written token: the text before it, and the token itself as what is looked at. Raises UserError
    where none is pressed."""
    if not pick or not written or pick["of"] == "control":
        raise UserError("Press a token of the unsteered or the steered text first.", "ids")
    asked = written["params"]
    shared = {name: asked[name] for name in ("model", "text", "chat", "steer", "seed") if name in asked}
    *before, token = pick["ids"]
    return SteerLens.from_params(
        {**shared, "last": last, "ids": before, "of": pick["of"], "token": token, "lens": lens}
    )


@callback(
    Output("lens-problem", "children"),
    Output("lens-asked", "data"),
    inputs={
        "clicks": Input("lens-start", "n_clicks"),
        "words": State("lens-words", "value"),
        "last": State("lens-last", "value"),
        "at": State("lens-at", "value"),
        "which": State("lens-which", "value"),
        "pick": State("token-pick", "data"),
        "written": State("ask-text", "data"),
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
    set_progress: Relay, clicks: int | None, words: str | None, last: Typed, at: str, which: str,
    pick: Json, written: Json, steer: Json, text: str | None, chat: bool, seed: Typed, model: Json, session: str,
) -> tuple[Node, Json]:  # fmt: skip
    """The lens of the prompt under the set-up, or of a written text up to the token that was pressed, as a job."""
    lens = "" if which == PLAIN["value"] else which
    if clicks and at == "token":
        reply, panel = ask_job(
            lambda: at_token(pick, written, last, lens), set_progress, session, PATH, None, SteerLens
        )  # fmt: skip
        return panel, no_update if reply is None else reply.question.to_dict()
    if not clicks or not steer:
        return user_error("Put a region on the sliders first.") if clicks else no_update, no_update
    reply, panel = ask_job(
        lambda: SteerLens(
            spec_of(model), text or "", bool(chat), SteeringSettings.from_dict(steer), seed, words or "", last,
            lens=lens,
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
    return {"card": card, "claim": _said(drawing.control.text) if drawing.control else None}


@callback(
    Output("frozen-problem", "children"),
    Output("frozen-asked", "data"),
    inputs={
        "clicks": Input("frozen-start", "n_clicks"),
        "words": State("lens-words", "value"),
        "heads": State("frozen-heads", "value"),
        "steer": State("steer", "data"),
        "text": State("steer-prompt", "value"),
        "chat": State("steer-chat", "value"),
        "seed": State("seed", "value"),
        "model": State("model", "data"),
        "session": State("session", "data"),
    },
    background=True,
    progress=[Output("frozen-bar", "value"), Output("frozen-state", "children")],
    progress_default=["0", ""],
    running=[(Output("frozen-start", "disabled"), True, False), (Output("frozen-stop", "disabled"), False, True)],
    cancel=[Input("frozen-stop", "n_clicks")],
    interval=500,
    prevent_initial_call=True,
)
def hold(
    set_progress: Relay, clicks: int | None, words: str | None, heads: str | None, steer: Json, text: str | None,
    chat: bool, seed: Typed, model: Json, session: str,
) -> tuple[Node, Json]:  # fmt: skip
    """Free or frozen, as a job."""
    if not clicks or not steer:
        return user_error("Put a region on the sliders first.") if clicks else no_update, no_update
    reply, panel = ask_job(
        lambda: FreeOrFrozen(
            spec_of(model), text or "", bool(chat), SteeringSettings.from_dict(steer), seed, words or "",
            heads_in(heads),
        ),
        set_progress, session, PATH, None, FreeOrFrozen,
    )  # fmt: skip
    return panel, no_update if reply is None else reply.question.to_dict()


@callback(
    output={"card": FROZEN.outputs, "claim": Output("frozen-claim", "children")},
    inputs={"asked": Input("frozen-asked", "data"), "theme": State("theme", "data")},
    prevent_initial_call=True,
)
def show_frozen(asked: Json, theme: str) -> Outputs:
    """The bars, and the sentence."""
    if not asked:
        return {"card": UNCHANGED, "claim": no_update}
    reply = reply_of(asked)
    return {
        "card": content(frozen_bars, reply, theme=theme),
        "claim": [_said(frozen_view.claim(reply.answer)), _heads_link(reply.question.params)],
    }
