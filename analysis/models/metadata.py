"""How large a model is, and whether it fits, before a single weight is read.

People load models by typing a name, and the wrong name can fill a disk or get a process killed. So everything here
comes from metadata, in whichever way the model allows: a folder (metadata_folder), a GGUF file (metadata_gguf) or the
hub (metadata_hub). This module hides these ways behind one answer, and holds the rules by which sizes become bytes of
memory and a verdict. No code of a model repository is ever run.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from analysis.models.default import SMOLLM2, default_folder, read_manifest
from analysis.models.memory import gpu_memory, host_memory
from analysis.models.metadata_facts import Facts, Stored, gb
from analysis.models.metadata_folder import from_folder
from analysis.models.metadata_gguf import from_gguf
from analysis.models.metadata_hub import from_hub
from analysis.models.model_facts import ITEM_BYTES, ModelEstimate
from analysis.models.spec import EIGHT_BIT, ModelSpec, check_local

_ROOM = 256_000_000


def estimate(spec: ModelSpec) -> ModelEstimate:
    """Size, shape and fit of the model that ``spec`` names, without reading weights.

    Takes milliseconds for a local folder, about a second for a GGUF file, at most ten seconds for the hub.
    Raises UserError(field="model"): absent, damaged, gated, out of reach, unknown kind, or needs code of its own.
    """
    path = check_local(spec)
    if spec.kind == "default":
        prepared = default_folder()
        facts = from_folder(prepared) if read_manifest(prepared) is not None else _default_before_it_is_made()
    elif path is None:
        facts = from_hub(spec)
    else:
        facts = from_gguf(path) if spec.kind == "gguf" else from_folder(path)
    return _judge(spec, facts)


def _default_before_it_is_made() -> Facts:
    """The default model has not been downloaded: what is known of the pinned file, checked when it is made."""
    n = SMOLLM2.parameters or 0
    return Facts(
        tensors=[Stored("all", "float32", (n,), 4 * n)],
        config={},
        architecture="LlamaForCausalLM",
        model_type="llama",
        layers=SMOLLM2.layers,
        heads=SMOLLM2.heads,
        origin=f"Known of {SMOLLM2.name} {SMOLLM2.version}, which is downloaded when the model is first loaded.",
        bytes_on_disk=None,
        notes=[],
        weights="safetensors",
    )


def _judge(spec: ModelSpec, facts: Facts) -> ModelEstimate:
    stored: Counter[str] = Counter()
    for tensor in facts.tensors:
        stored[tensor.dtype] += tensor.numbers
    dtype = _wanted_dtype(spec, facts, stored)
    packed = bool(facts.config.get("quantization_config"))
    plain = [
        t.numbers * ITEM_BYTES[dtype] if facts.weights == "gguf" or (not packed and _floating(t.dtype)) else t.nbytes
        for t in facts.tensors
    ]
    needed = sum(plain)
    notes = list(facts.notes)
    if packed:
        notes.append("These weights are quantised; the number of parameters is the number of stored values.")
    peak, how = _peak(facts, stored, dtype, needed)
    if spec.dtype == EIGHT_BIT and not packed:
        how = f"{how}, before they are put into 8 bit"
        needed = sum(_in_eight_bit(t, whole) for t, whole in zip(facts.tensors, plain, strict=True))
        notes.append("In 8 bit: the matrices of the blocks; what that changes is measured when the model is loaded.")
    total, free = host_memory()
    gpus = gpu_memory()
    fits, verdict = _fit(spec, needed, peak, free, gpus)
    if facts.weights == "none":
        fits, verdict = False, "There are no weights here that can be read, only a configuration."
    return ModelEstimate(
        parameters=sum(stored.values()),
        bytes_on_disk=facts.bytes_on_disk,
        stored_dtypes=dict(stored),
        dtype=dtype,
        bytes_needed=needed,
        peak_bytes=peak,
        peak_how=how,
        architecture=facts.architecture,
        model_type=facts.model_type,
        layers=facts.layers,
        heads=facts.heads,
        origin=facts.origin,
        host_total=total,
        host_free=free,
        gpus=gpus,
        fits=fits,
        verdict=verdict,
        notes=notes,
    )


def _wanted_dtype(spec: ModelSpec, facts: Facts, stored: Counter[str]) -> str:
    """The dtype of the loaded weights. ``auto``: as configured, else as most weights are stored; GGUF: float32."""
    if spec.dtype not in ("auto", EIGHT_BIT):
        return spec.dtype
    named = facts.config.get("dtype") or facts.config.get("torch_dtype")
    if named in ITEM_BYTES and facts.weights != "gguf":
        return str(named)
    return next((d for d, _ in stored.most_common() if d in ITEM_BYTES and facts.weights != "gguf"), "float32")


def _peak(facts: Facts, stored: Counter[str], dtype: str, needed: int) -> tuple[int, str]:
    """Host bytes at the worst moment of loading; the rules were fitted to measurements on the default model."""
    if facts.weights == "gguf":
        largest = max((t.numbers for t in facts.tensors), default=0)
        peak = needed + (facts.bytes_on_disk or 0) + 2 * 4 * largest
        return peak, "the weights, the file, and two float32 copies of the largest tensor while it is dequantised"
    if set(stored) <= {dtype} and facts.weights == "safetensors":
        return needed, "the weights once, copied out of the mapped file, whose pages the system takes back"
    return needed + sum(
        t.nbytes for t in facts.tensors
    ), f"the weights as stored and again as {dtype}, at the same time"


def _fit(spec: ModelSpec, needed: int, peak: int, free: int, gpus: list[dict[str, Any]]) -> tuple[bool, str]:
    room = needed // 10 + _ROOM
    cuda = spec.device.startswith("cuda") or (spec.device == "auto" and bool(gpus))
    if spec.device.startswith("cuda") and not gpus:
        return False, "This machine has no GPU that torch can use. Choose auto or cpu."
    if spec.device_map == "auto" and gpus:
        have = free + sum(g["free"] for g in gpus)
        words = f"The weights need {gb(needed)}; host and GPUs together have {gb(have)} free."
        return needed + room <= have, words + _advice(needed + room <= have)
    if cuda:
        index = int(spec.device.partition(":")[2] or 0)
        gpu = next((g for g in gpus if g["index"] == index), None)
        if gpu is None:
            return False, f"This machine has no GPU number {index}. Choose one of 0 to {len(gpus) - 1}, or auto."
        fits = needed + room <= gpu["free"] and peak <= free
        words = f"The weights need {gb(needed)} on GPU {index}, which has {gb(gpu['free'])} free, and loading needs "
        return fits, words + f"{gb(peak)} of the {gb(free)} free in host memory." + _advice(fits)
    fits = peak + room <= free
    words = f"Loading needs {gb(peak)}, and {gb(room)} for work; {gb(free)} of host memory are free."
    return fits, words + _advice(fits)


def _advice(fits: bool) -> str:
    return " It fits." if fits else " It does not fit: choose bfloat16, another device, or a smaller model."


def _in_eight_bit(tensor: Stored, whole: int) -> int:
    """Bytes of a tensor in 8 bit: a byte for each number of a block's matrix and a float32 scale for each of its rows;
    others as a ``whole``."""
    if len(tensor.shape) != 2 or not any(part.isdigit() for part in tensor.name.split(".")):
        return whole
    return tensor.numbers + 4 * tensor.shape[0]


def _floating(dtype: str) -> bool:
    return dtype in ITEM_BYTES
