"""Texts on their way in: the bundled corpus, uploads and datasets, and everything that can be wrong with them."""

from __future__ import annotations

import json
import lzma
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from analysis.corpora import hub_datasets, passages, sources
from analysis.corpora.passages import BUNDLED, Passage, bundled_corpus, corpus_hash, distinct, pack
from analysis.corpora.sources import MIN_WORDS, PASSAGE_WORDS, count_words, keep_upload, read_source
from analysis.corpora.text_source import TextSource
from analysis.errors import Cancelled, UserError

SENTENCE = "Rain fell on the old harbour and nobody spoke of it. "  # eleven words
PARAGRAPHS = [f"Part {i}. " + SENTENCE * 9 for i in range(30)]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    return tmp_path


def refused(filename: str, data: bytes | str) -> str:
    with pytest.raises(UserError) as caught:
        keep_upload(filename, data.encode() if isinstance(data, str) else data)
    assert caught.value.field == "texts"
    return caught.value.message


def lines(*rows: Any) -> str:
    return "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)


# The bundled corpus


def test_packing_sorts_drops_blank_and_repeated_texts_and_is_reproducible(tmp_path: Path) -> None:
    rows = [
        {"theme": "sea", "kind": "boats", "number": n, "by": "model", "text": f"A boat, number {n}, at sea."}
        for n in (11, 2, 1)
    ]
    rows += [
        {"theme": "air", "kind": "kites", "number": 1, "by": "model", "text": "  A kite  in the air. "},
        {"theme": "air", "kind": "kites", "number": 2, "by": "model", "text": "A kite in the air."},
        {"theme": "air", "kind": "kites", "number": 3, "by": "model", "text": " \n "},
    ]
    out = tmp_path / "corpus.xz"
    sizes = []
    for order in (rows, rows[::-1]):
        (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, order)) + "\n\n")
        sizes.append((*pack(tmp_path / "in.jsonl", out), out.read_bytes()))
    assert sizes[0] == sizes[1] and sizes[0][:2] == (4, out.stat().st_size)
    read = [json.loads(line) for line in lzma.open(out, "rt")]
    assert [(r["theme"], r["number"]) for r in read] == [("air", 1), ("sea", 1), ("sea", 2), ("sea", 11)]
    assert read[0] == {"theme": "air", "kind": "kites", "number": 1, "by": "model", "text": "A kite  in the air."}


def test_packing_names_the_line_that_is_no_row(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"theme": "a", "kind": "b", "number": 1, "text": "t"}\n{"theme": "a"}\n')
    with pytest.raises(ValueError, match="line 2 of in"):
        pack(tmp_path / "in.jsonl", tmp_path / "out.xz")
    assert not (tmp_path / "out.xz").exists()


def test_what_is_packed_is_what_is_read_and_the_list_is_the_callers_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"theme": "sea", "kind": "boats", "number": 1, "by": "model", "text": "A boat — white, “old”."}
    (tmp_path / "in.jsonl").write_text(json.dumps(row))
    pack(tmp_path / "in.jsonl", tmp_path / "corpus.xz")
    monkeypatch.setattr(passages, "BUNDLED", tmp_path / "corpus.xz")
    first = bundled_corpus()
    assert first == [Passage("A boat — white, “old”.", "sea", "boats")]
    first.clear()
    assert len(bundled_corpus()) == 1 and len(read_source(TextSource())) == 1


@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_a_damaged_corpus_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    path = tmp_path / "corpus.xz"
    body = lzma.compress(b'{"theme": "a", "kind": "b", "text": "c"}\n' * 50)
    if damage != "missing":
        path.write_bytes(body[:40] if damage == "cut" else lzma.compress(b'{"words": 3}\n'))
    monkeypatch.setattr(passages, "BUNDLED", path)
    with pytest.raises(UserError, match="missing from this installation, or damaged"):
        bundled_corpus()


@pytest.mark.skipif(not BUNDLED.exists(), reason="the corpus is not packed yet")
def test_the_shipped_corpus_is_small_clean_and_about_every_theme() -> None:
    from analysis.corpora.themes import themes

    found = bundled_corpus()
    assert BUNDLED.stat().st_size < 2_000_000 and found == distinct(found)
    kinds = {(k.theme, k.name) for theme in themes() for k in theme.kinds}
    assert {(p.theme, p.kind) for p in found} == kinds
    assert sum(count_words(p.text) for p in found) > 100_000


def test_the_hash_sees_every_field_the_order_and_the_bounds_of_fields() -> None:
    a, b = Passage("one", "two", "three"), Passage("four")
    others = [
        [b, a],
        [a],
        [Passage("one", "two", "other"), b],
        [Passage("one", "twothree", ""), b],
        [Passage('one", "two', "three"), b],
    ]
    hashes = {corpus_hash(x) for x in ([a, b], *others)}
    assert len(hashes) == 6 and all(len(h) == 20 for h in hashes)
    assert corpus_hash([a, b]) == corpus_hash([Passage("one", "two", "three"), Passage("four")])


# Uploads


def test_a_text_is_cut_at_blank_lines_and_kept_by_its_content(home: Path) -> None:
    text = "\r\n \r\n".join(PARAGRAPHS)
    source = keep_upload("C:\\texts\\harbour.txt", b"\xef\xbb\xbf" + text.encode())
    assert source.kind == "text" and source.label == "harbour.txt"
    assert read_source(source) == [Passage(p.strip()) for p in PARAGRAPHS]
    again = keep_upload("other name.TXT", "\n\n\n".join(PARAGRAPHS).encode())
    assert again.name == source.name and again.label == "other name.TXT"
    assert [p.name for p in (home / "corpora").iterdir()] == [f"{source.name}.jsonl"]
    assert read_source(TextSource.from_dict(json.loads(json.dumps(source.to_dict())))) == read_source(source)


def test_a_line_of_json_brings_its_theme_and_kind() -> None:
    rows = [{"text": p, "theme": "weather/sea", "kind": "rain", "id": 3} for p in PARAGRAPHS[:29]]
    found = read_source(keep_upload("a.jsonl", lines(*rows, "", {"text": PARAGRAPHS[29], "theme": None}).encode()))
    assert found[0] == Passage(PARAGRAPHS[0].strip(), "weather/sea", "rain")
    assert found[-1] == Passage(PARAGRAPHS[29].strip()) and len(found) == 30


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{'text': 'x'}", "Line 3 of a.jsonl is not JSON"),
        ("[" * 100_000, "Line 3 of a.jsonl is not JSON"),
        ("[1]", "Line 3 of a.jsonl has no text"),
        ({"content": "x"}, "Line 3 of a.jsonl has no text"),
        ({"text": " "}, "Line 3 of a.jsonl has no text"),
        ({"text": 7}, "Line 3 of a.jsonl has no text"),
        ({"text": "x", "theme": ["y"]}, "Line 3 of a.jsonl has a theme or kind"),
        ({"text": "x", "kind": "y" * 201}, "Line 3 of a.jsonl has a theme or kind"),
        ('{"text": "x \\ud83d"}', "Line 3 of a.jsonl holds half of a character"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(line: Any, words: str) -> None:
    assert words in refused("a.jsonl", lines({"text": PARAGRAPHS[0]}, "", line))


def test_uploads_that_are_refused(home: Path) -> None:
    assert refused("a.txt", "two words") == (
        f"This text has only 2 words; a fit needs at least {MIN_WORDS:,} words. Bring more text."
    )
    assert "has only 0 words" in refused("a.txt", b"")
    assert "has only 1 word;" in refused("a.jsonl", '{"text": "alone"}')
    assert "none of .txt, .jsonl, .json, .csv" in refused("a.pdf", b"%PDF")
    assert "20.0 MB; the limit is 20 MB" in refused("a.txt", b"x" * 20_000_001)
    assert "bytes at 4 cannot be read" in refused("a.txt", b"abcd\xffefg")
    assert "UTF-16" in refused("a.txt", "words".encode("utf-16"))
    assert "zero bytes" in refused("a.txt", b"ab\0c")
    # One paragraph many times over is one passage, and too short.
    assert "has only 101 words" in refused("a.txt", "\n\n".join([PARAGRAPHS[0]] * 100))
    assert not list(home.rglob("*.jsonl"))


def test_long_passages_are_cut_at_the_end_of_a_sentence_and_lose_no_word() -> None:
    text = "".join(f"{i} {SENTENCE}" for i in range(500))
    data = lines({"text": text, "theme": "rain"}, {"text": "A short one."}).encode()
    found = read_source(keep_upload("a.jsonl", data))
    assert " ".join(p.text for p in found[:-1]).split() == text.split()
    assert all(p.text.endswith("of it.") and p.theme == "rain" for p in found[:-1])
    # Sentences of twelve words: 33 of them fit into 400 words.
    assert count_words(found[1].text) == 396 <= PASSAGE_WORDS and len(found) == 17


def test_text_without_sentences_or_blanks_is_cut_by_words() -> None:
    plain = keep_upload(
        "a.txt",
        (
            " ".join(f"w{i}" for i in range(1001)) + "\n\n" + "".join(chr(0x4E00 + i) for i in range(1200)) + "x" * 4000
        ).encode(),
    )
    counts = [count_words(p.text) for p in read_source(plain)]
    assert max(counts) == PASSAGE_WORDS and sum(counts) == 1001 + 1200 + 100


def test_page_breaks_become_blanks_and_other_characters_stay() -> None:
    text = "\n\n".join(f"é\x0c\x07“{i}” 😀 " + p for i, p in enumerate(PARAGRAPHS))
    assert read_source(keep_upload("a.txt", text.encode()))[3].text.startswith("é  “3” 😀 Part 3.")


def test_a_kept_text_that_is_gone_or_changed_is_refused(home: Path) -> None:
    source = keep_upload("a.txt", "\n\n".join(PARAGRAPHS).encode())
    path = home / "corpora" / f"{source.name}.jsonl"
    path.write_text(path.read_text().replace("harbour", "station"))
    with pytest.raises(UserError, match="was changed"):
        read_source(source)
    with pytest.raises(UserError, match="no longer in the data folder"):
        read_source(source)
    assert keep_upload("a.txt", "\n\n".join(PARAGRAPHS).encode()).name == source.name
    assert len(read_source(source)) == 30


# Sources as data


@pytest.mark.parametrize(
    "data",
    [
        {"kind": "file"},
        {"kind": "text", "name": "../../secret"},
        {"kind": "text", "name": "a" * 63},
        {"kind": "dataset", "name": "json"},
        {"kind": "dataset", "name": "../owner/name"},
        {"kind": "dataset", "name": "owner/na..me"},
        {"kind": "dataset", "name": "owner/name", "split": "a\nb"},
        {"kind": "dataset", "name": "owner/name", "config": "../up"},
        {"kind": "dataset", "name": 3},
        {"kind": "bundled", "path": "x"},
        {3: "bundled"},
        ["bundled"],
        None,
    ],
)
def test_sources_that_cannot_be(data: object) -> None:
    with pytest.raises(UserError) as caught:
        TextSource.from_dict(data)
    assert caught.value.field == "texts"


def test_a_source_needs_no_torch() -> None:
    import subprocess

    code = "import sys, analysis.corpora.sources; sys.exit('torch' in sys.modules or 'datasets' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Datasets on the hub


class Hub:
    """A stand-in for the library: what it was asked for, and rows that it streams."""

    def __init__(self, rows: list[dict[str, Any]], files: str = "hf://datasets/o/n@1/a.parquet") -> None:
        self.rows, self.files, self.asked, self.read = rows, files, [], 0
        self.error: Exception | None = None

    def load_dataset_builder(self, path: str, name: str | None = None, *, revision: str | None = None) -> Any:
        self.asked.append((path, name, revision))
        if self.error is not None:
            raise self.error
        config = SimpleNamespace(data_files={"train": [self.files]})
        return SimpleNamespace(
            config=config, info=SimpleNamespace(splits=None), as_streaming_dataset=lambda split: self.stream()
        )

    def stream(self) -> Iterator[dict[str, Any]]:
        for row in self.rows:
            self.read += 1
            yield row


def hub(monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, Any]], **options: Any) -> Hub:
    made = Hub(rows, **options)
    monkeypatch.setitem(sys.modules, "datasets", made)  # type: ignore[arg-type]
    return made


def dataset_refusal(**options: str) -> str:
    with pytest.raises(UserError) as caught:
        read_source(TextSource("dataset", "owner/name", **options))
    assert caught.value.field == "texts"
    return caught.value.message


def test_a_dataset_is_streamed_once_and_never_from_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    made = hub(monkeypatch, [{"id": "x", "text": p} for p in ["", *PARAGRAPHS]])
    source = TextSource("dataset", "owner/name", config="small", revision="v1")
    first = read_source(source)
    assert first == [Passage(p.strip()) for p in PARAGRAPHS] and source.label == "owner/name"
    assert read_source(source) == first and made.read == 31
    assert made.asked == [("hf://datasets/owner/name", "small", "v1")]
    read_source(TextSource("dataset", "owner/name"))
    assert made.asked[1:] == [("hf://datasets/owner/name", None, None)]


def test_a_dataset_is_read_up_to_a_limit_and_can_be_cancelled(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    made = hub(monkeypatch, [{"text": f"{i} " + SENTENCE * 30} for i in range(1000)])
    monkeypatch.setattr(sources, "DATASET_WORDS", 5_000)
    assert len(read_source(TextSource("dataset", "owner/name"))) == 16 == made.read

    def stop() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        read_source(TextSource("dataset", "owner/other"), stop)
    assert len(list((home / "corpora").glob("dataset-*"))) == 1


def test_the_column_of_a_dataset(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"title": f"t{i}", "body": p, "number": i} for i, p in enumerate(PARAGRAPHS)]
    hub(monkeypatch, rows)
    assert read_source(TextSource("dataset", "owner/name"))[0].text == PARAGRAPHS[0].strip()
    assert "has no column summary that holds text. The columns that do are title, body." in dataset_refusal(
        column="summary"
    )
    assert "no column number" in dataset_refusal(column="number")
    hub(monkeypatch, [{"a": "x", "b": "y"}])
    assert "Several columns of owner/name hold text: a, b." in dataset_refusal(config="other")
    hub(monkeypatch, [{"a": 1}])
    assert "No column of the dataset owner/name holds text" in dataset_refusal(config="other")
    hub(monkeypatch, [{"text": "too short"}])
    assert "The dataset owner/name has only 2 words" in dataset_refusal(config="other")


class DatasetNotFoundError(FileNotFoundError):
    """Named as the library's own."""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionError("Couldn't reach 'owner/name' on the Hub (ConnectError)"), "hub cannot be reached"),
        (TimeoutError(), "hub cannot be reached"),
        (DatasetNotFoundError("Dataset 'owner/name' doesn't exist on the Hub"), "has no dataset owner/name"),
        (DatasetNotFoundError("Revision 'v9' doesn't exist for dataset"), "has no revision v9"),
        (DatasetNotFoundError("Dataset 'owner/name' is a gated dataset on the Hub."), "is gated"),
        (RuntimeError("Dataset scripts are no longer supported, but found name.py"), "needs code of its own"),
        (ValueError("Config name is missing. Please pick one among: ['a', 'b']"), "several configurations"),
        (KeyError("odd"), "cannot be read: 'odd'"),
    ],
)
def test_how_a_hub_fails(monkeypatch: pytest.MonkeyPatch, error: Exception, words: str) -> None:
    hub(monkeypatch, []).error = error
    assert words in dataset_refusal(revision="v9")


def test_a_dataset_that_names_files_of_this_machine_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    made = hub(monkeypatch, [{"text": p} for p in PARAGRAPHS], files="/etc/hostname")
    assert "names files outside itself" in dataset_refusal() and made.read == 0


def test_a_hub_that_never_answers_and_a_library_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    made = hub(monkeypatch, [])
    monkeypatch.setattr(hub_datasets, "OPEN_SECONDS", 0.05)
    import threading

    never = threading.Event()
    monkeypatch.setattr(made, "load_dataset_builder", lambda *a, **k: never.wait(5))
    assert "hub cannot be reached" in dataset_refusal()
    never.set()
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert "needs the package datasets" in dataset_refusal()
