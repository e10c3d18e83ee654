"""The Validation page: the method where its answer is known, and its identities on the loaded model, measured live."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from dash import Input, Output, State, callback, dcc, html, no_update

from analysis.engine.client import OperationFailed, Reply, WorkerGone
from analysis.errors import UserError
from analysis.qk.answers.validation import InvariantTable, ToyPoint, ToyTraining
from analysis.qk.ops.validation import Invariants, KeptInvariants, KeptToy, TrainToy
from analysis.view_ref import QuestionRef
from components.kit.card import UNCHANGED, Card, Panel
from components.kit.field import choice_field, number_field
from components.kit.names import progress
from components.kit.panels import empty, failure
from components.kit.types import Json, Node, Relay, Typed
from components.qk.validation_figures import (
    toy_interaction,
    toy_map,
    toy_spectra,
    toy_swaps,
    toy_training,
    training_curve,
)
from components.qk.validation_tables import (
    checks_table,
    invariant_table,
    measured_invariants,
    toy_checks,
    toy_table,
)
from pages.cards import card_callbacks, content, ref_of
from pages.common import ask_for, ask_job, reply_of, reply_to, spec_of
from pages.job import current_job
from pages.manifest import PageManifest

PATH = "/validation"
TASKS = {"binary": "binary codes", "gaussian": "Gaussian codes"}
RECIPES = {"fast": "fast recipe", "reference": "the paper's recipe (minutes)"}
CURVE = Card("toy-curve", "Training", 380)
SPECTRA = Card("toy-spectra", "Singular values", 380)
MAP = Card("toy-map", "Queries and keys in the subspace of z1", 460)
SWAPS = Card("toy-swaps", "Swapping two keys", 460)
INTERACTION = Card("toy-interaction", "Which latent meets which", 380)
CHECKS = Panel("toy-table", "Toy model")
INVARIANTS = Panel("invariant-table", "Invariants on the loaded model")
INVITATION = "Press Measure: each identity then stands beside a variant that must fail."
card_callbacks(CURVE, SPECTRA, MAP, SWAPS, INTERACTION)


def layout(**_query: str) -> Node:
    """Toy model first, invariants below."""
    return html.Div(
        [
            dcc.Store(id="toy", data=asdict(QuestionRef(KeptToy.__name__, {}))),
            html.H1("Is the method right where the answer is known?", className="attune-title"),
            CHECKS.layout(
                html.Div(
                    [
                        number_field(TrainToy, "n1", "toy-n1", "rank of z1"),
                        number_field(TrainToy, "n2", "toy-n2", "rank of z2"),
                        number_field(TrainToy, "d_head", "toy-width", "head width"),
                        number_field(TrainToy, "seed", "toy-seed", "seed"),
                        choice_field(TrainToy, "task", "toy-task", TASKS),
                        choice_field(TrainToy, "recipe", "toy-recipe", RECIPES),
                    ],
                    className="attune-row",
                ),
                html.Div(
                    [
                        html.Button("Train", id="toy-train", className="attune-button attune-primary", type="button"),
                        html.Button("Cancel", id="toy-cancel", className="attune-button", type="button", disabled=True),
                        progress("toy-bar", "training the toy"),
                        html.Span(id="toy-text", className="attune-note"),
                    ],
                    className="attune-row",
                ),
                html.Div(id="toy-error"),
                html.Div(id="toy-checks", className="attune-table-box"),
                controls=html.Span(
                    "One attention head learns to fetch a payload from the token whose two "
                    "hidden codes, z1 and z2, match the "
                    "query's (arXiv 2602.04752). The contrast of z1 must find a subspace of z1's "
                    "rank, and so for z2.",
                    className="attune-note",
                ),
            ),
            html.Div([MAP.layout(), SWAPS.layout()], className="attune-two"),
            html.Div([SPECTRA.layout(), INTERACTION.layout(), CURVE.layout()], className="val-three"),
            _invariants(),
        ],
        className="attune-page",
    )


MANIFEST = PageManifest(
    "Validation",
    PATH,
    order=70,
    layout=layout,
    needs="invariants",
    question="Is the method right where the answer is known, and do its identities hold here?",
)


def _invariants() -> Node:
    controls = html.Div(
        [
            html.Button("Measure", id="measure", className="attune-button attune-primary", type="button"),
            html.Button("Cancel", id="measure-cancel", className="attune-button", type="button", disabled=True),
            progress("measure-bar", "measuring the invariants"),
        ],
        className="attune-inline",
    )
    return INVARIANTS.layout(
        html.Span(id="measure-text", className="attune-note"),
        html.Div(id="measure-error"),
        html.Div(id="invariants", className="attune-table-box"),
        controls=controls,
    )


@callback(
    Output("toy", "data"),
    Output("toy-error", "children"),
    Input("toy-train", "n_clicks"),
    State("toy-n1", "value"),
    State("toy-n2", "value"),
    State("toy-width", "value"),
    State("toy-seed", "value"),
    State("toy-task", "value"),
    State("toy-recipe", "value"),
    State("theme", "data"),
    State("session", "data"),
    background=True,
    progress=[Output("toy-bar", "value"), Output("toy-text", "children"), Output("toy-curve", "figure")],
    running=[(Output("toy-train", "disabled"), True, False), (Output("toy-cancel", "disabled"), False, True)],
    cancel=[Input("toy-cancel", "n_clicks")],
    interval=400,
    prevent_initial_call=True,
)
def train(
    set_progress: Relay,
    clicks: int | None,
    n1: Typed,
    n2: Typed,
    width: Typed,
    seed: Typed,
    task: Typed,
    recipe: str,
    theme: str,
    session: str,
) -> tuple[Json, Node]:
    """Train the toy model, its curve drawn as it grows."""
    if not clicks:
        return no_update, no_update

    def relay(value: dict[str, Any]) -> None:
        points = [ToyPoint(**point) for point in value.get("curve") or []]
        thin = points[:: max(1, len(points) // 200)]
        bar = str(round(100 * (value.get("share") or 0)))
        set_progress((bar, value.get("text", ""), training_curve(thin, None, theme)))

    reply, panel = ask_for(
        lambda: TrainToy(n1, n2, width, task, seed, recipe),
        session,
        link=PATH,
        token=current_job.get() or None,
        on_progress=relay,
    )
    return (no_update, panel) if reply is None else (asdict(reply.question), None)


@callback(
    output={
        "bar": Output("toy-bar", "value", allow_duplicate=True),
        "text": Output("toy-text", "children", allow_duplicate=True),
        "problem": Output("toy-error", "children", allow_duplicate=True),
        "checks": Output("toy-checks", "children"),
        "ref": CHECKS.ref,
        "curve": CURVE.more_outputs,
        "spectra": SPECTRA.outputs,
        "map": MAP.outputs,
        "swaps": SWAPS.outputs,
        "interaction": INTERACTION.outputs,
    },
    inputs={"question": Input("toy", "data"), "theme": State("theme", "data")},
    prevent_initial_call="initial_duplicate",
)
def show_toy(question: Json, theme: str) -> dict[str, Any]:
    """All figures of a trained toy, and its figures against what they ought to be. The page opens with one that comes
    with Attune."""
    if question["operation"] == KeptToy.__name__:
        kept, panel = ask_for(KeptToy)
        if kept is None:
            cards = ("curve", "spectra", "map", "swaps", "interaction")
            rest = dict.fromkeys(("bar", "text", "checks", "ref"), no_update)
            return {**dict.fromkeys(cards, UNCHANGED), **rest, "problem": panel}
        reply: Reply[ToyTraining] = kept
    else:
        reply = reply_of(question)
    toy = reply.answer
    recipe = RECIPES[toy.recipe].partition(" (")[0]
    made = f"trained in {toy.steps:,} steps by {recipe.removeprefix('the ')}, seed {toy.seed}"
    return {
        "bar": "0" if toy.source else "100",
        "text": f"{toy.source} Train makes one here, in about a quarter of a minute." if toy.source else made,
        "problem": None,
        "checks": checks_table(toy_checks(reply.answer)),
        "ref": ref_of(toy_table, reply),
        "curve": content(toy_training, reply, theme=theme),
        "spectra": content(toy_spectra, reply, theme=theme),
        "map": content(toy_map, reply, theme=theme),
        "swaps": content(toy_swaps, reply, theme=theme),
        "interaction": content(toy_interaction, reply, theme=theme),
    }


@callback(
    Output("invariants", "children"),
    INVARIANTS.ref,
    Output("measure-error", "children"),
    Input("measure", "n_clicks"),
    State("model", "data"),
    State("session", "data"),
    background=True,
    progress=[Output("measure-bar", "value"), Output("measure-text", "children")],
    progress_default=["0", ""],
    running=[(Output("measure", "disabled"), True, False), (Output("measure-cancel", "disabled"), False, True)],
    cancel=[Input("measure-cancel", "n_clicks")],
    interval=300,
    prevent_initial_call=True,
)
def measure(set_progress: Relay, clicks: int | None, model: Json, session: str) -> tuple[Node, Json, Node]:
    """Measure the invariants on the model of this window."""
    if not clicks:
        return no_update, no_update, no_update
    reply, panel = ask_job(lambda: Invariants(spec_of(model)), set_progress, session, PATH)
    if reply is None:
        return no_update, no_update, panel
    return measured(reply.answer), ref_of(measured_invariants, reply), None


def measured(table: InvariantTable) -> list[Node]:
    """The identities, and below them what is to be known of them."""
    notes = [html.Div(text, className="attune-note") for text in table.notes]
    return [invariant_table(table.invariants), *notes]


@callback(
    Output("invariants", "children", allow_duplicate=True),
    INVARIANTS.more_ref,
    Output("measure-error", "children", allow_duplicate=True),
    Output("measure-text", "children", allow_duplicate=True),
    Input("model", "data"),
    prevent_initial_call="initial_duplicate",
)
def open_kept(model: Json) -> tuple[Node, Json, Node, str]:
    """What was measured on the model of this window before; an invitation where nothing was."""
    try:
        kept = reply_to(KeptInvariants(spec_of(model)))
    except UserError as refused:
        return empty(f"{refused.message} {INVITATION}"), None, None, ""
    except (WorkerGone, OperationFailed) as error:
        return None, None, failure(str(error)), ""
    return measured(kept.answer), ref_of(measured_invariants, kept), None, ""
