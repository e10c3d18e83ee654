"""Pairs of files: what is written comes back, what was changed does not, and nothing is left half written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.artefacts import Wording, load_pair, read_manifest, save_pair, write_whole
from analysis.errors import UserError

WORDING = Wording.of("measurements of this test", "model")


def saved(folder: Path, seed: int = 0) -> Path:
    path = folder / "made.of.dots"
    rng = np.random.default_rng(seed)
    save_pair(path, {"a": rng.random((3, 4), np.float32), "b": np.arange(5, dtype=np.int32)[::-1]}, {"seed": seed})
    return path


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    arrays, manifest = load_pair(saved(tmp_path), WORDING)
    assert np.array_equal(arrays["a"], np.random.default_rng(0).random((3, 4), np.float32))
    assert arrays["b"].tolist() == [4, 3, 2, 1, 0] and manifest["seed"] == 0
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".json", ".safetensors"]


def test_a_second_writing_takes_the_place_of_the_first(tmp_path: Path) -> None:
    saved(tmp_path)
    arrays, manifest = load_pair(saved(tmp_path, 1), WORDING)
    assert manifest["seed"] == 1 and len(list(tmp_path.iterdir())) == 2
    assert np.array_equal(arrays["a"], np.random.default_rng(1).random((3, 4), np.float32))


def test_changed_damaged_and_missing_files_are_refused_in_words(tmp_path: Path) -> None:
    path = saved(tmp_path)
    data = next(tmp_path.glob("*.safetensors"))
    body = bytearray(data.read_bytes())
    body[-1] ^= 1
    data.write_bytes(bytes(body))
    with pytest.raises(UserError, match="were changed after they were written") as caught:
        load_pair(path, WORDING)
    assert caught.value.field == "model"
    path.with_name(path.name + ".json").write_text("[1")
    with pytest.raises(UserError, match="the file is damaged"):
        load_pair(path, WORDING)
    assert read_manifest(path) is None
    with pytest.raises(UserError, match="There are no measurements of this test yet"):
        load_pair(tmp_path / "nothing", WORDING)


def test_a_manifest_cannot_lead_out_of_its_folder(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    path = saved(inner)
    text = path.with_name(path.name + ".json")
    data = next(inner.glob("*.safetensors"))
    data.rename(tmp_path / data.name)
    text.write_text(text.read_text().replace(data.name, "../" + data.name))
    with pytest.raises(UserError, match="There are no"):
        load_pair(path, WORDING)


def test_a_failed_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")
    with pytest.raises(TypeError):
        write_whole(path, "text")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1
