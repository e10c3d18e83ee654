"""What the claims of the Neurons page are held against, and the numbers that somebody would quote of its views.

The control of a weight vector is what random vectors of the same length give; that of an ablation is another direction
that takes as much out of the neuron. Both are in the answers; a view whose answer has neither has no control.
"""

from __future__ import annotations

import numpy as np

from analysis.rotate.answers.channels import Ablation, Arm, Channel, NeuronChannels, NullBands
from analysis.rotate.answers.neurons import Band, KnownNull, LayerMap, LayerShare, NeuronsKnown, Quantiles, VectorCard
from components.kit.view import Control

RANDOM = "random vectors"
NULL_ARMS = {"random direction": "random direction", "logit lens": "logit-lens tokens", "svd": "SVD of the layer"}
"""The controls of an ablation in words, the null first: directions that take as much out of the neuron."""


def band_control(band: Band | None) -> Control | None:
    """The kurtosis of random vectors over the vocabulary; None where it was not measured."""
    if band is None:
        return None
    return Control(
        RANDOM,
        f"Excess kurtosis of random vectors: {band.low:.2f} to {band.high:.2f} (5 to 95 %), half of them below "
        f"{band.median:.2f}.",
        {"kurtosis low": band.low, "kurtosis median": band.median, "kurtosis high": band.high},
    )


def vector_numbers(card: VectorCard) -> dict[str, float]:
    """Moments of a weight vector over the vocabulary."""
    numbers = {"kurtosis": card.kurtosis, "skewness": card.skewness, "norm": card.norm}
    return numbers if card.in_layer is None else numbers | {"percent of its block below": card.in_layer}


def null_control(null: NullBands, *measures: str) -> Control:
    """What the channels of random vectors reach, in the measures named ("own_z", "cosine", "loss", "kurtosis")."""
    said, numbers = [], {"vectors": float(null.vectors)}
    for measure in measures:
        band: Quantiles = getattr(null, measure)
        name = measure.replace("_", " ")
        of = "own z of the best of each" if measure == "own_z" else name
        said.append(f"{of} {band[0]:.2f} to {band[2]:.2f}, half of them below {band[1]:.2f}")
        numbers |= {f"{name} low": band[0], f"{name} median": band[1], f"{name} high": band[2]}
    words = f"Channels of {null.vectors} random vectors, found by {null.manner} (5 to 95 %): {'; '.join(said)}."
    return Control(RANDOM, words, numbers)


def channel_numbers(channel: Channel) -> dict[str, float]:
    """How a channel stands."""
    numbers = {
        "own z": channel.own_z,
        "p": channel.p,
        "percentile": channel.percentile,
        "cosine": channel.cosine,
        "kurtosis": channel.kurtosis,
        "loss": channel.loss,
    }
    return numbers if channel.unweighted is None else numbers | {"kurtosis without weights": channel.unweighted}


def channels_numbers(answer: NeuronChannels, chosen: int | None) -> dict[str, float]:
    """How many channels are beyond the null; with one chosen, its numbers."""
    counts = {
        "channels": float(len(answer.channels)),
        "channels beyond the null": float(sum(channel.beyond for channel in answer.channels)),
    }
    if chosen is None or not 1 <= chosen <= len(answer.channels):
        return counts
    return counts | channel_numbers(answer.channels[chosen - 1])


def cosine_numbers(answer: NeuronChannels) -> dict[str, float]:
    """Cosines of each channel with the neuron, and the largest between two channels."""
    values = np.asarray(answer.cosines, np.float64)
    numbers = {f"cosine of channel {i}": float(values[0, i]) for i in range(1, len(values))}
    between = np.abs(np.triu(values[1:, 1:], 1))
    return numbers | ({"largest between channels": float(between.max())} if len(values) > 2 else {})


def rebuilt(answer: NeuronChannels) -> tuple[dict[str, float], Control | None]:
    """How much of the neuron all channels rebuild, and what as many unrelated vectors would; no control where that was
    not computed."""
    parts = np.asarray(answer.reconstruction, np.float64)
    if not len(parts):
        return {}, None
    cosine, explained, *null = parts[-1].tolist()
    numbers = {"channels": float(len(parts)), "cosine": cosine, "share explained": explained}
    if not null:
        return numbers, None
    words = (
        f"{len(parts)} channels explain {explained:.1%} of the neuron's squared length; as many unrelated vectors at "
        f"the same cosines {null[0]:.1%}."
    )
    return numbers, Control("unrelated vectors at the same cosines", words, {"share explained": null[0]})


def layer_numbers(answer: LayerMap, layer: int | None, vector: str | None) -> dict[str, float]:
    """Median, 95 % and highest kurtosis of the open block and kind of vector; nothing where none is open."""
    if layer not in answer.layers or vector not in answer.vectors:
        return {}
    at = answer.layers.index(layer), answer.vectors.index(vector)
    rows = {"median": answer.median, "95 %": answer.upper, "highest": answer.top}
    return {f"kurtosis, {name}": float(np.asarray(values)[at]) for name, values in rows.items()}


def known_control(null: KnownNull | None) -> Control | None:
    """The own z of random vectors' best channels; None for a model that was not measured."""
    if null is None:
        return None
    low, middle, high = null.own_z
    words = (
        f"Best channels of {null.vectors} random vectors, {null.rounds} each: own z {low:.1f} to {high:.1f} (5 to "
        f"95 %), half of them below {middle:.1f}."
    )
    numbers = {"own z low": low, "own z median": middle, "own z high": high, "vectors": float(null.vectors)}
    return Control(RANDOM, words, numbers)


def shares_control(known: NeuronsKnown) -> Control | None:
    """The share that random vectors have by definition, and that of a block's own mixtures where it was measured."""
    if known.null is None or not known.shares:
        return None
    level = known.shares[0].null
    like = {place_name(row): row.like_layer for row in known.shares if row.like_layer is not None}
    words = f"{level:.0%} of the channels of {known.null.vectors} random vectors, by definition."
    if like:
        mixtures = "; ".join(f"{place} {share:.0%}" for place, share in like.items())
        words += f" Of random mixtures of the block's own vectors: {mixtures}."
    numbers = {"share": level, "vectors": float(known.null.vectors)}
    return Control(RANDOM, words, numbers | {f"mixtures, {place}": share for place, share in like.items()})


def shares_numbers(known: NeuronsKnown) -> dict[str, float]:
    """The share of channels beyond the null in every place."""
    return {place_name(row): row.beyond for row in known.shares}


def place_name(row: LayerShare) -> str:
    """A block and kind of vector."""
    return f"block {row.layer} {row.vector}"


def ablation_control(answer: Ablation) -> Control | None:
    """What falls without other directions that take as much out of the neuron."""
    arms = [arm for arm in answer.arms if arm.name in NULL_ARMS]
    if not arms:
        return None
    arms.sort(key=lambda arm: list(NULL_ARMS).index(arm.name))
    own = next((arm for arm in answer.arms if arm.name == "channel"), None)
    rows = [("this channel", own), *[(NULL_ARMS[arm.name], arm) for arm in arms], ("whole neuron", answer.whole)]
    said = "; ".join(f"{name} {_drops(arm)}" for name, arm in rows if arm is not None)
    if answer.kind == "output":
        count = f"{len(answer.tokens)} tokens at {len(answer.shown)} positions of one text"
    else:
        ends = sum(sentence.own for sentence in answer.sentences)
        count = f"{ends} sentences that end with a token of the channel and {len(answer.sentences) - ends} others"
    numbers = {key: value for arm in (*arms, answer.whole) for key, value in _arm(arm, f" without {arm.name}").items()}
    words = f"What falls on the channel's own, and on others, in {answer.unit}, on {count}: {said}."
    return Control(arms[0].name, words, numbers)


def ablation_numbers(answer: Ablation) -> dict[str, float]:
    """What falls without the channel, on its own and on others, with the ends of the intervals."""
    own = next((arm for arm in answer.arms if arm.name == "channel"), None)
    if own is None:
        return {}
    low, high = own.own_interval
    return _arm(own, "") | {"drop of its own, low": low, "drop of its own, high": high}


def _arm(arm: Arm, of: str) -> dict[str, float]:
    return {f"drop of its own{of}": arm.own, f"drop of others{of}": arm.other, f"difference{of}": arm.score}


def _drops(arm: Arm) -> str:
    return f"{arm.own:.2f} and {arm.other:.2f}"
