"""What Prepare can make for the Faithfulness page: a study of the model, with more problems as time allows."""

from __future__ import annotations

from analysis.errors import UserError
from analysis.faithfulness.ops.jobs import FaithStudy
from analysis.models.model_facts import ModelFacts
from analysis.models.spec import ModelSpec
from analysis.product import Cost, Level, Product, Rate

SIZES = (
    ("quick", 1, 6, ("0", "1")),
    ("good", 5, 10, ("0", "1", "2")),
    ("full", 5, 30, ("0", "1", "2", "Z", "G1")),
)
"""Levels: name, seeds of demonstrations, problems, tiers."""
QUALITY = (
    "One seed of demonstrations with {problems} problems: which measures work at all; no interval is narrow.",
    "{seeds} seeds with {problems} problems: a ranking with intervals.",
    "{seeds} seeds with {problems} problems and all tiers, as the study that comes with Attune.",
)
LEAST = 512
"""Tokens that a model must be able to read: items with their demonstrations have 300 to 500."""
_SHORT = 3.0
"""How much dearer a token is in a study than in long batches: its prompts are short and of many lengths."""


def levels(spec: ModelSpec, facts: ModelFacts, rate: Rate) -> tuple[Level, ...]:
    """Studies of made items. Raises UserError for a model that cannot read them."""
    from analysis.faithfulness.study import estimate_tokens

    if 0 < (facts.max_positions or LEAST) < LEAST:
        raise UserError(
            f"This model reads at most {facts.max_positions:,} tokens, and the items of a study have up to {LEAST} "
            "with their demonstrations."
        )
    made = []
    for (name, seeds, problems, tiers), quality in zip(SIZES, QUALITY, strict=True):
        operation = FaithStudy(spec, seeds, problems, tiers)
        tokens, items = estimate_tokens(operation.settings())
        seconds = _SHORT * tokens * rate.seconds_per_token + items * 0.1
        cost = Cost(seconds, 2_000 * facts.hidden * 4 + 64 * facts.vocabulary * 4, 4_000 * items)
        made.append(Level(name, operation, cost, quality.format(seeds=seeds, problems=problems)))
    return tuple(made)


def present(facts: ModelFacts, of: tuple[Level, ...]) -> int:
    """Levels that the made studies of these weights cover, by the seeds, problems and tiers of their settings."""
    from analysis.faithfulness.library import STUDIES

    studies = STUDIES.of_weights(facts.fingerprint, facts.fingerprint[:32])
    found = [settings for entry in studies if (settings := entry.manifest.get("settings"))]

    def covers(settings: dict[str, object], level: Level) -> bool:
        wanted = level.operation.to_params()
        sizes = all(int(str(settings.get(name, 0))) >= wanted[name] for name in ("seeds", "problems"))
        return sizes and set(wanted["tiers"]) <= set(map(str, settings.get("tiers", ())))  # type: ignore[call-overload]

    return sum(any(covers(settings, level) for settings in found) for level in of)


PRODUCTS = (
    Product(
        "/faithfulness",
        "a study of chains of thought",
        "Faithfulness shows which measures tell chains that the model used from decoration, on items whose truth is "
        "known.",
        levels,
        present,
    ),
)
