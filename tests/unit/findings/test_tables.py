"""Tables and the methods paragraph: what a spreadsheet, a paper and its references get."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest

from analysis.findings.export.figures import rows_of
from analysis.findings.export.methods import bibtex, papers, paragraph
from analysis.findings.export.redact import redact
from analysis.findings.export.tables import Sheet, csv_of, latex, latex_of, sheets_of, table_files
from analysis.findings.export.texts import text_id
from components.kit.view import VIEWS
from pages.registry import pages
from tests.unit.findings.example_board import SECRET, handover
from tests.unit.findings.test_redact import PIECES, WORDS

CITATION = (Path(__file__).resolve().parents[3] / "CITATION.cff").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "cell", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "\t=1", "\r=1", "  =1", "\u202e=1", '"=1', "\n=1", "%0A"]
)
def test_no_cell_is_a_formula(cell: str) -> None:
    text = csv_of(Sheet("x", "x", ("a",), ((cell,),)))
    read = next(row for row in list(csv.reader(io.StringIO(text, newline="")))[1:])
    assert read[0].startswith("'")


def test_numbers_and_texts_come_back_as_they_were() -> None:
    rows = (("a, b", 0.25, None), ('say "x"', -3, 7))
    read = list(csv.reader(io.StringIO(csv_of(Sheet("x", "x", ("t", "n", "m"), rows)), newline="")))
    assert read == [["t", "n", "m"], ["a, b", "0.25", ""], ['say "x"', "-3", "7"]]


def test_latex_is_escaped_and_has_the_rules_of_booktabs() -> None:
    hostile = r"\input{/etc/passwd} 50% of $x_1^2$ & #~ {<b>}" + "\u202e\n\x07"
    text = latex(hostile)
    assert (
        not re.search(r"(?<!\\)[$&#%_]", text) and r"\input" not in text and "\n" not in text and "\u202e" not in text
    )
    made = latex_of(Sheet("x", "50 %", ("name", "n"), (("a_b", -0.123456), ("c", None))))
    assert [rule in made for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\begin{tabular}{lr}")] == [True] * 4
    assert r"a\_b & $-0.1235$ \\" in made and r"c & -- \\" in made and r"\caption{50 \%}" in made


def test_the_numbers_of_a_figure_are_rows_also_where_plotly_has_packed_them() -> None:
    packed = go.Figure(
        go.Heatmap(x=["a", "b"], y=[1, 2], z=np.array([[0.5, np.nan], [2, 3]]), name="h")
    ).to_plotly_json()
    plain = {"data": [{"type": "heatmap", "x": ["a", "b"], "y": [1, 2], "z": [[0.5, None], [2, 3]]}]}
    rows = rows_of(packed)
    assert rows == [["h", "a", 1, 0.5], ["h", "a", 2, 2], ["h", "b", 2, 3]]
    assert [row[1:] for row in rows_of(plain)] == [row[1:] for row in rows]
    assert rows_of({"data": [{"y": [3, 4], "x": [1, 2], "name": "line"}]}) == [
        ["line", 1, 3, None],
        ["line", 2, 4, None],
    ]


def test_a_board_has_its_tables_in_order() -> None:
    names = [sheet.name for sheet in sheets_of(handover())]
    assert names[:4] == [
        "finding-1-view-1-figure",
        "finding-1-view-1-table-1",
        "finding-1-view-1-texts-2",
        "finding-1-view-1-numbers",
    ]
    assert {f"{name}.csv" for name in names} <= table_files(handover()).keys()


def test_the_paragraph_names_model_settings_controls_papers_and_versions() -> None:
    text = paragraph(handover(), "0.1.0")
    for said in ("Attune 0.1.0", "torch ", "SmolLM2", "float32", "arXiv:2602.04752", "shuffled labels", "layer 3",
                 "code code-1", "AttentionRow"):  # fmt: skip
        assert said in text
    references = bibtex(handover(), "0.1.0")
    assert references.count("@article{") == 1 and "@software{attune," in references
    assert references.count("{") == references.count("}")


def test_the_papers_are_those_of_the_citation_file() -> None:
    for paper in papers().values():
        assert f'"{paper["title"]}"' in CITATION and f'"arXiv:{paper["arxiv"]}"' in CITATION
    assert {paper["arxiv"] for paper in papers().values()} == set(re.findall(r"\d{4}\.\d{5}(?=\"$)", CITATION, re.M))


def test_every_view_of_a_method_has_a_paper() -> None:
    pages()  # which registers the views
    own = {name for name, view in VIEWS.items() if view.draw.__module__.startswith("components.")}
    assert {name.partition("/")[0] for name in own} - papers().keys() <= {"model", "token-card"}


def test_nothing_hidden_is_in_tables_and_methods() -> None:
    hidden = redact(handover(), {text_id(SECRET): ""})
    files = b" ".join([*table_files(hidden).values(), *(name.encode() for name in table_files(hidden))]).decode()
    text = (files + paragraph(hidden, "0.1.0") + bibtex(hidden, "0.1.0")).casefold()
    assert [word for word in (*WORDS, *PIECES) if word.casefold() in text] == []
    assert "1 texts are hidden" not in text and "hidden" in text
