"""The methods paragraph of a board: models, settings, controls, seeds, versions and papers, as text and as BibTeX.

All of it is read from the pins: nobody has to remember at the time of writing what was asked months before.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from analysis.findings.export.handover import Handover
from analysis.findings.records import Pin

PAPERS = Path(__file__).resolve().parents[2] / "data" / "papers.json"
"""The papers of the methods, by what the names of their views begin with."""
LIBRARIES = ("torch", "transformers", "numpy", "scikit-learn")
LONGEST = 60
"""Characters of a setting; longer ones are texts, which the findings themselves show."""
_NO_SETTINGS = frozenset(("model", "text", "prompt"))


@cache
def papers() -> dict[str, dict[str, Any]]:
    """Key, title, year and arXiv number of each method's paper."""
    data: dict[str, dict[str, Any]] = json.loads(PAPERS.read_text(encoding="utf-8"))
    return data


def papers_of(handover: Handover) -> list[dict[str, Any]]:
    """The papers of the views on a board, each once."""
    rooms = [str(pin.ref.get("view", "")).partition("/")[0] for pin in handover.content.pins.values()]
    return list({papers()[room]["arxiv"]: papers()[room] for room in rooms if room in papers()}.values())


def paragraph(handover: Handover, program: str) -> str:
    """The methods of a board as plain text: one paragraph, then a line for each view. ``program``: Attune's version."""
    pins = list(handover.content.pins.values())
    cited = ", ".join(f"“{p['title']}” (arXiv:{p['arxiv']}, {p['year']})" for p in papers_of(handover))
    made = sorted({pin.version for pin in pins if pin.version} or {program})
    sentences = [
        f"The findings were made with Attune {' and '.join(made)} ({_libraries()}).",
        *_models(pins),
        f"The methods are those of {cited}." if cited else "",
        _controls(pins),
        _seeds(pins),
    ]
    if handover.hidden:
        texts = "One text is" if handover.hidden == 1 else f"{handover.hidden} texts are"
        sentences.append(f"{texts} hidden in what was handed over.")
    lines = [_line(n, pin) for n, pin in enumerate(pins, 1)]
    return "\n\n".join([" ".join(filter(None, sentences)), *lines]) + "\n"


def bibtex(handover: Handover, program: str) -> str:
    """The papers of a board's views, and Attune itself, as BibTeX."""
    entries = [
        f"@article{{{paper['key']},\n  title = {{{{{paper['title']}}}}},\n"
        f"  author = {{{{The authors of arXiv:{paper['arxiv']}}}}},\n"
        f"  year = {{{paper['year']}}},\n  eprint = {{{paper['arxiv']}}},\n  archivePrefix = {{arXiv}},\n}}"
        for paper in papers_of(handover)
    ]
    entries.append(
        "@software{attune,\n  title = {{Attune: a dashboard that asks a language model why it attended to a token, and "
        "what happens if it is steered there}},\n  author = {{Attune contributors}},\n"
        f"  version = {{{program}}},\n}}"
    )
    return "\n\n".join(entries) + "\n"


def settings_of(pin: Pin) -> dict[str, Any]:
    """The settings of a pin's questions and view that are short enough to be said."""
    out: dict[str, Any] = {}
    for question in pin.ref.get("questions", ()):
        for name, value in question.get("params", {}).items():
            out.update(_flat(name, value))
    for name, value in pin.ref.get("options", {}).items():
        out.update(_flat(name, value))
    return out


def _flat(name: str, value: Any) -> dict[str, Any]:
    if name in _NO_SETTINGS or value in (None, "", [], {}):
        return {}
    if isinstance(value, dict):
        return {key: v for inner, part in value.items() for key, v in _flat(f"{name}.{inner}", part).items()}
    return {name: value} if len(str(value)) <= LONGEST else {}


def _line(n: int, pin: Pin) -> str:
    settings = "; ".join(f"{name} {value}" for name, value in settings_of(pin).items())
    control = f"control: {pin.control['name']}" if pin.control else "no control"
    operations = ", ".join(str(q.get("operation")) for q in pin.ref.get("questions", ()))
    code = ", ".join(sorted({stamp.code for stamp in pin.stamps if stamp.code}))
    parts = [f"view {pin.ref.get('view')}", operations, settings, control, f"code {code}" if code else ""]
    return f"{n}. {pin.title}: {'; '.join(filter(None, parts))}."


def _models(pins: list[Pin]) -> list[str]:
    known = {json.dumps(model, sort_keys=True): model for pin in pins for model in pin.models}
    sentences = []
    for model in known.values():
        facts = [
            str(model.get("source") or ""),
            f"revision {model['revision']}" if model.get("revision") else "",
            str(model.get("dtype") or ""),
            f"weights {str(model['fingerprint'])[:16]}" if model.get("fingerprint") else "",
        ]
        sentences.append(
            f"The model is {model.get('label') or model.get('source')} ({', '.join(filter(None, facts))})."
        )
    return sentences


def _controls(pins: list[Pin]) -> str:
    names = list(dict.fromkeys(pin.control["name"] for pin in pins if pin.control))
    bare = sum(1 for pin in pins if not pin.control)
    said = f"Controls: {', '.join(names)}." if names else ""
    return f"{said} {bare} of {len(pins)} views have no control.".strip() if bare else said


def _seeds(pins: list[Pin]) -> str:
    seeds = {
        str(value)
        for pin in pins
        for name, value in settings_of(pin).items()
        if name.rpartition(".")[2].endswith("seed")
    }
    return f"Seeds: {', '.join(sorted(seeds))}." if seeds else ""


def _libraries() -> str:
    said = []
    for name in LIBRARIES:
        try:
            said.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(said)
