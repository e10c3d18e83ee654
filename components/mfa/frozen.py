"""Free or frozen as bars: what share of an effect goes through changed patterns, what heads carry, MLPs, or past them.

Shares of the set-up's words and of random directions are not of one thing, for a random direction hardly moves those
words; so a second bar gives the set-up's shares of the tokens that it raises most itself, and the dots those of random
directions, each of the tokens that it raises.
"""

from __future__ import annotations

import numpy as np

from analysis.mfa.answers.frozen import ASKED, Frozen
from analysis.spoken import listed
from analysis.steering.parts import PARTS, SETS, shares_of
from components.kit.figure import Figure, figure
from components.kit.labels import escaped
from components.kit.part import Table
from components.kit.view import Control, Drawing, NoOptions, view

HEIGHT = 300
LEAST = 0.1
"""Nats below which an effect is too small to be shared out."""
WORDS = 6
COLOURS = ("#0072B2", "#56B4E9", "#E69F00")
PUSH, ITSELF, RANDOM = "the set-up, on the words", "the set-up, on what it raises most", "random directions, likewise"


@view("steering/frozen", Frozen)
def frozen_bars(frozen: Frozen, options: NoOptions, theme: str) -> Drawing:
    """Through what a steer acts, beside random directions at the same KL."""
    own, itself, random = shares(frozen)
    numbers = {"effect on the words": float(frozen.target[0, -1])}
    numbers |= {f"share {name}": float(v) for name, v in zip(routes(frozen), own, strict=True) if np.isfinite(v)}
    control = Control(
        "random directions at the same KL",
        claim(frozen),
        {f"random {name}": float(v) for name, v in zip(routes(frozen), _mean(random), strict=True) if np.isfinite(v)},
    )
    return Drawing(
        _figure(frozen, own, itself, random, theme),
        _caption(frozen),
        {"words": list(frozen.tokens)},
        parts=(Table("What stays if it is held", _COLUMNS, _rows(frozen)),),
        control=control,
        numbers=numbers,
    )


def shares(frozen: Frozen) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares (4,) of the set-up's effect on the words, (4,) on what it raises most, and (draws, 4) of each random
    direction on what it raises most; NaN where the effect is below LEAST."""
    target, raised = _divided(frozen.target), _divided(frozen.raised)
    return target[0], raised[0], raised[1:]


def routes(frozen: Frozen) -> tuple[str, ...]:
    """By what an effect goes, in words."""
    count = len(frozen.heads)
    if not count:
        return ("changed patterns", "what heads carry", "MLPs", "the residual stream alone")
    heads = "1 head" if count == 1 else f"{count} heads"
    carry = "carries" if count == 1 else "carry"
    return (f"changed patterns of {heads}", f"what {heads} {carry}", "MLPs", "all else")


def claim(frozen: Frozen) -> str:
    """One sentence on where the effect goes, one on what stays, and how random directions differ."""
    total = float(frozen.target[0, -1])
    words = f"its words ({frozen.subject})"
    if frozen.subject == ASKED:
        words = f"“{frozen.tokens[0].strip('␣ ')}”, {ASKED},"
    much = "less than 0.01" if abs(total) < 0.005 else f"{total:+.2f}"
    lead = f"After “{frozen.label.strip('␣ ')}” the set-up changes the log-odds of {words} by {much} nats"
    if abs(total) < LEAST:
        return f"{lead}, too little to be shared out among parts."
    own, itself, random = shares(frozen)
    names = routes(frozen)
    ways = [f"{_per_cent(v)} through {name}" for v, name in zip(own, names, strict=True)]
    said = f"{lead}: {listed(ways)}. "
    held = frozen.target[0, SETS.index(frozenset(PARTS[1:]))]
    were = "it was" if len(frozen.heads) == 1 else "they were"
    said += f"With {_held(frozen)} held as {were}, {held / total:.0%} stays. "
    draws = random[np.isfinite(random).all(1)]
    if not len(draws):
        return said + "No random direction raises its tokens enough to be compared."
    said += (
        f"Random directions at the same KL ({frozen.kls[0]:.3g} nats, {len(draws)} draws), on what each raises most: "
        f"{_shares(draws.mean(0))} on average"
    )
    if not np.isfinite(itself).all():
        return said + "."
    outside = [
        name for name, v, low, high in zip(names, itself, draws.min(0), draws.max(0), strict=True)
        if not low <= v <= high
    ]  # fmt: skip
    said += f"; the set-up there: {_shares(itself)}, "
    return said + ("within their range." if not outside else f"outside their range for {listed(outside)}.")


def _held(frozen: Frozen) -> str:
    if not frozen.heads:
        return f"all attention patterns above block {frozen.above}"
    if len(frozen.heads) > 1:
        return f"the patterns of {len(frozen.heads)} heads above block {frozen.above}"
    (layer, head) = frozen.heads[0]
    return f"the pattern of layer {layer}, head {head}"


def _divided(effects: np.ndarray) -> np.ndarray:
    """Shapley shares (arms, 4) of effects (arms, 8), by the effect with all free."""
    total = effects[:, -1:].astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: np.ndarray = np.where(np.abs(total) < LEAST, np.nan, shares_of(effects) / total)
    return found


def _shares(values: np.ndarray) -> str:
    return listed([_per_cent(v) for v in values])


def _per_cent(share: float) -> str:
    return f"{share:.0%}".replace("-0%", "0%").replace("-", "−")


def _mean(random: np.ndarray) -> np.ndarray:
    there = random[np.isfinite(random).all(1)]
    return there.mean(0) if len(there) else np.full(random.shape[1], np.nan)


def _figure(frozen: Frozen, own: np.ndarray, itself: np.ndarray, random: np.ndarray, theme: str) -> Figure:
    names = list(routes(frozen))
    traces = [
        {
            "type": "bar", "orientation": "h", "name": name, "y": names, "x": np.round(100 * values, 2),
            "marker": {"color": colour}, "offsetgroup": name,
            "text": ["" if np.isnan(v) else _per_cent(v) for v in values],
            "textposition": "outside", "cliponaxis": False,
            "hovertemplate": f"{name}<br>%{{y}}: %{{x:.1f}} %<extra></extra>",
        }
        for name, values, colour in ((PUSH, own, COLOURS[0]), (ITSELF, itself, COLOURS[1]))
    ]  # fmt: skip
    for n, draw in enumerate(random):
        said = f"random direction {n + 1}, on {escaped(frozen.raises[n + 1], 80)}"
        traces.append(
            {
                "type": "scatter", "mode": "markers", "name": RANDOM, "legendgroup": RANDOM, "showlegend": n == 0,
                "y": names, "x": np.round(100 * draw, 2),
                "marker": {"symbol": "diamond", "size": 9, "color": COLOURS[2], "line": {"width": 1}},
                "hovertemplate": f"{said}<br>%{{y}}: %{{x:.1f}} %<extra></extra>",
            }
        )  # fmt: skip
    return figure(
        traces,
        theme,
        barmode="group",
        xaxis={"title": {"text": "share of the effect, per cent"}, "zeroline": True},
        yaxis={"autorange": "reversed", "automargin": True},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 11}},
        margin={"l": 150, "r": 30, "t": 34, "b": 44},
        uirevision="frozen",
    )


def _caption(frozen: Frozen) -> str:
    words = ", ".join(t.strip("␣ ") for t in frozen.tokens[:WORDS])
    more = f" and {len(frozen.tokens) - WORDS} more" if len(frozen.tokens) > WORDS else ""
    which = "all heads" if not frozen.heads else ", ".join(f"{layer}.{head}" for layer, head in frozen.heads)
    left = [
        f"{what} of block{'s' if len(blocks) > 1 else ''} {', '.join(map(str, blocks))}"
        for what, blocks in (("attention", frozen.patternless), ("the MLP", frozen.mlpless))
        if blocks
    ]
    return (
        f"Change of the mean log-odds of {len(frozen.tokens)} tokens ({words}{more}; {frozen.subject}) at the next "
        f"token, in steered passes in which patterns and values ({which}) and MLP outputs above block {frozen.above} "
        "are free or held as they were unsteered, in all eight combinations. A part's share is what it adds, as a mean "
        "over the orders in which parts are set free (Shapley); shares sum to 100 % and may be negative. One prompt, "
        f"one position. Patterns computed anew give the unsteered logits back to {frozen.off:.0e}."
        + (f" Cannot be held: {listed(left)}." if left else "")
    )


_COLUMNS = ("held", "words, nats", "stays", "raised most, nats", "stays", "random directions: stays, mean", "KL, nats")


def _rows(frozen: Frozen) -> tuple[tuple[str | float | None, ...], ...]:
    def part(over: float, under: float) -> float | None:
        return round(over / under, 4) if abs(under) >= LEAST else None

    rows = []
    for n in reversed(range(len(SETS))):
        held = [part for part in PARTS if part not in SETS[n]]
        stays = [part(row[n], row[-1]) for row in frozen.raised[1:].astype(float)]
        there = [s for s in stays if s is not None]
        target, raised = frozen.target[0].astype(float), frozen.raised[0].astype(float)
        rows.append(
            (
                listed(held) if held else "nothing", round(target[n], 4), part(target[n], target[-1]),
                round(raised[n], 4), part(raised[n], raised[-1]),
                round(sum(there) / len(there), 4) if there else None, round(float(frozen.kl[0, n]), 5),
            )
        )  # fmt: skip
    return tuple(rows)
