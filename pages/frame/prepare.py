"""Callbacks of the card that prepares a page: what is needed, what a budget gives, a run and its progress.

A run belongs to the worker and not to a page: it is started by a thread that waits for it, and shown from the list of
jobs, so that it is found again after a reload, in another window, and on every page that it fills. While a run goes on,
the card looks again after each part, and a page whose part has come is told so through the store ``prepare-filled``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import dash
from dash import Dash, Input, Output, State, ctx, no_update

from analysis.errors import UserError
from analysis.models.spec import ModelSpec
from analysis.prepare.answers import NOT_MADE, Budget, PageFacts, Preparation
from analysis.prepare.ops.prepare import DescribePrepare, PrepareModel
from analysis.status import JobRow
from components.frame.prepare_card import (
    budget_options,
    budget_words,
    level_table,
    price,
    shows,
    usual_budget,
)
from components.kit.types import Json, Node, Typed
from pages.address import parse_json
from pages.common import ask_for, client, refusal, reply_of, spec_of
from pages.frame.prepare_runs import begin_run
from pages.manifest import PageManifest

HIDDEN = "prepare-none"
EMPTY = "attune-card prepare-empty"
LINE = "attune-card prepare-better"
_ACTIVE = ("queued", "running")


def page_of(preparation: Preparation, path: str) -> PageFacts | None:
    """What is known of the page at a path; None where nothing is made for it."""
    page = next((page for page in preparation.pages if page.page == path), None)
    return page if page is not None and page.products else None


def looks(page: PageFacts | None) -> str:
    """How the card looks: all of it, one line where there is something better to make, or nothing."""
    if page is None or (page.ready and not any(budget.parts for budget in page.budgets)):
        return HIDDEN
    return LINE if page.ready else EMPTY


def choices(page: PageFacts, preparation: Preparation) -> Sequence[Budget]:
    """The budgets to choose from: those in which something of the page is made. A page's own end where more time gives
    no more, which for all pages is later."""
    longest = max((budget.seconds for budget in page.budgets), default=0.0)
    return (*page.budgets, *(budget for budget in preparation.budgets if budget.seconds > longest))


def budget_of(budgets: Sequence[Budget], seconds: Typed) -> Budget | None:
    """The budget that is chosen; the largest below it where there is none of that length, since more time than that
    gives no more."""
    if not isinstance(seconds, (int, float)):
        return None
    return next((budget for budget in reversed(budgets) if budget.seconds <= seconds), None)


def run_of(jobs: Sequence[JobRow], model: ModelSpec) -> JobRow | None:
    """The newest run for a model, which its link names."""
    runs = [job for job in jobs if job.operation == PrepareModel.__name__ and _model_of(job.link) == model]
    return next((job for job in runs if job.state in _ACTIVE), runs[0] if runs else None)


def link_to(path: str, model: ModelSpec) -> str:
    """Where the job tray leads after a run, and how it is known which model the run is for."""
    return f"{path}?" + urlencode({"model": json.dumps(model.to_dict())})


def _model_of(link: str) -> ModelSpec | None:
    data = parse_json(parse_qs(urlsplit(link).query).get("model", [""])[0])
    try:
        return None if data is None else ModelSpec.from_dict(data)
    except UserError:
        return None


def signature(jobs: Sequence[JobRow], run: JobRow | None) -> str:
    """Changes when a job has ended that may have written something, and when a run comes to its next part."""
    ended = sum(job.state == "done" for job in jobs)
    part = run.text.partition(":")[0] if run is not None and run.state in _ACTIVE else ""
    return f"{ended} {part} {run and run.state}"


def register_prepare(app: Dash, pages: Sequence[PageManifest]) -> None:
    """Register the card's callbacks. ``pages``: all; those whose manifest has a sentence for it get the card."""
    sentences = {page.path: page.prepare for page in pages if page.prepare}

    def path_of(pathname: str | None) -> str:
        return "/" + (dash.strip_relative_path(pathname or "/") or "")

    @app.callback(
        output={
            "asked": Output("prepare-asked", "data"),
            "filled": Output("prepare-filled", "data"),
            "card": Output("prepare", "className"),
            "content": Output("content", "className"),
            "quiet": Output("prepare-pulse", "disabled"),
            "title": Output("prepare-title", "children"),
            "line": Output("prepare-line", "children"),
            "shows": Output("prepare-shows", "children"),
            "levels": Output("prepare-levels", "children"),
            "machine": Output("prepare-machine", "children"),
            "budgets": Output("prepare-budget", "options"),
            "budget": Output("prepare-budget", "value"),
            "since": Output("prepare-since", "data"),
            "impossible": Output("prepare-page", "hidden"),
        },
        inputs={
            "pathname": Input("_pages_location", "pathname"),
            "model": Input("model", "data"),
            "turn": Input("prepare-turn", "data"),
            "again": Input("prepare-measure", "n_clicks"),
            "since": State("prepare-since", "data"),
            "asked": State("prepare-asked", "data"),
            "budget": State("prepare-budget", "value"),
            "card": State("prepare", "className"),
            "session": State("session", "data"),
        },
    )
    def look(
        pathname: str,
        model: Json,
        turn: int,
        again: int | None,
        since: float,
        asked: Json,
        budget: float | None,
        card: str,
        session: str,
    ) -> dict[str, Any]:
        """What the page needs of this model, and what is there; prices are measured anew if that is asked."""
        parts = ("title", "line", "shows", "levels", "machine", "budgets", "budget", "since", "impossible")
        rest = dict.fromkeys(parts, no_update)
        since = time.time() if again and ctx.triggered_id == "prepare-measure" else since
        hidden = {"asked": None, "filled": no_update, "card": HIDDEN, "content": "", "quiet": True, **rest}
        path = path_of(pathname)
        if path not in sentences or spec_of(model).kind == "default":  # what that needs comes with Attune
            return hidden
        reply, _ = ask_for(lambda: DescribePrepare(spec_of(model), since), session, "prepare")
        page = None if reply is None else page_of(reply.answer, path)
        if reply is None or page is None:
            return hidden  # the page itself says why its model cannot be had
        there = [product.present for product in page.products]
        now = {"path": path, "model": model, "there": there, "question": asdict(reply.question)}
        same = bool(asked) and (asked["path"], asked["model"]) == (path, model)
        filled = turn if same and asked["there"] != there else no_update
        appearance = looks(page)
        opened = same and appearance == LINE and "prepare-opened" in card
        return {
            "asked": now,
            "filled": filled,
            "card": f"{appearance} prepare-opened" if opened else appearance,
            # A page that was set up by hand stays as it is.
            "content": no_update if same and asked["there"] == there else _content(appearance),
            "quiet": appearance == HIDDEN,
            "title": sentences[path],
            "line": " ".join(product.sentence for product in page.products),
            "shows": shows(page),
            "levels": level_table(page),
            "machine": reply.answer.machine,
            "budgets": budget_options(choices(page, reply.answer)),
            "budget": usual_budget(choices(page, reply.answer), budget),
            "since": since,
            "impossible": not page.budgets,
        }

    @app.callback(
        Output("prepare-said", "children"),
        Output("prepare-page", "children"),
        Output("prepare-all", "children"),
        Input("prepare-budget", "value"),
        Input("prepare-asked", "data"),
        prevent_initial_call=True,
    )
    def say(seconds: float | None, asked: Json) -> tuple[Node, ...]:
        """What the chosen budget gives, and how long each button will take."""
        if not asked:
            return no_update, no_update, no_update
        preparation: Preparation = reply_of(asked["question"]).answer
        page = page_of(preparation, asked["path"])
        of_page = budget_of(page.budgets, seconds) if page is not None else None
        of_all = budget_of(preparation.budgets, seconds)
        return budget_words(of_page), price("Prepare this page", of_page), price("Prepare all pages", of_all)

    @app.callback(
        Output("prepare-problem", "children"),
        Output("prepare-state", "children", allow_duplicate=True),
        Output("prepare-page", "disabled", allow_duplicate=True),
        Output("prepare-all", "disabled", allow_duplicate=True),
        Input("prepare-page", "n_clicks"),
        Input("prepare-all", "n_clicks"),
        State("prepare-budget", "value"),
        State("prepare-asked", "data"),
        State("session", "data"),
        prevent_initial_call=True,
    )
    def start(
        page: int | None, every: int | None, seconds: float | None, asked: Json, session: str
    ) -> tuple[Node, ...]:
        """Begin a run; it goes on without this page."""
        if not (page or every) or not asked:
            return (no_update,) * 4
        model, path = spec_of(asked["model"]), asked["path"]
        try:
            chosen = (path,) if ctx.triggered_id == "prepare-page" else ()
            operation = PrepareModel(model, chosen, seconds)  # type: ignore[arg-type]  # checked there
            begin_run(operation, session, link_to(path, model))
        except UserError as error:
            return refusal(error, PrepareModel), no_update, False, False
        return None, "Starting …", True, True

    @app.callback(
        Output("prepare-turn", "data"),
        Output("prepare-seen", "data"),
        Output("prepare-job", "data"),
        Output("prepare-run", "hidden"),
        Output("prepare-bar", "value"),
        Output("prepare-state", "children"),
        Output("prepare-page", "disabled"),
        Output("prepare-all", "disabled"),
        Input("prepare-pulse", "n_intervals"),
        State("prepare-turn", "data"),
        State("prepare-seen", "data"),
        State("model", "data"),
        prevent_initial_call=True,
    )
    def watch(_pulse: int, turn: int, seen: str | None, model: Json) -> tuple[Node, ...]:
        """How far the run is; the card looks again when a part of it has come, or another job has ended."""
        jobs = client().jobs()
        run = run_of(jobs, spec_of(model))
        now = signature(jobs, run)
        running = run is not None and run.state in _ACTIVE
        share = 100 * (run.share or 0) if run is not None and running else 0
        turn = turn + 1 if seen is not None and now != seen else no_update
        return turn, now, run.id if run and running else None, not running, share, words(run), running, running

    @app.callback(
        Output("prepare-state", "children", allow_duplicate=True),
        Input("prepare-cancel", "n_clicks"),
        State("prepare-job", "data"),
        prevent_initial_call=True,
    )
    def cancel(clicks: int | None, job: str | None) -> Node:
        """End the run at its next safe point."""
        return "Cancelling; what is done is kept." if clicks and job and client().cancel(job) else no_update

    app.clientside_callback(
        "dash_clientside.attune_prepare.byHand",
        Output("content", "className", allow_duplicate=True),
        Input("prepare-by-hand", "n_clicks"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        "dash_clientside.attune_prepare.open",
        Output("prepare", "className", allow_duplicate=True),
        Output("prepare-open", "children"),
        Input("prepare-open", "n_clicks"),
        State("prepare", "className"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        "dash_clientside.attune_prepare.shown", Output("content", "lang"), Input("content", "className")
    )


def words(run: JobRow | None) -> str:
    """Where a run is, or how it ended if it did not come to its end or left something unmade."""
    if run is None or (run.state == "done" and NOT_MADE not in run.text):
        return ""
    if run.state == "done":
        return run.text
    if run.state in _ACTIVE:
        return run.text or "waiting for its turn"
    ended = "The last run was cancelled." if run.state == "cancelled" else f"The last run stopped: {run.reason}"
    return f"{ended} What it made is kept; Prepare goes on from there."


def _content(appearance: str) -> str:
    return "attune-unprepared" if appearance == EMPTY else ""
