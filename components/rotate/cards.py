"""A neuron's channels as cards, and the lists beside them: tokens with bars, neurons that are ready, what was left out.

Lists have no ids of their own: rows carry data attributes for the one listener in assets/pages/neurons.js, since Dash
looks at every component with an id at every change. Each card says first how it stands against random vectors, because
its kurtosis alone would make any vector look as if it held something.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import html

from components.kit.panels import empty, note
from components.kit.token import token
from components.rotate.channel_figures import ARMS

ORDERS = (
    ("beyond", "most beyond the null first"),
    ("kurtosis", "highest kurtosis first"),
    ("layer", "by layer"),
)
FEW = 10
"""Tokens of a card that are shown at once; the rest unfolds."""
_HIDDEN = {"aria-hidden": "true"}


def ordered(rows: Sequence[dict[str, Any]], order: str) -> list[dict[str, Any]]:
    """The neurons that are ready, in the order chosen."""
    keys: dict[str, Any] = {
        "beyond": lambda r: (-r["beyond"], -r["own_z"]),
        "kurtosis": lambda r: -r["kurtosis"],
        "layer": lambda r: (r["layer"], r["vector"], r["neuron"]),
    }
    return sorted(rows, key=keys.get(order, keys["beyond"]))


def matching(rows: Sequence[dict[str, Any]], words: str | None) -> list[dict[str, Any]]:
    """The neurons whose number, layer or channels' tokens hold all the words."""
    wanted = (words or "").lower().split()
    return [r for r in rows if all(w in r["words"] for w in wanted)]


def place(layer: int, vector: str, neuron: int, channel: int | None = None) -> dict[str, str]:
    """The attribute by which a row opens a neuron, and a channel of it."""
    return {"data-nrn-open": f"{layer}:{vector}:{neuron}" + ("" if channel is None else f":{channel}")}


def neuron_rows(rows: Sequence[dict[str, Any]], chosen: dict[str, Any] | None, limit: int = 150) -> list[Any]:
    """The list of neurons whose channels are ready."""
    found: list[Any] = []
    for r in rows[:limit]:
        here = bool(chosen) and all((chosen or {}).get(k) == r[k] for k in ("layer", "vector", "neuron"))
        said = "nothing" if r["nothing"] else f"{r['beyond']} of {r['channels']}"
        found.append(
            html.Button(
                [
                    html.Span(str(r["layer"]), className="nrn-number"),
                    html.Span(f"{r['vector']} {r['neuron']}", className="nrn-name"),
                    html.Span(" ".join(t.strip() for t in r["top"]), className="attune-row-label"),
                    html.Span(f"{r['kurtosis']:.1f}", className="attune-row-number nrn-quiet"),
                    html.Span(said, className="attune-row-number" + (" nrn-quiet" if r["nothing"] else "")),
                ],
                className="nrn-row" + (" attune-region-chosen" if here else ""),
                type="button",
                title=f"layer {r['layer']}, {r['vector']} {r['neuron']}: kurtosis {r['kurtosis']:.2f}, own z "
                f"{r['own_z']:.1f}, percentile {r['percentile']:.1f}",
                **place(r["layer"], r["vector"], r["neuron"]),
                **{"aria-current": "true" if here else "false"},
            )
        )
    if len(rows) > limit:
        found.append(note(f"{len(rows) - limit} more; search to narrow the list."))
    return found or [note("No neuron of the list matches.")]


def found_rows(rows: Sequence[dict[str, Any]], limit: int = 20) -> list[Any]:
    """Channels among whose tokens a typed one is."""
    return [
        html.Button(
            [
                html.Span(f"{r['layer']} {r['vector']} {r['neuron']} · {r['channel']}", className="nrn-name"),
                html.Span(" ".join(t.strip() for t in r["top"]), className="attune-row-label"),
                html.Span(f"{r['token']} {r['z']:.1f}", className="attune-row-number nrn-quiet"),
                html.Span(
                    "beyond" if r["beyond"] else "like random",
                    className="nrn-standing " + ("attune-good" if r["beyond"] else "nrn-quiet"),
                ),
            ],
            className="nrn-found",
            type="button",
            title=f"{r['token']} has z {r['z']:.1f} in it; percentile {r['percentile']:.1f} of the null",
            **place(r["layer"], r["vector"], r["neuron"], r["channel"]),
        )
        for r in rows[:limit]
    ]


def ends(high: Sequence[dict[str, Any]], low: Sequence[dict[str, Any]]) -> Any:
    """The tokens of both ends of a vector, with their z-scores."""
    top = max((abs(r["z"]) for r in (*high, *low)), default=1.0) or 1.0
    columns = []
    for title, rows, look in (("High end", high, ""), ("Low end", low, " nrn-low")):
        lines = [
            html.Div(
                [
                    token(r["token"], r["id"]),
                    html.Span(html.I(style=_share(abs(r["z"]) / top)), className="nrn-bar"),
                    html.Span(f"{r['z']:+.1f}", className="attune-row-number"),
                ],
                className="nrn-end",
            )
            for r in rows
        ]
        columns.append(html.Div([html.H4(title), *lines], className="nrn-ends-column" + look))
    return html.Div(columns, className="nrn-ends")


def banner(verdict: str, nothing: bool, left_out: Sequence[dict[str, Any]], null: str) -> Any:
    """What the run says of the neuron, first and plainly; below it what the null is."""
    return html.Div(
        [
            html.Div(verdict, className="nrn-verdict"),
            html.Div(
                [html.Span("Left out of the search:"), *[token(r["token"], r["id"]) for r in left_out]],
                className="attune-words nrn-left-out",
            )
            if left_out
            else None,
            html.Div(null, className="attune-note"),
        ],
        className="nrn-banner" + (" nrn-nothing" if nothing else ""),
        role="status",
    )


def standing(channel: dict[str, Any]) -> list[tuple[str, str]]:
    """(words, class) of a card's badges."""
    badges = [("beyond the null", "nrn-beyond") if channel["beyond"] else ("like a random vector", "nrn-like")]
    return [*badges, ("attractor", "nrn-attractor")] if channel["attractor"] else badges


def channel_cards(channels: Sequence[dict[str, Any]], null: dict[str, Any], chosen: int | None) -> list[Any]:
    """All cards, in the order in which the channels were found."""
    return [channel_card(c, null, c["number"] == chosen) for c in channels]


def channel_card(channel: dict[str, Any], null: dict[str, Any], chosen: bool) -> Any:
    """One channel: how it stands against random vectors, its numbers, its tokens."""
    number = str(channel["number"])
    pole = "positive" if channel["pole"] > 0 else "negative"
    p = f"{channel['p']:.3f}" if channel["p"] >= 0.001 else "below 0.001"
    plain = channel.get("unweighted")
    without = "" if plain is None else f"; without token weights, as the paper reports it, {plain:.1f}"
    facts = (
        ("pole", f"{'+' if channel['pole'] > 0 else '−'}", f"its tokens stand at the {pole} end of the neuron's scale"),
        ("cosine", f"{channel['cosine']:.2f}", f"with the neuron; random vectors end at {_range(null, 'cosine')}"),
        (
            "kurtosis",
            f"{channel['kurtosis']:.1f}",
            f"excess, with the round's token weights; random vectors reach {_range(null, 'kurtosis')} too{without}",
        ),
        ("percentile", f"{channel['percentile']:.1f}", "of its own z, among the null's channels of the same round"),
        ("p", p, "share of random vectors whose best channel has at least this own z"),
    )
    attractor = channel["attractor"]
    return html.Section(
        [
            html.Div(
                [
                    html.Button(
                        f"Channel {number}",
                        className="attune-link attune-strong",
                        type="button",
                        title="Show this channel in the histogram",
                        **{"data-nrn-channel": number, "aria-pressed": "true" if chosen else "false"},
                    ),
                    *[html.Span(text, className=f"nrn-badge {look}") for text, look in standing(channel)],
                    html.Button("Ablate", className="attune-small", type="button", **{"data-nrn-ablate": number}),
                ],
                className="nrn-card-head",
            ),
            own_scale(channel["own_z"], null),
            html.Div(
                [html.Span([html.Span(n, className="nrn-quiet"), " ", html.Strong(v)], title=t) for n, v, t in facts],
                className="nrn-facts",
            ),
            html.P(channel["sentence"], className="attune-note nrn-said"),
            html.P(attractor["sentence"], className="attune-note attune-bad") if attractor else None,
            html.Div(
                [html.Span(), html.Span("token"), html.Span("z in channel, neuron"), html.Span("z"), html.Span("own")],
                className="nrn-token nrn-token-head",
                **_HIDDEN,
            ),
            *_token_lines(channel["tokens"])[:FEW],
            html.Details([html.Summary(f"{more} more tokens"), *_token_lines(channel["tokens"])[FEW:]])
            if (more := len(channel["tokens"]) - FEW) > 0
            else None,
        ],
        className="attune-card nrn-card" + (" attune-chosen" if chosen else ""),
        **{"aria-label": f"Channel {number}"},
    )


def own_scale(own: float, null: dict[str, Any]) -> Any:
    """The mean z of the neuron itself on the channel's tokens, on the band of random vectors' best channels."""
    low, middle, high = null["own_z"]
    start, end = min(0.0, low, own), max(high, own, 1.0) * 1.08
    at = [100 * (v - start) / (end - start) for v in (low, middle, high, own)]
    said = f"own z {own:.1f}; random vectors {low:.1f} to {high:.1f}, half of them below {middle:.1f}"
    return html.Div(
        [
            html.Div(
                [
                    html.I(
                        className="nrn-scale-band", style={"left": f"{at[0]:.1f}%", "width": f"{at[2] - at[0]:.1f}%"}
                    ),
                    html.I(className="nrn-scale-middle", style={"left": f"{at[1]:.1f}%"}),
                    html.I(className="nrn-scale-point", style={"left": f"{at[3]:.1f}%"}),
                ],
                className="nrn-scale",
                role="img",
                **{"aria-label": said},
            ),
            html.Div(["own z ", html.Strong(f"{own:.1f}"), said[said.index(";") :]], className="nrn-scale-said"),
        ]
    )


def _token_lines(rows: Sequence[dict[str, Any]]) -> list[Any]:
    top = max((r["z"] for r in rows), default=1.0) or 1.0
    return [
        html.Div(
            [
                html.Button(
                    "×",
                    className="attune-small nrn-skip",
                    type="button",
                    title="Leave this token out of the next run",
                    **{
                        "data-nrn-skip": str(r["id"]),
                        "data-nrn-label": r["token"],
                        "aria-label": f"leave out {r['token']}",
                    },
                ),
                token(r["token"], r["id"]),
                html.Span(
                    [html.I(style=_share(r["z"] / top)), html.B(style=_share(r["own"] / top))],
                    className="nrn-bar nrn-double",
                ),
                html.Span(f"{r['z']:.1f}", className="attune-row-number"),
                html.Span(f"{r['own']:.1f}", className="attune-row-number nrn-quiet"),
            ],
            className="nrn-token",
        )
        for r in rows
    ]


def _share(share: float) -> dict[str, str]:
    return {"width": f"{100 * min(max(share, 0.0), 1.0):.0f}%"}


def _range(null: dict[str, Any], name: str) -> str:
    low, _, high = null[name]
    return f"{low:.2f} to {high:.2f}" if abs(high) < 10 else f"{low:.0f} to {high:.0f}"


def channel_choice(channels: Sequence[dict[str, Any]], chosen: int | None) -> list[Any]:
    """A row of buttons, one for each channel, with its first tokens."""
    return [
        html.Button(
            [
                html.Strong(str(c["number"])),
                html.Span(" " + " ".join(t["token"].strip() for t in c["tokens"][:3])),
                html.Span("" if c["beyond"] else " (like random)", className="nrn-quiet"),
            ],
            className="attune-button nrn-choice" + (" attune-chosen" if c["number"] == chosen else ""),
            type="button",
            **{"data-nrn-channel": str(c["number"]), "aria-pressed": "true" if c["number"] == chosen else "false"},
        )
        for c in channels
    ]


def chips(excluded: Sequence[dict[str, Any]]) -> list[Any]:
    """The tokens that are left out, each with a button that takes it in again."""
    return [
        html.Span(
            [
                token(r["token"], r["id"]),
                html.Button(
                    "×",
                    className="attune-small",
                    type="button",
                    title="Take it in again",
                    **{"data-nrn-keep": str(r["id"]), "aria-label": f"take in {r['token']} again"},
                ),
            ],
            className="attune-chip",
        )
        for r in excluded
    ] or [note("none: press × beside a token of a channel to leave it out of the next run")]


def attractor_table(null: dict[str, Any] | None, limit: int = 40) -> Any:
    """Tokens on which random vectors land, the most frequent first."""
    rows = sorted((null or {}).get("attractors", []), key=lambda a: -a["share"])[:limit]
    if not rows:
        return empty("None: no tokens recur in the channels of random vectors.")
    body = [
        html.Tr(
            [
                html.Td(f"{a['share']:.0%}"),
                html.Td(html.Div([token(t["token"], t["id"]) for t in a["tokens"][:12]], className="attune-words")),
            ]
        )
        for a in rows
    ]
    head = html.Thead(html.Tr([html.Th("of random vectors"), html.Th("land on")]))
    return html.Table([head, html.Tbody(body)], className="attune-table")


def arms_table(arms: Sequence[dict[str, Any]]) -> Any:
    """The arms of an ablation as numbers: what falls on the channel's own, on others, and the difference."""
    order = list(ARMS)
    body = [
        html.Tr(
            [
                html.Th(ARMS.get(a["name"], a["name"])),
                *[
                    html.Td(
                        [
                            f"{a[side]:+.3f} ",
                            html.Span("{:+.3f} to {:+.3f}".format(*a[f"{side}_interval"]), className="attune-note"),
                        ]
                    )
                    for side in ("own", "other")
                ],
                html.Td(f"{a['score']:+.3f}"),
            ],
            className="nrn-own" if a["name"] == "channel" else "",
        )
        for a in sorted(arms, key=lambda a: order.index(a["name"]) if a["name"] in order else len(order))
    ]
    titles = ("taken out", "the channel's own (95 %)", "others (95 %)", "own − others")
    head = html.Thead(html.Tr([html.Th(t) for t in titles]))
    return html.Table([head, html.Tbody(body)], className="attune-table")


def activation_strip(labels: Sequence[str], activation: Sequence[float], shown: Sequence[int]) -> list[Any]:
    """A text as tokens shaded by the size of the neuron's activation; positions that were used have a frame."""
    top = max((abs(v) for v in activation), default=1.0) or 1.0
    return [
        html.Span(
            text,
            className="nrn-strip-token" + (" nrn-used" if i in shown else ""),
            title=f"position {i}: activation {value:.3g}" + (", looked at" if i in shown else ""),
            style={"--shade": f"{abs(value) / top:.3f}"},
        )
        for i, (text, value) in enumerate(zip(labels, activation, strict=True))
    ]
