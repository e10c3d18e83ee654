"""A fitted mixture as arrays and back, in whole or in half precision.

In half form, for files that travel with the code, means and loadings take two bytes. A reader checks sizes, shares,
variances and finiteness before the first number is used, so that an exchanged file becomes a sentence and not a wrong
picture.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from analysis.artefacts import Arrays
from analysis.mfa.parameters import Parameters, finite
from analysis.shelf import Misfit

_OWN = ("weights", "means", "loadings", "noise")
_EXTRA = "extra."
_AXES = "loadings by axis"  # (K, R, D)
_TOP = 2.0**15  # scaled halves stay below this: clear of the largest half, and as far as can be from the smallest


def encode(parameters: Parameters, extra: dict[str, Tensor], half: bool = False) -> tuple[Arrays, dict[str, Any]]:
    """Arrays of a mixture, and what the manifest must say of them: ``K``, ``R``, ``D``, ``noise`` ("shared" or
    "component"), ``half`` and ``extra`` (names).

    Args:
        extra: further arrays by name, in their own dtype.
        half: means less their weighted mean, and loadings, as float16 after division by a power of two; relative error
            of an entry 2^-11, or 2^-39 of the largest entry. The rest, and everything without ``half``, is float32.

    Raises:
        ValueError: parameters that could not be read back: not finite, or no variance, or shapes that disagree.
    """
    exact = parameters.to("cpu").to(torch.float32)
    fault = _fault(exact, (exact.components, exact.factors, exact.width), exact.noise.ndim == 1)
    if fault:
        raise ValueError(f"not a mixture that can be saved: {fault}")
    arrays: dict[str, Tensor] = dict(vars(exact))
    if not half and exact.factors > 1 and exact.loadings.mT.is_contiguous():
        arrays[_AXES] = arrays.pop("loadings").mT  # a large mixture is kept as it lies in memory, without a copy
    if half:
        centre = exact.weights @ exact.means
        arrays |= {"centre": centre}
        for name, tensor in (("means", exact.means - centre), ("loadings", exact.loadings)):
            arrays[name], arrays[f"{name}_scale"] = _halved(tensor)
    arrays |= {_EXTRA + name: value for name, value in extra.items()}
    facts = {
        "K": exact.components,
        "R": exact.factors,
        "D": exact.width,
        "noise": "shared" if exact.noise.ndim == 1 else "component",
        "half": half,
        "extra": sorted(extra),
    }
    return {name: tensor.detach().cpu().numpy() for name, tensor in arrays.items()}, facts


def decode(arrays: Arrays, manifest: dict[str, Any]) -> tuple[Parameters, dict[str, Tensor]]:
    """Parameters (float32) and further arrays of what :func:`encode` made. Raises Misfit for arrays that are no mixture
    or not the one that the manifest describes."""
    _check_manifest(manifest)
    tensors = {name: torch.from_numpy(value) for name, value in arrays.items()}
    if _AXES in tensors and tensors[_AXES].ndim == 3:
        tensors["loadings"] = tensors.pop(_AXES).mT
    names = set(_OWN) | ({"centre", "means_scale", "loadings_scale"} if manifest["half"] else set())
    missing = sorted(names - set(tensors)) + sorted(n for n in manifest["extra"] if _EXTRA + n not in tensors)
    if missing:
        raise Misfit(f"the array {missing[0]} is missing")
    parameters = _parameters(tensors, manifest)
    fault = _fault(parameters, (manifest["K"], manifest["R"], manifest["D"]), manifest["noise"] == "shared")
    if fault:
        raise Misfit(fault)
    return parameters, {name: tensors[_EXTRA + name] for name in manifest["extra"]}


def _check_manifest(manifest: dict[str, Any]) -> None:
    sizes = all(type(manifest.get(name)) is int and manifest[name] >= 0 for name in ("K", "R", "D"))
    extra = manifest.get("extra")
    if not sizes or not isinstance(extra, list) or not all(isinstance(n, str) for n in extra):
        raise Misfit("its manifest does not say how many regions, factors and dimensions it has")
    if manifest.get("noise") not in ("shared", "component") or not isinstance(manifest.get("half"), bool):
        raise Misfit("its manifest does not say how its numbers are stored")


def _parameters(arrays: dict[str, Tensor], manifest: dict[str, Any]) -> Parameters:
    own = {name: arrays[name].to(torch.float32) for name in _OWN}
    if manifest["half"]:
        for name in ("means", "loadings"):
            scale = arrays[f"{name}_scale"]
            if scale.numel() != 1:
                raise Misfit(f"the scale of its {name} is not one number")
            own[name] = own[name] * scale.to(torch.float32).reshape(())
        centre = arrays["centre"].to(torch.float32)
        if tuple(centre.shape) != (manifest["D"],) or own["means"].ndim != 2 or own["means"].shape[1] != manifest["D"]:
            raise Misfit("its centre and means do not have the width that the manifest says")
        own["means"] = own["means"] + centre
    return Parameters(**own)


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
            actual, wanted = (" x ".join(map(str, s)) for s in (tensor.shape, shape))
            return f"its {name} are {actual} numbers where {wanted} are needed"
        if not finite(tensor):
            return f"its {name} have numbers that are not finite"
    if count < 1 or width < 1 or bool((p.weights < 0).any()) or abs(float(p.weights.sum()) - 1) > 1e-3:
        return "its weights are not shares that add up to one"
    return "" if bool((p.noise > 0).all()) else "its noise has variances that are not positive"


def _halved(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """``tensor`` as float16 over a power of two, exact in itself, and that power, float32 with no axes."""
    largest = float(tensor.abs().max()) if tensor.numel() else 0.0
    scale = 2.0 ** math.ceil(math.log2(largest / _TOP)) if largest > 0 else 1.0
    return (tensor.double() / scale).to(torch.float16), torch.tensor(scale, dtype=torch.float32)
