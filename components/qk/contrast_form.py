"""The form of a contrast, drawn from the options that its kind declares, and the preview of its examples."""

from __future__ import annotations

import dash_bootstrap_components as dbc
from dash import dcc, html

from analysis.fields import Choice, Flag, Text, Whole
from analysis.qk.answers.features import ContrastPreview
from analysis.qk.contrasts import CONTRAST_KINDS, TEMPLATE_HELP, ContrastKind, ContrastSpec, Option
from components.kit.field import number_field, text_field
from components.kit.types import Node, Typed


def contrast_form(kind: str, given: ContrastSpec | None = None) -> Node:
    """Inputs for one kind of contrast, with its explanation; ids ``{"option": name}``. ``given``: what stands in them,
    in place of the defaults of the kind.

    Numbers have no bounds in the browser: it would send nothing for a number outside them, and the server, which
    checks every one, would not learn what was typed.
    """
    chosen: ContrastKind = CONTRAST_KINDS[kind]
    values = {} if given is None else given.options
    rows = [_row(option, values.get(option.name, option.default)) for option in chosen.options]
    help_text = (
        [html.Details([html.Summary("How to write a template"), html.Pre(TEMPLATE_HELP)])] if kind == "template" else []
    )
    if kind == "jsonl":
        drop = html.Div(["Drop a .jsonl file here, or ", html.U("choose one"), " (20 MB at most)"])
        rows.append(
            dcc.Upload(
                drop, id="jsonl-upload", accept=".jsonl,.json,.txt", max_size=20_000_000, className="attune-upload"
            )
        )
    return html.Div(
        [
            html.P(chosen.explanation),
            *help_text,
            *rows,
            html.Div(
                [
                    text_field(
                        ContrastSpec,
                        "name",
                        "contrast-name",
                        "Name",
                        None if given is None else given.name,
                        placeholder="such as: she finds the woman",
                    ),
                    number_field(
                        ContrastSpec,
                        "n_examples",
                        "examples",
                        "Examples",
                        chosen.default_examples if given is None else given.n_examples,
                    ),
                    number_field(ContrastSpec, "seed", "contrast-seed", "Seed"),
                    html.Button("Preview", id="preview-feature", className="attune-button", type="button"),
                    html.Button(
                        "Add to the list", id="add-feature", className="attune-button attune-primary", type="button"
                    ),
                ],
                className="attune-row",
            ),
            html.Div(id="form-error"),
            html.Div(id="contrast-preview"),
        ],
        className="attune-form",
    )


def _row(option: Option, value: Typed) -> Node:
    name = {"option": option.name}
    field: Node
    if isinstance(option.field, Whole):
        field = dbc.Input(id=name, type="number", step="any", value=value, className="attune-number")
    elif isinstance(option.field, Choice):
        choices = list(option.field.options)
        field = dcc.Dropdown(choices, value, id=name, clearable=False, searchable=False, className="attune-pick")
    elif isinstance(option.field, Flag):
        field = dbc.Switch(id=name, value=bool(value))
    else:
        field = dbc.Textarea(id=name, value=value, rows=5, spellCheck=False, className="attune-prompt")
    text = isinstance(option.field, Text)
    return html.Div(
        [html.Label(option.field.words), field, html.Span(option.help, className="attune-note")],
        className="attune-form-row" + (" attune-form-text" if text else ""),
    )


def preview(examples: ContrastPreview) -> Node:
    """Examples with their query, matching and other keys marked by colour, border and letter."""
    rows: list[Node] = []
    for example in examples.examples:
        marks = {(key.prompt, key.position): "negative" for key in example.negative}
        marks |= {(key.prompt, key.position): "positive" for key in example.positive}
        marks[(example.query.prompt, example.query.position)] = "query"
        for i, tokens in enumerate(example.prompts):
            rows.append(
                html.Div(
                    [
                        html.Span(token, className="attune-mark attune-mark-" + marks.get((i, j), "none"))
                        for j, token in enumerate(tokens)
                    ],
                    className="attune-example",
                )
            )
    cost = (
        f"About {examples.tokens:,} tokens for {examples.count:,} examples, roughly "
        f"{max(1, round(examples.seconds))} s on this machine."
    )
    if examples.held_back:
        cost += f" {examples.held_back:,} more lines are held back, to test the fit on."
    legend = html.Div(
        [
            html.Span("query", className="attune-mark attune-mark-query"),
            html.Span("matching key", className="attune-mark attune-mark-positive"),
            html.Span("other key", className="attune-mark attune-mark-negative"),
            html.Span(cost),
        ],
        className="attune-note",
    )
    return html.Div([legend, *rows])
