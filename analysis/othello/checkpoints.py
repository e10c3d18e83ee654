"""OthelloGPT checkpoints of the community, read into the one network of the house and written back.

Two layouts are in use besides Hugging Face's own. minGPT's has query, key and value as matrices of their own and is
exact. TransformerLens' has them by head and its layer norms without gain and bias ("LNPre"): those were folded into the
matrices that follow, so gains become one and biases zero, and the bias of the unembedding, for which GPT-2 has no
place, goes into the bias of the last norm, where it gives the same logits. Files are told apart by the names of their
tensors and read with ``weights_only``, so nothing in a file is ever run. A network of shapes without memory, written in
the file's layout, is the table that the file must fill: what is missing is said by name, before a network is made.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from analysis import foreign
from analysis.errors import UserError
from analysis.models.config_limits import check_config
from analysis.models.metadata_folder import safetensors_header
from analysis.models.pickles import NotATable, PythonObjects, check_pickle
from analysis.othello.model import othello_config
from analysis.othello.squares import POSITIONS, VOCABULARY

Tensors = dict[str, Tensor]
MAX_BYTES = 2 << 30
MAX_TENSORS = 10_000
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.", "model.")
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_PARTS = "model-*-of-*.safetensors"
_NORMS = (("ln1", "ln_1"), ("ln2", "ln_2"))
_QKV = ("query", "key", "value")


def load_folder(path: Path) -> GPT2LMHeadModel:
    """A saved Hugging Face OthelloGPT in float32 and evaluation mode. Raises UserError(field="source")."""
    files = next(([path / name] for name in _WEIGHTS if (path / name).is_file()), sorted(path.glob(_PARTS)))
    if not files or not (path / "config.json").is_file():
        raise _bad(f"The folder {path.name} holds no saved OthelloGPT: config.json and {_WEIGHTS[0]} are needed.")
    check_config(path, "source")
    try:
        config = GPT2Config.from_pretrained(path, local_files_only=True)
        kind = GPT2Config.get_config_dict(path, local_files_only=True)[0].get("model_type", "gpt2")
    except Exception as error:  # a foreign file: transformers answers each kind of damage with another exception
        raise _bad(f"config.json in the folder {path.name} cannot be read. Save the model again.") from error
    if kind != "gpt2":
        raise _bad(f"The folder {path.name} holds a model of the kind {str(kind)[:40]}; an OthelloGPT here is a gpt2.")
    # A part that is missing is said by the names of its tensors.
    tensors = {name: tensor for file in files for name, tensor in read_tensors(file).items()}
    return from_tensors(tensors, name=files[0].name, config=config)


def load_checkpoint(path: Path, heads: int | None = None) -> GPT2LMHeadModel:
    """A checkpoint file in minGPT's, TransformerLens' or Hugging Face's layout, in float32 and evaluation mode.

    ``heads``: for layouts that do not store it; by default 8 if the width is 512, else heads of width 64 from width 320
    on and of width 32 below. A folder, or a file beside its config.json, is read as :func:`load_folder` does.
    Raises UserError(field="source") for anything that is not such a file; the sentence says what it is.
    """
    if path.is_dir():
        return load_folder(path)
    if heads is None and path.name in _WEIGHTS and (path.parent / "config.json").is_file():
        return load_folder(path.parent)
    return from_tensors(read_tensors(path), heads, path.name)


def read_tensors(path: Path) -> Tensors:
    """The tensors of a file by name, wrappers and prefixes taken off. Raises UserError(field="source")."""
    data: Any
    try:
        if foreign.regular(path, "source") > MAX_BYTES:
            raise _bad(f"{path.name} is larger than {MAX_BYTES >> 30} GiB. An OthelloGPT takes about 0.1.")
        with path.open("rb") as file:
            start = file.read(4)
        if path.suffix.lower() == ".safetensors":
            if len(safetensors_header(path)) > MAX_TENSORS:
                raise _bad(f"{path.name} holds more than {MAX_TENSORS:,} tensors. An OthelloGPT has about 100.")
            data = load_file(path)
        else:
            check_pickle(path, "source", MAX_TENSORS)
            data = torch.load(path, weights_only=True, map_location="cpu")
    except UserError as error:
        raise _bad(error.message) from error
    except (PythonObjects, pickle.UnpicklingError) as error:
        raise _bad(
            f"{path.name} holds Python objects besides tensors, which are not read since they could run code. Save "
            "its state_dict alone."
        ) from error
    except NotATable as error:
        if start[:2] == b"PK" or start[:1] == b"\x80":
            raise _bad(f"{path.name} cannot be read as a checkpoint. Download it again.") from error
        raise _bad(f"{path.name} is not a checkpoint: it was written by neither PyTorch nor safetensors.") from error
    except Exception as error:  # a damaged file: each kind of damage fails with another exception
        raise _bad(f"{path.name} cannot be read as a checkpoint. Download it again.") from error
    for name in _WRAPPERS:
        if isinstance(data, Mapping) and isinstance(data.get(name), Mapping):
            data = data[name]
    if not isinstance(data, Mapping) or not data or not all(map(_plain, data.values())):
        raise _bad(f"{path.name} holds no named tensors, so it is not a checkpoint of a network.")
    tensors = {str(k): v for k, v in data.items()}
    # Wrappers lie in each other, in any order; a name that is a prefix alone leaves none behind it.
    while prefix := next((p for p in _PREFIXES if all(k.startswith(p) and k != p for k in tensors)), ""):
        tensors = {k[len(prefix) :]: v for k, v in tensors.items()}
    return tensors


def _plain(value: object) -> bool:
    """Whether it is a tensor whose every number lies in memory: neither sparse nor without values."""
    return isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu"


def layout_of(tensors: Mapping[str, Tensor]) -> str:
    """``"mingpt"``, ``"transformer_lens"`` or ``"huggingface"``, by the names. Raises UserError(field="source")."""
    for name, layout in _FIRST.items():
        if name in tensors:
            return layout
    raise _bad(
        "The tensors of this file are named like no OthelloGPT that is known: neither tok_emb.weight (minGPT) nor "
        "embed.W_E (TransformerLens) nor transformer.wte.weight (Hugging Face) is there."
    )


_FIRST = {
    "tok_emb.weight": "mingpt",
    "embed.W_E": "transformer_lens",
    "transformer.wte.weight": "huggingface",
}


def from_tensors(
    tensors: Tensors,
    heads: int | None = None,
    name: str = "This file",
    *,
    config: GPT2Config | None = None,
    dtype: torch.dtype = torch.float32,
) -> GPT2LMHeadModel:
    """The network of named tensors in any of the three layouts, in evaluation mode, its parameters in ``dtype``.

    ``config``: of a saved Hugging Face model; made from the shapes without it. Raises UserError(field="source").
    """
    layout = layout_of(tensors)
    if layout == "mingpt":
        config, state = _from_mingpt(tensors, heads, name, dtype)
    elif layout == "transformer_lens":
        config, state = _from_lens(tensors, name, dtype)
    else:
        config, state = _from_hugging_face(tensors, heads, name, config, dtype)
    model = GPT2LMHeadModel(config).to(dtype)
    model.load_state_dict(state)
    return model.eval().requires_grad_(False)  # type: ignore[no-any-return]


def _hollow(config: GPT2Config) -> GPT2LMHeadModel:
    """A network of shapes without memory; written in a layout it is the table that a file of that layout must fill."""
    with torch.device("meta"):
        return GPT2LMHeadModel(config)


def _used(tensors: Tensors, wanted: Tensors, file: str, dtype: torch.dtype, but: str = " ") -> Tensors:
    """The wanted tensors in ``dtype``; whatever else a file holds (masks, constants) is not looked at.

    Raises UserError naming up to three tensors that are missing, or else of another shape, or else of another type; or
    for values that are not finite.
    """
    shapes = {n: tuple(v.shape) for n, v in wanted.items() if not n.endswith(but)}
    missing = [n for n in shapes if n not in tensors]
    if missing:
        raise _bad(f"{file} lacks {_some(missing)}; the checkpoint is not complete. Download it again.")
    wrong = [n for n, shape in shapes.items() if tuple(tensors[n].shape) != shape]
    if wrong:
        said = [f"{n} has the shape {tuple(tensors[n].shape)} instead of {shapes[n]}" for n in wrong]
        raise _bad(f"{file}: {_some(said)}. It is another network, or a damaged file.")
    other = [f"{n} has the type {str(tensors[n].dtype).removeprefix('torch.')}" for n in shapes
             if not tensors[n].is_floating_point()]  # fmt: skip
    if other:
        raise _bad(f"{file}: {_some(other)}, and weights are floating-point numbers. Save it unquantised.")
    used = {n: tensors[n].to(dtype) for n in shapes}
    if not all(bool(v.isfinite().all()) for v in used.values()):
        raise _bad(f"{file} holds values that are infinite or no numbers. The training or the file is broken.")
    return used


def _some(names: list[str]) -> str:
    shown, more = names[:3], len(names) - 3
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _size(tensors: Tensors, name: str, file: str, axes: int = 2) -> tuple[int, ...]:
    """The shape of a tensor from which sizes are read."""
    if name not in tensors:
        raise _bad(f"{file} lacks {name}; the checkpoint is not complete. Download it again.")
    if tensors[name].ndim != axes or 0 in tensors[name].shape:
        raise _bad(f"{file}: {name} has the shape {tuple(tensors[name].shape)}, so it is another network.")
    return tuple(tensors[name].shape)


def _blocks(tensors: Tensors, stem: str, file: str) -> int:
    found = {k[len(stem) :].split(".")[0] for k in tensors if k.startswith(stem)}
    if not found or found != {str(i) for i in range(len(found))}:
        raise _bad(f"{file} has no complete row of blocks ({stem}0, {stem}1, ...); the checkpoint is not complete.")
    return len(found)


def _check_game(vocabulary: int, positions: int, file: str) -> None:
    if vocabulary != VOCABULARY:
        board = " It plays on a 6x6 board." if vocabulary in (32, 33) else ""
        raise _bad(
            f"{file} has a vocabulary of {vocabulary} tokens, not the {VOCABULARY} of the 8x8 board (60 squares and "
            f"padding).{board}"
        )
    if positions != POSITIONS:
        raise _bad(f"{file} reads {positions} positions, where a game of Othello gives {POSITIONS}.")


def _config(layers: int, width: int, heads: int | None, mlp: int) -> GPT2Config:
    if heads is None:
        heads = 8 if width == 512 else max(1, width // (64 if width >= 320 else 32))
    if heads < 1 or width % heads:
        raise _bad(f"A width of {width} cannot be split into {heads} heads. Give a number that divides it.")
    return othello_config(layers=layers, width=width, heads=heads, mlp=mlp)


def _from_mingpt(t: Tensors, heads: int | None, file: str, dtype: torch.dtype) -> tuple[GPT2Config, Tensors]:
    vocabulary, d = _size(t, "tok_emb.weight", file)
    _check_game(vocabulary, _size(t, "pos_emb", file, 3)[1], file)
    layers, m = _blocks(t, "blocks.", file), _size(t, "blocks.0.mlp.0.weight", file)[0]
    config = _config(layers, d, heads, m)
    t = _used(t, to_mingpt(_hollow(config)), file, dtype, but=".mask")
    state = {"transformer.wte.weight": t["tok_emb.weight"], "transformer.wpe.weight": t["pos_emb"][0]}
    for i in range(layers):
        b, h = f"blocks.{i}.", f"transformer.h.{i}."
        state |= {f"{h}{c}.{n}": t[f"{b}{a}.{n}"] for a, c in _NORMS for n in ("weight", "bias")}
        state[f"{h}attn.c_attn.weight"] = torch.cat([t[f"{b}attn.{n}.weight"].T for n in _QKV], 1)
        state[f"{h}attn.c_attn.bias"] = torch.cat([t[f"{b}attn.{n}.bias"] for n in _QKV])
        for a, c in (("attn.proj", "attn.c_proj"), ("mlp.0", "mlp.c_fc"), ("mlp.2", "mlp.c_proj")):
            state |= {f"{h}{c}.weight": t[f"{b}{a}.weight"].T, f"{h}{c}.bias": t[f"{b}{a}.bias"]}
    state |= {f"transformer.ln_f.{n}": t[f"ln_f.{n}"] for n in ("weight", "bias")}
    state["lm_head.weight"] = t["head.weight"]
    return config, state


def to_mingpt(model: GPT2LMHeadModel) -> Tensors:
    """The tensors of a network in minGPT's layout, with its attention masks as that code stores them."""
    s, d = model.state_dict(), int(model.config.n_embd)
    out = {"tok_emb.weight": s["transformer.wte.weight"], "pos_emb": s["transformer.wpe.weight"][None]}
    for i in range(int(model.config.n_layer)):
        b, h = f"blocks.{i}.", f"transformer.h.{i}."
        out |= {f"{b}{a}.{n}": s[f"{h}{c}.{n}"] for a, c in _NORMS for n in ("weight", "bias")}
        for j, n in enumerate(_QKV):
            part = slice(j * d, (j + 1) * d)
            out[f"{b}attn.{n}.weight"] = s[f"{h}attn.c_attn.weight"][:, part].T
            out[f"{b}attn.{n}.bias"] = s[f"{h}attn.c_attn.bias"][part]
        for a, c in (("attn.proj", "attn.c_proj"), ("mlp.0", "mlp.c_fc"), ("mlp.2", "mlp.c_proj")):
            out |= {f"{b}{a}.weight": s[f"{h}{c}.weight"].T, f"{b}{a}.bias": s[f"{h}{c}.bias"]}
        out[f"{b}attn.mask"] = torch.tril(torch.ones(POSITIONS, POSITIONS))[None, None]
    out |= {f"ln_f.{n}": s[f"transformer.ln_f.{n}"] for n in ("weight", "bias")}
    out["head.weight"] = s["lm_head.weight"]
    return {k: v.clone().contiguous() for k, v in out.items()}


def _from_lens(t: Tensors, file: str, dtype: torch.dtype) -> tuple[GPT2Config, Tensors]:
    vocabulary, d = _size(t, "embed.W_E", file)
    _check_game(vocabulary, _size(t, "pos_embed.W_pos", file)[0], file)
    if any(k.endswith((".ln1.w", ".ln2.w")) or k == "ln_final.w" for k in t):
        raise _bad(f"{file} keeps its layer norms (TransformerLens without folding). Save it again with fold_ln=True.")
    layers, m = _blocks(t, "blocks.", file), _size(t, "blocks.0.mlp.W_in", file)[1]
    heads, _, k = _size(t, "blocks.0.attn.W_Q", file, 3)
    if heads * k != d:
        raise _bad(f"{file} has {heads} heads of width {k}, which do not make up the width {d}.")
    config = _config(layers, d, heads, m)
    t = _used(t, to_transformer_lens(_hollow(config)), file, dtype)
    one, zero = torch.ones_like(t["embed.W_E"][0]), torch.zeros_like(t["embed.W_E"][0])
    state = {"transformer.wte.weight": t["embed.W_E"], "transformer.wpe.weight": t["pos_embed.W_pos"]}
    for i in range(layers):
        b, h = f"blocks.{i}.", f"transformer.h.{i}."
        state |= {f"{h}ln_{n}.weight": one for n in (1, 2)} | {f"{h}ln_{n}.bias": zero for n in (1, 2)}
        parts = [t[f"{b}attn.W_{n}"].permute(1, 0, 2).reshape(d, d) for n in "QKV"]
        state[f"{h}attn.c_attn.weight"] = torch.cat(parts, 1)
        state[f"{h}attn.c_attn.bias"] = torch.cat([t[f"{b}attn.b_{n}"].reshape(d) for n in "QKV"])
        state[f"{h}attn.c_proj.weight"] = t[f"{b}attn.W_O"].reshape(d, d)
        state[f"{h}attn.c_proj.bias"] = t[f"{b}attn.b_O"]
        for a, c in (("in", "c_fc"), ("out", "c_proj")):
            state |= {f"{h}mlp.{c}.weight": t[f"{b}mlp.W_{a}"], f"{h}mlp.{c}.bias": t[f"{b}mlp.b_{a}"]}
    state |= {"transformer.ln_f.weight": one, "lm_head.weight": t["unembed.W_U"].T}
    state["transformer.ln_f.bias"] = _stand_in(t["unembed.W_U"], t["unembed.b_U"], file)
    return config, state


def _stand_in(unembedding: Tensor, bias: Tensor, file: str) -> Tensor:
    """The x of least norm with ``unembedding.T @ x = bias``: a bias of the last norm for one of the unembedding.

    What is left over may be a constant, which no softmax sees (a centred unembedding has no other place for it).
    """
    matrix, target = unembedding.T.double(), bias.double()
    x: Tensor = torch.linalg.lstsq(matrix, target[:, None], driver="gelsd").solution[:, 0].to(bias.dtype)
    left = matrix @ x.double() - target
    error = float((left - left.mean()).abs().max())
    if error > 1e-4 * max(1.0, float(bias.abs().max())):
        raise _bad(f"{file}: unembed.b_U lies outside what the last layer norm can stand in for (error {error:.1e}).")
    return x


def to_transformer_lens(model: GPT2LMHeadModel, centre: bool = False) -> Tensors:
    """The tensors of a network in TransformerLens' layout with its norms folded; ``centre`` also takes the mean over
    the width out of everything that is written to the residual stream, which no norm can see."""
    s = {k: v.double() for k, v in model.state_dict().items()}
    d, heads = int(model.config.n_embd), int(model.config.n_head)

    def written(value: Tensor) -> Tensor:
        return value - value.mean(-1, keepdim=True) if centre else value

    out = {
        f"{new}": written(s[f"transformer.{n}.weight"]) for new, n in (("embed.W_E", "wte"), ("pos_embed.W_pos", "wpe"))
    }
    for i in range(int(model.config.n_layer)):
        b, h = f"blocks.{i}.", f"transformer.h.{i}."
        weight, bias = _folded(s, f"{h}ln_1", f"{h}attn.c_attn")
        for j, n in enumerate("QKV"):
            part = slice(j * d, (j + 1) * d)
            out[f"{b}attn.W_{n}"] = weight[:, part].reshape(d, heads, -1).permute(1, 0, 2)
            out[f"{b}attn.b_{n}"] = bias[part].reshape(heads, -1)
        out[f"{b}attn.W_O"] = written(s[f"{h}attn.c_proj.weight"]).reshape(heads, -1, d)
        out[f"{b}attn.b_O"] = written(s[f"{h}attn.c_proj.bias"])
        out[f"{b}mlp.W_in"], out[f"{b}mlp.b_in"] = _folded(s, f"{h}ln_2", f"{h}mlp.c_fc")
        out[f"{b}mlp.W_out"] = written(s[f"{h}mlp.c_proj.weight"])
        out[f"{b}mlp.b_out"] = written(s[f"{h}mlp.c_proj.bias"])
    head = s["lm_head.weight"]
    out["unembed.W_U"] = s["transformer.ln_f.weight"][:, None] * head.T
    out["unembed.b_U"] = s["transformer.ln_f.bias"] @ head.T
    return {k: v.to(model.lm_head.weight.dtype).clone().contiguous() for k, v in out.items()}


def _folded(s: Tensors, norm: str, linear: str) -> tuple[Tensor, Tensor]:
    """Weight (in, out) and bias of a linear map with the gain and the bias of the norm before it."""
    weight: Tensor = s[f"{linear}.weight"]
    return s[f"{norm}.weight"][:, None] * weight, s[f"{linear}.bias"] + s[f"{norm}.bias"] @ weight


def centred(model: GPT2LMHeadModel, tolerance: float = 1e-3) -> bool:
    """Whether everything written to the residual stream has mean 0 over the width, as TransformerLens processes it.

    Probes fitted on a centred model's residual stream then read another one's only after its mean is subtracted.
    """
    s = model.state_dict()
    stems = [f"transformer.h.{i}.{n}.c_proj.weight" for i in range(int(model.config.n_layer)) for n in ("attn", "mlp")]
    return all(
        float(s[n].mean(-1).abs().max()) <= tolerance * float(s[n].std()) for n in ("transformer.wte.weight", *stems)
    )


def _from_hugging_face(
    t: Tensors, heads: int | None, file: str, config: GPT2Config | None, dtype: torch.dtype
) -> tuple[GPT2Config, Tensors]:
    vocabulary, d = _size(t, "transformer.wte.weight", file)
    _check_game(vocabulary, _size(t, "transformer.wpe.weight", file)[0], file)
    layers = _blocks(t, "transformer.h.", file)
    if _size(t, "transformer.h.0.attn.c_attn.weight", file) == (3 * d, d):
        biases = [k[: -len("weight")] + "bias" for k in t if k.endswith("weight") and ".h." in k]
        missing = [b for b in biases if b not in t]
        raise _bad(
            f"{file} is in nanoGPT's layout, whose matrices lie the other way round"
            + (f" and which lacks {_some(missing)}" if missing else "")
            + ". Save it from Hugging Face's GPT-2 or in minGPT's layout."
        )
    config = config or _config(layers, d, heads, _size(t, "transformer.h.0.mlp.c_fc.weight", file)[1])
    if (config.n_layer, config.n_embd) != (layers, d):
        raise _bad(
            f"config.json names {config.n_layer} blocks of width {config.n_embd}, {file} has {layers} of width {d}. "
            "They are of two models."
        )
    if config.tie_word_embeddings and "lm_head.weight" not in t:
        t = {**t, "lm_head.weight": t["transformer.wte.weight"]}
    return config, _used(t, _hollow(config).state_dict(), file, dtype)


def _bad(message: str) -> UserError:
    return UserError(message, "source")
