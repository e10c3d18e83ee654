"""Answers about heads over many texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from analysis.answer import Absent, Incidental


@dataclass(frozen=True)
class CorpusHeads:
    """Scores of every head as of :func:`analysis.models.head_scores.head_scores`, means over texts.

    ``names`` (S,) of the scores; ``values`` and ``errors`` (S, L, H) float32: mean over texts and its standard error,
    NaN in layers without attention; ``uniform`` (S, L) float32: the same of a head that gives all tokens it sees alike.
    ``texts`` were read, each cut to ``length`` tokens; ``counts`` (S,): in how many of them a score is defined at all.
    ``of``: what the texts are called; None: those of the bundled corpus.
    """

    names: tuple[str, ...]
    texts: int
    length: int
    counts: tuple[int, ...]
    values: np.ndarray
    errors: np.ndarray
    uniform: np.ndarray
    of: Annotated[str | None, Absent()] = None

    def sent(self) -> dict[str, Any]:
        """What a running measurement tells of itself: JSON-able, without the standard errors, to three digits."""
        means = {name: _listed(getattr(self, name)) for name in ("values", "uniform")}
        return {"names": list(self.names), "texts": self.texts, "length": self.length, "counts": list(self.counts),
                **means}  # fmt: skip

    @classmethod
    def received(cls, told: dict[str, Any]) -> CorpusHeads:
        """The reverse of :meth:`sent`; all standard errors are NaN."""
        values, uniform = (np.array(told[name], np.float32) for name in ("values", "uniform"))
        return cls(
            tuple(told["names"]), told["texts"], told["length"], tuple(told["counts"]), values,
            np.full_like(values, np.nan), uniform,
        )  # fmt: skip


def _listed(values: np.ndarray) -> list[Any]:
    """Nested lists with None for NaN, which JSON has no word for."""
    rounded = np.round(values.astype(float), 3).astype(object)
    rounded[np.isnan(values)] = None
    listed: list[Any] = rounded.tolist()
    return listed


@dataclass(frozen=True)
class CorpusCost:
    """What the scores over texts cost: ``seconds``, about, for ``tokens``; ``kept``: they are there already."""

    seconds: Annotated[float, Incidental()]
    tokens: int
    kept: bool
