"""The shelves of all methods: what comes with Attune opens, what is written comes back, what is damaged, foreign or of
another kind does not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.artefacts import load_pair, manifest_path, pair_files
from analysis.engine.memory import Memory
from analysis.errors import UserError
from analysis.faithfulness.library import STUDIES
from analysis.mfa.library import REGION_SETS
from analysis.rotate.library import MEASUREMENTS
from analysis.shelf import Shelf
from analysis.snmf.library import FACTORIZATIONS
from analysis.tpr.library import PROBE_SETS

SHELVES: list[Shelf[Any]] = [REGION_SETS, FACTORIZATIONS, MEASUREMENTS, STUDIES, PROBE_SETS]
NAME = "taken"


@pytest.fixture(params=SHELVES, ids=lambda shelf: shelf.kind)
def shelf(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf[Any]:
    """Each shelf, with the files of Attune and an empty data folder."""
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    found: Shelf[Any] = request.param
    return found


def written(shelf: Shelf[Any], **changes: Any) -> Path:
    """A copy of the first bundled artefact, written by the shelf to the data folder."""
    arrays, manifest = load_pair(shelf.entries()[0].path, shelf.wording)
    path = shelf.own() / NAME
    shelf.save(path, arrays, {**manifest, **changes})
    return path


def test_all_that_comes_with_attune_opens_and_belongs_to_its_weights(shelf: Shelf[Any]) -> None:
    entries = shelf.entries()
    assert len(entries) == len(list(shelf.bundled.glob("*.safetensors"))) > 0
    for entry in entries:
        assert entry.bundled and shelf.find(entry.name) == entry.path
        assert entry.path in [e.path for e in shelf.of_weights(entry.manifest[shelf.weights])]
        assert shelf.read(entry.path).manifest["sha256"] == entry.checksum


def test_what_is_written_comes_back_and_says_what_it_is(shelf: Shelf[Any]) -> None:
    path = written(shelf, seed=7)
    arrays, manifest = load_pair(shelf.entries()[0].path, shelf.wording)
    again, record = load_pair(path, shelf.wording)
    assert again.keys() == arrays.keys()
    assert all(np.array_equal(again[n], a, equal_nan=a.dtype.kind == "f") for n, a in arrays.items())
    assert all(again[n].dtype == a.dtype and again[n].shape == a.shape for n, a in arrays.items())
    own = {"sha256", "file", "format", "what", "code", "seed"}
    assert {k: v for k, v in record.items() if k not in own} == {k: v for k, v in manifest.items() if k not in own}
    assert record["what"] == shelf.kind and len(record["code"]) == 16 and record["seed"] == 7
    assert [e.path for e in shelf.entries() if not e.bundled] == [path] and shelf.find(NAME) == path
    shelf.read(path)


def test_an_older_pair_whose_manifest_names_no_file_opens(shelf: Shelf[Any]) -> None:
    source = shelf.entries()[0].path
    path, arrays = shelf.own() / NAME, pair_files(source)[1]
    manifest = {k: v for k, v in load_pair(source, shelf.wording)[1].items() if k not in ("file", "format")}
    shutil.copy(arrays, path.with_name(f"{NAME}.safetensors"))
    manifest_path(path).write_text(json.dumps(manifest))
    shelf.read(path)
    written(shelf)
    assert pair_files(path)[1].exists() and not path.with_name(f"{NAME}.safetensors").exists()


def test_arrays_that_were_changed_are_refused_where_they_were_chosen(shelf: Shelf[Any]) -> None:
    path = written(shelf)
    data = pair_files(path)[1]
    body = bytearray(data.read_bytes())
    body[-1] ^= 1
    data.write_bytes(bytes(body))
    with pytest.raises(UserError) as caught:
        shelf.read(path)
    wanted = shelf.wording.refusal(shelf.wording.changed, path, data.name)
    assert caught.value.message == wanted.message and caught.value.field == shelf.wording.field
    data.unlink()
    with pytest.raises(UserError) as caught:
        shelf.read(path)
    assert caught.value.message == shelf.wording.refusal(shelf.wording.absent, path, data.name).message


def test_what_was_made_from_other_weights_is_not_theirs(shelf: Shelf[Any]) -> None:
    fingerprint = shelf.entries()[0].manifest[shelf.weights]
    before = shelf.checksums(fingerprint)
    path = written(shelf, **{shelf.weights: "other"})
    assert shelf.checksums(fingerprint) == before != ""
    assert [e.path for e in shelf.of_weights("other")] == [path] and shelf.of_weights("nobody") == []
    assert shelf.checksums("other") == f"{NAME}:{load_pair(path, shelf.wording)[1]['sha256']}"


def test_of_two_of_one_name_the_bundled_one_is_meant(shelf: Shelf[Any]) -> None:
    bundled = shelf.entries()[0]
    arrays, manifest = load_pair(bundled.path, shelf.wording)
    shelf.save(shelf.own() / bundled.name, arrays, manifest)
    assert shelf.find(bundled.name) == bundled.path
    assert [e.bundled for e in shelf.entries() if e.name == bundled.name] == [True, False]


def test_an_artefact_is_read_once_until_it_is_written_anew(shelf: Shelf[Any]) -> None:
    memory, path = Memory(), written(shelf)
    first = shelf.open(memory, path)
    assert shelf.open(memory, path) is first
    os.utime(manifest_path(path), ns=(1, 1))
    assert shelf.open(memory, path) is not first


def test_what_another_method_made_is_no_artefact_of_this_kind(shelf: Shelf[Any]) -> None:
    path = written(shelf)
    for other in SHELVES:
        if other is not shelf:
            for file in pair_files(path):
                shutil.copy(file, other.own())
            assert other.entry(other.own() / NAME) is None
            with pytest.raises(UserError, match=f"it is a {shelf.kind}"):
                other.read(other.own() / NAME)


def test_own_ones_come_after_bundled_ones_the_newest_first(shelf: Shelf[Any]) -> None:
    path = written(shelf)
    record, arrays = (file.read_bytes() for file in pair_files(path))
    for age, name in enumerate(("b", "c", "a")):
        path.with_name(pair_files(path)[1].name).write_bytes(arrays)
        place = manifest_path(path.with_name(name))
        place.write_bytes(record)
        os.utime(place, (1_000_000 - age, 1_000_000 - age))
    os.utime(manifest_path(path), (2_000_000, 2_000_000))
    entries = shelf.entries()
    assert [e.name for e in entries if not e.bundled] == [NAME, "b", "c", "a"]
    assert [e.bundled for e in entries] == sorted((e.bundled for e in entries), reverse=True)


@pytest.mark.parametrize("name", ["../x", "..", "", "a/b", "a\\b", "/etc/passwd", "A", "a.json", "a\n", "-a", "x" * 90,
                                  "a\x00", None, 3, []])  # fmt: skip
def test_names_that_are_none_lead_nowhere(shelf: Shelf[Any], name: Any) -> None:
    assert shelf.find(name) is None


def test_a_shelf_can_be_named_without_torch() -> None:
    code = "import sys, analysis.shelf; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
