"""Foreign checkpoints: random weights through each layout and back, and sentences for files that are none."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F
from transformers import GPT2LMHeadModel

from analysis.errors import UserError
from analysis.othello import checkpoints
from analysis.othello.checkpoints import (
    centred,
    from_tensors,
    layout_of,
    load_checkpoint,
    load_folder,
    read_tensors,
    to_mingpt,
    to_transformer_lens,
)
from analysis.othello.games import random_tokens
from analysis.othello.model import build, othello_config, save

WIDTH, HEADS, LAYERS = 32, 4, 2


def _random(dtype: torch.dtype = torch.float64) -> GPT2LMHeadModel:
    """A network in which every parameter counts, the biases and gains of the norms included."""
    generator = torch.Generator().manual_seed(5)
    model = build(othello_config(layers=LAYERS, width=WIDTH, heads=HEADS, mlp=48))
    for name, p in model.named_parameters():
        p.data = torch.randn(p.shape, generator=generator) * (0.3 if p.ndim == 2 else 0.5) + (
            1 if ".ln_" in name and name.endswith("weight") else 0
        )
    return model.to(dtype).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def ids() -> Tensor:
    return torch.from_numpy(random_tokens(3, 3)[:, :59].astype("int64"))


def _both(model: GPT2LMHeadModel, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (B, 59, 61) and the residual stream after every block (layers, B, 59, width)."""
    seen: list[Tensor] = []
    hooks = [b.register_forward_hook(lambda _m, _i, out: seen.append(_first(out))) for b in model.transformer.h]
    try:
        logits = model(ids, use_cache=False).logits
    finally:
        for hook in hooks:
            hook.remove()
    return logits, torch.stack(seen)


def _first(out: Any) -> Tensor:
    return out if isinstance(out, Tensor) else out[0]


def _by_hand_mingpt(t: dict[str, Tensor], ids: Tensor, heads: int) -> Tensor:
    """The logits of minGPT's network, written down from its definition."""
    x = t["tok_emb.weight"][ids] + t["pos_emb"][:, : ids.shape[1]]
    d = x.shape[-1]
    for i in range(LAYERS):
        b = f"blocks.{i}."
        y = F.layer_norm(x, (d,), t[f"{b}ln1.weight"], t[f"{b}ln1.bias"])
        q, k, v = (
            F.linear(y, t[f"{b}attn.{n}.weight"], t[f"{b}attn.{n}.bias"]).unflatten(-1, (heads, -1)).transpose(1, 2)
            for n in ("query", "key", "value")
        )
        scores = q @ k.mT / (d // heads) ** 0.5
        scores = scores.masked_fill(t[f"{b}attn.mask"][0, 0, : x.shape[1], : x.shape[1]] == 0, float("-inf"))
        z = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = x + F.linear(z, t[f"{b}attn.proj.weight"], t[f"{b}attn.proj.bias"])
        y = F.layer_norm(x, (d,), t[f"{b}ln2.weight"], t[f"{b}ln2.bias"])
        y = F.gelu(F.linear(y, t[f"{b}mlp.0.weight"], t[f"{b}mlp.0.bias"]))
        x = x + F.linear(y, t[f"{b}mlp.2.weight"], t[f"{b}mlp.2.bias"])
    return F.linear(F.layer_norm(x, (d,), t["ln_f.weight"], t["ln_f.bias"]), t["head.weight"])


def _by_hand_lens(t: dict[str, Tensor], ids: Tensor) -> Tensor:
    """The logits of TransformerLens' network with LNPre, written down from its definition."""
    x = t["embed.W_E"][ids] + t["pos_embed.W_pos"][: ids.shape[1]]
    mask = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).tril()
    for i in range(LAYERS):
        b = f"blocks.{i}."
        y = F.layer_norm(x, x.shape[-1:])
        q, k, v = (torch.einsum("btd,hdk->bhtk", y, t[f"{b}attn.W_{n}"]) + t[f"{b}attn.b_{n}"][:, None] for n in "QKV")
        scores = (q @ k.mT / k.shape[-1] ** 0.5).masked_fill(~mask, float("-inf"))
        x = x + torch.einsum("bhtk,hkd->btd", scores.softmax(-1) @ v, t[f"{b}attn.W_O"]) + t[f"{b}attn.b_O"]
        y = F.gelu(F.layer_norm(x, x.shape[-1:]) @ t[f"{b}mlp.W_in"] + t[f"{b}mlp.b_in"])
        x = x + y @ t[f"{b}mlp.W_out"] + t[f"{b}mlp.b_out"]
    return F.layer_norm(x, x.shape[-1:]) @ t["unembed.W_U"] + t["unembed.b_U"]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_mingpt_and_back(dtype: torch.dtype, tolerance: float, ids: Tensor) -> None:
    model = _random(dtype)
    tensors = to_mingpt(model)
    assert layout_of(tensors) == "mingpt" and tensors["blocks.1.attn.mask"].shape == (1, 1, 59, 59)
    again = from_tensors(tensors, HEADS, dtype=dtype)
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in model.state_dict().items())
    (a, x), (b, y) = _both(model, ids), _both(again, ids)
    assert torch.equal(a, b) and torch.equal(x, y)
    by_hand = _by_hand_mingpt(tensors, ids, HEADS)
    assert float((by_hand - a).abs().max()) < tolerance * float(a.abs().max())


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
@pytest.mark.parametrize("centre", [False, True])
def test_transformer_lens_and_back(dtype: torch.dtype, tolerance: float, centre: bool, ids: Tensor) -> None:
    model = _random(dtype)
    tensors = to_transformer_lens(model, centre)
    assert layout_of(tensors) == "transformer_lens"
    assert tensors["blocks.0.attn.W_Q"].shape == (HEADS, WIDTH, WIDTH // HEADS)
    again = from_tensors(tensors, dtype=dtype)
    assert again.config.n_head == HEADS
    (a, x), (b, y) = _both(model, ids), _both(again, ids)
    scale = float(a.abs().max())
    assert float((_by_hand_lens(tensors, ids) - a).abs().max()) < tolerance * scale
    assert float((a - b).abs().max()) < tolerance * scale
    # Folding moves nothing that is written; centring takes the mean over the width out of it.
    wanted = x - x.mean(-1, keepdim=True) if centre else x
    assert float((wanted - y).abs().max()) < tolerance * float(x.abs().max())
    assert not centre or float(x.mean(-1).abs().max()) > 0.1
    assert centred(again) == centre and not centred(model)


def test_bias_of_the_unembedding_when_it_can_only_be_met_up_to_a_constant(ids: Tensor) -> None:
    """With W_U centred over the vocabulary, a constant in b_U has no place; probabilities stay the same without it."""
    model = _random()
    tensors = to_transformer_lens(model)
    tensors["unembed.W_U"] = tensors["unembed.W_U"] - tensors["unembed.W_U"].mean(-1, keepdim=True)
    tensors["unembed.b_U"] = tensors["unembed.b_U"] + 3
    again = from_tensors(tensors, dtype=torch.float64)
    a, b = model(ids).logits.log_softmax(-1), again(ids).logits.log_softmax(-1)
    assert float((a - b).abs().max()) < 1e-9


def test_bias_of_the_unembedding_that_cannot_be_met() -> None:
    tensors = to_transformer_lens(_random())
    tensors["unembed.b_U"] = torch.linspace(-1, 1, 61, dtype=torch.float64) ** 3
    assert "unembed.b_U" in _refused(lambda: from_tensors(tensors))


def _write(path: Path, what: Any) -> Path:
    torch.save(what, path)
    return path


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model.", "_orig_mod."])
def test_wrappers_and_prefixes(wrapper: str | None, prefix: str, tmp_path: Path) -> None:
    tensors = to_mingpt(_random(torch.float32))
    named: Any = {prefix + k: v for k, v in tensors.items()}
    path = _write(tmp_path / "m.ckpt", {wrapper: named, "epoch": 3} if wrapper else named)
    found = read_tensors(path)
    assert found.keys() == tensors.keys()


@pytest.mark.parametrize("layout", ["mingpt", "transformer_lens", "huggingface"])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_files_of_each_layout(layout: str, suffix: str, tmp_path: Path, ids: Tensor) -> None:
    model = _random(torch.float32)
    tensors = {
        "mingpt": lambda: to_mingpt(model),
        "transformer_lens": lambda: to_transformer_lens(model),
        "huggingface": lambda: dict(model.state_dict()),
    }[layout]()
    path = tmp_path / f"m.{suffix}"
    if suffix == "pth":
        _write(path, tensors)
    else:
        save_file({k: v.contiguous() for k, v in tensors.items()}, path)
    loaded = load_checkpoint(path, HEADS)
    assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())
    assert torch.allclose(loaded(ids).logits, model(ids).logits, atol=1e-3, rtol=1e-4)


def test_half_precision_is_read_into_float32(tmp_path: Path, ids: Tensor) -> None:
    model = _random(torch.float32)
    save(model.to(torch.float16), tmp_path)
    loaded = load_folder(tmp_path)
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    assert torch.equal(loaded(ids).logits, model.to(torch.float32)(ids).logits)


def test_folder_keeps_its_configuration(tmp_path: Path, ids: Tensor) -> None:
    model = GPT2LMHeadModel(othello_config(layers=2, width=48, heads=3, epsilon=1e-3, activation="gelu_new")).eval()
    save(model, tmp_path)
    for loaded in (load_folder(tmp_path), load_checkpoint(tmp_path), load_checkpoint(tmp_path / "model.safetensors")):
        assert (loaded.config.n_head, loaded.config.layer_norm_epsilon) == (3, 1e-3)
        assert torch.equal(loaded(ids).logits, model(ids).logits)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    assert torch.equal(load_folder(tmp_path)(ids).logits, model(ids).logits)


@pytest.mark.parametrize(("width", "heads"), [(512, 8), (128, 4), (256, 8), (384, 6), (64, 2)])
def test_heads_that_mingpt_does_not_store(width: int, heads: int) -> None:
    model = build(othello_config(layers=1, width=width, heads=heads, mlp=8))
    assert from_tensors(to_mingpt(model)).config.n_head == heads


def test_heads_that_do_not_divide() -> None:
    assert "5 heads" in _refused(lambda: from_tensors(to_mingpt(_random()), 5))


def _refused(call: Any) -> str:
    with pytest.raises(UserError) as caught:
        call()
    assert caught.value.field == "source" and caught.value.message.endswith(".")
    return caught.value.message


LAYOUTS = {"mingpt": to_mingpt, "transformer_lens": to_transformer_lens, "huggingface": lambda m: dict(m.state_dict())}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_missing_tensors_are_named(layout: str) -> None:
    tensors = LAYOUTS[layout](_random(torch.float32))
    gone = [k for k in tensors if k.startswith(("blocks.1.", "transformer.h.1.")) and "mask" not in k][:5]
    for k in gone:
        del tensors[k]
    message = _refused(lambda: from_tensors(tensors, HEADS, "m.pth"))
    assert message.startswith("m.pth lacks ") and sum(k in message for k in gone) == 3 and "and 2 more" in message


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_single_missing_or_misshapen_tensor_is_noticed(layout: str) -> None:
    tensors = LAYOUTS[layout](_random(torch.float32))
    for name in tensors:
        if name.endswith(".mask"):
            continue
        less = {k: v for k, v in tensors.items() if k != name}
        _refused(lambda less=less: from_tensors(less, HEADS))
        more = {**tensors, name: torch.cat([tensors[name]] * 2, -1)}
        _refused(lambda more=more: from_tensors(more, HEADS))


def test_a_block_left_out() -> None:
    tensors = {k: v for k, v in to_mingpt(_random()).items() if not k.startswith("blocks.0.")}
    assert "blocks" in _refused(lambda: from_tensors(tensors))
    odd = {**to_mingpt(_random()), "blocks.extra.weight": torch.zeros(1)}
    assert "blocks" in _refused(lambda: from_tensors(odd))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("vocabulary", "positions", "said"), [(32, 31, "6x6"), (50, 59, "50"), (61, 60, "60 positions")]
)
def test_another_game(layout: str, vocabulary: int, positions: int, said: str) -> None:
    tensors = LAYOUTS[layout](_random(torch.float32))
    names = {"mingpt": ("tok_emb.weight", "pos_emb"), "transformer_lens": ("embed.W_E", "pos_embed.W_pos")}
    table, place = names.get(layout, ("transformer.wte.weight", "transformer.wpe.weight"))
    tensors[table] = torch.zeros(vocabulary, WIDTH)
    tensors[place] = torch.zeros((1, positions, WIDTH) if place == "pos_emb" else (positions, WIDTH))
    assert said in _refused(lambda: from_tensors(tensors, HEADS))


def test_another_game_in_a_folder(tmp_path: Path) -> None:
    config = othello_config(layers=1, width=32, heads=2)
    config.vocab_size, config.n_positions = 32, 31
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    assert "6x6" in _refused(lambda: load_folder(tmp_path))


def test_nanogpt_is_told_apart() -> None:
    tensors: dict[str, Tensor] = {}
    for name, value in _random(torch.float32).state_dict().items():
        if name.endswith("bias"):
            continue
        tensors[name] = value.T.contiguous() if "c_" in name else value
    message = _refused(lambda: from_tensors(tensors, HEADS))
    assert "nanoGPT" in message and "transformer.h.0.attn.c_attn.bias" in message and "more" in message


def test_norms_that_were_not_folded() -> None:
    tensors = {**to_transformer_lens(_random()), "blocks.0.ln1.w": torch.ones(WIDTH)}
    assert "fold_ln" in _refused(lambda: from_tensors(tensors))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_broken_values(value: float) -> None:
    tensors = to_mingpt(_random(torch.float32))
    tensors["blocks.0.mlp.0.bias"][3] = value
    assert "no numbers" in _refused(lambda: from_tensors(tensors, HEADS))


def test_names_of_no_known_layout() -> None:
    assert "tok_emb.weight" in _refused(lambda: from_tensors({"a": torch.zeros(1)}))


class Evil:
    """Runs when it is unpickled."""

    ran = False

    def __reduce__(self) -> tuple[Any, ...]:
        return setattr, (Evil, "ran", True)


def test_objects_are_refused_and_nothing_runs(tmp_path: Path) -> None:
    path = _write(tmp_path / "m.ckpt", {"state_dict": to_mingpt(_random()), "extra": Evil()})
    assert "Python objects" in _refused(lambda: read_tensors(path))
    whole = _write(tmp_path / "whole.pth", _random())
    assert "Python objects" in _refused(lambda: read_tensors(whole))
    old = tmp_path / "old.pkl"
    old.write_bytes(pickle.dumps(Evil(), protocol=2))
    _refused(lambda: read_tensors(old))
    assert not Evil.ran
    pickle.loads(old.read_bytes())  # noqa: S301
    assert Evil.ran  # so that the test above would have noticed


@pytest.mark.parametrize("suffix", ["pth", "safetensors", "bin"])
@pytest.mark.parametrize("content", [b"", b"hello, this is no checkpoint\n" * 20, b"PK\x03\x04 cut off", b"\x80\x02"])
def test_files_that_are_no_checkpoints(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"m.{suffix}"
    path.write_bytes(content)
    assert "m." in _refused(lambda: load_checkpoint(path))


def test_text_is_not_taken_for_objects(tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    path.write_text("version https://git-lfs.github.com/spec/v1\n")
    assert "not a checkpoint" in _refused(lambda: load_checkpoint(path))


@pytest.mark.parametrize("what", [{}, [1, 2], torch.zeros(3), {"a": 1}, {"state_dict": {"a": torch.zeros(1), "b": 2}}])
def test_files_without_named_tensors(what: Any, tmp_path: Path) -> None:
    _refused(lambda: load_checkpoint(_write(tmp_path / "m.pth", what)))


def test_a_cut_download(tmp_path: Path) -> None:
    whole = _write(tmp_path / "m.pth", to_mingpt(_random())).read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    assert "cut.pth" in _refused(lambda: load_checkpoint(tmp_path / "cut.pth"))


def test_no_file_and_a_huge_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "absent.pth" in _refused(lambda: load_checkpoint(tmp_path / "absent.pth"))
    path = _write(tmp_path / "m.pth", to_mingpt(_random()))
    monkeypatch.setattr(checkpoints, "MAX_BYTES", 1000)
    assert "larger" in _refused(lambda: load_checkpoint(path))


def test_folders_that_hold_something_else(tmp_path: Path) -> None:
    assert "config.json" in _refused(lambda: load_folder(tmp_path))
    save(build(othello_config(layers=2, width=32, heads=2)), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for change, said in (
        ({"n_layer": 3}, "2 of width 32"),
        ({"n_layer": 10**9}, "so many layers"),
        ({"n_embd": 64}, "width 64"),
        ({"n_inner": 16}, "c_fc"),
        ({"model_type": "llama"}, "llama"),
        ({"n_layer": "two"}, "config.json"),
    ):
        (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
        assert said in _refused(lambda: load_folder(tmp_path)), change
    (tmp_path / "config.json").write_text("{")
    assert "config.json" in _refused(lambda: load_folder(tmp_path))


@pytest.mark.parametrize("write", [to_mingpt, to_transformer_lens, lambda m: dict(m.state_dict())])
def test_buffers_that_no_layout_uses_are_not_looked_at(write: Any, ids: Tensor) -> None:
    # A running TransformerLens model registers a mask and minus infinity in each layer, older GPT-2s a mask and -1e4.
    model = _random(torch.float32)
    tensors = write(model)
    stem = "transformer.h" if "lm_head.weight" in tensors else "blocks"
    for i in range(LAYERS):
        tensors |= {
            f"{stem}.{i}.attn.mask": torch.ones(59, 59).tril().bool(),
            f"{stem}.{i}.attn.IGNORE": torch.tensor(-torch.inf),
            f"{stem}.{i}.attn.masked_bias": torch.tensor(torch.nan),
            f"{stem}.{i}.attn.bias": torch.zeros(1, dtype=torch.complex64),
        }
    assert torch.allclose(from_tensors(tensors, HEADS)(ids).logits, model(ids).logits, atol=1e-3)


@pytest.mark.parametrize("prefix", ["_orig_mod.module.", "module._orig_mod.", "model._orig_mod.module."])
def test_wrappers_that_lie_in_each_other(prefix: str, tmp_path: Path) -> None:
    tensors = to_mingpt(_random(torch.float32))
    torch.save({prefix + k: v for k, v in tensors.items()}, tmp_path / "a.pth")
    assert read_tensors(tmp_path / "a.pth").keys() == tensors.keys()


@pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.complex64])
@pytest.mark.parametrize("write", [to_mingpt, to_transformer_lens, lambda m: m.state_dict()])
def test_weights_that_are_no_real_numbers_are_refused(write: Any, dtype: torch.dtype) -> None:
    tensors = {k: v.to(dtype) for k, v in write(_random(torch.float32)).items()}
    with pytest.raises(UserError, match="floating-point") as refused:
        from_tensors(tensors, HEADS)
    assert refused.value.field == "source"


def test_a_weight_that_is_not_finite_is_refused_in_every_layout() -> None:
    for write, name in ((to_mingpt, "blocks.1.mlp.0.weight"), (to_transformer_lens, "blocks.0.attn.b_Q")):
        tensors = write(_random(torch.float32))
        tensors[name].view(-1)[3] = -torch.inf
        assert "no numbers" in _refused(lambda tensors=tensors: from_tensors(tensors, HEADS))
