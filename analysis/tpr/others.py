"""Probes of the board that others have trained, read into the probes of the house.

Three forms are in use (the code of arXiv 2605.09967 and of its forerunners): a dictionary with ``probe_kind`` and
``probe_state_dict`` for the TPR and the trilinear probe, a dictionary with ``probe`` for the linear one, and a bare
tensor (modes, d, 8, 8, 3). The classes come in the order of the house: empty, just moved, to move. A file seldom says
which model it reads, and not always which block and place, so both may be given; what a file says of itself wins, and a
contradiction is refused. Learned tensors are taken over as they are: squares are flattened by rows, and nothing else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.models.torch_data import read_data
from analysis.tpr.base import Probe
from analysis.tpr.places import SITES
from analysis.tpr.probes import LinearProbe, TPRProbe, TrilinearProbe

MAX_BYTES = 64 << 20
RECIPE = (
    "Save its tensors alone, where it can be loaded: torch.save({“probe_kind”: …, “probe_state_dict”: …, “layer”: …}), "
    "as the manual page of Othello shows."
)
_PLACES = {"hook_" + site: site for site in SITES}
_TPR = {"binding_map": 3, "role_embeddings": 3, "filler_embeddings": 2}
_TRILINEAR = {"binding_map": 4, "row_embeddings": 2, "col_embeddings": 2, "color_embeddings": 2}
_BLOCK = re.compile(r"(?:resid|layer|block|l)[_-]?(\d{1,3})(?!\d)", re.IGNORECASE)


@dataclass(frozen=True)
class OtherProbe:
    """A probe from elsewhere. ``layer`` and ``site`` are None where the file does not name them."""

    kind: str
    layer: int | None
    site: str | None
    probe: Probe


def read_probe(name: str, body: bytes, *, mode: int = 0, centred: bool = False) -> OtherProbe:
    """The probe of a file (.pt, .pth, .safetensors), by any of the three forms.

    ``mode``: which of several linear probes in one tensor. ``centred``: it was trained on a stream whose mean over the
    width was taken out (TransformerLens), so that it is given weights that do not see that mean. Raises
    UserError(field="probes"): not such a file, other shapes, numbers that are not finite.
    """
    if len(body) > MAX_BYTES:
        raise _bad(f"{name} is larger than {MAX_BYTES >> 20} MB; a probe of this board has about one.")
    data, notes = read_data(name, body, "probes", RECIPE)
    if isinstance(data, Tensor):
        return OtherProbe("linear", _block(name), None, _linear(name, data, None, mode, centred))
    if not isinstance(data, dict):
        raise _bad(f"{name} holds no probe: neither a tensor nor named ones.")
    facts = {str(k): v for k, v in data.items()} | notes
    inner = facts.get("probe_state_dict")
    state = {str(k): v for k, v in inner.items()} if isinstance(inner, dict) else facts
    if not isinstance(inner, dict):
        state = {k.removeprefix("probe_state_dict."): v for k, v in state.items()}
    bias = state.get("bias")
    if "probe" in state:
        kind, probe = "linear", _linear(name, state["probe"], bias, mode, centred)
    elif "role_embeddings" in state:
        kind, probe = "tpr", _tpr(name, _tensors(name, state, _TPR), bias, centred)
    elif "row_embeddings" in state:
        kind, probe = "trilinear", _trilinear(name, _tensors(name, state, _TRILINEAR), bias, centred)
    else:
        raise _bad(
            f"{name} holds no probe of the board: it needs a tensor “probe”, or “binding_map” with “role_embeddings” "
            "or “row_embeddings”."
        )
    layer, site = _layer(name, facts), _site(name, facts)
    return OtherProbe(kind, _block(name) if layer is None else layer, site, probe)


def written(probe: Probe, layer: int, site: str) -> dict[str, Any]:
    """A probe as the dictionary that the authors' code reads. Raises UserError(field="probe") for low-rank ones."""
    facts = {"layer": layer, "activation_name": f"hook_{site}", "module_name": "transformer"}
    parts = {name: value.float() for name, value in probe.parts.items()}
    bias = {"bias": parts["bias"].T.reshape(8, 8, 3).contiguous()} if probe.bias else {}
    if isinstance(probe, LinearProbe):
        weights = parts["weights"].reshape(3, 8, 8, -1).permute(3, 1, 2, 0)[None].contiguous()
        return {"probe": weights, **bias, **facts}
    if isinstance(probe, TPRProbe):
        state = {
            "binding_map": parts["binding_map"],
            "role_embeddings": parts["roles"].reshape(8, 8, -1),
            "filler_embeddings": parts["fillers"],
        }
        return {"probe_kind": "tensor_product", "probe_state_dict": state | bias, **facts}
    if isinstance(probe, TrilinearProbe):
        state = {
            "binding_map": parts["binding_map"],
            "row_embeddings": parts["row_embeddings"],
            "col_embeddings": parts["column_embeddings"],
            "color_embeddings": parts["fillers"],
        }
        return {"probe_kind": "multilinear_tensor_product", "probe_state_dict": state | bias, **facts}
    raise UserError("The authors' code knows linear, TPR and trilinear probes only.", "probe")


def _linear(name: str, value: Any, bias: Any, mode: int, centred: bool) -> Probe:
    _check(name, "probe", value)
    if value.ndim != 5 or tuple(value.shape[2:]) != (8, 8, 3):
        raise _bad(f"{name}: a linear probe has the shape (modes, width, 8, 8, 3), not {tuple(value.shape)}.")
    if not 0 <= mode < len(value):
        raise _bad(f"{name} holds {len(value)} linear probes, numbered from 0; there is none with the number {mode}.")
    weights = value[mode].detach().float().permute(3, 1, 2, 0).reshape(3, 64, -1)
    parts = {"weights": _centred(weights, 2, centred)}
    return LinearProbe(bias=bias is not None).take({**parts, **_bias(name, bias)})


def _tpr(name: str, t: dict[str, Tensor], bias: Any, centred: bool) -> Probe:
    _, r, f = t["binding_map"].shape
    if tuple(t["role_embeddings"].shape) != (8, 8, r) or tuple(t["filler_embeddings"].shape) != (3, f):
        raise _misfit(name, t)
    probe = TPRProbe(r, f, bias=bias is not None)
    probe.check_settings()
    parts = {"roles": t["role_embeddings"].reshape(64, r), "fillers": t["filler_embeddings"]}
    return probe.take({"binding_map": _centred(t["binding_map"], 0, centred), **parts, **_bias(name, bias)})


def _trilinear(name: str, t: dict[str, Tensor], bias: Any, centred: bool) -> Probe:
    _, u, v, f = t["binding_map"].shape
    names = ("row_embeddings", "col_embeddings", "color_embeddings")
    if tuple(tuple(t[n].shape) for n in names) != ((8, u), (8, v), (3, f)):
        raise _misfit(name, t)
    probe = TrilinearProbe(u, v, f, bias=bias is not None)
    probe.check_settings()
    parts = dict(zip(("row_embeddings", "column_embeddings", "fillers"), (t[n] for n in names), strict=True))
    return probe.take({"binding_map": _centred(t["binding_map"], 0, centred), **parts, **_bias(name, bias)})


def _bias(name: str, value: Any) -> dict[str, Tensor]:
    if value is None:
        return {}
    _check(name, "bias", value)
    if tuple(value.shape) != (8, 8, 3):
        raise _bad(f"{name}: a bias has the shape (8, 8, 3), not {tuple(value.shape)}.")
    return {"bias": value.detach().float().reshape(64, 3).T.contiguous()}


def _tensors(name: str, state: dict[str, Any], dimensions: dict[str, int]) -> dict[str, Tensor]:
    missing = [n for n in dimensions if n not in state]
    if missing:
        raise _bad(f"{name} lacks “{missing[0]}”, without which it is no probe of its kind.")
    for n, count in dimensions.items():
        _check(name, n, state[n])
        if state[n].ndim != count:
            raise _bad(f"{name}: “{n}” has {state[n].ndim} dimensions where {count} are needed.")
    return {n: state[n].detach().float().contiguous() for n in dimensions}


def _check(name: str, what: str, value: Any) -> None:
    if not isinstance(value, Tensor) or not value.is_floating_point() or not value.numel():
        raise _bad(f"{name}: “{what}” is no tensor of numbers.")
    if not bool(torch.isfinite(value).all()):
        raise _bad(f"{name}: “{what}” holds numbers that are not finite.")


def _centred(weights: Tensor, axis: int, centred: bool) -> Tensor:
    # <w, h - mean(h)> is <w - mean(w), h>: the probe stays one of the stream as it is.
    return weights - weights.mean(axis, keepdim=True) if centred else weights


def _layer(name: str, facts: dict[str, Any]) -> int | None:
    value = facts.get("layer")
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:4])
    if value is None:
        return None
    if type(value) is not int or not 0 <= value < 1000:
        raise _bad(f"{name} gives its block as {str(value)[:20]!r}, which is no number of a block.")
    return value


def _block(name: str) -> int | None:
    """The block that a file's name gives, as ``resid_5_linear.pth``; None if it gives none or several."""
    numbers = {int(n) for n in _BLOCK.findall(name)}
    return numbers.pop() if len(numbers) == 1 else None


def _site(name: str, facts: dict[str, Any]) -> str | None:
    value = facts.get("activation_name")
    if value is None:
        return None
    place = str(value).rpartition(".")[2]
    place = _PLACES.get(place, place)
    if place not in SITES:
        raise _bad(f"{name} reads the site {str(value)[:40]!r}; here a probe reads {', '.join(SITES)}.")
    return place


def _misfit(name: str, tensors: dict[str, Tensor]) -> UserError:
    shapes = ", ".join(f"{n} {tuple(t.shape)}" for n, t in tensors.items())
    return _bad(f"{name}: its tensors do not fit together ({shapes}).")


def _bad(message: str) -> UserError:
    return UserError(message, "probes")
