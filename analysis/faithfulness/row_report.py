"""What is said of a file's rows once they are read: how many were left out and why, who wrote them, what may mislead.

Rows are left out for reasons that have to do with what is measured: long chains are labelled otherwise than short ones,
and wrong answers go with unfaithful chains. So the labels of what is left out, of other models' chains and of wrong
answers are counted wherever rows are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from analysis.faithfulness.item import Item
from analysis.faithfulness.values import named

MOST_REASONS = 4
_PARTICULAR = re.compile(r"'[^']*'|\d[\d,.]*")
_HELD = re.compile(r"[-_.](?:gguf|i?q\d\w*|int[48]|[48]-?bits?|b?f(?:p|loat)?(?:16|32)|fp8|awq|gptq)$", re.I)
"""Endings of a name that say how weights are held, not which they are."""


def reasons(refused: Sequence[tuple[int, str]], rows: Mapping[int, int]) -> str:
    """How many rows were left out, by reason with the first example of each; "" if none.

    ``refused``: (line, sentence); ``rows``: how many rows a refusal at that line stands for, 1 where it is absent.
    """
    kinds: dict[str, list[tuple[int, str]]] = {}
    for line, sentence in sorted(refused):
        kinds.setdefault(_PARTICULAR.sub("#", sentence), []).append((line, sentence))
    count = {kind: sum(rows.get(line, 1) for line, _ in found) for kind, found in kinds.items()}
    total = sum(count.values())
    if not total:
        return ""
    order = sorted(kinds, key=lambda kind: (-count[kind], kinds[kind][0][0]))
    if len(order) == 1:
        line, sentence = kinds[order[0]][0]
        return f" {total:,} rows were left out; line {line}: {sentence}"
    told = [f"{count[k]:,} like line {kinds[k][0][0]}: {kinds[k][0][1]}" for k in order[:MOST_REASONS]]
    others = sum(count[kind] for kind in order[MOST_REASONS:])
    more = f" {others:,} for other reasons." if others else ""
    return f" {total:,} rows were left out. {' '.join(told)}{more}"


def lost_labels(read: Iterable[bool | None], lost: Iterable[bool | None]) -> str:
    """How the chains that were left out are labelled, beside those that were read; "" where none has a label."""
    here, there = ([label for label in labels if label is not None] for labels in (read, lost))
    if not there:
        return ""
    said = f" Of the chains left out {there.count(False):,} of {len(there):,} are labelled unfaithful"
    if here:
        said += f", of those read {here.count(False):,} of {len(here):,}"
    return said + ": every figure is of the chains that were read."


def same_model(target: str, label: str) -> bool:
    """Whether a name in the rows and a loaded model's name are of the same weights, however these are held."""
    return bool(_bare(target)) and _bare(target) == _bare(label)


def writers(items: Iterable[Item], label: str) -> str:
    """A warning if chains were written by another model than the loaded one, called ``label``; "" if none was."""
    count = Counter(str(item.facts["target_model"]) for item in items if item.facts.get("target_model"))
    others = {name: n for name, n in count.most_common() if not same_model(name, label)}
    if not others:
        return ""
    names = ", ".join(f"{name} ({n:,})" for name, n in list(others.items())[:4])
    more = f" and {len(others) - 4} more models" if len(others) > 4 else ""
    return (
        f"{sum(others.values()):,} of these chains were written by another model than {label}: {names}{more}. Their "
        "labels say whether they were faithful to the model that wrote them; what is measured is how this one reads "
        "them, which is another question."
    )


def correct(item: Item) -> bool | None:
    """Whether an item's answer is the correct one by its row; None where the row does not say."""
    told = str(item.facts.get("correct_answer", "")).strip()
    return bool(named(told, [item.answer])) if told else None


def wrong_answers(items: Sequence[Item], labels: Sequence[bool | None]) -> str:
    """How many of each label go with a wrong answer, and what that means; "" where the rows do not say."""
    known = [(label, right) for item, label in zip(items, labels, strict=True)
             if label is not None and (right := correct(item)) is not None]  # fmt: skip
    if not known:
        return ""
    parts = []
    for label, name in ((False, "unfaithful"), (True, "faithful")):
        rights = [right for kind, right in known if kind is label]
        if rights:
            parts.append(f"{rights.count(False):,} of {len(rights):,} labelled {name}")
    return (
        f" The answer is wrong in {' and '.join(parts)}. Where that tells the labels apart by itself (answer "
        "correctness, among the free baselines), a measure may merely detect wrong answers."
    )


def _bare(name: str) -> str:
    """A model's name without owner, folder and how its weights are held, in small letters."""
    short = name.strip().rstrip("/").rpartition("/")[2].partition(" at ")[0]
    while (less := _HELD.sub("", short)) != short:
        short = less
    return short.casefold()
