"""The channels of random vectors: what every channel of a neuron is held against.

Random vectors have channels of high kurtosis too (docs/neurons.md has a table), so kurtosis is not what counts. What a
random vector does not have is tokens that it favours itself: the statistic is the mean z-score of the vector itself on
the 20 top tokens of its channel ("own z"). The loss, and with it every figure here, does not change with the length of
a vector, so vectors of one length serve the neurons of all blocks that share a projection; a test holds this. A
stricter null draws vectors with the second moments of a layer's own weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.progress import Progress, silent
from analysis.rotate.attractors import Attractor, attractors
from analysis.rotate.channels import Batches, VocabularyChannels
from analysis.rotate.width import FULL

FIGURES = ("own_z", "cosine", "loss", "kurtosis")


@dataclass(frozen=True)
class ChannelNull:
    """Channels of N random vectors, C rounds each: ``own_z``, ``cosine``, ``loss``, ``kurtosis`` (N, C) and ``top``
    (N, C, 20) token ids."""

    own_z: Tensor
    cosine: Tensor
    loss: Tensor
    kurtosis: Tensor
    top: Tensor

    @property
    def vectors(self) -> int:
        """How many random vectors there are."""
        return len(self.own_z)

    @property
    def rounds(self) -> int:
        """How many channels each of them has."""
        return self.own_z.shape[1]

    def percentile(self, own_z: Tensor) -> Tensor:
        """Share, in percent, of random vectors whose channel of the same round has a smaller own z; (N, C) -> (N, C).

        Rounds beyond those of the null are held against its last one. Under the null the numbers are uniform, so that
        5 % of channels lie beyond 95.
        """
        columns = [self.own_z[:, min(c, self.rounds - 1)] for c in range(own_z.shape[1])]
        below = [(column[None] < own_z[:, c, None]).float().mean(1) for c, column in enumerate(columns)]
        return 100 * torch.stack(below, 1)

    def p_value(self, own_z: Tensor) -> Tensor:
        """Share of random vectors of which the best of all channels has at least this own z, (N, C) -> (N, C); the
        neuron itself counted, so never zero. A neuron of which no channel has p <= 0.05 has nothing in it, and a
        random vector passes for one that has something in 5 % of cases however many channels are looked at, up to as
        many as the random vectors have. An own z that is no number is beaten by every random vector.
        """
        best = self.own_z[:, : own_z.shape[1]].max(1).values
        return (1 + (~(best[:, None, None] < own_z[None])).sum(0)) / (1 + self.vectors)

    def band(self, figure: str) -> list[float]:
        """5 %, 50 % and 95 % of a figure: of own z the best channel of each vector, of the others all channels."""
        values = getattr(self, figure)
        values = values.max(1).values if figure == "own_z" else values.flatten()
        return [float(v) for v in values.double().quantile(torch.tensor([0.05, 0.5, 0.95], dtype=torch.float64))]

    def attractors(self, least: float = 0.02) -> list[Attractor]:
        """Groups of tokens on which at least that share of random vectors land."""
        return attractors(self.top, least)

    def arrays(self) -> dict[str, Tensor]:
        """By name, for an artefact."""
        return {name: getattr(self, name).float() for name in FIGURES} | {"top": self.top.int()}

    @classmethod
    def of_arrays(cls, arrays: dict[str, Tensor]) -> ChannelNull:
        """The reverse of :meth:`arrays`."""
        own_z, cosine, loss, kurt = (arrays[name].float() for name in FIGURES)
        return cls(own_z, cosine, loss, kurt, arrays["top"].long())


def measure_null(
    projection: Tensor,
    token_weights: Tensor | None,
    *,
    vectors: int = FULL.vectors,
    rounds: int = FULL.rounds,
    seed: int = 0,
    like: Tensor | None = None,
    kurtosis_weight: float = 0.3,
    cosine_weight: float = 1.0,
    mask_z: float = 4.0,
    optimiser: str = "lbfgs",
    starts: int = 2,
    compatible: bool = False,
    progress: Progress = silent,
    batches: Batches | None = None,
) -> ChannelNull:
    """Channels of random vectors under a projection (V, d), found as those of neurons are.

    Vectors are Gaussian, all directions alike; with ``like`` (M, d), Gaussian with the second moments of those rows.
    ``optimiser``, ``starts`` and ``compatible`` as of :class:`~analysis.rotate.channels.VocabularyChannels`: channels
    that were picked in another way are no null for these; so is ``batches``.
    """
    generator = torch.Generator().manual_seed(seed + 7_919)
    width = projection.shape[1]
    if like is None:
        drawn = torch.randn(vectors, width, generator=generator)
    else:
        # A random sum of all rows has their second moments, whatever these are.
        drawn = torch.randn(vectors, len(like), generator=generator) @ like.float().cpu()
    found = VocabularyChannels(
        rounds,
        kurtosis_weight=kurtosis_weight,
        cosine_weight=cosine_weight,
        mask_z=mask_z,
        optimiser=optimiser,
        starts=starts,
        compatible=compatible,
        random_state=seed,
    ).fit(drawn.to(projection), projection, token_weights, progress=progress, batches=batches)
    own_z, cosine, loss, kurt = (getattr(found, f"{name}_").cpu() for name in FIGURES)
    return ChannelNull(own_z, cosine, loss, kurt, found.top_.cpu())
