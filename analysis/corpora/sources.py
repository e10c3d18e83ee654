"""Where texts come from: the bundled corpus, a file that someone uploads, or a dataset on the hub.

A source is a few words of plain data that may come from a browser, be kept in a manifest and be part of a key; the
texts themselves lie in the data folder, under the hash of their content. So an upload is read, checked and split once,
when it arrives, and a dataset is streamed once. What a file may look like, and how a hub can fail, is known here only.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal

from analysis import foreign
from analysis.corpora.passages import Passage, bundled_corpus, distinct
from analysis.errors import UserError
from analysis.home import folder

Kind = Literal["bundled", "text", "dataset"]

MAX_BYTES = 20_000_000
_MAX_KEPT = 20 * MAX_BYTES  # written again, with six letters for one at the most, and with what else a line has
MIN_WORDS = 2_000
PASSAGE_WORDS = 400
DATASET_WORDS = 500_000
MAX_LABEL = 80

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_HASH = re.compile(r"[0-9a-f]{64}")
_DATASET = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_OPTION = re.compile(r"[\w.+-][\w.+/ \[\]:%-]{0,99}")
# A word, up to 40 characters long; or one character of a script that puts no blanks between words.
_ALONE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_ALONE}]|[^\s{_ALONE}]{{1,40}}")
_ENDS = (".", "!", "?", "…", "。", "！", "？", '."', '!"', '?"', ".”", "!”", "?”")


@dataclass(frozen=True)
class TextSource:
    """A source of texts. Any bad value raises UserError(field="texts").

    ``kind``: "bundled"; "text", whose ``name`` is the hash of a kept upload; or "dataset", whose ``name`` is a hub id
    (owner/name). ``label``: what the screen shows. For a dataset: ``split``, ``config`` and ``revision`` as on the hub
    (empty: the only one, or the newest), ``column`` that holds the text (empty: found).
    """

    kind: Kind = "bundled"
    name: str = ""
    label: str = ""
    split: str = "train"
    config: str = ""
    revision: str = ""
    column: str = ""

    def __post_init__(self) -> None:
        if not all(isinstance(getattr(self, f.name), str) for f in fields(self)):
            raise _bad("A source of texts is described by short texts only.")
        if self.kind not in ("bundled", "text", "dataset"):
            raise _bad("Texts come from the bundled corpus, an uploaded file, or a dataset on the hub. Choose one.")
        if self.kind == "text" and not _HASH.fullmatch(self.name):
            raise _bad("An uploaded text is named by the hash of its content. Upload the file again.")
        if self.kind == "dataset" and (not _DATASET.fullmatch(self.name) or ".." in self.name):
            raise _bad("A dataset on the hub is named owner/name, with letters, digits, dots, dashes and underscores.")
        for what in ("split", "config", "revision", "column"):
            value = getattr(self, what)
            if value and (not _OPTION.fullmatch(value) or ".." in value):
                raise _bad(f"The {what} of a dataset is a short name, as on the page of the dataset. Type it again.")
        object.__setattr__(self, "label", _label(self.label or ("" if self.kind == "text" else self.name)))

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON-able data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: object) -> TextSource:
        """The reverse of :meth:`to_dict`; missing fields take their defaults. Raises UserError for anything else."""
        known = {f.name for f in fields(cls)}
        if not isinstance(data, dict) or not all(isinstance(k, str) and k in known for k in data):
            raise _bad(f"A source of texts has the fields {', '.join(sorted(known))} and no others.")
        return cls(**data)


def count_words(text: str) -> int:
    """Words of a text; in scripts without blanks between words (such as Chinese or Thai) its characters."""
    return sum(1 for _ in _WORD.finditer(text))


def keep_upload(filename: str, data: bytes) -> TextSource:
    """Read, check and keep an uploaded .txt or .jsonl file in the data folder; the source that names it.

    A .txt file is cut at blank lines, a .jsonl file has an object with "text" (and, if known, "theme" and "kind") on
    each line; passages longer than PASSAGE_WORDS words are cut at the end of a sentence. Equal passages are kept once.
    Raises UserError(field="texts"): too large or too short, not UTF-8, a line that cannot be used (named).
    """
    label = _label(PureWindowsPath(filename).name) or "text"  # knows both kinds of slashes
    ending = PurePosixPath(label).suffix.lower()
    if ending not in (".txt", ".jsonl"):
        raise _bad(f"{label} is neither a .txt nor a .jsonl file. Save the text as one of them and upload it again.")
    if len(data) > MAX_BYTES:
        raise _bad(f"{label} has {len(data) / 1e6:.1f} MB; the limit is {MAX_BYTES / 1e6:.0f} MB. Upload a part of it.")
    text = _decoded(data, label)
    found = _from_jsonl(text, label) if ending == ".jsonl" else (Passage(p) for p in re.split(r"\n\s*\n", text))
    passages = distinct(part for passage in found for part in _cut(passage))
    _check_words(passages, "This text")
    return TextSource("text", _keep(passages), label)


def read_source(source: TextSource, check: Callable[[], None] = lambda: None) -> list[Passage]:
    """All passages of a source. A dataset is streamed from the hub when it is first read, up to DATASET_WORDS words,
    and ``check`` is called after each of its rows; it may raise to end the reading.

    Raises UserError(field="texts"): the kept text is gone or damaged, or why the dataset cannot be read.
    """
    if source.kind == "bundled":
        return bundled_corpus()
    if source.kind == "text":
        return _kept(source.name, "This uploaded text")
    # The label is for the screen and decides nothing.
    spec = json.dumps({k: v for k, v in source.to_dict().items() if k != "label"}, sort_keys=True)
    note = folder("corpora") / f"dataset-{hashlib.sha256(spec.encode()).hexdigest()}.txt"
    if note.is_file():
        try:
            return _kept(note.read_text(encoding="utf-8").strip(), "The copy of this dataset")
        except UserError:
            note.unlink(missing_ok=True)  # the hub still has it
    from analysis.corpora.hub_datasets import stream_texts

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


def _decoded(data: bytes, label: str) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _bad(f"{label} is in UTF-16. Save it as UTF-8 and upload it again.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _bad(
            f"{label} is not UTF-8 text: the bytes at {error.start:,} cannot be read. Save it as UTF-8 and upload it "
            "again."
        ) from error
    if "\0" in text:
        raise _bad(f"{label} holds zero bytes, so it is not a text file. Upload a .txt or .jsonl file.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _clean(text: str) -> str:
    """Without control characters, which no tokenizer was trained on (page breaks of old text files, for one)."""
    return _CONTROL.sub(" ", text).strip()


def _from_jsonl(text: str, label: str) -> Iterator[Passage]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"Line {number:,} of {label}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _bad(f'{where} is not JSON. Each line must be an object such as {{"text": "..."}}.') from error
        if not isinstance(row, dict) or not isinstance(row.get("text"), str) or not row["text"].strip():
            raise _bad(f'{where} has no text. Each line must be an object whose field "text" is a text.')
        named = {what: row.get(what) or "" for what in ("theme", "kind")}
        if not all(isinstance(v, str) and len(v) <= MAX_LABEL for v in named.values()):
            raise _bad(f"{where} has a theme or kind that is no text of up to {MAX_LABEL} characters. Correct it.")
        if any(_SURROGATE.search(v) for v in (row["text"], *named.values())):
            raise _bad(f"{where} holds half of a character (a lone surrogate such as \\ud800). Remove it.")
        yield Passage(row["text"], _label(named["theme"]), _label(named["kind"]))


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


def _check_words(passages: list[Passage], what: str) -> None:
    words = sum(count_words(p.text) for p in passages)
    if words < MIN_WORDS:
        plural = "word" if words == 1 else "words"
        raise _bad(f"{what} has only {words:,} {plural}; a fit needs at least {MIN_WORDS:,} words. Bring more text.")


def _keep(passages: list[Passage]) -> str:
    """Write passages to the data folder under the hash of what is written; that hash, 64 hex digits."""
    body = "".join(json.dumps([p.text, p.theme, p.kind]) + "\n" for p in passages).encode()
    name = hashlib.sha256(body).hexdigest()
    path = folder("corpora") / f"{name}.jsonl"
    if not path.is_file() or path.stat().st_size != len(body):
        _write(path, body)
    return name


def _kept(name: str, what: str) -> list[Passage]:
    path = folder("corpora") / f"{name}.jsonl"
    try:
        body = foreign.read_bytes(path, _MAX_KEPT, "texts")
    except UserError as error:
        raise _bad(f"{what} is no longer in the data folder. Bring it again.") from error
    if hashlib.sha256(body).hexdigest() != name:
        path.unlink(missing_ok=True)
        raise _bad(f"{what} was changed in the data folder after it was kept, so it is not used. Bring it again.")
    passages = []
    with foreign.reading(f"{what} cannot be read as it was kept. Bring it again.", "texts"):
        for line in body.decode().splitlines():
            row = foreign.parse_json(line, "texts", what)
            if not isinstance(row, list) or len(row) != 3 or not all(isinstance(v, str) for v in row):
                raise _bad(f"{what} cannot be read as it was kept. Bring it again.")
            passages.append(Passage(*row))
    if not passages:
        raise _bad(f"{what} is empty. Bring it again.")
    return passages


def _write(path: Path, body: bytes) -> None:
    handle, part = tempfile.mkstemp(prefix=".part-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body)
        os.replace(part, path)
    except OSError as error:
        Path(part).unlink(missing_ok=True)
        raise _bad(
            f"The text could not be kept ({error.strerror or 'system error'}). Make room on the disk."
        ) from error


def _label(name: str) -> str:
    """A name without characters that cannot be seen, and of bearable length; of a file name the end says most."""
    return "".join(c for c in name if unicodedata.category(c) not in ("Cc", "Cf", "Cs")).strip()[-MAX_LABEL:]


def _bad(message: str) -> UserError:
    return UserError(message, "texts")
