"""A specification is the gate through which a browser names a model: what it lets through, and what it tells."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.errors import UserError
from analysis.models.spec import ModelSpec, check_local


@pytest.mark.parametrize("source", ["gpt2", "openai-community/gpt2", "a/b.c-d_e", "A" * 96 + "/" + "b" * 96])
def test_hub_ids_pass(source: str) -> None:
    assert ModelSpec(source).kind == "hub"


@pytest.mark.parametrize(
    "source",
    [
        "",
        "   ",
        "a/b/c",
        "a//b",
        "a..b/c",
        "-a/b",
        "a/-b",
        "a b",
        " gpt2",
        "gpt2\n",
        "gp\x00t2",
        "gpt2\u0085",
        "http://x/y",
        "a" * 97,
        "/" + "a" * 500,
        "\udc80",
        "é/x",
        None,
        3,
        ["gpt2"],
        {"a": 1},
    ],
)
def test_bad_sources_are_refused_with_a_sentence(source: object) -> None:
    with pytest.raises(UserError) as caught:
        ModelSpec(source)  # type: ignore[arg-type]
    assert caught.value.field == "model" and caught.value.message.endswith(".")


@pytest.mark.parametrize(
    "changes",
    [
        {"dtype": "float8"},
        {"dtype": None},
        {"device": "cuda:x"},
        {"device": "cuda:1\n"},
        {"device": 0},
        {"device_map": "balanced"},
        {"revision": "a b"},
        {"revision": "a..b"},
        {"revision": 7},
        {"trust_remote_code": True},
    ],
)
def test_bad_fields_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(UserError) as caught:
        ModelSpec.from_dict({"source": "gpt2", **changes})
    assert caught.value.field == "model"


def test_json_round_trip_and_defaults() -> None:
    spec = ModelSpec("owner/name", revision="v1.0", dtype="bfloat16", device="cuda:1", device_map="auto")
    assert ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    assert ModelSpec.from_dict({}) == ModelSpec() and ModelSpec().kind == "default"
    assert ModelSpec.from_dict({"source": "gpt2", "revision": ""}).revision is None
    for data in (None, [], {3: 4}, {"path": "x"}):
        with pytest.raises(UserError):
            ModelSpec.from_dict(data)


def test_kinds_and_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATTUNE_MODEL_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert ModelSpec("mine").kind == "hub"
    (tmp_path / "mine").mkdir()
    assert ModelSpec("mine").kind == "folder"
    for source in ("./x", "../x", "~/x", str(tmp_path / "x"), "~no-such-user-here/x"):
        assert (ModelSpec(source).kind, ModelSpec(source).label) == ("folder", "x")
    assert (ModelSpec("deep/Small.Q4.GGUF").kind, ModelSpec("deep/Small.Q4.GGUF").label) == ("gguf", "Small.Q4")
    assert ModelSpec("owner/name").label == "name"
    assert ModelSpec("owner/name", revision="main").label == "name at main"
    assert ModelSpec(".").label == tmp_path.name
    with pytest.raises(UserError):
        ModelSpec("./x", revision="main")


def _refusal(source: str) -> str:
    with pytest.raises(UserError) as caught:
        check_local(ModelSpec(source))
    assert caught.value.field == "model"
    return caught.value.message


def test_each_local_fault_has_its_own_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATTUNE_MODEL_ROOT", raising=False)
    empty, adapter, only = (tmp_path / n for n in ("empty", "adapter", "only"))
    for folder in (empty, adapter, only):
        folder.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    (only / "a.gguf").write_bytes(b"GGUF" + bytes(30))
    (tmp_path / "file").write_text("x")
    (tmp_path / "text.gguf").write_text("version https://example.invalid/pointer of some length")
    (tmp_path / "short.gguf").write_bytes(b"GGUF\x03\x00")
    messages = [
        _refusal(str(tmp_path / name))
        for name in ("missing", "file", "empty", "adapter", "only", "missing.gguf", "text.gguf", "short.gguf")
    ]
    assert len(set(messages)) == len(messages)
    assert "no config.json" in messages[2] and "adapter" in messages[3] and "a.gguf" in messages[4]
    assert "not a GGUF file" in messages[6] and "not complete" in messages[7]
    assert not any(str(tmp_path) in message for message in messages)
    (empty / "config.json").write_text("{}")
    assert check_local(ModelSpec(str(empty))) == empty.resolve()
    assert check_local(ModelSpec(str(only / "a.gguf"))) == (only / "a.gguf").resolve()
    assert check_local(ModelSpec()) is None and check_local(ModelSpec("gpt2")) is None


def test_model_root_confines_local_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root / "in", outside):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
    (root / "link").symlink_to(outside)
    monkeypatch.setenv("ATTUNE_MODEL_ROOT", str(root))
    monkeypatch.chdir(tmp_path)
    assert check_local(ModelSpec(str(root / "in"))) == (root / "in").resolve()
    assert check_local(ModelSpec("in")) == check_local(ModelSpec("./in")) == (root / "in").resolve()
    # Existing and missing places outside are refused alike, so that nobody can ask what else is on the disk.
    sources = (str(outside), "./link", "../outside", str(tmp_path / "nothing"), "../x.gguf", "~no-such-user-here/x")
    assert len({_refusal(source) for source in sources}) == 1
    assert ModelSpec("outside").kind == "hub"
    assert ModelSpec("owner/name").kind == "hub"


def test_the_web_process_can_import_it_without_torch() -> None:
    code = (
        "import sys, analysis.models.spec; print([m for m in ('torch', 'transformers', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
