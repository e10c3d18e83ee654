"""Callbacks of fitting: texts that a user brings, what it will cost, the job with its curve."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import dash_bootstrap_components as dbc
from dash import Input, Output, State, callback, ctx, dcc, html, no_update

from analysis.engine.client import Reply
from analysis.mfa.answers.regions import Iteration, NewFit
from analysis.mfa.ops.fit import EstimateFit, FitRegions, KeepTexts
from analysis.mfa.ops.released import OpenMixture
from analysis.mfa.prepare import blocks_of
from analysis.models.proposal import most_factors, most_groups, readable_tokens, same_depth
from components.kit.card import Card
from components.kit.types import Facts, Json, Node, Outputs, Relay, Typed
from components.mfa.region_figures import fit_curve, new_fit
from pages.cards import content
from pages.common import ask_for, ask_job, reply_of, spec_of
from pages.frame.proposals import facts_of
from pages.steering.state import PATH
from pages.texts import file_of, listed

CURVE = Card("fit-curve", "Log-likelihood", 330, start="Drawn while a fit runs")
OF_FILE = ("source", "site", "layer", "tokens", "seed")
"""What of the form holds for a mixture that others trained, too."""
FIELDS = ("source", "site", "layer", "tokens", "regions", "factors", "seed", "noise")
Form = dict[str, Typed]


def _settings(model: Json, form: Form) -> dict[str, Any]:
    """What the form asks for, as fields of an operation."""
    return form | {"model": spec_of(model), "source": form.get("source") or ""}


@callback(
    Output("fit-layer", "value"),
    Output("fit-tokens", "value"),
    Output("fit-regions", "value"),
    Output("fit-factors", "value"),
    Output("fit-proposed", "data"),
    Input("model", "data"),
    State("session", "data"),
)
def propose(model: Json, session: str) -> tuple[Typed, ...]:
    """The usual fit, as it is for the model in use."""
    facts = facts_of(model, session, "fit-proposal")
    if facts is None:
        return (no_update,) * 5
    regions, factors = most_groups(FitRegions.regions, facts), most_factors(FitRegions.factors, facts)
    tokens = readable_tokens(FitRegions.tokens, 1_000 + regions * (factors + 2), facts)
    block = same_depth(FitRegions.layer, facts)
    return block, tokens, regions, factors, block


def look_switch() -> Node:
    """Whether the block is chosen by a look at several, as Prepare does."""
    words = "at the best of four blocks, by a quick look (off: the block above)"
    return html.Div([dcc.Store(id="fit-proposed"), dbc.Switch(id="fit-look", value=True, label=words)])


@callback(
    Output("fit-look", "value"), Input("fit-layer", "value"), State("fit-proposed", "data"), prevent_initial_call=True
)
def typed_block(block: Typed, proposed: int | None) -> bool:
    """Whoever types another block than the one that was proposed means that block."""
    return no_update if proposed is None or block == proposed else False


@callback(
    Output("fit-estimate", "children"),
    inputs={
        "model": Input("model", "data"),
        "form": {name: Input(f"fit-{name}", "value") for name in FIELDS},
        "session": State("session", "data"),
    },
)
def estimate(model: Json, form: Form, session: str) -> Node:
    """Minutes and memory of the fit as it stands in the form, before it starts."""
    reply, panel = ask_for(lambda: EstimateFit(**_settings(model, form)), session, "estimate")
    return panel if reply is None else reply.answer.sentence


@callback(
    Output("fit-source", "options"),
    Output("fit-source", "value"),
    Output("source-said", "children"),
    Input("corpus-upload", "contents"),
    Input("dataset-name", "value"),
    State("corpus-upload", "filename"),
    State("fit-source", "options"),
    prevent_initial_call=True,
)
def bring(contents: str | None, dataset: str | None, name: str | None, options: Json) -> tuple[Json, str, Node]:
    """Take in a text file or the name of a dataset."""
    if ctx.triggered_id == "corpus-upload":
        keep = file_of(contents, name)
    elif not (dataset or "").strip():
        return no_update, no_update, no_update
    else:
        keep = KeepTexts(dataset=(dataset or "").strip())
    options, source, said = listed(keep, options)
    return options, source or no_update, said


@callback(
    Output("new-fit", "data"),
    Output("fit-problem", "children"),
    inputs={
        "clicks": Input("fit-start", "n_clicks"),
        "form": {name: State(f"fit-{name}", "value") for name in FIELDS},
        "look": State("fit-look", "value"),
        "model": State("model", "data"),
        "theme": State("theme", "data"),
        "session": State("session", "data"),
    },
    background=True,
    progress=[
        Output("regions-bar", "value"),
        Output("fit-state", "children"),
        Output("fit-curve", "figure", allow_duplicate=True),
    ],
    progress_default=["0", "", no_update],
    running=[(Output("fit-start", "disabled"), True, False), (Output("fit-stop", "disabled"), False, True)],
    cancel=[Input("fit-stop", "n_clicks")],
    interval=500,
    prevent_initial_call=True,
)
def fit(
    set_progress: Relay, clicks: int | None, form: Form, look: bool, model: Json, theme: str, session: str
) -> tuple[Json, Node]:
    """The job; its curve is drawn while it runs. With ``look`` at the block where themes show most."""
    curve: list[Iteration] = []
    facts = facts_of(model, session, "fit-look") if look else None
    blocks = () if facts is None else blocks_of(facts.layers)

    def relay(progress: tuple[str, str], facts: Facts) -> None:
        row = facts.get("iteration")
        if row:
            curve.append(Iteration(row["iteration"], row["train"], row.get("held_out")))
        set_progress((*progress, fit_curve(curve, theme)))

    question = lambda: FitRegions(**_settings(model, form), blocks=blocks)  # noqa: E731
    reply, panel = ask_job(question, set_progress, session, PATH, relay)
    return (no_update, panel) if reply is None else (asdict(reply.question), None)


@callback(
    Output("new-fit", "data", allow_duplicate=True),
    Output("mixture-problem", "children"),
    inputs={
        "clicks": Input("mixture-open", "n_clicks"),
        "file": State("mixture-file", "value"),
        "form": {name: State(f"fit-{name}", "value") for name in OF_FILE},
        "model": State("model", "data"),
        "session": State("session", "data"),
    },
    background=True,
    progress=[Output("regions-bar", "value"), Output("fit-state", "children")],
    progress_default=["0", ""],
    running=[(Output("mixture-open", "disabled"), True, False), (Output("fit-stop", "disabled"), False, True)],
    cancel=[Input("fit-stop", "n_clicks")],
    interval=500,
    prevent_initial_call=True,
)
def open_mixture(
    set_progress: Relay, clicks: int | None, file: str | None, form: Form, model: Json, session: str
) -> tuple[Json, Node]:
    """A mixture that others trained, as a fit."""
    question = lambda: OpenMixture(**_settings(model, form), file=file or "")  # noqa: E731
    reply, panel = ask_job(question, set_progress, session, PATH)
    return (no_update, panel) if reply is None else (asdict(reply.question), None)


@callback(
    output={"card": CURVE.outputs, "changed": Output("fits-changed", "data")},
    inputs={"question": Input("new-fit", "data"), "theme": State("theme", "data")},
    prevent_initial_call=True,
)
def show_fit(question: Json, theme: str) -> Outputs:
    """The curve of a fit that was made; it is opened above."""
    reply: Reply[NewFit] = reply_of(question)
    return {"card": content(new_fit, reply, theme=theme), "changed": reply.answer.fit}
