"""Callbacks of the studies: what one will cost, three jobs, and opening what they made.

A job's answer goes into a store of its own and from there to the page by way of the browser. If the open study were an
output of the jobs, everything that reads it would wait for a job that runs.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlencode

from dash import Input, Output, State, callback, clientside_callback, html, no_update

from analysis.engine.client import Reply
from analysis.engine.keys import hash_of
from analysis.engine.operation import Operation
from analysis.errors import UserError
from analysis.faithfulness.answers.jobs import OwnChains
from analysis.faithfulness.ops.jobs import FaithEstimate, FaithOwn, FaithStudy, own_words
from analysis.faithfulness.ops.rows import FaithFile
from components.faithfulness.board_table import refused_table
from components.faithfulness.tables import own_chains
from components.kit.panels import note
from components.kit.types import Json, Node, Relay, Typed
from pages.cards import ref_of
from pages.common import ask_for, ask_job, refusal, spec_of
from pages.faithfulness.board import ModelStudies
from pages.faithfulness.cards import OWN as OWN_CHAINS
from pages.faithfulness.state import PATH
from pages.frame.proposals import facts_of

A = TypeVar("A")
NEW = ("seeds", "problems", "fur", "seed", "tiers", "continued")
OWN = ("question", "hint", "candidates", "samples", "temperature", "tokens", "seed", "simulator", "plain",
       "continued")  # fmt: skip
FILE = ("unlabelled", "continued", "target", "most", "dataset", "judged", "judge")
KINDS: dict[type[Operation[Any]], tuple[str, str]] = {
    FaithStudy: ("study", "board"),
    FaithOwn: ("own", "scores"),
    FaithFile: ("file", "board"),
}
"""What a job's study is called by, and the tab where there is something to see: own chains have no label."""


def link_to(job: Operation[Any], known: ModelStudies | None) -> str:
    """Where the tray leads when a job is done: to the study that it makes, with the model that made it.

    A job's link is written before it begins, and a study's name follows from the question and the weights. ``known``:
    the studies that the page knows; where they are of another model, the newest study has to do.
    """
    kind, tab = KINDS[type(job)]
    model, study = spec_of(job.to_params()["model"]), "newest"
    if known and spec_of(known.model) == model:
        study = f"{kind}-{hash_of([job.to_params(), known.fingerprint])[:8]}"
    return f"{PATH}?" + urlencode({"model": json.dumps(model.to_dict()), "study": study, "tab": tab})


def asked(
    make: Callable[[], Operation[A]], set_progress: Relay, session: str, known: Json
) -> tuple[Reply[A] | None, Node]:
    """Ask for a job that makes a study."""
    try:
        job = make()
    except UserError as error:
        return None, refusal(error, FaithFile)  # only rows can be refused before the operation is made
    return ask_job(lambda: job, set_progress, session, link_to(job, ModelStudies.from_dict(known)))


def of_study(
    seeds: Typed, problems: Typed, fur: Typed, seed: Typed, tiers: Typed, continued: Typed
) -> dict[str, Typed]:
    """Fields of a study as the form has them. An empty number is refused by the operation, not replaced."""
    numbers = {"seeds": seeds, "problems": problems, "fur": fur, "seed": seed}
    return numbers | {"tiers": tuple(tiers or ()), "continued": bool(continued)}


def of_own(*values: Typed) -> dict[str, Typed]:
    """Fields of own chains as the form has them."""
    form = dict(zip(OWN, values, strict=True))
    words = ("question", "hint", "candidates", "simulator")
    return {k: bool(v) if k in ("plain", "continued") else (v or "") if k in words else v for k, v in form.items()}


def of_file(*values: Typed) -> dict[str, Typed]:
    """Fields of rows from outside as the form has them, but for the rows."""
    form = dict(zip(FILE, values, strict=True))
    return {
        k: bool(v) if k in ("unlabelled", "continued", "judged") else v if k == "most" else (v or "")
        for k, v in form.items()
    }


def rows_of(text: str | None, contents: str | None) -> str:
    """What was typed, else what the chosen file holds. Raises UserError for a file that is not UTF-8 text."""
    if (text or "").strip() or not contents:
        return text or ""
    try:
        return base64.b64decode(contents.partition(",")[2], validate=True).decode("utf-8")
    except (binascii.Error, ValueError) as error:
        raise UserError("That file is not UTF-8 text. Save it as UTF-8 and try again.", "text") from error


def running(name: str) -> dict[str, Json]:
    """The background options that the three jobs have in common."""
    return {
        "background": True,
        "progress": [Output(f"{name}-bar", "value"), Output(f"{name}-state", "children")],
        "progress_default": ["0", ""],
        "running": [
            (Output(f"{name}-go", "disabled"), True, False),
            (Output(f"{name}-stop", "disabled"), False, True),
        ],
        "cancel": [Input(f"{name}-stop", "n_clicks")],
        "interval": 500,
        "prevent_initial_call": True,
    }


@callback(Output("fth-own-plain", "value"), Input("model", "data"), State("session", "data"))
def propose_plain(model: Json, session: str) -> bool:
    """Chains of one's own go into the chat template; a model without one writes plain text."""
    facts = facts_of(model, session, "fth-proposal")
    return no_update if facts is None else not facts.chat_template


@callback(
    Output("fth-new-estimate", "children"),
    Input("fth-tab", "active_tab"),
    *[Input(f"fth-new-{name}", "value") for name in NEW],
    Input("model", "data"),
    State("session", "data"),
)
def estimate(tab: str, *values: Typed) -> Node:
    """How many items and how long, before it is begun."""
    *form, model, session = values
    if tab != "study":
        return no_update
    reply, panel = ask_for(lambda: FaithEstimate(spec_of(model), **of_study(*form)), session, "fth-estimate")
    return reply.answer.sentence if reply else panel


@callback(
    Output("fth-own-estimate", "children"),
    Input("fth-tab", "active_tab"),
    Input("fth-own-samples", "value"),
    Input("fth-own-tokens", "value"),
    Input("model", "data"),
    State("session", "data"),
)
def estimate_own(tab: str, samples: Typed, tokens: Typed, model: Json, session: str) -> Node:
    """What the model's own chains take, before they are begun."""
    facts = facts_of(model, session, "fth-own-estimate") if tab == "study" else None
    return no_update if facts is None else own_words(samples, tokens, facts.seconds_per_token)


@callback(
    Output("fth-study-made", "data"),
    Output("fth-new-problem", "children"),
    Output("fth-new-answer", "children"),
    Input("fth-new-go", "n_clicks"),
    *[State(f"fth-new-{name}", "value") for name in NEW],
    State("model", "data"),
    State("fth-studies", "data"),
    State("session", "data"),
    **running("fth-new"),
)
def make(set_progress: Relay, clicks: int | None, *values: Typed) -> tuple[Json, Node, Node]:
    """Make, certify and score items with this model; the study is opened when it is there."""
    *form, model, known, session = values
    if not clicks:
        return no_update, no_update, no_update
    reply, panel = asked(lambda: FaithStudy(spec_of(model), **of_study(*form)), set_progress, session, known)
    if reply is None:
        return no_update, panel, None
    study = reply.answer
    return {"study": study.study, "n": clicks}, None, answer(study.sentence, study.study)


@callback(
    Output("fth-own-made", "data"),
    Output("fth-own-problem", "children"),
    Output("fth-own-answer", "children"),
    OWN_CHAINS.ref,
    Input("fth-own-go", "n_clicks"),
    *[State(f"fth-own-{name}", "value") for name in OWN],
    State("model", "data"),
    State("fth-studies", "data"),
    State("session", "data"),
    **running("fth-own"),
)
def write(set_progress: Relay, clicks: int | None, *values: Typed) -> tuple[Json, Node, Node, Json]:
    """Let the model write its chains; each can be opened above."""
    *form, model, known, session = values
    if not clicks:
        return (no_update,) * 4
    reply, panel = asked(lambda: FaithOwn(spec_of(model), **of_own(*form)), set_progress, session, known)
    if reply is None:
        return no_update, panel, None, None
    own = reply.answer
    shown = [answer(own.sentence, own.study), chains(own)]
    return {"study": own.study, "n": clicks}, None, shown, ref_of(own_chains, reply)


@callback(
    Output("fth-file-made", "data"),
    Output("fth-file-problem", "children"),
    Output("fth-file-answer", "children"),
    Output("fth-file-refused", "children"),
    Input("fth-file-go", "n_clicks"),
    State("fth-file-text", "value"),
    State("fth-file-upload", "contents"),
    *[State(f"fth-file-{name}", "value") for name in FILE],
    State("model", "data"),
    State("fth-studies", "data"),
    State("session", "data"),
    **running("fth-file"),
)
def read(set_progress: Relay, clicks: int | None, *values: Typed) -> tuple[Json, Node, Node, Node]:
    """Check rows, measure those that can be used, and list the others with the reason."""
    text, contents, *form, model, known, session = values
    if not clicks:
        return no_update, no_update, no_update, no_update
    reply, panel = asked(
        lambda: FaithFile(spec_of(model), rows_of(text, contents), **of_file(*form)),
        set_progress, session, known,
    )  # fmt: skip
    if reply is None:
        return no_update, panel, None, None
    study = reply.answer
    return {"study": study.study, "n": clicks}, None, answer(study.sentence, study.study), refused_table(study.refused)


def answer(sentence: str, study: str) -> Node:
    """What a job says at its end, and a way to what it made."""
    tab = next(tab for kind, tab in KINDS.values() if study.startswith(kind))
    return html.Div([f"{sentence} ", _opener("Show the study", study, tab=tab)], className="fthb-done")


def chains(own: OwnChains) -> Node:
    """How often each answer came, and every chain with a button that opens it."""
    counts = ", ".join(f"{row.answer} ({row.count})" for row in own.answers)
    rows = [
        html.Tr(
            [
                html.Td(_opener(str(k + 1), own.study, row.item)),
                html.Td(row.answer),
                html.Td(row.text.strip(), className="fthb-chain"),
            ]
        )
        for k, row in enumerate(own.items)
    ]
    head = html.Tr([html.Th(t) for t in ("chain", "answer", "steps")])
    table = html.Table([html.Thead(head), html.Tbody(rows)], className="attune-table")
    return html.Div([note(f"Answers: {counts}." if counts else ""), table], className="attune-table-box fthb-chains")


def _opener(text: str, study: str, item: str = "", tab: str = "") -> Node:
    marks = {"data-fthb-study": study, "data-fthb-item": item, "data-fthb-tab": tab}
    return html.Button(text, className="attune-link", type="button", **marks)


@callback(
    Output("fth-file-chosen", "children"),
    Input("fth-file-upload", "contents"),
    State("fth-file-upload", "filename"),
    prevent_initial_call=True,
)
def chosen(contents: str | None, name: str | None) -> Node:
    """Say which file was chosen; what was typed stays, and comes first."""
    if not contents:
        return no_update
    try:
        text = rows_of("", contents)
    except UserError as error:
        return refusal(error, FaithFile)
    lines = sum(bool(line.strip()) for line in text.splitlines())
    return f"{(name or 'file')[:80]}: {lines:,} lines. It is read where the box above is empty."


# Typed rows keep the file from being read: this is said as soon as there are both.
clientside_callback(
    "dash_clientside.attune_faithboard.reads",
    Output("fth-file-used", "children"),
    Input("fth-file-text", "value"),
    Input("fth-file-upload", "contents"),
    prevent_initial_call=True,
)


# What a job made is opened.
for _name in ("fth-study-made", "fth-own-made", "fth-file-made"):
    clientside_callback(
        "dash_clientside.attune_faithboard.made",
        Output("fth-study-sink", "title", allow_duplicate=True),
        Input(_name, "data"),
        prevent_initial_call=True,
    )
