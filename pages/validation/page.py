"""The Validation page: the method where its answer is known, and its identities on the loaded model, measured live."""

from __future__ import annotations

from typing import Any

import dash_bootstrap_components as dbc
from dash import Input, Output, State, callback, dcc, html, no_update

from analysis.qk.ops.validation import Invariants, TrainToy
from components.kit.figure_card import figure_card
from components.kit.panels import empty
from components.qk.validation_figures import (
    checks_table,
    invariant_table,
    toy_interaction,
    toy_map,
    toy_spectra,
    toy_swaps,
    training_curve,
)
from pages.common import attempt, attempt_job, client, spec_of
from pages.frame.background import current_job
from pages.manifest import PageManifest

PATH = "/validation"


def layout(**_query: Any) -> Any:
    """Toy model first, invariants below."""
    return html.Div(
        [
            dcc.Store(id="toy"),
            html.H1("Is the method right where the answer is known?", className="attune-title"),
            html.Section(
                [
                    html.Div(
                        [
                            html.H3("Toy model"),
                            html.Span(
                                "One attention head learns to fetch a payload from the token whose two "
                                "hidden codes, z1 and z2, match the "
                                "query's (arXiv 2602.04752). The contrast of z1 must find a subspace of z1's "
                                "rank, and so for z2.",
                                className="attune-note",
                            ),
                        ],
                        className="attune-card-head",
                    ),
                    html.Div(
                        [
                            _field("rank of z1", "toy-n1", 3),
                            _field("rank of z2", "toy-n2", 5),
                            _field("head width", "toy-width", 16),
                            _field("seed", "toy-seed", 11),
                            dcc.Dropdown(
                                [
                                    {"label": "binary codes", "value": "binary"},
                                    {"label": "Gaussian codes", "value": "gaussian"},
                                ],
                                "binary",
                                id="toy-task",
                                clearable=False,
                                searchable=False,
                                className="attune-pick",
                            ),
                            dcc.Dropdown(
                                [
                                    {"label": "fast recipe", "value": "fast"},
                                    {"label": "the paper's recipe (minutes)", "value": "reference"},
                                ],
                                "fast",
                                id="toy-recipe",
                                clearable=False,
                                searchable=False,
                                className="attune-pick",
                            ),
                            html.Button(
                                "Train", id="toy-train", className="attune-button attune-primary", type="button"
                            ),
                            html.Button(
                                "Cancel", id="toy-cancel", className="attune-button", type="button", disabled=True
                            ),
                        ],
                        className="attune-row",
                    ),
                    html.Div(
                        [
                            dbc.Progress(id="toy-bar", value=0, className="attune-bar"),
                            html.Span(id="toy-text", className="attune-note"),
                        ],
                        className="attune-row",
                    ),
                    html.Div(id="toy-error"),
                    html.Div(
                        id="toy-checks",
                        children=empty("Press Train: the fast recipe takes about a quarter of a minute."),
                    ),
                ],
                className="attune-card",
            ),
            html.Div(
                [figure_card("toy-curve", "Training", "", 340), figure_card("toy-spectra", "Singular values", "", 340)],
                className="attune-two",
            ),
            html.Div(
                [
                    figure_card("toy-map", "Queries and keys in the subspace of z1", "", 460),
                    figure_card("toy-swaps", "Swapping two keys", "", 460),
                ],
                className="attune-two",
            ),
            html.Div(
                [figure_card("toy-interaction", "Which latent meets which", "", 420), _invariants()],
                className="attune-two",
            ),
        ],
        className="attune-page",
    )


MANIFEST = PageManifest("Validation", PATH, order=70, layout=layout, needs="invariants")


def _field(label: str, name: str, value: int) -> Any:
    return html.Div(
        [
            dbc.Label(label, html_for=name),
            # Without bounds, so that the server, which checks, learns what was typed and can say what is wrong.
            dbc.Input(id=name, type="number", value=value, step="any", size="sm", className="attune-number"),
        ],
        className="attune-inline",
    )


def _invariants() -> Any:
    return html.Section(
        [
            html.Div(
                [
                    html.H3("Invariants on the loaded model"),
                    html.Button("Measure", id="measure", className="attune-button attune-primary", type="button"),
                    html.Button("Cancel", id="measure-cancel", className="attune-button", type="button", disabled=True),
                    dbc.Progress(id="measure-bar", value=0, className="attune-bar"),
                ],
                className="attune-card-head",
            ),
            html.Span(id="measure-text", className="attune-note"),
            html.Div(id="measure-error"),
            html.Div(
                id="invariants", children=empty("Press Measure. Each identity stands beside a variant that must fail.")
            ),
        ],
        className="attune-card",
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
    set_progress: Any,
    clicks: Any,
    n1: Any,
    n2: Any,
    width: Any,
    seed: Any,
    task: str,
    recipe: str,
    theme: str,
    session: str,
) -> tuple[Any, Any]:
    """Train the toy model, its curve drawn as it grows."""
    if not clicks:
        return no_update, no_update

    def relay(value: dict[str, Any]) -> None:
        curve = value.get("curve") or []
        thin = curve[:: max(1, len(curve) // 200)]
        set_progress(
            (str(round(100 * (value.get("share") or 0))), value.get("text", ""), training_curve(thin, None, theme))
        )

    result, panel = attempt(
        lambda: TrainToy(n1, n2, width, task, seed, recipe),
        session,
        "",
        link=PATH,
        token=current_job.get() or None,
        on_progress=relay,
    )
    return (no_update, panel) if result is None else ({"key": result.key}, None)


@callback(
    Output("toy-bar", "value", allow_duplicate=True),
    Output("toy-text", "children", allow_duplicate=True),
    Output("toy-checks", "children"),
    Output("toy-curve", "figure", allow_duplicate=True),
    Output("toy-spectra", "figure"),
    Output("toy-spectra-caption", "children"),
    Output("toy-map", "figure"),
    Output("toy-map-caption", "children"),
    Output("toy-swaps", "figure"),
    Output("toy-swaps-caption", "children"),
    Output("toy-interaction", "figure"),
    Output("toy-interaction-caption", "children"),
    *[Output({"settings": n}, "data") for n in ("toy-curve", "toy-spectra", "toy-map", "toy-swaps", "toy-interaction")],
    Input("toy", "data"),
    State("theme", "data"),
    prevent_initial_call=True,
)
def show_toy(toy: Any, theme: str) -> tuple[Any, ...]:
    """All figures of a trained toy, and its figures against what they ought to be."""
    stored = client().store.get(toy["key"]) if toy else None
    if stored is None:
        return (no_update,) * 17
    data, arrays = stored.data, stored.arrays
    settings = {**data["settings"], "recipe": data["recipe"], "steps": data["steps"]}
    g = data["interaction"]["diagonal_share"]
    return (
        "100",
        f"trained in {data['steps']:,} steps",
        checks_table(_checks(data)),
        training_curve(data["curve"], data["ceiling"], theme),
        toy_spectra(data["latents"], arrays, theme),
        f"Dashed: the true ranks. {data['samples']:,} contrast triples. A rank alone proves little: untrained "
        "weights give "
        + " and ".join(f"{f['untrained_rank']} for {n}" for n, f in data["latents"].items())
        + " as well.",
        toy_map(data["map"], arrays, theme),
        "Keys are circles, queries crosses, coloured by code; lines join the mean keys of codes that differ "
        "in one bit.",
        toy_swaps(data["swaps"], theme),
        f"{data['swap_rows']:,} sequences; the target shares neither code with the query. Random subspaces of "
        "rank as large "
        "as half the head move much attention too, which is why they stand beside.",
        toy_interaction(arrays["interaction.matrix"], data["interaction"]["names"], theme),
        f"{g:.1%} of the squared norm lies on the diagonal.",
        *[settings] * 5,
    )


def _checks(data: dict[str, Any]) -> list[tuple[str, str, str, bool | None]]:
    settings = data["settings"]
    fits = settings["n1"] + settings["n2"] <= settings["d_head"]
    ceiling = data["ceiling"]
    rows: list[tuple[str, str, str, bool | None]] = [
        (
            "accuracy",
            f"{data['accuracy']:.3f}",
            "no bound known" if ceiling is None else f"{ceiling:.3f} at most",
            None if ceiling is None else abs(data["accuracy"] - ceiling) < 0.01,
        )
    ]
    for name, facts in data["latents"].items():
        expected = (
            f"{facts['true_rank']}"
            if fits
            else f"at most {facts['true_rank']}: superposition in {settings['d_head']} dimensions"
        )
        rows.append(
            (f"rank of {name}", str(facts["rank"]), expected, facts["rank"] == facts["true_rank"] if fits else None)
        )
        limit = max(0.03, facts["noise_share"] ** 0.5 * 1.5)
        rows.append(
            (
                f"covariance of {name} against its closed form",
                f"{facts['closed_form_error']:.1%}",
                f"{limit:.1%} (sampling noise alone {facts['noise_share'] ** 0.5:.1%})",
                facts["closed_form_error"] <= limit,
            )
        )
        rows.append(
            (
                f"trace of {name} is the mean logit gap",
                f"{facts['trace']:.4f}",
                f"{facts['mean_gap']:.4f}",
                abs(facts["trace"] - facts["mean_gap"]) < 1e-6,
            )
        )
    both = next(s for s in data["swaps"] if s["condition"] == "z1+z2")
    small = next(s for s in data["swaps"] if s["kind"] == "random")
    rows.append(
        (
            "attention on the target after swapping z1 and z2",
            f"{both['target']:.3f}",
            "0.9 or more" if fits else "",
            both["target"] >= 0.9 if fits else None,
        )
    )
    rows.append(
        (
            f"the same in random subspaces of rank {small['rank']}",
            f"{small['target']:.3f}",
            "0.1 at most" if settings["n1"] <= settings["d_head"] // 5 + 1 else "",
            small["target"] <= 0.1 if settings["n1"] <= settings["d_head"] // 5 + 1 else None,
        )
    )
    rows.append(
        (
            "share of the interaction matrix on its diagonal",
            f"{data['interaction']['diagonal_share']:.1%}",
            "90 % or more" if fits else "",
            data["interaction"]["diagonal_share"] >= 0.9 if fits else None,
        )
    )
    return rows


@callback(
    Output("invariants", "children"),
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
def measure(set_progress: Any, clicks: Any, model: Any, session: str) -> tuple[Any, Any]:
    """Measure the invariants on the model of this window."""
    if not clicks:
        return no_update, no_update
    result, panel = attempt_job(lambda: Invariants(spec_of(model)), set_progress, session, PATH)
    if result is None:
        return no_update, panel
    notes = [html.Div(text, className="attune-note") for text in result.data["notes"]]
    return [invariant_table(result.data["invariants"]), *notes], None
