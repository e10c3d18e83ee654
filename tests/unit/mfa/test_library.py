"""Fits on disk: what is saved comes back, names cannot leave the folder, users' names lie beside the fits."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from analysis import artefacts, shelf
from analysis.corpora.passages import Passage, bundled_corpus, corpus_hash
from analysis.engine.memory import Memory
from analysis.errors import UserError
from analysis.mfa import library
from analysis.mfa.density import Density
from analysis.mfa.library import (
    RegionSet,
    fit_for,
    keep_label,
    listing,
    open_fit,
    save_fit,
)
from analysis.mfa.rotations import rotate
from analysis.models.spec import ModelSpec
from tests.unit.mfa.truth import drawn, known
from tests.unit.test_fit import loaded_tiny

K, R, D = 7, 3, 48
PASSAGES = [Passage(f"text {i}", "theme", "kind") for i in range(5)]
SPEC = ModelSpec("default")


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A data folder of its own, and no bundled fits."""
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(shelf, "DATA", tmp_path / "bundled")
    return tmp_path / "home"


def made_fit(noise: Any = "shared", **manifest: Any) -> RegionSet:
    """A known mixture as a fit of the tiny Llama's block 1, with everything that the page asks of it."""
    parameters = rotate(known(K, D, R, seed=1, noise=noise, spread=2.0), "principal").to(torch.float32)
    generator = torch.Generator().manual_seed(2)
    arrays = {
        "mean": torch.randn(D, generator=generator),
        "principal.spread": 0.5 + torch.rand(K, R, generator=generator),
        "varimax.spread": 0.5 + torch.rand(K, R, generator=generator),
        "xy": torch.randn(K, 2, generator=generator),
        "near": torch.stack([(torch.arange(1, 4) + k) % K for k in range(K)]).int(),
    }
    regions = [
        {
            "region": k, "label": f"label {k}", "character": "small" if k == 6 else "theme", "size": 100 - k,
            "score": k / 10, "purity": 0.5, "theme": "baking", "entropy": 4.0, "search": f"word{k} flour",
        }
        for k in range(K)
    ]  # fmt: skip
    facts = {
        "model": "Tiny", "fingerprint": loaded_tiny("llama").facts.fingerprint, "layer": 1, "layers": 4,
        "site": "residual", "seed": 0, "rows": 1000, "window": 64, "skip_first": 2, "fvu_centroid": 0.5,
        "fvu_local": 0.25, "held_out": -70.5, "gaussian": -90.25, "command": "a test", "regions": regions,
        "model_spec": SPEC.to_dict(), "source": {"kind": "bundled"},
    }  # fmt: skip
    return RegionSet("", parameters, arrays["mean"], arrays, {**facts, **manifest})


def test_a_fit_without_a_theme_says_so(home: Path) -> None:
    fit = open_fit(Memory(), save_fit(made_fit(), PASSAGES))
    assert "bears the name of a theme" not in fit.facts().caption
    for row in fit.manifest["regions"]:
        row["character"] = "mixed"
    assert "None of them bears the name of a theme" in fit.facts().caption


def test_a_fit_comes_back_as_it_was_saved(home: Path) -> None:
    fit = made_fit()
    name = save_fit(fit, PASSAGES)
    assert name == fit.name and name.startswith("residual-1-k7-r3-") and (home / "regions" / f"{name}.json").is_file()
    found = open_fit(Memory(), name)
    for one, other in zip(vars(fit.parameters).values(), vars(found.parameters).values(), strict=True):
        assert torch.equal(one, other)
    assert found.name == name and torch.equal(found.mean, fit.mean) and set(found.arrays) == set(fit.arrays)
    assert all(torch.equal(found.arrays[n], a) for n, a in fit.arrays.items())
    assert found.rows() == fit.rows() and len(found.rows()) == 7
    caption = found.facts().caption
    assert all(
        part in caption for part in ("7 regions, 3 local", "block 1 of Tiny; 1,000", "-70.5", "-90.2", "50%", "25%")
    )
    assert found.manifest["corpus"] == corpus_hash(PASSAGES) and found.site.layer == 1 and found.skip_first == 2


def test_the_name_says_which_fit_it_is_and_another_fit_has_another() -> None:
    names = [
        save_fit(made_fit(**changes), passages)
        for changes, passages in (
            ({}, PASSAGES),
            ({"seed": 1}, PASSAGES),
            ({"layer": 2}, PASSAGES),
            ({"fingerprint": "other"}, PASSAGES),
            ({"noise": "component"}, PASSAGES),
            ({}, PASSAGES[:3]),
        )
    ]
    assert len(set(names)) == len(names) == len(listing(SPEC))
    assert save_fit(made_fit(), PASSAGES) == names[0] and len(listing(SPEC)) == len(names)


def test_an_opened_fit_is_read_once() -> None:
    memory = Memory()
    name = save_fit(made_fit(), PASSAGES)
    assert open_fit(memory, name) is open_fit(memory, name) is not open_fit(Memory(), name)


@pytest.mark.parametrize(
    "name",
    ["../x", "..", "", ".", "a/b", "a\\b", "/etc/passwd", "A", "a.json", "a\n", "-a", "x" * 90, "a\x00", None, 3, []],
)
def test_names_that_are_not_names_are_refused(name: Any) -> None:
    with pytest.raises(UserError, match="Choose a fit") as caught:
        open_fit(Memory(), name)
    assert caught.value.field == "fit"


def test_a_fit_outside_the_folder_is_not_reached_by_its_name(home: Path) -> None:
    fit = made_fit()
    fit.name = "x"
    home.mkdir()
    save_fit(fit, PASSAGES, home)
    assert (home / "x.json").is_file()
    for name in ("x", "../x", "regions/../../x"):
        with pytest.raises(UserError):
            open_fit(Memory(), name)


def test_a_fit_that_is_gone_or_damaged_is_refused_in_words(home: Path) -> None:
    with pytest.raises(UserError, match="not in this data folder"):
        open_fit(Memory(), "block-99")
    name = save_fit(made_fit(), PASSAGES)
    path = next((home / "regions").glob(f"{name}-*.safetensors"))
    body = bytearray(path.read_bytes())
    body[-1] ^= 1
    path.write_bytes(body)
    with pytest.raises(UserError, match="changed after it was written"):
        open_fit(Memory(), name)


def test_a_model_with_other_weights_is_refused_and_both_are_named() -> None:
    loaded = loaded_tiny("llama")
    name = save_fit(made_fit(), PASSAGES)
    assert fit_for(Memory(), loaded, name).name == name
    other = dataclasses.replace(loaded, facts=dataclasses.replace(loaded.facts, fingerprint="f" * 20, label="Other"))
    with pytest.raises(UserError, match=r"made for Tiny.*loaded model is Other.*Choose a fit") as caught:
        fit_for(Memory(), other, name)
    assert caught.value.field == "fit"


def test_the_listing_has_the_fits_of_one_model_and_steps_over_strange_files(home: Path, tmp_path: Path) -> None:
    own = save_fit(made_fit(), PASSAGES)
    save_fit(made_fit(model_spec={"source": "someone/else"}, seed=5), PASSAGES)
    for n, name in enumerate(("block-20", "block-15")):
        bundled = made_fit(layer=3 - n, seed=7 + n, **({"first": True} if name == "block-20" else {}))
        bundled.name = name
        save_fit(bundled, PASSAGES, tmp_path / "bundled" / "regions", half=True)
    for name, body in (("a.json", "{"), ("b.json", "[]"), ("c.json", "{}"), ("D d.json", "{}"), ("e.json", "\xff")):
        (home / "regions" / name).write_text(body, encoding="latin-1")
    rows = listing(SPEC)
    assert [r.name for r in rows] == ["block-20", "block-15", own]
    assert rows[0].title.endswith("7 regions, bundled") and f"own fit {own[-6:]}" in rows[2].title
    assert "block 3" in rows[0].title and not listing(ModelSpec("nobody/nothing"))


def test_half_precision_changes_numbers_by_less_than_a_thousandth(tmp_path: Path) -> None:
    fit = made_fit()
    fit.name = "halved"
    save_fit(fit, PASSAGES, tmp_path / "bundled" / "regions", half=True)
    found = open_fit(Memory(), "halved")
    for name in ("means", "loadings"):
        one, other = getattr(fit.parameters, name), getattr(found.parameters, name)
        assert not torch.equal(one, other) and float((one - other).abs().max()) < 1e-3 * float(one.abs().max())
    points = drawn(fit.parameters.to(torch.float64), 200, seed=3)[0].float()
    one, other = (f.density.responsibilities(points) for f in (fit, found))
    assert float((one - other).abs().max()) < 0.01


def test_users_names_are_kept_found_and_forgotten_without_touching_the_fit(home: Path) -> None:
    name = save_fit(made_fit(), PASSAGES)
    before = (home / "regions" / f"{name}.json").read_bytes()
    fit = open_fit(Memory(), name)
    keep_label(fit, 2, "Baking bread")
    keep_label(fit, 4, "Ünïcode “name”")
    again = open_fit(Memory(), name)
    for one in (fit, again):
        assert one.label(2) == "Baking bread" and one.label(4) == "Ünïcode “name”" and one.label(3) == "label 3"
    row = again.rows()[2]
    assert row.own_label == row.label == "Baking bread"
    assert {"baking", "bread", "word2", "label", "2"} <= set(row.words.split())
    keep_label(again, 2, "")
    assert open_fit(Memory(), name).label(2) == "label 2" and open_fit(Memory(), name).label(4).startswith("Ü")
    assert (home / "regions" / f"{name}.json").read_bytes() == before


@pytest.mark.parametrize("body", ["{", "[]", "3", '{"2": ' + '"' + "x" * 500 + '"}'])
def test_a_damaged_file_of_names_does_no_harm(body: str, home: Path) -> None:
    name = save_fit(made_fit(), PASSAGES)
    (home / "labels").mkdir()
    (home / "labels" / f"{name}.json").write_text(body)
    assert len(open_fit(Memory(), name).label(2)) <= 80


def test_texts_that_have_changed_since_are_said_to_have() -> None:
    fit = made_fit(corpus="0" * 20)
    with pytest.raises(UserError, match="have changed since"):
        _ = fit.passages
    assert made_fit(corpus=corpus_hash(bundled_corpus())).passages == bundled_corpus()


def test_regions_that_are_not_there_are_refused() -> None:
    fit = made_fit()
    fit.check_region(0)
    fit.check_region(K - 1)
    for region in (-1, K):
        with pytest.raises(UserError, match="regions 0 to 6"):
            fit.check_region(region)
    assert fit.usable == [0, 1, 2, 3, 4, 5]


def test_rotations_share_densities_but_not_factors() -> None:
    fit = made_fit()
    points = drawn(fit.parameters.to(torch.float64), 50, seed=4)[0].float()
    one, other = (Density(fit.rotated(r), fit.mean).responsibilities(points) for r in ("principal", "varimax"))
    assert torch.allclose(one, other, atol=1e-4)
    assert not torch.allclose(fit.rotated("varimax").loadings, fit.rotated("principal").loadings, atol=0.1)
    assert torch.equal(fit.spread("varimax"), fit.arrays["varimax.spread"])


@pytest.mark.parametrize("rotation", ["principal", "varimax"])
def test_some_regions_alone_are_those_of_the_whole(rotation: str) -> None:
    fit = made_fit()
    points = drawn(fit.parameters.to(torch.float64), 50, seed=4)[0].float()
    region = fit.density.responsibilities(points).argmax(1)
    factors = Density(fit.rotated(rotation), fit.mean).posterior(points, region)
    assert torch.allclose(fit.factors_of(points, region, rotation), factors, atol=1e-5)
    part = fit.part([3, 1], rotation)
    assert torch.equal(part.loadings, fit.rotated(rotation).loadings[[3, 1]])
    assert torch.equal(part.means, fit.parameters.means[[3, 1]])


def test_a_rotation_that_was_left_out_is_refused_in_words() -> None:
    fit = made_fit()
    del fit.arrays["varimax.spread"]
    for ask in (lambda: fit.part([1], "varimax"), lambda: fit.spread("varimax")):
        with pytest.raises(UserError, match="principal axes only"):
            ask()
    assert fit.part([1], "principal").components == 1


def test_loadings_that_lie_by_axis_are_kept_so_and_read_where_they_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = made_fit()
    fit.parameters = fit.parameters.with_loadings(fit.parameters.loadings.mT.contiguous().mT)
    monkeypatch.setattr(artefacts, "MAPPED", 0)
    name = save_fit(fit, PASSAGES)
    again = open_fit(Memory(), name)
    assert again.parameters.loadings.mT.is_contiguous() and torch.equal(
        again.parameters.loadings, fit.parameters.loadings
    )
    assert all(torch.equal(again.arrays[n], fit.arrays[n]) for n in fit.arrays)
    again.parameters.means.zero_()  # stays in memory
    assert torch.equal(open_fit(Memory(), name).parameters.means, fit.parameters.means)
    path = library.REGION_SETS.own() / name
    file = next(path.parent.glob(f"{name}-*.safetensors"))
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match="was changed after it was written"):
        open_fit(Memory(), name)
