"""Files of texts as others write them: every shape is written here by Python's own json and csv, and read back."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from analysis.corpora.passages import Passage
from analysis.corpora.sources import keep_upload, read_source
from analysis.corpora.text_files import MAX_THEME, passages_of, pasted
from analysis.errors import UserError

THEMES = [" legal terms about a contract, its parties and what they owe one another, among them dates and sums", "rain"]
ROWS = [(f"Sentence {i}, “about it”; " + "rain fell on the harbour " * 12 + ".", THEMES[i % 2]) for i in range(60)]
WANTED = [Passage(text, theme.strip()) for text, theme in ROWS]


def table(head: list[str], rows: list[list[str]]) -> str:
    file = io.StringIO()
    csv.writer(file).writerows([head, *rows])
    return file.getvalue()


FILES = {
    "a list of prompt and label": ("a.json", json.dumps([{"prompt": t, "label": m, "id": 1} for t, m in ROWS])),
    "a list over many lines": ("a.json", json.dumps([{"prompt": t, "label": m} for t, m in ROWS], indent=1)),
    "label to list": ("b.json", json.dumps({m: [t for t, n in ROWS if n == m] for m in THEMES})),
    "a table": ("c.csv", table(["", "prompt", "label"], [[str(i), *row] for i, row in enumerate(ROWS)])),
    "lines": ("d.jsonl", "\n".join(json.dumps({"prompt": t, "label": m}) for t, m in ROWS)),
    "our own names": ("e.jsonl", "\n".join(json.dumps({"text": t, "theme": m}) for t, m in ROWS)),
}


@pytest.mark.parametrize("name", FILES)
def test_published_shapes_give_the_same_passages_on_both_pages(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    filename, text = FILES[name]
    found = read_source(keep_upload(filename, text.encode()))  # an upload on the Steering page
    assert sorted(found, key=str) == sorted(WANTED, key=str)
    assert len({p.theme for p in found}) == 2 and max(len(p.theme) for p in found) > 80
    put = list(pasted(text))  # the form of the MLP features page
    assert sorted(put, key=str) == sorted((Passage(t, m.strip()) for t, m in ROWS), key=str)


def test_texts_without_labels() -> None:
    plain = [t for t, _ in ROWS]
    assert [p.text for p in passages_of(json.dumps(plain), ".json", "a.json")] == plain
    assert [p.text for p in passages_of(table(["Prompt"], [[t] for t in plain]), ".csv", "a.csv")] == plain
    assert [p.text for p in pasted("One line.\nAnother, [1] with marks.\n")] == [
        "One line.",
        "Another, [1] with marks.",
    ]
    # Prose may begin with a bracket, and its first line may be a word that names a column.
    for prose in ("[Enter GHOST]\nWho goes?", '{he said} "no"', "prompt", '["Stop!" he said.]'):
        assert [p.text for p in pasted(prose)] == prose.split("\n")
        assert [p.text for p in passages_of(prose, ".txt", "a.txt")] == [prose]


def test_json_is_never_prose() -> None:
    for _, text in FILES.values():
        if not text.startswith(","):
            with pytest.raises(UserError, match=r"a\.txt is JSON and no prose"):
                list(passages_of("\n " + text, ".txt", "a.txt"))
    with pytest.raises(UserError, match="is JSON and no prose"):
        list(passages_of(FILES["a list of prompt and label"][1][:400], ".txt", "cut.txt"))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.json", '[{"prompt": "x"', "cannot be read as JSON"),
        ("a.json", "[" * 50_000, "nested deeper"),
        ("a.json", '[{"prompt": NaN}]', "has NaN"),
        ("a.json", '"a text"', "holds no list of texts"),
        ("a.json", '[{"prompt": "x"}, 7]', "Entry 2 of a.json has no text"),
        ("a.json", '[{"label": "x"}]', "Entry 1 of a.json has no text"),
        ("a.json", '[{"prompt": ["x"]}]', "Entry 1 of a.json has no text"),
        ("a.json", '{"rain": "x"}', "something else than a list under 'rain'"),
        ("a.json", '{"rain": ["x", ["y"]]}', "Entry 2 under 'rain' of a.json has no text"),
        ("a.json", '{"' + "y" * (MAX_THEME + 1) + '": ["x"]}', "no text of up to 200 characters"),
        ("a.json", '[{"prompt": "x \\ud83d"}]', "a.json"),
        ("a.csv", "sentence,label\nx,y\n", "no column prompt or text; its first line has sentence, label"),
        ("a.csv", "prompt,label\nx,y,z\n", "line 2 of a.csv has 3 cells and the head has 2"),
        ("a.csv", "prompt,prompt\nx,y\n", "two columns of one name"),
        ("a.csv", 'prompt,label\n"x,y\n', "is no CSV that can be read"),
        ("a.csv", "prompt\n" + "x" * 200_000, "is no CSV that can be read"),
        ("a.csv", "prompt,label\n ,y\n", "line 2 of a.csv has no text"),
        ("nmf-l0-r100.pkl", "x", "what is pickled is turned into one outside Attune"),
    ],
)
def test_files_that_cannot_be_used_are_refused_in_a_sentence(name: str, text: str, words: str) -> None:
    with pytest.raises(UserError, match=r".") as caught:
        keep_upload(name, text.encode())
    assert words in caught.value.message and caught.value.field == "texts"
