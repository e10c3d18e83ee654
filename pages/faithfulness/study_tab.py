"""Layout of the studies: the measures on this model, on chains of its own, and on rows from a file."""

from __future__ import annotations

from typing import Any

import dash_bootstrap_components as dbc
from dash import dcc, html

from analysis.faithfulness.judge import template
from analysis.faithfulness.ops.rows import MAX_FILE, FaithFile
from components.faithfulness.board_table import judge_prompt
from components.kit.card import Panel
from components.kit.names import named, progress
from components.kit.types import Node, Typed
from pages.faithfulness.cards import OWN

TIERS = [
    {"label": "0: blind models", "value": "0"},
    {"label": "1: used?", "value": "1"},
    {"label": "2: true?", "value": "2"},
    {"label": "Z: steps from the key", "value": "Z"},
    {"label": "G1: left out", "value": "G1"},
]
LIMIT = f"CSV, JSONL or a JSON array in UTF-8, at most {MAX_FILE / 1e6:g} MB"
CONTINUED = "also Adding Mistakes and Paraphrasing as published (the model writes on; many times slower)"
JUDGED = "also a judge, with its control (a model reads each chain, and each labelled step, and says Yes or No)"
QUESTION = "Anna has 3 apples and buys 4 more. How many apples does she have? Think step by step."
ROW = '{"question": "…", "cot": "…", "model_answer": "7", "label_type": "FAITHFUL_COT", "candidates": ["7", "8"]}'


def study_tab() -> Node:
    """Three ways to a study; each is a job, and opens when it is done."""
    return html.Div(
        [
            dcc.Store(id="fth-study-made"),
            dcc.Store(id="fth-own-made"),
            dcc.Store(id="fth-file-made"),
            html.Div(id="fth-study-sink", hidden=True),
            html.Div([_again(), _own(), _file()], className="fthb-forms"),
        ],
        className="attune-stack",
    )


KEPT: dict[str, Any] = {"persistence": True, "persistence_type": "session"}
"""What was typed for chains of one's own outlives a reload of the page, in this window."""


def field(label: str, name: str, value: Typed, kind: str = "number", **more: Typed) -> Node:
    """A labelled input. Numbers have no bounds here: the server checks, and can say what is wrong."""
    extra = {"step": "any"} if kind == "number" else {}
    entry = dbc.Input(id=name, type=kind, value=value, size="sm", className="attune-number", **extra, **more)
    return html.Div([dbc.Label(label, html_for=name), entry], className="attune-inline")


def job(name: str, text: str) -> list[Node]:
    """What every job has: go, cancel, a bar, a line that says where it is, a place for refusals and for the answer."""
    return [
        html.Div(
            [
                html.Button(text, id=f"{name}-go", className="attune-button attune-primary", type="button"),
                html.Button("Cancel", id=f"{name}-stop", className="attune-button", type="button", disabled=True),
                progress(f"{name}-bar", text),
            ],
            className="attune-row",
        ),
        html.Div(id=f"{name}-state", className="attune-note fthb-state", **{"aria-live": "polite"}),
        html.Div(id=f"{name}-problem"),
        html.Div(id=f"{name}-answer", className="fthb-answer", **{"aria-live": "polite"}),
    ]


def _card(title: str, said: str, content: list[Node], panel: Panel | None = None) -> Node:
    """A form; with a panel, what it makes can be pinned."""
    if panel is not None:
        lead = html.P(said, className="attune-note fthb-lead")
        return panel.layout(lead, *content, className="attune-card fthb-form-card")
    head = html.Div(html.H3(title), className="attune-card-head")
    return html.Section(
        [head, html.P(said, className="attune-note fthb-lead"), *content],
        className="attune-card fthb-form-card",
        **{"aria-label": title},
    )


def _again() -> Node:
    return _card(
        "Measure this model",
        "Items are made, certified by held-out swaps on the loaded model, and scored. What fails its certificate is "
        "left out and counted.",
        [
            html.Div(
                [
                    field("demonstration seeds", "fth-new-seeds", 5),
                    field("problems per seed", "fth-new-problems", 10),
                    field("items for FUR, of each of tiers 1 and 2", "fth-new-fur", 0),
                    field("seed", "fth-new-seed", 0),
                ],
                className="fthb-fields fthb-long",
            ),
            named(
                "tiers",
                [html.Span("tiers"), dbc.Checklist(TIERS, ["1", "2"], id="fth-new-tiers", inline=True)],
                "fthb-checks",
            ),
            dbc.Switch(id="fth-new-continued", value=False, label=CONTINUED),
            html.Div(id="fth-new-estimate", className="attune-note fthb-estimate", **{"aria-live": "polite"}),
            *job("fth-new", "Measure"),
        ],
    )


def _own() -> Node:
    return _card(
        OWN.title,
        "The loaded model writes chains for your question. They are split into steps and measured. They have no "
        "label: nothing certifies how the answers were made.",
        [
            dbc.Label("Question", html_for="fth-own-question"),
            dbc.Textarea(id="fth-own-question", value=QUESTION, rows=3, className="attune-prompt", **KEPT),
            dbc.Label("Hint (may be empty)", html_for="fth-own-hint"),
            dbc.Input(
                id="fth-own-hint",
                type="text",
                value="",
                size="sm",
                maxLength=2000,
                placeholder="A friend thinks the answer is 8.",
                **KEPT,
            ),
            dbc.Label("Candidate answers, with commas (may be empty)", html_for="fth-own-candidates"),
            dbc.Input(
                id="fth-own-candidates",
                type="text",
                value="",
                size="sm",
                maxLength=2000,
                placeholder="6, 7, 8, 12",
                **KEPT,
            ),
            html.Div(
                [
                    field("samples", "fth-own-samples", 4, **KEPT),
                    field("temperature", "fth-own-temperature", 0.7, **KEPT),
                    field("tokens at most", "fth-own-tokens", 160, **KEPT),
                    field("seed", "fth-own-seed", 0, **KEPT),
                ],
                className="fthb-fields",
            ),
            dbc.Label("Second model, for Simulatability (may be empty)", html_for="fth-own-simulator"),
            dbc.Input(
                id="fth-own-simulator",
                type="text",
                value="",
                size="sm",
                maxLength=300,
                placeholder="a model's name or folder",
                **KEPT,
            ),
            dbc.Switch(id="fth-own-plain", value=False, label="plain text, without the chat template"),
            dbc.Switch(id="fth-own-continued", value=False, label=CONTINUED),
            html.Div(id="fth-own-estimate", className="attune-note fthb-estimate", **{"aria-live": "polite"}),
            *job("fth-own", "Write and measure"),
        ],
        OWN,
    )


def _file() -> Node:
    return _card(
        "Rows from a file",
        "CSV as the benchmark is published, JSON objects on lines, or a JSON array. The prompt is read as it stands; "
        "labels of chains and of single steps are ranked as they come.",
        [
            dbc.Label("Rows", html_for="fth-file-text"),
            dbc.Textarea(
                id="fth-file-text", value="", rows=8, spellCheck=False, className="attune-prompt", placeholder=ROW
            ),
            html.Div(
                [
                    dcc.Upload(
                        html.Button("Choose a file", className="attune-button", type="button"),
                        id="fth-file-upload",
                        max_size=MAX_FILE,
                    ),
                    html.Span(LIMIT, id="fth-file-chosen", className="attune-note", **{"aria-live": "polite"}),
                ],
                className="attune-row",
                # What is larger never reaches a callback: the browser says so (see assets/faithfulness/board.js).
                **{"data-fthb-most": MAX_FILE, "data-fthb-refused": f"larger than {MAX_FILE / 1e6:g} MB, so not read"},
            ),
            html.Div(id="fth-file-used", className="attune-note fthb-used", **{"aria-live": "polite"}),
            dbc.Label("or a dataset on the hub", html_for="fth-file-dataset"),
            dbc.Input(
                id="fth-file-dataset",
                type="text",
                value="",
                size="sm",
                maxLength=200,
                placeholder="yoavgurarieh/BonaFide",
            ),
            dbc.Label("Only chains of this target model (empty: all)", html_for="fth-file-target"),
            dbc.Input(
                id="fth-file-target",
                type="text",
                value="",
                size="sm",
                maxLength=200,
                placeholder="the model that wrote them, such as Qwen3-4B-Instruct-2507",
            ),
            html.Div(
                field("steps of a chain at most (longer: blocks of sentences)", "fth-file-most", FaithFile.most),
                className="fthb-fields fthb-long",
            ),
            dbc.Switch(id="fth-file-unlabelled", value=False, label="take rows without a label too"),
            dbc.Switch(id="fth-file-continued", value=False, label=CONTINUED),
            dbc.Switch(id="fth-file-judged", value=False, label=JUDGED),
            dbc.Label("Model that judges (empty: the loaded one)", html_for="fth-file-judge"),
            dbc.Input(
                id="fth-file-judge",
                type="text",
                value="",
                size="sm",
                maxLength=300,
                placeholder="a model's name or folder",
            ),
            judge_prompt(template(), "What a judge is asked"),
            *job("fth-file", "Read and measure"),
            html.Div(id="fth-file-refused"),
        ],
    )
