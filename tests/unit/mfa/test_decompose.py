"""What a fit makes of each token (analysis.mfa.reading) against dense Gaussians and the model's own hidden states."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from analysis.mfa.library import RegionSet
from analysis.mfa.reading import activations_of, explain, responsibilities_of
from analysis.mfa.rotations import rotate
from analysis.models.loaded_model import LoadedModel
from tests.unit.mfa.truth import covariances, dense_joint, known
from tests.unit.test_fit import loaded_tiny

IDS = [1, 5, 9, 44, 23, 9, 80, 61]
ROTATIONS = ["principal", "varimax"]


def loaded() -> LoadedModel:
    """The tiny model with a tokenizer that names tokens by their numbers."""
    tokenizer = SimpleNamespace(decode=lambda ids, **_: f"t{ids[0]}", convert_ids_to_tokens=str)
    return replace(loaded_tiny("llama"), tokenizer=tokenizer)


@cache
def stream() -> Tensor:
    """The model's own hidden states after block 1, (T, D)."""
    with torch.no_grad():
        out = loaded_tiny("llama").model(torch.tensor([IDS]), output_hidden_states=True)
    found: Tensor = out.hidden_states[2][0].float()
    return found


@cache
def fit() -> RegionSet:
    """Five regions near the activations of the text, close enough together that responsibilities are shared."""
    x = stream().double()
    parameters = rotate(known(5, 48, 3, seed=2), "principal")
    scale = float(x.std())
    means = x.mean(0) + 0.3 * scale * parameters.means
    parameters = type(parameters)(parameters.weights, means, parameters.loadings * scale, parameters.noise * scale**2)
    g = torch.Generator().manual_seed(0)
    arrays = {f"{r}.spread": 0.5 + torch.rand(5, 3, generator=g) for r in ROTATIONS}
    manifest = {"layer": 1, "site": "residual", "skip_first": 2, "regions": [{"label": f"r{k}"} for k in range(5)]}
    return RegionSet("tiny", parameters.to(torch.float32), x.mean(0).float() + 0.1 * scale, arrays, manifest)


def slow(rotation: str) -> dict[str, Tensor]:
    """Shares, regions, and the three parts of every activation, from the D x D matrices in float64."""
    parameters, x = fit().rotated(rotation).to(torch.float64), stream().double()
    joint = dense_joint(parameters, x)
    region = joint.argmax(1)
    away = x - parameters.means[region]
    pull = torch.linalg.solve(covariances(parameters)[region], away)
    z = torch.einsum("tdr,td->tr", parameters.loadings[region], pull)
    local = torch.einsum("tdr,tr->td", parameters.loadings[region], z)
    centroid = parameters.means[region] - fit().mean
    return {"joint": joint, "region": region, "z": z, "centroid": centroid, "local": local, "rest": away - local}


def test_a_text_is_read_from_its_first_token_on() -> None:
    found = activations_of(loaded_tiny("llama"), fit(), IDS)
    np.testing.assert_allclose(found.numpy(), stream().numpy(), atol=1e-5)


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_regions_shares_and_densities_are_those_of_dense_gaussians(rotation: str) -> None:
    found, truth = explain(loaded(), fit(), IDS, rotation), slow(rotation)
    shares, order = truth["joint"].softmax(1).sort(1, descending=True)
    assert list(found.region) == order[:, 0].tolist()
    assert list(found.second) == order[:, 1].tolist()
    np.testing.assert_allclose(found.responsibility, shares[:, 0], atol=2e-4)
    np.testing.assert_allclose(found.second_share, shares[:, 1], atol=2e-4)
    np.testing.assert_allclose(found.log_density, truth["joint"].logsumexp(1), atol=2e-3)
    whole = responsibilities_of(loaded_tiny("llama"), fit(), IDS)
    np.testing.assert_allclose(whole, truth["joint"].softmax(1), atol=2e-4)


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_centroid_local_offset_and_rest_make_up_the_activation(rotation: str) -> None:
    found, truth = explain(loaded(), fit(), IDS, rotation), slow(rotation)
    torch.testing.assert_close(truth["centroid"] + truth["local"] + truth["rest"] + fit().mean, stream().double())
    for name in ("centroid", "local", "rest"):
        np.testing.assert_allclose(getattr(found, name), truth[name].norm(dim=1), rtol=1e-3)
    np.testing.assert_allclose(found.norm, (stream() - fit().mean).norm(dim=1), rtol=1e-5)
    spread = fit().spread(rotation).double()[truth["region"]]
    np.testing.assert_allclose(found.factors, truth["z"] / spread, rtol=5e-3, atol=1e-3)


def test_a_rotation_turns_the_factors_and_nothing_else() -> None:
    a, b = (explain(loaded(), fit(), IDS, rotation) for rotation in ROTATIONS)
    for name in ("region", "second", "responsibility", "log_density", "centroid", "local", "rest", "norm"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=2e-3, atol=1e-4)
    assert float(np.abs(np.array(a.factors) - np.array(b.factors)).max()) > 0.05


def test_the_path_lies_in_the_plane_that_loses_least() -> None:
    found, truth = explain(loaded(), fit(), IDS, "principal"), slow("principal")
    flat = np.stack([found.path_x, found.path_y], 2).astype(float)
    assert flat.shape == (len(IDS), 4, 2)
    assert np.abs(flat[:, 0]).max() == 0
    for t in range(len(IDS)):
        stops = torch.stack([truth["centroid"][t], truth["centroid"][t] + truth["local"][t]])
        stops = torch.cat([stops, (stream()[t].double() - fit().mean)[None]])
        kept = torch.linalg.eigvalsh(stops @ stops.T)[-2:].sum()
        assert float((flat[t, 1:] ** 2).sum()) == pytest.approx(float(kept), rel=1e-3)
        # An orthogonal projection shortens every segment, and never stretches one.
        true = torch.cat([torch.zeros(1, 48), stops]).diff(dim=0).norm(dim=1).numpy()
        assert bool((np.linalg.norm(np.diff(flat[t], axis=0), axis=1) <= true * (1 + 1e-4)).all())


def test_a_fit_of_one_region_has_no_other_runner_up() -> None:
    whole = fit().parameters
    single = type(whole)(torch.ones(1), whole.means[:1], whole.loadings[:1], whole.noise)
    arrays = {name: values[:1] for name, values in fit().arrays.items()}
    found = explain(loaded(), RegionSet("one", single, fit().mean, arrays, fit().manifest), IDS, "principal")
    assert set(found.region) == set(found.second) == {0}
    np.testing.assert_allclose(found.responsibility, 1.0)
