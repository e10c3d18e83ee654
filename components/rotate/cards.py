"""A neuron's channels as cards.

Each card says first how it stands against random vectors, because its kurtosis alone would make any vector look as if
it held something. Cards have no ids: see :mod:`components.rotate.lists`.
"""

from __future__ import annotations

from collections.abc import Sequence

from dash import html

from analysis.rotate.answers.channels import Channel, ChannelToken, NullBands
from analysis.rotate.answers.neurons import Quantiles, TokenScore
from components.kit.token import token
from components.kit.types import Node
from components.rotate.lists import share_style

FEW = 10
"""Tokens of a card that are shown at once; the rest unfolds."""
_HIDDEN = {"aria-hidden": "true"}


def banner(verdict: str, nothing: bool, left_out: Sequence[TokenScore], null: str, how: str = "") -> Node:
    """What the run says of the neuron, first and plainly; below it what the null is; folded, what was left out of the
    search and how it was made."""
    without = html.Div(
        [html.Span("Left out of the search:"), *[token(r.token, r.id) for r in left_out]],
        className="attune-words nrn-left-out",
    )
    return html.Div(
        [
            html.Div(verdict, className="nrn-verdict"),
            html.Div(null, className="attune-note") if null else None,
            html.Details(
                [
                    html.Summary("How this was measured"),
                    html.Div(how, className="attune-note"),
                    without if left_out else None,
                ]
            )
            if how
            else None,
        ],
        className="nrn-banner" + (" nrn-nothing" if nothing else ""),
        role="status",
    )


def standing(channel: Channel) -> list[tuple[str, str]]:
    """(words, class) of a card's badges."""
    badges = [("beyond the null", "nrn-beyond") if channel.beyond else ("like a random vector", "nrn-like")]
    if channel.attractor is None:
        return badges
    return [*badges, (f"random vectors land here too ({channel.attractor.share:.0%})", "nrn-attractor")]


def channel_cards(channels: Sequence[Channel], null: NullBands, chosen: int | None) -> list[Node]:
    """All cards, in the order of the search."""
    return [channel_card(c, null, c.number == chosen) for c in channels]


def channel_card(channel: Channel, null: NullBands, chosen: bool) -> Node:
    """One channel: how it stands against random vectors, its numbers, its tokens."""
    number = str(channel.number)
    end = "high" if channel.pole > 0 else "low"
    p = f"{channel.p:.3f}" if channel.p >= 0.001 else "below 0.001"
    plain = channel.unweighted
    without = "" if plain is None else f"; without token weights, as the paper reports it, {plain:.1f}"
    facts = (
        ("end", end, f"its tokens stand at the {end} end of the neuron's own scale"),
        ("cosine", f"{channel.cosine:.2f}", f"with the neuron; random vectors end at {_range(null.cosine)}"),
        (
            "kurtosis",
            f"{channel.kurtosis:.1f}",
            f"excess, with the round's token weights; random vectors reach {_range(null.kurtosis)} too{without}",
        ),
        ("percentile", f"{channel.percentile:.1f}", "of its own z, among the null's channels of the same round"),
        ("p", p, "share of random vectors whose best channel has at least this own z"),
    )
    attractor = channel.attractor
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
                    html.Button(
                        "Ablate",
                        className="attune-small",
                        type="button",
                        title="Take it out of the running model",
                        **{"data-nrn-channel": number, "data-leads": "nrn-tab", "data-tab": "ablation"},
                    ),
                ],
                className="nrn-card-head",
            ),
            own_scale(channel.own_z, null),
            html.Div(
                [html.Span([html.Span(n, className="nrn-quiet"), " ", html.Strong(v)], title=t) for n, v, t in facts],
                className="nrn-facts",
            ),
            html.P(channel.sentence, className="attune-note nrn-said"),
            html.P(attractor.sentence, className="attune-note attune-bad") if attractor else None,
            html.Div(
                [html.Span(), html.Span("token"), html.Span("z in channel, neuron"), html.Span("z"), html.Span("own")],
                className="nrn-token nrn-token-head",
                **_HIDDEN,
            ),
            *_token_lines(channel.tokens)[:FEW],
            html.Details([html.Summary(f"{more} more tokens"), *_token_lines(channel.tokens)[FEW:]])
            if (more := len(channel.tokens) - FEW) > 0
            else None,
        ],
        className="attune-card nrn-card" + (" attune-chosen" if chosen else ""),
        **{"aria-label": f"Channel {number}"},
    )


def own_scale(own: float, null: NullBands) -> Node:
    """The mean z of the neuron itself on the channel's tokens, on the band of random vectors' best channels."""
    low, middle, high = null.own_z
    start, end = min(0.0, low, own), max(high, own, 1.0) * 1.08
    at = [100 * (v - start) / (end - start) for v in (low, middle, high, own)]
    band = f"; random vectors {low:.1f} to {high:.1f}, half of them below {middle:.1f}"
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
                **{"aria-label": f"own z {own:.1f}{band}"},
            ),
            html.Div(["own z ", html.Strong(f"{own:.1f}"), band], className="nrn-scale-said"),
        ]
    )


def _token_lines(rows: Sequence[ChannelToken]) -> list[Node]:
    top = max((r.z for r in rows), default=1.0) or 1.0
    return [
        html.Div(
            [
                html.Button(
                    "×",
                    className="attune-small nrn-skip",
                    type="button",
                    title="Leave this token out of the next run",
                    **{
                        "data-nrn-skip": str(r.id),
                        "data-nrn-label": r.token,
                        "aria-label": f"leave out {r.token}",
                    },
                ),
                token(r.token, r.id),
                html.Span(
                    [html.I(style=share_style(r.z / top)), html.B(style=share_style(r.own / top))],
                    className="nrn-bar nrn-double",
                ),
                html.Span(f"{r.z:.1f}", className="attune-row-number"),
                html.Span(f"{r.own:.1f}", className="attune-row-number nrn-quiet"),
            ],
            className="nrn-token",
        )
        for r in rows
    ]


def _range(band: Quantiles) -> str:
    low, _, high = band
    return f"{low:.2f} to {high:.2f}" if abs(high) < 10 else f"{low:.0f} to {high:.0f}"


def channel_choice(channels: Sequence[Channel], chosen: int | None) -> list[Node]:
    """A row of buttons, one for each channel, with its first tokens."""
    return [
        html.Button(
            [
                html.Strong(str(c.number)),
                html.Span(" " + " ".join(t.token.strip() for t in c.tokens[:3])),
                html.Span("" if c.beyond else " (like random)", className="nrn-quiet"),
            ],
            className="attune-button nrn-choice" + (" attune-chosen" if c.number == chosen else ""),
            type="button",
            **{"data-nrn-channel": str(c.number), "aria-pressed": "true" if c.number == chosen else "false"},
        )
        for c in channels
    ]
