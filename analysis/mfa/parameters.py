"""The parameters of a mixture of factor analyzers, as one value that estimator, files and pages hand around."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from analysis.mfa.settings import Noise as Noise  # one type for the estimator and for those who may not import torch


@dataclass(frozen=True)
class Parameters:
    """x = means[k] + loadings[k] z + e, with z ~ N(0, I_R), e ~ N(0, diag(noise)), k ~ weights.

    ``weights`` (K,), ``means`` (K, D), ``loadings`` (K, D, R), ``noise`` variances (D,) if shared, else (K, D); all of
    one floating dtype and on one device. Units are those of the activations.
    """

    weights: Tensor
    means: Tensor
    loadings: Tensor
    noise: Tensor

    @property
    def components(self) -> int:
        """K."""
        return int(self.means.shape[0])

    @property
    def width(self) -> int:
        """D."""
        return int(self.means.shape[1])

    @property
    def factors(self) -> int:
        """R."""
        return int(self.loadings.shape[2])

    def to(self, target: torch.dtype | torch.device | str) -> Parameters:
        """The same parameters in another dtype or on another device."""
        return Parameters(*(t.to(target) for t in (self.weights, self.means, self.loadings, self.noise)))

    def scaled(self, scale: float, shift: Tensor) -> Parameters:
        """Parameters of ``scale * x + shift`` (shift (D,)), when these are the parameters of x."""
        return Parameters(self.weights, self.means * scale + shift, self.loadings * scale, self.noise * scale**2)

    def with_loadings(self, loadings: Tensor) -> Parameters:
        """The same mixture with other loadings, such as rotated ones."""
        return replace(self, loadings=loadings)


def finite(tensor: Tensor) -> bool:
    """Whether all numbers of a tensor with an axis are finite, looked at a part at a time: to ask it of a whole tensor
    takes twice its memory."""
    rows = max(1, (1 << 22) // max(1, tensor[:1].numel()))
    return all(bool(part.isfinite().all()) for part in tensor.split(rows))
