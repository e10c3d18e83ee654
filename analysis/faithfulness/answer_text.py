"""The answer that a text comes down to: where models are told to put it, then where they put it anyway, and last
where a number happens to stand.

An answer is taken whole or not at all: "7 + 2i" is no 7, and where a number cannot be told from a part of one, there is
no answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.faithfulness.splitting import NUMBER, spans, split_steps, without_marker
from analysis.faithfulness.values import named, same, tidy, value_of

MAX_ANSWER = 80
"""Characters of the longest text that is taken for an answer."""


@dataclass(frozen=True)
class Found:
    """What a text came down to: the steps before the answer, the answer as written ("" if none), how it was found.

    ``how``: "tag", "json", "box", "marker", "phrase", "number", "candidate" or "". ``sentence`` says what is
    missing, else "".
    """

    steps: tuple[str, ...]
    answer: str
    how: str = ""
    sentence: str = ""


_MARK = re.compile(
    r"(?:^|(?<=[\n.!?:;,)*_。，；]))[ \t*_#>]{0,8}(?:(?:so|thus|therefore),? )?(?:(?:the|my) )?(?:(?:final|correct) )?"
    r"answer[*_ ]{0,4}[:=：][*_]{0,4}|(?:^|(?<=\n))####"
    r"|(?:^|(?<=\n))[ \t*_#>]{0,8}final answer[ \t*_#]{0,4}\n",
    re.I,
)
_FOREIGN = re.compile(
    r"(?:(?:所以|因此|故|那么|综上)[，,]?\s*)?(?:最终|最後|最后|正确|正確)?的?答案(?:应该|應該)?\s*(?:[是为為]\s*[:：]?|[:：])|(?:因此|所以|故|应|應)选(?:择|项)?\s*[:：]?"
    r"|(?:答え|正解)\s*(?:は|[:：])|(?:정답|답)\s*(?:은|[:：])"
    r"|(?<!\w)(?:la |die |der |a |l[’'])?(?:endgültige |richtige |правильный |окончательный )?"
    r"(?:respuesta|réponse|antwort|resposta|risposta|ответ)"
    r"(?: (?:final|finale|correcta|correcte|correta|corretta|esatta))?"
    r"\s*(?:\b(?:es|est|ist|lautet|é|è)\b(?!\w)\s*[:：]?|[:：])",
    re.I,
)
_LINKS = "so|thus|therefore|hence|and|then|finally|this means|that means|it follows that|in conclusion|because of this"
_IS = r"\s{0,3}(?:is|would be|must be|should be|will be|=|:)(?!\s*(?:not|that|wrong|correct|right)\b)[\s:：]*"
_PHRASE = re.compile(
    rf"(?:(?:{_LINKS})\b[ ,:]{{0,3}})*(?:the|my|our)\s(?:(?:final|right|best|correct)\s)?"
    r"(?:answer|(?:(?<=correct )|(?<=right )|(?<=best ))(?:option|choice))(?:\s(?:to|of|for)\s(?:the|this)\s\w+)?"
    + _IS,
    re.I,
)
_BARE = re.compile(
    rf"(?:^|(?<=[\n*_])|(?<=[.!?:;,)]\s)|(?:(?:{_LINKS})\b[ ,:]{{0,3}})+)(?:(?:final|right|best|correct) )?answer"
    + _IS,
    re.I,
)
_TAG = re.compile(r"<(answer|ans|final_answer|final|response|output|result)>|\[(ANSWER|FINAL)\]", re.I)
_KEY = re.compile(r"""["'](?:final[_ ]?|correct[_ ]?)?answer["']\s*:\s*""", re.I)
_ABOUT = re.compile(
    r"(?:(?:about|approximately|roughly|around|exactly|equal to|simply|just|only|precisely)\s+|[≈~]\s*)+", re.I
)
_QUANTITY = re.compile(rf"(?:{NUMBER.pattern}|(?<![\w.,])[-−]?\d{{1,3}}(?: \d{{3}})+(?![\d\w])(?:[.,]\d+)?%?)")
_SPACED = re.compile(r"(?<![\w.,’'])[-−]?\d{1,3}(?: \d{3})+(?:[.,]\d+)?(?![\d\w])%?")
_MORE = re.compile(
    r"[\d+*/×÷^√=±<>π]|(?:^|\s)[-−–]\s*[\w(]|^\s*[ijxyzn]\b|^\s*\\|^[:’']"
    r"|\b(?:hundred|thousand|million|billion|trillion|dozen|k)s?\b",
    re.I,
)
_REASON = re.compile(r"[,;]?\s+(?:because|since|as|for the reason)\s|\s+[-–—]\s+(?=[A-Za-z]{2})", re.I)
_OPERAND = re.compile(r"\s*[+*/×÷^−–-]\s*(?:\d|[a-z]\b|\\?sqrt|√|π)|\s*\d|[:’']\d", re.I)
_COPULA = re.compile(r"(?:です|でした|である|だ|となります|になります|입니다|이다|이에요|예요)$")
_EMPTY = re.compile(
    r"<(answer|ans|final_answer|final)>\s*</\1>|[\"'](?:final[_ ]?|correct[_ ]?)?answer[\"']\s*:\s*"
    r"(?:null|\"\s*\"|'\s*'|\[\s*\]|\{\s*\})",
    re.I,
)
_DENIED = re.compile(
    r"(?:\b(?:not|never|cannot)|n['’]t|≠)\s*(?:(?:be|equal|equals|to|a|an|the|option|choice|answer|\()\s*){0,3}$", re.I
)
_EMPTIED = "The place for the answer is empty in this text, so no answer is read off the chain before it."
_NO_ANSWER = (
    "No answer was found in this text: it has no box, no line that begins with “Answer:”, no sentence like “the answer "
    "is …”, and no number. Ask for the answer in a line of its own."
)
_HALF = (
    "The last number of this text may be part of a longer one or of an expression, so no answer is read off it. Ask "
    "for the answer in a line of its own."
)
_NO_CHAIN = "The answer stands at the beginning of this text, so there is no chain before it."


def find_answer(text: str, candidates: Sequence[str] = ()) -> Found:
    """Part a text into the steps of its chain and the answer: <answer>X</answer>, else {"answer": X}, else \\boxed{X},
    else "Answer: X" (or "#### X"), else "The answer is X", else the candidate or the number that is named last.

    The chain is the beginning of the text, up to where the answer is announced; where it is only named, or boxed within
    a calculation, that sentence still belongs to the chain. ``candidates``: an answer that means one of them is given
    as they write it.
    """
    announced = _announced(text)
    if announced is not None:
        how, upto, written = announced
        answer = named(written, candidates) or written
        steps = split_steps(text[:upto].rstrip())
        return Found(steps, answer, how, "" if any(s.strip() for s in steps) else _NO_CHAIN)
    steps = split_steps(text.rstrip())
    if _EMPTY.search(text):
        return Found(steps, "", "", _EMPTIED)
    for k in range(len(steps) - 1, -1, -1):
        mentioned = _mentioned(steps[k], candidates)
        if mentioned:
            return Found(steps[: k + 1], mentioned, "candidate")
        bare = without_marker(steps[k])
        numbers = [] if candidates else [m for m in _QUANTITY.finditer(bare) if not _DENIED.search(bare[: m.start()])]
        if numbers:
            last = numbers[-1]
            after = bare[last.end() :]
            if _OPERAND.match(after) or _is_spaced(last.group()) or _half(bare, last.start()):
                return Found(steps, "", "", _HALF)
            return Found(steps[: k + 1], last.group().rstrip("%").replace("−", "-"), "number")
    missing = _NO_ANSWER if not candidates else "None of the candidate answers is named in this text."
    return Found(steps, "", "", missing)


def answer_alone(text: str) -> str:
    """An answer as a column or a list holds it, without the tag, the JSON, the box or the words around it; "" where
    the tag or the JSON is empty."""
    said = text.strip()
    announced = _announced(said) if len(said) < 4_000 else None
    if announced is not None:
        return announced[2]
    return "" if len(said) < 4_000 and _EMPTY.search(said) else said


def _announced(text: str) -> tuple[str, int, str] | None:
    """How an answer is announced, where that begins, and the answer as written; None if it is not."""
    for way, how in ((_tagged, "tag"), (_json, "json"), (_boxed, "box"), (_marked, "marker"), (_phrased, "phrase")):
        found = way(text)
        if found is not None:
            return how, *found
    return None


def _answer_of(said: str) -> str:
    """The answer at the beginning of what is said behind a marker: an option letter, a number, or up to the end of its
    line or sentence; "" if that is too long."""
    lines = [line for line in said.strip().splitlines() if line.strip(" \t$*_`") and line.strip() not in ("\\[", "\\(")]
    line = lines[0] if lines else ""
    first = tidy(_COPULA.sub("", tidy(split_steps(line)[0]))) if line else ""
    letter = re.match(
        r"\(([A-Za-z])\)|([A-Z])(?:[).:,](?=\s|$)|$)|([A-J])(?=\s+(?:is|because|since|as|[-–—])\s)", first
    )
    if letter:
        return next(group for group in letter.groups() if group)
    first = tidy(_ABOUT.sub("", first, count=1) if _ABOUT.match(first) else first)
    first = tidy(_REASON.split(first)[0])
    if "=" in first and re.fullmatch(r"[^<>!]*[^<>!=\s]\s*=\s*[^=]+", first):
        first = tidy(first.rpartition("=")[2])
    number = re.match(r"(?:[$€£¥₹]\s*)?(" + _SPACED.pattern + "|" + NUMBER.pattern + ")", first)
    if number:
        rest = re.sub(r"\([^()]*\)", "", first[number.end() :])
        if not _MORE.search(rest) and (not rest or rest[0] in " ,;.)°€£¥₹\\" or rest[0] > "\u2e80"):
            return number.group(1).replace("−", "-")
    return first if len(first) <= MAX_ANSWER else ""


def _tagged(text: str) -> tuple[int, str] | None:
    for found in reversed(list(_TAG.finditer(text))):
        name = found.group(1) or found.group(2)
        inner = re.split(rf"</{name}>|\[/{name}\]", text[found.end() :], maxsplit=1, flags=re.I)[0]
        announced = _announced(inner)
        answer = announced[2] if announced else _answer_of(inner)
        if answer:
            inside = found.end() + announced[1] if announced and not text[: found.start()].strip() else found.start()
            return inside, answer
    return None


def _json(text: str) -> tuple[int, str] | None:
    for found in reversed(list(_KEY.finditer(text))):
        value = _json_value(text, found.end())
        if value:
            begin = text.rfind("{", 0, found.start())
            # An object that says more than the answer has the chain in it.
            alone = begin < 0 or not re.search(r"[:：]", text[begin : found.start()])
            upto = found.start() if not alone or begin < 0 else begin
            fence = re.search(r"```[a-z]*\s*$", text[:upto])
            return fence.start() if fence else upto, value
    return None


def _json_value(text: str, at: int) -> str:
    quoted = re.match(r"'([^'\n]*)'", text[at:])
    try:
        value = quoted[1] if quoted else json.JSONDecoder().raw_decode(text, at)[0]
    except (ValueError, RecursionError):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return text[at : at + re.match(r"[-+\d.eE]*", text[at:]).end()]  # type: ignore[union-attr]
    if isinstance(value, list) and value:  # several answers are no single number, "[1,2]" least of all
        value = text[at : json.JSONDecoder().raw_decode(text, at)[1]]
        return value if len(value) <= MAX_ANSWER else ""
    if not isinstance(value, str):
        return ""
    announced = _announced(value)
    written = tidy(announced[2] if announced else value)
    return written if 0 < len(written) <= MAX_ANSWER else ""


def _marked(text: str) -> tuple[int, str] | None:
    return _last_of(text, [*_MARK.finditer(text), *_FOREIGN.finditer(text)])


def _phrased(text: str) -> tuple[int, str] | None:
    return _last_of(text, [*_PHRASE.finditer(text), *_BARE.finditer(text)])


def _last_of(text: str, found: list[re.Match[str]]) -> tuple[int, str] | None:
    for one in sorted(found, key=lambda m: (-m.end(), m.start())):
        answer = _answer_of(text[one.end() :])
        if answer:
            return one.start(), answer
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
    answer = tidy(text[open_at + 1 : end])
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
    """The candidate that is named last in a step, as a word of its own; of several at one place the longest. A number
    is named only whole: not within a longer one, nor as part of an expression that goes on."""
    best: tuple[int, int, str] = (-1, 0, "")
    numbers = [
        (m.end(), m.group())
        for m in _QUANTITY.finditer(step)
        if not _OPERAND.match(step[m.end() :])
        and not _half(step, m.start())
        and not _is_spaced(m.group())
        and not _DENIED.search(step[: m.start()])
    ]
    for candidate in candidates:
        body = tidy(candidate)
        if value_of(body) is not None and re.search(r"\d", body):
            for end, number in numbers:
                if same(number, body):
                    best = max(best, (end, len(body), candidate))
            continue
        # "A" is a word: an option letter is looked for behind its own signs only.
        pattern = rf"(?<![\w.]){re.escape(body)}(?!\w|\.\d)"
        if len(body) == 1 and body.isalpha():
            pattern = rf"\({body}\)|(?<=option ){body}\b|(?<=choice ){body}\b"
        for m in re.finditer(pattern, step, re.I if len(body) > 1 else 0):
            if not _DENIED.search(step[: m.start()]):
                best = max(best, (m.end(), len(body), candidate))
    return best[2]


def _is_spaced(number: str) -> bool:
    """Whether these may as well be two numbers: groups of three digits with plain spaces between them."""
    return re.search(r"\d \d", number) is not None


def _half(text: str, begin: int) -> bool:
    """Whether a number may be the rest of a longer one that begins before it."""
    return re.search(r"\d[.,’' ]$|[\dij)]\s*[+*/×÷^]\s*$", text[:begin]) is not None and "=" not in text[:begin]
