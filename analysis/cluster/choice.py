"""Whether the work of an operation is spread over a cluster. Ray is imported only where one is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.cluster.link import named_cluster
from analysis.engine.spread import Here, Spread, Surroundings

if TYPE_CHECKING:
    from analysis.models.loaded_model import LoadedModel


def spread(model: LoadedModel | None, context: Surroundings) -> Spread:
    """What computes shards: the nodes of the named cluster, or this process."""
    if not named_cluster():
        return Here(model, context)
    from analysis.cluster.spread import spread_of

    return spread_of(model, context)
