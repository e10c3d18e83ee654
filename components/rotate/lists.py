"""The lists of the Neurons page: neurons that are ready, channels with a token, tokens with bars, what was left out.

Lists have no ids of their own: rows carry data attributes for the one listener in assets/neurons.js, since Dash
looks at every component with an id at every change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dash import html

from analysis.rotate.answers.neurons import ChannelMatch, Place, ReadyNeuron, Token, TokenGroup, TokenScore
from components.kit.panels import empty, note
from components.kit.token import token
from components.kit.types import Node

ORDERS = {
    "beyond": "most beyond the null first",
    "kurtosis": "highest kurtosis first",
    "layer": "by layer",
}
"""Orders of the list of neurons, in words."""


def in_order(rows: Sequence[ReadyNeuron], order: str) -> list[ReadyNeuron]:
    """The neurons that are ready, in the order chosen."""
    keys: dict[str, Callable[[ReadyNeuron], tuple[Any, ...]]] = {
        "beyond": lambda r: (-r.beyond, -r.own_z),
        "kurtosis": lambda r: (-r.kurtosis,),
        "layer": lambda r: (r.layer, r.vector, r.neuron),
    }
    return sorted(rows, key=keys.get(order, keys["beyond"]))


def with_words(rows: Sequence[ReadyNeuron], words: str | None) -> list[ReadyNeuron]:
    """The neurons whose number, layer or channels' tokens hold all the words."""
    wanted = (words or "").lower().split()
    return [r for r in rows if all(w in r.words for w in wanted)]


def place(layer: int, vector: str, neuron: int, channel: int | None = None) -> dict[str, str]:
    """The attribute by which a row opens a neuron, and a channel of it."""
    return {"data-nrn-open": f"{layer}:{vector}:{neuron}" + ("" if channel is None else f":{channel}")}


def neuron_rows(rows: Sequence[ReadyNeuron], chosen: Place | None, limit: int = 150) -> list[Node]:
    """The list of neurons whose channels are ready."""
    lines: list[Node] = []
    for r in rows[:limit]:
        here = chosen == Place(r.layer, r.vector, r.neuron)
        standing = "nothing" if r.nothing else f"{r.beyond} of {r.channels}"
        lines.append(
            html.Button(
                [
                    html.Span(str(r.layer), className="nrn-number"),
                    html.Span(f"{r.vector} {r.neuron}", className="nrn-name"),
                    html.Span(" ".join(t.strip() for t in r.top), className="attune-row-label"),
                    html.Span(f"{r.kurtosis:.1f}", className="attune-row-number nrn-quiet"),
                    html.Span(standing, className="attune-row-number" + (" nrn-quiet" if r.nothing else "")),
                ],
                className="nrn-row" + (" attune-region-chosen" if here else ""),
                type="button",
                title=f"layer {r.layer}, {r.vector} {r.neuron}: kurtosis {r.kurtosis:.2f}, own z "
                f"{r.own_z:.1f}, percentile {r.percentile:.1f}",
                **place(r.layer, r.vector, r.neuron),
                **{"aria-current": "true" if here else "false"},
            )
        )
    if len(rows) > limit:
        lines.append(note(f"{len(rows) - limit} more; search to narrow the list."))
    return lines or [note("Of the list's ready neurons none has it among the first tokens of its channels.")]


LIKE_RANDOM = (
    "“like random”: a rotation finds tokens that belong together even in a random vector; what counts is how far the "
    "neuron itself favours them, and here that is no more than in a random one."
)


def match_rows(rows: Sequence[ChannelMatch], limit: int = 20) -> list[Node]:
    """Channels among whose tokens a typed one is, and what it means that one is like random."""
    told = [] if all(r.beyond for r in rows[:limit]) else [note(LIKE_RANDOM)]
    return told + [
        html.Button(
            [
                html.Span(f"{r.layer} {r.vector} {r.neuron} · {r.channel}", className="nrn-name"),
                html.Span(" ".join(t.strip() for t in r.top), className="attune-row-label"),
                html.Span(f"{r.token} {r.z:.1f}", className="attune-row-number nrn-quiet"),
                html.Span(
                    "beyond" if r.beyond else "like random",
                    className="nrn-standing " + ("attune-good" if r.beyond else "nrn-quiet"),
                ),
            ],
            className="nrn-found",
            type="button",
            title=f"{r.token} has z {r.z:.1f} in it; percentile {r.percentile:.1f} of the null",
            **place(r.layer, r.vector, r.neuron, r.channel),
        )
        for r in rows[:limit]
    ]


def ends(high: Sequence[TokenScore], low: Sequence[TokenScore]) -> Node:
    """The tokens of both ends of a vector, with their z-scores."""
    top = max((abs(r.z) for r in (*high, *low)), default=1.0) or 1.0
    columns = []
    for title, rows, look in (("High end", high, ""), ("Low end", low, " nrn-low")):
        lines = [
            html.Div(
                [
                    token(r.token, r.id),
                    html.Span(html.I(style=share_style(abs(r.z) / top)), className="nrn-bar"),
                    html.Span(f"{r.z:+.1f}", className="attune-row-number"),
                ],
                className="nrn-end",
            )
            for r in rows
        ]
        columns.append(html.Div([html.H4(title), *lines], className="nrn-ends-column" + look))
    return html.Div(columns, className="nrn-ends")


def chips(excluded: Sequence[Token]) -> list[Node]:
    """The tokens that are left out, each with a button that takes it in again."""
    return [
        html.Span(
            [
                token(r.token, r.id),
                html.Button(
                    "×",
                    className="attune-small",
                    type="button",
                    title="Take it in again",
                    **{"data-nrn-keep": str(r.id), "aria-label": f"take in {r.token} again"},
                ),
            ],
            className="attune-chip",
        )
        for r in excluded
    ] or [note("none: press × beside a token of a channel to leave it out of the next run")]


def attractor_table(groups: Sequence[TokenGroup], limit: int = 40) -> Node:
    """Tokens on which random vectors land, the most frequent first."""
    rows = sorted(groups, key=lambda group: -group.share)[:limit]
    if not rows:
        return empty("None: no tokens recur in the channels of random vectors.")
    body = [
        html.Tr(
            [
                html.Td(f"{group.share:.0%}"),
                html.Td(html.Div([token(t.token, t.id) for t in group.tokens[:12]], className="attune-words")),
            ]
        )
        for group in rows
    ]
    head = html.Thead(html.Tr([html.Th("of random vectors"), html.Th("land on")]))
    return html.Table([head, html.Tbody(body)], className="attune-table")


def share_style(share: float) -> dict[str, str]:
    """The width of a bar."""
    return {"width": f"{100 * min(max(share, 0.0), 1.0):.0f}%"}
