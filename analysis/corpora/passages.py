"""The bundled corpus as it is shipped, and what a corpus is to everything else: a list of passages.

The corpus is written as one JSON object per line and shipped as one compressed file. This module hides that file: it
makes it (``python -m analysis.corpora.passages IN.jsonl OUT.xz``) and reads it. Rows are sorted before they are
compressed, so that the same rows give the same file and similar texts lie side by side.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from analysis.errors import UserError

BUNDLED = Path(__file__).resolve().parent.parent / "data" / "corpus.jsonl.xz"


@dataclass(frozen=True)
class Passage:
    """A text that is read on its own, and what is known of it: ``theme`` and ``kind`` are empty where unknown."""

    text: str
    theme: str = ""
    kind: str = ""


def bundled_corpus() -> list[Passage]:
    """All passages of the corpus that comes with Attune, in the order of its file. The list is the caller's own.

    Raises UserError(field="texts") if the file is missing or damaged.
    """
    return list(_bundled(BUNDLED))


def corpus_hash(passages: Sequence[Passage]) -> str:
    """Twenty hex digits of texts, themes, kinds and their order: equal for equal lists, on every platform."""
    digest = hashlib.sha256()
    for passage in passages:
        # JSON marks where a field ends, so that no two lists run together into the same bytes.
        digest.update(json.dumps([passage.text, passage.theme, passage.kind]).encode() + b"\n")
    return digest.hexdigest()[:20]


def distinct(passages: Iterable[Passage]) -> list[Passage]:
    """The passages without those whose text is blank or came before: a text must not be learnt from and tested on."""
    by_text: dict[str, Passage] = {}
    for passage in passages:
        by_text.setdefault(" ".join(passage.text.split()), passage)
    by_text.pop("", None)
    return list(by_text.values())


def pack(jsonl_in: Path, xz_out: Path) -> tuple[int, int]:
    """Sort rows by theme, kind and number, drop blank and repeated texts, compress; (rows kept, bytes written).

    Raises ValueError naming the line of a row that lacks a field.
    """
    rows: list[tuple[tuple[str, str, int], dict[str, Any]]] = []
    for number, line in enumerate(jsonl_in.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            key = (str(row["theme"]), str(row["kind"]), int(row["number"]))
            rows.append((key, {**row, "text": str(row["text"]).strip()}))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"line {number} of {jsonl_in.name} is no row of a corpus: {error!r}") from error
    rows.sort(key=lambda pair: pair[0])
    texts = {passage.text for passage in distinct(Passage(row["text"]) for _, row in rows)}
    lines = []
    for _, row in rows:
        if row["text"] in texts:
            texts.remove(row["text"])
            lines.append(json.dumps(row, sort_keys=True, ensure_ascii=False) + "\n")
    body = lzma.compress("".join(lines).encode(), preset=9 | lzma.PRESET_EXTREME)
    part = xz_out.with_name(f".{xz_out.name}.part")
    part.write_bytes(body)
    os.replace(part, xz_out)
    return len(lines), len(body)


@cache
def _bundled(path: Path) -> tuple[Passage, ...]:
    try:
        with lzma.open(path, "rt", encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        return tuple(Passage(row["text"], row["theme"], row["kind"]) for row in rows)
    except (OSError, lzma.LZMAError, EOFError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            "The corpus that comes with Attune is missing from this installation, or damaged. Install Attune again, "
            "or use a text of your own.",
            "texts",
        ) from error


if __name__ == "__main__":
    count, size = pack(Path(sys.argv[1]), Path(sys.argv[2]))
    print(f"{count:,} passages, {size:,} bytes")
