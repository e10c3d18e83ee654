"""The shelf of a model as a table: what is there, of what, how large, what made it, and what can be done with it."""

from __future__ import annotations

import time

import dash_bootstrap_components as dbc
from dash import html

from analysis.portable.answers.files import ModelShelf, ShelfRow
from components.kit.links import local
from components.kit.panels import empty, note
from components.kit.types import Node

HEADS = ("kind", "name", "of", "size", "made by", "made", "")


def shelf_card() -> Node:
    """The card before anything is known."""
    return html.Section(
        [
            html.Div(
                [html.H3("Shelf"), html.Span(id="shelf-of", className="attune-note")], className="attune-card-head"
            ),
            html.Div(id="shelf-rows", children=empty("What was made of the model in use stands here.")),
            html.Div(
                [
                    dbc.Label("Repository on the hub", html_for="hub-repository", className="visually-hidden"),
                    dbc.Input(id="hub-repository", placeholder="owner/name", size="sm", maxLength=200),
                    dbc.Switch(id="hub-public", value=False, label="public, if it is new"),
                    html.Button("Push the pack …", className="attune-button", type="button", **{"data-files": "push"}),
                    html.Button("Open its pack", className="attune-button", type="button", **{"data-files": "fetch"}),
                ],
                className="attune-row",
            ),
            note(
                "Pushing needs a token that may write, in HF_TOKEN or by “hf auth login”. You are shown what goes "
                "where, and asked, before anything does. A saved pack takes presets along, with their prompts; a push "
                "leaves them here."
            ),
        ],
        className="attune-card",
        **{"aria-label": "Shelf"},
    )


def shelf_table(shelf: ModelShelf) -> Node:
    """The rows of a shelf."""
    missing = "" if shelf.complete else " Load the model to see all that belongs to its weights."
    if not shelf.rows:
        return empty(f"There is nothing of {shelf.label} on the shelf yet.{missing}")
    head = html.Thead(html.Tr([html.Th(text, scope="col") for text in HEADS]))
    table = html.Table([head, html.Tbody([_row(row) for row in shelf.rows])], className="attune-table attune-shelf")
    return [html.Div(table, className="attune-table-box"), note(missing.strip()) if missing else None]


def shelf_words(shelf: ModelShelf) -> str:
    """What is on a shelf, in a few words."""
    total = sum(row.size for row in shelf.rows)
    count = len(shelf.rows)
    return f"{shelf.label}: {count} {'artefact' if count == 1 else 'artefacts'}, {size_words(total)}" if count else ""


def size_words(size: int) -> str:
    """Bytes for the reader."""
    return f"{max(1, round(size / 1e3))} kB" if size < 1e5 else f"{size / 1e6:,.1f} MB"


def _row(row: ShelfRow) -> Node:
    made = "comes with Attune" if row.bundled else time.strftime("%Y-%m-%d %H:%M", time.localtime(row.made))
    which = {"data-artefact": row.kind, "data-name": row.name}
    named = f"{row.words} {row.name}"
    buttons = [_button("Save file", "row", f"Save {named} as a file", which)]
    if not row.bundled:
        buttons.append(_button("Delete …", "delete", f"Delete {named}", which))
    return html.Tr(
        [
            html.Td(html.A(row.words, href=local(row.page))),
            html.Td(row.name),
            html.Td(row.title),
            html.Td(size_words(row.size)),
            html.Td(row.command),
            html.Td(made),
            html.Td(html.Div(buttons, className="attune-row")),
        ]
    )


def _button(text: str, act: str, label: str, which: dict[str, str]) -> Node:
    return html.Button(
        text,
        className="attune-link",
        type="button",
        **{"aria-label": label, "data-files": act, **which},
    )
