"""The small picture of the Steering page: the regions of the model's first fit."""

from __future__ import annotations

from analysis.errors import UserError
from analysis.mfa.ops.regions import ListFits, RegionMap
from analysis.models.spec import ModelSpec
from components.mfa.region_figures import region_map
from pages.common import reply_to
from pages.manifest import Picture


def picture(model: ModelSpec) -> Picture:
    """The map of the regions. UserError where the model has no fit."""
    fits = reply_to(ListFits(model)).answer.fits
    if not fits:
        raise UserError("There is no fit of regions for this model yet.")
    return Picture(region_map.ref([reply_to(RegionMap(model, fits[0].name)).question]), f"regions of {fits[0].name}")
