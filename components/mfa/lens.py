"""The lens as heatmaps, blocks upwards and tokens across: what the stream says of the target without steering, what the
set-up changes of that, and what random directions at the same KL change, the last two in one colour scale.

The plain lens is coarse in early blocks, where it hardly ever puts the model's own token first; so that share stands at
each block, and the colours end at what is seen in the upper half, not at the noise below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.mfa.answers.lens import Lens
from components.kit.figure import Figure, figure
from components.kit.labels import escaped
from components.kit.part import Table
from components.kit.style import colour_bar
from components.kit.theme import DIVERGING, SEQUENTIAL
from components.kit.view import Control, Drawing, view

HEIGHT = 400
WORDS = 6
LOW = 0.2
"""Agreement below which the lens is said to be coarse."""


@dataclass(frozen=True)
class LensOptions:
    """``shown``: "odds", log-odds and what changes of them, or "rank" of the likeliest of the target's tokens."""

    shown: str = "odds"


@view("steering/lens", Lens, options=LensOptions)
def lens_maps(lens: Lens, options: LensOptions, theme: str) -> Drawing:
    """What the residual stream says at every block, unsteered and steered."""
    change, null = changes(lens)
    gain, random = float(change[-1, -1]), lens.odds[2:, -1, -1] - lens.odds[0, -1, -1]
    at = half_from(change[:, -1])
    numbers = {"gain at the output": gain}
    if at is not None:
        numbers["block from which half of it stands"] = float(lens.blocks[at])
    control = None
    if len(random):
        control = Control(
            "random directions at the same KL",
            _claim(lens, gain, random, at),
            {"mean gain of random directions": float(random.mean()), "largest of them": float(random.max())},
        )
    panels: list[tuple[np.ndarray, str, str]]
    if options.shown == "rank":
        logs = np.log10(lens.ranks.astype(np.float64))
        panels = [(logs[0], "unsteered", "coloraxis"), (logs[1], "steered", "coloraxis")]
    else:
        panels = [
            (lens.odds[0], "unsteered", "coloraxis"),
            (change, "steered minus unsteered", "coloraxis2"),
            (null, "random minus unsteered", "coloraxis2"),
        ]
    return Drawing(
        _figure(lens, panels, options.shown, change, theme),
        _caption(lens, options.shown),
        {"words": list(lens.tokens)},
        parts=(Table(f"At the last token, {lens.labels[-1]}", _COLUMNS, _rows(lens, change, null)),),
        control=control,
        numbers=numbers,
    )


def changes(lens: Lens) -> tuple[np.ndarray, np.ndarray]:
    """(R, P) nats: the steered log-odds minus the unsteered, and the same of the random directions, their mean."""
    base = lens.odds[0].astype(np.float64)
    controls = lens.odds[2:].astype(np.float64)
    null = controls.mean(0) - base if len(controls) else np.full_like(base, np.nan)
    return lens.odds[1].astype(np.float64) - base, null


def half_from(change: np.ndarray) -> int | None:
    """The stage (of R) from which on at least half of what is gained at the last one stands; None without a gain."""
    if not change[-1] > 0:
        return None
    below = np.nonzero(change < change[-1] / 2)[0]
    return int(below[-1]) + 1 if len(below) else 0


def stage_name(lens: Lens, stage: int) -> str:
    """How a stage is called in a sentence."""
    block = lens.blocks[stage]
    if block < 0:
        return "the embeddings"
    return f"block {block}" if lens.whole[stage] else f"the attention of block {block}"


def _claim(lens: Lens, gain: float, random: np.ndarray, at: int | None) -> str:
    first = (
        f"After “{lens.labels[-1].strip('␣ ')}” the target's log-odds change by {gain:+.2f} nats at the output; random "
        f"directions at the same KL ({lens.kl:.3g} nats) change them by {random.mean():+.2f} on average, at most "
        f"{random.max():+.2f} ({len(random)} draws)."
    )
    if not all(lens.met):
        first += " Not every draw reaches this KL."
    if at is None:
        return f"{first} Nothing is gained, so no block can be named."
    if gain <= random.max():
        return f"{first} That is no more than a random direction gains."
    said = f"{first} By the lens half of it stands from {stage_name(lens, at)} on"
    agreement = float(lens.agreement[at if lens.whole[at] else min(at + 1, len(lens.agreement) - 1)])
    if agreement < LOW:
        said += f", where the lens is coarse: it puts the model's own token first for {agreement:.0%} of tokens"
    if lens.trained:
        said += "; the lens is a trained one"
    return said + ". One text, one position."


def _figure(
    lens: Lens, panels: list[tuple[np.ndarray, str, str]], shown: str, change: np.ndarray, theme: str
) -> Figure:
    stages, places = range(len(lens.blocks)), list(range(len(lens.labels)))
    upper = change[len(stages) // 2 :]
    most = max(0.1, float(np.abs(upper).max()))
    low = float(lens.odds[0][len(stages) // 2 :].min())
    hover = [_hovers(lens, arm) for arm in (0, 1)]
    gap = 0.02
    width = (1 - gap * (len(panels) - 1)) / len(panels)
    axes: dict[str, Any] = {}
    traces, notes = [], []
    for n, (z, name, colour) in enumerate(panels):
        start = n * (width + gap)
        axis = "" if n == 0 else str(n + 1)
        axes[f"xaxis{axis}"] = {
            "domain": [start, start + width], "tickmode": "array", "tickvals": places, "tickangle": -60,
            "ticktext": [escaped(t, 12) for t in lens.labels], "showgrid": False, "zeroline": False, "ticklen": 0,
        }  # fmt: skip
        notes.append(
            {
                "text": name, "x": start + width / 2, "y": 1.0, "xref": "paper", "yref": "paper", "xanchor": "center",
                "yanchor": "bottom", "showarrow": False, "font": {"size": 11},
            }
        )  # fmt: skip
        traces.append(
            {
                "type": "heatmap", "z": np.round(z, 3), "x": places, "y": list(stages), "name": name,
                "xaxis": f"x{axis}", "yaxis": "y", "coloraxis": colour, "xgap": 1,
                "hovertext": hover[0 if n == 0 else 1] if n < 2 else _random_hovers(lens, z),
                "hovertemplate": f"{name}<br>%{{hovertext}}<extra></extra>",
            }
        )  # fmt: skip
    step = max(1, -(-lens.blocks[-1] // 15))
    ticks = [s for s in stages if lens.whole[s] and (lens.blocks[s] % step == 0 or s == stages[-1])]
    rank = shown == "rank"
    tops = float(max(1.0, np.max(panels[0][0]))) if rank else 0.0
    first = {
        "colorscale": SEQUENTIAL,
        "reversescale": rank,
        "cmin": 0.0 if rank else low,
        "cmax": tops if rank else 0.0,
    }
    bar = colour_bar("rank of the likeliest" if rank else "log-odds") | {"len": 1.0 if rank else 0.48}
    if rank:
        bar |= {"tickvals": [0, 1, 2, 3, 4, 5], "ticktext": ["1", "10", "100", "1,000", "10,000", "100,000"]}
    else:
        bar |= {"y": 1.0, "yanchor": "top"}
    second = {
        "colorscale": DIVERGING, "cmin": -most, "cmid": 0, "cmax": most,
        "colorbar": colour_bar("change") | {"len": 0.48, "y": 0.0, "yanchor": "bottom"},
    }  # fmt: skip
    return figure(
        traces,
        theme,
        **axes,
        yaxis={
            "tickmode": "array", "tickvals": ticks, "ticktext": [_tick(lens, s) for s in ticks], "ticksuffix": " ",
            "title": {"text": "behind block · agreement"}, "showgrid": False, "zeroline": False,
            "range": [-0.5, len(stages) - 0.5], "ticklen": 0,
        },
        coloraxis=first | {"colorbar": bar},
        **({} if rank else {"coloraxis2": second}),
        annotations=notes,
        shapes=[_line(lens, n) for n in range(len(panels))],
        margin={"l": 140 if lens.trained else 96, "r": 8, "t": 30, "b": 76},
        uirevision="lens",
    )  # fmt: skip


def _line(lens: Lens, panel: int) -> dict[str, Any]:
    """A line below the first block that the set-up acts on or behind."""
    first = next((s for s, b in enumerate(lens.blocks) if lens.whole[s] and b >= lens.acts[0]), 0) if lens.acts else 0
    axis = "" if panel == 0 else str(panel + 1)
    return {
        "type": "line", "xref": f"x{axis} domain", "yref": "y", "x0": 0, "x1": 1, "y0": first - 0.5, "y1": first - 0.5,
        "line": {"color": "#D55E00", "width": 2, "dash": "dot"},
    }  # fmt: skip


def _tick(lens: Lens, stage: int) -> str:
    name = "embeddings" if lens.blocks[stage] < 0 else str(lens.blocks[stage])
    share, plain = float(lens.agreement[stage]), float(lens.plain[stage])
    if np.isnan(share):
        return name
    return f"{name} · {share:.0%} ({plain:.0%})" if lens.trained else f"{name} · {share:.0%}"


def _hovers(lens: Lens, arm: int) -> list[list[str]]:
    return [
        [
            f"{stage_name(lens, r)}, {escaped(lens.labels[p], 20)} (token {lens.first + p})<br>"
            f"log-odds {lens.odds[arm, r, p]:.2f}, rank {lens.ranks[arm, r, p]:,} of the likeliest<br>"
            + "the lens says: "
            + ", ".join(
                f"{escaped(lens.names[i], 16)} {c:.0%}"
                for i, c in zip(lens.leads[arm, r, p].tolist(), lens.chances[arm, r, p].tolist(), strict=True)
            )
            + (f"<br>change {lens.odds[1, r, p] - lens.odds[0, r, p]:+.2f} nats" if arm else "")
            for p in range(len(lens.labels))
        ]
        for r in range(len(lens.blocks))
    ]


def _random_hovers(lens: Lens, null: np.ndarray) -> list[list[str]]:
    return [
        [
            f"{stage_name(lens, r)}, {escaped(lens.labels[p], 20)}<br>mean change {null[r, p]:+.2f} nats"
            for p in range(len(lens.labels))
        ]
        for r in range(len(lens.blocks))
    ]


def _caption(lens: Lens, shown: str) -> str:
    words = ", ".join(t.strip("␣ ") for t in lens.tokens[:WORDS])
    more = f" and {len(lens.tokens) - WORDS} more" if len(lens.tokens) > WORDS else ""
    what = "Mean log-odds" if shown == "odds" else "Rank of the likeliest"
    count = f"{len(lens.tokens)} target tokens" if len(lens.tokens) > 1 else "the target token"
    which = "the plain logit lens, not a trained one. Per cent:"
    if lens.trained:
        which = (
            f"by the trained lens {lens.trained}, opened here, which reads behind whole blocks only; no file says on "
            "which weights it was trained. Per cent, with the plain lens's in brackets:"
        )
    text = ""
    if lens.of:
        name = {"base": "unsteered", "steered": "steered", "control": "control"}[lens.of]
        begins = "all of it written" if lens.first >= lens.prompt else f"written from token {lens.prompt} on"
        text = f" Read is the {name} text, {begins}; without steering, too, it is this text that is read."
    within = "" if all(lens.whole) else " Rows between two blocks are behind the attention of the upper one."
    return (
        f"{what} of {count} ({words}{more}; {lens.subject}) if the stream behind a block, or behind its attention, "
        f"were that of the last block: {which} how often it puts the model's own next token first, on {lens.sample} "
        f"tokens of the bundled corpus. Dotted: where the set-up begins to act; below it nothing changes.{within}{text}"
    )


_COLUMNS = (
    "behind", "agreement", "of the plain lens", "unsteered, nats",
    "steered", "change", "change by random directions", "rank unsteered",
    "rank steered", "leading token steered",
)  # fmt: skip


def _rows(lens: Lens, change: np.ndarray, null: np.ndarray) -> tuple[tuple[str | float | int | None, ...], ...]:
    def number(value: float) -> float | None:
        return None if np.isnan(value) else round(float(value), 4)

    return tuple(
        (
            stage_name(lens, r), number(lens.agreement[r]), number(lens.plain[r]),
            number(lens.odds[0, r, -1]), number(lens.odds[1, r, -1]),
            number(change[r, -1]), number(null[r, -1]), int(lens.ranks[0, r, -1]), int(lens.ranks[1, r, -1]),
            lens.names[int(lens.leads[1, r, -1, 0])],
        )
        for r in range(len(lens.blocks))
    )  # fmt: skip
