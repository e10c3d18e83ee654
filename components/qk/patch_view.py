"""What of a head's behaviour a subspace carries: shares of a whole patch, beside random subspaces of the same rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from analysis.qk.answers.patch import Moved, PatchedSubspace
from components.kit.figure import AFTER, BAND, BEFORE, Figure, figure
from components.kit.figure_card import blank
from components.kit.labels import escaped
from components.kit.theme import REMAINDER
from components.kit.view import Control, Drawing, view
from components.qk.controls import RANDOM, measured
from components.qk.evidence_card import place_name

HEIGHT = 300
MOST = 90
"""Percent of an effect that counts as carrying it."""
_WRITTEN = {"query": "this head’s query", "key": "this head’s matching key"}
_OTHER = {"query": "the query of an example that asks for something else", "key": "a key that does not match"}
Share = tuple[float, float, float]


@dataclass(frozen=True)
class PatchOptions:
    """What the feature is called."""

    feature: str


@view("attention/patched subspace", PatchedSubspace, options=PatchOptions)
def patched_shares(patch: PatchedSubspace, options: PatchOptions, theme: str) -> Drawing:
    """Shares of the whole patch's effect on attention and answer: inside, outside, and in random subspaces."""
    numbers = {"rank": patch.rank, "examples": patch.examples, **_numbers("attention", patch.attention)}
    if patch.answer is not None:
        numbers |= _numbers("matching word", patch.answer) | {"probability of the matching word": patch.probability}
    if patch.attention.inside is None:
        picture = blank(HEIGHT, "There is no effect to share out.")
    else:
        picture = _figure(patch, theme)
    return Drawing(
        picture,
        " ".join(remarks(patch)),
        {"rank": patch.rank, "examples": patch.examples, "tested_on": patch.basis},
        control=_control(patch, options.feature),
        numbers=measured(numbers),
    )


@view("attention/patched subspace by rank", PatchedSubspace, options=PatchOptions)
def patched_by_rank(patch: PatchedSubspace, options: PatchOptions, theme: str) -> Drawing:
    """How many of the feature's dimensions carry it, beside random ones of either kind."""
    if not patch.ranks:
        return Drawing(blank(HEIGHT, "There is no effect to share out."), "")
    inside, *others = 100 * patch.by_rank.T
    data: list[Any] = []
    for (middle, low, high), name, colour in (
        (others[:3], "random", REMAINDER),
        (others[3:], "random, where they differ", AFTER),
    ):
        data.append(
            {
                "type": "scatter", "mode": "lines+markers", "name": name, "x": patch.ranks, "y": middle.round(2),
                "line": {"color": colour, "dash": "dot", "width": 1.5}, "marker": {"size": 5},
                "error_y": {"type": "data", "symmetric": False, "array": (high - middle).round(2),
                            "arrayminus": (middle - low).round(2), "thickness": 1, "color": colour},
            }
        )  # fmt: skip
    data.append(
        {
            "type": "scatter", "mode": "lines+markers", "name": escaped(f"the first of “{options.feature}”"),
            "x": patch.ranks, "y": inside.round(2), "line": {"color": BEFORE, "width": 2},
        }
    )  # fmt: skip
    enough = next((rank for rank, share in zip(patch.ranks, inside, strict=True) if share >= MOST), None)
    chance = next((rank for rank, share in zip(patch.ranks, others[0], strict=True) if share >= MOST), None)
    text = f"Of the ranks tried, {enough or 'none'} is the first whose dimensions carry {MOST} % of the effect on "
    text += f"attention ({chance or 'none'} of random ones). Bars: 5 to 95 % of the draws."
    return Drawing(
        figure(
            data,
            theme,
            xaxis={"title": {"text": "dimensions written"}, "rangemode": "tozero"},
            yaxis={"title": {"text": "share of the whole patch (%)"}, "rangemode": "tozero"},
            legend={"x": 1, "xanchor": "right", "y": 0.04, "yanchor": "bottom"},
        ),
        text,
        {"rank": patch.rank, "examples": patch.examples, "tested_on": patch.basis},
        control=_control(patch, options.feature),
        numbers={f"share, rank {rank}": float(share) for rank, share in zip(patch.ranks, inside, strict=True)},
    )


def claim(patch: PatchedSubspace, feature: str) -> str:
    """The sentence: what the subspace carries, with its interval and the random ones beside."""
    moved, what = patch.attention, _WRITTEN[patch.side]
    if moved.inside is None:
        return (
            f"With {_OTHER[patch.side]} written in place of {what} ({place_name(patch.layer, patch.head)}), the "
            f"attention on the match falls by {moved.effect:.3f} ± {moved.error:.3f}, no different from nothing: this "
            "head has nothing to share out."
        )
    dimensions = "1 dimension" if patch.rank == 1 else f"{patch.rank} dimensions"
    carry = "carries" if patch.rank == 1 else "carry"
    text = (
        f"Of what {what} carries here ({place_name(patch.layer, patch.head)}), the {dimensions} of “{feature}” {carry} "
        f"{_told(moved.inside)}"
    )
    if moved.random is None:
        return text + ": a subspace of no dimension carries nothing."
    text += f"; random ones of that rank {_told(moved.random)}"
    if moved.matched is None:
        return text + ". Random ones from where the examples differ need more examples than twice the rank."
    alike = moved.matched[2] >= moved.inside[1]
    return (
        f"{text}. Random ones among the directions in which {'queries' if patch.side == 'query' else 'keys'} of the "
        f"other half of the examples differ carry {_told(moved.matched)}"
        + (": at this rank the feature is not told apart from those." if alike else ".")
    )


def remarks(patch: PatchedSubspace) -> list[str]:
    """What was done and on what, all but the subspace, and the answer."""
    moved = patch.attention
    text = (
        f"Written whole in place of {_WRITTEN[patch.side]}, {_OTHER[patch.side]} leaves the match "
        f"{100 * moved.patched:.1f} % of the attention instead of {100 * moved.clean:.1f} %"
    )
    if moved.outside is not None:
        text += f"; all but the subspace makes {_told(moved.outside)} of that. Shares need not add up to 100 %"
    said = [text + ".", patch.basis]
    if patch.left_out:
        said.append(f"{patch.left_out} more have no match that their query sees, or no other key.")
    if patch.answer is None:
        return [*said, patch.no_answer]
    answer = patch.answer
    probability = 100 * (patch.probability or 0.0)
    fall = f"The matching word as next token (probability {probability:.1f} %) loses {answer.effect:.3f} ± "
    fall += f"{answer.error:.3f} nats"
    if answer.inside is None:
        return [*said, f"{fall} of log odds, no different from nothing: this head alone does not decide it here."]
    random = "" if answer.random is None else f", random ones {_told(answer.random)}"
    return [*said, f"{fall} of log odds, of which the subspace makes {_told(answer.inside)}{random}."]


def _told(share: Share) -> str:
    middle, low, high = (f"{100 * x:.0f}".replace("-0", "0").replace("-", "−") for x in share)
    return f"{middle} % ({low} to {high})"


def _numbers(name: str, moved: Moved) -> dict[str, float | None]:
    parts = {"inside": moved.inside, "outside": moved.outside, "random": moved.random, "matched": moved.matched}
    shares = {f"{name}, {part}": None if share is None else share[0] for part, share in parts.items()}
    return {f"{name}, clean": moved.clean, f"{name}, patched whole": moved.patched, **shares}


def _control(patch: PatchedSubspace, feature: str) -> Control | None:
    moved = patch.attention
    if moved.random is None:
        return None
    text = f"{claim(patch, feature)} {patch.draws} of each kind were drawn (mean, 5 to 95 %)."
    matched = None if moved.matched is None else moved.matched[0]
    return Control(RANDOM, text, measured({"random": moved.random[0], "matched": matched}))


def _figure(patch: PatchedSubspace, theme: str) -> Figure:
    rows = {
        "inside": f"the subspace (rank {patch.rank})",
        "outside": "all but the subspace",
        "random": f"random, rank {patch.rank}",
        "matched": "random, where they differ",
    }
    data: list[Any] = []
    both = [("attention on the match", patch.attention, BEFORE, "circle")]
    if patch.answer is not None and patch.answer.inside is not None:
        both.append(("log odds of the matching word", patch.answer, AFTER, "diamond"))
    for number, (name, moved, colour, symbol) in enumerate(both):
        shares = {row: getattr(moved, row) for row in rows}
        here = {row: [100 * x for x in share] for row, share in shares.items() if share is not None}
        shift = (0.12 if number else -0.12) if len(both) > 1 else 0.0
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": [share[0] for share in here.values()],
                "y": [list(rows).index(row) + shift for row in here],
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": [share[2] - share[0] for share in here.values()],
                    "arrayminus": [share[0] - share[1] for share in here.values()],
                    "thickness": 2,
                    "color": colour,
                },
                "marker": {"color": colour, "size": 11, "symbol": symbol},
                "customdata": [[rows[row], share[1], share[2]] for row, share in here.items()],
                "hovertemplate": "%{customdata[0]}: %{x:.0f} % (%{customdata[1]:.0f} to %{customdata[2]:.0f})"
                f"<extra>{name}</extra>",
            }
        )
    return figure(
        data,
        theme,
        shapes=[
            {"type": "rect", "x0": 0, "x1": 1, "xref": "paper", "y0": 1.5, "y1": 3.5, "fillcolor": BAND,
             "line": {"width": 0}, "opacity": 0.35, "layer": "below"},
            {"type": "line", "x0": 100, "x1": 100, "yref": "paper", "y0": 0, "y1": 1,
             "line": {"color": "#D55E00", "dash": "dash", "width": 1.5}},
        ],
        xaxis={"title": {"text": "share of the whole patch’s effect (%)"}, "zeroline": True},
        yaxis={"tickvals": list(range(len(rows))), "ticktext": list(rows.values()), "range": [3.5, -0.5],
               "showgrid": False, "zeroline": False},
        showlegend=len(data) > 1,
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
    )  # fmt: skip
