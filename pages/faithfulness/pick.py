"""Callbacks of choosing: the model's study as a list of problems, the open item, twins, search; the address.

The list travels once, a row for each text with its regimes, and is filtered in the browser; what is pressed there (or
in a figure, or in the switch of regimes) sets the open item without asking the server.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import Input, Output, State, callback, clientside_callback, no_update

from analysis.faithfulness.ops.study import FaithItems
from components.kit.panels import user_error
from pages.common import attempt, spec_of
from pages.faithfulness.state import ADDRESS, awaits_model

TIERS = {
    "1": "Tier 1: is it used?",
    "2": "Tier 2: is it true?",
    "Z": "Z: rationalises its key",
    "0": "Tier 0: masked models",
    "G1": "G1: a sum left out",
    "own": "Chains of its own",
    "file": "Chains from a file",
}
"""Tiers in the order in which they are offered."""
_REGIMES = {name: place for place, name in enumerate(("R", "true", "chain only", "K", "false", "question only", "Z"))}


@callback(
    Output("model", "data", allow_duplicate=True), Input("fth-start", "data"), State("model", "data"),
    prevent_initial_call="initial_duplicate",
)  # fmt: skip
def use_model_of_address(start: dict[str, Any], current: Any) -> Any:
    """A link may name another model than the one this window used last."""
    return start["model"] if start and start["model"] and start["model"] != current else no_update


@callback(
    Output("fth-items", "data"),
    Output("fth-item", "data"),
    Output("fth-pick-tier", "options"),
    Output("fth-pick-tier", "value"),
    Output("fth-pick-error", "children"),
    Input("model", "data"),
    Input("fth-study", "data"),
    State("fth-items", "data"),
    State("fth-item", "data"),
    State("fth-open", "data"),
    State("fth-pick-tier", "value"),
    State("fth-start", "data"),
    State("session", "data"),
)
def load_items(
    model: Any, study: str | None, before: Any, now: Any, asked: Any, tier: str | None, start: Any, session: str
) -> tuple[Any, ...]:  # fmt: skip
    """The items of the open study, and which of them is open."""
    study, start = study or "", start or {}
    if awaits_model(start, model):
        return (no_update,) * 5
    result, panel = attempt(lambda: FaithItems(spec_of(model), study), session, "fth-items")
    if result is None:
        return {"study": study, "failed": True, "groups": []}, None, [], None, panel
    groups = grouped(result.data["rows"])
    names = [t for t in TIERS if any(t in g["tiers"] for g in groups)]
    # Where the study of the address could not be opened, the usual one stands in for it, and this stays said.
    instead = bool(before and before.get("failed") and before["study"] and not study)
    wanted = wanted_item(study, asked, now, start if before is None else {})
    item, problem = chosen(groups, wanted, tier or start.get("tier"))
    if now and wanted == now["item"]:
        problem = ""  # nobody asked for it in this study: it was open in the last one
    home = home_tier(groups, item, tier or (None if wanted else start.get("tier")))
    said = no_update if instead else user_error(problem) if problem else None
    options = [{"label": TIERS[t], "value": t} for t in names]
    packed = {"study": study, "groups": groups, "count": len(result.data["rows"])}
    return packed, {"item": item, "study": study}, options, home, said


def grouped(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each text: its tiers, demonstrations, and members as [id, regime, label, text, tier], the reading
    regime first. Chains of a model's own and from files stand alone: they have no regimes."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        alone = row["tier"] in ("own", "file")
        key = row["item"] if alone else min([row["item"], *(t["item"] for t in row["twins"])])
        group = found.setdefault(key, {"tiers": [], "demos": row["demos"], "members": []})
        if row["tier"] not in group["tiers"]:
            group["tiers"].append(row["tier"])
        group["members"].append([row["item"], row["regime"], row["label"], row["text"], row["tier"]])
    for group in found.values():
        group["members"].sort(key=lambda m: (_REGIMES.get(m[1], len(_REGIMES)), m[0]))
    order = {t: at for at, t in enumerate(TIERS)}
    return sorted(found.values(), key=lambda g: (min(order.get(t, 99) for t in g["tiers"]), g["demos"]))


def wanted_item(study: str, asked: Any, now: Any, start: dict[str, Any]) -> str:
    """The item that should be open in this study: one that was pressed, the open one, or that of the address."""
    if asked and (asked.get("study") or "") == study:
        return str(asked["item"])
    if now:
        return str(now["item"])
    return str(start.get("item") or "")


def chosen(groups: Sequence[dict[str, Any]], wanted: str, tier: str | None) -> tuple[str, str]:
    """The item to open and a sentence if another was asked for. Else the first text with most regimes of its tier."""
    known = {m[0] for g in groups for m in g["members"]}
    if wanted in known:
        return wanted, ""
    places = [t for t in (tier, *TIERS) if t and any(t in g["tiers"] for g in groups)]
    if not places:
        return "", "This study has no items."
    fitting = [g for g in groups if places[0] in g["tiers"]]
    best = max(fitting, key=lambda g: len(g["members"]))
    member = next(m for m in best["members"] if m[4] == places[0])
    problem = f"This study has no item called {wanted[:40]!r}; another one is open." if wanted else ""
    return str(member[0]), problem


def home_tier(groups: Sequence[dict[str, Any]], item: str, tier: str | None) -> str | None:
    """The tier whose list shows the item: the one that is open, if it does."""
    group = next((g for g in groups if any(m[0] == item for m in g["members"])), None)
    if group is None:
        return None
    if tier in group["tiers"]:
        return tier
    return str(next(m[4] for m in group["members"] if m[0] == item))


clientside_callback(
    "dash_clientside.attune_faith.list",
    Output("fth-list", "data-drawn"),
    Output("fth-count", "children"),
    Input("fth-items", "data"),
    Input("fth-item", "data"),
    Input("fth-pick-tier", "value"),
    Input("fth-search", "value"),
)
# A row of the list, a regime, or the text of a twin was pressed.
clientside_callback(
    "dash_clientside.attune_faith.pick",
    Output("fth-item", "data", allow_duplicate=True),
    Input("fth-picked", "data"),
    State("fth-items", "data"),
    prevent_initial_call=True,
)
# A point of a figure or a row of another tab was pressed; it may belong to another study, which is opened first.
clientside_callback(
    "dash_clientside.attune_faith.open",
    Output("fth-item", "data", allow_duplicate=True),
    Output("fth-study", "data", allow_duplicate=True),
    Output("fth-pick-tier", "value", allow_duplicate=True),
    Input("fth-open", "data"),
    State("fth-items", "data"),
    State("fth-pick-tier", "value"),
    prevent_initial_call=True,
)
# The model is no input here: it belongs to the frame, and its change would call this on other pages too.
clientside_callback(
    "function(item, tab, tier, measure, asked, model) { return dash_clientside.attune_faith.address(item, tab, tier, "
    "measure, asked, model, " + str(ADDRESS).replace("'", '"') + "); }",
    Output("address", "data", allow_duplicate=True),
    Input("fth-item", "data"),
    Input("fth-tab", "active_tab"),
    Input("fth-tier", "data"),
    Input("fth-truth-measure", "value"),
    Input("fth-asked", "data"),
    State("model", "data"),
    prevent_initial_call=True,
)
