"""What Prepare can make for the Neurons page: the measurements without which no verdict on a neuron is possible."""

from __future__ import annotations

from analysis.models.model_facts import ModelFacts
from analysis.models.spec import ModelSpec
from analysis.product import Cost, Level, Product, Rate
from analysis.rotate.ops.neurons import MeasureNull

_KINDS, _WIDE = 3, 4
"""Weight vectors of a neuron, and neurons of a block for each number of the residual stream: as most models have."""
_STEPS = 115
"""Steps of a descent, with the passes that look for tokens to leave out; measured on the default model."""


def levels(spec: ModelSpec, facts: ModelFacts, rate: Rate) -> tuple[Level, ...]:
    """The null, the tokens to leave out and the layer map."""
    operation = MeasureNull(spec)
    matrix = float(facts.hidden) * facts.vocabulary
    neurons = facts.layers * _KINDS * _WIDE * facts.hidden
    work = 2.0 * matrix * neurons + 4.0 * matrix * _STEPS * (operation.vectors * operation.rounds + 4 * 96 * 2)
    cost = Cost(work / (0.7 * rate.flops), int(4 * matrix) + 4 * 96 * 2 * facts.vocabulary, 12 * neurons)
    quality = f"{operation.vectors} random vectors: a verdict beyond the 99.5th percentile cannot be told."
    return (Level("full", operation, cost, quality),)


def present(facts: ModelFacts, of: tuple[Level, ...]) -> int:
    """Levels that the measurements of these weights cover, by their number of random vectors."""
    from analysis.rotate.library import MEASUREMENTS

    found = MEASUREMENTS.of_weights(facts.fingerprint)
    if not found:
        return 0
    vectors = int(found[0].manifest.get("random_vectors", 0))
    wanted = [int(level.operation.to_params()["vectors"]) for level in of]
    return max(1, sum(vectors >= count for count in wanted))


PRODUCTS = (
    Product(
        "/neurons",
        "the null of the neurons",
        "Neurons shows what a neuron writes to the vocabulary, and whether random vectors would show as much.",
        levels,
        present,
    ),
)
