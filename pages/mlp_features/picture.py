"""The small picture of the MLP features page: the sentence that the page opens on, by the features that it uses."""

from __future__ import annotations

from analysis.errors import UserError
from analysis.models.spec import ModelSpec
from analysis.snmf.ops.factorization import FeatureReading, ListFactorizations
from components.snmf.maps import reading_map
from pages.common import reply_to
from pages.manifest import Picture
from pages.mlp_features.state import START_TEXT


def picture(model: ModelSpec) -> Picture:
    """Tokens by features. UserError where the model has no factorization."""
    fits = reply_to(ListFactorizations(model)).answer.fits
    if not fits:
        raise UserError("There is no factorization for this model yet.")
    reply = reply_to(FeatureReading(model, fits[0].name, START_TEXT))
    return Picture(reading_map.ref([reply.question]), "a text by features")
