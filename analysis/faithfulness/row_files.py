"""Files of rows, whatever they are written as: JSONL, one JSON array, or CSV as the benchmark is published.

Each form gives the same: the number of a row and its columns. A row that cannot be read is told with its number and
ends nothing; only what makes the whole file unreadable does. Chains are long, so cells of a table are let be longer
than Python's reader takes by default.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from analysis import foreign
from analysis.corpora.hub_datasets import stream_rows
from analysis.corpora.text_source import TextSource
from analysis.errors import UserError
from analysis.faithfulness.row_fields import value
from analysis.faithfulness.row_report import same_model
from analysis.progress import Check, no_check

Row = tuple[int, Mapping[str, Any]]
Refused = list[tuple[int, str]]
MAX_CELL = 2_000_000
"""Characters of a cell; the longest published chains have some 130,000."""
_NEEDED = ("cot", "model_answer")
_NEWLINES = re.compile(r"\r\n?")


def parsed(text: str, refused: Refused) -> Iterator[Row]:
    """(number from 1, row) of each row of a text; rows that cannot be read go to ``refused`` with a sentence.

    The number is that of the line; in a JSON array, that of the entry. Raises UserError(field="file") for an array or a
    table that cannot be read at all.
    """
    text = text.removeprefix("\ufeff")
    begin = text.lstrip()[:1]
    if begin == "[" and not _is_line(text):
        yield from _entries(foreign.parse_json(text, "file", "This file", infinite=True), refused)
    elif begin not in ("{", "[") and _is_table(text):
        yield from _table(text, refused)
    else:
        yield from _lines(text, refused)


def hub_rows(source: TextSource, target: str, most: int, check: Check = no_check) -> str:
    """The rows of a dataset on the hub as JSONL, streamed; those of ``target`` only where it is named.

    Raises UserError(field="texts"): why the dataset cannot be read, or that they take more than ``most``
    bytes.
    """
    lines: list[str] = []
    size = 0
    for row in stream_rows(source):
        check()
        if target and not same_model(value(row, "target_model"), target):
            continue
        lines.append(json.dumps(row, ensure_ascii=False, default=str))
        size += len(lines[-1].encode("utf-8", "replace"))
        if size > most:
            raise UserError(
                f"The rows of {source.name} take more than {most / 1e6:.0f} MB. Name one target model, so "
                "that its rows alone are read.",
                "target",
            )
    if not lines:
        raise UserError(f"The dataset {source.name} has no row{f' of {target}' if target else ''}.", "target")
    return "\n".join(lines)


def checked(number: int, row: Any, refused: Refused) -> Iterator[Row]:
    """The row if it is an object of whole text; else nothing, and a sentence in ``refused``."""
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        refused.append((number, "This line holds half a character (one surrogate, such as \\ud83d). Write it whole."))
        return
    if isinstance(row, dict):
        yield number, row
    else:
        refused.append((number, "This line is JSON but no object. Write one object with named columns per line."))


def _is_line(text: str) -> bool:
    """Whether the first line is JSON by itself, with another line behind it: JSONL whose first row is no object."""
    first, _, rest = text.strip().partition("\n")
    if not rest.strip():
        return False
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return False
    return True


def _is_table(text: str) -> bool:
    """Whether the first line is the head of a table of rows."""
    try:
        head = next(csv.reader([_NEWLINES.sub("\n", text[:10_000]).lstrip("\n").split("\n", 1)[0]], strict=True), [])
    except csv.Error:
        return False
    names = {cell.strip() for cell in head}
    return len(names) > 1 and any(name in names for name in (*_NEEDED, "label_type"))


def _lines(text: str, refused: Refused) -> Iterator[Row]:
    for number, raw in enumerate(text.split("\n"), 1):
        if not raw.strip():
            continue
        try:
            row = json.loads(raw)
        except (ValueError, RecursionError):
            refused.append(
                (number, "This line is no JSON. Every line holds one JSON object with the columns of a row.")
            )
        else:
            yield from checked(number, row, refused)


def _entries(rows: Iterable[Any], refused: Refused) -> Iterator[Row]:
    for number, row in enumerate(rows, 1):
        yield from checked(number, row, refused)


def _table(text: str, refused: Refused) -> Iterator[Row]:
    """Rows of a CSV. A row of another number of cells is refused; a quote that is never closed ends the file."""
    before = csv.field_size_limit(MAX_CELL)
    reader = csv.reader(io.StringIO(_NEWLINES.sub("\n", text)), strict=True)
    head: list[str] | None = None
    last = 0
    try:
        for cells in reader:
            number, last = last + 1, reader.line_num
            if not cells:
                continue
            if head is None:
                head = [cell.strip() for cell in cells]
                lacks = [name for name in _NEEDED if name not in head]
                if lacks or len(set(head)) < len(head):
                    what = f"has no column {' and no column '.join(lacks)}" if lacks else "names a column twice"
                    raise UserError(f"This table {what}. Its first line names the columns of a row, each once.", "file")
            elif len(cells) != len(head):
                refused.append((number, f"This row has {len(cells)} cells and the head has {len(head)}."))
            else:
                yield from checked(number, dict(zip(head, cells, strict=True)), refused)
    except csv.Error as error:
        raise UserError(f"This table cannot be read as CSV (line {reader.line_num:,}: {error}).", "file") from error
    finally:
        csv.field_size_limit(before)
