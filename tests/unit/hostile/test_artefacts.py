"""What methods keep (fits, factorizations, probes, measurements, studies), damaged by someone who also mended its
checksum: each is a sentence when it is opened or when what it lacks is asked for, and a listing steps over it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save, save_file

from analysis.artefacts import Wording, load_pair, save_pair
from analysis.engine.memory import Memory
from analysis.errors import UserError
from analysis.faithfulness.library import STUDIES, save_study
from analysis.home import folder
from analysis.mfa import library as regions
from analysis.models.spec import ModelSpec
from analysis.rotate.library import MEASUREMENTS
from analysis.snmf import library as features
from analysis.tpr.answers.edit import TrialTable
from analysis.tpr.answers.model import Play, RandomNetwork
from analysis.tpr.library import PROBE_SETS, measured
from tests.unit.hostile.watch import watched

DATA = Path(regions.__file__).resolve().parent.parent / "data"
NAMES = {"fit": "block-15", "factorization": "block-20", "probes": "probes", "neurons": "default", "study": "default"}
PLACES = {"fit": "regions", "factorization": "features", "probes": "othello", "neurons": "neurons",
          "study": "faithfulness"}  # fmt: skip


class Kept:
    """A copy of a bundled artefact in the data folder of this test, under another name."""

    def __init__(self, kind: str, source: Path | None = None) -> None:
        self.kind, source = kind, source or DATA / PLACES[kind] / NAMES[kind]
        self.record: dict[str, Any] = json.loads(source.with_name(source.name + ".json").read_text("utf-8"))
        data = source.with_name(str(self.record.get("file", source.name + ".safetensors")))
        self.path = folder(PLACES[kind]) / "taken"
        self.data = self.path.with_name("taken.safetensors")
        shutil.copy(data, self.data)
        if "file" in self.record:
            self.record["file"] = self.data.name
        self.write()

    def write(self, text: str | None = None) -> None:
        """The manifest as it is now, or another text."""
        body = json.dumps(self.record) if text is None else text
        self.path.with_name("taken.json").write_text(body, "utf-8")

    def arrays(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the arrays, and mend the checksum."""
        arrays = load_file(self.data)
        change(arrays)
        save_file(arrays, self.data)
        self.mend()

    def mend(self) -> None:
        """Write the checksum of the arrays as they are."""
        self.record["sha256"] = hashlib.sha256(self.data.read_bytes()).hexdigest()
        self.write()

    def open(self) -> object:
        """Open it and ask for what the pages ask first."""
        if self.kind == "fit":
            fit = regions.open_fit(Memory(), "taken")
            return fit.facts(), fit.rows(), fit.usable, fit.site, fit.skip_first, fit.manifest["fingerprint"]
        if self.kind == "factorization":
            made = features.open_factorization(Memory(), "taken")
            return made.facts(), made.rows(), made.skip_first, made.label(0), made.neurons(0)
        if self.kind == "probes":
            probes = PROBE_SETS.read(self.path)
            for kind, name in ((Play, "play"), (TrialTable, "edits"), (RandomNetwork, "random_network")):
                measured(kind, probes.manifest.get(name))
            return probes.rows, probes.layers("linear"), probes.probe("linear", 3)
        if self.kind == "study":
            study = STUDIES.read(self.path)
            return study.main(), study.manifest["tiers"], study.manifest["cost"], study.of("1")
        found = MEASUREMENTS.read(self.path)
        return found.made, found.projection_of(3), found.manifest["shares"], found.manifest["layers"]


@pytest.fixture(scope="module")
def small_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight items of the bundled study, for speed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTUNE_HOME", str(tmp_path_factory.mktemp("study")))
        whole = Kept("study")
        study = STUDIES.read(whole.path)
        study.items, study.scores = study.items[:8], study.scores[:, :, :8]
        save_study(study, whole.path)
        return whole.path


@pytest.fixture(params=NAMES)
def kept(request: pytest.FixtureRequest, small_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    return Kept(request.param, small_study if request.param == "study" else None)


def _refused(kept: Kept) -> None:
    with watched(megabytes=500), pytest.raises(UserError) as caught:
        kept.open()
    assert caught.value.field and len(caught.value.message) < 400


def test_an_untouched_copy_opens(kept: Kept) -> None:
    kept.open()


TEXTS = {
    "empty": "",
    "cut off": '{"format": 1, "layer',
    "list": "[1, 2]",
    "number": "3",
    "null": "null",
    "nothing": "{}",
    "deep": "[" * 100_000,
    "deep objects": '{"a":' * 5000 + "1" + "}" * 5000,
    "no numbers": '{"format": NaN}',
    "beyond numbers": '{"format": 1e999}',
    "long number": '{"format": 1' + "0" * 5000 + "}",
    "half a pair": '{"format": "\\ud800"}',
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_manifest_that_is_none(kept: Kept, text: str) -> None:
    kept.write(text)
    _refused(kept)


OTHER_KINDS: list[Any] = [None, "x", -1, [], {}, [3], {"a": 1}, 10**300]


def test_what_a_manifest_lacks_is_a_sentence(kept: Kept) -> None:
    """Each entry is left out in turn: either it is not needed for what the pages ask first, or that is a sentence."""
    whole, refused = dict(kept.record), 0
    for name in whole:
        kept.record = {k: v for k, v in whole.items() if k != name}
        kept.write()
        try:
            kept.open()
        except UserError:
            refused += 1
    assert refused >= 2


def test_a_row_of_a_manifest_that_is_none(kept: Kept) -> None:
    rows = next(k for k in ("regions", "rows", "measures", "neurons") if isinstance(kept.record.get(k), list))
    whole = kept.record[rows]
    for bad in (3, None, "x", [], {}):
        kept.record[rows] = [bad, *whole[1:]]
        kept.write()
        if bad != {} or kept.kind not in ("neurons",):
            _refused(kept)


@pytest.mark.parametrize("value", OTHER_KINDS, ids=repr)
def test_entries_of_another_kind_never_raise_but_a_sentence(kept: Kept, value: Any) -> None:
    whole = dict(kept.record)
    for name in list(whole)[OTHER_KINDS.index(value) % 2 :: 2]:
        kept.record = {**whole, name: value}
        kept.write()
        try:
            kept.open()
        except UserError as error:
            assert error.message


def _cut(kept: Kept) -> None:
    kept.data.write_bytes(kept.data.read_bytes()[:1000])


def _empty(kept: Kept) -> None:
    kept.data.write_bytes(b"")


def _huge_header(kept: Kept) -> None:
    kept.data.write_bytes((2**62).to_bytes(8, "little") + b"{}")


def _other_file(kept: Kept) -> None:
    kept.data.write_bytes(b"PK\x03\x04" + bytes(500))


def _no_arrays(kept: Kept) -> None:
    kept.data.write_bytes(save({}))


def _flat(kept: Kept) -> None:
    arrays = {n: a.reshape(-1) for n, a in load_file(kept.data).items()}
    save_file(arrays, kept.data)


def _half(kept: Kept) -> None:
    arrays = {n: np.ascontiguousarray(a[: len(a) // 2]) if a.ndim else a for n, a in load_file(kept.data).items()}
    save_file(arrays, kept.data)


@pytest.mark.parametrize("damage", [_cut, _empty, _huge_header, _other_file, _no_arrays, _flat, _half])
def test_arrays_that_are_none_or_others(kept: Kept, damage: Callable[[Kept], None]) -> None:
    damage(kept)
    _refused(kept)  # by its checksum
    kept.mend()
    _refused(kept)


def test_the_file_of_arrays_is_a_pipe_a_folder_or_gone(kept: Kept) -> None:
    for make in (os.mkfifo, os.mkdir, lambda path: None):
        kept.data.unlink() if kept.data.is_file() else None
        make(kept.data)
        _refused(kept)
        if kept.data.is_dir():
            kept.data.rmdir()
        elif kept.data.exists():
            kept.data.unlink()


def test_a_small_factorization_cannot_claim_to_be_a_large_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is kept sparse: two million rows of one neuron each take a few megabytes, and dense they would take 80 GB."""
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    kept = Kept("factorization")
    kept.record["width"] = 9_999_999
    kept.record["levels"] = [900_000]
    kept.write()
    _refused(kept)


@pytest.mark.parametrize(
    ("kind", "entry", "value"),
    [
        ("neurons", "shares", [{"layer": 3}]),
        ("neurons", "shares", ["a"]),
        ("neurons", "neurons", [{"layer": 3, "vector": "down", "neuron": 1, "kurtosis": 0.1, "channels": [{}]}]),
        ("probes", "play", {"games": 3}),
        ("probes", "edits", [1]),
        ("probes", "random_network", {"layer": 1, "games": 2, "linear": 0.5, "tpr": 0.5, "more": 1}),
    ],
)
def test_rows_of_another_form_are_a_sentence(
    kind: str, entry: str, value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    kept = Kept(kind)
    kept.record[entry] = value
    kept.write()
    _refused(kept)


@pytest.mark.parametrize(("kind", "listing"), [("fit", regions.listing), ("factorization", features.listing)])
def test_a_listing_steps_over_what_cannot_be_read(
    kind: str, listing: Callable[[ModelSpec], list[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    usual = len(listing(ModelSpec()))
    kept = Kept(kind)
    whole = dict(kept.record)
    assert len(listing(ModelSpec())) == usual + 1
    for text in TEXTS.values():
        kept.write(text)
        assert len(listing(ModelSpec())) == usual
    for place, name in enumerate(("layer", "site", "K", "levels", "model_spec", "first")):
        for value in OTHER_KINDS[place % 2 :: 2]:
            kept.record = {**whole, name: value}
            kept.write()
            assert len(listing(ModelSpec())) - usual in (0, 1)


def test_a_pair_whose_arrays_lie_elsewhere_is_not_followed(tmp_path: Path) -> None:
    save_pair(tmp_path / "a" / "made", {"x": np.zeros(3, np.float32)}, {"n": 1})
    record = json.loads((tmp_path / "a" / "made.json").read_text())
    (tmp_path / "a" / record["file"]).rename(tmp_path / record["file"])
    (tmp_path / "a" / "made.json").write_text(json.dumps({**record, "file": f"../{record['file']}"}))
    with pytest.raises(UserError, match="There are no"):
        load_pair(tmp_path / "a" / "made", Wording.of("numbers", "file"))
