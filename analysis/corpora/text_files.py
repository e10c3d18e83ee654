"""What a file of texts may look like: .txt, .jsonl, .json or .csv, read into passages with what is known of each.

Every format ends in the same passages, so that a label means the same whatever file it came in: published lists of
{prompt, label}, objects of label -> list, and tables with a column ``prompt`` are read as they are. A text that is JSON
by its first characters is never prose, whatever its file is called: brackets and names of fields would be learnt.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from analysis import foreign
from analysis.corpora.passages import Passage
from analysis.corpora.text_source import label_of, refusal

ENDINGS = (".txt", ".jsonl", ".json", ".csv")
MAX_THEME = 200
"""Characters of a theme or kind: published labels are descriptions of up to 111."""
_NAMES = {"text": ("text", "prompt"), "theme": ("theme", "label"), "kind": ("kind",)}
"""Our names first, then those of published files."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_JSON = re.compile(r'\s*(?:\{\s*"[^"\n]{0,200}"\s*:|\[\s*\{\s*")')


def passages_of(text: str, ending: str, label: str) -> Iterator[Passage]:
    """The passages of a file, uncut and in its order; ``label`` names the file in sentences.

    .txt: parted at blank lines. .jsonl: an object on each line. .json: a list of objects or of texts, or an object of
    theme -> list of texts. .csv: a head with a column "text" or "prompt". Raises UserError(field="texts") naming the
    first line, entry or row that cannot be used.
    """
    if ending == ".jsonl":
        return _from_jsonl(text, label)
    if ending == ".json":
        return _from_json(text, label)
    if ending == ".csv":
        return _from_csv(text, label)
    if is_json(text):
        raise refusal(f"{label} is JSON and no prose. Rename it to .json, or to .jsonl if every line is an object.")
    return (Passage(p) for p in re.split(r"\n\s*\n", text))


def pasted(text: str) -> Iterator[Passage]:
    """The passages of texts in a form: JSON, JSONL or CSV as in a file, told by how it begins; else one on each line.

    Raises UserError(field="texts") as :func:`passages_of`.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    if is_json(text):
        rows = _from_jsonl if _is_row(text.strip().split("\n", 1)[0]) else _from_json
        return rows(text, "this list of texts")
    if _name_in(_cells(text.split("\n", 1)[0]), "text") and "\n" in text.strip():
        return _from_csv(text, "this list of texts")
    return map(Passage, text.splitlines())


def is_json(text: str) -> bool:
    """Whether a text begins as an object or a list of objects does, or is a list of texts as a whole."""
    if _JSON.match(text.removeprefix("\ufeff")):
        return True
    if not text.lstrip().startswith('["'):
        return False
    try:
        return isinstance(json.loads(text), list)
    except (ValueError, RecursionError):
        return False


def _is_row(line: str) -> bool:
    """Whether a line is by itself an object with a text."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(row, dict) and any(isinstance(row.get(name), str) for name in _NAMES["text"])


def _from_jsonl(text: str, label: str) -> Iterator[Passage]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"Line {number:,} of {label}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise refusal(f'{where} is not JSON. Each line must be an object such as {{"text": "..."}}.') from error
        if not isinstance(row, dict):
            raise refusal(f'{where} has no text. Each line must be an object whose field "text" or "prompt" is a text.')
        yield _passage(row, where)


def _from_json(text: str, label: str) -> Iterator[Passage]:
    found = foreign.parse_json(text, "texts", label)
    if isinstance(found, dict) and any(isinstance(found.get(name), str) for name in _NAMES["text"]):
        found = [found]
    if isinstance(found, dict):
        for theme, rows in found.items():
            if not isinstance(rows, list):
                raise refusal(
                    f"{label} has something else than a list under {theme[:40]!r}. It must be a list of objects with "
                    '"prompt" and "label", or an object of label -> list of texts.'
                )
            for number, row in enumerate(rows, start=1):
                where = f"Entry {number:,} under {theme[:40]!r} of {label}"
                row = {"text": row} if isinstance(row, str) else row
                yield _passage({**row, "theme": theme} if isinstance(row, dict) else {}, where)
    elif isinstance(found, list):
        for number, row in enumerate(found, start=1):
            row = {"text": row} if isinstance(row, str) else row
            yield _passage(row if isinstance(row, dict) else {}, f"Entry {number:,} of {label}")
    else:
        raise refusal(f'{label} holds no list of texts. It must be a list of objects with "prompt" and "label".')


def _from_csv(text: str, label: str) -> Iterator[Passage]:
    rows = csv.reader(io.StringIO(text), strict=True)
    head: list[str] | None = None
    try:
        for cells in rows:
            if not any(cell.strip() for cell in cells):
                continue
            where = f"The row at line {rows.line_num:,} of {label}"
            if head is None:
                head = [cell.strip().lower() for cell in cells]
                if not _name_in(head, "text"):
                    has = ", ".join(cell[:40] for cell in head[:8])
                    raise refusal(f"{label} has no column prompt or text; its first line has {has}. Name the column.")
                if len(set(head)) < len(head):
                    raise refusal(f"{label} has two columns of one name. Name each column once.")
                continue
            if len(cells) != len(head):
                raise refusal(f"{where} has {len(cells)} cells and the head has {len(head)}. Quote texts with commas.")
            yield _passage(dict(zip(head, cells, strict=True)), where)
    except csv.Error as error:
        raise refusal(f"{label} is no CSV that can be read (line {rows.line_num:,}: {error}).") from error


def _cells(line: str) -> list[str]:
    """The cells of a head, in small letters; none where it is no row of a table."""
    try:
        return [cell.strip().lower() for cell in next(csv.reader([line], strict=True), [])]
    except csv.Error:
        return []


def _name_in(names: list[str], what: str) -> str:
    return next((name for name in _NAMES[what] if name in names), "")


def _passage(row: Mapping[str, Any], where: str) -> Passage:
    """A row as a passage. Raises UserError(field="texts") for a row without text, or with a theme that is none."""
    text, theme, kind = (next((row[n] for n in names if row.get(n)), "") for names in _NAMES.values())
    if not isinstance(text, str) or not text.strip():
        raise refusal(f'{where} has no text. Each needs a text in the field "text" or "prompt".')
    if not all(isinstance(v, str) and len(v) <= MAX_THEME for v in (theme, kind)):
        raise refusal(f"{where} has a theme or kind (label) that is no text of up to {MAX_THEME} characters.")
    if any(_SURROGATE.search(v) for v in (text, theme, kind)):
        raise refusal(f"{where} holds half of a character (a lone surrogate such as \\ud800). Remove it.")
    return Passage(text, label_of(theme, MAX_THEME), label_of(kind, MAX_THEME))
