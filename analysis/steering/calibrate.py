"""How strong is strong: the strength at which an intervention changes the next-token distribution by a given amount.

Strengths of different interventions are not comparable; the divergence that they cause is. It grows with the strength
in general, but not always, and a centroid may be too near to reach a target at all. The search therefore does not
assume more than it sees, and its result says in words whether the target was met.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from analysis.errors import UserError


@dataclass(frozen=True)
class Calibration:
    """A strength and the divergence ``kl`` (nats) measured there; ``met``: within the tolerance of ``target``.

    ``evaluations``: every (strength, kl) that was measured, in order.
    """

    strength: float
    kl: float
    target: float
    met: bool
    evaluations: tuple[tuple[float, float], ...]

    @property
    def sentence(self) -> str:
        """What was found, for the reader."""
        if self.met:
            return (
                f"Strength {self.strength:.3g} changes the next-token distribution by {self.kl:.3g} nats (target "
                f"{self.target:g})."
            )
        largest = max(kl for _, kl in self.evaluations)
        if largest < self.target:
            return (
                f"The target of {self.target:g} nats cannot be reached: the most that this intervention does is "
                f"{self.kl:.3g} nats, at strength {self.strength:.3g}."
            )
        return (
            f"No strength was found that gives {self.target:g} nats: the divergence jumps. The nearest is "
            f"{self.kl:.3g} nats at strength {self.strength:.3g}."
        )


def strength_for_kl(
    evaluate: Callable[[float], float],
    target: float,
    low: float = 0.0,
    high: float = 1.0,
    iterations: int = 12,
    tolerance: float = 0.02,
    known: dict[float, float] | None = None,
) -> Calibration:
    """Find a strength in [low, high] whose divergence, ``evaluate`` (strength -> nats), is within a share ``tolerance``
    of ``target``.

    Divergence grows about as the square of a small strength, so a straight line through its root says where to look
    next; where that did not help, the interval is halved. ``low`` is taken to give no divergence. At most
    ``iterations`` evaluations, after up to four that look for a strength beyond the target. ``known``: divergences by
    strength that were measured for other targets; they are not measured again, and new ones are added.

    Raises:
        UserError: the target is no positive finite number, or the range is empty.
    """
    if not (math.isfinite(target) and target > 0):
        raise UserError("The target divergence must be a positive number of nats.", "target")
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UserError("The strengths to search must be a range from a lower to a higher number.", "strength")
    seen: list[tuple[float, float]] = []
    known = {} if known is None else known

    def measure(strength: float) -> float:
        if strength not in known:
            kl = float(evaluate(strength))
            # Steering that leaves no finite logits is as far from the model as can be.
            known[strength] = kl if not math.isnan(kl) else math.inf
        seen.append((strength, known[strength]))
        return seen[-1][1]

    above = None
    # The top is enough where divergence grows; the others catch one that falls again near the top.
    for share in (1.0, 0.75, 0.5, 0.25):
        if measure(low + share * (high - low)) >= target * (1 - tolerance):
            above = seen[-1]
            break
    left, right, halve = (low, 0.0), above, False
    for point in sorted(known.items()):  # those of other targets, nearer than the top
        if above is None or not low < point[0] < above[0]:
            continue
        if point[1] >= target * (1 - tolerance):
            right = point
            seen.append(point)
            break
        left = point
    for _ in range(iterations if right is not None else 0):
        assert right is not None
        if abs(seen[-1][1] - target) <= tolerance * target:
            break
        width = right[0] - left[0]
        strength = left[0] + width / 2 if halve else _guess(left, right, target)
        found = (strength, measure(strength))
        left, right = (found, right) if found[1] < target else (left, found)
        # A guess that took less than half of the interval away was no better than halving, which comes next.
        halve = right[0] - left[0] > width / 2
    # Nearness counts in ratio, so that 0 and infinity are both far away.
    best = min(seen, key=lambda s: abs(math.log(max(s[1], 1e-300) / target)))
    return Calibration(*best, target, abs(best[1] - target) <= tolerance * target, tuple(seen))


def kl_divergence(base_logits: Tensor, steered_logits: Tensor) -> float:
    """KL(base || steered) in nats between two next-token distributions given by logits (V,); float64."""
    return float(kl_divergences(base_logits[None], steered_logits[None])[0])


def kl_divergences(base_logits: Tensor, steered_logits: Tensor) -> Tensor:
    """KL(base || steered) in nats, float64 (N,), row by row of logits (N, V)."""
    base, steered = base_logits.double().log_softmax(-1), steered_logits.double().log_softmax(-1)
    # Where the base gives nothing, nothing is lost, whatever the steered model gives.
    terms = base.exp() * (base - steered)
    return terms.masked_fill(base.isneginf(), 0.0).sum(-1).clamp(min=0)


def _guess(left: tuple[float, float], right: tuple[float, float], target: float) -> float:
    width = right[0] - left[0]
    if not math.isfinite(right[1]):
        return left[0] + width / 2
    low, high = math.sqrt(max(left[1], 0.0)), math.sqrt(right[1])
    share = (math.sqrt(target) - low) / (high - low) if high > low else 0.5
    return left[0] + min(max(share, 0.1), 0.9) * width
