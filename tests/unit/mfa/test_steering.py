"""From settings to interventions: each mode against its formula by hand, controls of equal norm."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.mfa.library import RegionSet
from analysis.mfa.settings import RegionSetting, SteeringSettings
from analysis.mfa.steering import direction_like, interventions_of, random_direction, random_region
from analysis.models.sites import Site
from analysis.steering import Intervention, PromptCache
from analysis.steering.operators import fuse
from tests.unit.mfa.test_library import D, K, R, made_fit
from tests.unit.test_fit import loaded_tiny

FIT: RegionSet = made_fit()
X = torch.randn(20, D, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
Z = (1.5, -2.0, 0.25)


def settings(*regions: RegionSetting, **options: Any) -> SteeringSettings:
    return SteeringSettings("fit", regions, **options)


def applied(made: list[Intervention], layer: int = 1) -> Tensor:
    """What all interventions at a block make of X."""
    kernel = fuse([i for i in made if i.site == Site(layer)])
    return X if kernel is None else kernel(X)


def centroid(k: int) -> Tensor:
    return FIT.parameters.means[k].double()


def offset(k: int, z: tuple[float, ...], rotation: str = "principal") -> Tensor:
    loadings, spread = FIT.rotated(rotation).loadings[k], FIT.spread(rotation)[k]
    return sum((z[j] * spread[j] * loadings[:, j] for j in range(len(z))), torch.zeros(D)).double()


def close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("rotation", ["principal", "varimax"])
def test_interpolation_moves_towards_the_centroid_and_adds_the_whole_local_offset(rotation: str) -> None:
    found = applied(interventions_of(settings(RegionSetting(2, 0.3, Z), rotation=rotation), FIT))
    assert close(found, 0.7 * X + 0.3 * centroid(2) + offset(2, Z, rotation))


def test_factors_alone_add_their_offset_in_every_mode() -> None:
    for mode in ("interpolate", "add", "project_out", "clamp"):
        found = applied(interventions_of(settings(RegionSetting(2, 0.0, Z), mode=mode), FIT))
        assert close(found, X + offset(2, Z))


def test_adding_adds_the_way_from_the_mean() -> None:
    found = applied(interventions_of(settings(RegionSetting(4, 0.6, Z[:2]), mode="add"), FIT))
    assert close(found, X + 0.6 * (centroid(4) - FIT.mean.double()) + offset(4, Z[:2]))


def test_projecting_out_removes_a_share_of_one_direction_and_nothing_else() -> None:
    away = centroid(1) - FIT.mean.double()
    unit = away / away.norm()
    found = applied(interventions_of(settings(RegionSetting(1, 0.8), mode="project_out"), FIT))
    assert close(found, X - 0.8 * (X @ unit)[:, None] * unit)
    whole = applied(interventions_of(settings(RegionSetting(1, 1.0), mode="project_out"), FIT))
    assert float((whole @ unit).abs().max()) < 1e-5


def test_clamping_sets_the_coefficient_between_that_of_the_mean_and_of_the_centroid() -> None:
    mean = FIT.mean.double()
    unit = (centroid(3) - mean) / (centroid(3) - mean).norm()
    for strength in (0.25, 1.0):
        found = applied(interventions_of(settings(RegionSetting(3, strength), mode="clamp"), FIT))
        wanted = (1 - strength) * mean @ unit + strength * centroid(3) @ unit
        assert torch.allclose(found @ unit, wanted, atol=1e-4)
        across = X - (X @ unit)[:, None] * unit
        assert close(found - (found @ unit)[:, None] * unit, across)


def test_several_regions_act_at_once_in_any_order() -> None:
    rows = [RegionSetting(0, 0.2, Z), RegionSetting(5, 0.3), RegionSetting(6, 0.0, (1.0,))]
    found = applied(interventions_of(settings(*rows), FIT))
    assert close(found, 0.5 * X + 0.2 * centroid(0) + 0.3 * centroid(5) + offset(0, Z) + offset(6, (1.0,)))
    assert close(applied(interventions_of(settings(*rows[::-1]), FIT)), found)


def test_strength_zero_is_idle() -> None:
    assert interventions_of(settings(), FIT) == []
    for mode in ("interpolate", "add", "project_out", "clamp"):
        assert interventions_of(settings(RegionSetting(1), RegionSetting(2, 0.0, (0.0,) * R), mode=mode), FIT) == []
    loaded = loaded_tiny("llama")
    cache = PromptCache(loaded, list(range(3, 15)))
    assert torch.equal(cache.next_logits(interventions_of(settings(RegionSetting(1)), FIT)), cache.base_logits)


def test_further_blocks_get_the_same_vectors_once_each() -> None:
    chosen = settings(RegionSetting(2, 0.3, Z), layers=(3, 1, 3, 0), where="generated")
    made = interventions_of(chosen, FIT)
    assert [i.site.layer for i in made] == [1, 1, 3, 3, 0, 0] and {i.where for i in made} == {"generated"}
    for layer in (0, 1, 3):
        assert close(applied(made, layer), 0.7 * X + 0.3 * centroid(2) + offset(2, Z))


@pytest.mark.parametrize(
    ("region", "field"), [(RegionSetting(K, 0.5), "region"), (RegionSetting(0, 0.5, (0.0,) * (R + 1)), "factors")]
)
def test_what_the_fit_does_not_have_is_refused(region: RegionSetting, field: str) -> None:
    for make in (interventions_of, lambda s, f: random_direction(s, f, 0), lambda s, f: random_region(s, f, 0)):
        with pytest.raises(UserError, match="This fit has") as caught:
            make(settings(region), FIT)
        assert caught.value.field == field


# Controls


def pushes(made: list[Intervention]) -> list[Tensor]:
    """What each intervention adds to the mean activation, at full strength."""
    rows = []
    for i in made:
        target: Any = getattr(i, "target", None)
        rows.append((target - FIT.mean) if target is not None else i.vector)  # type: ignore[union-attr]
    return rows


@pytest.mark.parametrize("mode", ["interpolate", "add"])
def test_controls_keep_strength_and_norm_and_differ_in_direction(mode: str) -> None:
    own = settings(RegionSetting(1, 0.4), RegionSetting(3, 0.2), mode=mode, layers=(2,), where="all")
    true = interventions_of(own, FIT)
    means = torch.randn(D, generator=torch.Generator().manual_seed(9))
    for made in (
        random_direction(own, FIT, 5),
        random_region(own, FIT, 5)[0],
        direction_like(own, FIT, means),
    ):
        assert [(type(i), i.site, i.where, i.strength) for i in made] == [
            (type(i), i.site, i.where, i.strength) for i in true  # type: ignore[union-attr]
        ]  # fmt: skip
        for mine, theirs in zip(pushes(made), pushes(true), strict=True):
            assert float(mine.norm()) == pytest.approx(float(theirs.norm()), rel=1e-4)
            assert abs(float(mine @ theirs / mine.norm() / theirs.norm())) < 0.75
    for mine in pushes(direction_like(own, FIT, means)):
        assert float(mine @ means / mine.norm() / means.norm()) == pytest.approx(1, abs=1e-5)


def test_a_random_direction_replaces_local_offsets_too() -> None:
    own = settings(RegionSetting(1, 0.4, Z))
    true, made = pushes(interventions_of(own, FIT)), pushes(random_direction(own, FIT, 5))
    assert len(made) == 2 and float(made[1].norm()) == pytest.approx(float(true[1].norm()), rel=1e-4)
    assert abs(float(made[1] @ true[1] / true[1].norm() ** 2)) < 0.6


def test_a_random_region_is_another_one_with_enough_points() -> None:
    own = settings(RegionSetting(1, 0.4, Z), RegionSetting(3, 0.2))
    drawn = [random_region(own, FIT, seed)[1] for seed in range(40)]
    assert all(len(set(row)) == 2 and not set(row) & {1, 3, 6} for row in drawn)
    assert {k for row in drawn for k in row} == {0, 2, 4, 5}
    made, (first, _) = random_region(own, FIT, 0)
    away, other = pushes(made)[0], FIT.parameters.means[first] - FIT.mean
    assert float(away @ other / away.norm() / other.norm()) == pytest.approx(1, abs=1e-5)
    assert len(made) == 2  # local factors are left out


def test_controls_are_the_same_for_the_same_seed_and_others_for_another() -> None:
    own = settings(RegionSetting(1, 0.4))
    one, same, other = (pushes(random_direction(own, FIT, seed))[0] for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.allclose(one, other, atol=0.1)


def test_too_few_other_regions_are_said() -> None:
    own = settings(*(RegionSetting(k, 0.1) for k in range(4)))
    with pytest.raises(UserError, match="too few other regions"):
        random_region(own, FIT, 0)
