"""Callbacks of choosing: the model's study as a list of problems, the open item, twins, search; the address.

The list travels once, a row for each text with its regimes, and is filtered in the browser; what is pressed there (or
in a figure, or in the switch of regimes) sets the open item without asking the server.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

from dash import Input, Output, State, callback, clientside_callback, no_update

from analysis.faithfulness.answers.board import ItemRow
from analysis.faithfulness.ops.study import FaithItems
from components.kit.panels import user_error
from components.kit.types import Json
from pages.common import ask_for, spec_of
from pages.faithfulness.state import FaithState, OpenItem, awaits_model
from pages.state import names_of

TIERS = {
    "1": "Tier 1: is it used?",
    "2": "Tier 2: is it true?",
    "Z": "Z: steps from the key",
    "0": "Tier 0: blind models",
    "G1": "G1: a sum left out",
    "own": "Chains of its own",
    "file": "Chains from a file",
}
"""Tiers in the order in which they are offered."""
_REGIMES = {name: place for place, name in enumerate(("R", "true", "chain only", "K", "false", "question only", "Z"))}
NO_ITEMS = (
    "This study has no items: nothing could be certified, since this model does not follow the examples. Under Studies "
    "it can be asked for chains of its own, or measured on rows from a file."
)


class Member(NamedTuple):
    """An item of the list, as the browser gets it."""

    item: str
    regime: str
    label: bool | None
    text: str
    tier: str


@dataclass(frozen=True)
class Group:
    """A row of the list: one text with its tiers, demonstrations and items, the reading regime first."""

    demos: int
    tiers: list[str] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)


@dataclass(frozen=True)
class ListedStudy:
    """The study whose items are listed, and whether it could not be opened."""

    study: str
    failed: bool = False


@callback(
    Output("model", "data", allow_duplicate=True), Input("fth-start", "data"), State("model", "data"),
    prevent_initial_call="initial_duplicate",
)  # fmt: skip
def use_model_of_address(start: Json, current: Json) -> Json:
    """A link may name another model than the one this window used last."""
    model = FaithState.from_dict(start).model
    return model if model and model != current else no_update


@callback(
    Output("fth-items", "data"),
    Output("fth-listed", "data"),
    Output("fth-item", "data"),
    Output("fth-pick-tier", "options"),
    Output("fth-pick-tier", "value"),
    Output("fth-pick-error", "children"),
    Input("model", "data"),
    Input("fth-study", "data"),
    Input("prepare-filled", "data"),
    State("fth-listed", "data"),
    State("fth-item", "data"),
    State("fth-open", "data"),
    State("fth-pick-tier", "value"),
    State("fth-start", "data"),
    State("session", "data"),
)
def load_items(
    model: Json, study: str | None, _filled: Json, before: Json, now: Json, asked: Json, tier: str | None, start: Json,
    session: str,
) -> tuple[Json, ...]:  # fmt: skip
    """The items of the open study, and which of them is open."""
    study, opening = study or "", FaithState.from_dict(start)
    if awaits_model(start, model):
        return (no_update,) * 6
    reply, panel = ask_for(lambda: FaithItems(spec_of(model), study), session, "fth-items")
    if reply is None:
        return packed((), ListedStudy(study, True)), asdict(ListedStudy(study, True)), None, [], None, panel
    groups = grouped(reply.answer.rows)
    names = [t for t in TIERS if any(t in g.tiers for g in groups)]
    # Where the study of the address could not be opened, the usual one stands in for it, and this stays said.
    last = ListedStudy(**before) if before else None
    instead = bool(last and last.failed and last.study and not study)
    wanted = wanted_item(study, asked, now, opening.item if last is None else "")
    item, problem = chosen(groups, wanted, tier or opening.tier)
    if now and wanted == OpenItem.from_dict(now).item:
        problem = ""  # nobody asked for it in this study: it was open in the last one
    home = home_tier(groups, item, tier or (None if wanted else opening.tier))
    panel = no_update if instead else user_error(problem) if problem else None
    options = [{"label": TIERS[t], "value": t} for t in names]
    listed = ListedStudy(study)
    return packed(groups, listed), asdict(listed), asdict(OpenItem(item, study)), options, home, panel


def packed(groups: Sequence[Group], listed: ListedStudy) -> Json:
    """The list as the browser draws it."""
    return asdict(listed) | {"groups": [asdict(group) for group in groups]}


def grouped(rows: Sequence[ItemRow]) -> list[Group]:
    """One row for each text. Chains of a model's own and from files stand alone: they have no regimes."""
    groups: dict[str, Group] = {}
    for row in rows:
        alone = row.tier in ("own", "file")
        key = row.item if alone else min([row.item, *(twin.item for twin in row.twins)])
        group = groups.setdefault(key, Group(row.demos))
        if row.tier not in group.tiers:
            group.tiers.append(row.tier)
        group.members.append(Member(row.item, row.regime, row.label, row.text, row.tier))
    for group in groups.values():
        group.members.sort(key=lambda m: (_REGIMES.get(m.regime, len(_REGIMES)), m.item))
    order = {t: at for at, t in enumerate(TIERS)}
    return sorted(groups.values(), key=lambda g: (min(order.get(t, 99) for t in g.tiers), g.demos))


def wanted_item(study: str, asked: Json, now: Json, start: str) -> str:
    """The item that should be open in this study: one that was pressed, the open one, or that of the address."""
    pressed = OpenItem.from_dict(asked)
    if asked and pressed.study == study:
        return pressed.item
    return OpenItem.from_dict(now).item if now else start


def chosen(groups: Sequence[Group], wanted: str, tier: str | None) -> tuple[str, str]:
    """The item to open and a sentence if another was asked for. Else the first text with most regimes of its tier."""
    if any(m.item == wanted for g in groups for m in g.members):
        return wanted, ""
    places = [t for t in (tier, *TIERS) if t and any(t in g.tiers for g in groups)]
    if not places:
        return "", NO_ITEMS
    fitting = [g for g in groups if places[0] in g.tiers]
    best = max(fitting, key=lambda g: len(g.members))
    member = next(m for m in best.members if m.tier == places[0])
    problem = f"This study has no item called {wanted[:40]!r}; another one is open." if wanted else ""
    return member.item, problem


def home_tier(groups: Sequence[Group], item: str, tier: str | None) -> str | None:
    """The tier whose list shows the item: the one that is open, if it does."""
    group = next((g for g in groups if any(m.item == item for m in g.members)), None)
    if group is None or tier in group.tiers:
        return tier if group else None
    return next(m.tier for m in group.members if m.item == item)


clientside_callback(
    "dash_clientside.attune_faith.list",
    Output("fth-list", "data-drawn"),
    Output("fth-count", "children"),
    Input("fth-items", "data"),
    Input("fth-item", "data"),
    Input("fth-pick-tier", "value"),
    Input("fth-search", "value"),
)
# Another tier was chosen: its first item opens, unless the open one is in it.
clientside_callback(
    "dash_clientside.attune_faith.first",
    Output("fth-item", "data", allow_duplicate=True),
    Input("fth-pick-tier", "value"),
    State("fth-items", "data"),
    State("fth-item", "data"),
    prevent_initial_call=True,
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
    "measure, asked, model, " + str(names_of(FaithState)).replace("'", '"') + "); }",
    Output("address", "data", allow_duplicate=True),
    Input("fth-item", "data"),
    Input("fth-tab", "active_tab"),
    Input("fth-tier", "data"),
    Input("fth-truth-measure", "value"),
    Input("fth-asked", "data"),
    State("model", "data"),
    prevent_initial_call=True,
)
