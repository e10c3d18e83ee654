"""The picture of the small method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from analysis.fields import Choice
from components.kit.figure import BEFORE, figure
from components.kit.labels import escaped
from components.kit.view import Drawing, view
from tests.small_method.answers import EmbeddingNorms


@dataclass(frozen=True)
class NormOptions:
    """``order``: as in the text, or the longest first."""

    order: Annotated[str, Choice(("text", "norm"), words="The order")] = "text"


@view("norms/bars", EmbeddingNorms, options=NormOptions)
def norm_bars(answer: EmbeddingNorms, options: NormOptions, theme: str) -> Drawing:
    """A bar for each token."""
    places = answer.norms.argsort()[::-1] if options.order == "norm" else range(len(answer.norms))
    labels = [f"{place}: {escaped(answer.labels[place], 20)}" for place in places]
    bars = {"type": "bar", "x": labels, "y": answer.norms[list(places)], "marker": {"color": BEFORE}}
    axes = {"xaxis": {"title": {"text": "token"}}, "yaxis": {"title": {"text": "norm of the embedding"}}}
    return Drawing(figure([bars], theme, **axes), f"{len(labels)} tokens.")
