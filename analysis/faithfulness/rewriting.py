"""Altered versions of a step by rule: a wrong one, one in other words, and filler of the same length.

A second language model would write better ones, but it would also be judged with them, and the small model at hand
drops numbers when it paraphrases. A rule does one thing that can be checked: the wrong version differs in one number or
in one named option and nowhere else, the one in other words keeps every number, and where a rule finds nothing to
change it says so by an empty text instead of inventing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from analysis.faithfulness.measures.filler import FILLER, filled
from analysis.faithfulness.splitting import NUMBER, marker_of

_WORDS = "one two three four five six seven eight nine ten eleven twelve".split()
_NUMBER_WORD = re.compile(rf"\b(?:{'|'.join(_WORDS)})\b", re.I)
_OPTION = re.compile(r"(?<=\()[A-H](?=\))|(?<=\boption )[A-H]\b|(?<=\bOption )[A-H]\b|(?<=\banswer )[A-H]\b")
# "one of them", "this one" count nothing.
_NO_COUNT = re.compile(r"\b(?:this|that|each|every|any|no|which|another)\s+$", re.I)
_NO_ONE = re.compile(r"\s+(?:of|way|can|could|must)\b")


_LONGEST = 15  # digits of a number that is reckoned with


class _Place(NamedTuple):
    """Characters of a step that can be exchanged for one of ``others``."""

    begin: int
    end: int
    others: tuple[str, ...]


def wrong_version(step: str, seed: int = 0, candidates: Sequence[str] = ()) -> str:
    """The step with one thing in it wrong, or "" where the rules find nothing to change.

    Changed is the result of the step: its last number, else its last number word, else the last option letter or
    candidate answer that it names. A number keeps its sign, its digits before and behind the point, and its commas; an
    option becomes another of ``candidates`` (of A to D if none are given). List markers ("2. ", "Step 2:") stay. The
    same ``seed`` gives the same version. Dossier M2: a mistake by rule instead of a helper model's.
    """
    start = len(marker_of(step))
    place = _last_number(step, start) or _last_word(step, start) or _last_option(step, start, tuple(candidates))
    if place is None:
        return ""
    draw = _generator(step, seed)
    other = place.others[int(draw.integers(len(place.others)))]
    return step[: place.begin] + other + step[place.end :]


_CONNECTIVES = {
    "so": "Therefore",
    "thus": "Therefore",
    "therefore": "So",
    "hence": "So",
    "then": "Next",
    "next": "Then",
    "first": "To begin with",
    "finally": "At the end",
    "now": "At this point",
    "because": "Since",
    "since": "Because",
    "but": "Yet",
    "however": "Still",
}
# Only these may be written small within a sentence; another word there may be a name.
_SMALL = frozenset(
    "the this that these those it its he she we they you there a an if in on at by for from to with when while as let "
    "our their his her each every all both note adding multiplying dividing subtracting".split()
)


def paraphrased(step: str) -> str:
    """The same step in other words, by template; "" for blank text. Every number and name in it stays as it is.

    A connective at its head is exchanged for one that means the same ("So" for "Therefore"); any other step is led in
    by "In other words,". Blank space and list marker in front stay. Dossier M4: a template instead of a helper model.
    """
    if not step.strip():
        return ""
    head = marker_of(step)
    body = step[len(head) :]
    word = re.match(r"[A-Za-z]+", body)
    first = word.group() if word else ""
    # "First" may count ("First Street"), "since" may date: only a word that opens a clause is exchanged.
    if first.lower() in _CONNECTIVES and first[0].isupper():
        rest = body[len(first) :]
        swapped = _CONNECTIVES[first.lower()]
        if rest.startswith(",") or (rest[:1] == " " and not rest.lstrip()[:1].isupper()):
            comma = "," if " " in swapped and not rest.startswith(",") else ""
            return f"{head}{swapped}{comma}{rest}"
    if first.lower() in _SMALL:
        body = first.lower() + body[len(first) :]
    return f"{head}In other words, {body}"


def filler(step: str, mark: str = FILLER) -> str:
    """Filler as long as the step, which still begins a new line if the step did (dossier M3)."""
    return filled(step, mark)


def altered(steps: Sequence[str], seed: int = 0, candidates: Sequence[str] = ()) -> tuple[tuple[str, ...], ...]:
    """(mistakes, paraphrases) of all steps, each with one entry per step and "" where there is none."""
    return (
        tuple(wrong_version(step, seed, candidates) for step in steps),
        tuple(paraphrased(step) for step in steps),
    )


def _generator(step: str, seed: int) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}\n{step}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def _last_number(step: str, start: int) -> _Place | None:
    found = [m for m in NUMBER.finditer(step) if m.start() >= start]
    if not found:
        return None
    # The integer part is what the draw changes: "3.50" becomes "8.50", "1,250" another number of four digits.
    digits = re.search(r"\d[\d,]*", found[-1].group())
    assert digits is not None
    begin = found[-1].start() + digits.start()
    return _Place(begin, begin + len(digits.group()), _other_numbers(digits.group()))


def _other_numbers(written: str) -> tuple[str, ...]:
    """Numbers near this one that are written with as many digits and with commas at the same places."""
    digits = written.replace(",", "")
    if len(digits) > _LONGEST:
        return tuple(written[:-1] + c for c in "0123456789" if c != written[-1])
    value, size = int(digits), len(digits)
    low = 0 if size == 1 else 10 ** (size - 1)
    if size > 1 and digits[0] == "0":
        low = 0
    near = [n for n in range(value - 9, value + 10) if n != value and low <= n < 10**size]
    # A step that ends in 0 or 1 of something is often no mistake at all but another way to say nothing.
    near = [n for n in near if n > 0] or near
    made = []
    for n in near:
        fresh = iter(f"{n:0{size}d}")
        made.append("".join(c if c == "," else next(fresh) for c in written))
    return tuple(made)


def _last_word(step: str, start: int) -> _Place | None:
    for m in reversed(list(_NUMBER_WORD.finditer(step, start))):
        old = m.group()
        counts = not _NO_COUNT.search(step[max(start, m.start() - 12) : m.start()])
        if counts and not (old.lower() == "one" and _NO_ONE.match(step, m.end())):
            return _Place(m.start(), m.end(), tuple(_cased(w, old) for w in _WORDS[1:] if w != old.lower()))
    return None


def _last_option(step: str, start: int, candidates: tuple[str, ...]) -> _Place | None:
    places = []
    for candidate in candidates:
        body = candidate.strip()
        if not body or (len(body) == 1 and body.isalpha()):
            continue  # letters are looked for with the signs that make them options
        others = tuple(c.strip() for c in candidates if c.strip() and c.strip() != body)
        for m in re.finditer(rf"(?<!\w){re.escape(body)}(?!\w)", step):
            if others and m.start() >= start:
                places.append(_Place(m.start(), m.end(), others))
    letters = tuple(c.strip() for c in candidates if len(c.strip()) == 1 and c.strip().isupper()) or tuple("ABCD")
    for m in _OPTION.finditer(step):
        others = tuple(c for c in letters if c != m.group())
        if others and m.start() >= start:
            places.append(_Place(m.start(), m.end(), others))
    return max(places, key=lambda p: (p.end, p.end - p.begin), default=None)


def _cased(word: str, like: str) -> str:
    return word.upper() if like.isupper() else word.capitalize() if like[:1].isupper() else word
