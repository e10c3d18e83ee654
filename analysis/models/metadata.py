"""How large a model is, and whether it fits, before a single weight is read.

People load models by typing a name, and the wrong name can fill a disk or get a process killed. So everything here
comes from metadata: the headers of safetensors files (local, or a few kilobytes from the hub), the header of a GGUF
file, or, where neither exists, a module built from the configuration on torch's meta device, which has shapes but no
memory. The module hides these three ways behind one answer, and turns every way in which a model can be absent,
damaged, forbidden or out of reach into a sentence. No code of a model repository is ever run.
"""

from __future__ import annotations

import importlib
import json
import math
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
_MAX_LAYERS = 2000
_SAFETENSORS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "BOOL": "bool"} | {
    f"{letter}{bits}": f"{word}{bits}" for letter, word in (("I", "int"), ("U", "uint")) for bits in (8, 16, 32, 64)
}
_META = "__metadata__"
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
        origin = (
            f"Read from the headers of {len(files)} safetensors file{'s' if len(files) > 1 else ''} in {path.name}."
        )
        return _described(config, tensors, origin, sum(f.stat().st_size for f in files), "safetensors")
    pickles = _weight_files(path, "pytorch_model.bin")
    size = sum(f.stat().st_size for f in pickles) if pickles else None
    return _described(
        config,
        None,
        f"Counted on a module built from {path.name}'s config.json without memory.",
        size,
        "pickle" if pickles else "none",
    )


def _weight_files(path: Path, name: str) -> list[Path]:
    """The files that transformers would read: those of the index if there is one, else the single file, else none."""
    index = path / f"{name}.index.json"
    if not index.is_file():
        return [path / name] if (path / name).is_file() else []
    mapping = _read_json(index).get("weight_map")
    names = sorted({str(v) for v in mapping.values()}) if isinstance(mapping, dict) else []
    for shard in names:
        if Path(shard).name != shard or not (path / shard).is_file():
            raise _bad(
                f"{index.name} names the file {Path(shard).name}, which is not in the folder. Download it again."
            )
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
        spans = {n: (int(t["data_offsets"][0]), int(t["data_offsets"][1])) for n, t in header.items() if n != _META}
        tensors = [
            Stored(n, _type_name(str(header[n]["dtype"])), tuple(map(int, header[n]["shape"])), end - start)
            for n, (start, end) in spans.items()
        ]
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise _bad(f"The header of {file.name} cannot be read: the file is damaged. Download it again.") from error
    if 8 + length + max((end for _, end in spans.values()), default=0) > size:
        raise _bad(f"{file.name} is cut off: its header describes more than its {_gb(size)}. Download it again.")
    return tensors


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
        notes.append(
            "These weights are pickle files; they are read with weights_only=True, so that no code in them runs."
        )
    names = config.get("architectures")
    return _Facts(
        tensors=tensors,
        config=config,
        architecture=str(names[0])
        if isinstance(names, list) and names
        else type(parsed).__name__.replace("Config", ""),
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

    build: Any = AutoModelForCausalLM.from_config
    if not 0 < (getattr(parsed.get_text_config(), "num_hidden_layers", 0) or 0) <= _MAX_LAYERS:
        raise _bad(f"The model's config.json names no sensible number of layers (1 to {_MAX_LAYERS}). Correct it.")
    try:
        with torch.device("meta"):
            model = build(parsed, trust_remote_code=False)
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
    ends = ("embed_tokens.weight", "wte.weight", "embed_in.weight", "word_embeddings.weight", "embeddings.weight")
    embeddings = {t.shape for t in kept if t.name.endswith(ends)}
    return [t for t in kept if not (t.name in ("lm_head.weight", "embed_out.weight") and t.shape in embeddings)]


def _is_buffer(tensor: Stored) -> bool:
    mask = tensor.name.endswith((".attn.bias", ".attention.bias")) and len(tensor.shape) == 4
    return mask or tensor.name.endswith(("rotary_emb.inv_freq", ".masked_bias", "rope_freqs.weight"))


def _from_gguf(path: Path) -> _Facts:
    """Sizes from the GGUF header; the reader maps the file and touches none of its weights."""
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise _bad("Reading GGUF files needs the packages gguf and accelerate: pip install gguf accelerate.") from error
    size = path.stat().st_size
    try:
        reader = GGUFReader(str(path))
        fields = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("tokenizer.")}
        spans = [(t, int(t.data_offset) + int(t.n_bytes)) for t in reader.tensors]
    # The reader does not check what it reads: a short or damaged file fails wherever it happens to.
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError, OSError) as error:
        raise _bad(_cut_off(path, size)) from error
    if not spans or any(end > size for _, end in spans):
        raise _bad(_cut_off(path, size))
    architecture = str(fields.get("general.architecture", ""))
    if not _gguf_is_read(architecture):
        raise _bad(
            f"transformers cannot read GGUF files of the architecture {architecture[:60]!r}. Choose another model."
        )
    lost = "These weights are quantised; loading dequantises them, and what quantisation lost stays lost."
    stored = [
        Stored(t.name, t.tensor_type.name, tuple(int(n) for n in reversed(t.shape)), int(t.n_bytes)) for t, _ in spans
    ]
    return _Facts(
        tensors=[t for t in stored if not _is_buffer(t)],
        config={},
        architecture=architecture,
        model_type=architecture,
        layers=_whole(fields.get(f"{architecture}.block_count")),
        heads=_whole(fields.get(f"{architecture}.attention.head_count")),
        origin=f"Read from the header of {path.name}.",
        bytes_on_disk=size,
        notes=[lost] if any(t.dtype not in ("F32", "F16", "BF16") for t in stored) else [],
        weights="gguf",
    )


def _gguf_is_read(architecture: str) -> bool:
    for module, names in (
        ("modeling_gguf_pytorch_utils", "GGUF_SUPPORTED_ARCHITECTURES"),
        ("integrations.gguf", "GGUF_ARCHS"),
    ):
        try:
            if architecture in getattr(importlib.import_module(f"transformers.{module}"), names):
                return True
        except (ImportError, AttributeError):
            continue
    return False


def _cut_off(path: Path, size: int) -> str:
    return f"{path.name} is cut off or damaged: its header describes more than its {_gb(size)}. Download it again."


def _from_hub(spec: ModelSpec) -> _Facts:
    """From the hub within HUB_SECONDS, or, where it is out of reach, from the copy that the hub's cache holds."""
    from huggingface_hub import constants, errors, get_token, try_to_load_from_cache

    name = spec.source
    http_error: type[Exception] = getattr(errors, "HTTPError", OSError)  # of the HTTP library, whichever it is
    try:
        return _in_time(lambda: _ask_hub(spec), HUB_SECONDS)
    except errors.GatedRepoError as error:
        todo = "accept its terms on its page there" if get_token() else "accept its terms there, then set HF_TOKEN"
        raise _bad(f"The model {name} is gated: its owner asks who downloads it. To use it, {todo}.") from error
    except errors.RevisionNotFoundError as error:
        raise _bad(
            f"The model {name} has no revision {spec.revision}. Check the spelling, or leave it empty."
        ) from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise _bad(
            f"The hub has no model {name}, or it is private. Check the spelling; for a private model set HF_TOKEN."
        ) from error
    except errors.EntryNotFoundError as error:
        if not isinstance(error, errors.LocalEntryNotFoundError):
            raise _bad(f"{name} has no config.json on the hub, so it is not a model for transformers.") from error
        reason: Exception = error
    except errors.SafetensorsParsingError as error:
        raise _bad(f"The safetensors headers of {name} on the hub cannot be read. Choose another model.") from error
    except errors.HfHubHTTPError as error:
        status = getattr(getattr(error, "response", None), "status_code", "an error")
        raise _bad(f"The hub answered {status} when asked for {name}. Try again later, or check HF_TOKEN.") from error
    except (http_error, OSError) as error:
        reason = error
    cached = try_to_load_from_cache(name, "config.json", revision=spec.revision)
    if isinstance(cached, str):
        facts = _from_folder(Path(cached).parent)
        origin = f"Read from the copy of {name} in the hub's cache on this machine; the hub itself was not reached."
        return facts._replace(origin=origin)
    if constants.HF_HUB_OFFLINE:
        raise _bad(
            f"Downloads are switched off (HF_HUB_OFFLINE); {name} is not on this machine. Give a folder or GGUF file."
        ) from reason
    raise _bad(
        f"The hub cannot be reached from this machine, so whether {name} exists is not known. Check the network, or "
        "give the path of a folder or a GGUF file."
    ) from reason


def _ask_hub(spec: ModelSpec) -> _Facts:
    from huggingface_hub import HfApi, hf_hub_download

    api, name = HfApi(), spec.source
    info = api.model_info(name, revision=spec.revision, timeout=5, files_metadata=True)
    sizes = {s.rfilename: int(s.size or 0) for s in info.siblings or []}
    if "config.json" not in sizes and any(f.endswith(".gguf") for f in sizes):
        raise _bad(f"{name} holds GGUF files only. Download the one you want and give its path.")
    config = _read_json(Path(hf_hub_download(name, "config.json", revision=info.sha, etag_timeout=5)))
    if "model.safetensors" in sizes or "model.safetensors.index.json" in sizes:
        headers = api.get_safetensors_metadata(name, revision=info.sha, timeout=5)
        tensors = [
            Stored(n, _type_name(t.dtype), tuple(map(int, t.shape)), t.data_offsets[1] - t.data_offsets[0])
            for file in headers.files_metadata.values()
            for n, t in file.tensors.items()
        ]
        size = sum(sizes.get(f, 0) for f in headers.files_metadata)
        return _described(
            config, tensors, f"Read from the safetensors headers of {name} on the hub.", size, "safetensors"
        )
    pickles = {f: n for f, n in sizes.items() if f.startswith("pytorch_model") and f.endswith(".bin")}
    origin = f"Counted on a module built from the config.json of {name} on the hub, without memory."
    return _described(config, None, origin, sum(pickles.values()) or None, "pickle" if pickles else "none")


def _in_time(work: Callable[[], _T], seconds: float) -> _T:
    """Run ``work`` in a thread and wait so long: name resolution and retries know no timeout of their own."""
    answers: queue.Queue[tuple[_T | None, BaseException | None]] = queue.Queue()

    def run() -> None:
        try:
            answers.put((work(), None))
        except BaseException as error:  # handed over to the waiting thread whole
            answers.put((None, error))

    threading.Thread(target=run, name="hub", daemon=True).start()
    try:
        value, error = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if error is not None:
        raise error
    return value  # type: ignore[return-value]


def _default_before_it_is_made() -> _Facts:
    """The default model has not been downloaded: what is known of the pinned file, checked when it is made."""
    n = SMOLLM2.parameters or 0
    return _Facts(
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


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _bad(f"{path.name} cannot be read as JSON. Download the model again.") from error
    if not isinstance(data, dict):
        raise _bad(f"{path.name} does not hold what a model's {path.name} should. Download the model again.")
    return data


def _type_name(dtype: str) -> str:
    """safetensors' name of a type (BF16) as torch names it (bfloat16)."""
    return _SAFETENSORS.get(dtype, dtype.lower())


def _floating(dtype: str) -> bool:
    return dtype in ITEM_BYTES


def _whole(value: object) -> int | None:
    if isinstance(value, list):  # some files give one count for each layer
        value = max((v for v in value if isinstance(v, int)), default=None)
    return value if isinstance(value, int) else None


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _bad(message: str) -> UserError:
    return UserError(message, "model")
