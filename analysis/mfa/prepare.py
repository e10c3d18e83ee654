"""What Prepare can make for the Steering page: a fit of regions at the block where themes show most, with more texts as
time allows."""

from __future__ import annotations

from analysis.mfa.ops.fit import LOOK, FitRegions
from analysis.models.model_facts import ModelFacts
from analysis.models.sites import Site
from analysis.models.spec import ModelSpec
from analysis.product import Cost, Level, Product, Rate

QUICK = ((40_000, 128, 4), (24_000, 80, 4), (12_000, 48, 4))
"""Tokens, regions and local factors of the quick level: the largest that fits into the time of one, else the least."""
BETTER = (("good", 100_000, 256, 8), ("full", 280_000, 512, 8))
PATIENCE = 90.0
"""Seconds that a quick fit may take, as predicted."""
QUALITY = (
    "{tokens:,} tokens and {regions} regions: the broadest subjects, many regions of mixed words.",
    "{tokens:,} tokens and {regions} regions: most subjects of the texts have a region of their own.",
    "{tokens:,} tokens and {regions} regions, as many per token as the fits that come with Attune.",
)
_ITERATIONS, _DESCRIBING = 16, 15.0


def blocks_of(layers: int) -> tuple[int, ...]:
    """Blocks to look at: the middle one, and those at a quarter, a third and two thirds of the depth."""
    return tuple(dict.fromkeys(int(layers * share) for share in (1 / 2, 1 / 3, 1 / 4, 2 / 3)))


def levels(spec: ModelSpec, facts: ModelFacts, rate: Rate) -> tuple[Level, ...]:
    """Fits of the residual stream at one of several blocks."""
    quick = next((sizes for sizes in QUICK if _cost(facts, rate, *sizes).seconds <= PATIENCE), QUICK[-1])
    blocks, made = blocks_of(facts.layers), []
    for (name, tokens, regions, factors), quality in zip((("quick", *quick), *BETTER), QUALITY, strict=True):
        cost = _cost(facts, rate, tokens, regions, factors)
        factors = min(factors, facts.hidden - 1)
        operation = FitRegions(spec, layer=blocks[0], tokens=tokens, regions=regions, factors=factors, blocks=blocks)
        reads = {Site(block): min(LOOK, tokens) for block in blocks}
        made.append(Level(name, operation, cost, quality.format(tokens=tokens, regions=regions), reads))
    return tuple(made)


def _cost(facts: ModelFacts, rate: Rate, tokens: int, regions: int, factors: int) -> Cost:
    blocks, deepest = blocks_of(facts.layers), (max(blocks_of(facts.layers)) + 1) / max(1, facts.layers)
    reading = tokens * rate.seconds_per_token * deepest
    products = 2.0 * tokens * facts.hidden * regions * (factors + 1) * 2.5 * _ITERATIONS
    return Cost(
        reading + products / (0.5 * rate.flops) + _DESCRIBING,
        4 * facts.hidden * (tokens + 4 * regions * (factors + 1)) + 8 * tokens * factors,
        (tokens + (len(blocks) - 1) * min(LOOK, tokens)) * (2 * facts.hidden + 12)
        + 4 * facts.hidden * regions * (factors + 2),
    )


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
