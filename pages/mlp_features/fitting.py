"""Callbacks of another factorization: a job whose curve is drawn while it runs."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import asdict

from dash import Input, Output, State, callback, no_update

from analysis.corpora.text_files import ENDINGS
from analysis.errors import UserError
from analysis.models.proposal import most_groups, readable_tokens, same_depth
from analysis.snmf.answers.factorization import ExplainedCurve
from analysis.snmf.ops.factorization import FitFactorization
from analysis.snmf.ops.released import OpenFactorization
from components.kit.figure_card import blank
from components.kit.panels import user_error
from components.kit.types import Facts, Json, Node, Outputs, Relay, Typed
from components.snmf.figures import explained_curve, new_curve
from pages.cards import content
from pages.common import ask_job, reply_of, spec_of
from pages.frame.proposals import facts_of
from pages.mlp_features.cards import NEW_CURVE
from pages.mlp_features.state import PATH

FIELDS = ("layer", "site", "features", "kept", "init", "iterations", "tokens", "seed", "levels", "texts")
OF_FILE = ("layer", "site", "tokens", "seed", "texts")
"""What of the form holds for features that others made, too."""


def job_of(model: Json, values: Sequence[Typed]) -> FitFactorization:
    """The job as the form says it; UserError for what cannot be used. An empty number is refused, not replaced."""
    *_, levels, texts = values
    form = dict(zip(FIELDS, values, strict=True)) | {"levels": levels_of(levels), "texts": texts or ""}
    return FitFactorization(spec_of(model), **form)


def levels_of(text: str | None) -> tuple[int, ...]:
    """ "50, 25" as numbers; UserError for anything else."""
    parts = [p for p in (text or "").replace(";", ",").replace(" ", ",").split(",") if p]
    try:
        return tuple(int(p) for p in parts)
    except ValueError as error:
        raise UserError(
            f"Levels are whole numbers of concepts with commas between them, such as 50, 25; not {text!r:.40}.",
            "levels",
        ) from error


@callback(
    Output("mlp-new-texts", "value"),
    Output("mlp-new-problem", "children", allow_duplicate=True),
    Input("mlp-new-upload", "contents"),
    State("mlp-new-upload", "filename"),
    prevent_initial_call=True,
)
def bring(contents: str | None, name: str | None) -> tuple[Node, Node]:
    """Put an uploaded file into the form, where it can be read before it is used."""
    try:
        text = base64.b64decode((contents or "").partition(",")[2], validate=True).decode("utf-8-sig")
    except ValueError:
        return no_update, user_error("That file is not UTF-8 text. Save it as UTF-8 and try again.")
    if not (name or "").lower().endswith(ENDINGS):
        return no_update, user_error(f"{(name or 'This file')[:80]} is none of {', '.join(ENDINGS)}. Save it as one.")
    return text, None


@callback(
    Output("mlp-new-layer", "value"),
    Output("mlp-new-features", "value"),
    Output("mlp-new-tokens", "value"),
    Input("model", "data"),
    State("session", "data"),
)
def propose(model: Json, session: str) -> tuple[Typed, ...]:
    """The usual factorization, as it is for the model in use."""
    facts = facts_of(model, session, "mlp-proposal")
    if facts is None:
        return (no_update,) * 3
    features = most_groups(FitFactorization.features, facts)
    tokens = readable_tokens(FitFactorization.tokens, 20 * features, facts)
    return same_depth(FitFactorization.layer, facts), features, tokens


@callback(
    Output("mlp-new-problem", "children"),
    Output("mlp-made", "data"),
    Input("mlp-new-go", "n_clicks"),
    *[State(f"mlp-new-{name}", "value") for name in FIELDS],
    State("model", "data"),
    State("theme", "data"),
    State("session", "data"),
    background=True,
    progress=[
        Output("mlp-new-bar", "value"),
        Output("mlp-new-state", "children"),
        Output("mlp-new-curve", "figure"),
    ],
    progress_default=["0", "", no_update],
    running=[(Output("mlp-new-go", "disabled"), True, False), (Output("mlp-new-stop", "disabled"), False, True)],
    cancel=[Input("mlp-new-stop", "n_clicks")],
    interval=500,
    prevent_initial_call=True,
)
def fit(set_progress: Relay, clicks: int | None, *values: Typed) -> tuple[Node, Json]:
    """The job; when it is done, its fit is opened."""
    *form, model, theme, session = values
    if not clicks:
        return no_update, no_update
    curve = ExplainedCurve()

    def relay(progress: tuple[str, str], facts: Facts) -> None:
        nonlocal curve
        if facts.get("curve"):
            curve = ExplainedCurve(**facts["curve"])
        picture = explained_curve(curve, theme) if curve.iteration else blank(NEW_CURVE.height, "no iteration yet")
        set_progress((*progress, picture))

    reply, panel = ask_job(lambda: job_of(model, form), set_progress, session, PATH, relay, FitFactorization)
    return (panel, no_update) if reply is None else (None, asdict(reply.question))


@callback(
    Output("mlp-new-problem", "children", allow_duplicate=True),
    Output("mlp-made", "data", allow_duplicate=True),
    Input("mlp-open-file", "contents"),
    *[State(f"mlp-new-{name}", "value") for name in OF_FILE],
    State("model", "data"),
    State("session", "data"),
    background=True,
    progress=[Output("mlp-new-bar", "value"), Output("mlp-new-state", "children")],
    progress_default=["0", ""],
    running=[(Output("mlp-new-go", "disabled"), True, False), (Output("mlp-new-stop", "disabled"), False, True)],
    cancel=[Input("mlp-new-stop", "n_clicks")],
    interval=500,
    prevent_initial_call=True,
)
def open_file(set_progress: Relay, contents: str | None, *values: Typed) -> tuple[Node, Json]:
    """Features that others factorized, at the block and site of the form, as a factorization."""
    *form, model, session = values
    if not contents:
        return no_update, no_update
    settings = dict(zip(OF_FILE, form, strict=True)) | {"texts": form[-1] or "", "file": contents.partition(",")[2]}
    reply, panel = ask_job(
        lambda: OpenFactorization(spec_of(model), **settings), set_progress, session, PATH, None, OpenFactorization
    )
    return (panel, no_update) if reply is None else (None, asdict(reply.question))


@callback(
    output=NEW_CURVE.more_outputs,
    inputs={"question": Input("mlp-made", "data"), "theme": State("theme", "data")},
    prevent_initial_call=True,
)
def show_new(question: Json, theme: str) -> Outputs:
    """The curve of the fit that has just been made."""
    return {**content(new_curve, reply_of(question), theme=theme)}
