"""The Gaussian that a mixture must beat: held against scipy's, and fair where neurons never fire."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import Tensor

from analysis.mfa import MixtureOfFactorAnalyzers
from analysis.mfa.em import Floors
from analysis.mfa.pipeline import gaussian_score


def clusters(rows: int, dead: int, seed: int) -> Tensor:
    """Two far clusters in six dimensions, and ``dead`` neurons that are 0 throughout."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(rows, 6, generator=generator)
    points[::2] += 6
    return torch.cat([points, torch.zeros(rows, dead)], 1)


def test_it_is_the_density_of_one_diagonal_gaussian() -> None:
    train, held = clusters(400, 0, 0), clusters(300, 0, 1)
    exact = multivariate_normal(train.mean(0).numpy(), np.diag(train.var(0).numpy())).logpdf(held.numpy()).mean()
    # No dimension is near the floor, so the floor moves nothing.
    assert gaussian_score(train, held, 1e-12) == gaussian_score(train, held, 1e-4) == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("dead", [0, 1, 12])
def test_neurons_that_never_fire_give_neither_side_an_advantage(dead: int) -> None:
    train, held = clusters(400, dead, 0), clusters(300, dead, 1)

    def scores(components: int) -> tuple[float, float]:
        found = MixtureOfFactorAnalyzers(components, 0, random_state=0).fit(train, validation=held)
        return float(found.score(held)), gaussian_score(train, held, Floors().noise * found.scale_**2)

    one, gaussian = scores(1)
    assert one == pytest.approx(gaussian, abs=0.02)  # the same model, fitted by either
    two, gaussian = scores(2)
    assert 3 < two - gaussian < 12  # what two clusters gain, however many dimensions are dead
