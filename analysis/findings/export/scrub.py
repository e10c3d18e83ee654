"""Takes hidden texts out of strings: as a whole, by their words, by words that were cut, token by token.

Strings are looked at one by one and not in the file that they end in: there they are escaped, and a word could begin
or end with an escape.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from analysis.findings.export.texts import (
    COMMON,
    LEAST,
    OWN,
    Leaving,
    bare,
    lists_of_strings,
    strings,
    variants,
    words_of,
)

WORD = "[…]"
_ESCAPE = r"%[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\[nrt]"
_BEFORE = r"(?:(?<![^\W_])|(?<=%[0-9A-Fa-f]{2})|(?<=\\[nrt])|(?<=\\u[0-9A-Fa-f]{4}))"
_WORDS = re.compile(_ESCAPE + r"|([^\W_]+)")
_FRACTION = re.compile(r"\d[.,]\d")
_LETTERS = re.compile(r"[^\W\d_]{2,}")
_PLACE = re.compile("\ue000(\\d{1,3})\ue001")


class Scrub:
    """Takes hidden texts out of strings. Called, it gives the string without them."""

    def __init__(self, hidden: Iterable[Leaving], choices: Mapping[str, str]) -> None:
        phrases: dict[str, tuple[str, str]] = {}
        self._instead: list[str] = []
        words: set[str] = set()
        self._spelled: list[str] = []
        for n, leaving in enumerate(hidden, 1):
            self._instead.append(choices[leaving.id] or f"[text {n}]")
            place = f"\ue000{n - 1}\ue001"  # until the end: no word of what stands instead is a hidden one
            whole = [leaving.text]
            if leaving.kind == "path":
                whole.append(re.split(r"[/\\]", leaving.text.rstrip("/\\"))[-1])
            elif leaving.kind not in OWN:
                words |= words_of(leaving.text)
                self._spelled.append(bare(leaving.text))
            phrases |= {form.casefold(): (form, place) for text in whole for form in variants(text)}
        plain = [word for word in words if word.isascii() and word.isalnum()]
        self._words = frozenset(word.casefold() for word in plain)
        self._cut = frozenset(word[:n] for word in self._words for n in range(LEAST, len(word)))
        for word in words.difference(plain):
            phrases |= {form.casefold(): (form, WORD) for form in variants(word) if form.casefold() not in phrases}
        longest = sorted(phrases.items(), key=lambda item: len(item[0]), reverse=True)
        self._phrases = [(low, _phrase(form), instead) for low, (form, instead) in longest]

    def __call__(self, text: str) -> str:
        return self._filled(self._marked(text))

    def _filled(self, text: str) -> str:
        return _PLACE.sub(lambda m: self._instead[int(m[1])] if int(m[1]) < len(self._instead) else "", text)

    def _marked(self, text: str) -> str:
        low = text.casefold()
        for form, pattern, instead in self._phrases:
            if form in low:
                text = pattern.sub(instead, text)
                low = text.casefold()
        return _WORDS.sub(self._word, text) if self._words else text

    def _word(self, match: re.Match[str]) -> str:
        word = match[1].casefold() if match[1] else ""
        if word.isdecimal() and _FRACTION.search(match.string[max(0, match.start() - 2) : match.end() + 2]):
            return match[0]  # digits of a measured number are no number of their own
        cut = word in self._cut and match.string.startswith("…", match.end())
        return WORD if word in self._words or cut else match[0]

    def concerns(self, value: Any) -> bool:
        """Whether plain data show a hidden text: as it is, by one of its words, or as the labels of its tokens."""
        if any(self(text) != text for text in strings(value)):
            return True
        return any(self._spells(row) for row in lists_of_strings(value))

    def _spells(self, row: list[str]) -> bool:
        whole = "".join(map(bare, row))
        return any(text and text in whole for text in self._spelled)

    def tokens(self, value: Any) -> set[str]:
        """The labels of tokens of hidden texts in plain data, bare: those of the lists that spell a text or a piece of
        it, and all that stand in a list and are a piece of it."""
        out = set()
        for row in lists_of_strings(value):
            labels = [bare(label) for label in row]
            if self._spells(row) or any("".join(labels) in text for text in self._spelled):
                out |= set(labels)
            out |= {label for label in labels if len(label) > 1 and any(label in text for text in self._spelled)}
        return out - {""}

    def label(self, text: str, tokens: set[str]) -> str:
        """A string of a pin: one that is a token is hidden, a longer one loses the tokens in it."""
        if bare(text) in tokens:
            number = re.match(r"\d+ (?=.)", text)
            return (number[0] if number else "") + self._mark(bare(text), tokens)
        text = self._marked(text)
        if tokens:
            text = _LETTERS.sub(lambda m: self._mark(m[0].casefold(), tokens, m[0]), text)
        return self._filled(text)

    @staticmethod
    def _mark(token: str, tokens: set[str], common: str = "") -> str:
        """Equal tokens get equal marks and others other ones: the places of an axis stay apart. Inside a sentence,
        what is no token and ``common`` words stay."""
        if common and (token not in tokens or token in COMMON):
            return common
        return f"[{sorted(tokens).index(token) + 1}]"


def _phrase(text: str) -> re.Pattern[str]:
    """Finds a text; one that begins or ends with a letter is no part of a longer word."""
    before = _BEFORE if text[:1].isalnum() else ""
    return re.compile(before + re.escape(text) + (r"(?![^\W_])" if text[-1:].isalnum() else ""), re.IGNORECASE)
