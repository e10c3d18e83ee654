"""From what a person types to tokens of a model, and from a token to its close relatives.

A vocabulary holds the same word several times: at the start of a text and after a space, with and without a capital.
Which of them is meant cannot be told from the letters: of a plain word the one within a text is taken, and the others
are offered. Labels
from :func:`analysis.models.prompts.token_labels` can be typed too, since that is what people copy from the screen.
"""

from __future__ import annotations

import unicodedata
from typing import Any

from analysis.errors import UserError
from analysis.models.prompts import token_labels
from analysis.models.token_name import TokenName

MAX_TYPED = 400
_MARKS = str.maketrans({"␣": " ", "⏎": "\n", "⇥": "\t", "␍": "\r"})


def pieces(tokenizer: Any, text: str) -> list[int]:
    """The token ids of a text as it stands, without the special tokens that would open a prompt."""
    return [int(i) for i in tokenizer(text, add_special_tokens=False)["input_ids"]]


def single(tokenizer: Any, text: str) -> int | None:
    """The id of the one token that a text is, or None. A text and the label of a token are both understood.

    A tokenizer of whole words has one token for all that it does not know: that token is not taken for the text.
    """
    for form in dict.fromkeys((text, text.translate(_MARKS))):
        found = pieces(tokenizer, form)
        if len(found) == 1 and _is(tokenizer, found[0], form):
            return found[0]
    return None


def meant(tokenizer: Any, text: str) -> tuple[int | None, str]:
    """The one token that a typed text means, or None, and a remark where it is not what was typed to the letter: a
    plain word means the word within a text, where a space stands before it."""
    typed = single(tokenizer, text)
    spaced = single(tokenizer, f" {text}") if text[:1].isalpha() else None
    if spaced is None or spaced == typed:
        return typed, ""
    start = "" if typed is None else " Without the space it is another token, which stands first in a text."
    return spaced, f"Looked up with a space before it, as a word stands within a text.{start}"


def _is(tokenizer: Any, token: int, text: str) -> bool:
    """Whether a token is that text, blanks, case and the forms of a character left aside."""
    own = str(tokenizer.decode([token], clean_up_tokenization_spaces=False))
    plain = [unicodedata.normalize("NFKC", t).casefold().strip() for t in (own, text)]
    return plain[0] == plain[1]


def check_typed(text: str) -> str:
    """The typed text if it can be looked up; UserError(field="token") says why it cannot."""
    if not isinstance(text, str) or not text:
        raise UserError("Type a token or a short text.", "token")
    if len(text) > MAX_TYPED:
        raise UserError(
            f"This text has {len(text):,} characters; at most {MAX_TYPED} can be looked up. Type a word of it.", "token"
        )
    return text


def relatives(tokenizer: Any, token: int) -> list[int]:
    """Other single tokens of the same word: after a space or not, capitalised, in lower case or in capitals."""
    word = str(tokenizer.decode([token], clean_up_tokenization_spaces=False)).strip()
    return forms(tokenizer, word, token)


def forms(tokenizer: Any, word: str, but: int | None = None) -> list[int]:
    """The ids of the ways to write a word that are one token each, ``but`` left out; none for a blank word."""
    if not word.strip() or "\ufffd" in word:
        return []
    written = dict.fromkeys((word, word.lower(), word.capitalize(), word.upper()))
    found = [pieces(tokenizer, space + w) for w in written for space in (" ", "")]
    ids = dict.fromkeys(f[0] for f in found if len(f) == 1)
    return [i for i in ids if i != but and _is(tokenizer, i, word)]


def names_of(tokenizer: Any, ids: list[int]) -> tuple[TokenName, ...]:
    """Tokens by number and label."""
    return tuple(TokenName(i, t) for i, t in zip(ids, token_labels(tokenizer, ids), strict=True))
