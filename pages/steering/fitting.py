"""Callbacks of fitting: texts that a user brings, what it will cost, the job with its curve."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from dash import Input, Output, State, callback, no_update

from analysis.mfa.ops.fit import EstimateFit, FitRegions, KeepTexts
from components.kit.panels import user_error
from components.mfa.figures import fit_curve
from pages.common import attempt, attempt_job, spec_of
from pages.steering.state import PATH

FIELDS = ("fit-source", "fit-site", "fit-layer", "fit-tokens", "fit-regions", "fit-factors", "fit-seed", "fit-noise")


def _asked(model: Any, values: tuple[Any, ...]) -> dict[str, Any]:
    source, site, layer, tokens, regions, factors, seed, noise = values
    numbers = {"layer": layer, "tokens": tokens, "regions": regions, "factors": factors, "seed": seed}
    return {"model": spec_of(model), "source": source or "", "site": site, "noise": noise, **numbers}


@callback(
    Output("fit-estimate", "children"),
    Input("model", "data"),
    *[Input(name, "value") for name in FIELDS],
    State("session", "data"),
)
def estimate(model: Any, *values: Any) -> Any:
    """Minutes and memory of the fit as it stands in the form, before it starts."""
    session = values[-1]
    result, panel = attempt(lambda: EstimateFit(**_asked(model, values[:-1])), session, "estimate")
    return result.data["sentence"] if result else panel


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
def bring(contents: str | None, dataset: str | None, name: str | None, options: list[Any]) -> tuple[Any, Any, Any]:
    """Take in a text file or the name of a dataset."""
    from dash import ctx

    if ctx.triggered_id == "corpus-upload":
        try:
            raw = base64.b64decode((contents or "").partition(",")[2], validate=True)
            text = raw.decode("utf-8")
        except (binascii.Error, ValueError):
            return no_update, no_update, user_error("That file is not UTF-8 text. Save it as UTF-8 and try again.")
        result, panel = attempt(lambda: KeepTexts(name=(name or "text.txt")[:120], text=text))
    else:
        if not (dataset or "").strip():
            return no_update, no_update, no_update
        result, panel = attempt(lambda: KeepTexts(dataset=(dataset or "").strip()))
    if result is None:
        return no_update, no_update, panel
    entry = {"label": result.data["label"], "value": result.data["source"]}
    rest = [o for o in options if o["value"] != entry["value"]]
    return [*rest, entry], entry["value"], result.data["sentence"]


@callback(
    Output("fit-problem", "children"),
    Output("fits-changed", "data"),
    Output("fit-curve", "figure"),
    Output("fit-curve-caption", "children"),
    Output({"settings": "fit-curve"}, "data"),
    Input("fit-start", "n_clicks"),
    *[State(name, "value") for name in FIELDS],
    State("model", "data"),
    State("theme", "data"),
    State("session", "data"),
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
def fit(set_progress: Any, _clicks: int | None, *values: Any) -> tuple[Any, ...]:
    """The job; its curve is drawn while it runs."""
    *fields, model, theme, session = values
    curve: list[dict[str, Any]] = []

    def relay(progress: tuple[str, str], facts: dict[str, Any]) -> None:
        if facts.get("iteration"):
            curve.append(facts["iteration"])
        set_progress((*progress, fit_curve(curve, theme)))

    result, panel = attempt_job(lambda: FitRegions(**_asked(model, tuple(fields))), set_progress, session, PATH, relay)
    if result is None:
        return panel, no_update, no_update, no_update, no_update
    data = result.data
    return None, data["fit"], fit_curve(data["history"], theme), data["sentence"], data["settings"]
