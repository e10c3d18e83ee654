"""The next token without and with an intervention."""

from __future__ import annotations

import numpy as np

from analysis.steering.answers import NextTokens
from components.kit.figure import AFTER, BEFORE, Figure, figure
from components.kit.labels import escaped


def next_tokens(answer: NextTokens, theme: str) -> Figure:
    """Probability of the next token, unsteered and steered, for the tokens that lead either list. Bars carry the id
    of their token as the first of their customdata."""
    labels = [_unique(i, t) for i, t in enumerate(answer.labels)]
    changes = [f"{c:+.2f} nats" for c in answer.change]
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "y": labels,
            "x": np.array(shares, np.float32),
            "marker": {"color": colour},
            "customdata": list(zip(answer.ids, changes, strict=True)),
            "hovertemplate": "%{y}<br>" + name + " %{x:.4f}<br>log-probability %{customdata[1]}<extra></extra>",
        }
        for name, shares, colour in (("unsteered", answer.base, BEFORE), ("steered", answer.steered, AFTER))
    ]
    top = max([*answer.base, *answer.steered, 1e-6])
    # In a column of their own at the right, where no bar and no edge cuts them.
    column = {"x": 1, "xref": "paper", "showarrow": False, "xanchor": "left", "font": {"size": 11}}
    notes: list[Figure] = [
        column | {"y": label, "text": change.removesuffix(" nats")}
        for label, change in zip(labels, changes, strict=True)
    ]
    notes.append(column | {"y": 1, "yref": "paper", "yanchor": "bottom", "text": "nats"})
    return figure(
        data,
        theme,
        barmode="group",
        bargap=0.25,
        annotations=notes,
        yaxis={"autorange": "reversed", "type": "category", "ticksuffix": " "},
        xaxis={"title": {"text": "probability"}, "range": [0, top * 1.05]},
        legend={"orientation": "h", "xref": "container", "x": 0.02, "yref": "container", "y": 1, "yanchor": "top"},
        margin={"l": 96, "r": 46, "t": 28, "b": 40},
        uirevision="next",
        transition={"duration": 0},
    )


def _unique(index: int, label: str) -> str:
    # Two tokens may look the same; a zero-width suffix keeps their bars apart.
    return escaped(label, 22) + "\u200b" * index
