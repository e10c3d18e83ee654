"""What a notebook of findings calls: ask a pinned question again, and hold its numbers against the frozen ones.

It is here and not in the cells, so that a notebook is prose, questions and numbers, and so that the tests of this
house hold what the cells do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analysis.engine.context import Context
from analysis.engine.operation import rebuild
from analysis.findings.compare import ABSOLUTE, RELATIVE


@dataclass(frozen=True)
class Comparison:
    """Numbers of a view beside the frozen ones. ``moved``: (frozen, now) by name; ``missing``: names that are not there
    any more; ``equal``: how many are."""

    title: str
    equal: int
    moved: dict[str, tuple[float, float]]
    missing: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{self.title}: {self.equal} numbers equal, {len(self.moved)} moved, {len(self.missing)} missing"]
        lines += [f"  {name}: {was:.6g} was pinned, {now:.6g} now" for name, (was, now) in self.moved.items()]
        lines += [f"  {name}: not there any more" for name in self.missing]
        return "\n".join(lines)


class Recomputation:
    """The questions of one notebook, with one model in memory, and what became of the numbers. The operations must be
    known: ``import analysis.catalogue``."""

    def __init__(self, context: Context | None = None) -> None:
        self.context = context or Context()
        self.comparisons: list[Comparison] = []

    def ask(self, operation: str, params: Mapping[str, Any]) -> Any:
        """The answer to a pinned question, computed here; a job's comes from the data folder where it is kept.

        Raises UserError where it cannot be asked: another version, a fit that is not here.
        """
        question = rebuild(operation, dict(params))
        for other in question.built_on():
            self.context.perform(other)
        return question.answer_from(self.context.perform(question))

    def compare(self, title: str, frozen: Mapping[str, float], now: Mapping[str, float]) -> Comparison:
        """The numbers of a view now beside those that were pinned."""
        both = {name: (was, now[name]) for name, was in frozen.items() if name in now}
        moved = {
            name: pair for name, pair in both.items() if not math.isclose(*pair, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
        }
        missing = tuple(name for name in frozen if name not in now)
        self.comparisons.append(Comparison(title, len(both) - len(moved), moved, missing))
        return self.comparisons[-1]

    def summary(self) -> str:
        """A line on all numbers of the notebook."""
        equal = sum(c.equal for c in self.comparisons)
        moved, missing = (sum(len(getattr(c, name)) for c in self.comparisons) for name in ("moved", "missing"))
        return f"{equal} numbers equal, {moved} moved, {missing} missing, in {len(self.comparisons)} views."
