"""What lies in a model's folder is looked at before a library opens it: links, pipes, sizes, names in an index."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.errors import UserError
from analysis.models.spec import ModelSpec, check_local
from analysis.othello.sources import OthelloSource


def _folder(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "config.json").write_text('{"model_type": "llama"}')
    return path


def _refused(source: str) -> str:
    with pytest.raises(UserError) as caught:
        check_local(ModelSpec(source))
    assert caught.value.field == "model"
    return caught.value.message


@pytest.mark.parametrize("source", ["//host/share", "\\\\host\\share", "/\\host/x.gguf", "\\/host/m", "//host/x.pth"])
def test_a_path_to_another_machine_is_refused(source: str) -> None:
    with pytest.raises(UserError, match="another machine"):
        ModelSpec(source)
    with pytest.raises(UserError, match="another machine"):
        OthelloSource(source)


READ = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "model.safetensors",
    "vocab.txt",
    "chat_template.jinja",
)


@pytest.mark.parametrize("name", READ)
def test_no_file_within_is_a_link_out_of_the_allowed_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = _folder(tmp_path / "root" / "model")
    secret = tmp_path / "secret"
    secret.write_text('{"model_type": "llama"}')
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(secret)
    monkeypatch.setenv("ATTUNE_MODEL_ROOT", str(tmp_path / "root"))
    assert "link out of" in _refused(str(folder))
    monkeypatch.delenv("ATTUNE_MODEL_ROOT")
    assert check_local(ModelSpec(str(folder))) == folder  # nothing is shut where nothing was said


def test_templates_that_lie_in_a_linked_folder_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _folder(tmp_path / "root" / "model")
    (tmp_path / "elsewhere").mkdir()
    (folder / "additional_chat_templates").symlink_to(tmp_path / "elsewhere")
    monkeypatch.setenv("ATTUNE_MODEL_ROOT", str(tmp_path / "root"))
    assert "link out of" in _refused(str(folder))


def test_links_inside_the_allowed_folder_are_how_the_hub_keeps_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "models--a--b" / "snapshots" / "c0ffee"
    blobs = tmp_path / "models--a--b" / "blobs"
    for made in (snapshot, blobs):
        made.mkdir(parents=True)
    (blobs / "1234").write_text('{"model_type": "llama"}')
    (snapshot / "config.json").symlink_to("../../blobs/1234")
    (snapshot / "generation_config.json").symlink_to("../../blobs/gone")
    monkeypatch.setenv("ATTUNE_MODEL_ROOT", str(tmp_path))
    assert check_local(ModelSpec(str(snapshot))) == snapshot


@pytest.mark.parametrize("name", [*READ, "model.gguf"])
def test_pipes_are_refused_before_they_are_opened(tmp_path: Path, name: str) -> None:
    """An open pipe without a writer would hold the worker for ever; this test would then not end."""
    folder = _folder(tmp_path / "model")
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    _refused(str(folder / name if name.endswith(".gguf") else folder))


@pytest.mark.parametrize("name", ["a.gguf", "config.json"])
def test_devices_are_refused(tmp_path: Path, name: str) -> None:
    folder = _folder(tmp_path / "model")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to("/dev/zero")
    _refused(str(folder / name if name.endswith(".gguf") else folder))


def test_othello_checkpoints_that_are_pipes_or_lead_out_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "a.pth")
    with pytest.raises(UserError, match="no plain file"):
        _ = OthelloSource(str(tmp_path / "a.pth")).path
    folder = _folder(tmp_path / "root" / "model")
    (tmp_path / "secret").write_text("x")
    (folder / "model.safetensors").symlink_to(tmp_path / "secret")
    monkeypatch.setenv("ATTUNE_MODEL_ROOT", str(tmp_path / "root"))
    with pytest.raises(UserError, match="link out of") as caught:
        _ = OthelloSource(str(folder)).path
    assert caught.value.field == "source"


INDICES: dict[str, object] = {
    "names a folder above": {"weight_map": {"a": "../model.safetensors"}},
    "names an absolute path": {"weight_map": {"a": "/etc/passwd"}},
    "names another drive": {"weight_map": {"a": "..\\model.safetensors"}},
    "is a list": [1],
    "names nothing": {"weight_map": {}},
    "has no map": {"metadata": {}},
    "has a map of another kind": {"weight_map": ["a"]},
}


@pytest.mark.parametrize("content", INDICES.values(), ids=INDICES)
@pytest.mark.parametrize("stem", ["model.safetensors", "pytorch_model.bin"])
def test_an_index_names_files_of_its_folder_only(tmp_path: Path, stem: str, content: object) -> None:
    folder = _folder(tmp_path / "model")
    (folder / f"{stem}.index.json").write_text(json.dumps(content))
    assert "index.json" in _refused(str(folder))


def _sparse(size: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(size)

    return make


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("config.json", _sparse(5_000_000)),
        ("tokenizer.json", _sparse(600_000_000)),
        ("tokenizer_config.json", _sparse(200_000_000)),
        ("chat_template.jinja", _sparse(5_000_000)),
        ("model.safetensors.index.json", _sparse(200_000_000)),
    ],
    ids=["config", "tokenizer", "tokenizer_config", "template", "index"],
)
def test_files_larger_than_their_kind_are_not_read(tmp_path: Path, name: str, make: Callable[[Path], None]) -> None:
    folder = _folder(tmp_path / "model")
    make(folder / name)
    assert "MB large" in _refused(str(folder))
