"""All that can steer, whichever method it is of: importing this makes them known to :class:`Steer`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from analysis.mfa.settings import SteeringSettings
from analysis.snmf.steer import FeatureSteer
from analysis.steering.ready import ReadySteer
from analysis.steering.steers import Steer
from analysis.tpr.steer import BoardSteer

if TYPE_CHECKING:
    from analysis.engine.context import Context
    from analysis.models.loaded_model import LoadedModel

__all__ = ["BoardSteer", "FeatureSteer", "Steer", "SteeringSettings", "reads_of", "ready"]


def ready(steer: Steer, context: Context, loaded: LoadedModel) -> ReadySteer:
    """A set-up read for a model. Raises UserError where they do not belong together."""
    from analysis.mfa.ready import ReadyRegions
    from analysis.snmf.ready import ReadyFeature
    from analysis.tpr.ready import ReadyBoard

    made: Any = {SteeringSettings: ReadyRegions, FeatureSteer: ReadyFeature, BoardSteer: ReadyBoard}[type(steer)]
    opened: ReadySteer = made(steer, context, loaded)
    return opened


def reads_of(steer: Steer, loaded: Callable[[], LoadedModel]) -> str:
    """Checksums of the files that a set-up is read from. ``loaded`` is called only where the model says which."""
    from analysis.mfa.ops import steer as regions
    from analysis.snmf.ops.factorization import checksum_of
    from analysis.tpr.room import room_of

    if isinstance(steer, SteeringSettings):
        return regions.reads_of(steer)
    if isinstance(steer, FeatureSteer):
        return checksum_of(steer.fit)
    assert isinstance(steer, BoardSteer)
    return str(room_of(loaded(), steer.probes).probes.manifest.get("sha256", ""))
