"""In how many of several texts something appears, with an interval: what one lucky text cannot say.

Counting knows texts and nothing of models, so that another word is counted anew without writing anything again. A
regular expression is the reader's own: it is limited in length, in repeats, which cost memory before it is tried, and
in time, since a short one can take forever.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from analysis.errors import UserError

Counted = Literal["theme", "words", "regex"]
COUNTED: tuple[Counted, ...] = ("theme", "words", "regex")
LONGEST, REPEATS, SECONDS, MOST = 200, 1_000, 1.0, 1_000
"""Characters of a pattern, the product of its counted repeats, seconds for all texts, and places marked in a text."""
_Z = 1.959963984540054
Span = tuple[int, int]


@dataclass(frozen=True)
class Share:
    """``count`` of ``total`` texts, with Wilson's 95 % interval of the share."""

    count: int
    total: int

    @property
    def value(self) -> float:
        """The share; 0 of no texts."""
        return self.count / self.total if self.total else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Its low and its high end; of no texts, everything."""
        if not self.total:
            return 0.0, 1.0
        p, s = self.value, _Z * _Z / self.total
        half = _Z * math.sqrt(p * (1 - p) / self.total + s / self.total / 4)
        # An end at which every text agrees is that end, and not a rounding beside it.
        low = 0.0 if self.count == 0 else (p + s / 2 - half) / (1 + s)
        high = 1.0 if self.count == self.total else (p + s / 2 + half) / (1 + s)
        return low, high


def difference(one: Share, other: Share) -> tuple[float, float, float]:
    """The share of ``one`` minus that of ``other``, and its 95 % interval by Newcombe's hybrid score method, which
    takes the two for independent."""
    d = one.value - other.value
    (l1, u1), (l2, u2) = one.interval, other.interval
    low = d - math.hypot(one.value - l1, u2 - other.value)
    return d, low, d + math.hypot(u1 - one.value, other.value - l2)


def words_in(text: str) -> tuple[str, ...]:
    """The words or phrases that a reader typed, at commas."""
    return tuple(dict.fromkeys(part for part in (" ".join(p.split()) for p in text.split(",")) if part))


def places(texts: Sequence[str], counted: Counted, pattern: str, theme: Sequence[str]) -> list[list[Span]]:
    """Where in each text it stands, as pairs of character positions: the ``theme``'s words (also with -s or -es), the
    words or phrases of ``pattern`` as whole words, or what the regular expression ``pattern`` matches, in either case
    of letters.

    Raises:
        UserError: there is nothing to count, or the regular expression is none, or takes too long.
    """
    if counted == "theme":
        if not theme:
            raise UserError("This region has no words of its own. Count a word, or a regular expression.", "counted")
        expression = _any_of(theme, "(?:e?s)?")
    elif counted == "words":
        _check_length(pattern, "The words")
        words = words_in(pattern)
        if not words:
            raise UserError("Type the word to count; several at commas.", "pattern")
        expression = _any_of(words, "")
    else:
        _check_length(pattern, "A regular expression")
        if not pattern.strip():
            raise UserError("Type the regular expression to count, such as wines?|grapes?.", "pattern")
        if _repeats(pattern) > REPEATS:
            raise UserError(f"This regular expression repeats more than {REPEATS:,} times. Repeat less.", "pattern")
        expression = pattern
    return _found(expression, texts)


def _repeats(pattern: str) -> int:
    """What the counted repeats of a regular expression, such as {3} and {2,5}, come to if they lie in one another."""
    pairs = re.findall(r"\{(\d*)(?:,(\d*))?\}", pattern)
    return math.prod(max(1, *(int(n or 1) for n in pair)) for pair in pairs)


def _any_of(words: Sequence[str], ending: str) -> str:
    rows = []
    for word in sorted(words, key=lambda word: (-len(word), word)):
        # A border only where the word itself begins or ends with a letter or a digit, as "C++" does not.
        first = r"\b" if re.match(r"\w", word) else ""
        last = rf"{ending}\b" if re.search(r"\w$", word) else ""
        rows.append(first + r"\s+".join(map(re.escape, word.split())) + last)
    return "|".join(rows)


def _check_length(pattern: str, what: str) -> None:
    if not isinstance(pattern, str) or len(pattern) > LONGEST:
        raise UserError(f"{what}: at most {LONGEST} characters.", "pattern")


def _found(expression: str, texts: Sequence[str]) -> list[list[Span]]:
    import regex

    try:
        made: Any = regex.compile(expression, regex.IGNORECASE)
    except (regex.error, RecursionError, MemoryError, OverflowError, ValueError) as error:
        said = getattr(error, "msg", "") or "it is too deep"
        raise UserError(f"This is no regular expression: {said}.", "pattern") from error
    ends, out = time.perf_counter() + SECONDS, []
    for text in texts:
        try:
            matches = made.finditer(text, timeout=max(ends - time.perf_counter(), 1e-3), concurrent=True)
            spans = [match.span() for match in islice(matches, MOST) if match.end() > match.start()]
        except TimeoutError as error:
            raise UserError("This regular expression takes too long. Make it simpler.", "pattern") from error
        out.append(spans)
    return out
