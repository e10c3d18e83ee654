"""A prompt on its way into a model, and its tokens on their way to the screen.

What cannot be read is refused with a sentence before anything is computed. Tokens are shown as the model has them: one
label each, with marks for spaces and line ends, and bytes spelled out where a character is cut into several tokens.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from analysis.errors import UserError
from analysis.models.legible import check_legible

if TYPE_CHECKING:
    from analysis.models.loader import LoadedModel

MAX_CHARACTERS = 20_000
MAX_TOKENS = 2_048
# Controls, format characters, surrogates, and blanks other than the ones that have a mark.
_UNSEEN = ("Cc", "Cf", "Cs", "Zs", "Zl", "Zp")
_CUT = re.compile(r"‹[0-9A-F]{2}( [0-9A-F]{2})*›")
_MARKS = str.maketrans({" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍"})


def check_prompt(text: str) -> str:
    """The text if it can be a prompt; UserError(field="prompt") says why it cannot."""
    if not isinstance(text, str) or not text.strip():
        raise UserError("The prompt is empty. Type a sentence, or choose one of the presets.", "prompt")
    if len(text) > MAX_CHARACTERS:
        raise UserError(
            f"The prompt has {len(text):,} characters; the limit is {MAX_CHARACTERS:,}. Cut it down to the part that "
            "matters.",
            "prompt",
        )
    bad = sorted({c for c in text if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t\r"})
    if bad:
        names = ", ".join(f"U+{ord(c):04X}" for c in bad[:4])
        raise UserError(f"The prompt holds control characters ({names}) that cannot be shown. Remove them.", "prompt")
    return text


def encode_prompt(loaded: LoadedModel, text: str, chat: bool) -> list[int]:
    """Token ids of a checked prompt, in the model's chat template if asked for; at least two of them.

    Raises:
        UserError: no chat template, one token only, or more tokens than the model or the page takes.
    """
    tokenizer = loaded.tokenizer
    text = check_prompt(text)
    check_legible(tokenizer, text)
    if chat:
        if not tokenizer.chat_template:
            raise UserError("This model has no chat template. Switch the chat template off.", "prompt")
        text = str(
            tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
            )
        )
    # The template writes its own special tokens; adding them again would double the start token.
    ids = list(tokenizer(text, add_special_tokens=not chat)["input_ids"])
    limit = min(MAX_TOKENS, loaded.facts.max_positions or MAX_TOKENS)
    if len(ids) < 2:
        raise UserError("The prompt is one token long, and one token can attend only to itself. Type more.", "prompt")
    if len(ids) > limit:
        raise UserError(f"The prompt is {len(ids):,} tokens long; the limit here is {limit:,}. Shorten it.", "prompt")
    return ids


def token_labels(tokenizer: object, ids: list[int]) -> list[str]:
    """One short label per token, never empty or blank: spaces and line ends marked, cut characters as bytes
    (``‹F0 9F›``), characters that cannot be seen by their number (``‹U+200D›``).
    """
    labels = []
    for index in ids:
        text = tokenizer.decode([index], clean_up_tokenization_spaces=False)  # type: ignore[attr-defined]
        piece = tokenizer.convert_ids_to_tokens(index) or ""  # type: ignore[attr-defined]
        if "\ufffd" in text or not text:
            text = _bytes_of(piece) or piece.replace("▁", " ") or f"#{index}"
        elif piece.startswith("▁") and not text.startswith(" "):
            text = " " + text
        labels.append("".join(_visible(c) for c in text.translate(_MARKS)))
    return labels


def prompt_notes(text: str, labels: list[str]) -> list[str]:
    """What a reader should know about how this prompt is shown; sentences, possibly none."""
    notes = []
    if any(unicodedata.bidirectional(c) in ("R", "AL") for c in text):
        notes.append("Right-to-left text is shown in token order, first token first.")
    cut = sum(_CUT.fullmatch(label) is not None for label in labels)
    if cut:
        notes.append(f"{cut} tokens hold part of a character only and are shown as bytes.")
    return notes


def _visible(character: str) -> str:
    return f"‹U+{ord(character):04X}›" if unicodedata.category(character) in _UNSEEN else character


def _byte_of() -> dict[str, int]:
    """The alphabet of byte-level tokenizers, inverted: printable stand-ins back to bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {chr(b): b for b in plain}
    for shift, byte in enumerate(b for b in range(256) if b not in plain):
        table[chr(256 + shift)] = byte
    return table


_BYTES = _byte_of()


def _bytes_of(piece: str) -> str:
    if piece.startswith("<0x") and piece.endswith(">"):
        return f"‹{piece[3:-1]}›"
    if piece and all(c in _BYTES for c in piece):
        return "‹" + " ".join(f"{_BYTES[c]:02X}" for c in piece) + "›"
    return ""
