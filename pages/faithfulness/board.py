"""Callbacks of the leaderboard: which study, its figures by tier, the table; and what the other tabs ask of a board.

The board is asked for once and kept in the page, because six tabs read it. A tier that is withheld there is withheld
everywhere: no tab shows scores of it.
"""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, clientside_callback, no_update

from analysis.faithfulness.ops.study import TIERS, FaithBoard, FaithStudies
from components.faithfulness.board_figures import leaderboard
from components.faithfulness.board_table import board_table, exhibits, tier_cards
from components.faithfulness.honesty import honesty_strip
from components.kit.figure_card import blank
from components.kit.panels import empty
from pages.common import attempt, spec_of
from pages.faithfulness.state import awaits_model

HEIGHT = 620
FEW = 40
"""Below this many items an interval by resampling is too narrow; with 20 of each label it is about ±0.18 around 0.5."""
NOTHING = "Nothing of this study has a label, so nothing can be ranked. Its scores stand under Distributions."
OWN = {"own": "own chains, no label", "file": "chains from a file"}


def rounded(value: Any) -> Any:
    """Plain data with four significant digits, more than is drawn; a board is half as long so."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return [rounded(v) for v in value] if isinstance(value, list) else value


def withheld(board: Any, tier: str | None) -> str:
    """Why a tier's scores are not shown; "" if they are."""
    for row in (board or {}).get("tiers", ()):
        if row["tier"] == tier and not row.get("shown", True):
            return str(row["why_not"])
    return ""


def with_points(board: Any) -> list[dict[str, str]]:
    """Tiers that have items to look at, as options: those ranked, those only shown, and chains without a label."""
    found = {row["tier"]: row["title"] for row in board["tiers"] if row["tier"] in TIERS}
    found |= {row["tier"]: row["name"] for row in board.get("exhibits") or () if row["certified"]}
    if not found:
        kind = "file" if board["study"].startswith("file") else "own"
        found = {kind: OWN[kind]}
    return [{"label": title, "value": tier} for tier, title in found.items()]


def kept(options: list[dict[str, str]], *wanted: str | None) -> str | None:
    """The first wanted value that is among the options, else the first option."""
    values = [o["value"] for o in options]
    return next((w for w in wanted if w in values), values[0] if values else None)


def usual_tier(options: list[dict[str, str]]) -> str | None:
    """The tier that the page is about: the one that asks for truth, else the first."""
    return kept(options, "2", "1")


@callback(
    Output("fth-board", "data"),
    Output("fth-study", "data", allow_duplicate=True),
    Output("fth-board-error", "children"),
    Output("fth-studies", "data"),
    Input("model", "data"),
    Input("fth-study", "data"),
    State("fth-start", "data"),
    State("session", "data"),
    prevent_initial_call="initial_duplicate",
)
def load_board(model: Any, study: str | None, start: Any, session: str) -> tuple[Any, ...]:
    """The board of the open study; that of the model's first one where it has no such study, and this is said.

    The studies that can be chosen are listed also where none opens. The open study is named as the board names it, so
    that nobody asks for it a second time under another name.
    """
    if awaits_model(start, model):
        return (no_update,) * 4
    result, panel = attempt(lambda: FaithBoard(spec_of(model), study or ""), session, "fth-board")
    if result is None:
        listed, _ = attempt(lambda: FaithStudies(spec_of(model)), session, "fth-studies")
        if study and listed is not None and listed.data["studies"]:
            result, _ = attempt(lambda: FaithBoard(spec_of(model), ""), session, "fth-board")
        if result is None:
            return None, no_update, panel, listed and of_model(model, listed.data)
    name = result.data["study"]
    return rounded(result.data), no_update if name == (study or "") else name, panel, of_model(model, result.data)


def of_model(model: Any, data: dict[str, Any]) -> dict[str, Any]:
    """The studies of a model, and by which weights it is known: a study's name depends on them."""
    return {"model": model, "fingerprint": data["fingerprint"], "rows": data["studies"]}


@callback(
    Output("fth-study-pick", "options"),
    Output("fth-study-pick", "value"),
    Output("fth-board-tiers", "options"),
    Output("fth-board-tiers", "value"),
    Output("fth-board-table-tier", "options"),
    Output("fth-board-table-tier", "value"),
    Output("fth-board-source", "children"),
    Input("fth-board", "data"),
    Input("fth-studies", "data"),
    State("fth-board-tiers", "options"),
    State("fth-board-tiers", "value"),
    State("fth-board-table-tier", "value"),
    State("fth-start", "data"),
)
def offer(
    board: Any, listed: Any, before: Any, tiers: list[str] | None, tier: str | None, start: Any
) -> tuple[Any, ...]:
    """What can be chosen on the board; what was chosen stays as far as this study has it. Studies can be chosen also
    where none is open."""
    studies = [
        {"label": f"{row['title']} · {row['name']}" if row["name"] else row["title"], "value": row["name"] or "default"}
        for row in (listed or {}).get("rows", ())
    ]
    if not board:
        return studies, None, [], [], [], None, ""
    options = [{"label": row["title"], "value": row["tier"]} for row in board["tiers"]]
    known = {o["value"] for o in before or ()}
    shown = [o["value"] for o in options if o["value"] in (tiers or []) or o["value"] not in known]
    open_tier = kept(options, tier, (start or {}).get("tier"), usual_tier(options))
    return studies, board["study"] or "default", options, shown, options, open_tier, board["source"]


# Not an Output: whatever reads the study would wait for this callback's own waiting (see its script, board.js).
clientside_callback(
    "dash_clientside.attune_faithboard.study",
    Output("fth-board-sink", "title"),
    Input("fth-study-pick", "value"),
    State("fth-study", "data"),
    prevent_initial_call=True,
)


@callback(
    Output("fth-leaderboard", "figure"),
    Output("fth-leaderboard-caption", "children"),
    Output({"settings": "fth-leaderboard"}, "data"),
    Input("fth-tab", "active_tab"),
    Input("fth-board", "data"),
    Input("fth-board-tiers", "value"),
    Input("fth-board-published", "value"),
    Input("theme", "data"),
)
def show_board(tab: str, board: Any, chosen: list[str] | None, published: bool, theme: str) -> tuple[Any, ...]:
    """AUROC of every measure on the tiers that are switched on."""
    if tab != "board":
        return (no_update,) * 3
    if not board:
        return blank(HEIGHT, "no study of this model yet"), "", None
    tiers = [row for row in board["tiers"] if row["tier"] in (chosen or [])]
    if not board["tiers"]:
        return blank(HEIGHT, "no item of this study has a label"), NOTHING, None
    if not tiers:
        return blank(HEIGHT, "switch a tier on"), "", None
    settings = {"study": board["study"] or "default", "source": board["source"], "tiers": [t["tier"] for t in tiers]}
    settings["rows"] = visible(board, board["rows"])
    figure = leaderboard(board["rows"], tiers, bool(published), theme)
    return figure, caption(board, tiers, bool(published)), settings


def visible(board: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the board without the numbers of withheld tiers, for what is exported."""
    hidden = {row["tier"] for row in board["tiers"] if not row.get("shown", True)}
    keep = [{k: {t: v for t, v in r[k].items() if t not in hidden} for k in ("auroc", "called")} for r in rows]
    return [r | k for r, k in zip(rows, keep, strict=True)]


def caption(board: Any, tiers: list[dict[str, Any]], published: bool) -> str:
    """How to read the figure, where there are too few items to, and whose the hollow markers are."""
    said = (
        "Dots: AUROC with its 95 % interval; beside it the value and the share of tied pairs. Grey: the same scores "
        "under shuffled labels. The line at 0.5 is chance; what lies below it is drawn below it."
    )
    few = [t["title"] for t in tiers if t["items"] < FEW]
    if few:
        said += f" {', '.join(few)}: with fewer than {FEW} items the grey band says more than the interval does."
    return f"{said} {board['published_note']}" if published else said


@callback(
    Output("fth-board-table", "children"),
    Output("fth-board-cards", "children"),
    Output("fth-board-exhibits", "children"),
    Input("fth-tab", "active_tab"),
    Input("fth-board", "data"),
    Input("fth-board-table-tier", "value"),
)
def show_table(tab: str, board: Any, tier: str | None) -> tuple[Any, Any, Any]:
    """One tier in numbers, what each tier rests on, and what is shown without being ranked."""
    if tab != "board":
        return (no_update,) * 3
    if not board or not board["tiers"]:
        return empty(NOTHING if board else "No numbers yet."), None, exhibits((board or {}).get("exhibits") or ())
    why = withheld(board, tier)
    table = empty(why) if why else board_table(board["rows"], board["differences"], tier or "")
    return table, tier_cards(board["tiers"]), exhibits(board.get("exhibits") or ())


@callback(Output("fth-honesty", "children"), Input("fth-board", "data"))
def show_honesty(board: Any) -> Any:
    """What the open study rests on; the strip stands above the tabs."""
    return honesty_strip(board["honesty"]) if board else None
