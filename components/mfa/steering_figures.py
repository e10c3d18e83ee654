"""Figures of what steering does: the next token, prices along a text, the regions in it, and controls.

Where two texts are compared, unsteered is blue and steered orange, as on the other pages.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.answer import plain_of
from analysis.mfa.answers.steering import ControlTable, SteeredNext, SteeredTexts
from analysis.spoken import counted
from components.kit.figure import AFTER, BEFORE, figure
from components.kit.labels import escaped
from components.kit.next_tokens import next_tokens
from components.kit.theme import REMAINDER
from components.kit.view import Drawing, view
from components.kit.written import TextsOptions, check_texts, text_control, text_numbers
from components.mfa.evidence import control_name, control_of_table, own_kl, presence_control, presence_numbers

CONTROL = "#009E73"


@dataclass(frozen=True)
class NextOptions:
    """``prompt``: the end of the prompt."""

    prompt: str = ""


@view("steering/next", SteeredNext, options=NextOptions)
def steered_next(shift: SteeredNext, options: NextOptions, theme: str) -> Drawing:
    """The next token, unsteered and steered."""
    before, after = shift.entropy
    return Drawing(
        next_tokens(shift, theme),
        f"After “{options.prompt}”. Entropy {before:.2f} → {after:.2f} nats. Computed in {1000 * shift.seconds:.0f} "
        f"ms; a full pass over {counted(shift.tokens, 'token')} takes {1000 * shift.full_seconds:.0f} ms.",
        {"kl": shift.kl},
        numbers={"kl": shift.kl, "entropy unsteered": before, "entropy steered": after},
    )


@view("steering/price", SteeredTexts, options=TextsOptions)
def price_per_token(texts: SteeredTexts, options: TextsOptions, theme: str) -> Drawing:
    """KL to the unsteered model at each written token, for the steered text and its control."""
    check_texts(texts, options)
    data = []
    for text, name, colour in ((texts.steered, "steered", AFTER), (texts.control, "control", CONTROL)):
        if text is None or not text.kl:
            continue
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": name,
                "x": list(range(1, len(text.kl) + 1)),
                "y": np.array(text.kl, np.float32),
                "text": [escaped(t, 30) for t in text.labels],
                "line": {"color": colour, "width": 2},
                "marker": {"size": 5},
                "hovertemplate": "token %{x}: %{text}<br>KL %{y:.3f} nats<extra></extra>",
            }
        )
    picture = figure(
        data,
        theme,
        xaxis={"title": {"text": "written token"}},
        yaxis={"title": {"text": "KL (unsteered ‖ steered), nats"}, "rangemode": "tozero"},
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
    )
    note = f"Control: {texts.control_note}." if texts.control_note else ""
    caption = f"Price along the steered text, each token given the tokens before it. {note}"
    # The price is the distance from the unsteered model, so the unsteered text is no control of it.
    control = None if texts.control is None else text_control(texts, control_name(options))
    numbers = text_numbers(texts, options)
    return Drawing(picture, caption, {"texts": _words(texts)}, control=control, numbers=numbers)


def _words(texts: SteeredTexts) -> dict[str, str]:
    arms = {"base": texts.base, "steered": texts.steered, "control": texts.control}
    return {name: text.text for name, text in arms.items() if text is not None}


@view("steering/presence", SteeredTexts, options=TextsOptions)
def region_presence(texts: SteeredTexts, options: TextsOptions, theme: str) -> Drawing:
    """Mean responsibility of the steered regions at the block of the fit, over the written tokens, base and steered."""
    check_texts(texts, options)
    presence = texts.presence
    data = [
        {
            "type": "bar",
            "name": name,
            "x": [escaped(label, 30) for label in presence.labels],
            "y": np.array(shares, np.float32),
            "marker": {"color": colour},
            "hovertemplate": "%{x}<br>" + name + " %{y:.3f}<extra></extra>",
        }
        for shares, name, colour in (
            (presence.base, "unsteered text", BEFORE),
            (presence.steered, "steered text", AFTER),
        )
    ]
    picture = figure(
        data,
        theme,
        barmode="group",
        yaxis={"title": {"text": "mean responsibility"}, "rangemode": "tozero"},
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
    )
    return Drawing(
        picture,
        "The unsteered model reads each text; mean responsibility over its written tokens at the fit's block.",
        {"texts": _words(texts)},
        control=presence_control(texts),
        numbers=presence_numbers(presence),
    )


@dataclass(frozen=True)
class ControlOptions:
    """``prompt``: the end of the prompt; ``seed`` of the controls."""

    prompt: str = ""
    seed: int = 0


@view("steering/controls", ControlTable, options=ControlOptions)
def controls_bars(table: ControlTable, options: ControlOptions, theme: str) -> Drawing:
    """KL of the set-up beside its controls, each of equal norm, at the last position of the prompt."""
    rows = table.rows
    picture = figure(
        [
            {
                "type": "bar",
                "orientation": "h",
                "x": np.array([r.kl for r in rows], np.float32),
                "y": [escaped(r.name, 40) for r in rows],
                "marker": {"color": [AFTER if r.own else REMAINDER for r in rows]},
                "text": [f"{r.kl:.3f}" for r in rows],
                "textposition": "auto",
                "hovertemplate": "%{y}<br>KL %{x:.4f} nats<extra></extra>",
            }
        ],
        theme,
        yaxis={"autorange": "reversed", "type": "category", "ticksuffix": " "},
        xaxis={"title": {"text": "KL (unsteered ‖ steered), nats"}, "rangemode": "tozero"},
        margin={"l": 150, "r": 8, "t": 8, "b": 44},
    )
    place = f"At the last position of “{options.prompt}”; {size_of_controls(table)}"
    return Drawing(
        picture,
        f"{place} Seed {options.seed}.",
        {"rows": plain_of(rows)},
        control=control_of_table(table),
        numbers={"kl": own_kl(table)},
    )


def size_of_controls(table: ControlTable) -> str:
    """How large the controls are beside the set-up: equal only where each of them holds all parts of it."""
    sentence = "each push has the distance from the mean that the set-up has."
    if table.factors:
        sentence = "pushes have equal distance from the mean, but for the set-up's local factors, which only some have."
    if table.left_out:
        sentence += f" Left out, since the set-up is nothing but local factors: {', '.join(table.left_out)}."
    return sentence
