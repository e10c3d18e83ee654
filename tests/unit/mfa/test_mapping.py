"""The map of the centroids: neighbours stay neighbours, equal seeds give equal maps, nearest ones by hand."""

from __future__ import annotations

import math

import pytest
import torch

from analysis.mfa.mapping import map_of, nearest


def test_nearest_are_those_of_a_sorted_list_of_distances() -> None:
    means = torch.randn(9, 5, generator=torch.Generator().manual_seed(0))
    rows = means.tolist()
    for k, found in enumerate(nearest(means, 4).tolist()):
        others = sorted((n for n in range(9) if n != k), key=lambda n: math.dist(rows[k], rows[n]))
        assert found == others[:4]


@pytest.mark.parametrize(("count", "wanted", "given"), [(3, 6, 2), (2, 6, 1), (1, 6, 0)])
def test_few_regions_have_few_neighbours(count: int, wanted: int, given: int) -> None:
    found = nearest(torch.randn(count, 4, generator=torch.Generator().manual_seed(1)), wanted)
    assert found.shape == (count, given) and found.dtype == torch.int32


def test_an_equal_centroid_is_the_nearest_and_a_region_is_never_its_own() -> None:
    found = nearest(torch.tensor([[1.0, 0.0], [5.0, 5.0], [1.0, 0.0]]), 2).tolist()
    assert found[0][0] == 2 and found[2][0] == 0 and all(k not in row for k, row in enumerate(found))


def test_groups_of_directions_lie_together_whatever_their_length() -> None:
    generator = torch.Generator().manual_seed(2)
    axes = torch.eye(3, 8)
    group = torch.arange(60) % 3
    away = axes[group] + 0.05 * torch.randn(60, 8, generator=generator)
    away *= 0.2 + 5 * torch.rand(60, 1, generator=generator)
    center = torch.full((8,), 30.0)
    xy = map_of(away + center, center, seed=0)
    assert xy.shape == (60, 2) and xy.dtype == torch.float32 and bool(xy.isfinite().all())
    distance = torch.cdist(xy, xy).fill_diagonal_(torch.inf)
    assert bool((group[distance.argmin(1)] == group).all())


def test_equal_seeds_give_equal_maps_whatever_was_drawn_before() -> None:
    means = torch.randn(24, 6, generator=torch.Generator().manual_seed(4))
    torch.manual_seed(1)
    one = map_of(means, torch.zeros(6), seed=3)
    torch.manual_seed(2)
    assert torch.equal(map_of(means, torch.zeros(6), seed=3), one)


@pytest.mark.parametrize("count", [1, 2, 4, 5, 7])
def test_any_number_of_regions_has_a_map(count: int) -> None:
    means = torch.randn(count, 6, generator=torch.Generator().manual_seed(5))
    xy = map_of(means, torch.zeros(6), seed=0)
    assert xy.shape == (count, 2) and bool(xy.isfinite().all())
