"""From the text that a model wrote to the steps of its chain, and nothing lost on the way.

Steps are pieces of the very text: each carries the blank space before it, and all of them joined are the text again, so
that a chain that is put back together is the chain that was written. Where a sentence ends is decided by what stands
around the blank space, by rule and without any list of words that would have to be learned.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence

_LONGEST_QUOTE = 300
_TAIL = 80

# Never the end of a sentence; the second kind only where a number follows, the third unless a capital letter does.
_TITLES = frozenset("mr mrs ms dr prof gen col lt sgt rev hon capt messrs mt vs e.g i.e cf approx viz resp".split())
_NUMBERED = frozenset("no nos fig figs eq eqs p pp vol sec ch art ex para ver".split())
_SHORT = frozenset("etc a.m p.m u.s u.k u.n e.u inc ltd co corp jr sr st ca al ph.d dept est min max avg".split())
_LABELS = frozenset("step part case rule point option question".split())

_BLANK = re.compile(r"\s+|(?<=[。！？])(?=\S)")
_END = re.compile(r"(?P<mark>[.!?…]+|[。！？]+)(?P<close>[\"'”’»)\]*_}$]*)$")
_QUOTE = re.compile(r"(?<!\w)\"[^\"\n]*\"(?!\w)|“[^”\n]*”|«[^»\n]*»")
_WORD = re.compile(r"(?:[^\W_]|(?<=\w)\.(?=\w))+$")
_LIST = re.compile(r"[\s\"'“(*_#>-]*(?:\d{1,3}|[A-Za-z]|[ivxIVX]{1,4})$")
_NEWLINES = "\n\r\x0b\x0c\x85\u2028\u2029"

_GROUP = "[\u00a0\u202f\u2009’']"
NUMBER = re.compile(
    r"(?<![\w.])[-−]?(?:"
    r"\d{1,3}(?:\.\d{3})+,\d+|\d{1,3}(?:\.\d{3}){2,}(?![\d.])"  # 1.234,5 and 1.234.567
    rf"|\d{{1,3}}(?:{_GROUP}\d{{3}})+(?!\d)(?:[.,]\d+)?"  # 1’234.5, also with the spaces that do not break
    r"|\d{1,2}(?:,\d{2})+,\d{3}(?!\d)(?:\.\d+)?"  # 12,34,567
    r"|(?<!\d,)\d+,\d+(?<!,\d{3})(?!,?\d)"  # 3,5
    r"|(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)"
    r"(?:/\d+)?(?![\w/]|\.\d)%?"
)
"""A number as it stands in a text: 7, -3.5, 1,000, 3/4, 20%, and as other countries write it: 1.234,5 and 1’234."""


def split_steps(text: str) -> tuple[str, ...]:
    """The sentences of a text, each with the blank space before it; joined they are the text.

    A newline always ends a step. A full stop does not within a number, in an abbreviation, behind a list marker
    ("1.", "a.") or inside a quotation. Blank space alone is one step, an empty text none.
    """
    cuts = [0]
    quotes = [m.span() for m in _QUOTE.finditer(text) if m.end() - m.start() <= _LONGEST_QUOTE]
    opens = [a for a, _ in quotes]
    for blank in _BLANK.finditer(text):
        begin, end = blank.span()
        written = text[cuts[-1] : begin]
        if end == len(text) or not written.strip():
            continue
        broken = any(c in _NEWLINES for c in blank.group())
        quoted = (k := bisect_left(opens, begin)) > 0 and begin < quotes[k - 1][1]
        if broken or (not quoted and _ends(text, cuts[-1], begin, end)):
            cuts.append(begin)
    return tuple(text[a:b] for a, b in zip(cuts, [*cuts[1:], len(text)], strict=True) if b > a)


def spans(steps: Sequence[str]) -> list[tuple[int, int]]:
    """First and last-plus-one character of each step in the text that they make up."""
    found, at = [], 0
    for step in steps:
        found.append((at, at + len(step)))
        at += len(step)
    return found


def numbers_in(text: str) -> list[str]:
    """The numbers of a text as written, in order, without a percent sign; markers of a list are not among them."""
    body = without_marker(text)
    return [m.group().rstrip("%") for m in NUMBER.finditer(body)]


def without_marker(step: str) -> str:
    """A step without its list marker ("2. ", "Step 2: "), which is no part of what it says."""
    return step[len(marker_of(step)) :]


_MARKER = re.compile(
    r"\s*[*_#>]*\s*(?:(?:step|part)\s+\d{1,3}\s*[.:)]|\(?\d{1,3}[.)](?=\s|\*))[*_]*\s*|\s*[-*•]\s+", re.I
)


def marker_of(step: str) -> str:
    """The blank space and list marker that a step begins with, possibly empty; a number alone is no marker."""
    found = _MARKER.match(step)
    if found is None or found.end() == len(step):
        return step[: len(step) - len(step.lstrip())]
    return found.group()


def _ends(text: str, start: int, stop: int, follows: int) -> bool:
    """Whether the sentence text[start:stop] is over, given what follows from ``follows`` on."""
    # Only the end of a sentence says whether it ends, so the time does not grow with its length.
    body = text[max(start, stop - _TAIL) : stop]
    found = _END.search(body)
    if found is None:
        return False
    mark, close = found["mark"], found["close"]
    rest = text[follows : follows + 400]
    opening = rest.lstrip("\"'“‘«([*_$\\")
    following = opening[:1]
    if mark[0] in "。！？":
        return True
    if not (following.isalnum() or rest[:1] in "\"'“‘«([*_$\\-–—•#>" or following > "\x7f"):
        return False  # "5! = 120": no sentence begins with such a sign
    small = following.islower()
    said = body[: found.start("mark")]
    if small and (close[:1] in ('"', "'", "”", "’", "»", ")") or mark[-2:] == ".." or mark == "…"):
        return False
    if mark == "!" and small and said[-1:].isdigit():
        return False
    return mark != "." or not _no_stop(said, bool(close), following, rest)


def _no_stop(said: str, closed: bool, following: str, rest: str) -> bool:
    """Whether the single full stop behind ``said`` belongs to a marker, an abbreviation or an initial."""
    word = _WORD.search(said)
    last = word.group() if word else ""
    before = said[: len(said) - len(last)].rstrip()
    if _LIST.fullmatch(said) and (not closed or said.lstrip()[:1] in "*_("):
        return True
    if last.isdigit() and before.lower().strip(" *_#(") in _LABELS:
        return True
    # A list that begins within a line: "Steps: 1. Add. 2. Multiply."
    if last == "1" and before.endswith(":") and re.search(r"[\s(]2\.\s", rest):
        return True
    if closed:
        return False
    low = last.lower()
    if low in _TITLES or (low in _NUMBERED and following.isdigit()):
        return True
    if low in _SHORT:
        return not following.isupper()
    initial = len(last) == 1 and last.isupper() and following.isupper()
    return initial and (re.match(r"[A-Z]\.\s", rest) is not None or _is_name(before))


def _is_name(before: str) -> bool:
    """Whether an initial behind these words is part of a name: behind another initial, or a capitalised word."""
    word = before.split()[-1] if before.split() else ""
    if re.fullmatch(r"[A-Z]\.", word):
        return True
    plain = word.isalpha() and word[:1].isupper() and word[1:].islower() and len(word) > 1
    return plain and word.lower() not in _OPTION_WORDS


_OPTION_WORDS = frozenset(
    "answer option choice plan case point part letter group class type vitamin so thus hence then choose pick "
    "select therefore not either".split()
)
