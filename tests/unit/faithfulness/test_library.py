"""Which study is opened when none is named, or only the newest: without a model, on folders of one's own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from analysis.engine.memory import Memory
from analysis.errors import UserError
from analysis.faithfulness import library
from analysis.faithfulness.ops.study import FaithBoard, FaithStudies
from analysis.faithfulness.study import Study

BUNDLED = str(json.loads(library.BUNDLED.with_suffix(".json").read_text(encoding="utf-8"))["fingerprint"])


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    return tmp_path


def kept(fingerprint: str, name: str, age: int) -> None:
    """An empty study of a model, that many seconds old."""
    manifest = {"fingerprint": fingerprint, "title": name, "model": "m", "command": "c", "cost": {"seconds": 3.0}}
    place = library.place(fingerprint, name)
    library.save_study(Study(manifest | {"board": {"tiers": []}}, (), np.zeros((2, 0)), np.zeros((2, 0))), place)
    os.utime(place.with_suffix(".json"), (1_000_000 - age,) * 2)


def context_of(fingerprint: str) -> Any:
    loaded = SimpleNamespace(facts=SimpleNamespace(fingerprint=fingerprint))
    return SimpleNamespace(model=lambda _: loaded, memory=Memory())


def test_a_model_without_a_bundled_study_opens_its_newest() -> None:
    kept("abc", "own-old", 20)
    kept("abc", "own-new", 10)
    kept("other", "own-alien", 0)
    assert [library.resolved("abc", n) for n in ("", "default", "own-old")] == ["own-new", "own-new", "own-old"]
    memory = Memory()
    for name, title in (("", "own-new"), ("newest", "own-new"), ("own-old", "own-old")):
        assert library.open_study(memory, "abc", name).manifest["title"] == title
    assert library.open_study(memory, "abc", "") is library.open_study(memory, "abc", "own-new")
    with pytest.raises(UserError, match="no study called"):
        library.open_study(memory, "abc", "own-alien")


def test_the_bundled_study_comes_first_where_it_fits_and_last_among_the_newest() -> None:
    assert library.resolved(BUNDLED, "newest") == library.resolved(BUNDLED, "") == ""
    kept(BUNDLED, "own-1", 0)
    assert [library.resolved(BUNDLED, n) for n in ("", "default", "newest")] == ["", "", "own-1"]
    assert [row.name for row in library.studies(BUNDLED)] == ["", "own-1"]


def test_a_model_without_studies_is_told_to_make_one() -> None:
    for name in ("", "newest"):
        with pytest.raises(UserError, match="no scores of this model yet"):
            library.open_study(Memory(), "abc", name)


def test_the_board_names_the_study_that_it_is_of() -> None:
    kept("abc", "own-1", 0)
    for asked in ("", "newest", "own-1"):
        board = FaithBoard(study=asked).run(context_of("abc"))
        assert board.study == "own-1" and board.source.startswith("Made here") and board.fingerprint == "abc"
    assert FaithBoard().run(context_of(BUNDLED)).study == ""


def test_studies_are_listed_also_where_the_first_is_damaged() -> None:
    kept("abc", "own-1", 10)
    kept("abc", "own-2", 0)
    arrays = next(library.place("abc", "own-2").parent.glob("own-2-*.safetensors"))
    arrays.write_bytes(arrays.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError):
        FaithBoard().run(context_of("abc"))
    listed = FaithStudies().run(context_of("abc"))
    assert [row.name for row in listed.studies] == ["own-2", "own-1"] and listed.fingerprint == "abc"
    assert FaithStudies().run(context_of("none")).studies == ()
