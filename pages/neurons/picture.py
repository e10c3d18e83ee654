"""The small picture of the Neurons page: how far from chance the weight vectors of each layer are."""

from __future__ import annotations

from analysis.models.spec import ModelSpec
from analysis.rotate.ops.neurons import NeuronMap
from components.rotate.neuron_figures import layer_map
from pages.common import reply_to
from pages.manifest import Picture


def picture(model: ModelSpec) -> Picture:
    """Kurtosis by layer on the band of random vectors. UserError where the model's neurons were not measured."""
    return Picture(layer_map.ref([reply_to(NeuronMap(model)).question]), "kurtosis by layer")
