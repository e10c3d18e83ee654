"""One item of the Faithfulness page: its text in pieces, label, certificate, options, and scores in numbers.

A label is told by colour, by a word and by a symbol, everywhere the same. The text is laid out alike in all regimes, so
that only what says how the answer is made changes when the regime does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from dash import html

from analysis.faithfulness.answers.item import (
    Intervention,
    ItemReading,
    ItemScore,
    MovedScore,
    Option,
    Piece,
)
from components.faithfulness.style import LABELS, by_family, free
from components.kit.types import Node

SIGNS = {True: "●", False: "◇", None: "□"}
NOT_KNOWN = {"key": "key or hint", "unit": "part that CC-SHAP leaves out by itself"}
MADE = ("0", "1", "2", "Z", "G1")
"""Tiers whose items are made here, from demonstrations."""
SAME = {
    "1": "Same text in every regime: only the demonstrations above it differ, and with them how the answer is made.",
    "2": "Same note, same digit, same answer: only the source that the thought names differs.",
    "0": "Same text: one model never reads the question, the other never reads the chain.",
    "G1": "Every sum that has to be made is written, or one of them is left out.",
    "own": "A chain of the model's own: how its answer was made is not known.",
    "file": "A chain from a file, with the label that came with it.",
}
_MOST_BARS = 12
EDITED = {"keep": "kept", "delete": "deleted", "corrupt": "corrupted", "paraphrase": "paraphrased",
          "fill": "filled with dots", "block": "not attended to", "text": "own text"}  # fmt: skip


def kind_of(label: bool | None) -> str:
    """The class that colours a label."""
    return "fth-none" if label is None else "fth-true" if label else "fth-false"


def badge(label: bool | None) -> Node:
    """A label as symbol and word."""
    return html.Span([html.Span(SIGNS[label], className="fth-sign"), LABELS[label]],
                     className=f"fth-badge {kind_of(label)}")  # fmt: skip


def regime_switch(item: ItemReading) -> list[Node]:
    """One button per regime of this text, the open one pressed; a regime that failed its certificate is shown idle."""
    if item.tier not in MADE:
        return [html.Span("one chain, one regime", className="attune-note")]
    buttons: list[Node] = [
        html.Button(
            [html.Span(SIGNS[twin.label], className=f"fth-sign {kind_of(twin.label)}"), twin.title],
            type="button",
            className="fth-regime",
            **{"data-fth-item": twin.item, "aria-pressed": "true" if twin.item == item.item else "false"},
        )
        for twin in item.twins
    ]
    if item.tier in ("1", "Z") and not any(twin.regime == "Z" for twin in item.twins):
        why = (
            "Under these demonstrations the rationalising twin failed its certificate, so it is not shown."
            if item.z_made
            else "This study was made without the rationalising twins: choose their tier under Studies."
        )
        idle = [html.Span(SIGNS[False], className="fth-sign"), "Z: not certified" if item.z_made else "Z: not made"]
        buttons.append(html.Button(idle, type="button", className="fth-regime", disabled=True, title=why))
    return buttons


def demonstrations(before: str, tier: str) -> tuple[str, str]:
    """What the folded text before the question is called, and the text."""
    if not before:
        return "nothing stands before the question", ""
    blocks = len([b for b in re.split(r"\n\s*\n", before.strip()) if b])
    if tier in MADE:
        return f"{blocks} demonstrations", before.strip("\n")
    return "text before the question", before


def item_text(pieces: Sequence[Piece], p: float | None, labels: Sequence[bool | None] = ()) -> list[Node]:
    """Question with its key marked, steps as chips, cue and answer; what stands before the question is left out."""
    parts: list[Node] = []
    for piece in pieces:
        kind, text = piece.kind, piece.text
        if kind == "before" or not text:
            continue
        if kind in ("key", "unit"):
            parts.append(html.Span(text, className=f"fth-{kind}", title=piece.unit or NOT_KNOWN[kind]))
        elif kind == "step":
            at = int(piece.index or 0)
            label = labels[at - 1] if at <= len(labels) else None
            parts += _chip(text, at, label, len(labels) > 0)
        elif kind == "answer":
            parts.append(html.Span(text.strip(), className="fth-answer"))
            if p is not None:
                parts.append(html.Span(f"P = {p:.3f}", className="fth-p", title="probability among the candidates"))
        else:
            parts.append(html.Span(text))
    return parts


def _chip(text: str, at: int, label: bool | None, labelled: bool) -> list[Node]:
    """A step that can be pressed; blanks before it stay outside of its border."""
    inner = text.lstrip()
    blank = text[: len(text) - len(inner)]
    content: list[Node] = [html.Span(str(at), className="fth-number"), inner.rstrip("\n")]
    title = f"Step {at}: intervene on it"
    if labelled:
        content.insert(1, html.Span(SIGNS[label], className=f"fth-sign {kind_of(label)}"))
        title += f" (labelled {LABELS[label]})" if label is not None else ""
    chip = html.Span(
        content, className="fth-step", role="button", tabIndex="0", title=title, **{"data-fth-step": str(at)}
    )
    return [html.Span(blank), chip, html.Span("\n" if inner.endswith("\n") else "")]


def edited_text(moved: Intervention) -> list[Node]:
    """The item after an intervention: deleted steps named, changed ones marked with what became of them."""
    parts: list[Node] = []
    for piece in moved.pieces:
        if piece.kind in ("question", "lead", "key", "unit") and piece.text:
            name = f"fth-{piece.kind}" if piece.kind in ("key", "unit") else ""
            parts.append(html.Span(piece.text, className=name))
    for at, step in enumerate(moved.steps, 1):
        edit, text = step.edit, step.text
        inner = text.strip() or EDITED[edit]
        content: list[Node] = [html.Span(str(at), className="fth-number"), inner]
        if edit != "keep" and text.strip():
            content.append(html.Span(EDITED[edit], className="fth-what"))
        parts += [text[: len(text) - len(text.lstrip())] if text else " ",
                 html.Span(content, className=f"fth-step fth-done fth-is-{edit}")]  # fmt: skip
    cue = next((p.text for p in moved.pieces if p.kind == "cue"), "")
    return [
        *parts,
        html.Span(cue),
        html.Span(moved.best, className="fth-answer" + (" fth-moved" if moved.moved else "")),
    ]


def option_bars(options: Sequence[Option], answer: str) -> Node:
    """The probability of every candidate as a small bar, the answer's in bold; of many the likeliest only."""
    shown = list(options)
    if len(shown) > _MOST_BARS:
        likely = sorted(shown, key=lambda o: -o.probability)[:_MOST_BARS]
        shown = [o for o in shown if o in likely]
    words = ", ".join(f"{o.candidate}: {o.probability:.3f}" for o in shown)
    bars = [
        html.Div(
            [
                html.Span(_share(o.probability), className="fth-bar-value"),
                html.Span(html.I(style={"height": f"{100 * o.probability:.1f}%"}), className="fth-bar-box"),
                html.Span(o.candidate or "(empty)", className="fth-bar-name", title=o.candidate),
            ],
            className="fth-bar" + (" fth-bar-answer" if o.candidate == answer else ""),
        )
        for o in shown
    ]
    return html.Div(bars, className="fth-bars", role="img", **{"aria-label": f"Probability of each candidate: {words}"})


def _share(p: float) -> str:
    return "" if p < 0.005 else f"{p:.2f}".removeprefix("0")


def certificate(item: ItemReading) -> list[Node]:
    """The held-out swaps that the label rests on, each with what should come and what came."""
    if not item.certificate:
        words = "No certificate: nothing was swapped to see how this answer is made."
        return [html.P(words, className="attune-note"), _not_claimed(item)]
    lines = [_swap(*_HEADS, "", "columnheader")]
    for swap in item.certificate:
        sign = html.Span("✓" if swap.passed else "✗", className="fth-pass" if swap.passed else "fth-fail",
                         title="as the label says" if swap.passed else "against the label")  # fmt: skip
        cells = (swap.expected.strip() or "–", swap.got.strip() or "–", f"{swap.probability:.3f}")
        lines.append(_swap(sign, html.Strong(swap.name), *cells, swap.sentence))
    table = html.Div(lines, className="fth-certificate", role="table", **{"aria-label": "Certificate"})
    return [table, _not_claimed(item)]


_HEADS = (
    "",
    html.Span("held-out swap", title="of values that the text does not hold"),
    html.Span("should be", title="the answer that the label predicts"),
    html.Span("is", title="the model's answer"),
    html.Span("P", title="probability of the answer that the label predicts"),
)


def _swap(sign: Node, name: Node, expected: Node, got: Node, p: Node, sentence: str, role: str = "cell") -> Node:
    """A line of the certificate; the sentence has a line of its own, as wide as the table."""
    cells = [html.Span(c, role=role) for c in (sign, name, expected, got, p)]
    below = [html.Span(sentence, className="attune-note", role="cell")] if sentence else []
    return html.Div(
        [*cells, *below], className="fth-swap" + (" fth-swap-head" if role == "columnheader" else ""), role="row"
    )


def _not_claimed(item: ItemReading) -> Node:
    return html.P(item.claims_not, className="attune-note fth-claims-not")


def score_table(scores: Sequence[ItemScore], label: bool | None, full: bool) -> list[Node]:
    """All measures of one item: three forms, the ranked one in bold, and what the measure calls the chain."""
    heads = (
        ("measure", "higher means more faithful in every one"),
        ("what is done", ""),
        ("hard", "whether the answer changes, or stays where it should"),
        ("soft", "by how much the answer's probability changes"),
        ("margin", "by how much its lead over the other candidates changes"),
        ("threshold", "called faithful at or above it"),
        ("calls it", "bold where it agrees with the label"),
        ("medians ● ◇", "of faithful and of unfaithful items of this tier"),
    )
    body: list[Node] = []
    for name, row in by_family(scores):
        if row is None:
            body.append(html.Tr([html.Th(name)], className="fthb-family"))
        else:
            body.append(_score_line(row, label, full))
    head = html.Tr([html.Th(t, **({"title": h} if h else {})) for t, h in heads])
    return [html.Table([html.Thead(head), html.Tbody(body)], className="attune-table fth-scores-table")]


def _score_line(row: ItemScore, label: bool | None, full: bool) -> Node:
    what: list[Node] = [row.sentence]
    if row.measure == "Attention suppression":
        more = {"data-fth-attention": "1", "title": "This prompt on the Attention page"}
        what += [" ", html.Button("See what attends to what", className="attune-link fth-small", type="button", **more)]
    if row.note:
        what.append(html.Div(row.note, className="fth-remark"))
    if full and len(row.steps) > 1:
        values = [_number(getattr(step, row.main)) for step in row.steps]
        what.append(html.Div("by step: " + " · ".join(f"{k} {v}" for k, v in enumerate(values, 1)),
                             className="fth-by-step"))  # fmt: skip
    called = row.called
    says: Node = "–"
    if called is not None:
        right = None if label is None else called is label
        says = html.Span([html.Span(SIGNS[called], className="fth-sign"), LABELS[called]],
                         className=f"{kind_of(called)} fth-called" + (" fth-right" if right else ""),
                         title="" if right is None else "as labelled" if right else "against the label")  # fmt: skip
    forms = [
        html.Td(_number(value), className="fth-main" if form == row.main and not free(row) else "fth-number-cell")
        for form, value in (("hard", row.hard), ("soft", row.soft), ("margin", row.margin))
    ]
    medians = f"{_number(row.median_faithful)} · {_number(row.median_unfaithful)}"
    level = "–" if row.threshold is None else f"{row.threshold:g}"
    return html.Tr(
        [html.Td(row.measure, className="fth-name"), html.Td(what, className="attune-note"), *forms,
         html.Td(level, className="fth-number-cell"), html.Td(says), html.Td(medians, className="fth-number-cell")]
    )  # fmt: skip


def moved_table(rows: Sequence[MovedScore]) -> list[Node]:
    """Every measure before and after an intervention, with the change as number and bar."""
    known = [abs(_change(r) or 0.0) for r in rows if not _counted(r)]
    top = max([1e-9, *known])
    body: list[Node] = []
    for row in rows:
        change = _change(row)
        after: Node = _number(row.after) if row.after is not None else html.Span("–", title=row.note)
        width = 0.0 if change is None or _counted(row) else 50 * min(1.0, abs(change) / top)
        left = 50 - width if (change or 0) < 0 else 50
        where, side = {"left": f"{left:.1f}%", "width": f"{width:.1f}%"}, "fth-fall" if left < 50 else "fth-rise"
        bar = html.Div(html.I(style=where, className=side), className="fth-change")
        body.append(
            html.Tr(
                [
                    html.Td(row.measure, className="fth-name"),
                    html.Td(_number(row.before)),
                    html.Td(after),
                    html.Td("–" if change is None else _signed(change)),
                    html.Td(bar),
                ]
            )
        )
    head = html.Tr([html.Th(t) for t in ("measure", "before", "after", "change", "")])
    notes = list(dict.fromkeys(r.note for r in rows if r.note and r.after is None))
    return [
        html.Table([html.Thead(head), html.Tbody(body)], className="attune-table fth-moved-table"),
        *[html.P(n, className="attune-note") for n in notes],
    ]


def _counted(row: MovedScore) -> bool:
    """Whether a row is a length, whose change would dwarf the others."""
    return max(abs(row.before or 0.0), abs(row.after or 0.0)) > 4


def _change(row: MovedScore) -> float | None:
    return None if row.before is None or row.after is None else row.after - row.before


def _signed(value: float) -> str:
    return "0.00" if abs(value) < 0.005 else f"{value:+.2f}".replace("-", "−")


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    if float(value).is_integer() and abs(value) >= 2:
        return f"{value:.0f}"
    return f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−")
