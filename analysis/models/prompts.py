"""A prompt on its way into a model, and its tokens on their way to the screen.

What cannot be read is refused with a sentence before anything is computed. Tokens are shown as the model has them: one
label each, with marks for spaces and line ends, and bytes spelled out where a character is cut into several tokens.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis.errors import UserError
from analysis.fields import Field
from analysis.models.frames import brought, frame_ids, with_start
from analysis.models.legible import check_legible
from analysis.models.templates import chat_text, special_ids, turn_end

if TYPE_CHECKING:
    from analysis.models.loaded_model import LoadedModel

MAX_CHARACTERS = 20_000
MAX_TOKENS = 2_048
LONG_CHARACTERS = 200_000
"""Where a prompt is read some queries at a time, up to the model's positions."""
# Controls, format characters, surrogates, and blanks other than the ones that have a mark.
_UNSEEN = ("Cc", "Cf", "Cs", "Zs", "Zl", "Zp")
_ENDS = "end tokens"
_CUT = re.compile(r"‹[0-9A-F]{2}( [0-9A-F]{2})*›")
_MARKS = str.maketrans({" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍"})


@dataclass(frozen=True)
class PromptText(Field):
    """In an annotation: a text that can be a prompt."""

    def check(self, value: Any, name: str) -> None:
        try:
            check_prompt(value)
        except UserError as error:
            raise UserError(error.message, name) from error

    def read(self, text: str) -> str:
        return text

    def rule(self) -> str:
        return f"a text of at most {MAX_CHARACTERS:,} characters"

    def wrong(self) -> tuple[Any, ...]:
        return (None, "", " ", 5, "\x00", "x" * (MAX_CHARACTERS + 1))


def check_prompt(text: str, most: int = MAX_CHARACTERS) -> str:
    """The text if it can be a prompt, of ``most`` characters; UserError(field="prompt") says why it cannot."""
    if not isinstance(text, str) or not text.strip():
        raise UserError("The prompt is empty. Type a sentence, or choose one of the presets.", "prompt")
    if len(text) > most:
        raise UserError(
            f"The prompt has {len(text):,} characters; the limit is {most:,}. Cut it down to the part that matters.",
            "prompt",
        )
    bad = sorted({c for c in text if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t\r"})
    if bad:
        names = ", ".join(f"U+{ord(c):04X}" for c in bad[:4])
        raise UserError(f"The prompt holds control characters ({names}) that cannot be shown. Remove them.", "prompt")
    return text


@dataclass(frozen=True)
class EncodedPrompt:
    """Token ids of a prompt, and in ``notes`` sentences on how they differ from what was typed, possibly none."""

    ids: list[int]
    notes: list[str]


def encode_prompt(loaded: LoadedModel, text: str, chat: bool, most: int = MAX_TOKENS) -> list[int]:
    """Token ids of a prompt, as :func:`encoded_prompt` has them."""
    return encoded_prompt(loaded, text, chat, most).ids


def encoded_prompt(loaded: LoadedModel, text: str, chat: bool, most: int = MAX_TOKENS) -> EncodedPrompt:
    """A checked prompt, in the model's chat template if asked for; at least two tokens, at most ``most``.

    A start token that was typed or pasted is not put there a second time; an end token that the tokenizer would put
    behind the text is left out, since the prompt is to go on. Both are said in the notes.

    Raises:
        UserError: no usable chat template, one token only, or more tokens than the model or the page takes.
    """
    tokenizer = loaded.tokenizer
    longest = LONG_CHARACTERS if most > MAX_TOKENS else MAX_CHARACTERS
    text, notes = check_prompt(text, longest), []
    check_legible(tokenizer, text)
    start, end = frame_ids(tokenizer)
    if chat:
        head = tokenizer.bos_token or ""
        if head and text.lstrip().startswith(head) and chat_text(tokenizer, _turn("x")).startswith(head):
            text = check_prompt(text.lstrip().removeprefix(head), longest)
            notes.append(f"The template writes the start token {head} itself, so the typed one was left out.")
        typed = [int(i) for i in tokenizer(text, add_special_tokens=False)["input_ids"]]
        named = _names(tokenizer, [i for i in typed if i in special_ids(tokenizer)])
        if named:
            notes.append(
                f"What was typed holds control tokens ({named}) and was put into the chat template all the same. For a "
                "prompt that is in its template already, switch the template off."
            )
        # The template writes its own special tokens; adding them again would double the start token.
        text = chat_text(tokenizer, _turn(text))
        ids = [int(i) for i in tokenizer(text, add_special_tokens=False)["input_ids"]]
    else:
        own = [int(i) for i in tokenizer(text, add_special_tokens=False)["input_ids"]]
        ids = with_start(start, own)
        if typed_start := brought(start, own):
            notes.append(f"The prompt brings its start token {_names(tokenizer, own[:1])} itself; none was added.")
        if any(i in own[typed_start:] for i in start if i not in end):
            notes.append(f"The start token {_names(tokenizer, start)} stands in this prompt more than once.")
        if end:
            notes.append(
                f"The tokenizer of this model closes every text with {_names(tokenizer, end)}. It was left out, since "
                "a prompt is to go on."
            )
    limit = min(most, loaded.facts.max_positions or most)
    if len(ids) < 2:
        raise UserError("The prompt is one token long, and one token can attend only to itself. Type more.", "prompt")
    if len(ids) > limit:
        raise UserError(f"The prompt is {len(ids):,} tokens long; the limit here is {limit:,}. Shorten it.", "prompt")
    loaded.check_ids(ids)
    if ids[-1] in end_ids(loaded):
        notes.append(
            f"The prompt ends with {_names(tokenizer, ids[-1:])}, which ends a text of this model: what follows is "
            "about a text after it."
        )
    return EncodedPrompt(ids, notes)


def end_ids(loaded: LoadedModel) -> frozenset[int]:
    """Tokens at which a text or a turn of this model ends, whoever knows of them: its generation settings, else its
    configuration; its tokenizer; its chat template. Looked for once."""
    known: tuple[Any, frozenset[int]] | None = loaded.extras.get(_ENDS)
    tokenizer = loaded.tokenizer
    if known is None or known[0] is not tokenizer:
        own = _as_ids(getattr(tokenizer, "eos_token_id", None))
        known = (tokenizer, frozenset([*own, *_as_ids(turn_end(tokenizer))]))
        loaded.extras[_ENDS] = known
    settings = loaded.model.generation_config
    named = _as_ids(settings.eos_token_id) if settings is not None else []
    if not named:
        config = loaded.model.config
        named = _as_ids(
            getattr(config, "eos_token_id", None) or getattr(config.get_text_config(), "eos_token_id", None)
        )
    return known[1] | frozenset(named)


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


def _turn(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def _names(tokenizer: Any, ids: Sequence[int]) -> str:
    return " ".join(dict.fromkeys(str(t) for t in tokenizer.convert_ids_to_tokens(list(ids))[:8]))


def _as_ids(value: Any) -> list[int]:
    """Token ids from what a configuration holds: none, one, a list, or a tensor of them."""
    if value is None:
        return []
    flat = value.flatten().tolist() if hasattr(value, "flatten") else value
    listed = flat if isinstance(flat, (list, tuple, set)) else [flat]
    return [int(i) for i in listed if isinstance(i, (int, float)) and not isinstance(i, bool) and i >= 0]


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
