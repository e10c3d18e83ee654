"""Mixtures and steering vectors of others on the Steering page: tried on the model's own activations, kept, used."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import errors

from analysis import shelf
from analysis.activations import fits
from analysis.activations.collect import collect
from analysis.engine.context import Context
from analysis.engine.residents import Residents
from analysis.engine.store import ResultStore
from analysis.errors import UserError
from analysis.mfa.checkpoint import read_checkpoint, write_checkpoint
from analysis.mfa.library import RegionSet, open_fit
from analysis.mfa.ops import fit as ops_fit
from analysis.mfa.ops import released as ops_released
from analysis.mfa.ops.regions import ListFits, RegionCard, RegionMap
from analysis.mfa.ops.released import OpenMixture
from analysis.mfa.ops.setup import OpenSetup, SaveSetup
from analysis.mfa.ops.steer import SteerControls, SteerNext
from analysis.mfa.ops.vectors import ListVectors, OpenVectors, SaveVectors
from analysis.mfa.pipeline import WINDOW, Wanted, fit_store
from analysis.mfa.rotations import random_rotation
from analysis.mfa.settings import RegionSetting, SteeringSettings, VectorSetting
from analysis.mfa.sources import place_of
from analysis.mfa.vectors import VECTORS
from analysis.models.sites import Site
from analysis.portable.ops.files import SaveArtefact, waiting
from analysis.progress import silent
from analysis.steering import Add, steer
from analysis.steering.vectors import read_vectors, write_safetensors
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
        yield SimpleNamespace(context=context, loaded=loaded, fit=fit, file=place / "some_l4.ckpt", place=place)


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
    assert f"Whether it is of block {LAYER} or of one beside it" in data["sentence"]
    written = home.context.perform(SaveArtefact(SPEC, "fit", fit.name, layout="authors")).data
    assert written["name"] == f"{fit.name}.ckpt"
    back, facts = read_checkpoint(waiting("outgoing", written["token"]))
    assert torch.allclose(back.loadings, fit.parameters.loadings, atol=1e-5) and facts["extra"]["layer"] == LAYER
    with pytest.raises(UserError, match="authors' layout is one of fits of regions"):
        home.context.perform(SaveArtefact(SPEC, "vectors", brought(home, {1: fit.mean}), layout="authors"))
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


# Steering vectors of other programs


def brought(home: SimpleNamespace, rows: dict[int, torch.Tensor], name: str = "Happy one.safetensors") -> str:
    body = write_safetensors({b: v.numpy() for b, v in rows.items()}, "tiny")
    data = home.context.perform(OpenVectors(SPEC, name, base64.b64encode(body).decode())).data
    return str(data["name"])


def next_logits(home: SimpleNamespace, made: list[Any]) -> torch.Tensor:
    ids = home.loaded.tokenizer(TEXT)["input_ids"]
    with torch.no_grad(), steer(home.loaded, made, prompt_tokens=len(ids)):
        logits: torch.Tensor = home.loaded.model(torch.tensor([ids])).logits[0, -1].double().log_softmax(-1)
    return logits


def test_vectors_of_others_steer_beside_regions_and_their_cosines_are_said(
    home: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _, fit = opened(home)
    away = fit.parameters.means[2] - fit.mean
    rows = {0: torch.linspace(-1, 1, len(away)), LAYER: -2 * away}
    name = brought(home, rows)
    assert name.startswith("happy-one-")
    vectors = home.context.perform(ListVectors(SPEC, fit.name)).data["vectors"]
    facts = next(v for v in vectors if v["name"] == name)
    assert facts["blocks"] == [0, LAYER] and facts["hint"] == "tiny" and facts["compared"] == LAYER
    assert facts["norms"] == pytest.approx([float(v.norm()) for v in rows.values()])
    assert facts["near"][0]["region"] == 2 and facts["near"][0]["cosine"] == pytest.approx(-1)
    settings = SteeringSettings(fit.name, (RegionSetting(1, 0.5),), "add", vectors=(VectorSetting(name, 1.5),))
    made = [Add(Site(b), v, 1.5) for b, v in rows.items()]
    made.append(Add(Site(LAYER), fit.parameters.means[1] - fit.mean, 0.5))
    base, own = next_logits(home, []), next_logits(home, made)
    kl = float((base.exp() * (base - own)).sum())
    answer = home.context.perform(SteerNext(SPEC, TEXT, False, settings)).data
    assert answer["kl"] == pytest.approx(kl, rel=1e-3) and kl > 1e-6
    # Alone, too; and what every push of its size does stands beside it.
    alone = SteeringSettings(fit.name, vectors=(VectorSetting(name, 1.5),))
    assert not alone.idle and SteeringSettings.from_dict(json.loads(json.dumps(alone.to_dict()))) == alone
    table = home.context.perform(SteerControls(SPEC, TEXT, False, alone)).data
    assert [row["name"] for row in table["rows"]] == ["the set-up", "random direction"]
    assert table["left_out"] == ["random region"] and table["rows"][0]["kl"] != table["rows"][1]["kl"] > 0
    saved = home.context.perform(SaveSetup(SPEC, settings))
    assert saved.data["interventions"] == 3
    assert "vectors" not in SteeringSettings(fit.name).to_dict()  # addresses and keys of before stay as they are

    # The file of the set-up opens on a machine that has neither the fit nor the vectors.
    body = saved.arrays["file"].tobytes()
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path / "elsewhere"))
    there = Context(home.context.residents, ResultStore(tmp_path / "results"))
    opened_there = there.perform(OpenSetup(SPEC, base64.b64encode(body).decode())).data
    assert f"came with it and are in the list now: {name}." in " ".join(opened_there["remarks"])
    steer_there = SteeringSettings.from_dict(opened_there["steer"])
    assert steer_there.vectors == settings.vectors and steer_there.fit != fit.name
    assert there.perform(SteerNext(SPEC, TEXT, False, steer_there)).data["kl"] == pytest.approx(kl, rel=1e-3)
    again = there.perform(OpenSetup(SPEC, base64.b64encode(body).decode())).data["remarks"]
    assert not any("came with it" in remark for remark in again)
    assert str(home.place) not in body.decode("latin-1"), "nothing of this machine's folders travels"
    changed = body.replace(b"others.0.direction.0", b"others.0.direction.9")
    assert changed != body
    with pytest.raises(UserError, match="vectors that came with this set-up cannot be read"):
        there.perform(OpenSetup(SPEC, base64.b64encode(changed).decode()))


def test_vectors_of_another_model_are_refused(home: SimpleNamespace) -> None:
    width = home.fit.parameters.width
    with pytest.raises(UserError, match=rf"have {width + 1} numbers, and the residual stream .* has {width}.*“tiny”"):
        brought(home, {1: torch.ones(width + 1)})
    with pytest.raises(UserError, match="is of block 77; this model has blocks 0 to"):
        brought(home, {77: torch.ones(width)})
    _, fit = opened(home)
    gone = SteeringSettings(fit.name, vectors=(VectorSetting("gone-123456", 1.0),))
    with pytest.raises(UserError, match=r"“gone-123456” are not in this data folder\. Open their file"):
        home.context.perform(SteerNext(SPEC, TEXT, False, gone))
    name = brought(home, {1: torch.ones(width)})
    path = VECTORS.find(name)
    assert path is not None
    kept = VECTORS.read(path)
    VECTORS.save(path, {"direction.1": kept.vectors[1]}, {**kept.manifest, "fingerprint": "0" * 64})
    with pytest.raises(UserError, match=r"were opened for .* with other weights"):
        home.context.perform(
            SteerNext(SPEC, TEXT, False, SteeringSettings(fit.name, vectors=(VectorSetting(name, 1.0),)))
        )


def test_a_set_up_is_saved_as_a_control_vector(home: SimpleNamespace) -> None:
    _, fit = opened(home)
    away = fit.parameters.means - fit.mean
    steer = SteeringSettings(fit.name, (RegionSetting(1, 0.5), RegionSetting(2, 0.25, (1.0,))), "add", layers=(2,))
    total = 0.5 * away[1] + 0.25 * away[2] + fit.parameters.loadings[2][:, 0] * fit.spread("principal")[2][0]
    for form in ("gguf", "safetensors"):
        reply = home.context.perform(SaveVectors(SPEC, steer, form))
        assert reply.data["blocks"] == [LAYER, 2] and reply.data["name"] == f"{fit.name}.vectors.{form}"
        back = read_vectors(reply.data["name"], reply.arrays["file"].tobytes(), 0)
        assert back.hint == home.loaded.facts.label
        assert all(np.allclose(back.vectors[b], total.numpy(), atol=1e-5) for b in (LAYER, 2))
    with pytest.raises(UserError, match="only adds, and this set-up does more") as caught:
        home.context.perform(SaveVectors(SPEC, SteeringSettings(fit.name, (RegionSetting(1, 0.5),)), "gguf"))
    assert caught.value.field == "mode"
    with pytest.raises(UserError, match="Nothing is added"):
        home.context.perform(SaveVectors(SPEC, SteeringSettings(fit.name, (), "add"), "gguf"))
