"""When two answers are the same: one notion for candidates, rows and what a model wrote.

An answer that is written twice, as a fraction and in LaTeX, in capitals or with a percent sign, would compete with
itself, and half of its probability would be counted against it. So answers are compared by what they say: the same
words, the same option letter, or the same number, whichever country's separators it has. A text that is no single
number has no value: nothing is read off a part of it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from analysis.faithfulness.splitting import NUMBER

LONGEST = 400
"""Characters of the longest text that is compared by its meaning; longer ones are compared as they stand."""
_DIGITS = 40
_POWERS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_VULGAR = re.compile(r"(\d?)\s*([¼-¾⅐-⅞])")
_DASHES = str.maketrans(dict.fromkeys("−–—‒﹣－", "-"))
_WRAPS = re.compile(
    r"\\(?:text(?:bf|it|rm|sf|tt|normal)?|math(?:rm|bf|it|sf|tt|bb|cal|normal)?|operatorname|boldsymbol|bm|[mhf]box|"
    r"emph|underline|boxed|displaystyle)\s*\{([^{}]*)\}"
)
_FRACTION = re.compile(r"(\d?)\\[dtc]?frac\s*(?:\{([^{}]*)\}|(\d))\s*(?:\{([^{}]*)\}|(\d))")
_SPACE = re.compile(r"\\[,;:! ]|\\q?quad\b|\\(?:left|right|displaystyle|bigl?|bigr?)(?![a-zA-Z])|(?<!\\)~")
_CURRENCY = {"dollar": "$", "usd": "$", "us$": "$", "euro": "€", "eur": "€", "pound": "£", "gbp": "£", "yen": "¥"}
_UNITS = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
          "seventeen eighteen nineteen").split()  # fmt: skip
_TENS = dict(zip("twenty thirty forty fifty sixty seventy eighty ninety".split(), range(20, 100, 10), strict=True))
_SIGNS = " \t*_`\"“”'’«»"
_THOUSANDS = (
    r"\d{1,3}(?:,\d{3})+(?:\.\d+)?",
    r"\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d+)?",
    r"\d{1,3}(?:[ '’]\d{3})+(?:[.,]\d+)?",
)
_OPERATORS = re.compile(
    r"[\d+*/×÷^√=±<>π∞]|(?:^|\s)-|\b(?:pi|sqrt|infty)\b|\b(?:hundred|thousand|million|billion|trillion|dozen)s?\b", re.I
)
_UNIT = (
    r"(.*\d)\s+((?:square |cubic )?[a-z]{2,}(?:(?:/| per )[a-z]+)?(?:\^[23])?|"
    r"[mgshlwvakncfj](?:/[a-z]+)?(?:\^[23])?)"
)
_CLOSE_UNIT = r"(.*\d)(°[cfk]|km|cm|mm|kg|mg|ml|min|mph|hz|km/h|m/s|kj|kwh)"
_NO_UNIT = re.compile(
    r"\b(?:hundred|thousand|million|billion|trillion|dozen|percent|per cent|pct|pi|sqrt|infty|squared|cubed|factorial|"
    r"times|mod|plus|minus|over|or|and|to|not|choose|dollar|euro|pound|usd|eur|gbp|yen|degree|cent|cos|sin|tan|log|ln)s?\b"
)
_NEGATION = re.compile(r"(?:\b(?:not|no|never|nor|neither|without)|n['’]t)\s+(?:a |an |the |at all )?$", re.I)


@dataclass(frozen=True)
class Value:
    """What a written number is worth; ``percent``: it has a percent sign, which the number does not count in.

    ``currency``: its sign, "" if none is named.
    """

    number: Fraction
    percent: bool = False
    currency: str = ""


def tidy(text: str) -> str:
    """An answer without the signs around it: emphasis, quotes, formula signs, \\text{}, a full stop at its end."""
    body = text.strip()
    if len(body) > LONGEST:
        return body
    while True:
        shorter = re.sub(r"^\\(?:text(?:bf|it|rm)?|math(?:rm|bf|it))\s*\{([^{}]*)\}$", r"\1", body)
        shorter = shorter.strip(_SIGNS).removesuffix(".").rstrip("!,;:。！；，：")
        for left, right in (("$", "$"), ("\\(", "\\)"), ("\\[", "\\]")):
            if len(shorter) > len(left) + len(right) and shorter.startswith(left) and shorter.endswith(right):
                shorter = shorter[len(left) : -len(right)]
        if shorter == body:
            return body
        body = shorter


@lru_cache(maxsize=4096)
def reading(text: str) -> str:
    """A text in one writing, for comparison only: LaTeX undone, one kind of dash and space, signs around it gone."""
    if len(text) > LONGEST:
        return " ".join(text.split())
    body = re.sub(r"[⁰¹²³⁴-⁹⁻⁺]+", lambda m: "^" + m.group().translate(_POWERS), text)
    body = _VULGAR.sub(lambda m: f"{m[1]}{' ' if m[1] else ''}{unicodedata.normalize('NFKC', m[2])}", body)
    body = unicodedata.normalize("NFKC", body).replace("⁄", "/").translate(_DASHES)
    body = _SPACE.sub(lambda m: " " if m.group() in ("\\ ", "~") or "quad" in m.group() else "", body)
    body = body.replace("{,}", ",").replace("{.}", ".")
    for _ in range(6):
        inner = _WRAPS.sub(r"\1", body)
        inner = _FRACTION.sub(_as_quotient, inner)
        if inner == body:
            break
        body = inner
    body = re.sub(r"\^\s*\{?\s*\\circ\s*\}?|\\degrees?\b", "°", body)
    body = re.sub(r"\\(?:times|cdot|ast)(?![a-zA-Z])|[×·∙⋅]", "*", body)
    body = body.replace("√", "\\sqrt ").replace("π", "\\pi ")
    body = re.sub(r"\\([%$#&_{}])", r"\1", body)
    body = re.sub(r"\\([a-zA-Z]+)\s*", r"\1 ", body)
    body = re.sub(r"\{([^{}]*)\}", r"\1", body)
    body = re.sub(r"(?<=\w)\s+(?=[%°])", "", body)
    return tidy(" ".join(body.split()))


@lru_cache(maxsize=4096)
def value_of(text: str) -> Value | None:
    """The number that a text is, with what it counts; None if the text is anything else or more than that.

    Reads 1,234.5 and 1.234,5 and 1 234,5 and 1’234.5; fractions, mixed numbers, powers of ten, percents, currencies,
    and the words up to ninety-nine. A single separator before three digits is a comma's thousands and a point's
    decimals, as in English.
    """
    body = reading(text)
    if not body or len(body) > 80:
        return None
    body = re.sub(r"^\((.*)\)$", r"\1", body).strip().lower()
    body = re.sub(r"^(?:minus|negative)\s+", "-", body)
    currency, percent = "", False
    found = re.match(r"(-?)\s*(us\$|[$€£¥₹])\s*(.*)$", body) or None
    if found:
        body, currency = found[1] + found[3], _CURRENCY.get(found[2], found[2])
    found = re.match(r"(.*?)\s*(?:([€£¥₹$])|\b(dollar|euro|pound|usd|eur|gbp|yen)s?)$", body)
    if found and not currency:
        body, currency = found[1], found[2] or _CURRENCY[found[3]]
    found = re.match(r"(.*?)\s*(?:%|per ?cent|pct\.?)$", body)
    if found:
        body, percent = found[1], True
    body = re.sub(r"\s*(?:°|\bdegrees?)$", "", body).strip()
    number = _number(body)
    return None if number is None else Value(number, percent, currency)


def same(a: str, b: str) -> bool:
    """Whether two answers say the same: the same words in whatever writing, the same option letter, the same value.

    50% is both 50 and 0.5, since people answer "what percentage" either way; $5 is 5, but not 5 €; 7 km is 7, but not
    7 m.
    """
    x, y = reading(a).casefold(), reading(b).casefold()
    if not x or not y:
        return False
    if x == y or (_OPERATORS.search(x) and _close(x) == _close(y)):
        return True
    if _letter(x) and _letter(x) == _letter(y):
        return True
    (x, unit), (y, unit_y) = _bare(x), _bare(y)
    if bool(unit) != bool(unit_y):  # "7 km" is 7, and "x = 7" is 7; two units or names must agree as they stand
        return value_of(x) is not None and value_of(x) == value_of(y)
    u, v = value_of(a), value_of(b)
    if u is None or v is None or (u.currency and v.currency and u.currency != v.currency):
        return False
    if u.percent == v.percent:
        return u.number == v.number
    part, other = (u, v) if u.percent else (v, u)
    return other.number in (part.number, part.number / 100)


def distinct(answers: Sequence[str], most: int) -> tuple[str, ...]:
    """The first ``most`` answers of which no two are the same, each in the writing that comes first."""
    kept: list[str] = []
    for one in answers:
        if len(kept) == most:
            break
        if one and one not in kept and not any(same(one, other) for other in kept):
            kept.append(one)
    return tuple(kept)


def named(written: str, candidates: Sequence[str]) -> str:
    """The candidate that a written answer means: the same text, value or option letter, or the only one that stands in
    it; "" if none or not one only."""
    told = tidy(written)
    if not told:
        return ""
    for meant in (_exactly, same, _as_letter, _within):
        found = [c for c in candidates if meant(told, tidy(c))]
        if len(found) == 1:
            return found[0]
        if found:
            return ""
    return ""


def _bare(text: str) -> tuple[str, str]:
    """A number without its unit or the name before it, and that unit or name; "" where there is none."""
    if len(text) > 80:
        return text, ""
    name = re.fullmatch(r"([a-z]\w{0,2})\s*=\s*([^=]+)", text)
    if name:
        return name[2], name[1]
    unit = re.fullmatch(_UNIT, text) or re.fullmatch(_CLOSE_UNIT, text)
    return (unit[1], unit[2]) if unit and not _NO_UNIT.search(unit[2]) else (text, "")


def _close(text: str) -> str:
    """Without blank space, but for that between two digits, which may part two numbers."""
    return re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", text)


def _exactly(a: str, b: str) -> bool:
    return a.casefold() == b.casefold()


def _letter(text: str) -> str:
    found = re.fullmatch(r"[(\[]?([a-z])[)\].:]{0,2}", text.casefold())
    return found[1] if found else ""


def _labelled(text: str) -> str:
    """The option letter at the head of a text: "B", "(B) Paris", "B. Paris"."""
    found = re.match(r"[(\[]?([A-Za-z])(?:[)\].:]+(?=\s|$)|$)", text)
    return found[1].casefold() if found else ""


def _as_letter(a: str, b: str) -> bool:
    a, b = reading(a), reading(b)
    return bool(_labelled(a)) and _labelled(a) == _labelled(b) and (len(_letter(a)) == 1 or len(_letter(b)) == 1)


def _within(a: str, b: str) -> bool:
    """Whether an answer names a candidate among other words; a number only if it is the only one, and whole."""
    a, b = reading(a), reading(b)
    if not b or len(a) > LONGEST:
        return False
    if value_of(b) is not None:
        numbers = list(NUMBER.finditer(a))
        if len(numbers) != 1 or not same(numbers[0].group(), b):
            return False
        rest = re.sub(r"[A-Za-z]\w{0,2}\s*=", "", a[: numbers[0].start()]) + " " + a[numbers[0].end() :]
        return _OPERATORS.search(rest) is None and _NEGATION.search(a[: numbers[0].start()]) is None
    found = re.search(rf"(?<![\w.]){re.escape(b)}(?!\w|\.\d)", a, re.I)
    return found is not None and _NEGATION.search(a[: found.start()]) is None


def _as_quotient(found: re.Match[str]) -> str:
    above, below = found[2] or found[3] or "", found[4] or found[5] or ""
    above, below = (p.strip() if re.fullmatch(r"\s*[\w.,]*\s*", p) else f"({p.strip()})" for p in (above, below))
    return f"{found[1]}{' ' if found[1] else ''}{above}/{below}"


def _number(body: str) -> Fraction | None:
    sign = -1 if body.startswith("-") else 1
    body = body.removeprefix("-").removeprefix("+").strip()
    mixed = re.fullmatch(r"(\d+)[ -](\d+)/(\d+)", body)
    if mixed and int(mixed[3]):
        return sign * (int(mixed[1]) + Fraction(int(mixed[2]), int(mixed[3])))
    power = re.fullmatch(r"(.+?)(?:e\+?|\s*[*x]\s*10\s*\^\s*)(-?\d{1,3})", body)
    if power:
        plain = _digits(power[1])
        return None if plain is None else sign * plain * Fraction(10) ** int(power[2])
    above, slash, below = body.partition("/")
    top, low = _digits(above.strip()), _digits(below.strip()) if slash else Fraction(1)
    if top is not None and low:
        return sign * top / low
    return None if slash else _word(body)


def _digits(body: str) -> Fraction | None:
    """A number of digits and separators alone."""
    if len(body) > _DIGITS or not re.fullmatch(r"\d[\d.,'’ ]*|\.\d+", body):
        return None
    if re.fullmatch(r"\d+(?:\.\d+)?|\.\d+", body):
        return Fraction("0" + body if body[0] == "." else body)
    if re.fullmatch(r"\d{1,3}(?:\.\d{3})+,\d+|\d{1,3}(?:\.\d{3}){2,}", body):
        return Fraction(body.replace(".", "").replace(",", "."))
    for pattern in _THOUSANDS:
        if re.fullmatch(pattern, body):
            bare = re.sub(r"[ '’]", "", body)
            decimal = re.search(r",(\d+)$", bare) if re.search(r"[ '’]", body) else None
            return Fraction(bare.replace(",", ".") if decimal else bare.replace(",", ""))
    if re.fullmatch(r"\d+,\d+", body):
        return Fraction(body.replace(",", "."))
    return None


def _word(body: str) -> Fraction | None:
    if body in _UNITS:
        return Fraction(_UNITS.index(body))
    tens, _, rest = body.replace("-", " ").partition(" ")
    if tens not in _TENS or (rest and rest not in _UNITS[1:10]):
        return None
    return Fraction(_TENS[tens] + (_UNITS.index(rest) if rest else 0))
