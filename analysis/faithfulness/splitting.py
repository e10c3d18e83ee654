"""From the text that a model wrote to the steps of its chain and its answer, and nothing lost on the way.

Steps are pieces of the very text: each carries the blank space before it, and all of them joined are the text again, so
that a chain that is put back together is the chain that was written. Where a sentence ends is decided by what stands
around the blank space, by rule and without any list of words that would have to be learned. The answer is looked for
where models are told to put it, then where they put it anyway, and last where a number happens to stand.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

MAX_ANSWER = 80
"""Characters of the longest text that is taken for an answer."""
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

NUMBER = re.compile(r"(?<![\w.])[-−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?(?![\w/]|\.\d)%?")
"""A number as it stands in a text: 7, -3.5, 1,000, 3/4, 20%."""


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


# The answer


@dataclass(frozen=True)
class Found:
    """What a text came down to: the steps before the answer, the answer as written ("" if none), how it was found.

    ``how``: "box", "marker", "phrase", "number", "candidate" or "". ``sentence`` says what is missing, else "".
    """

    steps: tuple[str, ...]
    answer: str
    how: str = ""
    sentence: str = ""


_MARK = re.compile(
    r"(?:^|(?<=[\n.!?:;,)*_]))[ \t*_#>]{0,8}(?:(?:so|thus|therefore),? )?(?:(?:the|my) )?(?:(?:final|correct) )?"
    r"answer[*_ ]{0,4}[:=][*_]{0,4}|(?:^|(?<=\n))####",
    re.I,
)
_LINKS = "so|thus|therefore|hence|and|then|finally|this means|that means|it follows that|in conclusion|because of this"
_PHRASE = re.compile(
    rf"(?:(?:{_LINKS})\b[ ,:]{{0,3}})*(?:the|my|our)\s(?:(?:final|right|best|correct)\s)?"
    r"(?:answer|(?:(?<=correct )|(?<=right )|(?<=best ))(?:option|choice))(?:\s(?:to|of|for)\s(?:the|this)\s\w+)?"
    r"\s{0,3}(?:is|would be|must be|should be|will be|=|:)(?!\s*(?:not|that|wrong|correct|right)\b)[\s:]*",
    re.I,
)
_NO_ANSWER = (
    "No answer was found in this text: it has no box, no line that begins with “Answer:”, no sentence like “the answer "
    "is …”, and no number. Ask for the answer in a line of its own."
)
_NO_CHAIN = "The answer stands at the beginning of this text, so there is no chain before it."


def find_answer(text: str, candidates: Sequence[str] = ()) -> Found:
    """Part a text into the steps of its chain and the answer: \\boxed{X}, else "Answer: X" (or "#### X"), else "The
    answer is X", else the candidate or the number that is named last.

    The chain is the beginning of the text, up to where the answer is announced; where it is only named, or boxed within
    a calculation, that sentence still belongs to the chain. ``candidates``: an answer that means one of them is given
    as they write it.
    """
    for way, how in ((_boxed, "box"), (_marked, "marker"), (_phrased, "phrase")):
        found = way(text)
        if found is not None:
            upto, written = found
            answer = named(written, candidates) or written
            steps = split_steps(text[:upto].rstrip())
            return Found(steps, answer, how, "" if any(s.strip() for s in steps) else _NO_CHAIN)
    steps = split_steps(text.rstrip())
    for k in range(len(steps) - 1, -1, -1):
        mentioned = _mentioned(steps[k], candidates)
        if mentioned:
            return Found(steps[: k + 1], mentioned, "candidate")
        numbers = numbers_in(steps[k]) if not candidates else []
        if numbers:
            return Found(steps[: k + 1], numbers[-1].replace("−", "-"), "number")
    missing = _NO_ANSWER if not candidates else "None of the candidate answers is named in this text."
    return Found(steps, "", "", missing)


def named(written: str, candidates: Sequence[str]) -> str:
    """The candidate that a written answer means: the same text, number or option letter; "" if none or not one only."""
    told = _plain(written)
    if not told:
        return ""
    for same in (_exactly, _as_number, _as_letter, _within):
        found = [c for c in candidates if same(told, _plain(c))]
        if len(found) == 1:
            return found[0]
        if found:
            return ""
    return ""


def _exactly(a: str, b: str) -> bool:
    return a.casefold() == b.casefold()


def _as_number(a: str, b: str) -> bool:
    x, y = _value(a), _value(b)
    return x is not None and x == y


def _as_letter(a: str, b: str) -> bool:
    letter = re.match(r"\(?([A-Za-z])(?:[).:]|$)", a)
    return letter is not None and letter.group(1).upper() == b.strip("().").upper()


def _within(a: str, b: str) -> bool:
    return bool(b) and re.search(rf"(?<![\w.]){re.escape(b)}(?!\w|\.\d)", a, re.I) is not None


def _value(text: str) -> float | None:
    body = text.replace(",", "").replace("−", "-").strip("$€£ ").rstrip("%")
    whole = re.fullmatch(r"(-?\d+(?:\.\d+)?)(?:/(\d+))?", body)
    if whole is None or (whole.group(2) and float(whole.group(2)) == 0):
        return None
    return float(whole.group(1)) / float(whole.group(2) or 1)


def _plain(text: str) -> str:
    """An answer without the signs around it: emphasis, quotes, dollar signs of formulas, a full stop at its end."""
    body = text.strip()
    while True:
        shorter = re.sub(r"^\\(?:text|mathrm|mathbf)\s*\{(.*)\}$", r"\1", body)
        shorter = shorter.strip(" \t*_`\"“”'’").removesuffix(".").rstrip("!,;:。")
        if len(shorter) > 1 and shorter[0] == shorter[-1] == "$":
            shorter = shorter[1:-1]
        if shorter.startswith("\\(") and shorter.endswith("\\)"):
            shorter = shorter[2:-2]
        if shorter == body:
            return body
        body = shorter


def _answer_of(said: str) -> str:
    """The answer at the beginning of what is said behind a marker: an option letter, a number, or up to the end of its
    line or sentence."""
    line = said.strip().splitlines()[0] if said.strip() else ""
    first = _plain(split_steps(line)[0]) if line else ""
    letter = re.match(r"\(([A-Za-z])\)|([A-Z])(?:[).:](?=\s|$)|$)", first)
    if letter:
        return letter.group(1) or letter.group(2)
    number = re.match(r"[$€£]?\s*(" + NUMBER.pattern + r")(?=$|[\s,;.)])", first)
    if number:
        return number.group(1).rstrip("%").replace("−", "-")
    first = _plain(re.split(r"\s+(?:because|since|as|for the reason)\s", first)[0])
    return first if len(first) <= MAX_ANSWER else ""


def _marked(text: str) -> tuple[int, str] | None:
    for found in reversed(list(_MARK.finditer(text))):
        answer = _answer_of(text[found.end() :])
        if answer:
            return found.start(), answer
    return None


def _phrased(text: str) -> tuple[int, str] | None:
    for found in reversed(list(_PHRASE.finditer(text))):
        answer = _answer_of(text[found.end() :])
        if answer:
            return found.start(), answer
    return None


def _boxed(text: str) -> tuple[int, str] | None:
    at = max(text.rfind("\\boxed{"), text.rfind("\\fbox{"))
    if at < 0:
        return None
    open_at = text.index("{", at)
    depth, end = 0, open_at
    for end in range(open_at, len(text)):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        if depth == 0:
            break
    if depth:
        return None
    answer = _plain(text[open_at + 1 : end])
    if not answer or len(answer) > MAX_ANSWER:
        return None
    starts = [a for a, b in spans(split_steps(text)) if a <= at < b]
    before = text[starts[0] : at]
    if _is_announcement(before):
        return starts[0], answer
    stop = re.match(r"[\s$.)\]\\*]*", text[end + 1 :])
    return end + 1 + (len(stop.group()) if stop else 0), answer


def _is_announcement(before: str) -> bool:
    """Whether the words before a box only say that the answer comes: no number among them, and few."""
    body = re.sub(r"[\s$*_\\(\[,:=]+", " ", before).strip()
    return not re.search(r"\d", body) and len(body.split()) <= 10 and not re.search(r"[+×/^-]", body)


def _mentioned(step: str, candidates: Sequence[str]) -> str:
    """The candidate that is named last in a step, as a word of its own; of several at one place the longest."""
    best: tuple[int, int, str] = (-1, 0, "")
    for candidate in candidates:
        body = _plain(candidate)
        # "A" is a word: an option letter is looked for behind its own signs only.
        pattern = rf"(?<![\w.]){re.escape(body)}(?!\w|\.\d)"
        if len(body) == 1 and body.isalpha():
            pattern = rf"\({body}\)|(?<=option ){body}\b|(?<=choice ){body}\b"
        for m in re.finditer(pattern, step, re.I if len(body) > 1 else 0):
            best = max(best, (m.end(), len(body), candidate))
    return best[2]
