"""What Prepare can make for the Neurons page: the measurements without which no verdict on a neuron is possible."""

from __future__ import annotations

from analysis.models.model_facts import ModelFacts
from analysis.models.spec import ModelSpec
from analysis.product import Cost, Level, Product, Rate
from analysis.rotate.ops.neurons import MeasureNull
from analysis.rotate.width import FULL, NARROW, Width

_KINDS, _WIDE = 3, 4
"""Weight vectors of a neuron, and neurons of a block for each number of the residual stream: as most models have."""
_SHARE = 0.7
"""Of the speed of a plain product of matrices, what is left for descents, whose moments are read and written beside."""
QUALITY = (
    f"A narrow null of {NARROW.vectors} random vectors, for a first verdict: nothing can be told beyond their "
    f"{100 * (1 - 1 / (1 + NARROW.vectors)):.1f}th percentile, and the layer map holds {NARROW.neurons} neurons of "
    "each block.",
    f"{FULL.vectors} random vectors and all neurons: nothing can be told beyond the "
    f"{100 * (1 - 1 / (1 + FULL.vectors)):.1f}th percentile.",
)


def levels(spec: ModelSpec, facts: ModelFacts, rate: Rate) -> tuple[Level, ...]:
    """The null, the tokens to leave out and the layer map: narrow, and full."""
    names = ("quick", "full")
    return tuple(
        Level(name, MeasureNull(spec, width=width.name), _cost(width, facts, rate), quality)
        for name, width, quality in zip(names, (NARROW, FULL), QUALITY, strict=True)
    )


def _cost(width: Width, facts: ModelFacts, rate: Rate) -> Cost:
    neurons = _WIDE * facts.hidden
    work = width.operations(facts.hidden, facts.vocabulary, facts.layers * _KINDS, neurons)
    disk = 12 * facts.layers * _KINDS * neurons
    return Cost(work / (_SHARE * rate.flops), 4 * facts.hidden * facts.vocabulary + 768 * facts.vocabulary, disk)


def present(facts: ModelFacts, of: tuple[Level, ...]) -> int:
    """Levels that the measurements of these weights cover: all, unless they are narrow."""
    from analysis.rotate.library import MEASUREMENTS

    found = MEASUREMENTS.of_weights(facts.fingerprint)
    if not found:
        return 0
    return 1 if found[0].manifest.get("width", FULL.name) == NARROW.name else len(of)


PRODUCTS = (
    Product(
        "/neurons",
        "the null of the neurons",
        "Neurons shows what a neuron writes to the vocabulary, and whether random vectors would show as much.",
        levels,
        present,
    ),
)
