"""A fitted mixture as two files: arrays that hold no code, and a manifest in words that says what they are.

``<name>.safetensors`` has the arrays; ``<name>.json`` says which activations they were fitted to, by what, and carries
their checksum. A reader checks all of it before the first number is used, so that a damaged or exchanged file becomes a
sentence and not a wrong picture. In half form, for files that travel with the code, means and loadings take two bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from analysis import foreign
from analysis.artefacts import write_whole
from analysis.errors import UserError
from analysis.mfa.parameters import Parameters

FORMAT = 1
_NAME = "mixture"  # of the files in a folder that was given without a name
_OWN = ("weights", "means", "loadings", "noise")
_EXTRA = "extra."
_TOP = 2.0**15  # scaled halves stay below this: clear of the largest half, and as far as can be from the smallest


def save_mixture(
    path: Path | str,
    parameters: Parameters,
    manifest: dict[str, Any],
    *,
    extra_arrays: dict[str, Tensor | np.ndarray] | None = None,
    half: bool = False,
) -> Path:
    """Write a mixture; returns the path of the manifest.

    Args:
        path: a folder that exists (the files are then named "mixture"), or a path of either file, or that without its
            ending.
        manifest: plain data on where the mixture comes from: ``model``, ``revision``, ``fingerprint``, ``layer``,
            ``site``, ``corpus`` (hash), ``held_out`` (log-likelihood, nats per activation), ``seed``, ``version`` (of
            the code) and ``command`` (that makes it again). Added here: ``format``, ``K``, ``R``, ``D``, ``noise``
            ("shared" or "component"), ``half``, ``extra`` (names) and ``sha256`` of the other file.
        extra_arrays: further arrays by name, stored in their own dtype and given back as they are.
        half: means less their weighted mean, and loadings, as float16 after division by a power of two; relative error
            of an entry 2^-11, or 2^-39 of the largest entry. The rest, and everything without ``half``, is float32.

    Raises:
        ValueError: parameters that could not be read back: not finite, or no variance, or shapes that disagree.
    """
    exact = parameters.to("cpu").to(torch.float32)
    fault = _fault(exact, (exact.components, exact.factors, exact.width), exact.noise.ndim == 1)
    if fault:
        raise ValueError(f"not a mixture that can be saved: {fault}")
    arrays = {name: tensor.contiguous() for name, tensor in vars(exact).items()}
    if half:
        centre = exact.weights @ exact.means
        arrays |= {"centre": centre}
        for name, tensor in (("means", exact.means - centre), ("loadings", exact.loadings)):
            arrays[name], arrays[f"{name}_scale"] = _halved(tensor)
    extra = {name: torch.as_tensor(value).cpu() for name, value in (extra_arrays or {}).items()}
    arrays |= {_EXTRA + name: value.clone(memory_format=torch.contiguous_format) for name, value in extra.items()}
    body = save(arrays)
    record = {
        **manifest,
        "format": FORMAT,
        "K": exact.components,
        "R": exact.factors,
        "D": exact.width,
        "noise": "shared" if exact.noise.ndim == 1 else "component",
        "half": half,
        "extra": sorted(extra),
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    text = json.dumps(record, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"
    data_path, manifest_path = _paths(path)
    data_path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(data_path, body)
    write_whole(manifest_path, text.encode())
    return manifest_path


def load_mixture(path: Path | str) -> tuple[Parameters, dict[str, Any], dict[str, Tensor]]:
    """Read a mixture written by :func:`save_mixture`: float32 parameters, the manifest, the further arrays.

    The parameters are checked to be finite and a mixture; further arrays are given back as they are.

    Raises:
        UserError: field "file": missing, written by another version, changed after it was written, or wrong inside.
    """
    data_path, manifest_path = _paths(path)
    record = _manifest(_bytes(manifest_path))
    body = _bytes(data_path)
    if hashlib.sha256(body).hexdigest() != record.get("sha256"):
        raise UserError(
            f"{data_path.name} was changed after it was written: its checksum is not the one in {manifest_path.name}. "
            "Copy both files again, or fit again.",
            "file",
        )
    try:
        arrays = load(body)
    except (SafetensorError, ValueError, KeyError) as error:
        raise _bad(f"{data_path.name} is no safetensors file") from error
    names = set(_OWN) | ({"centre", "means_scale", "loadings_scale"} if record["half"] else set())
    missing = sorted(names - set(arrays)) + sorted(n for n in record["extra"] if _EXTRA + n not in arrays)
    if missing:
        raise _bad(f"the array {missing[0]} is missing")
    parameters = _parameters(arrays, record)
    fault = _fault(parameters, (record["K"], record["R"], record["D"]), record["noise"] == "shared")
    if fault:
        raise _bad(fault)
    return parameters, record, {name: arrays[_EXTRA + name] for name in record["extra"]}


def _parameters(arrays: dict[str, Tensor], record: dict[str, Any]) -> Parameters:
    kept = {name: arrays[name].to(torch.float32) for name in _OWN}
    if record["half"]:
        for name in ("means", "loadings"):
            scale = arrays[f"{name}_scale"]
            if scale.numel() != 1:
                raise _bad(f"the scale of its {name} is not one number")
            kept[name] = kept[name] * scale.to(torch.float32).reshape(())
        centre = arrays["centre"].to(torch.float32)
        if tuple(centre.shape) != (record["D"],) or kept["means"].ndim != 2 or kept["means"].shape[1] != record["D"]:
            raise _bad("its centre and means do not have the width that the manifest says")
        kept["means"] = kept["means"] + centre
    return Parameters(**kept)


def _fault(p: Parameters, sizes: tuple[int, int, int], shared: bool) -> str:
    """What keeps these parameters from being a mixture of the given K, R, D, in words; empty if nothing does."""
    count, factors, width = sizes
    shapes = {
        "weights": (count,),
        "means": (count, width),
        "loadings": (count, width, factors),
        "noise": (width,) if shared else (count, width),
    }
    for name, shape in shapes.items():
        tensor: Tensor = getattr(p, name)
        if tuple(tensor.shape) != shape:
            found, wanted = (" x ".join(map(str, s)) for s in (tensor.shape, shape))
            return f"its {name} are {found} numbers where {wanted} are needed"
        if not bool(tensor.isfinite().all()):
            return f"its {name} have numbers that are not finite"
    if count < 1 or width < 1 or bool((p.weights < 0).any()) or abs(float(p.weights.sum()) - 1) > 1e-3:
        return "its weights are not shares that add up to one"
    return "" if bool((p.noise > 0).all()) else "its noise has variances that are not positive"


def _halved(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """``tensor`` as float16 over a power of two, exact in itself, and that power, float32 with no axes."""
    largest = float(tensor.abs().max()) if tensor.numel() else 0.0
    scale = 2.0 ** math.ceil(math.log2(largest / _TOP)) if largest > 0 else 1.0
    return (tensor.double() / scale).to(torch.float16).contiguous(), torch.tensor(scale, dtype=torch.float32)


def _manifest(body: bytes) -> dict[str, Any]:
    try:
        record = foreign.parse_json(body, "file", "its manifest")
    except UserError as error:
        raise _bad(f"its manifest is not readable ({error.message.rstrip('.')})") from error
    if not isinstance(record, dict) or "format" not in record:
        raise _bad("its manifest does not say which format it has")
    if record["format"] != FORMAT:
        raise UserError(
            f"This fit was written in format {str(record['format'])[:20]}; this version reads format {FORMAT}. Fit "
            "again, or use the version of the code that wrote it.",
            "file",
        )
    sizes = all(type(record.get(name)) is int and record[name] >= 0 for name in ("K", "R", "D"))
    extra = record.get("extra")
    if not sizes or not isinstance(extra, list) or not all(isinstance(n, str) for n in extra):
        raise _bad("its manifest does not say how many regions, factors and dimensions it has")
    if record.get("noise") not in ("shared", "component") or not isinstance(record.get("half"), bool):
        raise _bad("its manifest does not say how its numbers are stored")
    return foreign.Record(record, "This fit", "file")


def _bad(why: str) -> UserError:
    return UserError(f"This fit cannot be used: {why}. Copy both of its files again, or fit again.", "file")


def _bytes(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():  # a pipe would hold whoever opens it
            raise OSError(f"{path.name} is no plain file")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path.name}. A fit is a pair: .safetensors and .json.", "file") from error
    except OSError as error:
        raise UserError(f"{path.name} could not be read. Check that it is a file and may be opened.", "file") from error


def _paths(path: Path | str) -> tuple[Path, Path]:
    """Both files. Names may have dots of their own, so only the two known endings are taken off."""
    base = Path(path)
    if base.is_dir():
        base = base / _NAME
    elif base.suffix in (".safetensors", ".json"):
        base = base.with_suffix("")
    return base.with_name(base.name + ".safetensors"), base.with_name(base.name + ".json")
