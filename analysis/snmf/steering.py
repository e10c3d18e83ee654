"""Steering with directions of unit length: what is put into the model, and how far each has to go for a given KL.

Strengths of different directions mean nothing beside one another, so each direction, and each pole of it, gets the
strength at which the next-token distribution moves by the same KL. The range of strengths is not known beforehand (it
differs by orders of magnitude between blocks and models), so the search begins at a typical activation and goes up or
down by factors until the target lies between two strengths. What cannot be met is said, never dropped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from analysis.errors import UserError
from analysis.models.sites import Site
from analysis.progress import Check, no_check
from analysis.steering import Add, Calibration, Intervention, PromptCache, kl_divergence
from analysis.steering.operators import MAX_FACTOR

WHERE = "all"
"""The paper steers every position of the prompt and of what follows (arXiv 2506.10920)."""
MET = 0.05
"""A target counts as met within this share of it."""
AIM = 0.01
"""The search goes on until it is this near, so that arms that are compared are alike."""
LOWEST = 1e-6
_FACTOR, _EVALUATIONS, _SLOPE = 16.0, 40, 2.0
READABLE = 1e-5
"""Changes are listed of tokens with at least this probability; below lie thousands that nobody will see."""


@dataclass(frozen=True)
class Change:
    """How far a token's log-probability moved, in nats."""

    token: int
    change: float


def interventions_of(site: Site, direction: Tensor, pole: int, strength: float) -> list[Intervention]:
    """Add pole * strength * direction (d,) at a site, at every position; strength 0 changes not a bit.

    ``pole``: 1, or -1 for the direction's other end. Raises UserError for any other pole, or a strength that is
    negative or above 10,000.
    """
    if pole not in (1, -1):
        raise UserError("The pole is 1 or -1.", "pole")
    if not 0 <= strength <= MAX_FACTOR:
        raise UserError(f"The strength must be a number from 0 to {MAX_FACTOR:,.0f}.", "strength")
    return [Add(site, direction, pole * float(strength), WHERE)]


def divergence_of(
    caches: Sequence[PromptCache], site: Site, direction: Tensor, pole: int, check: Check = no_check
) -> Callable[[float], float]:
    """A function strength -> KL(base || steered) in nats of the next token, the mean over some prompts.

    ``check`` is called before each pass, and may raise to end the work.
    """

    def evaluate(strength: float) -> float:
        made = interventions_of(site, direction, pole, strength)
        total = 0.0
        for cache in caches:
            check()
            total += kl_divergence(cache.base_logits, cache.next_logits(made))
        return total / len(caches)

    return evaluate


def calibrated(evaluate: Callable[[float], float], target: float, start: float = 1.0) -> Calibration:
    """A strength whose divergence ``evaluate`` (strength -> nats) is within 5 % of ``target``.

    Goes from ``start`` by factors of at most 16 until two strengths enclose the target, between 1e-6 and 10,000, then
    interpolates between their logarithms: a small push causes a divergence that grows as its square. Where that does
    not help, the interval is halved. A target that is never enclosed, or jumped over, gives a result that is not met
    and says so in its ``sentence``.

    Raises UserError: the target or the start is no positive number.
    """
    if not (math.isfinite(target) and target > 0):
        raise UserError("The target divergence must be a positive number of nats.", "target")
    if not (math.isfinite(start) and start > 0):
        raise UserError("The search must begin at a positive strength.", "strength")
    seen: dict[float, float] = {}
    low: float | None = None
    high: float | None = None
    strength, halve = min(max(start, LOWEST), MAX_FACTOR), False
    while len(seen) < _EVALUATIONS and strength not in seen:
        kl = float(evaluate(strength))
        # Steering that leaves no finite logits is as far from the model as can be.
        seen[strength] = kl = math.inf if math.isnan(kl) else kl
        if abs(kl - target) <= AIM * target:
            break
        width = math.log(high / low) if low and high else math.inf
        low, high = (strength, high) if kl < target else (low, strength)
        if low and high:
            # A guess that took less than half of the interval away was no better than halving, which comes next.
            halve = math.isfinite(width) and not halve and math.log(high / low) > width / 2
            strength = _between(low, high, seen, target, halve)
        else:
            strength = _outwards(strength, kl, target)
    # Nearness counts in ratio, so that 0 and infinity are both far away; of equally near ones the weakest.
    best = min(seen, key=lambda s: (abs(math.log(max(seen[s], 1e-300) / target)), s))
    return Calibration(best, seen[best], target, abs(seen[best] - target) <= MET * target, tuple(seen.items()))


def changes(base: Tensor, steered: Tensor, count: int = 8) -> tuple[list[Change], list[Change]]:
    """The tokens whose log-probability rises and falls most between two rows of logits (V,), in nats.

    Only tokens that have probability 1e-5 or more after (for those that rise) or before (for those that fall); where
    fewer than ``count`` have, the most probable ones. The signs are as measured, so where hardly anything rises the
    last of the rising ones may fall.
    """
    b, s = base.double().log_softmax(-1), steered.double().log_softmax(-1)
    change = (s - b).nan_to_num(0.0)
    sides = []
    for sign, seen in ((1, s), (-1, b)):
        enough = max(min(count, len(seen)), int((seen >= math.log(READABLE)).sum()))
        among = seen.topk(enough).indices
        order = (sign * change[among]).topk(min(count, enough)).indices
        sides.append([Change(int(i), float(change[i])) for i in among[order]])
    return sides[0], sides[1]


def _outwards(strength: float, kl: float, target: float) -> float:
    """Where to look while the target lies beyond everything seen: as if KL grew as the square of the strength."""
    guess = (target / kl) ** (1 / _SLOPE) if 0 < kl < math.inf else (0.0 if kl else math.inf)
    # A little further than guessed, so that the target is enclosed.
    guess = min(max(guess * 1.1, 1.2), _FACTOR) if kl < target else max(min(guess / 1.1, 1 / 1.2), 1 / _FACTOR)
    return min(max(strength * guess, LOWEST), MAX_FACTOR)


def _between(low: float, high: float, seen: dict[float, float], target: float, halve: bool) -> float:
    """Where between two strengths the target is to be looked for."""
    a, b = math.log(low), math.log(high)
    below, above = seen[low], seen[high]
    share = 0.5
    if not halve and 0 < below and math.isfinite(above) and above > below:
        share = min(max(math.log(target / below) / math.log(above / below), 0.05), 0.95)
    return math.exp(a + share * (b - a))
