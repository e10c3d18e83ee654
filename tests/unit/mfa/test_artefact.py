"""A mixture written and read again, what half precision costs, and every way in which the files can be wrong."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.distributions import MultivariateNormal

from analysis.artefacts import FORMAT, load_pair, pair_files, save_pair
from analysis.errors import UserError
from analysis.mfa.artefact import decode, encode
from analysis.mfa.library import REGION_SETS
from analysis.mfa.parameters import Noise, Parameters
from analysis.shelf import Misfit

MANIFEST = {"model": "some/model", "revision": "abc", "layer": 4, "site": "block output", "held_out": -12.5, "seed": 0}


def save_mixture(
    path: Path, p: Parameters, facts: dict[str, Any], extra: dict[str, Tensor] | None = None, half: bool = False
) -> Path:
    """Write a mixture without what a fit says of its regions; the path of the manifest."""
    arrays, own = encode(p, extra or {}, half)
    save_pair(path, arrays, facts | own)
    return pair_files(path)[0]


def load_mixture(path: Path) -> tuple[Parameters, dict[str, Any], dict[str, Tensor]]:
    arrays, manifest = load_pair(path.with_name(path.name.removesuffix(".json")), REGION_SETS.wording)
    parameters, extra = decode(arrays, manifest)
    return parameters, manifest, extra


def arrays_of(path: Path) -> Path:
    """The file of arrays beside a manifest."""
    return pair_files(path.with_name(path.name.removesuffix(".json")))[1]


def mixture(noise: Noise = "shared", k: int = 4, d: int = 24, r: int = 3) -> Parameters:
    """Sizes as in a model: an offset much larger than the distances, distances larger than the noise."""
    g = torch.Generator().manual_seed(0)
    return Parameters(
        torch.rand(k, generator=g).softmax(0),
        1000 + 40 * torch.randn(k, d, generator=g),
        5 * torch.randn(k, d, r, generator=g),
        1 + torch.rand((d,) if noise == "shared" else (k, d), generator=g),
    )


def dense(p: Parameters, x: Tensor) -> Tensor:
    """Log-likelihood (N,) with the covariances written out, float64."""
    q = p.to(torch.float64)
    covariance = q.loadings @ q.loadings.mT + torch.diag_embed(q.noise.expand(q.components, q.width))
    return (q.weights.log() + MultivariateNormal(q.means, covariance).log_prob(x[:, None].double())).logsumexp(1)


def points(p: Parameters, n: int = 400) -> Tensor:
    g = torch.Generator().manual_seed(1)
    k = torch.multinomial(p.weights, n, replacement=True, generator=g)
    local = (p.loadings[k] @ torch.randn(n, p.factors, 1, generator=g))[..., 0]
    return p.means[k] + local + torch.randn(n, p.width, generator=g) * p.noise.expand(p.components, p.width)[k].sqrt()


def rewritten(path: Path, **change: Any) -> None:
    """Change the manifest as someone with an editor would."""
    record = json.loads(path.read_text())
    record.update(change)
    path.write_text(json.dumps(record))


def exchanged(path: Path, **change: Tensor | None) -> None:
    """Change arrays and make the checksum fit, as a program with a bug would."""
    data = arrays_of(path)
    arrays: dict[str, Any] = {**load_file(data), **change}
    save_file({name: value for name, value in arrays.items() if value is not None}, data)
    rewritten(path, sha256=hashlib.sha256(data.read_bytes()).hexdigest())


def refusal(path: Path) -> str:
    with pytest.raises((UserError, Misfit)) as refused:
        load_mixture(path)
    error = refused.value
    assert isinstance(error, Misfit) or (error.field == "fit" and error.message.endswith("."))
    return str(error)


@pytest.mark.parametrize("noise", ["shared", "component"])
def test_written_and_read_again_bit_for_bit(noise: Noise, tmp_path: Path) -> None:
    p = mixture(noise)
    counts = torch.arange(4, dtype=torch.int32)
    spread = torch.rand(2, 3, dtype=torch.float64).T  # not contiguous
    path = save_mixture(tmp_path / "deep" / "fit.L4", p, MANIFEST, {"counts": counts, "spread": spread})
    found, manifest, extra = load_mixture(path)
    for name in ("weights", "means", "loadings", "noise"):
        assert torch.equal(getattr(found, name), getattr(p, name))
    assert MANIFEST.items() <= manifest.items()
    said = {"format": FORMAT, "K": 4, "R": 3, "D": 24, "noise": noise, "half": False, "extra": ["counts", "spread"]}
    assert said.items() <= manifest.items()
    assert torch.equal(extra["counts"], counts) and torch.equal(extra["spread"], spread)
    assert sorted(f.name for f in path.parent.iterdir()) == [arrays_of(path).name, "fit.L4.json"]


def test_half_form_costs_little_likelihood_and_half_the_room(tmp_path: Path) -> None:
    p = mixture(k=16, d=64, r=6)
    x = points(p)
    whole, small = save_mixture(tmp_path / "a", p, MANIFEST), save_mixture(tmp_path / "b", p, MANIFEST, half=True)
    found = load_mixture(small)[0]
    assert found.means.dtype == found.loadings.dtype == torch.float32
    assert torch.equal(found.noise, p.noise) and torch.equal(found.weights, p.weights)
    assert abs(float((dense(found, x) - dense(p, x)).mean())) < 0.01
    # Halves near 1000 are half a unit apart; less the centre, the error follows the distances.
    away = p.means - p.weights @ p.means
    assert bool(((found.means - p.means).abs() <= 2**-11 * away.abs() + 2e-4).all())
    assert torch.allclose(found.loadings, p.loadings, rtol=2**-11, atol=1e-6)
    sizes = [arrays_of(f).stat().st_size for f in (small, whole)]
    assert sizes[0] < 0.6 * sizes[1]


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e9, 1e30])
def test_half_form_keeps_any_size_of_numbers(size: float, tmp_path: Path) -> None:
    p = mixture()
    big = p.with_loadings(p.loadings * size)
    big.loadings[0] = 0
    found = load_mixture(save_mixture(tmp_path / "fit", big, {}, half=True))[0]
    assert torch.allclose(found.loadings, big.loadings, rtol=2**-11, atol=0)
    assert bool((found.loadings[0] == 0).all())


def test_half_form_of_one_region_without_factors(tmp_path: Path) -> None:
    p = mixture(k=1, r=0)
    found = load_mixture(save_mixture(tmp_path / "fit", p, {}, half=True))[0]
    assert torch.equal(found.means, p.means) and found.loadings.shape == (1, 24, 0)


def test_saving_again_replaces_both_files(tmp_path: Path) -> None:
    save_mixture(tmp_path / "fit", mixture(), MANIFEST)
    save_mixture(tmp_path / "fit", mixture(k=7), {"model": "other"}, half=True)
    found, manifest, _ = load_mixture(tmp_path / "fit")
    assert found.components == 7 and manifest["model"] == "other" and "layer" not in manifest
    assert len(list(tmp_path.iterdir())) == 2


def test_a_failed_save_leaves_nothing(tmp_path: Path) -> None:
    p = mixture()
    broken = [
        replace(p, means=p.means * float("nan")),
        replace(p, noise=p.noise * 0),
        replace(p, weights=p.weights * 2),
        replace(p, loadings=p.loadings[:2]),
    ]
    for wrong in broken:
        with pytest.raises(ValueError, match="not a mixture"):
            save_mixture(tmp_path / "fit", wrong, MANIFEST)
    with pytest.raises(ValueError, match="JSON"):
        save_mixture(tmp_path / "fit", p, {"held_out": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", [0, 300, -1])
def test_one_changed_bit_is_noticed(place: int, tmp_path: Path) -> None:
    path = save_mixture(tmp_path / "fit", mixture(), MANIFEST)
    data = arrays_of(path)
    body = bytearray(data.read_bytes())
    body[place] ^= 1
    data.write_bytes(body)
    assert "was changed after it was written" in refusal(path)


def test_missing_files_are_named(tmp_path: Path) -> None:
    assert "no file fit.json" in refusal(tmp_path / "fit")
    path = save_mixture(tmp_path / "fit", mixture(), MANIFEST)
    data = arrays_of(path)
    data.unlink()
    assert f"no file {data.name}" in refusal(path)
    data.mkdir()
    assert "is a folder where a file is needed" in refusal(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 99}, "written in format 99"),
        ({"sha256": None}, "was changed"),
        ({"K": 5}, "weights are 4 numbers where 5 are needed"),
        ({"K": "4"}, "how many regions"),
        ({"D": -1}, "how many regions"),
        ({"R": 2}, "loadings are 4 x 24 x 3 numbers where 4 x 24 x 2"),
        ({"noise": "component"}, "noise are 24 numbers where 4 x 24"),
        ({"noise": "pink"}, "how its numbers are stored"),
        ({"half": "no"}, "how its numbers are stored"),
        ({"half": True}, "array centre is missing"),
        ({"extra": ["counts"]}, "array counts is missing"),
        ({"extra": 3}, "how many regions"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(change: dict[str, Any], says: str, tmp_path: Path) -> None:
    path = save_mixture(tmp_path / "fit", mixture(), MANIFEST)
    rewritten(path, **change)
    assert says in refusal(path)


@pytest.mark.parametrize("text", ["", "{", "[1]", "{}", "[" * 100_000, "\udcff"])
def test_an_unreadable_manifest_is_refused(text: str, tmp_path: Path) -> None:
    path = save_mixture(tmp_path / "fit", mixture(), MANIFEST)
    path.write_bytes(text.encode(errors="surrogateescape"))
    assert "manifest" in refusal(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"loadings": None}, "array loadings is missing"),
        ({"means": torch.zeros(4, 23)}, "means are 4 x 23 numbers where 4 x 24"),
        ({"means": torch.full((4, 24), float("nan"))}, "means have numbers that are not finite"),
        ({"weights": torch.full((4,), 0.3)}, "add up to one"),
        ({"noise": torch.zeros(24)}, "not positive"),
    ],
)
def test_arrays_are_checked_even_if_the_checksum_fits(
    change: dict[str, Tensor | None], says: str, tmp_path: Path
) -> None:
    path = save_mixture(tmp_path / "fit", mixture(), MANIFEST)
    exchanged(path, **change)
    assert says in refusal(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"centre": torch.zeros(23)}, "width"),
        ({"means": torch.zeros(4)}, "width"),
        ({"loadings_scale": torch.ones(2)}, "scale of its loadings"),
        ({"means_scale": torch.tensor(float("inf"))}, "means have numbers that are not finite"),
    ],
)
def test_arrays_of_the_half_form_are_checked(change: dict[str, Tensor | None], says: str, tmp_path: Path) -> None:
    path = save_mixture(tmp_path / "fit", mixture(), MANIFEST, half=True)
    exchanged(path, **change)
    assert says in refusal(path)


def test_other_bytes_under_a_fitting_checksum_are_refused(tmp_path: Path) -> None:
    path = save_mixture(tmp_path / "fit", mixture(), MANIFEST)
    arrays_of(path).write_bytes(b"nothing of the kind")
    rewritten(path, sha256=hashlib.sha256(b"nothing of the kind").hexdigest())
    assert "file of arrays is damaged" in refusal(path)
