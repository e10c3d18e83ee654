"""The next token without and with an intervention."""

from __future__ import annotations

from typing import Any

import numpy as np

from components.kit.figure import AFTER, BEFORE, Figure, figure
from components.kit.labels import escaped


def next_tokens(answer: dict[str, Any], theme: str) -> Figure:
    """Probability of the next token, unsteered and steered, for the tokens that lead either list."""
    labels = [_unique(i, t) for i, t in enumerate(answer["labels"])]
    changes = [f"{c:+.2f} nats" for c in answer["change"]]
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "y": labels,
            "x": np.array(answer[key], np.float32),
            "marker": {"color": colour},
            "customdata": changes,
            "hovertemplate": "%{y}<br>" + name + " %{x:.4f}<br>log-probability %{customdata}<extra></extra>",
        }
        for name, key, colour in (("unsteered", "base", BEFORE), ("steered", "steered", AFTER))
    ]
    top = max([*answer["base"], *answer["steered"], 1e-6])
    notes = [
        {
            "x": max(b, s) + top * 0.015,
            "y": label,
            "text": change,
            "showarrow": False,
            "xanchor": "left",
            "font": {"size": 11},
        }
        for label, change, b, s in zip(labels, changes, answer["base"], answer["steered"], strict=True)
    ]
    return figure(
        data,
        theme,
        barmode="group",
        bargap=0.25,
        annotations=notes,
        yaxis={"autorange": "reversed", "type": "category", "ticksuffix": " "},
        xaxis={"title": {"text": "probability of the next token"}, "range": [0, top * 1.32]},
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
        margin={"l": 110, "r": 8, "t": 8, "b": 44},
        uirevision="next",
        transition={"duration": 0},
    )


def _unique(index: int, label: str) -> str:
    # Two tokens may look the same; a zero-width suffix keeps their bars apart.
    return escaped(label, 22) + "\u200b" * index
