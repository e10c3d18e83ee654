"""What the claims of the MLP features page are held against, and the numbers that somebody would quote of its views.

A control is made of numbers that are in the answer; a view whose answer has none has no control.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.snmf.answers.factorization import (
    Detection,
    DetectionComparison,
    ExplainedCurve,
    FeatureFacts,
    FeatureTable,
    NeuronOverlap,
    TextReading,
)
from analysis.snmf.answers.steering import SteeringArm, SteeringComparison
from analysis.spoken import counted
from components.kit.view import Control

NULLS = {"random sparse": "random sparse directions", "shuffled neurons": "shuffled neurons"}
"""The nulls of detection and steering, by what the answers call them."""
BASELINES = {"DiffMean": "difference of means", "single neuron": "single neuron", **NULLS}
"""All directions that a feature is held against."""


def curve_numbers(curve: ExplainedCurve) -> dict[str, float]:
    """Share of the squared length that the last iteration, and the one that was kept, explain."""
    if not curve.iteration:
        return {}
    numbers = {"iterations": float(curve.iteration[-1]), "share explained at the end": curve.explained[-1]}
    if curve.best is None:
        return numbers
    at = min(range(len(curve.iteration)), key=lambda i: abs(curve.iteration[i] - (curve.best or 0)))
    return numbers | {"kept iteration": float(curve.best), "share explained": curve.explained[at]}


def fit_numbers(table: FeatureTable) -> dict[str, float]:
    """What a factorization is, in numbers."""
    return {
        "features": float(table.features),
        "width": float(table.width),
        "tokens": float(table.tokens),
        "share explained": table.explained,
        "share of neurons kept": table.kept,
    }


def band_control(table: FeatureTable) -> Control | None:
    """The areas of random sparse directions beside those of the features; None where detection is not scored."""
    scored = [row.auc for row in table.rows if row.auc is not None]
    if table.random_auc is None or not scored:
        return None
    low, high = table.random_auc
    above = sum(area > high for area in scored)
    return Control(
        NULLS["random sparse"],
        f"{above} of {len(scored)} scored features have an AUC above {high:.2f}; 95 % of random sparse directions lie "
        f"between {low:.2f} and {high:.2f}.",
        {"random low": low, "random high": high, "features above": float(above), "features scored": float(len(scored))},
    )


def detection_control(scores: Detection) -> Control | None:
    """The area of a feature beside its nulls; None where it is not scored, or there is no null."""
    names, said = [], []
    numbers: dict[str, float] = {}
    if scores.random_auc:
        low, high = scores.random_auc
        names.append("random sparse")
        said.append(f"95 % of random sparse directions lie between {low:.2f} and {high:.2f}")
        numbers |= {"random low": low, "random high": high}
    if scores.shuffled_auc is not None:
        names.append("shuffled neurons")
        said.append(f"its weights on other neurons have {scores.shuffled_auc:.2f}")
        numbers["shuffled"] = scores.shuffled_auc
    if scores.auc is None or not names:
        return None
    low, high = scores.interval or (scores.auc, scores.auc)
    count = ""
    if scores.passages is not None and scores.others is not None:
        count = f" On {scores.passages} passages of the theme and {scores.others} others."
        numbers |= {"passages": float(scores.passages), "other passages": float(scores.others)}
    words = f"AUC for {scores.theme} {scores.auc:.2f} ({low:.2f} to {high:.2f}); {'; '.join(said)}.{count}"
    return Control(_names(names), words, numbers)


def feature_numbers(feature: FeatureFacts) -> dict[str, float]:
    """How often a feature is active, and how well it tells its theme."""
    scores = feature.detection
    numbers = {"active": feature.active, "neurons": float(len(feature.neurons))}
    if feature.neurons:
        numbers["largest weight"] = max((n.weight for n in feature.neurons), key=abs)
    if feature.themes:
        numbers["share of its first theme"] = feature.themes[0].share
    if scores.auc is not None:
        numbers["auc"] = scores.auc
        if scores.interval:
            numbers |= {"auc low": scores.interval[0], "auc high": scores.interval[1]}
    return numbers if scores.score is None else numbers | {"score": scores.score}


def methods_control(comparison: DetectionComparison, measure: str) -> Control | None:
    """The nulls of every block. ``measure``: "auc" or "score"."""
    values: dict[str, dict[int, float]] = {}
    for row in comparison.rows:
        value = getattr(row, measure)
        if row.method in NULLS and value is not None:
            values.setdefault(row.method, {})[row.layer] = value
    if not values:
        return None
    names = [name for name in NULLS if name in values]
    said = "; ".join(
        f"{NULLS[name]}: " + ", ".join(f"{value:.2f} at block {layer}" for layer, value in values[name].items())
        for name in names
    )
    numbers = {f"{name}, block {layer}": value for name in names for layer, value in values[name].items()}
    return Control(_names(names), f"{said}. {comparison.sentence}", numbers)


def _names(nulls: Sequence[str]) -> str:
    return ", ".join(NULLS[name] for name in nulls)


def methods_numbers(comparison: DetectionComparison, measure: str) -> dict[str, float]:
    """All other methods, block by block."""
    return {
        f"{row.method}, block {row.layer}": value
        for row in comparison.rows
        if row.method not in NULLS and (value := getattr(row, measure)) is not None
    }


def arms_control(comparison: SteeringComparison) -> Control | None:
    """The null directions at the same price, each drawn once; None where none could be had."""
    nulls = [arm for arm in comparison.arms if arm.name in NULLS and arm.kl is not None]
    if not nulls:
        return None
    own = next((arm for arm in comparison.arms if arm.name == "feature"), None)
    rows = [("this feature", own), *[(NULLS[arm.name], arm) for arm in nulls]]
    said = "; ".join(f"{name}: {arm_words(arm)}" for name, arm in rows if arm is not None)
    numbers: dict[str, float] = {}
    for arm in nulls:
        numbers |= _arm_numbers(arm, f" of {arm.name}")
    read = counted(comparison.tokens, "token")
    words = f"Each at the strength of about the same KL, at the last of {read} of one prompt. {said}."
    return Control(_names([arm.name for arm in nulls]), words, numbers)


HARDLY_MORE = 0.75
"""The share of the tokens that a feature raises most from which on a neuron that raises them too does the same."""


def arms_verdict(comparison: SteeringComparison) -> str:
    """Whether the feature does more here than its largest neuron alone, by the tokens that rise most at the same KL; ""
    where one of the two did not meet it or raises nothing."""
    arms = {arm.name: arm for arm in comparison.arms if arm.met and arm.up}
    own, one = arms.get("feature"), arms.get("single neuron")
    if own is None or one is None:
        return ""
    raised = {change.id for change in own.up}
    also = {name: len(raised & {c.id for c in arm.up}) for name, arm in arms.items()}
    nulls = [also[name] for name in NULLS if name in also]
    if also["single neuron"] >= HARDLY_MORE * len(raised):
        said = "Here the feature does hardly more than its largest neuron alone"
    elif also["single neuron"] <= max(nulls, default=0):
        said = "Here the feature does something else than its largest neuron alone"
    else:
        said = "Here the feature does in part what its largest neuron alone does"
    drawn = " and ".join(f"{NULLS[name]} {also[name]}" for name in NULLS if name in also)
    null = f"; {drawn}" if drawn else ""
    return (
        f"{said}: of the {len(raised)} tokens that the feature raises most, that neuron raises {also['single neuron']} "
        f"among its own{null}."
    )


def arm_words(arm: SteeringArm) -> str:
    """What a direction raises most, and its price."""
    price = "no finite KL" if arm.kl is None else f"KL {arm.kl:.3f} nats"
    if not arm.up:
        return f"{price}, nothing rises"
    return f"{price}, “{arm.up[0].token}” rises most, by {arm.up[0].change:.2f} nats"


def arms_numbers(comparison: SteeringComparison) -> dict[str, float]:
    """The feature's strength, price, and the most that a token rises and falls; the strengths of all others."""
    numbers: dict[str, float] = {}
    for arm in comparison.arms:
        numbers |= _arm_numbers(arm, "" if arm.name == "feature" else f" of {arm.name}")
    return numbers


def _arm_numbers(arm: SteeringArm, of: str) -> dict[str, float]:
    numbers = {
        "strength": arm.strength,
        "kl": arm.kl,
        "largest rise": arm.up[0].change if arm.up else None,
        "largest fall": arm.down[0].change if arm.down else None,
    }
    return {f"{name}{of}": value for name, value in numbers.items() if value is not None}


def overlap_control(overlap: NeuronOverlap, table: FeatureTable) -> Control:
    """How many neurons two sets of that size would share if they were drawn at random: computed, not sampled."""
    size = float(np.asarray(overlap.shared).diagonal().mean())
    expected = size * size / table.width
    return Control(
        "random sets of neurons" if table.site == "mlp_hidden" else "random sets of dimensions",
        f"Two sets of {size:.0f} drawn at random from {table.width:,} share {expected:.2f} on average.",
        {"expected shared": expected, "width": float(table.width)},
    )


def overlap_numbers(overlap: NeuronOverlap) -> dict[str, float]:
    """How many neurons all features share, each two of them share, and each has alone."""
    features = [f.feature for f in overlap.features]
    shared = np.asarray(overlap.shared)
    numbers = {"core": float(len(overlap.core))}
    for i, a in enumerate(features):
        numbers |= {f"shared by {a} and {b}": float(shared[i, j]) for j, b in enumerate(features) if j > i}
    return numbers | {f"only in {a}": float(len(own)) for a, own in zip(features, overlap.exclusive, strict=True)}


def effect_numbers(overlap: NeuronOverlap) -> dict[str, float]:
    """The largest change of a logit by each part."""
    effects = np.asarray(overlap.effects, np.float64)
    parts = ["core", *(f"only {f.feature}" for f in overlap.features)]
    largest = [row[np.abs(row).argmax()] for row in effects if row.size]
    return {f"largest effect of {part}": float(v) for part, v in zip(parts, largest, strict=False)}


def reading_numbers(reading: TextReading) -> dict[str, float]:
    """The largest activation of each feature in the text."""
    most = np.asarray(reading.activations, np.float64).reshape(len(reading.labels), len(reading.features))
    peaks = most.max(0, initial=0.0).tolist()
    return {f"peak of {f.feature}": float(p) for f, p in zip(reading.features, peaks, strict=True)}
