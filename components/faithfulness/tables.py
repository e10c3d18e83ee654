"""The tables, texts and certificates of the Faithfulness page as views, whole enough to be read away from it.

The page draws the same answers as elements (`components.faithfulness.item`, `components.faithfulness.board_table`);
what leaves the page is drawn from the plain values that are made here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.faithfulness.answers.board import Board
from analysis.faithfulness.answers.item import Intervention, ItemReading, ItemScore, Piece
from analysis.faithfulness.answers.jobs import OwnChains
from components.faithfulness.board_figures import area_of
from components.faithfulness.controls import of_scores, of_tiers, of_unedited
from components.faithfulness.item import EDITED
from components.faithfulness.style import LABELS, free, study_facts
from components.kit.part import Cell, Facts, Part, Table, Text, Texts
from components.kit.view import Drawing, NoOptions, view

KEY_SHADE = 0.5
"""How strongly the key of an item is shaded in its text."""


def certified(item: ItemReading) -> str:
    """Whether all checks went as the label says, in a few words."""
    if item.tier == "0":
        return "by construction"
    if not item.certificate:
        return "not certified"
    return f"{sum(swap.passed for swap in item.certificate)} of {len(item.certificate)} passed"


def claim_words(claim: str) -> str:
    """A claim as a sentence: rows of a file bring phrases."""
    words = claim.strip()
    return words[:1].upper() + words[1:] + ("" if words.endswith((".", "!", "?")) or not words else ".")


def _text(title: str, pieces: Sequence[Piece], numbers: dict[str, float], answer: str = "") -> Text:
    """The text of an item with its key shaded, without what stands before it. ``answer`` takes the place of the item's
    own."""
    shown = [
        (answer if answer and piece.kind == "answer" else piece.text, KEY_SHADE if piece.kind == "key" else 0.0)
        for piece in pieces
        if piece.kind != "before" and piece.text
    ]
    return Text(title, "".join(text for text, _ in shown), tokens=tuple(shown), numbers=numbers)


def _demonstrations(item: ItemReading) -> tuple[Part, ...]:
    """What the model reads before the item, as the last part: it is long, and the same for all items of a seed."""
    before = "".join(piece.text for piece in item.pieces if piece.kind == "before")
    return (Texts("Demonstrations", (Text("Read before the question", before),)),) if before else ()


def _certificate(item: ItemReading) -> Table:
    columns = ("held-out swap", "should be", "is", "P", "as the label says", "what is swapped")
    rows = tuple(
        (s.name, s.expected.strip(), s.got.strip(), s.probability, "yes" if s.passed else "no", s.sentence)
        for s in item.certificate
    )
    return Table("Certificate", columns, rows)


SCORE_HEADS = ("measure", "score", "form", "threshold", "calls it", "median faithful", "median unfaithful")


def _score_row(score: ItemScore) -> tuple[Cell, ...]:
    called = "" if score.called is None else LABELS[score.called]
    form = "" if free(score) else score.main
    medians = (score.median_faithful, score.median_unfaithful)
    return (score.measure, score.value, form, score.threshold, called, *medians)


def _ranked(board: Board, measure: str, tier: str) -> tuple[Cell, ...]:
    """AUROC of a measure on the item's tier with its interval; empty for what is withheld or was not run."""
    row = next((row for row in board.rows if row.measure == measure), None)
    pair = None if row is None or board.withheld(tier) else area_of(row, tier)
    return (None, None, None) if pair is None else (pair[0], pair[1].low, pair[1].high)


def values(scores: Sequence[ItemScore]) -> dict[str, float]:
    """The score of each measure that has one."""
    return {score.measure: score.value for score in scores if score.value is not None}


@view("faithfulness/item", ItemReading, Board)
def item_certificate(item: ItemReading, board: Board, options: NoOptions, theme: str) -> Drawing:
    """One item with all that its label rests on: text, certificate, options, and what each measure says, beside how
    well that measure tells the labels of this tier apart."""
    label = (
        ("label", LABELS[item.label]),
        ("certificate", certified(item)),
        ("claim", claim_words(item.claim)),
        ("item", item.item),
        ("tier and regime", f"{item.tier}, {item.regime}"),
        ("seed of the demonstrations", item.demos),
        ("the model's own answer", item.own.sentence),
    )
    twins = tuple((t.item, t.title, LABELS[t.label]) for t in item.twins if t.item != item.item)
    heads = (*SCORE_HEADS, f"AUROC on tier {item.tier}", "low", "high")
    rows = tuple((*_score_row(s), *_ranked(board, s.measure, item.tier)) for s in item.scores)
    parts: tuple[Part, ...] = (
        Texts("", (_text("Question, chain and answer", item.pieces, {"P": item.p}),)),
        Facts("Label", label),
        _certificate(item),
        Table("Options", ("candidate", "probability"), tuple((o.candidate, o.probability) for o in item.options)),
        Table("Scores", heads, rows),
        *((Table("The same text in other regimes", ("item", "regime", "label"), twins),) if twins else ()),
        *_demonstrations(item),
    )
    return Drawing(
        None,
        f"{item.sentence} Shaded: the key. {item.claims_not}".strip(),
        study_facts(board),
        parts=parts,
        control=of_tiers(board, (item.tier,)) or of_scores(item.scores),
        numbers={"P(answer)": item.p, "mass of the candidates": item.mass} | values(item.scores),
    )


@view("faithfulness/score table", ItemReading)
def score_rows(item: ItemReading, options: NoOptions, theme: str) -> Drawing:
    """All measures of one item in their three forms, with the threshold and what the measure calls the chain."""
    columns = ("measure", "family", "hard", "soft", "margin", *SCORE_HEADS[2:], "note")
    rows = tuple((s.measure, s.family, s.hard, s.soft, s.margin, *_score_row(s)[2:], s.note) for s in item.scores)
    parts = [Table("", columns, rows)]
    if item.full:
        steps = [(s.measure, *(getattr(step, s.main) for step in s.steps)) for s in item.scores if len(s.steps) > 1]
        most = max((len(row) for row in steps), default=1)
        filled = tuple((*row, *[None] * (most - len(row))) for row in steps)
        parts += [Table("By step", ("measure", *(f"step {k}" for k in range(1, most))), filled)] if filled else []
    made = "Computed anew." if item.full else "Kept with the study."
    return Drawing(
        None,
        f"Item {item.item}, labelled {LABELS[item.label]}. Higher means more faithful in every measure. {made}",
        {"item": item.item, "tier": item.tier},
        parts=tuple(parts),
        control=of_scores(item.scores),
        numbers=values(item.scores),
    )


@view("faithfulness/intervention", Intervention, ItemReading)
def intervention(moved: Intervention, item: ItemReading, options: NoOptions, theme: str) -> Drawing:
    """What the model reads before and after edits of the chain or the key, and what it answers."""
    edited = [p for p in moved.pieces if p.kind in ("question", "lead", "key", "unit")]
    cue = "".join(p.text for p in moved.pieces if p.kind == "cue")
    steps = [Piece("step", step.text) for step in moved.steps]
    after = _text(
        "After the edits", [*edited, *steps, Piece("cue", cue), Piece("answer", moved.best)], {"P": moved.after}
    )
    before = _text("As it was", [p for p in item.pieces if p.kind != "before"], {"P": moved.before})
    edits = tuple((k, EDITED[step.edit], step.text.strip()) for k, step in enumerate(moved.steps, 1))
    probabilities = tuple((o.candidate, o.before, o.after) for o in moved.options)
    return Drawing(
        None,
        f"{moved.sentence} P is the probability of {moved.answer}, the answer of the item.",
        {"item": item.item, "key": moved.key},
        parts=(
            Texts("", (before, after)),
            Table("Edits", ("step", "edit", "text"), edits),
            Table("Options", ("candidate", "before", "after"), probabilities),
        ),
        control=of_unedited(moved),
        numbers=moved_numbers(moved),
    )


def moved_numbers(moved: Intervention) -> dict[str, float]:
    """What an intervention did, in numbers."""
    numbers = {"P before": moved.before, "P after": moved.after, "KL": moved.kl, "soft": moved.soft}
    return numbers if moved.margin is None else numbers | {"margin": moved.margin}


@view("faithfulness/moved scores", Intervention)
def moved_scores(moved: Intervention, options: NoOptions, theme: str) -> Drawing:
    """Every measure before and after an intervention."""
    rows = tuple(
        (s.measure, s.before, s.after, None if s.before is None or s.after is None else s.after - s.before, s.note)
        for s in moved.scores
    )
    return Drawing(
        None,
        moved.note or "After: the edited chain, measured for the answer that it leads to.",
        parts=(Table("", ("measure", "before", "after", "change", "note"), rows),),
        control=of_unedited(moved),
        numbers={f"{s.measure}, after": s.after for s in moved.scores if s.after is not None},
    )


@dataclass(frozen=True)
class OneTier:
    """The tier that a table is of."""

    tier: str


RANKING = (
    "measure", "form", "AUROC", "low", "high", "shuffled, low", "shuffled, high", "ties", "faithful", "unfaithful",
    "called faithful", "threshold", "AUROC minus that of answer confidence", "difference, low", "difference, high",
)  # fmt: skip


@view("faithfulness/leaderboard table", Board, options=OneTier)
def leaderboard_rows(board: Board, options: OneTier, theme: str) -> Drawing:
    """One tier in numbers: every measure with its interval, its null, its bias and its distance to a free baseline."""
    tier, why = options.tier, board.withheld(options.tier)
    if why:
        return Drawing(None, why, study_facts(board))
    gaps = {gap.a: gap for gap in board.differences if gap.tier == tier}
    rows, numbers = [], {}
    for row in board.rows:
        area, gap = row.auroc.get(tier), gaps.get(row.measure)
        head: tuple[Cell, ...] = (row.measure, "" if free(row) else row.main)
        ends = (None, None) if area is None or area.permuted is None else area.permuted
        ranked = (None,) * 8 if area is None else (
            area.auroc, area.low, area.high, *ends, area.ties, area.n_faithful, area.n_unfaithful
        )  # fmt: skip
        called = (row.called.get(tier), row.threshold if row.thresholded else None)
        difference = (None,) * 3 if gap is None else (gap.difference, gap.low, gap.high)
        rows.append((*head, *ranked, *called, *difference))
        if area is not None and area.auroc is not None:
            numbers[row.measure] = area.auroc
    title = next((row.title for row in board.tiers if row.tier == tier), tier)
    return Drawing(
        None,
        "AUROC of faithful against unfaithful items, with 95 % intervals over base problems and demonstration seeds. "
        "Nothing is corrected for the number of measures.",
        study_facts(board),
        parts=(Table(title, RANKING, tuple(rows)),),
        control=of_tiers(board, (tier,)),
        numbers=numbers,
    )


@view("faithfulness/study", Board)
def study(board: Board, options: NoOptions, theme: str) -> Drawing:
    """What a study rests on: its tiers, what was dropped, what is shown without being ranked, what it cost."""
    columns = ("tier", "items", "problems", "demonstration seeds", "dropped", "answer confidence alone", "what it asks")
    tiers = tuple(
        (t.title, t.items, t.problems, t.seeds, t.dropped, t.confidence if t.shown else None,
         t.sentence if t.shown else f"{t.sentence} {t.why_not}")
        for t in board.tiers
    )  # fmt: skip
    shown = tuple((e.name, e.made, e.certified, e.sentence) for e in board.exhibits)
    parts: list[Part] = [
        Facts("", (("study", board.study or "default"), ("source", board.source), ("cost", board.cost.sentence))),
        Table("Tiers", columns, tiers),
        Table("What this rests on", ("in words",), tuple((sentence,) for sentence in board.honesty if sentence)),
    ]
    if shown:
        parts.append(Table("Shown, not ranked", ("kind", "drafts", "certified", "what it is"), shown))
    return Drawing(
        None,
        board.source,
        study_facts(board),
        parts=tuple(parts),
        control=of_tiers(board, [t.tier for t in board.tiers]),
        numbers={f"items, tier {t.tier}": float(t.items) for t in board.tiers}
        | {"passes": float(board.cost.passes), "seconds": board.cost.seconds},
    )


@view("faithfulness/own chains", OwnChains)
def own_chains(own: OwnChains, options: NoOptions, theme: str) -> Drawing:
    """Chains that the model wrote itself, and how often each answer came. They have no label."""
    chains = tuple(
        Text(f"Chain {k}: {chain.answer}", chain.text.strip(), numbers={"steps": float(len(chain.chain))})
        for k, chain in enumerate(own.items, 1)
    )
    counts = Table("Answers", ("answer", "chains"), tuple((row.answer, row.count) for row in own.answers))
    return Drawing(
        None,
        f"{own.sentence} These chains have no label: nothing certifies how their answers were made.",
        {"study": own.study},
        parts=(counts, Texts("", chains)),
        numbers={"chains": float(len(own.items))} | {f"answer {row.answer}": float(row.count) for row in own.answers},
    )
