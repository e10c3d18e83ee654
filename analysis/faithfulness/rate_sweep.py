"""Choosing the learning rate of FUR on items that are not scored, by how much else the model forgets (dossier M6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from analysis.errors import UserError
from analysis.faithfulness.forgotten import Form, mean_known
from analysis.faithfulness.item import Item
from analysis.faithfulness.unlearning import Unlearner
from analysis.models.loaded_model import LoadedModel
from analysis.progress import Check, Progress, no_check, silent


@dataclass(frozen=True)
class Sweep:
    """Learning rates tried: rows of ``rate``, ``efficacy``, ``specificity`` and ``flips`` (share of items whose answer
    some step takes along), ascending; ``rate``: the chosen one, None if none keeps to the floor."""

    rows: tuple[dict[str, float], ...]
    rate: float | None
    floor: float
    sentence: str


def choose_rate(
    loaded: LoadedModel,
    items: Sequence[Item],
    rates: Sequence[float],
    held_out: Sequence[Item],
    floor: float = 0.95,
    *,
    form: Form = "direct",
    check: Check = no_check,
    progress: Progress = silent,
    **settings: Any,
) -> Sweep:
    """The largest learning rate at which held-out answers stay, at least a share ``floor`` of them (dossier M6).

    ``items`` are unlearned for the choice only and must not be scored later; ``held_out`` are asked and never
    unlearned, and share no problem with them. ``settings`` as of :class:`Unlearner`. Raises UserError if the two
    overlap or one of them is empty.
    """
    if not items or not held_out or not rates:
        raise UserError("To choose a learning rate give rates, items to unlearn, and others to watch.", "rates")
    if {i.problem or i.id for i in items} & {i.problem or i.id for i in held_out}:
        raise UserError("Items that are unlearned cannot show what else is forgotten. Give separate ones.", "held_out")
    tried = sorted(set(rates))
    rows: list[dict[str, float]] = []
    for n, rate in enumerate(tried):
        unlearner = Unlearner(loaded, rate, held_out=held_out, fresh=form == "chain", **settings)
        results = []
        for k, item in enumerate(items):
            results.append(unlearner.measure(item, check))
            progress((n + (k + 1) / len(items)) / len(tried))
        done = [step for result in results for step in result.done]
        if not done:
            raise UserError("None of these items has a step that can be unlearned. Give others.", "items")
        flips = [score.hard for result in results if (score := result.score(form)).hard is not None]
        rows.append(
            {
                "rate": rate,
                "efficacy": mean_known([s.efficacy for s in done]) or 0.0,
                "specificity": mean_known([s.specificity for s in done]) or 0.0,
                "flips": mean_known(flips) or 0.0,
            }
        )
    chosen = max((row["rate"] for row in rows if row["specificity"] >= floor), default=None)
    said = (
        f"Learning rate {chosen:g}: of {len(rows)} tried, the largest at which at least {floor:.0%} of the answers on "
        f"{len(held_out)} held-out items stay."
        if chosen is not None
        else f"At none of {len(rows)} learning rates do {floor:.0%} of the held-out answers stay. Try smaller ones."
    )
    return Sweep(tuple(rows), chosen, floor, said)
