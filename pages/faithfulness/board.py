"""Callbacks of the leaderboard: which study, its figures by tier, the table; and what the other tabs ask of a board.

The page keeps the question of the open board, because six tabs read it. A tier that is withheld there is withheld
everywhere: no tab shows scores of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from dash import Input, Output, State, callback, clientside_callback, html, no_update

from analysis.engine.client import Reply
from analysis.faithfulness.answers.board import Board, StudyList, StudyName
from analysis.faithfulness.ops.rows import FaithRows
from analysis.faithfulness.ops.study import TIERS, FaithBoard, FaithStudies
from components.faithfulness.board_figures import LeaderboardOptions, leaderboard
from components.faithfulness.board_table import board_table, exhibits, judge_prompt, tier_cards
from components.faithfulness.honesty import honesty_strip
from components.faithfulness.standing import standing
from components.faithfulness.tables import OneTier, leaderboard_rows, study
from components.kit.card import UNCHANGED, Content
from components.kit.panels import empty
from components.kit.types import Json, Node
from pages.cards import content, ref_of
from pages.common import ask_for, reply_of, spec_of
from pages.faithfulness.cards import LEADERBOARD, RANKING, STUDY
from pages.faithfulness.state import FaithState, awaits_model

NOTHING = "Nothing of this study has a label, so nothing can be ranked. Its scores stand under Distributions."
OWN = {"own": "own chains, no label", "file": "chains from a file"}


@dataclass(frozen=True)
class Choice:
    """An entry of a list on the page."""

    label: str
    value: str


def listed(choices: Sequence[Choice]) -> list[Json]:
    """Entries as a list on the page takes them."""
    return [asdict(choice) for choice in choices]


@dataclass(frozen=True)
class ModelStudies:
    """The studies of a model, and by which weights it is known: a study's name depends on them."""

    model: Json
    fingerprint: str
    rows: tuple[StudyName, ...]

    @classmethod
    def of(cls, model: Json, answer: StudyList | Board) -> ModelStudies:
        """What an answer says of the model's studies."""
        return cls(model, answer.fingerprint, answer.studies)

    @classmethod
    def from_dict(cls, data: Json) -> ModelStudies | None:
        """What the page's store holds."""
        if not data:
            return None
        held = cls(**data)
        return cls(held.model, held.fingerprint, tuple(StudyName(**row) for row in data.get("rows", ())))


def board_of(question: Json) -> Board | None:
    """The board that a store names, None for none."""
    reply: Reply[Board] | None = reply_of(question) if question else None
    return None if reply is None else reply.answer


def with_points(board: Board) -> list[Choice]:
    """Tiers that have items to look at: those ranked, those only shown, and chains without a label."""
    titles = {row.tier: row.title for row in board.tiers if row.tier in TIERS}
    titles |= {row.tier: row.name for row in board.exhibits if row.certified}
    if not titles:
        kind = "file" if board.study.startswith("file") else "own"
        titles = {kind: OWN[kind]}
    return [Choice(title, tier) for tier, title in titles.items()]


def first_of(choices: Sequence[Choice], *wanted: str | None) -> str | None:
    """The first wanted value that is among the choices, else the first choice."""
    values = [choice.value for choice in choices]
    return next((w for w in wanted if w in values), values[0] if values else None)


def usual_tier(choices: Sequence[Choice]) -> str | None:
    """The tier that the page is about: the one that asks for truth, else the first."""
    return first_of(choices, "2", "1")


@callback(
    Output("fth-board", "data"),
    Output("fth-study", "data", allow_duplicate=True),
    Output("fth-board-error", "children"),
    Output("fth-studies", "data"),
    Input("model", "data"),
    Input("fth-study", "data"),
    Input("prepare-filled", "data"),
    State("fth-start", "data"),
    State("session", "data"),
    prevent_initial_call="initial_duplicate",
)
def load_board(model: Json, study: str | None, _filled: Json, start: Json, session: str) -> tuple[Json, ...]:
    """The board of the open study; that of the model's first one where it has no such study, and this is said.

    The studies that can be chosen are listed also where none opens. The open study is named as the board names it, so
    that nobody asks for it a second time under another name.
    """
    if awaits_model(start, model):
        return (no_update,) * 4
    reply, panel = ask_for(lambda: FaithBoard(spec_of(model), study or ""), session, "fth-board")
    if reply is None:
        studies, _ = ask_for(lambda: FaithStudies(spec_of(model)), session, "fth-studies")
        if study and studies is not None and studies.answer.studies:
            reply, _ = ask_for(lambda: FaithBoard(spec_of(model), ""), session, "fth-board")
        if reply is None:
            return None, no_update, panel, studies and asdict(ModelStudies.of(model, studies.answer))
    name = reply.answer.study
    known = asdict(ModelStudies.of(model, reply.answer))
    return asdict(reply.question), no_update if name == (study or "") else name, panel, known


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
    question: Json, known: Json, before: Json, tiers: list[str] | None, tier: str | None, start: Json
) -> tuple[Json, ...]:
    """What can be chosen on the board; what was chosen stays as far as this study has it. Studies can be chosen also
    where none is open."""
    of_model, board = ModelStudies.from_dict(known), board_of(question)
    studies = listed(
        [
            Choice(f"{row.title} · {row.name}" if row.name else row.title, row.name or "default")
            for row in (of_model.rows if of_model else ())
        ]
    )
    if board is None:
        return studies, None, [], [], [], None, ""
    choices = [Choice(row.title, row.tier) for row in board.tiers]
    earlier = {Choice(**option).value for option in before or ()}
    shown = [c.value for c in choices if c.value in (tiers or []) or c.value not in earlier]
    open_tier = first_of(choices, tier, FaithState.from_dict(start).tier, usual_tier(choices))
    options = listed(choices)
    return studies, board.study or "default", options, shown, options, open_tier, board.source


@callback(Output("fth-rows-save", "hidden"), Input("fth-board", "data"))
def offer_rows(question: Json) -> bool:
    """Scores of rows from outside can be written in the columns that these rows came with."""
    board = board_of(question)
    return board is None or not board.study.startswith("file-")


@callback(
    Output("fth-rows-file", "data"),
    Output("fth-rows-said", "children"),
    Input("fth-rows-save", "n_clicks"),
    State("fth-board", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def save_rows(clicks: int | None, question: Json, session: str) -> tuple[Json, Node]:
    """The scores of the open study as a file; the browser hands it to its downloads."""
    board = board_of(question)
    if not clicks or board is None:
        return no_update, no_update
    model = reply_of(question).question.params["model"]
    reply, panel = ask_for(lambda: FaithRows(spec_of(model), board.study), session, "fth-rows")
    if reply is None:
        return no_update, panel
    return {"name": f"attune-{board.study}.csv", "text": reply.answer.text, "n": clicks}, reply.answer.sentence


clientside_callback(
    "dash_clientside.attune_faithboard.rows",
    Output("fth-board-sink", "title", allow_duplicate=True),
    Input("fth-rows-file", "data"),
    prevent_initial_call=True,
)


# A study that was opened from a file becomes the open one.
clientside_callback(
    "(file) => file && file.kind === 'study' && file.ours ? file.name : dash_clientside.no_update",
    Output("fth-study", "data", allow_duplicate=True),
    Input("files-opened", "data"),
    prevent_initial_call=True,
)


# Not an Output: whatever reads the study would wait for this callback's own waiting (see its script, board.js).
clientside_callback(
    "dash_clientside.attune_faithboard.study",
    Output("fth-board-sink", "title"),
    Input("fth-study-pick", "value"),
    State("fth-study", "data"),
    prevent_initial_call=True,
)


@callback(
    output=LEADERBOARD.outputs,
    inputs={
        "tab": Input("fth-tab", "active_tab"),
        "question": Input("fth-board", "data"),
        "tiers": Input("fth-board-tiers", "value"),
        "published": Input("fth-board-published", "value"),
        "theme": State("theme", "data"),
    },
)
def show_board(tab: str, question: Json, tiers: list[str] | None, published: bool, theme: str) -> Content:
    """AUROC of every measure on the tiers that are switched on."""
    if tab != "board":
        return UNCHANGED
    if not question:
        return LEADERBOARD.empty("no study of this model yet")
    reply: Reply[Board] = reply_of(question)
    chosen = tuple(row.tier for row in reply.answer.tiers if row.tier in (tiers or []))
    if not reply.answer.tiers:
        return LEADERBOARD.empty("no item of this study has a label", NOTHING)
    if not chosen:
        return LEADERBOARD.empty("switch a tier on")
    return content(leaderboard, reply, options=LeaderboardOptions(chosen, bool(published)), theme=theme)


@callback(
    Output("fth-board-table", "children"),
    Output("fth-board-cards", "children"),
    Output("fth-board-exhibits", "children"),
    Output("fth-board-standing", "children"),
    STUDY.ref,
    RANKING.ref,
    Input("fth-tab", "active_tab"),
    Input("fth-board", "data"),
    Input("fth-board-table-tier", "value"),
)
def show_table(tab: str, question: Json, tier: str | None) -> tuple[Node, ...]:
    """One tier in numbers, what each tier rests on, and what is shown without being ranked."""
    if tab != "board":
        return (no_update,) * 6
    if not question:
        return empty("No numbers yet."), None, exhibits(()), None, None, None
    reply: Reply[Board] = reply_of(question)
    board, of_study = reply.answer, ref_of(study, reply)
    if not board.tiers:
        return empty(NOTHING), None, exhibits(board.exhibits), None, of_study, None
    why = board.withheld(tier)
    table = empty(why) if why else board_table(board.rows, board.differences, tier or "")
    ranking = None if why or not tier else ref_of(leaderboard_rows, reply, options=OneTier(tier))
    lines = [html.P(line) for line in standing(board)]
    cards = [tier_cards(board.tiers), judge_prompt(board.judge_prompt)]
    return table, cards, exhibits(board.exhibits), lines, of_study, ranking


@callback(Output("fth-honesty", "children"), Input("fth-board", "data"))
def show_honesty(question: Json) -> Node:
    """What the open study rests on; the strip stands above the tabs."""
    board = board_of(question)
    return honesty_strip(board.honesty) if board else None
