"""Callbacks of choosing: the factorization, the list of its features, search, the open feature; facts, the address."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, clientside_callback, ctx, html, no_update

from analysis.snmf.ops.factorization import FactorizationFacts, ListFactorizations, SearchFeatures
from components.kit.panels import user_error
from components.snmf.card import list_rows, matching, ordered, search_rows
from components.snmf.figures import explained_curve
from pages.common import attempt, spec_of
from pages.mlp_features.state import ADDRESS


@callback(
    Output("model", "data", allow_duplicate=True), Input("mlp-start", "data"), State("model", "data"),
    prevent_initial_call="initial_duplicate",
)  # fmt: skip
def use_model_of_address(start: dict[str, Any], current: Any) -> Any:
    """A link may name another model than the one this window used last."""
    return start["model"] if start and start["model"] and start["model"] != current else no_update


@callback(
    Output("mlp-fit", "options"),
    Output("mlp-fit", "value"),
    Output("mlp-fits", "data"),
    Output("mlp-list-error", "children"),
    Input("model", "data"),
    Input("mlp-made", "data"),
    Input("mlp-picked", "data"),
    State("mlp-fit", "value"),
    State("mlp-start", "data"),
)
def list_fits(model: Any, made: str, picked: Any, chosen: str | None, start: Any) -> tuple[Any, ...]:
    """The fits of the model; a new one is opened as soon as it is there, and that of a feature that was found."""
    if ctx.triggered_id == "mlp-picked":
        other = (picked or {}).get("fit")
        return no_update, other if other and other != chosen else no_update, no_update, no_update
    result, panel = attempt(lambda: ListFactorizations(spec_of(model)))
    if result is None:
        return [], None, {}, panel
    fits = result.data["fits"]
    names = [f["name"] for f in fits]
    newest = made if ctx.triggered_id == "mlp-made" else None
    asked = (start or {}).get("fit") if chosen is None else None
    value = next((n for n in (newest, chosen, asked) if n in names), names[0] if names else None)
    problem = None
    if asked and asked not in names:
        problem = user_error("The fit that the address names is not in this data folder; another one is open instead.")
    if not fits:
        problem = user_error("No factorization of this model yet. Open the tab “Fit another” below and press Fit.")
    titles = {f["name"]: f["title"] for f in fits}
    return [{"label": t, "value": n} for n, t in titles.items()], value, titles, problem


@callback(
    Output("mlp-facts", "data"),
    Output("mlp-list-error", "children", allow_duplicate=True),
    Input("mlp-fit", "value"),
    State("model", "data"),
    prevent_initial_call=True,
)
def load_facts(fit: str | None, model: Any) -> tuple[Any, Any]:
    """All features of the fit as plain rows; searched and sorted from there."""
    if not fit:
        return None, no_update
    result, panel = attempt(lambda: FactorizationFacts(spec_of(model), fit))
    return (result.data, no_update) if result else (None, panel)


@callback(
    Output("mlp-feature", "data"),
    Output("mlp-list-error", "children", allow_duplicate=True),
    Input("mlp-facts", "data"),
    Input("mlp-picked", "data"),
    Input("mlp-node", "data"),
    State("mlp-feature", "data"),
    State("mlp-start", "data"),
    prevent_initial_call=True,
)
def choose_feature(facts: Any, picked: Any, node: Any, now: int | None, start: Any) -> tuple[Any, Any]:
    """The feature whose card is open; at opening that of the address, else the one that is detected best."""
    feature, problem = opened(set(ctx.triggered_prop_ids.values()), facts, picked, node, now, start or {})
    return no_update if feature == now else feature, user_error(problem) if problem else no_update


def opened(
    triggers: set[Any], facts: Any, picked: Any, node: Any, now: int | None, start: dict[str, Any]
) -> tuple[int | None, str]:
    """Which feature is open after what was pressed, and a sentence if another was asked for."""
    if not facts:
        return None, ""
    if "mlp-facts" not in triggers:
        level, _, number = str((node or {}).get("node", "")).partition(":")
        if "mlp-node" in triggers:
            return (int(number) if level == "1" and number.isdecimal() else now), ""
        # A feature of another fit waits until its facts have come.
        return (picked["feature"] if picked and picked.get("fit") in (None, facts["fit"]) else now), ""
    if picked and picked.get("fit") == facts["fit"]:
        return picked["feature"], ""
    best = int(ordered(facts["rows"], "auc")[0]["feature"])
    asked = start.get("feature") if now is None and start.get("fit") in ("", facts["fit"]) else None
    if asked is not None and asked >= facts["features"]:
        return best, f"This fit has features 0 to {facts['features'] - 1}; the address names {asked}."
    return (best if asked is None else asked), ""


@callback(
    Output("mlp-rows", "data"),
    Output("mlp-count", "children"),
    Input("mlp-facts", "data"),
    Input("mlp-search", "value"),
    Input("mlp-order", "value"),
)
def rank(facts: Any, words: str | None, order: str) -> tuple[Any, Any]:
    """The rows of the list; a search leaves the matching features."""
    if not facts:
        return [], ""
    found = matching(ordered(facts["rows"], order), words)
    return list_rows(found), f"{len(found)} of {facts['features']}"


clientside_callback(
    "dash_clientside.attune_features.list",
    Output("mlp-list", "data-drawn"),
    Input("mlp-rows", "data"),
    Input("mlp-feature", "data"),
    Input("mlp-members", "data"),
)


@callback(
    Output("mlp-found", "children"),
    Input("mlp-search", "value"),
    State("mlp-fits", "data"),
    State("model", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def search_tokens(words: str | None, titles: Any, model: Any, session: str) -> Any:
    """Beside the list: features of all fits that promote the token typed, or are active on it."""
    if not (words or "").strip():
        return []
    result, panel = attempt(lambda: SearchFeatures(spec_of(model), (words or "").strip()), session, "mlp-search")
    if result is None:
        return panel
    said = html.Div(result.data["sentence"], className="attune-note")
    return [said, *search_rows(result.data["rows"], titles or {})]


@callback(
    Output("mlp-about", "children"),
    Output("mlp-curve", "figure"),
    Output("mlp-curve-caption", "children"),
    Output({"settings": "mlp-curve"}, "data"),
    Input("mlp-facts", "data"),
    Input("theme", "data"),
)
def show_about(facts: Any, theme: str) -> tuple[Any, ...]:
    """What the fit is, the command that made it, and its curve."""
    if not facts:
        return (no_update,) * 4
    levels = ", ".join(str(n) for n in facts["levels"])
    rows = [
        ("layer and site", f"{facts['layer']}, {facts['site'].replace('_', ' ')}, {facts['width']:,} wide"),
        ("features", f"{facts['features']} ({levels} from the smallest concepts to the largest)"),
        ("share of neurons kept", f"{facts['kept']:.1%}"),
        ("tokens", f"{facts['tokens']:,}"),
        ("explained", f"{facts['explained']:.1%} of the squared length (not centred)"),
    ]
    about = [
        html.Table(
            html.Tbody([html.Tr([html.Th(name), html.Td(value)]) for name, value in rows]), className="attune-facts"
        ),
        html.P(facts["caption"], className="attune-note"),
        html.Div("Made by", className="attune-note"),
        html.Pre(facts["command"], className="mlp-command", tabIndex="0"),
        html.Div(facts.get("search", ""), className="attune-note"),
    ]
    curve = facts["curve"]
    caption = (
        f"The pair kept is that of iteration {curve.get('best')}: keeping few neurons projects after each step, so the "
        "curve may fall again. A good fit alone says nothing of its features; see “Does it detect?” for their null."
    )
    settings = {key: facts[key] for key in facts if key not in ("rows", "caption")}
    return about, explained_curve(curve, theme), caption, settings


clientside_callback(
    # The model is a state: as an input it would call this on every page, also where the other inputs are not.
    "function(...values) { values.unshift(values.pop()); return dash_clientside.attune.address(...values, "
    + str(ADDRESS).replace("'", '"')
    + "); }",
    Output("address", "data", allow_duplicate=True),
    Input("mlp-fit", "value"),
    Input("mlp-feature", "data"),
    Input("mlp-members", "data"),
    Input("mlp-tab", "active_tab"),
    Input("mlp-text", "value"),
    Input("mlp-threshold", "value"),
    Input("mlp-root", "value"),
    Input("mlp-prompt", "value"),
    Input("mlp-pole", "value"),
    Input("mlp-target", "value"),
    State("model", "data"),
    prevent_initial_call=True,
)
