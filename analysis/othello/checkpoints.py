"""OthelloGPT checkpoints of the community, read into the one network of the house and written back.

Two layouts are in use besides Hugging Face's own. minGPT's has query, key and value as matrices of their own and is
exact. TransformerLens' has them by head and its layer norms without gain and bias ("LNPre"): those were folded into the
matrices that follow, so gains become one and biases zero, and the bias of the unembedding, for which GPT-2 has no
place, goes into the bias of the last norm, where it gives the same logits. Files are told apart by the names of their
tensors and read with ``weights_only``, so nothing in a file is ever run.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from analysis.errors import UserError
from analysis.othello.model import othello_config
from analysis.othello.squares import POSITIONS, VOCABULARY

Tensors = dict[str, Tensor]
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "model.")


def load_folder(path: Path) -> GPT2LMHeadModel:
    """A saved Hugging Face OthelloGPT in float32. Raises UserError(field="source")."""
    try:
        config = GPT2Config.from_pretrained(path, local_files_only=True)
        _check_shape(config.vocab_size, config.n_positions)
        model: GPT2LMHeadModel = GPT2LMHeadModel.from_pretrained(
            path, local_files_only=True, dtype=torch.float32, weights_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as error:
        raise _bad(f"The folder {path.name} does not hold a saved OthelloGPT (config.json and its weights).") from error
    return model.eval().requires_grad_(False)  # type: ignore[no-any-return]


def load_checkpoint(path: Path, heads: int | None = None) -> GPT2LMHeadModel:
    """A checkpoint file in minGPT's, TransformerLens' or Hugging Face's layout, in float32 and evaluation mode.

    ``heads``: for minGPT's layout, which does not store it; by default 8 if the width is 512, else width / 32 or 64.
    Raises UserError(field="source") for anything that is not such a file; the sentence says what it is.
    """
    return from_tensors(read_tensors(path), heads, path.name)


def read_tensors(path: Path) -> Tensors:
    """The tensors of a file by name, wrappers and prefixes taken off. Raises UserError(field="source")."""
    try:
        data: Any
        if path.suffix.lower() == ".safetensors":
            data = load_file(path)
        else:
            data = torch.load(path, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        raise _bad(
            f"{path.name} holds Python objects besides tensors, which are not read since they could run code. Save its "
            "state_dict alone."
        ) from error
    except (OSError, RuntimeError, ValueError, EOFError, SafetensorError) as error:
        raise _bad(f"{path.name} cannot be read as a checkpoint. Download it again.") from error
    for name in _WRAPPERS:
        if isinstance(data, Mapping) and isinstance(data.get(name), Mapping):
            data = data[name]
    if not isinstance(data, Mapping) or not data or not all(isinstance(v, Tensor) for v in data.values()):
        raise _bad(f"{path.name} holds no named tensors, so it is not a checkpoint of a network.")
    tensors = {str(k): v for k, v in data.items()}
    for prefix in _PREFIXES:
        if all(k.startswith(prefix) for k in tensors):
            tensors = {k[len(prefix) :]: v for k, v in tensors.items()}
    return tensors


def layout_of(tensors: Mapping[str, Tensor]) -> str:
    """``"mingpt"``, ``"transformer_lens"`` or ``"huggingface"``, by the names. Raises UserError(field="source")."""
    if "tok_emb.weight" in tensors:
        return "mingpt"
    if "embed.W_E" in tensors:
        return "transformer_lens"
    if "transformer.wte.weight" in tensors:
        return "huggingface"
    raise _bad(
        "The tensors of this file are named like no OthelloGPT that is known: neither tok_emb.weight (minGPT) nor "
        "embed.W_E (TransformerLens) nor transformer.wte.weight (Hugging Face) is there."
    )


def from_tensors(tensors: Tensors, heads: int | None = None, name: str = "This file") -> GPT2LMHeadModel:
    """The network of named tensors in any of the three layouts. Raises UserError(field="source")."""
    layout = layout_of(tensors)
    tensors = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
    if layout == "mingpt":
        config, state = _from_mingpt(_Named(tensors, name), heads)
    elif layout == "transformer_lens":
        config, state = _from_lens(_Named(tensors, name))
    else:
        config, state = _from_hugging_face(_Named(tensors, name), heads)
    model = GPT2LMHeadModel(config)
    model.load_state_dict(state)
    return model.eval().requires_grad_(False)  # type: ignore[no-any-return]


class _Named:
    """Tensors that are asked for by name and shape; what is missing or misshapen is said together, by name."""

    def __init__(self, tensors: Tensors, file: str) -> None:
        self.tensors, self.file = tensors, file

    def __call__(self, name: str, *shape: int) -> Tensor:
        if name not in self.tensors:
            raise _bad(f"{self.file} lacks the tensor {name}; the checkpoint is not complete. Download it again.")
        found = self.tensors[name]
        if found.shape != shape:
            raise _bad(
                f"{self.file}: {name} has the shape {tuple(found.shape)}, where this network needs {shape}. It is "
                "another network, or a damaged file."
            )
        return found

    def two(self, name: str) -> tuple[int, int]:
        if name not in self.tensors:
            raise _bad(f"{self.file} lacks the tensor {name}; the checkpoint is not complete. Download it again.")
        if self.tensors[name].ndim != 2:
            raise _bad(f"{self.file}: {name} is not a matrix, so it is another network.")
        a, b = self.tensors[name].shape
        return int(a), int(b)

    def blocks(self, stem: str) -> int:
        found = {int(k.split(".")[at]) for k in self.tensors if k.startswith(stem) for at in [stem.count(".")]}
        if not found or found != set(range(len(found))):
            raise _bad(f"{self.file} has no complete row of blocks; the checkpoint is not complete.")
        return len(found)


def _check_shape(vocabulary: int, positions: int) -> None:
    if vocabulary != VOCABULARY:
        board = " That is the 6 × 6 board." if vocabulary in (32, 33) else ""
        raise _bad(
            f"This model has a vocabulary of {vocabulary} tokens, not the {VOCABULARY} of the 8 × 8 board (60 squares "
            f"and padding).{board}"
        )
    if positions != POSITIONS:
        raise _bad(f"This model reads {positions} positions, where a game of Othello gives {POSITIONS}.")


def _from_mingpt(get: _Named, heads: int | None) -> tuple[GPT2Config, Tensors]:
    vocabulary, d = get.two("tok_emb.weight")
    positions = get.tensors["pos_emb"].shape[1] if get.tensors.get("pos_emb", torch.zeros(0)).ndim == 3 else POSITIONS
    _check_shape(vocabulary, positions)
    layers = get.blocks("blocks.")
    m = get.two("blocks.0.mlp.0.weight")[0]
    if heads is None:
        heads = 8 if d == 512 else max(1, d // (64 if d % 64 == 0 and d > 256 else 32))
    if d % heads:
        raise _bad(f"A width of {d} cannot be split into {heads} heads.")
    config = othello_config(layers=layers, width=d, heads=heads, mlp=m)
    state = {"transformer.wte.weight": get("tok_emb.weight", vocabulary, d)}
    state["transformer.wpe.weight"] = get("pos_emb", 1, positions, d)[0]
    for i in range(layers):
        b, t = f"blocks.{i}.", f"transformer.h.{i}."
        for a, c in (("ln1", "ln_1"), ("ln2", "ln_2")):
            state |= {f"{t}{c}.{n}": get(f"{b}{a}.{n}", d) for n in ("weight", "bias")}
        names = ("query", "key", "value")
        state[f"{t}attn.c_attn.weight"] = torch.cat([get(f"{b}attn.{n}.weight", d, d).T for n in names], 1)
        state[f"{t}attn.c_attn.bias"] = torch.cat([get(f"{b}attn.{n}.bias", d) for n in names])
        state[f"{t}attn.c_proj.weight"] = get(f"{b}attn.proj.weight", d, d).T
        state[f"{t}attn.c_proj.bias"] = get(f"{b}attn.proj.bias", d)
        state[f"{t}mlp.c_fc.weight"] = get(f"{b}mlp.0.weight", m, d).T
        state[f"{t}mlp.c_fc.bias"] = get(f"{b}mlp.0.bias", m)
        state[f"{t}mlp.c_proj.weight"] = get(f"{b}mlp.2.weight", d, m).T
        state[f"{t}mlp.c_proj.bias"] = get(f"{b}mlp.2.bias", d)
    state |= {f"transformer.ln_f.{n}": get(f"ln_f.{n}", d) for n in ("weight", "bias")}
    state["lm_head.weight"] = get("head.weight", vocabulary, d)
    return config, {k: v.contiguous() for k, v in state.items()}


def to_mingpt(model: GPT2LMHeadModel) -> Tensors:
    """The tensors of a network in minGPT's layout, with its attention masks as that code stores them."""
    s, d = model.state_dict(), int(model.config.n_embd)
    out = {"tok_emb.weight": s["transformer.wte.weight"], "pos_emb": s["transformer.wpe.weight"][None]}
    for i in range(int(model.config.n_layer)):
        b, t = f"blocks.{i}.", f"transformer.h.{i}."
        for a, c in (("ln1", "ln_1"), ("ln2", "ln_2")):
            out |= {f"{b}{a}.{n}": s[f"{t}{c}.{n}"] for n in ("weight", "bias")}
        for j, n in enumerate(("query", "key", "value")):
            part = slice(j * d, (j + 1) * d)
            out[f"{b}attn.{n}.weight"] = s[f"{t}attn.c_attn.weight"][:, part].T
            out[f"{b}attn.{n}.bias"] = s[f"{t}attn.c_attn.bias"][part]
        out[f"{b}attn.proj.weight"] = s[f"{t}attn.c_proj.weight"].T
        out[f"{b}attn.proj.bias"] = s[f"{t}attn.c_proj.bias"]
        out[f"{b}attn.mask"] = torch.tril(torch.ones(POSITIONS, POSITIONS))[None, None]
        for a, c in (("mlp.0", "c_fc"), ("mlp.2", "c_proj")):
            out[f"{b}{a}.weight"] = s[f"{t}mlp.{c}.weight"].T
            out[f"{b}{a}.bias"] = s[f"{t}mlp.{c}.bias"]
    out |= {f"ln_f.{n}": s[f"transformer.ln_f.{n}"] for n in ("weight", "bias")}
    out["head.weight"] = s["lm_head.weight"]
    return {k: v.clone().contiguous() for k, v in out.items()}


def _from_lens(get: _Named) -> tuple[GPT2Config, Tensors]:
    vocabulary, d = get.two("embed.W_E")
    positions = get.two("pos_embed.W_pos")[0]
    _check_shape(vocabulary, positions)
    layers = get.blocks("blocks.")
    if any(".ln1.w" in k or k == "ln_final.w" for k in get.tensors):
        raise _bad(
            f"{get.file} keeps layer norms of its own (TransformerLens without folding). Save it with fold_ln=True."
        )
    first = get.tensors.get("blocks.0.attn.W_Q", torch.zeros(0))
    if first.ndim != 3:
        raise _bad(f"{get.file} lacks blocks.0.attn.W_Q by heads; the checkpoint is not complete.")
    h, k = int(first.shape[0]), int(first.shape[2])
    if h * k != d:
        raise _bad(f"{get.file} has {h} heads of width {k}, which do not make up the width {d}.")
    m = get.two("blocks.0.mlp.W_in")[1]
    config = othello_config(layers=layers, width=d, heads=h, mlp=m)
    one, zero = torch.ones(d), torch.zeros(d)
    state = {
        "transformer.wte.weight": get("embed.W_E", vocabulary, d),
        "transformer.wpe.weight": get("pos_embed.W_pos", positions, d),
    }
    for i in range(layers):
        b, t = f"blocks.{i}.", f"transformer.h.{i}."
        state |= {f"{t}ln_{n}.weight": one for n in (1, 2)} | {f"{t}ln_{n}.bias": zero for n in (1, 2)}
        parts = [get(f"{b}attn.W_{n}", h, d, k).permute(1, 0, 2).reshape(d, d) for n in "QKV"]
        state[f"{t}attn.c_attn.weight"] = torch.cat(parts, 1)
        state[f"{t}attn.c_attn.bias"] = torch.cat([get(f"{b}attn.b_{n}", h, k).reshape(d) for n in "QKV"])
        state[f"{t}attn.c_proj.weight"] = get(f"{b}attn.W_O", h, k, d).reshape(d, d)
        state[f"{t}attn.c_proj.bias"] = get(f"{b}attn.b_O", d)
        state[f"{t}mlp.c_fc.weight"] = get(f"{b}mlp.W_in", d, m)
        state[f"{t}mlp.c_fc.bias"] = get(f"{b}mlp.b_in", m)
        state[f"{t}mlp.c_proj.weight"] = get(f"{b}mlp.W_out", m, d)
        state[f"{t}mlp.c_proj.bias"] = get(f"{b}mlp.b_out", d)
    unembedding, bias = get("unembed.W_U", d, vocabulary), get("unembed.b_U", vocabulary)
    state["transformer.ln_f.weight"] = one
    # GPT-2 has no bias after its unembedding: x with W^T x = b stands in the bias of the last norm in its place.
    stand_in = torch.linalg.lstsq(unembedding.T.double(), bias.double()[:, None]).solution[:, 0]
    left = float((unembedding.T.double() @ stand_in - bias.double()).abs().max())
    if left > 1e-4 * max(1.0, float(bias.abs().max())):
        raise _bad(f"{get.file}: the bias of the unembedding cannot be carried over (error {left:.1e}).")
    state["transformer.ln_f.bias"] = stand_in.float()
    state["lm_head.weight"] = unembedding.T
    return config, {k: v.clone().contiguous() for k, v in state.items()}


def to_transformer_lens(model: GPT2LMHeadModel, centre: bool = False) -> Tensors:
    """The tensors of a network in TransformerLens' layout with its norms folded; ``centre`` also takes the mean over
    the width out of everything that is written to the residual stream, which no norm can see."""
    s = {k: v.double() for k, v in model.state_dict().items()}
    d, h = int(model.config.n_embd), int(model.config.n_head)
    k = d // h

    def written(value: Tensor) -> Tensor:
        return value - value.mean(-1, keepdim=True) if centre else value

    out = {
        "embed.W_E": written(s["transformer.wte.weight"]),
        "pos_embed.W_pos": written(s["transformer.wpe.weight"]),
    }
    for i in range(int(model.config.n_layer)):
        b, t = f"blocks.{i}.", f"transformer.h.{i}."
        gain, shift = s[f"{t}ln_1.weight"], s[f"{t}ln_1.bias"]
        weight, bias = s[f"{t}attn.c_attn.weight"], s[f"{t}attn.c_attn.bias"]
        bias = bias + shift @ weight
        weight = gain[:, None] * weight
        for j, n in enumerate("QKV"):
            part = slice(j * d, (j + 1) * d)
            out[f"{b}attn.W_{n}"] = weight[:, part].reshape(d, h, k).permute(1, 0, 2)
            out[f"{b}attn.b_{n}"] = bias[part].reshape(h, k)
        out[f"{b}attn.W_O"] = written(s[f"{t}attn.c_proj.weight"]).reshape(h, k, d)
        out[f"{b}attn.b_O"] = written(s[f"{t}attn.c_proj.bias"])
        gain, shift = s[f"{t}ln_2.weight"], s[f"{t}ln_2.bias"]
        into = s[f"{t}mlp.c_fc.weight"]
        out[f"{b}mlp.W_in"] = gain[:, None] * into
        out[f"{b}mlp.b_in"] = s[f"{t}mlp.c_fc.bias"] + shift @ into
        out[f"{b}mlp.W_out"] = written(s[f"{t}mlp.c_proj.weight"])
        out[f"{b}mlp.b_out"] = written(s[f"{t}mlp.c_proj.bias"])
    head = s["lm_head.weight"]
    out["unembed.W_U"] = s["transformer.ln_f.weight"][:, None] * head.T
    out["unembed.b_U"] = s["transformer.ln_f.bias"] @ head.T
    dtype = model.lm_head.weight.dtype
    return {k: v.to(dtype).clone().contiguous() for k, v in out.items()}


def centred(model: GPT2LMHeadModel, tolerance: float = 1e-3) -> bool:
    """Whether everything written to the residual stream has mean 0 over the width, as TransformerLens processes it.

    Probes fitted on a centred model's residual stream then read another one's only after its mean is subtracted.
    """
    s = model.state_dict()
    stems = [f"transformer.h.{i}.{n}.c_proj.weight" for i in range(int(model.config.n_layer)) for n in ("attn", "mlp")]
    return all(
        float(s[n].mean(-1).abs().max()) <= tolerance * float(s[n].std()) for n in ("transformer.wte.weight", *stems)
    )


def _from_hugging_face(get: _Named, heads: int | None) -> tuple[GPT2Config, Tensors]:
    vocabulary, d = get.two("transformer.wte.weight")
    positions = get.two("transformer.wpe.weight")[0]
    _check_shape(vocabulary, positions)
    layers = get.blocks("transformer.h.")
    m = get.two("transformer.h.0.mlp.c_fc.weight")[1]
    if m == d:
        raise _bad(
            f"{get.file} is in nanoGPT's layout, whose matrices lie the other way round and whose biases may be missing. "
            "It is not read; save it from Hugging Face's GPT-2 or in minGPT's layout."
        )
    heads = heads or (8 if d == 512 else max(1, d // 32))
    config = othello_config(layers=layers, width=d, heads=heads, mlp=m)
    wanted = GPT2LMHeadModel(config).state_dict()
    return config, {name: get(name, *value.shape) for name, value in wanted.items()}


def _bad(message: str) -> UserError:
    return UserError(message, "source")
