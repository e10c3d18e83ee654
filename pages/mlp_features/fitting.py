"""Callbacks of another factorization: a job whose curve is drawn while it runs."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, no_update

from analysis.errors import UserError
from analysis.snmf.ops.factorization import FitFactorization
from components.kit.figure_card import blank
from components.snmf.figures import explained_curve
from pages.common import attempt_job, spec_of
from pages.mlp_features.state import PATH

FIELDS = ("layer", "site", "features", "kept", "init", "iterations", "tokens", "seed", "levels", "texts")


def asked(model: Any, values: tuple[Any, ...]) -> FitFactorization:
    """The job as the form says it; UserError for what cannot be used. An empty number is refused, not replaced."""
    found: dict[str, Any] = dict(zip(FIELDS, values, strict=True))
    found["levels"] = levels_of(found["levels"])
    found["texts"] = found["texts"] or ""
    return FitFactorization(spec_of(model), **found)


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
    Output("mlp-new-problem", "children"),
    Output("mlp-made", "data"),
    Output("mlp-new-curve", "figure"),
    Output("mlp-new-curve-caption", "children"),
    Output({"settings": "mlp-new-curve"}, "data"),
    Input("mlp-new-go", "n_clicks"),
    *[State(f"mlp-new-{name}", "value") for name in FIELDS],
    State("model", "data"),
    State("theme", "data"),
    State("session", "data"),
    background=True,
    progress=[
        Output("mlp-new-bar", "value"),
        Output("mlp-new-state", "children"),
        Output("mlp-new-curve", "figure", allow_duplicate=True),
    ],
    progress_default=["0", "", no_update],
    running=[(Output("mlp-new-go", "disabled"), True, False), (Output("mlp-new-stop", "disabled"), False, True)],
    cancel=[Input("mlp-new-stop", "n_clicks")],
    interval=500,
    prevent_initial_call=True,
)
def fit(set_progress: Any, clicks: int | None, *values: Any) -> tuple[Any, ...]:
    """The job; when it is done, its fit is opened."""
    *fields, model, theme, session = values
    if not clicks:
        return (no_update,) * 5
    curve: dict[str, Any] = {}

    def relay(progress: tuple[str, str], facts: dict[str, Any]) -> None:
        if facts.get("curve"):
            curve.update(facts["curve"])
        set_progress((*progress, explained_curve(curve, theme) if curve else blank(380, "no iteration yet")))

    result, panel = attempt_job(
        lambda: asked(model, tuple(fields)), set_progress, session, PATH, relay, FitFactorization
    )
    if result is None:
        return panel, no_update, no_update, no_update, no_update
    data = result.data
    last = data.get("curve") or curve
    settings = {k: v for k, v in zip(FIELDS, fields, strict=True) if k != "texts"} | {"fit": data["fit"]}
    return None, data["fit"], explained_curve(last, theme), data["sentence"], settings
