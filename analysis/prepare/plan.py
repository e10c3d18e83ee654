"""Which levels of which products are made, in which order, within a budget: plain arithmetic on predicted seconds.

First comes the quick level of every product of which nothing is there, the cheapest first, so that each page shows
something soon. What is left of the budget raises products: always the rise that costs least, to a level that replaces
the one that was meant before, so that no level between the quick one and the last is made for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Want:
    """A product as the plan sees it: predicted ``seconds`` of each level, from quick to best, and how many levels are
    ``present``."""

    name: str
    seconds: tuple[float, ...]
    present: int = 0


@dataclass(frozen=True)
class Step:
    """One level to make: places in the list of wants and in its levels. ``seconds``: predicted."""

    want: int
    level: int
    seconds: float


@dataclass(frozen=True)
class Plan:
    """``steps`` in their order; ``ends``: for each want how many levels are covered afterwards; ``left_out``: wants of
    which nothing will be there."""

    steps: tuple[Step, ...]
    ends: tuple[int, ...]
    left_out: tuple[int, ...]

    @property
    def seconds(self) -> float:
        """Predicted seconds of all steps."""
        return sum(step.seconds for step in self.steps)


def plan(wants: Sequence[Want], budget: float) -> Plan:
    """The plan for a budget in seconds. A quick level that does not fit is left out, with the dearer ones after it."""
    left = budget
    quick: list[Step] = []
    empty = [Step(n, 0, want.seconds[0]) for n, want in enumerate(wants) if want.seconds and not want.present]
    for step in sorted(empty, key=lambda step: step.seconds):
        if step.seconds <= left:
            quick.append(step)
            left -= step.seconds
    base = [want.present for want in wants]
    for step in quick:
        base[step.want] = 1
    better: dict[int, Step] = {}
    while True:
        rises = []
        for n, want in enumerate(wants):
            meant = better.get(n)
            level = meant.level + 1 if meant else base[n]
            if base[n] and level < len(want.seconds):
                rises.append((want.seconds[level] - (meant.seconds if meant else 0.0), n, level))
        fitting = [rise for rise in rises if rise[0] <= left]
        if not fitting:
            break
        more, n, level = min(fitting)
        better[n] = Step(n, level, wants[n].seconds[level])
        left -= more
    steps = (*quick, *sorted(better.values(), key=lambda step: step.seconds))
    ends = [better[n].level + 1 if n in better else base[n] for n in range(len(wants))]
    return Plan(steps, tuple(ends), tuple(n for n, want in enumerate(wants) if want.seconds and not ends[n]))
