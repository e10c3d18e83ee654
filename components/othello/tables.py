"""The tables of the Othello page as views: the geometry in each reading, many edits, the probes, the model."""

from __future__ import annotations

from analysis.tpr.answers.edit import TrialTable
from analysis.tpr.answers.model import ModelFigures
from analysis.tpr.answers.reading import ProbeRoles
from components.kit.part import Cell, Facts, Table
from components.kit.view import Drawing, NoOptions, view
from components.othello.controls import length_words, of_probes, of_roles, of_trials, play_numbers, trial_numbers
from components.othello.views import OfModel


@view("othello/geometry", ProbeRoles, options=OfModel)
def geometry(roles: ProbeRoles, options: OfModel, theme: str) -> Drawing:
    """Each number of the geometry in each reading, so that it shows which depend on the coordinates."""
    columns = ("reading", "true neighbours among the nearest", "R² of the gap map", "depends on coordinates")
    rows = tuple((r.title, r.neighbours, r.r2, "yes" if r.gauge else "no") for r in roles.geometry)
    return Drawing(
        None,
        roles.words,
        parts=(Table("", columns, rows),),
        control=of_roles(roles),
        numbers={f"neighbours, {r.key}": r.neighbours for r in roles.geometry}
        | {f"R², {r.key}": r.r2 for r in roles.geometry},
    )


TRIALS = (
    "method",
    "errors",
    "low",
    "high",
    "without edit",
    "exact boards",
    "errors, top-N",
    "scale",
    "as length",
    "scale chosen",
)


@view("othello/trial table", TrialTable)
def trial_rows(table: TrialTable, options: NoOptions, theme: str) -> Drawing:
    """Many edits, method by method, each number beside its interval and its control."""
    lengths = table.lengths or ()
    rows = tuple(
        (r.title, r.mean, r.low, r.high, r.null, r.exact, r.top_n, r.scale, length_words(r.scale, lengths), r.choice)
        for r in table.rows
    )
    return Drawing(
        None,
        table.caption,
        {"layers": list(table.settings.layers)},
        parts=(Table("", TRIALS, rows),),
        control=of_trials(table),
        numbers=trial_numbers(table),
    )


@view("othello/edits by squares", ModelFigures)
def edits_by_squares(figures: ModelFigures, options: NoOptions, theme: str) -> Drawing:
    """Mean errors by the number of squares edited: at one fixed scale, and at the best scale of each case."""
    tables = figures.edits_by_squares
    means = {(t.settings.squares, r.method, r.choice[:5]): r.mean for t in tables for r in t.rows}
    sizes = [t.settings.squares for t in tables]
    columns = ["errors per case"]
    for size in sizes:
        plural = "square" if size == 1 else "squares"
        columns += [f"{size} {plural}", f"{size} {plural}, best scale"]

    def row(title: str, values: list[float | None]) -> tuple[Cell, ...]:
        return (title, *(cell for value in values for cell in (value, None)))

    rows: list[tuple[Cell, ...]] = []
    if tables:
        rows.append(row("without an edit", [t.rows[0].null for t in tables]))
        rows.append(row("without an edit, a perfect player", [t.perfect for t in tables]))
        rows.append(row("the model's own, on the board as it is", [t.rows[0].own for t in tables]))
    for method, title in {r.method: r.title for t in tables for r in t.rows}.items():
        pairs = [means.get((size, method, choice)) for size in sizes for choice in ("fixed", "best ")]
        rows.append((title, *pairs))
    return Drawing(
        None,
        "Edits by number of squares: at one scale fixed on other cases, and the best of each case.",
        parts=(Table("", tuple(columns), tuple(rows)),),
        control=None if figures.edits is None else of_trials(figures.edits),
        numbers={} if figures.edits is None else trial_numbers(figures.edits),
    )


@view("othello/probes", ModelFigures)
def probes(figures: ModelFigures, options: NoOptions, theme: str) -> Drawing:
    """Every probe of the model with its parameters and scores."""
    columns: tuple[str, ...] = (
        "probe", "block", "labels", "parameters", "squares right", "macro F1", "seconds to fit",
    )  # fmt: skip
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (r.title, r.layer, r.labels, r.parameters, r.accuracy, r.macro_f1, r.seconds) for r in figures.probes
    )
    if any(r.own is not None for r in figures.probes):
        columns += ("fitted here: squares right", "cosine with those fitted here")
        rows = tuple((*row, r.own, r.cosine) for row, r in zip(rows, figures.probes, strict=True))
    return Drawing(
        None,
        figures.accuracy_caption,
        parts=(Table("", columns, rows),),
        control=of_probes(figures),
        numbers={f"{r.title}, block {r.layer}": r.accuracy for r in figures.probes if r.labels == "parity"},
    )


@view("othello/model", ModelFigures)
def model(figures: ModelFigures, options: NoOptions, theme: str) -> Drawing:
    """What the model is and how well it plays."""
    facts, play = figures.facts, figures.play
    rows: list[tuple[str, Cell]] = [
        ("model", facts.label),
        ("blocks", facts.layers),
        ("width", facts.width),
        ("heads", facts.heads),
        ("parameters", facts.parameters),
        ("weights", facts.fingerprint),
    ]
    if play is not None:
        rows += [
            ("games played", play.games),
            ("positions", play.positions),
            ("first choices that are illegal", play.illegal),
            ("probability on illegal moves", play.mass),
            ("loss, nats per move", play.loss),
            ("floor of random play, nats per move", play.floor),
        ]
    return Drawing(None, " ".join(figures.words[1:]), parts=(Facts("", tuple(rows)),), numbers=play_numbers(figures))
