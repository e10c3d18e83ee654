"""Naming an OthelloGPT: what passes, what stays closed, and what is said when the hub does not answer."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub import errors

from analysis.errors import UserError
from analysis.models.spec import ModelSpec
from analysis.models.stamp import stamp_of
from analysis.othello import sources
from analysis.othello.checkpoints import to_mingpt, to_transformer_lens
from analysis.othello.model import build, othello_config, save
from analysis.othello.sources import OthelloSource, bundled_folder, load_othello


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one model in three forms, named by ATTUNE_MODEL_ROOT, and a file outside."""
    root = tmp_path / "root"
    (root / "saved").mkdir(parents=True)
    model = build(othello_config(layers=1, width=32, heads=1)).eval()
    save(model, root / "saved")
    torch.save(to_mingpt(model), root / "a.ckpt")
    torch.save(to_transformer_lens(model), root / "b.pth")
    torch.save(to_mingpt(model), tmp_path / "outside.ckpt")
    monkeypatch.setenv("ATTUNE_MODEL_ROOT", str(root))
    return root


def _refused(call: Any) -> str:
    with pytest.raises(UserError) as caught:
        call()
    assert caught.value.field == "source" and caught.value.message.endswith(".")
    return caught.value.message


def test_bundled() -> None:
    source = OthelloSource()
    assert source.text == "bundled" and source.label == "OthelloGPT, bundled"
    assert bundled_folder().parts[-4:] == ("analysis", "data", "othello", "model")
    assert ModelSpec("othello").kind == "folder"  # the same folder under the name of the other pages


@pytest.mark.skipif(not (bundled_folder() / "model.safetensors").exists(), reason="no bundled model yet")
def test_bundled_model_loads_in_full_precision() -> None:
    model = load_othello(OthelloSource())
    assert {p.dtype for p in model.parameters()} == {torch.float32} and model.config.vocab_size == 61
    assert stamp_of(OthelloSource().spec)


def test_no_bundled_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sources, "bundled_folder", lambda: tmp_path / "none")
    assert "no bundled OthelloGPT" in _refused(lambda: load_othello(OthelloSource()))


@pytest.mark.parametrize("name", ["saved", "./saved", "a.ckpt", "b.pth", "saved/model.safetensors", "ABSOLUTE"])
def test_files_and_folders_under_the_root(name: str, files: Path) -> None:
    source = OthelloSource(str(files / "a.ckpt") if name == "ABSOLUTE" else name)
    assert source.path is not None and source.path.is_relative_to(files) and "/" not in source.label
    model = load_othello(source)
    with torch.no_grad():
        found = model(torch.arange(1, 20)[None]).logits
        wanted = load_othello(OthelloSource("saved"))(torch.arange(1, 20)[None]).logits
    assert torch.allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("name", ["../outside.ckpt", "OUTSIDE", "/etc/passwd.pth", "~/x.pth", "link.ckpt", "/"])
def test_paths_stay_under_the_root(name: str, files: Path) -> None:
    os.symlink(files.parent / "outside.ckpt", files / "link.ckpt")
    text = str(files.parent / "outside.ckpt") if name == "OUTSIDE" else name
    assert "one folder only" in _refused(lambda: OthelloSource(text).path)


def test_without_a_root_any_path_may_be_read(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATTUNE_MODEL_ROOT")
    assert OthelloSource(str(files.parent / "outside.ckpt")).path is not None
    monkeypatch.chdir(files)
    assert OthelloSource("a.ckpt").path == files / "a.ckpt"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        None,
        3,
        "a/b/c",
        "http://x/y",
        "a b",
        "x\x00.pth",
        "a\nb.pth",
        "m.gguf",
        "./m.gguf",
        "default",
        "othello",
    ],
)
def test_what_is_no_source(text: object) -> None:
    _refused(lambda: OthelloSource(text))  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["n" * 300 + ".pth", "./" + "n" * 300, "n" * 300, "a" * 600 + ".pth"])
def test_names_longer_than_a_file_may_have(text: str, files: Path) -> None:
    _refused(lambda: OthelloSource(text).path)


def test_absent_files(files: Path) -> None:
    assert "absent.pth" in _refused(lambda: OthelloSource("absent.pth").path)
    assert "none" in _refused(lambda: OthelloSource("./none").path)


def test_stamp_follows_the_file(files: Path) -> None:
    for name in ("a.ckpt", "saved"):
        before = stamp_of(OthelloSource(name).spec)
        assert before and stamp_of(OthelloSource(name).spec) == before
        file = files / (name if name == "a.ckpt" else "saved/model.safetensors")
        os.utime(file, ns=(1, 1))
        assert stamp_of(OthelloSource(name).spec) != before
    assert stamp_of(OthelloSource("owner/name").spec) == ()


class Hub:
    """A hub with some files, or one that answers with an exception."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path, answer: list[str] | Exception) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.answer, self.root = answer, root
        monkeypatch.setattr("huggingface_hub.HfApi", lambda: self)
        monkeypatch.setattr("huggingface_hub.hf_hub_download", self.one)
        monkeypatch.setattr("huggingface_hub.snapshot_download", self.all)
        monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", self.kept)
        self.cache: dict[str, Path] = {}

    def model_info(self, name: str, timeout: float) -> SimpleNamespace:
        assert timeout <= 10
        if isinstance(self.answer, Exception):
            raise self.answer
        return SimpleNamespace(sha="0" * 40, siblings=[SimpleNamespace(rfilename=f) for f in self.answer])

    def one(self, name: str, file: str, revision: str) -> str:
        self.asked.append((name, file))
        return str(self.root / file)

    def all(self, name: str, revision: str, allow_patterns: list[str]) -> str:
        self.asked.append((name, allow_patterns))
        return str(self.root / "saved")

    def kept(self, name: str, file: str) -> str | None:
        return str(self.cache[file]) if file in self.cache else None


def test_hub_model_in_hugging_face_s_layout(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(monkeypatch, files, ["README.md", "config.json", "model.safetensors", "synthetic_model.pth", "run.py"])
    assert load_othello(OthelloSource("owner/name")).config.n_embd == 32
    assert hub.asked == [("owner/name", ["config.json", "model.safetensors", "pytorch_model.bin"])]  # and no code


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        (["x.pth", "synthetic_model.pth", "championship_model.pth"], "synthetic_model.pth"),
        (["README.md", "mine.ckpt"], "mine.ckpt"),
    ],
)
def test_hub_repository_with_a_single_file(
    there: list[str], taken: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (files / "b.pth").rename(files / taken)
    hub = Hub(monkeypatch, files, there)
    assert load_othello(OthelloSource("owner/name")).config.n_layer == 1
    assert hub.asked == [("owner/name", taken)]


def test_hub_repository_with_nothing_known(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for there in (["README.md"], ["x.pth", "y.pth"]):
        Hub(monkeypatch, files, there)
        assert "synthetic_model.pth" in _refused(lambda: load_othello(OthelloSource("owner/name")))


def _answer(kind: type[Exception]) -> Exception:
    error = kind.__new__(kind)
    Exception.__init__(error, "no")
    return error


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (errors.GatedRepoError, "gated"),
        (errors.RepositoryNotFoundError, "no model owner/name"),
        (errors.HfHubHTTPError, "cannot be reached"),
        (errors.HTTPError, "cannot be reached"),
        (ConnectionError, "cannot be reached"),
        (TimeoutError, "cannot be reached"),
    ],
)
def test_hub_that_refuses(kind: type[Exception], said: str, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Hub(monkeypatch, files, _answer(kind))
    assert said in _refused(lambda: load_othello(OthelloSource("owner/name")))


def test_downloads_switched_off(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Hub(monkeypatch, files, ConnectionError("no"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "switched off" in _refused(lambda: load_othello(OthelloSource("owner/name")))


@pytest.mark.parametrize(
    ("file", "place"), [("model.safetensors", "saved/model.safetensors"), ("synthetic_model.pth", "b.pth")]
)
def test_without_a_network_the_cache_serves(
    file: str, place: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = Hub(monkeypatch, files, ConnectionError("no"))
    hub.cache[file] = files / place
    assert load_othello(OthelloSource("owner/name")).config.n_embd == 32
