"""The token card: a panel at the side of every page, and what it says of one token in four parts.

It is no modal: what it says is to be held beside the page, so nothing behind it is dimmed, locked or moved. All text
from a model or a person becomes children of components, never HTML. A share is drawn as a bar with a tick where chance
would put it, so that no number stands without its null.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from dash import dcc, html

from analysis.models.token_name import TokenName
from analysis.token_card.answers import (
    ChannelRow,
    LeadingRegionRow,
    LensRow,
    Place,
    PromotingFeatureRow,
    RegionRow,
    Row,
    SubspaceRow,
    TokenCardAnswer,
    TokenContext,
    TokenPart,
    UsedFeatureRow,
)
from components.kit.card import Panel
from components.kit.figure_card import pin_button
from components.kit.links import local
from components.kit.panels import note
from components.kit.types import Node

HINT = (
    "Click a token in a list, on any page. In a prompt, where a click means something else, double-click it, or press "
    "c while it has the focus."
)
PANEL = Panel("token-card", "Token card")
"""How the card is pinned; its layout is its own."""
TITLES = ("QK subspaces", "Regions", "Neuron channels", "MLP features")


def token_drawer() -> Node:
    """The closed card, for the frame around every page."""
    return html.Section(
        [
            dcc.Store(id="card-tok-ask"),
            dcc.Store(id="card-tok-shown"),
            dcc.Store(id={"settings": PANEL.name}),
            html.Div(
                [
                    html.H2("Token card", id="card-tok-title"),
                    html.Form(
                        [
                            html.Label("Token or short text", htmlFor="card-tok-input", className="visually-hidden"),
                            dcc.Input(
                                id="card-tok-input", type="text", placeholder="token or short text", maxLength=400,
                                autoComplete="off", spellCheck=False, className="form-control form-control-sm",
                            ),
                            html.Button("Look up", className="attune-button", type="submit"),
                        ],
                        id="card-tok-form",
                        className="card-tok-form",
                    ),
                    pin_button(PANEL.name, "the token card"),
                    html.Button(
                        "✕", id="card-tok-close", className="attune-button", type="button", title="Close (Escape)",
                        **{"aria-label": "Close the token card"},
                    ),
                ],
                className="card-tok-bar",
            ),
            html.Div(id="card-tok-error"),
            html.Div(
                [html.Div(id="card-tok-word", className="card-tok-word"), html.Div(note(HINT), id="card-tok-head")],
                className="card-tok-top",
                **{"aria-live": "polite"},
            ),
            html.Div([empty_part(title) for title in TITLES], id="card-tok-parts", className="card-tok-grid"),
        ],
        id="card-tok",
        className="card-tok",
        hidden=True,
        tabIndex="-1",
        role="dialog",
        **{"aria-labelledby": "card-tok-title", "aria-modal": "false", "data-card": PANEL.name},
    )  # fmt: skip


def token_button(row: TokenName, look: str = "attune-token", **more: str) -> Node:
    """A token that opens the card of itself."""
    return html.Button(
        row.token, type="button", className=f"{look} attune-tok", **{"data-token-id": str(row.id), **more}
    )


def context_strip(context: TokenContext, count: int, steer: str = "") -> Node:
    """The tokens around the one asked about, which is marked; each opens its own card in the same context. ``count``:
    how many tokens the text has. ``steer``: the set-up of the text as JSON, "" where the text names none."""
    end = context.first + len(context.tokens)
    tokens = [
        token_button(
            name,
            "attune-token" + (" attune-picked" if position == context.at else ""),
            **{"data-token-position": str(position)} | ({"aria-current": "true"} if position == context.at else {}),
        )
        for position, name in enumerate(context.tokens, context.first)
    ]
    where = {"data-token-text": context.text} if context.text else {}
    where |= {} if context.ids is None else {"data-token-ids": ",".join(map(str, context.ids))}
    where |= {"data-token-chat": "1"} if context.chat else {}
    where |= {"data-token-generate": str(context.generate)} if context.generate else {}
    where |= {"data-token-steer": steer} if steer else {}
    dots = [html.Span("…", className="attune-note")]
    return html.Div(
        [*(dots if context.first else []), *tokens, *(dots if end < count else [])],
        className="card-tok-context",
        role="group",
        **{"aria-label": "the text around the token", **where},
    )


def head(card: TokenCardAnswer, href: Callable[[Place], str], steer: str = "") -> list[Node]:
    """Below the token: its number and other forms, its context, what it looks like by block and why it stands there, a
    remark. ``steer``: as of :func:`context_strip`."""
    context = card.context
    place = ", without a text around it"
    if context is not None:
        place = f" at position {context.at} (of 0 to {context.count - 1})"
    rows = [html.Div(_forms(f"Token {card.id}{place}. ", card.forms), className="attune-note")]
    if context is not None:
        rows.append(context_strip(context, context.count, steer))
    rows += [] if card.lens is None else [_lens(card.lens)]
    if card.why is not None or card.why_note:
        rows.append(why_line(card.why, card.why_note or "", href))
    return [*rows, *([note(card.note)] if card.note else [])]


def why_line(place: Place | None, said: str, href: Callable[[Place], str], *more: Node) -> Node:
    """Why a token stands where it does: a link to the heads that matter for it (``place``), and what it cannot show
    (``said``). ``more`` stands before the link."""
    parts: list[Node] = ["Why here? ", *more]
    if place is not None:
        steered = "Heads that matter for it, and how the steer moves where they look"
        name = steered if "steer" in place.query else "Heads that matter for it"
        parts.append(dcc.Link(name, href=local(href(place))))
    return html.Div([*parts, *([f" {said}"] if said else [])], className="attune-note card-tok-why")


def _lens(row: LensRow) -> Node:
    """The token by block: a column for each, the higher the nearer its rank is to the first."""
    if not row.ranks:
        return note(row.sentence)
    lines = [("unsteered", row.ranks, row.chances)]
    lines += [("steered", row.steered_ranks, row.steered_chances)] if row.how else []
    return html.Div(
        [_sparkline(name, ranks, chances, row.agreement) for name, ranks, chances in lines],
        className="card-tok-lens",
        title=row.sentence + (f" Steered: {row.how}." if row.how else ""),
    )


def _sparkline(name: str, ranks: Sequence[int], chances: Sequence[float], agreement: Sequence[float]) -> Node:
    columns = []
    for n, (rank, chance, share) in enumerate(zip(ranks, chances, agreement, strict=True)):
        where = "embeddings" if n == 0 else f"behind block {n - 1}"
        # A logarithm, since ranks go from tens of thousands to the first: five decades are the height.
        height = max(0.04, 1 - math.log10(rank) / 5)
        said = f"{where}: {chance:.2%}, rank {rank:,}; the lens agrees with the model for {share:.0%} of tokens"
        columns.append(
            html.I(style={"height": f"{100 * height:.0f}%"}, title=said, className="" if rank > 1 else "first")
        )
    since = next((n for n in range(len(ranks)) if all(r == 1 for r in ranks[n:])), None)
    end = f"{chances[-1]:.1%}, rank {ranks[-1]:,}"
    end += "" if since is None else f", first from block {max(0, since - 1)} on"
    return html.Div(
        [
            html.Span(f"rank by block, {name}", className="attune-note card-tok-lensname"),
            html.Span(
                columns, className="card-tok-columns", role="img", **{"aria-label": f"lens by block, {name}: {end}"}
            ),
            html.Span(end, className="attune-note"),
        ],
        className="card-tok-lensline",
    )


def offer(card: TokenCardAnswer) -> list[Node]:
    """What was typed is several tokens: these, each to be chosen in the text that they make."""
    context = TokenContext(card.pieces, 0, -1, len(card.pieces), card.text, False, 0)
    forms = [html.Div(_forms("", card.forms), className="attune-note")] if card.forms else []
    return [note(card.sentence), context_strip(context, len(card.pieces)), *forms]


def _forms(text: str, forms: Sequence[TokenName]) -> list[Node]:
    more = ["Other forms of the word: ", *(token_button(name) for name in forms)] if forms else []
    return [text, *more]


def empty_part(title: str) -> Node:
    """The frame of a part before anything has been asked."""
    return html.Section(html.H3(title), className="card-tok-part", **{"aria-label": title})


def part(data: TokenPart, href: Callable[[Place], str]) -> Node:
    """One decomposition: its rows, each a link to where it is shown, and the sentence that says how to read them."""
    return html.Section(
        [
            html.Div(
                [
                    html.H3(data.title),
                    dcc.Link("open", href=local(href(data.link)), **{"title": f"Open {data.title} for this token"}),
                ],
                className="card-tok-part-head",
            ),
            *[dcc.Link(_row(r), href=local(href(r.link)), className="card-tok-row") for r in data.rows],
            html.P(data.sentence, className="attune-note"),
        ],
        className="card-tok-part",
        **{"aria-label": data.title},
    )


def _row(r: Row) -> list[Node]:
    match r:
        case SubspaceRow():
            return _subspace(r)
        case RegionRow() | LeadingRegionRow():
            return _region(r)
        case ChannelRow():
            return _channel(r)
        case UsedFeatureRow() | PromotingFeatureRow():
            return _feature(r)


def _subspace(r: SubspaceRow) -> list[Node]:
    trace = f"trace {_signed(r.trace)} nats"
    if r.null_trace:
        trace += f" (relabelled {_signed(r.null_trace[0])} ± {r.null_trace[1]:.2f})"
    return [
        _line(f"layer {r.layer}, head {r.head}", r.feature),
        _bar("query", r.query, r.expected, f"{r.query:.0%}", f"median {r.query_typical:.0%}"),
        _bar("key", r.key, r.expected, f"{r.key:.0%}", f"median {r.key_typical:.0%}"),
        _small(f"rank {r.rank}, random subspace {r.expected:.0%}; {trace}"),
    ]


def _region(r: RegionRow | LeadingRegionRow) -> list[Node]:
    top = _line(f"{r.region}: {r.label}", f"block {r.layer}", r.where)
    if isinstance(r, LeadingRegionRow):
        return [top, _small(f"rank {r.rank} among the tokens {r.why}")]
    sure = f"{r.responsibility:.1%}"
    second = (
        f"next {r.second} ({r.second_label}) {r.second_share:.1%}"
        if r.second_share >= 0.001
        else "no other region above 0.1%"
    )
    rows = [
        top,
        _bar("responsibility", r.responsibility, r.expected, sure, f"median {r.typical:.1%}"),
        _small(f"{r.expected:.1%} of all tokens lie there; {second}; local offset {r.local:.0%}"),
    ]
    return [*rows, *([_small("The fit has not seen first positions such as this one.")] if r.outside else [])]


def _channel(r: ChannelRow) -> list[Node]:
    verdict = "beyond the null" if r.beyond else "not beyond the null"
    return [
        _line(f"{r.vector} {r.neuron}, channel {r.channel}", f"block {r.layer}"),
        _bar("percentile", r.percentile / 100, 0.95, f"{r.percentile:.0f}", verdict),
        _small(f"“{r.token}” z {r.z:+.1f} on the channel; the neuron's own z {r.own_z:.1f}"),
    ]


def _feature(r: UsedFeatureRow | PromotingFeatureRow) -> list[Node]:
    top = _line(f"{r.feature}: {r.label}", f"block {r.layer}", r.where)
    if isinstance(r, PromotingFeatureRow):
        return [top, _small(f"pushes this token up, rank {r.rank}, logit {r.value:+.2f}")]
    rarer = f"{r.share:.1%} of tokens" if r.share >= 0.001 else "under 0.1% of tokens"
    return [
        top,
        _bar("percentile", 1 - r.share, 1 - r.expected, f"{100 * (1 - r.share):.1f}", rarer),
        _small(f"chance: one feature at {r.expected:.1%}; {r.value:.0%} of its usual activation"),
    ]


def _line(name: str, where: str, title: str = "") -> Node:
    return html.Span(
        [html.Strong(name), html.Span(where, className="card-tok-where")],
        className="card-tok-line",
        title=f"{name}, {title or where}",
    )


def _bar(name: str, share: float, null: float, value: str, beside: str) -> Node:
    """A share as a bar from 0 to 1, a tick where its null lies, the number, and what it is to be held against."""
    inside = [
        html.I(style={"width": f"{100 * min(1.0, max(0.0, share)):.1f}%"}),
        html.B(style={"left": f"{100 * min(1.0, null):.1f}%"}),
    ]
    return html.Span(
        [
            html.Span(name),
            html.Span(inside, className="card-tok-share", **{"aria-hidden": "true"}),
            html.Span(value, className="card-tok-value"),
            html.Span(beside, className="card-tok-beside"),
        ],
        className="card-tok-figure",
    )


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _small(text: str) -> Node:
    return html.Span(text, className="card-tok-small")
