"""What Prepare can make for the MLP features page: a factorization of a middle block, finer as time allows."""

from __future__ import annotations

from analysis.models.model_facts import ModelFacts
from analysis.models.sites import Site
from analysis.models.spec import ModelSpec
from analysis.product import Cost, Level, Product, Rate
from analysis.snmf.ops.factorization import FitFactorization

SIZES = (("quick", 6_000, 64, 200), ("good", 9_000, 100, 400), ("full", 40_000, 200, 400))
"""Levels: name, tokens, features, iterations."""
QUALITY = (
    "{tokens:,} tokens and {features} features: the commonest groups of neurons; detection of themes is rough.",
    "{tokens:,} tokens and {features} features: the size that the form of the page proposes.",
    "{tokens:,} tokens and {features} features, as many tokens as the factorizations that come with Attune.",
)
_WIDE = 4
"""Neurons of a block for each number of the residual stream, as most models have; for predictions alone."""
_DESCRIBING = 15.0


def levels(spec: ModelSpec, facts: ModelFacts, rate: Rate) -> tuple[Level, ...]:
    """Factorizations of the neurons of the middle block."""
    from analysis.snmf.learning import HELD_OUT

    layer, neurons = facts.layers // 2, _WIDE * facts.hidden
    made = []
    for (name, tokens, features, iterations), quality in zip(SIZES, QUALITY, strict=True):
        read = tokens + max(HELD_OUT, tokens // 2)  # detection is scored on activations that are held out
        reading = read * rate.seconds_per_token * (layer + 1) / max(1, facts.layers)
        products = 4.0 * tokens * neurons * features * iterations
        cost = Cost(
            reading + products / (0.5 * rate.flops) + _DESCRIBING,
            12 * tokens * neurons,
            read * (2 * neurons + 12) + 4 * features * (neurons + tokens),
        )
        operation = FitFactorization(spec, layer=layer, features=features, iterations=iterations, tokens=tokens)
        reads = {Site(layer, operation.site): read}
        made.append(Level(name, operation, cost, quality.format(tokens=tokens, features=features), reads))
    return tuple(made)


def present(facts: ModelFacts, of: tuple[Level, ...]) -> int:
    """Levels that the factorizations of these weights cover, by their tokens; one in ten may be lacking, since texts
    end. Only those count that the page lists: made under the name that the model has now."""
    from analysis.snmf.library import FACTORIZATIONS

    found = FACTORIZATIONS.of_weights(facts.fingerprint)
    listed = [entry for entry in found if entry.manifest["model_spec"]["source"] == facts.source]
    rows = max((int(entry.manifest["tokens"]) for entry in listed), default=0)
    return 0 if not rows else max(1, sum(rows >= 0.9 * level.operation.to_params()["tokens"] for level in of))


PRODUCTS = (
    Product(
        "/mlp-features",
        "features of the MLP",
        "MLP features shows groups of neurons that act together, the texts and tokens that they stand for, and their "
        "tree.",
        levels,
        present,
    ),
)
