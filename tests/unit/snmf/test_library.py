"""Factorizations as files: what is written comes back, what is damaged or foreign is refused; the graph of levels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from analysis import shelf
from analysis.activations import fits
from analysis.artefacts import pair_files
from analysis.corpora.passages import Passage, corpus_hash
from analysis.engine.memory import Memory
from analysis.errors import UserError
from analysis.models.loaded_model import LoadedModel
from analysis.models.spec import ModelSpec
from analysis.snmf.answers.factorization import DetectionComparison, FactorizationTitle, MethodScore, SearchHit
from analysis.snmf.learning import Wanted, unit_levels
from analysis.snmf.library import (
    Factorization,
    Level,
    detection_table,
    fit_for,
    listing,
    open_factorization,
    save_factorization,
)
from analysis.snmf.search import search_features
from analysis.snmf.tree import tree_of

WIDTH, SIZES, KEPT = 40, (6, 3, 2), 4
PASSAGES = [Passage("one two three", "a"), Passage("four five six", "b")]
SPEC = ModelSpec("default")


def sparse(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, WIDTH, generator=generator)
    rows = rows * (rows.abs() >= rows.abs().topk(KEPT, 1).values[:, -1:])
    return rows / rows.norm(dim=1, keepdim=True)


def row(k: int) -> dict[str, Any]:
    own = {"on": ["␣cat", "␣dog"], "plus": ["␣Moon", "␣sun"], "contexts": ["a [cat]"], "auc": None, "detection": None}
    plain = {"feature": k, "label": f"label {k}", "top": ["␣cat"], "active": 0.5, "theme": "a", "purity": 0.5}
    return {**plain, **own, "words": "cat", "character": "tokens", "texts": 3.0}


def made(name: str = "") -> Factorization:
    generator = torch.Generator().manual_seed(9)
    weights = [None, *(torch.rand(b, a, generator=generator) for a, b in pairwise(SIZES))]
    levels = [Level(sparse(n, i), w) for i, (n, w) in enumerate(zip(SIZES, weights, strict=True))]
    manifest: dict[str, Any] = {
        "rows": [row(k) for k in range(SIZES[0])],
        "upper": [[{**row(k), "label": f"level {n}"} for k in range(n)] for n in SIZES[1:]],
        "model": "tiny",
        "model_spec": SPEC.to_dict(),
        "fingerprint": "f",
        "site": "mlp_hidden",
        "layer": 2,
        "tokens": 100,
        "kept": 0.1,
        "explained": 0.5,
        "curve": {"iteration": [0], "explained": [0.5], "best": 0},
        "command": "a test",
        "source": {"kind": "bundled"},
        "skip_first": 2,
    }
    arrays = {"plus_value": torch.arange(12.0).reshape(6, 2), "place": torch.ones(6, 2, 2, dtype=torch.int16)}
    return Factorization(name, levels, arrays, manifest)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(shelf, "DATA", tmp_path / "bundled")
    monkeypatch.setattr(fits, "bundled_corpus", lambda: list(PASSAGES))
    return tmp_path / "home" / "features"


def test_what_is_saved_comes_back() -> None:
    fit = made()
    fit.levels[0].components[1, :] = 0  # a feature without neurons
    name = save_factorization(fit, PASSAGES)
    again = open_factorization(Memory(), name)
    assert name.startswith("mlp-hidden-2-k6-k3-k2-") and again.site.layer == 2 and again.features == 6
    for own, other in zip(fit.levels, again.levels, strict=True):
        assert torch.allclose(own.components, other.components, atol=1e-3)
        assert torch.equal(own.components != 0, other.components != 0)
        assert (own.weights is None) == (other.weights is None)
        if own.weights is not None and other.weights is not None:
            assert torch.allclose(own.weights, other.weights, atol=1e-3)
    assert all(torch.equal(fit.arrays[n], again.arrays[n]) for n in fit.arrays)
    assert again.passages == PASSAGES and again.manifest["corpus"] == corpus_hash(PASSAGES)
    assert again.neurons(1) == [] and len(again.neurons(0)) == KEPT
    sizes = [float(again.components[0, n].abs()) for n in again.neurons(0)]
    assert sizes == sorted(sizes, reverse=True)
    assert again.facts().levels == SIZES and "a test" in again.facts().caption


def test_fits_of_other_settings_have_other_names() -> None:
    names = set()
    for key, value in (("seed", 0), ("seed", 1), ("kept", 0.2), ("iterations", 7), ("tokens", 9)):
        fit = made()
        fit.manifest[key] = value
        names.add(save_factorization(fit, PASSAGES))
    assert len(names) == 5


def test_own_passages_are_kept_and_changed_texts_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = made("own")
    fit.manifest["passages"] = ["alpha beta", "gamma delta"]
    texts = [Passage("alpha beta"), Passage("gamma delta")]
    save_factorization(fit, texts)
    assert open_factorization(Memory(), "own").passages == texts
    save_factorization(made("other"), PASSAGES)
    monkeypatch.setattr(fits, "bundled_corpus", lambda: [PASSAGES[0]])
    with pytest.raises(UserError, match="have changed"):
        _ = open_factorization(Memory(), "other").passages


def with_arrays(change: Callable[[dict[str, Tensor]], None]) -> Callable[[Path], None]:
    """Rewrites the arrays and the checksum, as a foreign program would."""

    def spoil(path: Path) -> None:
        manifest, data = pair_files(path)
        arrays = load(data.read_bytes())
        change(arrays)
        data.write_bytes(save(arrays))
        record = json.loads(manifest.read_text())
        record["sha256"] = hashlib.sha256(data.read_bytes()).hexdigest()
        manifest.write_text(json.dumps(record))

    return spoil


def with_record(**changes: Any) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        manifest = path.with_suffix(".json")
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | changes))

    return spoil


def cut(path: Path) -> None:
    data = pair_files(path)[1]
    data.write_bytes(data.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (cut, "checksum"),
        (lambda path: pair_files(path)[1].unlink(), "There is no file"),
        (lambda path: path.with_suffix(".json").write_text("{"), "not readable"),
        (lambda path: path.with_suffix(".json").write_text("[]"), "which arrays"),
        (with_record(format=99), "format 99"),
        (with_record(levels=[6, 3]), "what its features are"),
        (with_record(levels="six"), "“levels” is of another kind"),
        (with_record(levels=["six"]), "how many"),
        (with_record(width=39), "neurons that the site does not have|width"),
        (with_record(rows=[]), "what its features are"),
        (with_record(extra=["gone"]), "gone is missing"),
        (with_arrays(lambda a: a["index.0"].fill_(WIDTH)), "neurons that the site does not have"),
        (with_arrays(lambda a: a["value.1"].fill_(float("nan"))), "not finite"),
        (with_arrays(lambda a: a["weights.0"].neg_()), "negative"),
        (with_arrays(lambda a: cast(None, a.pop("weights.1"))), "weights.1 is missing"),
    ],
)
def test_a_damaged_factorization_is_a_sentence(home: Path, spoil: Callable[[Path], Any], said: str) -> None:
    save_factorization(made("spoilt"), PASSAGES)
    spoil(home / "spoilt")
    with pytest.raises(UserError, match=said) as caught:
        open_factorization(Memory(), "spoilt")
    assert caught.value.field == "fit" and caught.value.message.endswith(".")


def test_what_cannot_be_read_back_is_not_written(home: Path) -> None:
    fit = made("bad")
    fit.levels[0].components[0, 0] = float("inf")
    with pytest.raises(ValueError, match="not finite"):
        save_factorization(fit, PASSAGES)
    assert not (home / "bad.json").exists()


@pytest.mark.parametrize("name", ["", "../x", "A", "nothing-here", "a" * 90])
def test_names_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(UserError) as caught:
        open_factorization(Memory(), name)
    assert caught.value.field == "fit"


def test_a_factorization_belongs_to_its_weights() -> None:
    save_factorization(made("mine"), PASSAGES)

    def loaded(fingerprint: str) -> LoadedModel:
        return cast(LoadedModel, SimpleNamespace(facts=SimpleNamespace(fingerprint=fingerprint, label="other")))

    assert fit_for(Memory(), loaded("f"), "mine").name == "mine"
    with pytest.raises(UserError, match="other weights"):
        fit_for(Memory(), loaded("g"), "mine")


def test_listing_has_bundled_ones_first_and_leaves_foreign_files_out(tmp_path: Path, home: Path) -> None:
    deep, first = made("deep"), made("first")
    deep.manifest |= {"layer": 1}
    first.manifest |= {"layer": 9, "first": True}
    for fit in (deep, first):
        save_factorization(fit, PASSAGES, tmp_path / "bundled" / "features")
    save_factorization(made("own"), PASSAGES)
    other = made("other-model")
    other.manifest["model_spec"] = {"source": "hub"}
    save_factorization(other, PASSAGES)
    (home / "steering.json").write_text("[1]")
    (home / "broken.json").write_text("{")
    found = listing(SPEC)
    assert [f.name for f in found] == ["first", "deep", "own"]
    assert found[0] == FactorizationTitle("first", found[0].title, 9, "mlp_hidden", 6, (6, 3, 2))


@pytest.mark.parametrize("feature", [-1, 6, True, 1.0, "1"])
def test_features_that_are_not_there_are_refused(feature: Any) -> None:
    with pytest.raises(UserError, match="features 0 to 5"):
        made().check_feature(feature)
    made().check_feature(5)


def test_detection_table_is_of_one_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="missing"):
        detection_table(SPEC)
    row = {"layer": 0, "method": "SNMF", "candidates": 9, "auc": 0.6}
    table = {"rows": [row], "sentence": "s", "command": "c", "model": "m", "model_spec": {"source": "default"}}
    (tmp_path / "bundled" / "features").mkdir(parents=True)
    (tmp_path / "bundled" / "features" / "detection.json").write_text(json.dumps(table))
    assert detection_table(SPEC) == DetectionComparison((MethodScore(0, "SNMF", 9, auc=0.6),), "s", "c")
    other = cast(ModelSpec, SimpleNamespace(source="hub"))
    with pytest.raises(UserError, match="for m only"):
        detection_table(other)


def test_unit_features_are_the_same_factorization() -> None:
    generator = torch.Generator().manual_seed(1)
    lengths = [torch.rand(n, generator=generator) + 0.5 for n in SIZES]
    components = [sparse(n, i) * s[:, None] for i, (n, s) in enumerate(zip(SIZES, lengths, strict=True))]
    weights = [torch.rand(b, a, generator=generator) for a, b in pairwise(SIZES)]
    activations = torch.rand(20, SIZES[0], generator=generator)
    levels, scaled = unit_levels(components, weights, activations)
    assert torch.allclose(scaled @ levels[0].components, activations @ components[0], atol=1e-5)
    for i in (1, 2):
        assert torch.allclose(levels[i].components.norm(dim=1), torch.ones(SIZES[i]))
        found = levels[i].weights
        assert found is not None
        # Each level's product says the same of the features below it, at their new length.
        below = (weights[i - 1].T @ components[i]) / lengths[i - 1][:, None]
        assert torch.allclose(found.T @ levels[i].components, below, atol=1e-5)


@pytest.mark.parametrize(
    ("features", "levels", "ranks"),
    [(9, (), (9,)), (9, (4, 2), (9, 4, 2)), (9, (9, 4), (9, 4)), (5, (9, 4), (9, 4))],
)
def test_levels_name_the_whole_tree_or_what_is_above(features: int, levels: Any, ranks: Any) -> None:
    site = made().site
    assert Wanted(site, 100, features, levels=levels).ranks == ranks
    with pytest.raises(UserError, match="fewer concepts"):
        _ = Wanted(site, 100, 9, levels=(4, 4)).ranks


def test_the_tree_has_all_edges_above_the_threshold() -> None:
    fit = made()
    for threshold in (0.0, 0.3, 1.0):
        found = tree_of(fit, threshold)
        wanted = {}
        for level in (1, 2):
            weights = fit.levels[level].weights
            assert weights is not None
            for parent, line in enumerate(weights.tolist()):
                for child, weight in enumerate(line):
                    if weight / max(line) >= threshold:
                        wanted[f"{level + 1}:{parent}", f"{level}:{child}"] = weight / max(line)
        assert {(e.parent, e.child): e.weight for e in found.edges} == pytest.approx(wanted, abs=1e-4)
        children = [child for _, child in wanted]
        assert set(found.shared) == {c for c in children if children.count(c) > 1}
    assert [n.id for n in found.nodes] == [f"{i}:{k}" for i, n in enumerate(SIZES, 1) for k in range(n)]
    assert len(found.edges) >= SIZES[1] + SIZES[2]  # at 1 each parent keeps its largest
    with pytest.raises(UserError, match="threshold"):
        tree_of(fit, 1.5)


def test_search_finds_tokens_on_both_sides() -> None:
    save_factorization(made("mine"), PASSAGES)
    found = search_features(Memory(), SPEC, "  moon ").rows
    assert [(r.feature, r.where, r.rank) for r in found] == [(k, "promotes", 1) for k in (5, 4, 3, 2, 1, 0)]
    assert found[0] == SearchHit("mine", 5, "label 5", "promotes", 1, 10.0)
    assert {r.where for r in search_features(Memory(), SPEC, "dog").rows} == {"active on"}
    nothing = search_features(Memory(), SPEC, "xyzzy")
    assert nothing.rows == () and "xyzzy" in nothing.sentence
    with pytest.raises(UserError):
        search_features(Memory(), SPEC, " ")
