"""The notebook of a board: each finding asked again with ``analysis`` alone, drawn by its view, held against what was
pinned.

A cell holds a question as its parameters, which are plain data, so that nothing that anybody typed becomes code: what
goes into code goes in as the ``repr`` of plain data. Prose goes in as Markdown without HTML and without links that run
something.
"""

from __future__ import annotations

import json
import re
from pprint import pformat
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from analysis.engine.operation import REGISTRY
from analysis.findings.export.handover import Handover
from analysis.findings.export.texts import text_id
from analysis.findings.prose import TEXTS, numbers_of, plain
from analysis.findings.records import Body, Item, Pin

WIDTH = 100
SETUP = """import analysis.catalogue  # makes the questions known
from analysis.findings.export.recomputation import Recomputation
from components.findings.drawn import draw, numbers_of, show

board = Recomputation()
"""
_SCHEME = re.compile(r"\b(javascript|vbscript|data|file)\s*:(?=\S)", re.IGNORECASE)
_TAG = re.compile(r"<(?=[A-Za-z/!?])")


def notebook_of(handover: Handover, program: str) -> bytes:
    """The notebook of a board as the bytes of an .ipynb file. ``program``: the version of Attune."""
    cells = [
        new_markdown_cell(
            f"# {_line(handover.title)}\n\nFindings made with Attune {program}. Run this from top to bottom in the "
            "folder of Attune, with the Python of its environment: each finding is computed again, drawn by the same "
            "view, and its numbers are held against those that were pinned."
        ),
        new_code_cell(SETUP),
    ]
    for item in handover.content.items:
        cells += _cells_of(item, handover)
    cells.append(new_code_cell("print(board.summary())"))
    for n, cell in enumerate(cells):
        cell["id"] = text_id(f"{n}")  # equal boards give equal notebooks
    book = new_notebook(
        cells=cells,
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python"},
        },
    )
    nbformat.validate(book)
    text: str = nbformat.writes(book)
    return text.encode()


def _cells_of(item: Item, handover: Handover) -> list[Any]:
    numbers = numbers_of(handover.content, item)
    body = Body(**item.body)
    for name in TEXTS:
        if name in body:
            body[name] = plain(body[name], numbers)  # type: ignore[literal-required]
    if item.kind == "section":
        return [new_markdown_cell(f"# {_line(body.get('title', ''))}\n\n{_prose(body.get('note', ''))}".strip())]
    if item.kind != "finding":
        note = "\n\n".join(filter(None, (_line(body.get("claim", "")), _prose(body.get("note", "")))))
        return [new_markdown_cell(note)] if note else []
    counter = f"\n\n*Counter-example.* {_prose(body['counter'])}" if body.get("counter") else ""
    text = f"## {_line(body.get('claim', '')) or 'A finding'}\n\n{_prose(body.get('note', ''))}{counter}"
    cells = [new_markdown_cell(text.strip())]
    for pin in handover.pins_of(item):
        cells += _hidden(pin) if pin.id in handover.redacted else _recomputed(pin)
    return cells


def _recomputed(pin: Pin) -> list[Any]:
    questions = pin.ref.get("questions", [])
    head = f"**{_line(pin.title)}** — {_control(pin)}"
    jobs = [q["operation"] for q in questions if _is_job(q["operation"])]
    if jobs:
        head += (
            f"\n\n{', '.join(jobs)} is a job: where the data folder keeps its answer, it is read, else it is computed, "
            "which may take minutes."
        )
    asked = ",\n".join(f"    board.ask({q['operation']!r}, {_code(q.get('params', {}), 8)})" for q in questions)
    view = f"draw({pin.ref['view']!r}, answers, {_code(pin.ref.get('options', {}), 4)})"
    compare = new_code_cell(
        f"frozen = {_code(pin.numbers, 0)}\nprint(board.compare({pin.title!r}, frozen, numbers_of(drawing, answers)))"
    )
    compare["metadata"]["jupyter"] = {"source_hidden": len(pin.numbers) > 12}
    return [
        new_markdown_cell(head),
        new_code_cell(f"answers = [\n{asked},\n]\ndrawing = {view}\nshow(drawing)"),
        compare,
    ]


def _hidden(pin: Pin) -> list[Any]:
    numbers = "\n".join(f"| {_line(name)} | {value:.6g} |" for name, value in list(pin.numbers.items())[:60])
    table = f"\n\n| number | as pinned |\n|---|---|\n{numbers}" if numbers else ""
    return [
        new_markdown_cell(
            f"**{_line(pin.title)}** — {_control(pin)}\n\nTexts of this view are hidden, so it cannot be computed "
            f"again from here.{table}"
        )
    ]


def _control(pin: Pin) -> str:
    if pin.control is None:
        return "no control"
    return f"control: {_line(pin.control['name'])}. {_line(pin.control.get('text', ''))}".strip()


def _is_job(operation: str) -> bool:
    return operation in REGISTRY and REGISTRY[operation].kind == "job"


def _code(data: Any, indent: int) -> str:
    """Plain data as Python that gives them back. TypeError for what is no plain data."""
    plain = json.loads(json.dumps(data))
    return pformat(plain, indent=1, width=WIDTH, sort_dicts=False).replace("\n", "\n" + " " * indent)


def _prose(text: str) -> str:
    """Markdown of a note without HTML, and without links that run something."""
    return _SCHEME.sub(r"\1 : ", _TAG.sub("&lt;", text))


def _line(text: str) -> str:
    """A text as one line of Markdown that is read as it stands."""
    return re.sub(r"([\\`*_\[\]<>|#~$])", r"\\\1", " ".join(text.split()))
