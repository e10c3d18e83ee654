"""Save file and Open file: one control for all pages, beside the title of each.

A page says which artefact is meant by naming the parts of itself that hold it; the script (assets/frame/files.js) reads
them at the press, so nothing travels before. A file may be dropped anywhere on a page that has this control.
"""

from __future__ import annotations

import json

from dash import html

from components.kit.types import Node

Place = tuple[str, str] | tuple[str, str, str, str]
"""Id and property of a component, and for an entry of a list there the id and property that have its number."""


def with_files(title: str, artefact: str, noun: str, beside: Node = None, **subject: Place) -> Node:
    """The title of a page with the control beside it. ``artefact``: the kind that is saved here ("pack": all that
    belongs to the model in use), ``noun`` for its button; ``beside``: what else stands in the row; ``subject``: where
    each field of the request (``name``, ``contrast``, ``rotary``, ``othello``) is."""
    control = html.Div(
        [
            html.Button(f"Save {noun}", className="attune-button", type="button", **{"data-files": "save"}),
            html.Button(
                "Open file",
                className="attune-button",
                type="button",
                title="A file or a pack that Attune saved; it may be dropped anywhere on this page",
                **{"data-files": "open"},
            ),
            html.Div(className="attune-files-answer", role="status"),
        ],
        className="attune-files",
        **{"data-artefact": artefact, "data-subject": json.dumps(subject)},
    )
    return html.Div([html.H1(title, className="attune-title"), beside, control], className="attune-title-row")
