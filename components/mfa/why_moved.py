"""Why a head's attention moved under steering: what each key's logit gains from the query's side and from the key's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.bridge.answers import WhyMoved
from components.kit.figure import Figure, figure
from components.kit.labels import escaped
from components.kit.part import Table
from components.kit.theme import CATEGORIES, REMAINDER
from components.kit.view import Control, Drawing, view

HEIGHT = 320
LITTLE = 0.01
"""A share of attention below which nothing is said of where it comes from."""
SIDES = ("from the query’s side", "from the key’s side", "from both at once")


@dataclass(frozen=True)
class WhyOptions:
    """Which row it is."""

    layer: int
    head: int
    query: int


@view("steering/why a head moved", WhyMoved, options=WhyOptions)
def why_moved(why: WhyMoved, options: WhyOptions, theme: str) -> Drawing:
    """What each key's logit gains, by side, and how far each side alone would move the attention."""
    caption = (
        f"What steering adds to the logit of each key of “{why.labels[options.query].strip('␣ ')}” (token "
        f"{options.query}) in layer {options.layer}, head {options.head}, over the mean of all keys that it sees, in "
        f"nats (sum check {why.error:.0e}). Shares of attention do not add up: softmax is no sum."
        + (" The subspace of a contrast holds the mean key too." if why.subspaces else "")
    )
    numbers = {"moved": why.whole, "by the query alone": why.by_query, "by the keys alone": why.by_keys}
    numbers |= {f"inside {part.name}": part.moved for part in why.subspaces}
    return Drawing(
        _figure(why, theme),
        caption,
        {},
        parts=(Table("Attention elsewhere", ("what changes", "the set-up", "random, from", "to"), _rows(why)),),
        control=Control("random directions at the same KL", claim(why, options.query), _random(why)),
        numbers=numbers,
    )


def claim(why: WhyMoved, query: int) -> str:
    """From which side, to which key, and inside which subspace, each beside its control."""
    asker = f"“{why.labels[query].strip('␣ ')}” (token {query})"
    if why.whole < LITTLE:
        return f"{asker} puts less than one per cent of its attention elsewhere, so there is nothing to explain."
    text = (
        f"Of the attention of {asker} {why.whole:.0%} lies elsewhere; its query’s change alone would move "
        f"{why.by_query:.0%}, its keys’ alone {why.by_keys:.0%}."
    )
    if why.random:
        query_side, key_side = (_span([r[i] for r in why.random]) for i in (1, 2))
        text += f" Random directions at the same KL: {query_side} and {key_side} ({len(why.random)} draws)."
    gain = why.parts[why.key].astype(float)
    if np.isfinite(gain).all():
        text += (
            f" Most changes at “{why.labels[why.key].strip('␣ ')}” (token {why.key}, {100 * why.change:+.0f} points): "
            f"its logit gains {gain.sum():+.2f} nats over the mean, {gain[0]:+.2f} from the query’s side, "
            f"{gain[1]:+.2f} from the key’s, {gain[2]:+.2f} from both."
        )
    for part in why.subspaces:
        text += (
            f" Changed only inside “{part.name}” (rank {part.rank}), {part.moved:.0%} would move; inside random "
            f"subspaces of that rank {part.random[0]:.0%} ({_span(part.random[1:])})."
        )
    return text.replace(" -", " −")


def _span(values: Any) -> str:
    return f"{min(values):.0%} to {max(values):.0%}"


def _random(why: WhyMoved) -> dict[str, float]:
    if not why.random:
        return {}
    whole, by_query, by_keys = np.mean(why.random, 0)
    return {
        "random, moved": float(whole),
        "random, by the query": float(by_query),
        "random, by the keys": float(by_keys),
    }


def _rows(why: WhyMoved) -> tuple[tuple[str | float, ...], ...]:
    own = (("query and keys", why.whole), ("the query alone", why.by_query), ("the keys alone", why.by_keys))
    rows: list[tuple[str | float, ...]] = []
    for place, (name, value) in enumerate(own):
        drawn = [r[place] for r in why.random] or [0.0]
        rows.append((name, round(value, 4), round(min(drawn), 4), round(max(drawn), 4)))
    for part in why.subspaces:
        low, high = (round(x, 4) for x in part.random[1:])
        rows.append((f"both, inside {part.name} (random subspaces beside)", round(part.moved, 4), low, high))
    return tuple(rows)


def _figure(why: WhyMoved, theme: str) -> Figure:
    seen = np.flatnonzero(np.isfinite(why.parts).all(1))
    texts = [escaped(why.labels[k], 14) for k in seen]
    parts = why.parts[seen].astype(float)
    data: list[Any] = [
        {
            "type": "bar", "name": name, "x": seen.tolist(), "y": parts[:, i].round(4), "marker": {"color": colour},
            "customdata": texts,
            "hovertemplate": f"{name}<br>%{{customdata}} (token %{{x}}): %{{y:+.2f}} nats<extra></extra>",
        }
        for i, (name, colour) in enumerate(zip(SIDES, (CATEGORIES[0], CATEGORIES[1], REMAINDER), strict=True))
    ]  # fmt: skip
    data.append(
        {
            "type": "scatter", "mode": "lines+markers", "name": "all", "x": seen.tolist(),
            "y": parts.sum(1).round(4), "line": {"color": CATEGORIES[4], "width": 1.5}, "marker": {"size": 5},
            "customdata": texts, "hovertemplate": "all<br>%{customdata} (token %{x}): %{y:+.2f} nats<extra></extra>",
        }
    )  # fmt: skip
    return figure(
        data,
        theme,
        barmode="relative",
        xaxis={"tickmode": "array", "tickvals": seen.tolist(), "ticktext": texts, "tickangle": -50},
        yaxis={"title": {"text": "change of the logit (nats)"}, "zeroline": True},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        margin={"l": 64, "r": 8, "t": 30, "b": 70},
        uirevision="why",
    )
