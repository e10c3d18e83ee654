"""The token card: a panel at the side of every page, and what it says of one token in four parts.

It is no modal: what it says is to be held beside the page, so nothing behind it is dimmed, locked or moved. All text
from a model or a person becomes children of components, never HTML. A share is drawn as a bar with a tick where chance
would put it, so that no number stands without its null.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dash import dcc, html

from components.kit.links import local
from components.kit.panels import note

HINT = (
    "Click a token in a list, on any page. In a prompt, where a click means something else, double-click it, or press "
    "c while it has the focus."
)
TITLES = ("QK subspaces", "Regions", "Neuron channels", "MLP features")


def token_drawer() -> Any:
    """The closed card, for the frame around every page."""
    return html.Section(
        [
            dcc.Store(id="card-tok-ask"),
            dcc.Store(id="card-tok-shown"),
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
        **{"aria-labelledby": "card-tok-title", "aria-modal": "false"},
    )  # fmt: skip


def token_button(row: dict[str, Any], look: str = "attune-token", **more: Any) -> Any:
    """A token that opens the card of itself."""
    return html.Button(
        row["token"], type="button", className=f"{look} attune-tok", **{"data-token-id": str(row["id"]), **more}
    )


def context_strip(context: dict[str, Any]) -> Any:
    """The tokens around the one asked about, which is marked; each opens its own card in the same context."""
    first, at = context["first"], context["at"]
    end = first + len(context["tokens"])
    tokens = [
        token_button(
            row,
            "attune-token" + (" attune-picked" if first + i == at else ""),
            **{"data-token-position": str(first + i)} | ({"aria-current": "true"} if first + i == at else {}),
        )
        for i, row in enumerate(context["tokens"])
    ]
    where = {"data-token-text": context["text"]} if context["text"] else {}
    where |= {"data-token-ids": ",".join(map(str, context["ids"]))} if "ids" in context else {}
    where |= {"data-token-chat": "1"} if context.get("chat") else {}
    where |= {"data-token-generate": str(context["generate"])} if context.get("generate") else {}
    dots = [html.Span("…", className="attune-note")]
    return html.Div(
        [*(dots if first else []), *tokens, *(dots if end < context.get("count", end) else [])],
        className="card-tok-context",
        role="group",
        **{"aria-label": "the text around the token", **where},
    )


def head(data: dict[str, Any]) -> list[Any]:
    """Below the token: its number and other forms, its context, a remark."""
    context, forms = data["context"], data["forms"]
    place = ", without a text around it"
    if context:
        place = f" at position {context['at']} (of 0 to {context['count'] - 1})"
    rows = [html.Div(_forms(f"Token {data['id']}{place}. ", forms), className="attune-note")]
    if context:
        rows.append(context_strip(context))
    return [*rows, *([note(data["note"])] if data["note"] else [])]


def offer(data: dict[str, Any]) -> list[Any]:
    """What was typed is several tokens: these, each to be chosen in the text that they make."""
    context = {"tokens": data["pieces"], "first": 0, "at": -1, "text": data["text"]}
    forms = [html.Div(_forms("", data["forms"]), className="attune-note")] if data["forms"] else []
    return [note(data["sentence"]), context_strip(context), *forms]


def _forms(text: str, forms: list[dict[str, Any]]) -> list[Any]:
    more = ["Other forms of the word: ", *(token_button(row) for row in forms)] if forms else []
    return [text, *more]


def empty_part(title: str) -> Any:
    """The frame of a part before anything has been asked."""
    return html.Section(html.H3(title), className="card-tok-part", **{"aria-label": title})


def part(data: dict[str, Any], href: Callable[[dict[str, Any]], str]) -> Any:
    """One decomposition: its rows, each a link to where it is shown, and the sentence that says how to read them."""
    row = {
        "QK subspaces": _subspace,
        "Regions": _region,
        "Neuron channels": _channel,
        "MLP features": _feature,
    }[data["title"]]
    return html.Section(
        [
            html.Div(
                [
                    html.H3(data["title"]),
                    dcc.Link(
                        "open", href=local(href(data["link"])), **{"title": f"Open {data['title']} for this token"}
                    ),
                ],
                className="card-tok-part-head",
            ),
            *[dcc.Link(row(r), href=local(href(r["link"])), className="card-tok-row") for r in data["rows"]],
            html.P(data["sentence"], className="attune-note"),
        ],
        className="card-tok-part",
        **{"aria-label": data["title"]},
    )


def _subspace(r: dict[str, Any]) -> list[Any]:
    trace = f"trace {_signed(r['trace'])} nats"
    if r["null_trace"]:
        trace += f" (relabelled {_signed(r['null_trace'][0])} ± {r['null_trace'][1]:.2f})"
    return [
        _line(f"layer {r['layer']}, head {r['head']}", r["feature"]),
        *[
            _bar(side, r[side], r["expected"], f"{r[side]:.0%}", f"median {r[f'{side}_typical']:.0%}")
            for side in ("query", "key")
        ],
        _small(f"rank {r['rank']}, random subspace {r['expected']:.0%}; {trace}"),
    ]


def _region(r: dict[str, Any]) -> list[Any]:
    top = _line(f"{r['region']}: {r['label']}", f"block {r['layer']}", r["where"])
    if "why" in r:
        return [top, _small(f"rank {r['rank']} among the tokens {r['why']}")]
    sure = f"{r['responsibility']:.1%}"
    second = (
        f"next {r['second']} ({r['second_label']}) {r['second_share']:.1%}"
        if r["second_share"] >= 0.001
        else "no other region above 0.1%"
    )
    rows = [
        top,
        _bar("responsibility", r["responsibility"], r["expected"], sure, f"median {r['typical']:.1%}"),
        _small(f"{r['expected']:.1%} of all tokens lie there; {second}; local offset {r['local']:.0%}"),
    ]
    return [*rows, *([_small("The fit has not seen first positions such as this one.")] if r["outside"] else [])]


def _channel(r: dict[str, Any]) -> list[Any]:
    verdict = "beyond the null" if r["beyond"] else "not beyond the null"
    return [
        _line(f"{r['vector']} {r['neuron']}, channel {r['channel']}", f"block {r['layer']}"),
        _bar("percentile", r["percentile"] / 100, 0.95, f"{r['percentile']:.0f}", verdict),
        _small(f"“{r['token']}” z {r['z']:+.1f} on the channel; the neuron's own z {r['own_z']:.1f}"),
    ]


def _feature(r: dict[str, Any]) -> list[Any]:
    top = _line(f"{r['feature']}: {r['label']}", f"block {r['layer']}", r["where"])
    if r["how"] == "promotes":
        return [top, _small(f"pushes this token up, rank {r['rank']}, logit {r['value']:+.2f}")]
    rarer = f"{r['share']:.1%} of tokens" if r["share"] >= 0.001 else "under 0.1% of tokens"
    return [
        top,
        _bar("percentile", 1 - r["share"], 1 - r["expected"], f"{100 * (1 - r['share']):.1f}", rarer),
        _small(f"chance: one feature at {r['expected']:.1%}; {r['value']:.0%} of its usual activation"),
    ]


def _line(name: str, where: str, title: str = "") -> Any:
    return html.Span(
        [html.Strong(name), html.Span(where, className="card-tok-where")],
        className="card-tok-line",
        title=f"{name}, {title or where}",
    )


def _bar(name: str, share: float, null: float, value: str, beside: str) -> Any:
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


def _small(text: str) -> Any:
    return html.Span(text, className="card-tok-small")
