"""The answer that a text comes down to: where models are told to put it, then where they put it anyway, and last
where a number happens to stand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.faithfulness.splitting import NUMBER, numbers_in, spans, split_steps

MAX_ANSWER = 80
"""Characters of the longest text that is taken for an answer."""


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
