"""Rows of a token card: what all parts share in how a row is made and how many there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from analysis.engine.memory import Memory
from analysis.errors import UserError
from analysis.token_card.answers import Place, Row

if TYPE_CHECKING:
    from analysis.models.loaded_model import LoadedModel

FITS, ROWS = 3, 6
"""Fits of a kind that are asked, rows of a part."""
Part = tuple[Sequence[Row], str]
"""Rows, and the sentence above them."""


def usable_fits(open_one: Callable[..., Any], memory: Memory, loaded: LoadedModel, names: list[str]) -> list[Any]:
    """The first fits that belong to these weights: one that does not, or is damaged, must not hide the others."""
    fits = []
    for name in names:
        with suppress(UserError):
            fits.append(open_one(memory, loaded, name))
        if len(fits) == FITS:
            break
    return fits


def amount(number: int, one: str, more: str) -> str:
    """The number and its word, in the singular or the plural."""
    return f"{number} {one if number == 1 else more}"


def region_facts(fit: Any, region: int) -> dict[str, Any]:
    """The fields of :class:`NamedRegion`: what every row on a region says of it, and the link to the Steering page."""
    steer = {"fit": fit.name, "regions": [{"region": region, "strength": 0.0, "factors": []}]}
    row = fit.manifest["regions"][region]
    return {
        "fit": fit.name,
        "where": fit.site.label,
        "layer": fit.site.layer,
        "region": region,
        "label": fit.label(region),
        "theme": row["theme"],
        "purity": row["purity"],
        "link": Place("/steering", {"steer": steer}),
    }


def feature_facts(fit: Any, feature: int, how: str) -> dict[str, Any]:
    """The fields of :class:`NamedFeature`; ``how`` the token meets it: "active here" or "promotes"."""
    return {
        "fit": fit.name,
        "where": fit.site.label,
        "layer": fit.site.layer,
        "feature": feature,
        "label": fit.label(feature),
        "how": how,
        "active": fit.manifest["rows"][feature]["active"],
        "link": Place("/mlp-features", {"fit": fit.name, "feature": feature}),
    }
