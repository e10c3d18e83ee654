"""Load a causal language model so that its attention can be recorded, and prove that it is what was asked for.

The plain Hugging Face module is kept and nothing of it is written again. Loading is where foreign files come in, so
whatever goes wrong while they are read is a sentence here; and what goes wrong in silence elsewhere (weights that are
missing, a mask that is lost, numbers that overflow) is looked for at every load: modules weights and proof.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from analysis.errors import Cancelled, UserError
from analysis.models.config_limits import check_values
from analysis.models.default import prepare_default, read_manifest
from analysis.models.eight_bit import eight_bit_library, into_eight_bit
from analysis.models.facts import describe, probe_ids
from analysis.models.gguf_files import parts_of, read_header, unread_blocks, whole_file
from analysis.models.gguf_quick import quick_reading
from analysis.models.gguf_tokenizer import gguf_tokenizer
from analysis.models.loaded_model import LoadedModel
from analysis.models.metadata import estimate
from analysis.models.proof import prove
from analysis.models.recording import IMPLEMENTATION
from analysis.models.spec import EIGHT_BIT, ModelSpec, check_local
from analysis.models.stamp import Stamp, stamp_of, surroundings_of
from analysis.models.tokenizer_limits import check_tokenizer, guarded, is_panic
from analysis.models.weights import check_weights, take_into_memory, tie_notes
from analysis.progress import Progress, portion, silent

log = logging.getLogger(__name__)


def load_model(spec: ModelSpec | str = "default", progress: Progress = silent) -> LoadedModel:
    """Load a model by specification, or by a hub id, a folder, a GGUF file or the word ``default``.

    Never runs code from a model repository, never unpickles beyond ``weights_only``. What was proved stands in the
    facts: all weights were in the files, the logits are those of the plainly loaded model, no token sees the future,
    all logits are finite.

    Raises:
        UserError(field="model"): the model is unknown, cannot be read, does not fit, or fails what is to be proved.
        UserError(field="dtype"): it cannot be held in 8 bit.
    """
    spec = ModelSpec(source=spec) if isinstance(spec, str) else spec
    device = _device(spec)
    if spec.dtype == EIGHT_BIT:
        eight_bit_library()  # said before gigabytes are read
    with ExitStack() as stack:
        stack.enter_context(_reading(spec, device))
        place, note = _location(spec, progress)
        before = stamp_of(spec)
        if "gguf_file" in place.arguments:
            headers = parts_of(Path(place.where) / place.arguments["gguf_file"])
            architecture = str(headers[0].fields.get("general.architecture", ""))
            own = f"{architecture}."
            counts = {k.removeprefix(own): v for k, v in headers[0].fields.items() if k.startswith(own)}
            check_values(counts, headers[0].path.name)
            file = stack.enter_context(whole_file(headers))
            place = _Place(str(file.parent), {"gguf_file": file.name})
            tokenizer, notes = gguf_tokenizer(file, read_header(file), progress)
            notes += unread_blocks(headers)
            surroundings = surroundings_of(spec, headers[0].data_start)
        else:
            tokenizer, notes = _tokenizer(spec, place), []
            surroundings = surroundings_of(spec)
        tokenizer = guarded(tokenizer, spec.label)
        progress(0.3, "reading weights")
        model, weight_notes = _model(spec, place, device, tokenizer)
        progress(0.75, "proving that it is the model in the files")
        began = time.perf_counter()
        ids = probe_ids(model, tokenizer)
        proof = prove(model, ids, spec.label)
        if proof is None:
            # Its code does something else with our attention than with its own: it runs with its own.
            del model
            model, weight_notes = _model(spec, place, device, tokenizer, None)
            proof = prove(model, ids, spec.label)
        assert proof is not None
        seconds = time.perf_counter() - began
        if stamp_of(spec) != before:
            raise UserError(f"The files of {spec.label} were written while they were read. Load it again.", "model")
    progress(0.85, "measuring the recording")
    notes = [*notes, *weight_notes, *_vocabulary_notes(model, tokenizer)]
    proved = ["All weights of the model were in the files.", proof.sentence]
    facts = describe(model, ids, tokenizer, spec, " ".join([*([note] if note else []), *notes]), proved, seconds)
    loaded = LoadedModel(model, tokenizer, spec, facts, stamp=before, surroundings=surroundings)
    progress(1.0, "ready")
    return loaded


def adopt(
    model: PreTrainedModel, tokenizer: Any, spec: ModelSpec, stamp: Stamp = (), surroundings: str = ""
) -> LoadedModel:
    """A whole network that was read by other means, made ready, proved and described as if it had been loaded here.

    Raises UserError(field="model") if it fails what is to be proved.
    """
    model = model.to(_device(spec)).eval().requires_grad_(False)  # type: ignore[arg-type]
    model.set_attn_implementation(IMPLEMENTATION)
    began = time.perf_counter()
    ids = probe_ids(model, tokenizer)
    proof = prove(model, ids, spec.label)
    if proof is None:
        raise UserError(f"The attention of {spec.label} cannot be recorded.", "model")
    seconds = time.perf_counter() - began
    facts = describe(model, ids, tokenizer, spec, "", [proof.sentence], seconds)
    return LoadedModel(model, tokenizer, spec, facts, stamp=stamp, surroundings=surroundings)


@dataclass(frozen=True)
class _Place:
    """Path or hub id, and further arguments of from_pretrained."""

    where: str
    arguments: dict[str, Any]


@contextmanager
def _reading(spec: ModelSpec, device: torch.device) -> Iterator[None]:
    """Whatever foreign files do to a library while it reads them is a sentence, with the library's own first line."""
    try:
        yield
    except (UserError, Cancelled):
        raise
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise UserError(
            f"{spec.label} does not fit into the memory of {device}; choose bfloat16, another device, or a smaller "
            "model.",
            "model",
        ) from error
    except Exception as error:  # foreign files fail in whatever way a library happens to
        log.warning("%s could not be loaded", spec.label, exc_info=True)
        raise UserError(f"{spec.label} could not be loaded: {_first_sentence(error)}", "model") from error


def _model(
    spec: ModelSpec, place: _Place, device: torch.device, tokenizer: Any, implementation: str | None = IMPLEMENTATION
) -> tuple[Any, list[str]]:
    """The module with the attention asked for, or with its plain one where its code cannot take another, and sentences
    on its weights."""
    arguments: dict[str, Any] = {
        **place.arguments,
        "dtype": "auto" if spec.dtype in ("auto", EIGHT_BIT) else getattr(torch, spec.dtype),
        "trust_remote_code": False,
        "weights_only": True,
        "output_loading_info": True,
        "ignore_mismatched_sizes": True,  # so that the report names them; none is accepted
    }
    if spec.device_map == "auto":
        arguments["device_map"] = "auto"

    def make(how: str | None) -> tuple[Any, dict[str, Any]]:
        # A GGUF reader that is not told looks for an attention kernel on the hub.
        how = "eager" if how is None and "gguf_file" in place.arguments else how
        attention = {} if how is None else {"attn_implementation": how}
        with quick_reading() if "gguf_file" in place.arguments else nullcontext():
            made: tuple[Any, dict[str, Any]] = AutoModelForCausalLM.from_pretrained(
                place.where, **arguments, **attention
            )
        return made

    try:
        model, report = make(implementation)
    except KeyError as error:  # it looks attention up in a table of its own, which lacks ours
        if implementation is None or error.args != (implementation,):
            raise
        model, report = make(None)
    if model.config._attn_implementation == IMPLEMENTATION and not _takes_attention(model):
        model, report = make(None)
    notes = [*check_weights(spec.label, report), *tie_notes(model)]
    take_into_memory(model)
    model.eval().requires_grad_(False)
    if spec.dtype == EIGHT_BIT:
        if getattr(model.config, "quantization_config", None):
            raise UserError(
                f"The weights of {spec.label} are quantised in their files already. Choose the dtype auto.",
                "dtype",
            )
        notes.append(into_eight_bit(model, probe_ids(model, tokenizer)))
    if spec.device_map == "none":
        model = model.to(device)
    return model, notes


def _takes_attention(model: Any) -> bool:
    """Whether the model's code looks its attention up where Attune has entered its own."""
    asked = getattr(type(model), "_can_set_attn_implementation", None)
    return asked is None or bool(asked())


def _tokenizer(spec: ModelSpec, place: _Place) -> Any:
    check_tokenizer(Path(place.where))
    try:
        return AutoTokenizer.from_pretrained(place.where, **place.arguments, trust_remote_code=False)
    except BaseException as error:  # as in _reading; and its library may panic, which is no Exception
        if not (isinstance(error, Exception) or is_panic(error)):
            raise
        log.warning("the tokenizer of %s could not be read", spec.label, exc_info=True)
        raise UserError(
            f"The tokenizer of {spec.label} could not be read: {_first_sentence(error)} It may be missing, damaged, or "
            f"written by a newer library than those installed (transformers {version('transformers')}, tokenizers "
            f"{version('tokenizers')}).",
            "model",
        ) from error


def _vocabulary_notes(model: Any, tokenizer: Any) -> list[str]:
    rows = int(model.get_input_embeddings().weight.shape[0])
    beyond = sorted((i, t) for t, i in tokenizer.get_vocab().items() if i >= rows)
    if not beyond:
        return []
    names = ", ".join(t[:30] for _, t in beyond[:3]) + (f" and {len(beyond) - 3:,} more" if len(beyond) > 3 else "")
    return [f"The tokenizer knows tokens for which the model has no embedding ({names}): a text with one is refused."]


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


def _location(spec: ModelSpec, progress: Progress) -> tuple[_Place, str]:
    """Where the files are, and a note for the screen."""
    if spec.kind == "default":
        path = prepare_default(portion(progress, 0.0, 0.3))
        manifest = read_manifest(path) or {}
        return _Place(str(path), {"local_files_only": True}), str(manifest.get("sentence", ""))
    local = check_local(spec)
    if spec.kind == "gguf" and local is not None:
        return (
            _Place(str(local.parent), {"gguf_file": local.name}),
            "These weights come from a GGUF file and were dequantised on loading; what quantisation lost stays lost.",
        )
    found = estimate(spec)  # says within seconds, and in words, what is wrong with a name, a header or the network
    if local is not None:
        if found.bytes_on_disk is None:
            raise UserError(_no_weights(local), "model")
        return _Place(str(local), {"local_files_only": True}), ""
    offline = {"local_files_only": True} if os.environ.get("HF_HUB_OFFLINE") == "1" else {}
    return _Place(spec.source, {**offline, **({"revision": spec.revision} if spec.revision else {})}), ""


def _no_weights(folder: Path) -> str:
    said = (
        f"The folder {folder.name} holds no weights under a name that is read: model.safetensors, pytorch_model.bin, "
        "or the index of their parts (model.safetensors.index.json)."
    )
    if (folder / "adapter_config.json").is_file():
        return f"{said} It holds an adapter. Merge it into its base model and save that, then load it."
    endings = (".safetensors", ".bin", ".pth", ".pt", ".gguf", ".ckpt", ".h5", ".msgpack")
    others = sorted(f.name for f in folder.iterdir() if f.suffix in endings)
    more = f" and {len(others) - 3:,} more" if len(others) > 3 else ""
    return said + (
        f" It holds {', '.join(n[:60] for n in others[:3])}{more}. Fetch the missing file, or save the model again."
        if others
        else " Fetch them, or give the folder that has them."
    )


def _first_sentence(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return (text.split(". ")[0][:300] or type(error).__name__).rstrip(".") + "."
