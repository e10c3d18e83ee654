"""Load a causal language model so that its attention can be recorded, and describe what was found.

The plain Hugging Face module is kept and nothing of it is written again. Facts about the architecture are read off a
short forward pass, not off a list of known names, and the pass also measures how well recorded queries and keys
reproduce the model's own attention; where they do not, the capabilities say so and the Attention page refuses.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, overload

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from analysis.errors import UserError
from analysis.models.default import prepare_default, read_manifest
from analysis.models.gguf_tokenizer import repair_tokenizer
from analysis.models.metadata import estimate
from analysis.models.recording import IMPLEMENTATION, LayerAttention, tapped
from analysis.models.spec import ModelSpec, check_local

_PROBE = "The probe of a model is a sentence that repeats itself, so that every kind of head has something to do. " * 3
Progress = Callable[[str, float | None], None]


@dataclass(frozen=True)
class ModelFacts:
    """What a page may know about a loaded model; plain data.

    ``attention_layers`` lists the layers that have a softmax attention which was seen to report; ``missing_layers``
    those that should have and did not. ``recording_error`` is the largest absolute difference between attention
    weights recomputed from recorded queries and keys and the model's own eager weights, over all layers and heads, on
    a probe of ``probe_tokens`` tokens. ``seconds_per_token`` is the time of that probe's forward pass, for estimates.
    ``fingerprint`` identifies the weights.
    """

    label: str
    source: str
    model_type: str
    architecture: str
    parameters: int
    layers: int
    heads: int
    key_heads: int
    head_width: int
    hidden: int
    vocabulary: int
    max_positions: int
    dtype: str
    device: str
    chat_template: bool
    softcap: float | None
    sliding_windows: list[int]
    attention_layers: list[int]
    missing_layers: list[int]
    other_layers: list[int]
    recording_error: float
    probe_tokens: int
    fingerprint: str
    seconds_per_token: float
    note: str = ""
    revision: str = ""


@dataclass
class LoadedModel:
    """A model, its tokenizer and its facts."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    spec: ModelSpec
    facts: ModelFacts
    extras: dict[str, Any] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        """Where token ids go in."""
        embedding: Any = self.model.get_input_embeddings()
        return torch.device(embedding.weight.device)

    @overload
    def forward(self, ids: Tensor, mask: Tensor | None = None, *, logits: Literal[True]) -> Tensor: ...

    @overload
    def forward(self, ids: Tensor, mask: Tensor | None = None) -> None: ...

    @torch.no_grad()
    def forward(self, ids: Tensor, mask: Tensor | None = None, *, logits: bool = False) -> Tensor | None:
        """One pass over token ids (B, T), without cache. Returns logits (B, T, V) or, by default, nothing.

        Without logits only the decoder stack runs: the unembedding is a sixth of the work of a small model.
        """
        ids = ids.to(self.device)
        mask = None if mask is None else mask.to(self.device)
        if logits:
            answer: Tensor = self.model(ids, attention_mask=mask, use_cache=False).logits
            return answer
        self.model.base_model(ids, attention_mask=mask, use_cache=False)
        return None

    def facts_dict(self) -> dict[str, Any]:
        """The facts as JSON-able data; a recording error that is no finite number is None."""
        facts = asdict(self.facts)
        return {
            **facts,
            "recording_error": facts["recording_error"] if math.isfinite(facts["recording_error"]) else None,
        }


def load_model(spec: ModelSpec | str = "default", progress: Progress | None = None) -> LoadedModel:
    """Load a model by specification, or by a hub id, a folder, a GGUF file or the word ``default``.

    Never runs code from a model repository, never unpickles beyond ``weights_only``.

    Raises:
        UserError: the model is unknown, cannot be read, or does not fit.
    """
    spec = ModelSpec(source=spec) if isinstance(spec, str) else spec
    say = progress or (lambda text, share: None)
    device = _device(spec)
    where, extra, note = _location(spec, say)
    say("reading weights", 0.3)
    arguments: dict[str, Any] = {
        **extra,
        "dtype": "auto" if spec.dtype == "auto" else getattr(torch, spec.dtype),
        "attn_implementation": IMPLEMENTATION,
        "trust_remote_code": False,
        "weights_only": True,
    }
    if spec.device_map == "auto":
        arguments["device_map"] = "auto"
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, **extra, trust_remote_code=False)
        if "gguf_file" in extra:
            repair_tokenizer(tokenizer, Path(where) / extra["gguf_file"])
        model: Any = _built(lambda how: AutoModelForCausalLM.from_pretrained(where, **{**arguments, **how}))
        if spec.device_map == "none":
            model = model.to(device)
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"{spec.label} does not fit into the memory of {device}; choose bfloat16, another device, or a smaller "
            "model.",
            "model",
        ) from error
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise UserError(f"{spec.label} could not be loaded: {_first_sentence(error)}", "model") from error
    model.eval().requires_grad_(False)
    say("measuring the recording", 0.8)
    loaded = LoadedModel(model, tokenizer, spec, describe(model, tokenizer, spec, note))
    say("ready", 1.0)
    return loaded


def _built(make: Callable[[dict[str, Any]], Any]) -> Any:
    """The model with recorded attention; or, where its code looks attention up in a table of its own that lacks ours,
    with its plain one: the Attention page then refuses it, and the others work."""
    try:
        return make({})
    except KeyError as error:
        if error.args != (IMPLEMENTATION,):
            raise
        return make({"attn_implementation": "eager"})


def describe(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, spec: ModelSpec, note: str = "") -> ModelFacts:
    """Read the facts of a model off a probe: shapes, reporting layers, and the error of the recording."""
    config = model.config.get_text_config()
    longest = min(64, int(getattr(config, "max_position_embeddings", 0) or 64))
    ids = tokenizer(_PROBE, return_tensors="pt")["input_ids"][:, :longest]
    if len(ids.unique()) < 8:  # not a model of words: any tokens are as good
        ids = torch.arange(1, min(longest, int(config.vocab_size)))[None]
    return _describe(model, ids.to(model.get_input_embeddings().weight.device), tokenizer, spec, note)


def _describe(
    model: PreTrainedModel, ids: Tensor, tokenizer: PreTrainedTokenizerBase | None, spec: ModelSpec, note: str
) -> ModelFacts:
    config = model.config.get_text_config()
    shapes: dict[int, tuple[int, int, int]] = {}
    softcaps: set[float] = set()

    def look(record: LayerAttention, _output: Tensor) -> None:
        shapes[record.layer] = (record.queries.shape[1], record.keys.shape[1], record.queries.shape[3])
        if record.softcap is not None:
            softcaps.add(float(record.softcap))

    with torch.no_grad(), tapped(look):
        model(ids, use_cache=False)
    seconds = min(_pass_seconds(model, ids) for _ in range(2))
    layers = int(config.num_hidden_layers)
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * layers
    wanted = [i for i in range(layers) if "attention" in kinds[i] and "linear" not in kinds[i]]
    seen = sorted(shapes)
    heads, key_heads, width = shapes[seen[0]] if seen else (0, 0, 0)
    return ModelFacts(
        label=spec.label,
        source=spec.source,
        model_type=str(config.model_type),
        architecture=type(model).__name__,
        parameters=sum(p.numel() for p in model.parameters()),
        layers=layers,
        heads=heads,
        key_heads=key_heads,
        head_width=width,
        hidden=int(config.hidden_size),
        vocabulary=int(config.vocab_size),
        max_positions=int(getattr(config, "max_position_embeddings", 0) or 0),
        dtype=str(model.dtype).removeprefix("torch."),
        device=str(model.device),
        chat_template=bool(getattr(tokenizer, "chat_template", None)),
        softcap=max(softcaps, default=None),
        sliding_windows=_windows(config, kinds),
        attention_layers=seen,
        missing_layers=[i for i in wanted if i not in shapes],
        other_layers=[i for i in range(layers) if i not in wanted],
        recording_error=recording_error(model, ids),
        probe_tokens=int(ids.shape[1]),
        seconds_per_token=seconds / ids.numel(),
        fingerprint=fingerprint(model),
        note=note,
        revision=str(getattr(config, "_commit_hash", None) or spec.revision or ""),
    )


@torch.no_grad()
def _pass_seconds(model: PreTrainedModel, ids: Tensor) -> float:
    began = time.perf_counter()
    float(model(ids, use_cache=False).logits[0, -1, 0])  # reading a number waits for the device
    return time.perf_counter() - began


@torch.no_grad()
def recording_error(model: PreTrainedModel, ids: Tensor) -> float:
    """Largest absolute difference between recomputed and the model's own attention weights, over layers and heads.

    The model's own come from its eager implementation on the same ids (B, T). Infinite when a layer that the eager
    pass shows was not recorded.
    """
    recorded: dict[int, Tensor] = {}

    def keep(record: LayerAttention, _output: Tensor) -> None:
        recorded[record.layer] = record.weights().cpu()

    with tapped(keep):
        model(ids, use_cache=False)
    if not recorded:
        return float("inf")
    model.set_attn_implementation("eager")
    try:
        own = model(ids, use_cache=False, output_attentions=True).attentions or ()
    finally:
        model.set_attn_implementation(IMPLEMENTATION)
    own = [a for a in own if a is not None]
    if len(own) != len(recorded) or not own:
        return float("inf")
    return max(float((a.float().cpu() - recorded[i]).abs().max()) for i, a in zip(sorted(recorded), own, strict=True))


@torch.no_grad()
def fingerprint(model: PreTrainedModel) -> str:
    """Twenty hex digits that identify the weights: names, shapes, dtypes and up to 4,096 values of each tensor."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        flat = tensor.reshape(-1)
        sample = flat[:: max(1, flat.numel() // 4096)][:4096].float().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(sample.numpy().tobytes())
    return digest.hexdigest()[:20]


def _windows(config: Any, kinds: list[str]) -> list[int]:
    window = getattr(config, "sliding_window", None)
    uses = "sliding_attention" in kinds or (window and "layer_types" not in vars(config))
    return [int(window)] if window and uses else []


def _device(spec: ModelSpec) -> torch.device:
    if spec.device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if spec.device.startswith("cuda"):
        index = int(spec.device.partition(":")[2] or 0)
        if index >= torch.cuda.device_count():
            raise UserError(f"This machine has no GPU {index} that torch can use; choose cpu or auto.", "device")
    if spec.device == "mps" and not torch.backends.mps.is_available():
        raise UserError("This machine has no Apple GPU that torch can use; choose cpu or auto.", "device")
    return torch.device(spec.device)


def _location(spec: ModelSpec, say: Progress) -> tuple[str, dict[str, Any], str]:
    """Path or hub id, further arguments for from_pretrained, and a note for the screen."""
    if spec.kind == "default":
        path = prepare_default(lambda text, share: say(text, None if share is None else 0.3 * share))
        manifest = read_manifest(path) or {}
        return str(path), {"local_files_only": True}, str(manifest.get("sentence", ""))
    local = check_local(spec)
    if spec.kind == "gguf" and local is not None:
        return (
            str(local.parent),
            {"gguf_file": local.name},
            "These weights come from a GGUF file and were dequantised on loading; what quantisation lost stays lost.",
        )
    if local is not None:
        return str(local), {"local_files_only": True}, ""
    estimate(spec)  # says within seconds, and in words, what is wrong with a name or with the network
    offline = {"local_files_only": True} if os.environ.get("HF_HUB_OFFLINE") == "1" else {}
    return spec.source, {**offline, **({"revision": spec.revision} if spec.revision else {})}, ""


def _first_sentence(error: Exception) -> str:
    text = " ".join(str(error).split())
    return (text.split(". ")[0][:300] or type(error).__name__).rstrip(".") + "."
