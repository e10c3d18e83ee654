"""Mixtures in the files that the method's authors write: read with suspicion, written so that their code reads them.

A foreign file is data, never code: it is unpickled with weights only, every tensor is looked at before it is used, and
whatever is wrong becomes a sentence. Three layouts exist (dossier 9): A with ``state_dict`` and ``meta`` (``q``), B the
same from several devices (``rank``), C a bare state dict; the same names are read from safetensors. The map from stored
to used parameters is in :class:`analysis.mfa.gradient.GradientMixture`.

Released files are near a gigabyte, so nothing here is done to a whole mixture in float64: a few components at a time
are, and their loadings are written over the directions that they came from.
"""

from __future__ import annotations

import math
import pickle
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional

from analysis import foreign
from analysis.errors import UserError
from analysis.mfa.gradient import EPSILON, GradientMixture
from analysis.mfa.parameters import Parameters, finite
from analysis.models.pickles import PythonObjects, check_pickle

_KEYS = ("mu", "dir_raw", "scale_rho", "psi_rho", "pi_logits")
_PREFIXES = ("module.", "_orig_mod.", "_fsdp_wrapped_module.")  # left by wrappers of several devices and of compilers
_BARE_EPSILON = 1e-8  # what the authors' reader takes where a file says nothing
_DEPTH = 6
MAX_BYTES = 32 << 30
MAX_TENSORS = 1000
_AT_ONCE = 1 << 22  # numbers in float64 at a time


def read_checkpoint(path: Path | str) -> tuple[Parameters, dict[str, Any]]:
    """The mixture in an authors' checkpoint, and what the file says about it.

    Returns:
        Parameters in the file's dtype (float32 at least), with an orthogonal rotation, if one is on, applied to the
        loadings, which lie in memory axis by axis (as (K, R, D)); and a dict: ``format`` ("A", "B" or "C"),
        ``components``, ``width``, ``factors``, ``noise`` ("shared" or "component"), ``epsilon``, ``rotation`` (its
        kind, "none", or "left out: ..." for one that is not orthogonal, whose factors would be correlated) and
        ``extra`` (plain data only). The model, block and site are not in it.

    Raises:
        UserError: field "file": missing, no checkpoint, with objects other than tensors and plain values, without a
            needed key, with shapes that do not fit, or with numbers that are not finite.
    """
    stored = _load(Path(path))
    wrapped = "state_dict" in stored
    state, meta = (stored["state_dict"], stored.get("meta")) if wrapped else (stored, None)
    if not isinstance(state, dict) or not isinstance(meta, dict | None):
        raise _bad("Its state_dict and meta must be dictionaries.")
    facts = _plain(meta or {})
    named = {_bare(name): value for name, value in state.items() if isinstance(name, str)}
    missing = [name for name in _KEYS if name not in named]
    if missing:
        raise _bad(f"It has no {', '.join(missing)}; the keys needed are {', '.join(_KEYS)}.")
    tensors = {name: _tensor(name, named[name]) for name in _KEYS}
    count, width, factors = _sizes(tensors, facts)
    epsilon = _epsilon(facts.get("eps_floor", _BARE_EPSILON if meta is None else EPSILON))
    turn, rotation = _turn(named, facts, count, factors)
    del stored, state, named
    plain = _parameters(tensors, epsilon, turn)
    if not all(finite(t) for t in vars(plain).values()) or not bool((plain.noise > 0).all()):
        raise _bad("Its numbers are too large or too small to be used.")
    return plain, {
        "format": "C" if meta is None else "B" if "rank" in facts and "q" not in facts else "A",
        "components": count,
        "width": width,
        "factors": factors,
        "noise": "shared" if tensors["psi_rho"].ndim == 1 else "component",
        "epsilon": epsilon,
        "rotation": rotation,
        "extra": facts.get("extra", {}),
    }


def write_checkpoint(parameters: Parameters, path: Path | str, extra: dict[str, Any] | None = None) -> None:
    """Write layout A, for the authors' code: exact up to the rounding of softplus and its inverse in the same dtype.

    ``extra`` is plain data (model, block, site, ...) and goes into the meta, since the layout has no place of its own
    for it. The file appears whole or not at all.
    """
    epsilon = min(EPSILON, float(parameters.noise.min()) / 2)
    dtype = parameters.means.dtype
    state = _state(parameters.to("cpu"), epsilon)
    identity = torch.eye(parameters.factors, dtype=dtype).repeat(parameters.components, 1, 1)
    # The two readers of the authors look for the number of factors under two names.
    meta = {
        "cls": "MFA",
        "K": parameters.components,
        "D": parameters.width,
        "q": parameters.factors,
        "rank": parameters.factors,
        "psi_per_component": parameters.noise.ndim == 2,
        "eps_floor": epsilon,
        "dtype": str(dtype),
        "version": 1,
        "rotation_on": False,
        "rotation_kind": None,
        "rotation_params": {},
        "extra": dict(extra or {}),
    }
    state |= {"_rot_T": identity, "_rot_inv_Tt": identity.clone()}
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".part-{secrets.token_hex(8)}")
    try:
        with scratch.open("xb") as file:
            torch.save({"state_dict": state, "meta": meta}, file)
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)


def _slices(count: int, size: int) -> Iterator[slice]:
    """Ranges of components of ``size`` numbers each that are worked on at a time."""
    step = max(1, _AT_ONCE // max(1, size))
    return (slice(first, first + step) for first in range(0, count, step))


def _parameters(tensors: dict[str, Tensor], epsilon: float, turn: Tensor | None) -> Parameters:
    """The used parameters. ``turn`` (K, R, R) float64, if given, rotates the loadings."""
    means, raw = tensors["mu"], tensors["dir_raw"]
    count, width, factors = raw.shape
    dtype = torch.float64 if means.dtype == torch.float64 else torch.float32
    storage = raw.untyped_storage()
    alone = [t.untyped_storage().data_ptr() for t in tensors.values()].count(storage.data_ptr()) == 1
    whole = storage.nbytes() == raw.numel() * raw.element_size()
    free = alone and whole and raw.is_contiguous() and raw.dtype == dtype
    room = raw.view(-1) if free else torch.empty(raw.numel(), dtype=dtype)
    axes = room.view(count, factors, width)
    for part in _slices(count, width * factors):
        block = raw[part].double()
        norm = torch.linalg.vector_norm(block, dim=1, keepdim=True).clamp(min=epsilon)
        block = block / norm * functional.softplus(tensors["scale_rho"][part].double())[:, None]
        axes[part] = (block if turn is None else block @ turn[part]).mT
    noise = torch.empty(tensors["psi_rho"].shape, dtype=dtype)
    for part in _slices(len(noise), width):
        noise[part] = functional.softplus(tensors["psi_rho"][part].double()) + epsilon
    weights = tensors["pi_logits"].double().softmax(0).to(dtype)
    return Parameters(weights, means.to(dtype).contiguous(), axes.mT, noise)


def _state(parameters: Parameters, epsilon: float) -> dict[str, Tensor]:
    """The tensors of a state dict for a mixture, in its dtype, by components."""
    p = parameters
    dtype = p.means.dtype
    state = {
        "mu": p.means.contiguous(),
        "dir_raw": torch.empty(p.loadings.shape, dtype=dtype),
        "scale_rho": torch.empty(p.components, p.factors, dtype=dtype),
        "psi_rho": torch.empty(p.noise.shape, dtype=dtype),
        "pi_logits": torch.empty(p.components, dtype=dtype),
    }
    for part in _slices(p.components, p.width * p.factors):
        noise = p.noise if p.noise.ndim == 1 else p.noise[part]
        some = Parameters(p.weights[part], p.means[part], p.loadings[part], noise).to(torch.float64)
        with torch.no_grad():
            model = GradientMixture.of(some, epsilon)
            model.dir_raw.mul_((some.loadings != 0).any(1, keepdim=True))  # zero columns stay exactly zero
        state["dir_raw"][part], state["scale_rho"][part] = model.dir_raw.detach(), model.scale_rho.detach()
        state["pi_logits"][part] = model.pi_logits.detach()
        state["psi_rho"][... if p.noise.ndim == 1 else part] = model.psi_rho.detach()
    return state


def _load(path: Path) -> dict[Any, Any]:
    if not path.exists():
        raise UserError("There is no file of that name. Check the path of the checkpoint.", "file")
    try:
        if foreign.regular(path, "file") > MAX_BYTES:
            raise UserError(f"This file is larger than {MAX_BYTES >> 30} GiB, and larger ones are not read.", "file")
        if path.suffix == ".safetensors":
            return _safe(path)
        check_pickle(path, "file", MAX_TENSORS)
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except (PythonObjects, pickle.UnpicklingError) as error:
        raise UserError(
            "This file holds Python objects beside tensors and plain values. It was not opened, since loading such "
            "objects can run code. Save the state dict and the meta alone.",
            "file",
        ) from error
    except OSError as error:
        raise UserError("The file could not be read. Check that it may be opened.", "file") from error
    except Exception as error:  # whatever breaks inside the reader of a foreign file, the file is at fault
        raise _bad("It cannot be read as one.") from error
    if not isinstance(stored, dict):
        raise _bad("It holds no dictionary of tensors.")
    return stored


def _safe(path: Path) -> dict[Any, Any]:
    """The dictionary of a safetensors file that has the same names; its metadata, values in JSON, are the meta."""
    with safe_open(path, framework="pt") as file:
        names = set(file.keys())
        if len(names) > MAX_TENSORS:
            raise _bad(f"It holds {len(names):,} tensors.")
        state = {n: file.get_tensor(n) for n in names if _bare(n) in (*_KEYS, "_rot_inv_Tt")}
        notes = dict(file.metadata() or {})
    meta: dict[str, Any] = {}
    for name, text in notes.items():
        try:
            meta[name] = foreign.parse_json(text, "file", "the metadata")
        except UserError:
            meta[name] = text
    inner = meta.pop("meta", None)
    return {"state_dict": state, "meta": meta | (inner if isinstance(inner, dict) else {})}


def _bad(why: str) -> UserError:
    return UserError(f"This file is not a checkpoint of a mixture of factor analyzers. {why}", "file")


def _bare(name: str) -> str:
    while name.startswith(_PREFIXES):
        name = name.partition(".")[2]
    return name


def _tensor(name: str, value: Any) -> Tensor:
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.device.type != "cpu":
        raise _bad(f"Its {name} is not a plain tensor.")
    if not value.is_floating_point():
        raise _bad(f"Its {name} is not a tensor of floating numbers.")
    if value.untyped_storage().nbytes() < value.numel() * value.element_size():
        raise _bad(f"Its {name} claims more numbers than the file holds.")  # a stride of 0 could claim any amount
    if value.ndim == 0:
        raise _bad(f"Its {name} is a single number.")
    if not finite(value):
        raise UserError(f"The checkpoint's {name} has numbers that are not finite: the training had failed.", "file")
    return value.detach()


def _sizes(tensors: dict[str, Tensor], meta: dict[Any, Any]) -> tuple[int, int, int]:
    """K, D and R from ``mu`` and ``dir_raw``, after every other shape, and the meta, agreed with them."""
    means, directions = tensors["mu"], tensors["dir_raw"]
    if means.ndim != 2 or 0 in means.shape or directions.ndim != 3 or directions.shape[:2] != means.shape:
        raise _bad(f"Its mu is {_shape(means)} and its dir_raw {_shape(directions)}; needed are K x D and K x D x q.")
    count, width, factors = directions.shape
    allowed: dict[str, list[tuple[int, ...]]]
    allowed = {"scale_rho": [(count, factors)], "psi_rho": [(width,), (count, width)], "pi_logits": [(count,)]}
    for name, shapes in allowed.items():
        if tuple(tensors[name].shape) not in shapes:
            wanted = " or ".join(" x ".join(map(str, shape)) for shape in shapes)
            raise _bad(f"Its {name} is {_shape(tensors[name])}; with its mu and dir_raw it must be {wanted}.")
    said = {"K": count, "D": width, "q": factors, "rank": factors, "psi_per_component": tensors["psi_rho"].ndim == 2}
    for name, value in said.items():
        if name in meta and meta[name] != value:
            raise _bad(f"Its meta says {name} = {str(meta[name])[:20]}, its tensors say {value}.")
    return count, width, factors


def _epsilon(value: Any) -> float:
    if not isinstance(value, (int, float)) or not math.isfinite(value) or not 0 <= value < 1:
        raise _bad("Its eps_floor is not a small number.")
    return float(value)


def _turn(named: dict[str, Any], meta: dict[Any, Any], count: int, factors: int) -> tuple[Tensor | None, str]:
    """The rotation (K, R, R) float64 to apply, or None, and what to say of it."""
    if not meta.get("rotation_on", False):
        return None, "none"
    kind = str(meta.get("rotation_kind") or "unnamed")[:40]
    if "_rot_inv_Tt" not in named:
        raise _bad("Its meta says that a rotation is on, but there is no _rot_inv_Tt.")
    turn = _tensor("_rot_inv_Tt", named["_rot_inv_Tt"]).double()
    if turn.shape != (count, factors, factors):
        raise _bad(f"Its _rot_inv_Tt is {_shape(turn)}; needed is K x q x q.")
    if not torch.allclose(turn @ turn.mT, torch.eye(factors).to(turn), atol=1e-3):
        return None, f"left out: {kind} is not orthogonal"
    return turn, kind


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a single number"


def _plain(value: Any, depth: int = 0) -> Any:
    """The parts of a foreign value that are plain data, with text keys; anything else is named by its type."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value if not isinstance(value, float) or math.isfinite(value) else None  # JSON has no other numbers
    if depth < _DEPTH and isinstance(value, dict):
        return {str(k): _plain(v, depth + 1) for k, v in value.items()}
    if depth < _DEPTH and isinstance(value, (list, tuple)):
        return [_plain(v, depth + 1) for v in value]
    return f"({type(value).__name__})"
