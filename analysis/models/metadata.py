"""How large a model is, and whether it fits, before a single weight is read.

People load models by typing a name, and the wrong name can fill a disk or get a process killed. So everything here
comes from metadata: the headers of safetensors files (local, or a few kilobytes from the hub), the header of a GGUF
file, or, where neither exists, a module built from the configuration on torch's meta device, which has shapes but no
memory. The module hides these three ways behind one answer, and turns every way in which a model can be absent,
damaged, forbidden or out of reach into a sentence. No code of a model repository is ever run.
"""

from __future__ import annotations

import json
import math
import os
import queue
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from analysis.errors import UserError
from analysis.models.default import SMOLLM2, default_folder, read_manifest
from analysis.models.spec import ModelSpec, check_local

HUB_SECONDS = 9.0
ITEM_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
_MAX_HEADER = 100_000_000
_ROOM = 256_000_000
_SAFETENSORS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "BOOL": "bool"} | {
    f"{letter}{bits}": f"{word}{bits}" for letter, word in (("I", "int"), ("U", "uint")) for bits in (8, 16, 32, 64)
}
_T = TypeVar("_T")


class Stored(NamedTuple):
    """One tensor as a file declares it: shape, dtype name, bytes on disk."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int

    @property
    def numbers(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class ModelEstimate:
    """What is known of a model before it is loaded. Plain data; bytes are bytes, not MB.

    ``parameters`` counts each weight once: an unembedding that is tied to the embedding is not counted again, and
    stored buffers (causal masks, rotary frequencies) are not counted. ``stored_dtypes`` counts the same parameters by
    the type in the file. ``bytes_needed`` is for the weights alone in ``dtype``; ``peak_bytes`` is the most that
    loading takes in host memory, computed as ``peak_how`` says. ``gpus`` has index, name, free, total. ``notes`` are
    sentences that the screen shows as they are.
    """

    parameters: int
    bytes_on_disk: int | None
    stored_dtypes: dict[str, int]
    dtype: str
    bytes_needed: int
    peak_bytes: int
    peak_how: str
    architecture: str
    model_type: str
    layers: int | None
    heads: int | None
    origin: str
    host_total: int
    host_free: int
    gpus: list[dict[str, Any]]
    fits: bool
    verdict: str
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON-able data."""
        return asdict(self)


class _Facts(NamedTuple):
    """What a way of looking found, before dtype and memory are considered."""

    tensors: list[Stored]
    config: dict[str, Any]
    architecture: str
    model_type: str
    layers: int | None
    heads: int | None
    origin: str
    bytes_on_disk: int | None
    notes: list[str]
    weights: str  # "safetensors", "pickle", "gguf" or "none"


def estimate(spec: ModelSpec) -> ModelEstimate:
    """Size, shape and fit of the model that ``spec`` names, without reading weights.

    Takes milliseconds for a local folder, about a second for a GGUF file, at most ten seconds for the hub.
    Raises UserError(field="model"): absent, damaged, gated, out of reach, unknown kind, or needs code of its own.
    """
    path = check_local(spec)
    if spec.kind == "default":
        prepared = default_folder()
        facts = _from_folder(prepared) if read_manifest(prepared) is not None else _default_before_it_is_made()
    elif path is None:
        facts = _from_hub(spec)
    else:
        facts = _from_gguf(path) if spec.kind == "gguf" else _from_folder(path)
    return _judge(spec, facts)


def _judge(spec: ModelSpec, facts: _Facts) -> ModelEstimate:
    stored: Counter[str] = Counter()
    for tensor in facts.tensors:
        stored[tensor.dtype] += tensor.numbers
    dtype = _wanted_dtype(spec, facts, stored)
    packed = bool(facts.config.get("quantization_config"))
    needed = sum(
        t.numbers * ITEM_BYTES[dtype] if facts.weights == "gguf" or (not packed and _floating(t.dtype)) else t.nbytes
        for t in facts.tensors
    )
    notes = list(facts.notes)
    if packed:
        notes.append("These weights are quantised; the number of parameters is the number of stored values.")
    peak, how = _peak(facts, stored, dtype, needed)
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


def _wanted_dtype(spec: ModelSpec, facts: _Facts, stored: Counter[str]) -> str:
    """The dtype of the loaded weights. ``auto``: as configured, else as most weights are stored; GGUF: float32."""
    if spec.dtype != "auto":
        return spec.dtype
    named = facts.config.get("dtype") or facts.config.get("torch_dtype")
    if named in ITEM_BYTES and facts.weights != "gguf":
        return str(named)
    return next((d for d, _ in stored.most_common() if d in ITEM_BYTES and facts.weights != "gguf"), "float32")


def _peak(facts: _Facts, stored: Counter[str], dtype: str, needed: int) -> tuple[int, str]:
    """Host bytes at the worst moment of loading; the rules were fitted to measurements on the default model."""
    if facts.weights == "gguf":
        largest = max((t.numbers for t in facts.tensors), default=0)
        peak = needed + (facts.bytes_on_disk or 0) + 2 * 4 * largest
        return peak, "the weights, the file, and two float32 copies of the largest tensor while it is dequantised"
    if set(stored) <= {dtype} and facts.weights == "safetensors":
        return needed, "the weights once: the file is mapped into memory and used as it is"
    return needed + sum(t.nbytes for t in facts.tensors), f"the weights as stored and again as {dtype}, at the same time"


def _fit(spec: ModelSpec, needed: int, peak: int, free: int, gpus: list[dict[str, Any]]) -> tuple[bool, str]:
    room = needed // 10 + _ROOM
    cuda = spec.device.startswith("cuda") or (spec.device == "auto" and bool(gpus))
    if spec.device.startswith("cuda") and not gpus:
        return False, "This machine has no GPU that torch can use. Choose auto or cpu."
    if spec.device_map == "auto" and gpus:
        have = free + sum(g["free"] for g in gpus)
        words = f"The weights need {_gb(needed)}; host and GPUs together have {_gb(have)} free."
        return needed + room <= have, words + _advice(needed + room <= have)
    if cuda:
        index = int(spec.device.partition(":")[2] or 0)
        gpu = next((g for g in gpus if g["index"] == index), None)
        if gpu is None:
            return False, f"This machine has no GPU number {index}. Choose one of 0 to {len(gpus) - 1}, or auto."
        fits = needed + room <= gpu["free"] and peak <= free
        words = f"The weights need {_gb(needed)} on GPU {index}, which has {_gb(gpu['free'])} free, and loading needs "
        return fits, words + f"{_gb(peak)} of the {_gb(free)} free in host memory." + _advice(fits)
    fits = peak + room <= free
    words = f"Loading needs {_gb(peak)}, and {_gb(room)} for work; {_gb(free)} of host memory are free."
    return fits, words + _advice(fits)


def _advice(fits: bool) -> str:
    return " It fits." if fits else " It does not fit: choose bfloat16, another device, or a smaller model."


def host_memory() -> tuple[int, int]:
    """Total and free bytes of host memory, within the limit of the container if there is one."""
    import psutil

    memory = psutil.virtual_memory()
    total, free = int(memory.total), int(memory.available)
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        lines = Path("/sys/fs/cgroup/memory.stat").read_text().splitlines()
        used = next(int(line.split()[1]) for line in lines if line.startswith("anon "))
        total, free = min(total, limit), min(free, max(0, limit - used))
    except (OSError, ValueError, StopIteration):
        pass
    return total, free


def gpu_memory() -> list[dict[str, Any]]:
    """Index, name, free and total bytes of each CUDA device that torch can use."""
    import torch

    if not torch.cuda.is_available():
        return []
    return [
        {"index": i, "name": torch.cuda.get_device_name(i), "free": free, "total": total}
        for i in range(torch.cuda.device_count())
        for free, total in [torch.cuda.mem_get_info(i)]
    ]


def _from_folder(path: Path) -> _Facts:
    config = _read_json(path / "config.json")
    files = _weight_files(path, "model.safetensors")
    if files:
        tensors = [t for file in files for t in safetensors_header(file)]
        origin = f"Read from the headers of {len(files)} safetensors file{'s' if len(files) > 1 else ''} in {path.name}."
        return _described(config, tensors, origin, sum(f.stat().st_size for f in files), "safetensors")
    pickles = _weight_files(path, "pytorch_model.bin")
    size = sum(f.stat().st_size for f in pickles) if pickles else None
    return _described(config, None, f"Counted on a module built from {path.name}'s config.json without memory.", size,
                      "pickle" if pickles else "none")


def _weight_files(path: Path, name: str) -> list[Path]:
    """The files that transformers would read: those of the index if there is one, else the single file, else none."""
    index = path / f"{name}.index.json"
    if not index.is_file():
        return [path / name] if (path / name).is_file() else []
    mapping = _read_json(index).get("weight_map")
    names = sorted({str(v) for v in mapping.values()}) if isinstance(mapping, dict) else []
    for shard in names:
        if Path(shard).name != shard or not (path / shard).is_file():
            raise _bad(f"{index.name} names the file {Path(shard).name}, which is not in the folder. Download it again.")
    return [path / shard for shard in names]


def safetensors_header(file: Path) -> list[Stored]:
    """The tensors that a safetensors file declares. Reads its first bytes only, and checks that the rest is there.

    Raises UserError(field="model") if the header cannot be read or describes more bytes than the file has.
    """
    size = file.stat().st_size
    try:
        with file.open("rb") as stream:
            length = struct.unpack("<Q", stream.read(8))[0]
            if length > min(_MAX_HEADER, size):
                raise ValueError
            header = json.loads(stream.read(length))
        tensors = [
            (Stored(name, _SAFETENSORS.get(t["dtype"], str(t["dtype"]).lower()), tuple(map(int, t["shape"])),
                    int(t["data_offsets"][1]) - int(t["data_offsets"][0])), int(t["data_offsets"][1]))
            for name, t in header.items() if name != "__metadata__"
        ]
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise _bad(f"The header of {file.name} cannot be read: the file is damaged. Download it again.") from error
    if 8 + length + max((end for _, end in tensors), default=0) > size:
        raise _bad(f"{file.name} is cut off: its header describes more than its {_gb(size)}. Download it again.")
    return [tensor for tensor, _ in tensors]


def _described(
    config: dict[str, Any], tensors: list[Stored] | None, origin: str, size: int | None, weights: str
) -> _Facts:
    """Add what the configuration says; ``tensors`` None means: take the shapes from a module on the meta device."""
    parsed, notes = _parsed_config(config)
    text = parsed.get_text_config()
    if tensors is None:
        tensors = _meta_tensors(parsed)
        origin += " The stored type is what the configuration says."
    else:
        tensors = _parameters_only(tensors, bool(getattr(text, "tie_word_embeddings", False)))
    if weights == "pickle":
        notes.append("These weights are pickle files; they are read with weights_only=True, so that no code in them runs.")
    names = config.get("architectures")
    return _Facts(
        tensors=tensors,
        config=config,
        architecture=str(names[0]) if isinstance(names, list) and names else type(parsed).__name__.replace("Config", ""),
        model_type=str(config.get("model_type", "")),
        layers=getattr(text, "num_hidden_layers", None),
        heads=getattr(text, "num_attention_heads", None),
        origin=origin,
        bytes_on_disk=size,
        notes=notes,
        weights=weights,
    )


def _parsed_config(config: dict[str, Any]) -> tuple[Any, list[str]]:
    """transformers' own configuration object, which knows each architecture's names and defaults."""
    from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING

    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        if config.get("auto_map"):
            raise _bad(
                "This model brings its own Python code, and Attune never runs code from a model repository. Choose a "
                "model whose architecture is part of transformers."
            )
        raise _bad(f"The installed transformers does not know the model type {str(kind)[:60]!r}. Choose another model.")
    try:
        parsed = CONFIG_MAPPING[kind].from_dict(config)
    except Exception as error:  # a configuration is foreign input; each class refuses in its own way
        raise _bad("The model's config.json does not make sense to transformers. Download the model again.") from error
    if type(parsed) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise _bad(f"A model of type {kind} is not a causal language model. Choose one that predicts the next token.")
    ignored = "This model brings its own Python code; it is not run, transformers' own class is used instead."
    return parsed, [ignored] if config.get("auto_map") else []


def _meta_tensors(parsed: Any) -> list[Stored]:
    """The parameters of the module that ``parsed`` describes; tied weights are one parameter, so they come once."""
    import torch
    from transformers import AutoModelForCausalLM

    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(parsed, trust_remote_code=False)
    except Exception as error:  # see _parsed_config
        raise _bad("No module can be built from the model's config.json. Download the model again.") from error
    return [
        Stored(name, str(p.dtype).removeprefix("torch."), tuple(p.shape), p.numel() * p.element_size())
        for name, p in model.named_parameters()
    ]


def _parameters_only(tensors: Iterable[Stored], tied: bool) -> list[Stored]:
    """Drop stored buffers, and a stored unembedding that the configuration ties to an embedding of the same shape."""
    kept = [t for t in tensors if not _is_buffer(t)]
    if not tied:
        return kept
    embeddings = {t.shape for t in kept if t.name.rpartition(".")[0].endswith(("embed_tokens", "wte", "embed_in",
                                                                               "word_embeddings", "embeddings"))}
    return [t for t in kept if not (t.name in ("lm_head.weight", "embed_out.weight") and t.shape in embeddings)]


def _is_buffer(tensor: Stored) -> bool:
    mask = tensor.name.endswith((".attn.bias", ".attention.bias")) and len(tensor.shape) == 4
    return mask or tensor.name.endswith(("rotary_emb.inv_freq", ".masked_bias", "rope_freqs.weight"))
