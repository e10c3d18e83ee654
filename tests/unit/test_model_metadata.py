"""Estimates come from metadata alone, agree with what a load would find, and every fault is a sentence."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from analysis.errors import UserError
from analysis.models.metadata import estimate
from analysis.models.metadata_folder import safetensors_header
from analysis.models.spec import ModelSpec

SMALL = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4}


def _llama(**changes: object) -> LlamaForCausalLM:
    return LlamaForCausalLM(LlamaConfig(**{**SMALL, "num_key_value_heads": 2, **changes}))


def _refusal(path: Path | str) -> str:
    with pytest.raises(UserError) as caught:
        estimate(ModelSpec(str(path)))
    assert caught.value.field == "model" and caught.value.message.endswith(".")
    return caught.value.message


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("shards", [True, False])
def test_safetensors_count_equals_the_loaded_module(tmp_path: Path, tied: bool, shards: bool) -> None:
    model = _llama(tie_word_embeddings=tied).to(torch.bfloat16)
    model.save_pretrained(tmp_path, max_shard_size="4KB" if shards else "1GB")
    found = estimate(ModelSpec(str(tmp_path), dtype="float32", device="cpu"))
    assert found.parameters == model.num_parameters() and found.stored_dtypes == {"bfloat16": found.parameters}
    assert found.bytes_needed == 4 * found.parameters and found.peak_bytes == 6 * found.parameters
    files = list(tmp_path.glob("*.safetensors"))
    assert found.bytes_on_disk == sum(f.stat().st_size for f in files) and (len(files) > 1) == shards
    assert (found.architecture, found.model_type, found.layers, found.heads) == ("LlamaForCausalLM", "llama", 2, 4)
    assert found.fits and "It fits." in found.verdict and 0 < found.host_free <= found.host_total
    assert json.loads(json.dumps(asdict(found))) == asdict(found)
    as_stored = estimate(ModelSpec(str(tmp_path), device="cpu"))
    assert as_stored.dtype == "bfloat16" and as_stored.peak_bytes == as_stored.bytes_needed == 2 * found.parameters


def test_stored_twice_counts_once_only_if_tied(tmp_path: Path) -> None:
    model = _llama(tie_word_embeddings=True)
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(2)
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert estimate(ModelSpec(str(tmp_path))).parameters == model.num_parameters()
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
    assert estimate(ModelSpec(str(tmp_path))).parameters == model.num_parameters() + 50 * 16


def test_gpt2_masks_are_not_parameters(tmp_path: Path) -> None:
    model = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_positions=32, n_embd=16, n_layer=2, n_head=4))
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors |= {f"transformer.h.{i}.attn.bias": torch.ones(1, 1, 32, 32) for i in range(2)}
    save_file(tensors, tmp_path / "model.safetensors")
    found = estimate(ModelSpec(str(tmp_path)))
    assert found.parameters == sum(p.numel() for p in model.parameters())
    assert (found.layers, found.heads) == (2, 4)


def test_without_safetensors_shapes_come_from_the_meta_device(tmp_path: Path) -> None:
    model = _llama(tie_word_embeddings=True)
    model.config.save_pretrained(tmp_path)
    bare = estimate(ModelSpec(str(tmp_path)))
    assert bare.parameters == model.num_parameters() and bare.bytes_on_disk is None
    assert not bare.fits and "no weights" in bare.verdict
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    found = estimate(ModelSpec(str(tmp_path), dtype="float32"))
    assert found.parameters == bare.parameters and found.fits
    assert found.bytes_on_disk == (tmp_path / "pytorch_model.bin").stat().st_size
    assert any("weights_only=True" in note for note in found.notes)


def test_a_model_that_does_not_fit_says_so(tmp_path: Path) -> None:
    config = LlamaConfig(hidden_size=16384, num_hidden_layers=400, intermediate_size=65536, num_attention_heads=128)
    config.save_pretrained(tmp_path)
    torch.save({}, tmp_path / "pytorch_model.bin")
    found = estimate(ModelSpec(str(tmp_path), dtype="bfloat16", device="cpu"))
    assert found.bytes_needed == 2 * found.parameters > 2e12
    assert not found.fits and "does not fit" in found.verdict
    if not found.gpus:
        absent = estimate(ModelSpec(str(tmp_path), device="cuda:0"))
        assert not absent.fits and "no GPU" in absent.verdict


def test_damaged_folders_are_sentences(tmp_path: Path) -> None:
    _llama().save_pretrained(tmp_path, max_shard_size="4KB")
    shard = sorted(tmp_path.glob("*.safetensors"))[0]
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    assert "cut off" in _refusal(tmp_path)
    for broken in (
        b"",
        b"1234",
        struct.pack("<Q", 1 << 60) + whole[8:],
        struct.pack("<Q", 9) + b"[1, 2, 3]",
        whole[:50],
        struct.pack("<Q", 10) + b'{"a": {}} ',
        b"\xff" * 64,
    ):
        shard.write_bytes(broken)
        assert shard.name in _refusal(tmp_path)
    shard.unlink()
    assert "not in the folder" in _refusal(tmp_path)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../../secret.safetensors"}}))
    assert "not in the folder" in _refusal(tmp_path)
    index.unlink()
    for text in (
        "{",
        "[]",
        "{}",
        '{"model_type": "no-such-type"}',
        '{"model_type": 3}',
        '{"model_type": "vit"}',
        '{"model_type": "llama", "num_hidden_layers": 1000000000}',
    ):
        (tmp_path / "config.json").write_text(text)
        assert _refusal(tmp_path)


def test_code_of_a_repository_is_never_run(tmp_path: Path) -> None:
    sign = tmp_path / "ran"
    (tmp_path / "modeling_own.py").write_text(f"open({str(sign)!r}, 'w').close()\nclass Own: pass\n")
    own = {"AutoConfig": "modeling_own.Own", "AutoModelForCausalLM": "modeling_own.Own"}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": own}))
    assert "never runs code" in _refusal(tmp_path)
    _llama().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"auto_map": own}))
    assert any("not run" in note for note in estimate(ModelSpec(str(tmp_path))).notes)
    assert not sign.exists()


def _gguf(path: Path, architecture: str = "llama") -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(str(path), architecture)
    writer.add_block_count(1)
    writer.add_head_count(4)
    tensors = {
        "token_embd.weight": rng.normal(size=(48, 32)).astype(np.float32),
        "blk.0.attn_q.weight": rng.normal(size=(32, 64)).astype(np.float32),
        "rope_freqs.weight": np.ones(4, np.float32),
    }
    for name, values in tensors.items():
        if name.startswith("blk"):
            kind = gguf.GGMLQuantizationType.Q4_1
            writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, values)
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()
    return tensors


def test_gguf_header(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    tensors = _gguf(path)
    found = estimate(ModelSpec(str(path), device="cpu"))
    numbers = {n: t.size for n, t in tensors.items()}
    assert found.stored_dtypes == {"F32": numbers["token_embd.weight"], "Q4_1": numbers["blk.0.attn_q.weight"]}
    assert found.parameters == 48 * 32 + 32 * 64 and found.bytes_needed == 4 * found.parameters
    assert (found.layers, found.heads, found.dtype) == (1, 4, "float32") and len(found.notes) == 1
    assert estimate(ModelSpec(str(path), dtype="float16")).bytes_needed == 2 * found.parameters


def test_every_truncation_of_a_gguf_file_is_refused(tmp_path: Path) -> None:
    whole = tmp_path / "whole.gguf"
    _gguf(whole)
    data = whole.read_bytes()
    # The file ends with padding; what matters is the end of the last tensor.
    reader = gguf.GGUFReader(str(whole))
    end = max(int(t.data_offset) + int(t.n_bytes) for t in reader.tensors)
    cut = tmp_path / "cut.gguf"
    for length in [*range(24, 400, 7), end // 2, end - 1]:
        cut.write_bytes(data[:length])
        assert "cut off" in _refusal(cut), length
    cut.write_bytes(data[:end])
    assert estimate(ModelSpec(str(cut))).parameters == 48 * 32 + 32 * 64
    _gguf(cut, "no-such-architecture")
    assert "architecture" in _refusal(cut)


class _Hub(BaseHTTPRequestHandler):
    """As much of the hub's protocol as an estimate needs, over files of a folder."""

    files: dict[str, bytes]
    protocol_version = "HTTP/1.1"

    def _send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self) -> None:
        sha = "0" * 40
        if "/tiny/slow" in self.path:
            threading.Event().wait(30)
        elif "/tiny/gated" in self.path and "/api/" not in self.path:
            self._send(403, X_Error_Code="GatedRepo", X_Error_Message="Access restricted")
        elif "/tiny/down" in self.path:
            self._send(503)
        elif "/api/models/tiny/ok/revision/no-such" in self.path:
            self._send(404, X_Error_Code="RevisionNotFound")
        elif self.path.startswith(("/api/models/tiny/ok", "/api/models/tiny/gated")):
            siblings = [{"rfilename": name, "size": len(data)} for name, data in self.files.items()]
            body = {"id": "tiny/ok", "modelId": "tiny/ok", "sha": sha, "siblings": siblings}
            self._send(200, json.dumps(body).encode(), Content_Type="application/json")
        elif self.path.startswith("/tiny/ok/resolve/") and self.path.split("/")[-1] in self.files:
            name = self.path.split("/")[-1]
            data, asked = self.files[name], self.headers.get("Range")
            common = {"ETag": f'"{name}"', "X_Repo_Commit": sha}
            if asked:
                first, last = (int(n) for n in asked.removeprefix("bytes=").split("-"))
                self._send(206, data[first : last + 1], **common)
            else:
                self._send(200, data, **common)
        elif self.path.startswith("/tiny/ok/resolve/"):
            self._send(404, X_Error_Code="EntryNotFound", X_Repo_Commit=sha)
        else:
            self._send(401, X_Error_Code="RepoNotFound")

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[str, LlamaForCausalLM]]:
    model = _llama(tie_word_embeddings=True)
    model.save_pretrained(tmp_path / "repo")
    files = {p.name: p.read_bytes() for p in (tmp_path / "repo").iterdir()}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Hub,), {"files": files}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", model
    server.shutdown()
    server.server_close()


ASK = """
import json, sys, time
from dataclasses import asdict
from analysis.errors import UserError
from analysis.models import metadata, metadata_hub
from analysis.models.spec import ModelSpec
answers = {}
for name in sys.argv[1:]:
    source, _, revision = name.partition("@")
    # Only the hub that never answers has to meet the limit: a busy machine may take long over the others.
    metadata_hub.HUB_SECONDS = 1.0 if source == "tiny/slow" else 60.0
    start = time.monotonic()
    try:
        answers[name] = asdict(metadata.estimate(ModelSpec(source, revision=revision or None)))
    except UserError as error:
        answers[name] = error.message
    assert source != "tiny/slow" or time.monotonic() - start < 20, name
print(json.dumps(answers))
"""


def _ask(tmp_path: Path, endpoint: str, *names: str, **more: str) -> dict[str, object]:
    """Estimates in a fresh interpreter: the hub's client reads its settings when it is imported."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("HF_", "HUGGING")) and "proxy" not in n.lower()}
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_DISABLE_XET": "1"}
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", ASK, *names],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=root,
        env=kept | settings | {"PYTHONPATH": root} | more,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_the_hub_and_its_refusals(hub: tuple[str, LlamaForCausalLM], tmp_path: Path) -> None:
    endpoint, model = hub
    names = ("tiny/ok", "tiny/absent", "tiny/gated", "tiny/ok@no-such", "tiny/down", "tiny/slow", "tiny/a--b")
    answers = _ask(tmp_path, endpoint, *names)
    found = answers["tiny/ok"]
    assert isinstance(found, dict), found
    assert found["parameters"] == model.num_parameters() and found["bytes_on_disk"] > 0
    assert not list((tmp_path / "cache").rglob("*.safetensors"))
    for name, words in {
        "tiny/absent": "has no model tiny/absent",
        "tiny/gated": "set HF_TOKEN",
        "tiny/ok@no-such": "no revision no-such",
        "tiny/down": "answered 503",
        "tiny/slow": "cannot be reached",
        "tiny/a--b": "has no model",
    }.items():
        assert words in str(answers[name]), (name, answers[name])
    with_token = _ask(tmp_path, endpoint, "tiny/gated", HF_TOKEN="hf_placeholder")
    assert "accept its terms on its page" in str(with_token["tiny/gated"])


def test_out_of_reach_is_not_absent(hub: tuple[str, LlamaForCausalLM], tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:9"
    assert "cannot be reached" in str(_ask(tmp_path, nowhere, "tiny/ok")["tiny/ok"])
    assert "switched off" in str(_ask(tmp_path, nowhere, "tiny/ok", HF_HUB_OFFLINE="1")["tiny/ok"])
    # With a copy in the cache, the same question is answered from there.
    snapshot = tmp_path / "cache" / "hub" / "models--tiny--ok" / "snapshots" / ("0" * 40)
    snapshot.parent.mkdir(parents=True)
    (tmp_path / "repo").rename(snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0" * 40)
    found = _ask(tmp_path, nowhere, "tiny/ok")["tiny/ok"]
    assert isinstance(found, dict) and found["parameters"] == hub[1].num_parameters() and "cache" in found["origin"]


def test_the_default_model_is_known_before_and_after_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = estimate(ModelSpec())
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    before = estimate(ModelSpec())
    assert before.bytes_on_disk is None and "downloaded" in before.origin
    if here.bytes_on_disk is not None:
        same = ("parameters", "bytes_needed", "layers", "heads", "architecture", "dtype", "stored_dtypes")
        assert [getattr(here, name) for name in same] == [getattr(before, name) for name in same]


def test_header_of_a_real_file_agrees_with_its_tensors(tmp_path: Path) -> None:
    tensors = {
        "a": torch.zeros(3, 5),
        "b": torch.zeros(7, dtype=torch.int64),
        "c": torch.zeros((), dtype=torch.bfloat16),
    }
    save_file(tensors, tmp_path / "x.safetensors")
    found = {t.name: t for t in safetensors_header(tmp_path / "x.safetensors")}
    for name, tensor in tensors.items():
        assert found[name].shape == tuple(tensor.shape) and found[name].numbers == tensor.numel()
        assert f"torch.{found[name].dtype}" == str(tensor.dtype)
        assert found[name].nbytes == tensor.numel() * tensor.element_size()
