"""What could have stood in the place of a written token: a table with both models' probabilities, and a press that lets
the text go on from another."""

from __future__ import annotations

from collections.abc import Sequence

from dash import html

from analysis.steering.answers import Alternatives
from components.kit.token import token
from components.kit.types import Node

_NAMES = {"base": "unsteered text", "steered": "steered text", "control": "control text"}


def alternatives_table(found: Alternatives, of: str, before: Sequence[int], store: str) -> Node:
    """A row for each alternative in the text ``of``, whose written tokens before it are ``before``. A press saves the
    text, and with which tokens it begins, into ``store``."""
    rows = list(zip(found.labels, found.ids, found.base, found.steered, strict=True))
    if found.chosen not in found.ids:
        rows.append((found.label, found.chosen, found.chosen_base, found.chosen_steered))
    body = [_row(*row, chosen=row[1] == found.chosen, of=of, before=before, store=store) for row in rows]
    other = "control" if of == "control" else "steered"
    head = html.Thead(html.Tr([html.Th(t) for t in ("token", "unsteered", other, "")]))
    return html.Div(
        [
            html.Div(
                [
                    html.Strong(f"Token {found.place + 1} of the {_NAMES[of]}: “{found.label}”"),
                    f", choice {found.ranks[0]:,} of the unsteered model and {found.ranks[1]:,} of the {other} one, "
                    f"both given the same text before. KL there {found.kl:.3f} nats. Probabilities at temperature 1.",
                ],
                className="attune-note",
            ),
            html.Table([head, html.Tbody(body)], className="attune-table attune-alternatives"),
        ]
    )


def _row(
    label: str, index: int, base: float, steered: float, *, chosen: bool, of: str, before: Sequence[int], store: str
) -> Node:
    begin = ",".join(map(str, [*before, index]))
    action = (
        html.Span("stands there", className="attune-note")
        if chosen
        else html.Button(
            "go on from it",
            className="attune-link",
            type="button",
            **{"data-go-on": begin, "data-go-of": of, "data-go-to": store, "aria-label": f"go on from “{label}”"},
        )
    )
    return html.Tr(
        [html.Th(token(label, index)), _bar(base, "before"), _bar(steered, "after"), html.Td(action)],
        className="attune-picked-row" if chosen else "",
    )


def _bar(share: float, kind: str) -> Node:
    return html.Td(
        html.Div(
            f"{share:.1%}" if share >= 0.0005 else f"{share:.1e}",
            className=f"attune-share attune-share-{kind}",
            style={"--share": round(share, 4)},
        )
    )
