"""What each view of the Faithfulness page is held against: shuffled labels, baselines that cost nothing, chance, the
item without an edit. Every number is one of the answer that is drawn; a tier that is withheld gives none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analysis.faithfulness.answers.board import Area, Board, LengthArea, Unlearning
from analysis.faithfulness.answers.item import Intervention, ItemScore, ItemTrace, Option
from analysis.spoken import counted
from components.faithfulness.style import LABELS, free
from components.kit.view import Control

SHUFFLED = "shuffled labels"
CONFIDENCE = "answer confidence"


def of_tiers(board: Board, tiers: Sequence[str]) -> Control | None:
    """What labels without a meaning give on these tiers, and the baseline that costs nothing: a sentence each."""
    ranges: list[str] = []
    free_ones: list[str] = []
    numbers: dict[str, float] = {}
    for row in board.tiers:
        if row.tier not in tiers or not row.shown:
            continue
        ends = _widest([area for r in board.rows if (area := r.auroc.get(row.tier))])
        if ends is not None:
            ranges.append(f"{ends[0]:.2f} to {ends[1]:.2f} on tier {row.tier} ({counted(row.items, 'item')})")
            numbers |= {f"shuffled labels, low, tier {row.tier}": ends[0]}
            numbers |= {f"shuffled labels, high, tier {row.tier}": ends[1]}
        if row.confidence is not None:
            free_ones.append(f"{row.confidence:.2f} on tier {row.tier}")
            numbers[f"{CONFIDENCE}, tier {row.tier}"] = row.confidence
    words = []
    if ranges:
        words.append(
            f"Under shuffled labels 95 % of the AUROCs lie in {_listed(ranges)}: the widest of the measures that were "
            "run on all items."
        )
    if free_ones:
        words.append(f"Answer confidence alone, which costs nothing, has {_listed(free_ones)}.")
    return Control(SHUFFLED, " ".join(words), numbers) if words else None


def _listed(words: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


ALL = 0.9
"""The share of the items from which on a measure counts as run on all: some items have no score by some measure."""


def _widest(areas: Sequence[Area]) -> tuple[float, float] | None:
    counts = [area.n_faithful + area.n_unfaithful for area in areas]
    areas = [area for area, count in zip(areas, counts, strict=True) if count >= ALL * max(counts)]
    ends = [(low, high) for area in areas if area.permuted for low, high in [area.permuted]]
    known = [(low, high) for low, high in ends if low is not None and high is not None]
    return (min(low for low, _ in known), max(high for _, high in known)) if known else None


def of_measure(board: Board, measure: str, tier: str) -> Control | None:
    """Shuffled labels for one measure on a tier, and the baseline that costs nothing."""
    row = next((row for row in board.rows if row.measure == measure), None)
    area = None if row is None or board.withheld(tier) else row.auroc.get(tier)
    low, high = (None, None) if area is None or area.permuted is None else area.permuted
    if area is None or low is None or high is None:
        return None
    words = f"Under shuffled labels 95 % of the AUROCs of {measure} lie in {low:.2f} to {high:.2f} "
    words += f"({area.n_faithful} faithful and {area.n_unfaithful} unfaithful items)."
    numbers = {"shuffled labels, low": low, "shuffled labels, high": high}
    base = board.area(CONFIDENCE, tier)
    if base is not None:
        words += f" Answer confidence, which costs nothing, has {base:.2f}."
        numbers[CONFIDENCE] = base
    return Control(SHUFFLED, words, numbers)


def of_labels(labels: Sequence[bool | None]) -> Control | None:
    """The share of items that is labelled faithful; None where nothing has a label."""
    known = [label for label in labels if label is not None]
    if not known:
        return None
    share = sum(known) / len(known)
    text = f"{share:.0%} of the {len(known)} items with a label are labelled faithful. A measure far from it leans."
    return Control("share labelled faithful", text, {"labelled faithful": share})


def of_scores(scores: Sequence[ItemScore]) -> Control | None:
    """What the baselines that cost nothing say of an item."""
    known = [(score, score.value) for score in scores if free(score) and score.value is not None]
    if not known:
        return None
    words = "; ".join(f"{s.measure} {value:.3g}{_called(s)}" for s, value in known)
    return Control("free baselines", f"What costs nothing says: {words}.", {s.measure: value for s, value in known})


def _called(score: ItemScore) -> str:
    if score.called is None or score.threshold is None:
        return ""
    return f" ({LABELS[score.called]} at the threshold {score.threshold:g})"


def of_chance(options: Sequence[Option]) -> Control | None:
    """The probability of each candidate if the model knew nothing."""
    if not options:
        return None
    share = 1 / len(options)
    text = f"Chance gives each of the {len(options)} candidates {share:.3f}."
    return Control("chance", text, {"chance": share})


def of_trace(item: ItemTrace) -> Control | None:
    """The probability without any step, and after chains in place of the true one."""
    ends = trace_ends(item)
    others = {name: value for name, value in ends.items() if name != "true"}
    if item.base is None and not others:
        return None
    words = [] if item.base is None else [f"without any step {item.base:.2f}"]
    words += [f"{name} {value:.2f}" for name, value in others.items()]
    own = f"P({item.answer}) is {ends['true']:.2f} after the whole chain; " if "true" in ends else ""
    text = f"{own}{', '.join(words)}."
    numbers = others if item.base is None else {"no chain": item.base} | others
    return Control("no chain", text[:1].upper() + text[1:], numbers)


def trace_ends(item: ItemTrace) -> dict[str, float]:
    """The probability of the answer at the end of each line, by its name."""
    return {line.name: line.points[-1].p for line in item.lines if line.points}


def of_unedited(moved: Intervention) -> Control:
    """The item without the edits."""
    text = f"Without the edits P({moved.answer}) is {moved.before:.3f}, with them {moved.after:.3f}."
    return Control("no edit", text, {"P without the edits": moved.before})


def of_unlearning(fur: Unlearning | None) -> Control | None:
    """Answers to other questions, which unlearning should leave alone."""
    if fur is None or fur.specificity is None:
        return None
    floor = "" if fur.floor is None else f", against a floor of {fur.floor:.0%} that chose the rate"
    text = f"Unlearning leaves {fur.specificity:.0%} of the answers to other questions as they were{floor}"
    text += f" ({counted(fur.items, 'item')})." if fur.items else "."
    return Control("answers to other questions", text, {"specificity": fur.specificity})


def of_lengths(lengths: Sequence[LengthArea]) -> Control | None:
    """Half: what a measure reaches that knows nothing."""
    counts = [row.n for row in lengths if row.auroc is not None]
    if not counts:
        return None
    text = f"An AUROC of 0.5 is chance; cells rest on {min(counts)} to {max(counts)} items."
    return Control("chance", text, {"chance": 0.5})


def of_kappa(values: Mapping[str, float]) -> Control:
    """What two measures that call at random have in common."""
    text = f"0 is as often alike as by chance, with the shares that each calls faithful; {len(values)} pairs."
    return Control("chance", text, {"chance": 0.0})
