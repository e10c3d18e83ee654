"""Contrasts from a file with one JSON object a line.

Such files are written by other people's scripts, so a mistake tends to be on many lines: every line is read before
anything is said, and the refusal lists the first five broken ones. Unknown fields are refused too, because a
misspelt ``query`` would otherwise quietly become the last token.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from analysis.errors import UserError
from analysis.qk.contrasts.drafts import Draft, Misplaced, Span, encoded, place
from analysis.qk.contrasts.example import Example
from analysis.qk.contrasts.kinds import MAX_FILE, whole_text
from analysis.qk.contrasts.spec import MIN_EXAMPLES, ContrastSpec
from analysis.qk.contrasts.tokens import FastTokenizer

MAX_LINES = 20_000
MAX_TEXT = 20_000
MAX_LABEL = 200
_FIELDS = ("text", "positive", "negative", "query", "label")
_SHOWN = 5


class _Broken(ValueError):
    """Why a line cannot be used, as a clause."""


def parse_jsonl(text: str) -> list[tuple[int, Draft]]:
    """Line numbers and drafts of a file; blank lines are passed over. Needs no tokenizer.

    A span is a string that occurs exactly once in the text, or ``[start, end]`` in characters (end exclusive).
    Without ``label`` the label is the first positive span. Raises UserError (field ``text``) that lists up to five
    broken lines, or says that the file is too large or has fewer than eight lines.
    """
    if len(text) > MAX_FILE or len(text.encode("utf-8", "surrogatepass")) > MAX_FILE:
        raise UserError("The file has more than 20 MB. Use a smaller one.", "text")
    drafts: list[tuple[int, Draft]] = []
    broken: list[tuple[int, str]] = []
    lines = [(number, line) for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1) if line.strip()]
    if len(lines) > MAX_LINES:
        raise UserError(f"The file has {len(lines):,} lines; at most {MAX_LINES:,} are allowed.", "text")
    for number, line in lines:
        try:
            drafts.append((number, _draft(line)))
        except _Broken as problem:
            broken.append((number, str(problem)))
    _refuse_broken(broken)
    if len(drafts) < MIN_EXAMPLES:
        raise UserError(f"The file has {len(drafts)} examples; at least {MIN_EXAMPLES} are needed.", "text")
    return drafts


def jsonl_examples(spec: ContrastSpec, tokenizer: FastTokenizer) -> list[Example]:
    """Build the examples of a ``jsonl`` spec: its first ``n_examples`` lines, in order; the seed plays no part.

    A span stands for the last token that overlaps it. Raises UserError (field ``text``) as :func:`parse_jsonl`, and
    when spans have no token, share one, or come after their query.
    """
    drafts = parse_jsonl(str(spec.options["text"]))[: spec.n_examples]
    examples: list[Example] = []
    broken: list[tuple[int, str]] = []
    pairs = encoded((draft for _, draft in drafts), tokenizer)
    for (number, _), (draft, encodings) in zip(drafts, pairs, strict=True):
        try:
            examples.append(place(draft, encodings))
        except Misplaced as problem:
            broken.append((number, str(problem)))
    _refuse_broken(broken)
    return examples


def _refuse_broken(broken: list[tuple[int, str]]) -> None:
    if broken:
        told = "; ".join(f"line {number}: {problem}" for number, problem in broken[:_SHOWN])
        more = f"; and {len(broken) - _SHOWN:,} more" if len(broken) > _SHOWN else ""
        lines = "One line" if len(broken) == 1 else f"{len(broken):,} lines"
        raise UserError(f"{lines} of the file cannot be used: {told}{more}.", "text")


def _draft(line: str) -> Draft:
    try:
        data = json.loads(line)
    except json.JSONDecodeError as error:
        raise _Broken(f"it is not JSON (column {error.colno})") from None
    except (ValueError, RecursionError):
        raise _Broken("it is not usable JSON (a number too long, or too many brackets)") from None
    if not isinstance(data, dict):
        raise _Broken("it is not a JSON object")
    for name in ("text", "positive", "negative"):
        if name not in data:
            raise _Broken(f"the field {name} is missing")
    for name in data:
        if name not in _FIELDS:
            raise _Broken(f"the field {_shown(name)} is not known (known are {', '.join(_FIELDS)})")
    text = data["text"]
    if not isinstance(text, str) or not text.strip():
        raise _Broken("text must be a string that is not empty")
    if len(text) > MAX_TEXT:
        raise _Broken(f"text has {len(text):,} characters, at most {MAX_TEXT:,} are allowed")
    if not whole_text(text):
        raise _Broken("text holds half of a surrogate pair")
    positive, negative = tuple(_spans(data, "positive", text)), tuple(_spans(data, "negative", text))
    # A null is what many writers put for "not given".
    query = None if data.get("query") is None else _span(data["query"], "query", text)
    label = data.get("label")
    if label is not None and (not isinstance(label, str) or len(label) > MAX_LABEL or not whole_text(label)):
        raise _Broken(f"label must be a string of at most {MAX_LABEL} characters")
    words = tuple(text[span.start : span.end] for span in positive + negative)
    return Draft(
        texts=(text,),
        positive=positive,
        negative=negative,
        label=words[0] if label is None else label,
        key_labels=words,
        query=query,
    )


def _spans(data: dict[str, object], name: str, text: str) -> Iterator[Span]:
    value = data[name]
    if not isinstance(value, list) or not value:
        raise _Broken(f"{name} must be a list with at least one span")
    for item in value:
        yield _span(item, name, text)


def _span(item: object, name: str, text: str) -> Span:
    if isinstance(item, str):
        start = text.find(item) if item else -1
        if start < 0:
            raise _Broken(f"the {name} span {_shown(item)} is not in the text")
        if text.find(item, start + 1) >= 0:
            raise _Broken(f"the {name} span {_shown(item)} is in the text more than once, so give [start, end]")
        end = start + len(item)
    elif isinstance(item, list) and len(item) == 2 and all(type(edge) is int for edge in item):
        start, end = item
        if not 0 <= start < end <= len(text):
            raise _Broken(f"the {name} span [{start}, {end}] does not lie in the text of {len(text):,} characters")
    else:
        raise _Broken(f"a {name} span must be a string or [start, end]")
    return Span(0, start, end, _shown(text[start:end]))


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")
