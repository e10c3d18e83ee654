"""A mixture that others trained becomes a fit of the shelf: tried on the model's own activations, surveyed, kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub import errors

from analysis import shelf
from analysis.activations import fits
from analysis.activations.collect import collect
from analysis.activations.recipe import WINDOW
from analysis.engine.context import Context
from analysis.engine.residents import Residents
from analysis.engine.store import ResultStore
from analysis.errors import UserError
from analysis.mfa.checkpoint import write_checkpoint
from analysis.mfa.library import RegionSet, open_fit
from analysis.mfa.ops import fit as ops_fit
from analysis.mfa.ops import released as ops_released
from analysis.mfa.ops.regions import ListFits, RegionCard, RegionMap
from analysis.mfa.ops.released import OpenMixture
from analysis.mfa.ops.steer import SteerNext
from analysis.mfa.pipeline import Wanted, fit_store
from analysis.mfa.rotations import random_rotation
from analysis.mfa.settings import RegionSetting, SteeringSettings
from analysis.mfa.sources import place_of
from analysis.models.sites import Site
from analysis.progress import silent
from tests.service.test_steering_operations import LAYER, SPEC, TEXT, passages, tiny


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A tiny model, a mixture of it, and the file that the authors' code would have written of that mixture."""
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("released")
        patch.setenv("ATTUNE_HOME", str(place / "home"))
        patch.setattr(shelf, "DATA", place / "none")
        for module in (ops_fit, ops_released):
            patch.setattr(module, "read_source", lambda source, check=None: passages())
        patch.setattr(fits, "bundled_corpus", passages)
        loaded, site = tiny(), Site(LAYER)
        store = collect(loaded, passages(), [site], max_tokens=1000, window=WINDOW)
        fit = fit_store(loaded, passages(), store, Wanted(site, 1000, 4, 2, iterations=2), silent)
        p = random_rotation(fit.parameters, 3)  # a file has any basis of the factors
        length = p.loadings.norm(dim=1)
        state = {
            "mu": p.means,
            "dir_raw": p.loadings * 7,
            "scale_rho": length.expm1().log(),
            "psi_rho": (p.noise - 1e-5).expm1().log(),
            "pi_logits": p.weights.log() + 2,
        }
        meta = {"cls": "MFA", "K": 4, "D": p.width, "rank": 2, "psi_per_component": False, "eps_floor": 1e-5}
        torch.save({"meta": {**meta, "version": 1}, "state_dict": state}, place / "some_l4.ckpt")
        residents = Residents(limit=1)
        residents.put(loaded)
        context = Context(residents, ResultStore(place / "results"))
        yield SimpleNamespace(context=context, fit=fit, file=place / "some_l4.ckpt", place=place)


def opened(home: SimpleNamespace, **change: Any) -> tuple[dict[str, Any], RegionSet]:
    operation = OpenMixture(**{"model": SPEC, "file": str(home.file), "layer": LAYER, "tokens": 1000, **change})
    data = home.context.perform(operation).data
    json.dumps(data, allow_nan=False)
    return data, open_fit(home.context.memory, data["fit"])


def test_a_released_mixture_is_an_ordinary_fit(home: SimpleNamespace) -> None:
    data, fit = opened(home)
    assert data["probe"][0] > data["probe"][1] and "some_l4.ckpt" in data["sentence"]
    # The same densities and, after the rotation to principal axes, the same factors as the fit that it was written of.
    for name in ("weights", "means", "noise", "loadings"):
        assert torch.allclose(getattr(fit.parameters, name), getattr(home.fit.parameters, name), atol=2e-4), name
    rows = [(r["size"], r["top_share"], r["theme"]) for r in fit.manifest["regions"]]
    assert rows == [(r["size"], r["top_share"], r["theme"]) for r in home.fit.manifest["regions"]]
    assert torch.allclose(fit.spread("varimax"), home.fit.spread("varimax"), atol=1e-2)
    assert fit.manifest["released"]["format"] == "B" and len(fit.manifest["released"]["sha256"]) == 64
    title = next(t for t in home.context.perform(ListFits(SPEC)).data["fits"] if t["name"] == fit.name)["title"]
    assert title == f"{fit.site.label}: 4 regions, some_l4.ckpt, {fit.name[-6:]}"
    regions = home.context.perform(RegionMap(SPEC, fit.name)).data
    assert len(regions["regions"]) == 4 and "others: some_l4.ckpt" in regions["facts"]["caption"]
    assert home.context.perform(RegionCard(SPEC, fit.name, 1, "varimax")).data["contexts"]["likelihood"]
    steer = SteeringSettings(fit.name, (RegionSetting(0, 0.5),))
    assert home.context.perform(SteerNext(SPEC, TEXT, False, steer)).data["kl"] > 0


def test_a_mixture_of_another_block_or_width_is_refused(home: SimpleNamespace) -> None:
    with pytest.raises(UserError, match=r"under one diagonal Gaussian .* another model, block or site") as caught:
        opened(home, site="mlp_output")
    assert caught.value.field == "layer"
    p = home.fit.parameters
    narrow = type(p)(p.weights, p.means[:, :-1], p.loadings[:, :-1], p.noise[:-1])
    write_checkpoint(narrow, home.place / "narrow.pt")
    with pytest.raises(UserError, match=f"of {p.width - 1} numbers, and those of the .* have {p.width}"):
        opened(home, file=str(home.place / "narrow.pt"))
    with pytest.raises(UserError, match="This model has blocks 0 to"):
        opened(home, layer=99)


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("", "Give the path of a file"),
        ("   ", "Give the path of a file"),
        ("nowhere.ckpt", "There is no file nowhere.ckpt"),
        ("/", "ends in .ckpt"),
        ("~/.bashrc", "ends in .ckpt"),
        ("a\0b", "ends in .ckpt"),
        ("x" * 900, "ends in .ckpt"),
        ("../../x.pt", "There is no file x.pt"),
    ],
)
def test_what_is_no_file_of_a_mixture_is_a_sentence(file: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        OpenMixture(SPEC, file)
        place_of(file, 3)
    assert caught.value.field == "file"


class Hub:
    """A repository of the hub, as its client shows it."""

    def __init__(self, patch: pytest.MonkeyPatch, place: Path, **files: int) -> None:
        self.files, self.place, self.asked = files, place, ""
        patch.setattr("huggingface_hub.HfApi", lambda: self)
        patch.setattr("huggingface_hub.hf_hub_download", self.one)
        patch.setattr("huggingface_hub.try_to_load_from_cache", lambda name, file: None)

    def model_info(self, name: str, **_: Any) -> Any:
        rows = [SimpleNamespace(rfilename=f.replace("__", "."), size=n) for f, n in self.files.items()]
        return SimpleNamespace(siblings=rows, sha="a" * 40)

    def one(self, name: str, file: str, revision: str) -> str:
        self.asked = f"{name} {file} {revision[:3]}"
        return str(self.place / file)


def test_the_block_chooses_among_the_files_of_a_repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = {"gemma_mfa_l6_8k__ckpt": 9, "gemma_mfa_l18_8k__ckpt": 9, "README__md": 1}
    hub = Hub(monkeypatch, tmp_path, **names)
    place = place_of("some/mixtures", 6)
    assert hub.asked == "some/mixtures gemma_mfa_l6_8k.ckpt aaa" and place.path.name == "gemma_mfa_l6_8k.ckpt"
    assert place.origin == "some/mixtures:gemma_mfa_l6_8k.ckpt at aaaaaaaa"
    assert place_of("some/mixtures:gemma_mfa_l18_8k.ckpt", 6).path.name == "gemma_mfa_l18_8k.ckpt"
    for text, layer, sentence in (
        ("some/mixtures", 1, "holds 2 files .* block 1 does not choose"),
        ("some/mixtures:other.ckpt", 1, "has no file other.ckpt"),
    ):
        with pytest.raises(UserError, match=sentence):
            place_of(text, layer)
    Hub(monkeypatch, tmp_path, README__md=1)
    with pytest.raises(UserError, match="holds no file of a mixture"):
        place_of("some/mixtures", 6)
    Hub(monkeypatch, tmp_path, x__pt=1 << 40)
    with pytest.raises(UserError, match="larger than 32 GiB"):
        place_of("some/mixtures", 6)


def test_a_hub_out_of_reach_is_not_an_absent_repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unreachable(*_: Any, **__: Any) -> Any:
        raise errors.OfflineModeIsEnabled("no network")

    hub = Hub(monkeypatch, tmp_path)
    monkeypatch.setattr(hub, "model_info", unreachable)
    with pytest.raises(UserError, match=r"some/mixtures is not on this machine\. Give the path of a file, or owner"):
        place_of("some/mixtures", 6)
    (tmp_path / "x.pt").touch()
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda name, file: str(tmp_path / file))
    assert place_of("some/mixtures:x.pt", 6).path == tmp_path / "x.pt"
