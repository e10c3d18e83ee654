"""The tokenizer that a GGUF file describes, as faithfully as it can be had, and said in words where it cannot.

A GGUF file keeps the vocabulary and the merges, and names the way in which a text is cut up first. transformers knows
some of these names and cuts the rest as GPT-2 does, without any error: two blanks before a digit then become other
tokens than those the model was trained on. This module hides which declarations are lost, how each is restored, and a
copy of converted tokenizers in the data folder: converting one of 262,144 tokens takes a minute, reading it two
seconds.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from analysis.home import folder
from analysis.models.gguf_files import Header, read_header
from analysis.progress import Progress

# Byte-level tokenizers by the name of their first cut: those that cut as GPT-2 does, and those that part digits first.
_AS_GPT2 = {"gpt-2", "gpt2", "phi-2", "mpt", "olmo", "jais", "roberta-bpe"}
_DIGITS_APART = {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"}
_LARGE = 50_000
_FORMAT = 2
_PREFIX, _TEMPLATE = "tokenizer.ggml.", "tokenizer.chat_template"


def repair_tokenizer(tokenizer: Any, gguf_file: Path) -> list[str]:
    """Restore, in place, what ``gguf_file`` declares and ``tokenizer`` lacks: the chat template and the digit cut.

    Returns sentences on what could not be restored. Reads the file's header; no weight is touched.
    """
    fields = read_header(gguf_file).fields
    if not tokenizer.chat_template and isinstance(fields.get(_TEMPLATE), str):
        tokenizer.chat_template = fields[_TEMPLATE]
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None and fields.get(_PREFIX + "pre") in _DIGITS_APART and _byte_level(fields):
        from tokenizers import pre_tokenizers

        # These tokenizers part digits from each other and from blanks first; the reader keeps only the byte level.
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    return _faults(tokenizer, fields)


def gguf_tokenizer(gguf_file: Path, header: Header, progress: Progress) -> tuple[Any, list[str]]:
    """The tokenizer of a GGUF file, and sentences on what of it could not be restored.

    A large one is kept converted below the data folder, under the content of the header.
    """
    from transformers import AutoTokenizer

    tokens = int(header.fields.get(_PREFIX + "tokens") or 0)
    kept = folder("tokenizers") / _content(header) if tokens >= _LARGE else None
    if kept is not None and (kept / "tokenizer.json").is_file():
        try:
            tokenizer = AutoTokenizer.from_pretrained(str(kept), local_files_only=True, trust_remote_code=False)
            return tokenizer, _faults(tokenizer, header.fields)
        except Exception:  # a damaged copy is made again
            shutil.rmtree(kept, ignore_errors=True)
    if kept is not None:
        progress(0.2, f"converting the tokenizer of {tokens:,} tokens, which takes up to a minute the first time")
    tokenizer = AutoTokenizer.from_pretrained(str(gguf_file.parent), gguf_file=gguf_file.name, trust_remote_code=False)
    faults = repair_tokenizer(tokenizer, gguf_file)
    if kept is not None:
        _keep(tokenizer, kept)
    return tokenizer, faults


def _content(header: Header) -> str:
    """Digest of what the tokenizer is made from: the file's metadata, and the versions of what converts it."""
    digest = hashlib.sha256(f"{_FORMAT} {version('transformers')} {version('tokenizers')}".encode())
    with header.path.open("rb") as file:
        left = header.data_start
        while left > 0 and (piece := file.read(min(left, 1 << 20))):
            digest.update(piece)
            left -= len(piece)
    return digest.hexdigest()[:40]


def _keep(tokenizer: Any, target: Path) -> None:
    """Save a copy whole or not at all; that it cannot be saved costs the next load a minute, and nothing else."""
    try:
        with tempfile.TemporaryDirectory(prefix=".tokenizer-", dir=target.parent) as scratch:
            made = Path(scratch) / "made"
            tokenizer.save_pretrained(str(made))
            os.replace(made, target)
    except OSError:
        return


def _faults(tokenizer: Any, fields: dict[str, Any]) -> list[str]:
    faults = []
    pre = str(fields.get(_PREFIX + "pre") or "")
    if _byte_level(fields) and pre not in _known_cuts():
        named = f"names its pre-tokenizer {pre[:40]!r}" if pre and pre != "default" else "names no pre-tokenizer"
        faults.append(
            f"The file {named}, so texts are cut as GPT-2 cuts them: tokens may not be those that the model was "
            "trained on."
        )
    declared, start = fields.get(_PREFIX + "add_bos_token"), fields.get(_PREFIX + "bos_token_id")
    if isinstance(declared, bool | int) and isinstance(start, int):
        ids = list(tokenizer("a b")["input_ids"])
        if bool(declared) != (bool(ids) and ids[0] == start):
            faults.append(
                f"The file says that texts {'begin' if declared else 'do not begin'} with a start token, and the "
                f"rebuilt tokenizer {'adds none' if declared else 'adds one'}."
            )
    if fields.get(_PREFIX + "add_space_prefix") is False and fields.get(_PREFIX + "model") == "llama":
        pieces = tokenizer.convert_ids_to_tokens(tokenizer("a", add_special_tokens=False)["input_ids"])
        if pieces and str(pieces[0]).startswith("▁"):
            faults.append("The file says that no blank is put before a text, and the rebuilt tokenizer puts one.")
    tokens = fields.get(_PREFIX + "tokens")
    if isinstance(tokens, int) and len(tokenizer) < tokens:
        faults.append(f"The file lists {tokens:,} tokens; the rebuilt tokenizer has {len(tokenizer):,}.")
    return faults


def _byte_level(fields: dict[str, Any]) -> bool:
    return fields.get(_PREFIX + "model") == "gpt2"


def _known_cuts() -> set[str]:
    try:
        from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS
    except ImportError:
        return _AS_GPT2 | _DIGITS_APART
    return _AS_GPT2 | _DIGITS_APART | set(GGUF_PRE_TOKENIZER_SPLITS)
