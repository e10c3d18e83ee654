"""Callbacks of choosing: the factorization, the list of its features, search, the open feature; facts, the address."""

from __future__ import annotations

import json
from dataclasses import asdict

from dash import Input, Output, State, callback, clientside_callback, ctx, html, no_update

from analysis.snmf.answers.factorization import FeatureTable
from analysis.snmf.ops.factorization import FactorizationFacts, ListFactorizations, SearchFeatures
from components.frame.prepare_card import offer
from components.kit.card import UNCHANGED
from components.kit.panels import user_error
from components.kit.types import Json, Node, Outputs
from components.snmf.card import list_rows, matching, ordered, search_rows, undetected
from components.snmf.figures import kept_curve
from components.snmf.parts import ListOptions, feature_table, fit_facts, fit_parts
from pages.cards import content, ref_of
from pages.common import ask_for, reply_of, spec_of
from pages.mlp_features.cards import ABOUT, CURVE, LIST
from pages.mlp_features.state import FeaturesState, Pick, Start, node_of, table_of
from pages.state import names_of


@callback(
    Output("model", "data", allow_duplicate=True), Input("mlp-start", "data"), State("model", "data"),
    prevent_initial_call="initial_duplicate",
)  # fmt: skip
def use_model_of_address(start: Json, current: Json) -> Json:
    """A link may name another model than the one this window used last."""
    model = Start.from_dict(start).model
    return model if model and model != current else no_update


@callback(
    Output("mlp-fit", "options"),
    Output("mlp-fit", "value"),
    Output("mlp-fits", "data"),
    Output("mlp-list-error", "children"),
    Input("model", "data"),
    Input("mlp-made", "data"),
    Input("mlp-picked", "data"),
    Input("files-opened", "data"),
    Input("prepare-filled", "data"),
    State("mlp-fit", "value"),
    State("mlp-start", "data"),
    State("mlp-fit", "options"),
)
def list_fits(
    model: Json, made: Json, picked: Json, opened: Json, _filled: Json, chosen: str | None, start: Json, before: Json
) -> tuple[Json, str | None, Json, Node]:
    """The fits of the model; one that was made here is opened as soon as it is there, and that of a feature that was
    picked; one that a run made beside the open one is offered."""
    if ctx.triggered_id == "mlp-picked":
        other = Pick.from_dict(picked).fit
        return no_update, other if other and other != chosen else no_update, no_update, no_update
    reply, panel = ask_for(lambda: ListFactorizations(spec_of(model)))
    if reply is None:
        return [], None, None, panel
    fits = reply.answer.fits
    names = [f.name for f in fits]
    if ctx.triggered_id == "files-opened" and opened["kind"] != "factorization":
        return no_update, no_update, no_update, no_update
    newest = reply_of(made).answer.fit if made and ctx.triggered_id == "mlp-made" else None
    newest = opened["name"] if ctx.triggered_id == "files-opened" else newest
    named = Start.from_dict(start).fit if chosen is None else ""
    value = next((n for n in (newest, chosen, named) if n in names), names[0] if names else None)
    options = [{"label": f.title, "value": f.name} for f in fits]
    problem = offer(options, before, "mlp-fit", "mlp-list-error") if ctx.triggered_id == "prepare-filled" else None
    if named and named not in names:
        problem = user_error("The fit that the address names is not in this data folder; another one is open instead.")
    if not fits:
        problem = user_error("No factorization of this model yet. Open the tab “Fit another” below and press Fit.")
    return options, value, asdict(reply.question), problem


@callback(
    Output("mlp-facts", "data"),
    Output("mlp-list-error", "children", allow_duplicate=True),
    Input("mlp-fit", "value"),
    State("model", "data"),
    prevent_initial_call=True,
)
def load_facts(fit: str | None, model: Json) -> tuple[Json, Node]:
    """The question whose answer is the fit with all its features."""
    if not fit:
        return None, no_update
    reply, panel = ask_for(lambda: FactorizationFacts(spec_of(model), fit))
    return (None, panel) if reply is None else (asdict(reply.question), no_update)


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
def choose_feature(question: Json, picked: Json, node: Json, now: int | None, start: Json) -> tuple[int | None, Node]:
    """The feature whose card is open; at opening that of the address, else the one that is detected best."""
    table, pick = table_of(question), Pick.from_dict(picked)
    feature, problem = open_feature(
        set(ctx.triggered_prop_ids.values()),
        table.answer if table else None,
        pick,
        node_of(node),
        now,
        Start.from_dict(start),
    )
    # Without a fit nothing is open, and the card says so: it is told even where nothing was open before.
    return (
        no_update if feature == now and feature is not None else feature,
        user_error(problem) if problem else no_update,
    )


def open_feature(
    triggers: set[str], table: FeatureTable | None, pick: Pick, node: str, now: int | None, start: Start
) -> tuple[int | None, str]:
    """Which feature is open after what was pressed, and a sentence if another was asked for."""
    if table is None:
        return None, ""
    if "mlp-facts" not in triggers:
        level, _, number = node.partition(":")
        if "mlp-node" in triggers:
            return (int(number) if level == "1" and number.isdecimal() else now), ""
        # A feature of another fit waits until its facts have come.
        return (pick.feature if pick.feature is not None and pick.fit in (None, table.fit) else now), ""
    if pick.fit == table.fit:
        return pick.feature, ""
    best = ordered(table.rows, "auc")[0].feature
    named = start.feature if now is None and start.names(table.fit) else None
    if named is not None and named >= table.features:
        return best, f"This fit has features 0 to {table.features - 1}; the address names {named}."
    return (best if named is None else named), ""


@callback(
    Output("mlp-rows", "data"),
    Output("mlp-count", "children"),
    Output("mlp-undetected", "children"),
    LIST.ref,
    Input("mlp-facts", "data"),
    Input("mlp-search", "value"),
    Input("mlp-order", "value"),
)
def rank(question: Json, words: str | None, order: str) -> tuple[Json, str, str, Json]:
    """The rows of the list; a search leaves the matching features."""
    table = table_of(question)
    if table is None:
        return None, "", "", None
    rows = matching(ordered(table.answer.rows, order), words)
    ref = ref_of(feature_table, table, options=ListOptions(order, words or ""))
    words_on_order = undetected(table.answer.rows) if order == "auc" else ""
    return list_rows(rows), f"{len(rows)} of {table.answer.features}", words_on_order, ref


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
    State("mlp-facts", "data"),
    State("model", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def search_tokens(words: str | None, fits: Json, question: Json, model: Json, session: str) -> Node:
    """Beside the list: features of all fits that promote the token typed, or are active on it."""
    if not (words or "").strip():
        return []
    reply, panel = ask_for(lambda: SearchFeatures(spec_of(model), (words or "").strip()), session, "mlp-search")
    if reply is None:
        return panel
    titles = {f.name: f.title for f in reply_of(fits).answer.fits} if fits else {}
    said = reply.answer.sentence
    if not reply.answer.rows:
        table = table_of(question)
        said = f"{said} {listed_words(0 if table is None else len(matching(table.answer.rows, words)))}"
    return [html.Div(said, className="attune-note"), *search_rows(reply.answer.rows, titles)]


def listed_words(count: int) -> str:
    """What is said of the list below a search for which no token leads."""
    if not count:
        return "Try a shorter word, or a part of it."
    some = "1 feature of this fit matches" if count == 1 else f"{count} features of this fit match"
    return f"{some} by theme, label or token, and stand{'s' if count == 1 else ''} below."


@callback(
    output={"about": Output("mlp-about", "children"), "curve": CURVE.outputs, "ref": ABOUT.ref},
    inputs={"question": Input("mlp-facts", "data"), "theme": State("theme", "data")},
)
def show_about(question: Json, theme: str) -> Outputs:
    """What the fit is, the command that made it, and its curve."""
    table = table_of(question)
    if table is None:
        return {"about": no_update, "curve": UNCHANGED, "ref": no_update}
    curve = content(kept_curve, table, theme=theme)
    return {"about": about(table.answer), "curve": curve, "ref": ref_of(fit_parts, table)}


def about(fit: FeatureTable) -> list[Node]:
    """The facts of a fit."""
    rows = [html.Tr([html.Th(name), html.Td(value)]) for name, value in fit_facts(fit)]
    return [
        html.Table(html.Tbody(rows), className="attune-facts"),
        html.P(fit.caption, className="attune-note"),
        html.Div("Made by", className="attune-note"),
        html.Pre(fit.command, className="mlp-command", tabIndex="0"),
        html.Div(fit.search, className="attune-note"),
    ]


clientside_callback(
    # The model is a state: as an input it would call this on every page, also where the other inputs are not.
    "function(...values) { values.unshift(values.pop()); return dash_clientside.attune.address(...values, "
    + json.dumps(names_of(FeaturesState))
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
    Input("mlp-chat", "value"),
    State("model", "data"),
    prevent_initial_call=True,
)
