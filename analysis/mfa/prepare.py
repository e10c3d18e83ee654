"""What Prepare can make for the Steering page: a fit of regions in a middle block, with more texts as time allows."""

from __future__ import annotations

from analysis.mfa.ops.fit import FitRegions
from analysis.models.model_facts import ModelFacts
from analysis.models.spec import ModelSpec
from analysis.product import Cost, Level, Product, Rate

SIZES = (("quick", 12_000, 48, 4), ("good", 60_000, 128, 8), ("full", 250_000, 384, 8))
"""Levels: name, tokens, regions, local factors."""
QUALITY = (
    "{tokens:,} tokens and {regions} regions: the broadest subjects, many regions of mixed words.",
    "{tokens:,} tokens and {regions} regions: most subjects of the texts have a region of their own.",
    "{tokens:,} tokens and {regions} regions, as many per token as the fits that come with Attune.",
)
_ITERATIONS, _DESCRIBING = 16, 15.0


def levels(spec: ModelSpec, facts: ModelFacts, rate: Rate) -> tuple[Level, ...]:
    """Fits of the residual stream of the middle block."""
    layer = facts.layers // 2
    made = []
    for (name, tokens, regions, factors), quality in zip(SIZES, QUALITY, strict=True):
        reading = tokens * rate.seconds_per_token * (layer + 1) / max(1, facts.layers)
        products = 2.0 * tokens * facts.hidden * regions * (factors + 1) * 2.5 * _ITERATIONS
        cost = Cost(
            reading + products / (0.5 * rate.flops) + _DESCRIBING,
            4 * facts.hidden * (tokens + 4 * regions * (factors + 1)) + 8 * tokens * factors,
            tokens * (2 * facts.hidden + 12) + 4 * facts.hidden * regions * (factors + 2),
        )
        factors = min(factors, facts.hidden - 1)
        operation = FitRegions(spec, layer=layer, tokens=tokens, regions=regions, factors=factors)
        made.append(Level(name, operation, cost, quality.format(tokens=tokens, regions=regions)))
    return tuple(made)


def present(facts: ModelFacts, of: tuple[Level, ...]) -> int:
    """Levels that the fits of these weights cover, by their tokens; one in ten may be lacking, since texts end. Only
    those count that the page lists: made under the name that the model has now."""
    from analysis.mfa.library import REGION_SETS

    listed = [
        e for e in REGION_SETS.of_weights(facts.fingerprint) if e.manifest["model_spec"]["source"] == facts.source
    ]
    rows = max((int(e.manifest["rows"]) for e in listed), default=0)
    return 0 if not rows else max(1, sum(rows >= 0.9 * level.operation.to_params()["tokens"] for level in of))


PRODUCTS = (
    Product(
        "/steering",
        "regions of the residual stream",
        "Steering shows a map of the regions that the model's activations fall into, and pushes a text towards them.",
        levels,
        present,
    ),
)
