"""The texts of a source: read, checked and split into passages once, then kept under the hash of their content.

An upload is split when it arrives, a dataset when it is first streamed; both then lie in the data folder. What a file
may look like is known in module text_files only.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from analysis import foreign
from analysis.corpora.hub_datasets import stream_texts
from analysis.corpora.passages import Passage, bundled_corpus, distinct
from analysis.corpora.text_files import ENDINGS, passages_of
from analysis.corpora.text_source import TextSource, label_of, refusal
from analysis.errors import UserError
from analysis.home import folder
from analysis.progress import Check, no_check

MAX_BYTES = 20_000_000
_MAX_KEPT = 20 * MAX_BYTES  # written again, with six letters for one at the most, and with what else a line has
MIN_WORDS = 2_000
PASSAGE_WORDS = 400
DATASET_WORDS = 500_000

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# A word, up to 40 characters long; or one character of a script that puts no blanks between words.
_ALONE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_ALONE}]|[^\s{_ALONE}]{{1,40}}")
_ENDS = (".", "!", "?", "…", "。", "！", "？", '."', '!"', '?"', ".”", "!”", "?”")


def count_words(text: str) -> int:
    """Words of a text; in scripts without blanks between words (such as Chinese or Thai) its characters."""
    return sum(1 for _ in _WORD.finditer(text))


def keep_upload(filename: str, data: bytes, least: int = MIN_WORDS) -> TextSource:
    """Read, check and keep an uploaded file in the data folder; the source that names it.

    What a file may look like: :func:`~analysis.corpora.text_files.passages_of`. Passages longer than PASSAGE_WORDS
    words are cut at the end of a sentence. Equal passages are kept once. ``least``: how many words are enough.
    Raises UserError(field="texts"): too large or too short, not UTF-8, a line that cannot be used (named).
    """
    label = label_of(PureWindowsPath(filename).name) or "text"  # knows both kinds of slashes
    ending = PurePosixPath(label).suffix.lower()
    if ending not in ENDINGS:
        raise refusal(
            f"{label} is none of {', '.join(ENDINGS)}, so it is not read. Save the texts as one of them; what is "
            "pickled is turned into one outside Attune (see the manual)."
        )
    if len(data) > MAX_BYTES:
        raise refusal(
            f"{label} has {len(data) / 1e6:.1f} MB; the limit is {MAX_BYTES / 1e6:.0f} MB. Upload a part of it."
        )
    text = _decode(data, label)
    passages = distinct(part for row in passages_of(text, ending, label) for part in _cut(row))
    _check_words(passages, "This text", least)
    return TextSource("text", _keep(passages), label)


def read_source(source: TextSource, check: Check = no_check) -> list[Passage]:
    """All passages of a source. A dataset is streamed from the hub when it is first read, up to DATASET_WORDS words,
    and ``check`` is called after each of its rows; it may raise to end the reading.

    Raises UserError(field="texts"): the kept text is gone or damaged, or why the dataset cannot be read.
    """
    if source.kind == "bundled":
        return bundled_corpus()
    if source.kind == "text":
        return _read(source.name, "This uploaded text")
    # The label is for the screen and decides nothing.
    spec = json.dumps({k: v for k, v in source.to_dict().items() if k != "label"}, sort_keys=True)
    note = folder("corpora") / f"dataset-{hashlib.sha256(spec.encode()).hexdigest()}.txt"
    if note.is_file():
        try:
            return _read(note.read_text(encoding="utf-8").strip(), "The copy of this dataset")
        except UserError:
            note.unlink(missing_ok=True)  # the hub still has it
    passages: list[Passage] = []
    words = 0
    for text in stream_texts(source):
        check()
        for passage in _cut(Passage(text)):
            passages.append(passage)
            words += count_words(passage.text)
        if words >= DATASET_WORDS:
            break
    passages = distinct(passages)
    _check_words(passages, f"The dataset {source.name}")
    _write(note, _keep(passages).encode())
    return passages


def _decode(data: bytes, label: str) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise refusal(f"{label} is in UTF-16. Save it as UTF-8 and upload it again.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refusal(
            f"{label} is not UTF-8 text: the bytes at {error.start:,} cannot be read. Save it as UTF-8 and upload it "
            "again."
        ) from error
    if "\0" in text:
        raise refusal(f"{label} holds zero bytes, so it is not a text file. Upload a text file.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _clean(text: str) -> str:
    """Without control characters, which no tokenizer was trained on (page breaks of old text files, for one)."""
    return _CONTROL.sub(" ", text).strip()


def _cut(passage: Passage) -> Iterator[Passage]:
    """The passage in parts of at most PASSAGE_WORDS words, each ended with a sentence if one ends in its last half."""
    text, start = _clean(passage.text), 0
    words = [m.span() for m in _WORD.finditer(text)]
    while start < len(words):
        stop = min(start + PASSAGE_WORDS, len(words))
        if stop < len(words):
            ends = (i for i in range(stop, start + PASSAGE_WORDS // 2, -1) if text.endswith(_ENDS, 0, words[i - 1][1]))
            stop = next(ends, stop)
        last = len(text) if stop == len(words) else words[stop][0]
        yield Passage(text[words[start][0] : last].strip(), passage.theme, passage.kind)
        start = stop


def _check_words(passages: list[Passage], what: str, least: int = MIN_WORDS) -> None:
    words = sum(count_words(p.text) for p in passages)
    if words < least:
        plural = "word" if words == 1 else "words"
        needs = "a fit needs" if least == MIN_WORDS else "there must be"
        raise refusal(f"{what} has only {words:,} {plural}; {needs} at least {least:,} words. Bring more text.")


def _keep(passages: list[Passage]) -> str:
    """Write passages to the data folder under the hash of what is written; that hash, 64 hex digits."""
    body = "".join(json.dumps([p.text, p.theme, p.kind]) + "\n" for p in passages).encode()
    name = hashlib.sha256(body).hexdigest()
    path = folder("corpora") / f"{name}.jsonl"
    if not path.is_file() or path.stat().st_size != len(body):
        _write(path, body)
    return name


def _read(name: str, what: str) -> list[Passage]:
    path = folder("corpora") / f"{name}.jsonl"
    try:
        body = foreign.read_bytes(path, _MAX_KEPT, "texts")
    except UserError as error:
        raise refusal(f"{what} is no longer in the data folder. Bring it again.") from error
    if hashlib.sha256(body).hexdigest() != name:
        path.unlink(missing_ok=True)
        raise refusal(f"{what} was changed in the data folder after it was kept, so it is not used. Bring it again.")
    passages = []
    with foreign.reading(f"{what} cannot be read as it was kept. Bring it again.", "texts"):
        for line in body.decode().splitlines():
            row = foreign.parse_json(line, "texts", what)
            if not isinstance(row, list) or len(row) != 3 or not all(isinstance(v, str) for v in row):
                raise refusal(f"{what} cannot be read as it was kept. Bring it again.")
            passages.append(Passage(*row))
    if not passages:
        raise refusal(f"{what} is empty. Bring it again.")
    return passages


def _write(path: Path, body: bytes) -> None:
    handle, part = tempfile.mkstemp(prefix=".part-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body)
        os.replace(part, path)
    except OSError as error:
        Path(part).unlink(missing_ok=True)
        raise refusal(
            f"The text could not be kept ({error.strerror or 'system error'}). Make room on the disk."
        ) from error
