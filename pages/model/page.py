"""The Model page: choose a model, see what it needs before it is loaded, and what works with it afterwards."""

from __future__ import annotations

import json
from typing import Any

import dash_bootstrap_components as dbc
from dash import ALL, Input, Output, State, callback, clientside_callback, ctx, dcc, html, no_update, page_registry

from analysis.cluster.link import named_cluster
from analysis.engine.loading import DescribeModel, EstimateModel, LoadModel
from analysis.errors import UserError
from analysis.models.spec import DTYPES, EIGHT_BIT, ModelSpec
from analysis.view_ref import QuestionRef
from components.frame.cluster_card import cluster_card
from components.frame.model_card import estimate_card, facts_card, model_report
from components.frame.model_shelf import shelf_card
from components.kit.card import Panel
from components.kit.files import with_files
from components.kit.names import progress
from components.kit.panels import empty, note
from components.kit.types import Json, Node, Relay, Typed
from pages.common import ask_for, ask_job, client, refusal, spec_of
from pages.manifest import PageManifest
from pages.model import shelf

PATH = "/model"
CALLBACKS = (shelf,)  # importing it registers its callbacks
RESIDENTS = Panel("model-in-use", "In memory")

FOUR_BIT = (
    "8 bit: half the memory of bfloat16; what it changes is measured at loading. 4 bit is not offered: int4 needs a "
    "GPU and cannot be read number by number, as pages here do; NF4 can, but moves predictions far (own-models.md)."
)


def layout(**_query: str) -> Node:
    """Picker on the left, what is known on the right."""
    residents = RESIDENTS.layout(html.Div(id="residents", children=empty("Nothing is loaded yet.")))
    return html.Div(
        [
            with_files("Which model?", "pack", "pack"),
            dcc.Store(id="shelf-state"),
            html.Div(
                [
                    html.Section(
                        [
                            html.Div([html.H3("Choose")], className="attune-card-head"),
                            dbc.Label(
                                "Hub id, folder, or GGUF file; “default” or “othello” for a bundled model",
                                html_for="source",
                            ),
                            dbc.Input(id="source", value="default"),
                            html.Div(
                                [
                                    _field("Revision", dbc.Input(id="revision", placeholder="main", size="sm")),
                                    _field(
                                        "Dtype",
                                        dcc.Dropdown(
                                            [{"value": d, "label": "8 bit" if d == EIGHT_BIT else d} for d in DTYPES],
                                            "auto",
                                            id="dtype",
                                            clearable=False,
                                            searchable=False,
                                        ),
                                    ),
                                    _field("Device", dbc.Input(id="device", value="auto", size="sm")),
                                    _field(
                                        "Device map",
                                        dcc.Dropdown(
                                            ["none", "auto"], "none", id="device-map", clearable=False, searchable=False
                                        ),
                                    ),
                                ],
                                className="attune-grid4",
                            ),
                            note(FOUR_BIT),
                            html.Div(
                                [
                                    html.Button("Check size", id="check", className="attune-button", type="button"),
                                    html.Button(
                                        "Load", id="load", className="attune-button attune-primary", type="button"
                                    ),
                                    html.Button(
                                        "Cancel",
                                        id="load-cancel",
                                        className="attune-button",
                                        type="button",
                                        disabled=True,
                                    ),
                                    progress("load-bar", "loading the model"),
                                ],
                                className="attune-row",
                            ),
                            html.Div(id="load-text", className="attune-note", **{"aria-live": "polite"}),
                            html.Div(id="model-error"),
                            html.Div(id="estimate"),
                            note(
                                "Gated models use the token in the environment variable HF_TOKEN. Attune "
                                "never runs code "
                                "from a model repository. Device is auto, cpu, cuda, cuda:1 or mps; device map “auto” "
                                "spreads a model over all GPUs."
                            ),
                        ],
                        className="attune-card",
                    ),
                    html.Div([html.Div(id="cluster"), residents], className="attune-column"),
                ],
                className="attune-two",
            ),
            shelf_card(),
        ],
        className="attune-page",
    )


MANIFEST = PageManifest(
    "Model",
    PATH,
    order=80,
    layout=layout,
    question="Which model is in use, was it loaded right, and what works with it?",
)


def _field(label: str, component: Node) -> Node:
    return html.Div([dbc.Label(label, html_for=component.id), component])


_FORM = [
    State("source", "value"),
    State("revision", "value"),
    State("dtype", "value"),
    State("device", "value"),
    State("device-map", "value"),
]


def _spec(source: str, revision: str, dtype: str, device: str, device_map: str) -> ModelSpec:
    return ModelSpec(source or "", revision or None, dtype, device or "auto", device_map)


@callback(
    Output("estimate", "children"),
    Output("model-error", "children"),
    Input("check", "n_clicks"),
    *_FORM,
    State("session", "data"),
    prevent_initial_call=True,
)
def check_size(_clicks: int, *form: Typed) -> tuple[Node, Node]:
    """Parameters and memory, from metadata alone."""
    *values, session = form
    reply, panel = ask_for(lambda: EstimateModel(_spec(*values)), session, "estimate", EstimateModel)
    return (None, panel) if reply is None else (estimate_card(reply.answer), None)


# What was said of one model does not stand below the name of another.
clientside_callback(
    "() => [null, null, '']",
    Output("estimate", "children", allow_duplicate=True),
    Output("model-error", "children", allow_duplicate=True),
    Output("load-text", "children", allow_duplicate=True),
    Input("source", "value"),
    Input("revision", "value"),
    Input("dtype", "value"),
    Input("device", "value"),
    Input("device-map", "value"),
    prevent_initial_call=True,
)


@callback(
    Output("model", "data", allow_duplicate=True),
    Output("model-error", "children", allow_duplicate=True),
    Input("load", "n_clicks"),
    *_FORM,
    State("session", "data"),
    background=True,
    progress=[Output("load-bar", "value"), Output("load-text", "children")],
    progress_default=["0", ""],
    running=[(Output("load", "disabled"), True, False), (Output("load-cancel", "disabled"), False, True)],
    cancel=[Input("load-cancel", "n_clicks")],
    interval=300,
    prevent_initial_call=True,
)
def load(set_progress: Relay, clicks: int | None, *form: Typed) -> tuple[Json, Node]:
    """Load a model and use it in this window."""
    if not clicks:
        return no_update, no_update
    *values, session = form
    try:
        spec = _spec(*values)
    except UserError as error:
        return no_update, refusal(error, LoadModel)
    reply, panel = ask_job(lambda: LoadModel(spec), set_progress, session, PATH)
    if reply is None:
        return no_update, panel
    return spec.to_dict(), note(f"{spec.label} is loaded and in use in this window.")


@callback(
    Output("residents", "children"),
    RESIDENTS.ref,
    Output("cluster", "children"),
    Input("pulse", "n_intervals"),
    Input("model", "data"),
    State("residents", "children"),
)
def show_residents(_pulse: int, model: Json, _shown: Node) -> tuple[Node, Json, Node]:
    """What is in memory, with what works and why not, and the machines of a cluster. What is pinned is the model in use
    here."""
    status, used = client().status(), spec_of(model)
    cluster = cluster_card(client().hosts(), client().trouble()) if named_cluster() else None
    if not status.loaded:
        said = "" if status.phase == "ready" else f" {status.phase}"
        return empty(f"Nothing is loaded yet{':' + said if said else '.'}"), None, cluster
    pages = [(page["name"], page["needs"]) for page in page_registry.values() if page["needs"]]
    cards = [facts_card(i, m, m.spec == used, pages) for i, m in enumerate(reversed(status.loaded))]
    return cards, None if status.resident(used) is None else report_of(used), cluster


def report_of(model: ModelSpec) -> Json:
    """What draws the report of a model; asked when it is drawn."""
    question = QuestionRef(DescribeModel.__name__, DescribeModel(model).to_params())
    return model_report.ref([question]).to_dict()


@callback(
    Output("model", "data", allow_duplicate=True),
    Input({"use": ALL}, "n_clicks"),
    State({"use": ALL}, "id"),
    prevent_initial_call=True,
)
def use(clicks: list[Any], _ids: Any) -> Any:
    """Use a model that is in memory already."""
    if not any(clicks) or not ctx.triggered_id:
        return no_update
    return json.loads(ctx.triggered_id["use"])
