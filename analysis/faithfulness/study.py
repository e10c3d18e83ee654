"""All parts together: what the leaderboard is drawn from, and what is kept.

Pairs of tier 2 are matched in answer confidence once more over all seeds, because matching within each seed may leave a
lean to one side.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from analysis.errors import UserError
from analysis.faithfulness.ask import ContinuedAsk, Reader
from analysis.faithfulness.item import Item
from analysis.faithfulness.measures import BASELINES, CONTINUED, OF_ROWS, Measure, Score, wanted
from analysis.faithfulness.parts import ALL, FORMS, Part, Scores, StudySettings, parts_of, scored
from analysis.faithfulness.passes import Count
from analysis.faithfulness.reader import ModelReader
from analysis.faithfulness.scoring import auroc
from analysis.progress import Progress, silent

TOKENS_PER_ITEM = {"0": 330, "1": 330, "2": 620, "Z": 420, "G1": 420}
"""Tokens through the model per item that is made, drafts and certificates included; measured on the bundled study."""
TOKENS_CONTINUED = 3_000
"""What the published forms of two measures cost more per item, in tokens read: some four continuations, each of the
whole prompt and of a dozen tokens that are written one by one."""


@dataclass
class Study:
    """All parts together. ``scores`` (3 forms, measures, items), ``step_scores`` (3 forms, measures, labelled steps).

    ``manifest``: settings, model, counts, costs, and under ``steps`` item, step and label of each labelled step.
    """

    manifest: dict[str, Any]
    items: tuple[Item, ...]
    scores: np.ndarray
    step_scores: np.ndarray = field(default_factory=lambda: np.zeros((3, len(ALL), 0)))
    memo: dict[str, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def _families(self) -> dict[tuple[str, int], list[Item]]:
        found: dict[tuple[str, int], list[Item]] = {}
        for item in self.items:
            found.setdefault((item.problem, item.demos), []).append(item)
        return found

    def twins(self, item: Item) -> list[Item]:
        """Other items on the same problem under the same demonstration seed that can be held against this one.

        R, K and Z of a sum are twins although they belong to different tiers.
        """
        tiers = ("1", "Z") if item.tier in ("1", "Z") else (item.tier,)
        return [o for o in self._families[item.problem, item.demos] if o.id != item.id and o.tier in tiers]

    def of(self, tier: str) -> np.ndarray:
        """Indices of the items of a tier."""
        return np.array([i for i, item in enumerate(self.items) if item.tier == tier], int)

    def main(self) -> np.ndarray:
        """(measures, items): each measure in the form that is ranked."""
        return self._main(self.scores)

    def main_steps(self) -> np.ndarray:
        """(measures, labelled steps): each measure in the form that is ranked."""
        return self._main(self.step_scores)

    def _main(self, scores: np.ndarray) -> np.ndarray:
        return np.stack([scores[FORMS.index(m["main"]), row] for row, m in enumerate(self.manifest["measures"])])

    def kept(self, item: Item) -> dict[str, Score]:
        """The scores of an item as they were kept: by measure, without steps."""
        at = self.items.index(item)
        found = {}
        for m, row in zip(self.manifest["measures"], self.scores[:, :, at].T, strict=True):
            values = [None if np.isnan(v) else float(v) for v in row]
            missing = str(m.get("missing") or m["note"]) or "Not measured on this item."
            note = missing if values[FORMS.index(m["main"])] is None else ""
            hard, soft, margin = values
            found[m["name"]] = Score(hard, soft, margin, note=note)
        return found

    def item(self, name: str) -> Item:
        """The item of that id; UserError if there is none."""
        for item in self.items:
            if item.id == name:
                return item
        raise UserError(f"This study has no item called {name!r}. Choose one from the list.", "item")


def matched(items: Sequence[Item], sure: np.ndarray, width: float = 0.04) -> list[int]:
    """Indices of the pairs that leave the AUROC of answer confidence within ``width`` of 0.5.

    ``sure`` (N,). Pairs are chosen per demonstration seed; together they may still lean to one side. Then the pair that
    leans that way most goes, and so on, with both its twins.
    """
    kept = list(range(len(items)))
    while kept:
        area = auroc(sure[kept], [items[i].label for i in kept])
        if not abs(area - 0.5) > width:
            break
        gaps: dict[tuple[str, int], float] = {}
        for i in kept:
            pair = (items[i].problem, items[i].demos)
            gaps[pair] = gaps.get(pair, 0.0) + (float(sure[i]) if items[i].label else -float(sure[i]))
        worst = max(gaps, key=lambda pair: gaps[pair] * (1 if area > 0.5 else -1))
        kept = [i for i in kept if (items[i].problem, items[i].demos) != worst]
    return kept


def joined(parts: Sequence[Part], settings: StudySettings, manifest: dict[str, Any]) -> Study:
    """One study of all parts; pairs of tier 2 that spoil the match in answer confidence are left out and counted."""
    parts, unmatched = _matched_parts(parts)
    tiers: dict[str, dict[str, Any]] = {}
    notes: dict[str, str] = {}
    for part in parts:
        row = tiers.setdefault(part.tier, {"made": 0, "kept": 0, "failed": {}, "seeds": 0})
        row["made"] += part.made
        row["kept"] += len(part.items)
        row["seeds"] += 1
        for name, count in part.failed.items():
            row["failed"][name] = row["failed"].get(name, 0) + count
        for name, note in part.notes.items() if part.tier in "012" else ():
            notes.setdefault(name, note)
    if "2" in tiers:
        tiers["2"]["unmatched"] = unmatched
    total = Count(sum(p.passes for p in parts), sum(p.tokens for p in parts))
    cost = {
        "asked": sum(p.asked for p in parts),
        "distinct": sum(p.distinct for p in parts),
        "passes": total.passes,
        "tokens": total.tokens,
        "seconds": round(sum(p.seconds for p in parts), 1),
    }
    return Study(
        {
            **manifest,
            "settings": asdict(settings),
            "tiers": tiers,
            "measures": measure_rows(notes, settings.measures),
            "cost": cost,
        },
        tuple(item for part in parts for item in part.items),
        np.concatenate([p.scores for p in parts], axis=2) if parts else np.zeros((3, len(settings.measures), 0)),
    )


def _matched_parts(parts: Sequence[Part]) -> tuple[list[Part], int]:
    second = [p for p in parts if p.tier == "2"]
    if not second:
        return list(parts), 0
    row = [m.name for m in ALL].index("answer confidence")
    items = [item for p in second for item in p.items]
    kept = set(matched(items, np.concatenate([p.scores[FORMS.index("soft"), row] for p in second])))
    found, start = [], 0
    for part in parts:
        if part.tier == "2":
            inside = [i - start for i in range(start, start + len(part.items)) if i in kept]
            start += len(part.items)
            part = replace(part, items=tuple(part.items[i] for i in inside), scores=part.scores[:, :, inside])
        found.append(part)
    return found, len(items) - len(kept)


def measure_rows(notes: dict[str, str], measures: Sequence[Measure] = ALL) -> list[dict[str, Any]]:
    """What a study keeps of every measure: name, family, ranked form, threshold, sentence, source, and its note."""
    return [
        {
            "name": m.name, "family": m.family, "main": m.main, "threshold": m.threshold, "sentence": m.sentence,
            "source": m.source, "baseline": m in (*BASELINES, *OF_ROWS), "thresholded": m.thresholded, "level": m.level,
            "note": notes.get(m.name, ""),
        }
        for m in measures
    ]  # fmt: skip


def score_items(
    reader: ModelReader,
    items: tuple[Item, ...],
    manifest: dict[str, Any],
    simulator: Reader | None,
    progress: Progress = silent,
    measures: tuple[Measure, ...] = ALL,
    score: Callable[[tuple[Item, ...]], Scores] | None = None,
) -> Study:
    """A study of given items, such as a model's own chains: scored by ``measures``, not certified; by ``score`` where
    that is done elsewhere.

    Items that this model cannot read (too long, a step that is no token of its own) are left out; the manifest's
    ``refused`` has their ids, each with the reason. UserError if none is left.
    """
    began = time.perf_counter()
    faults = {item.id: _fault(reader, item, measures) for item in items}
    refused = [[name, fault] for name, fault in faults.items() if fault]
    items = tuple(item for item in items if not faults[item.id])
    if not items:
        raise UserError(
            f"This model can read none of these chains. {refused[0][1]}" if refused else "No chains.", "text"
        )
    if score is not None:
        found = score(items)
    else:
        found = scored(reader, items, progress, "Scoring", simulator, measures=measures)
    cost = {
        "asked": found.asked, "distinct": found.distinct, "passes": found.passes, "tokens": found.tokens,
        "seconds": round(time.perf_counter() - began, 1),
    }  # fmt: skip
    known = {"tiers": {}, "measures": measure_rows(found.notes, measures), "cost": cost, "steps": found.where}
    return Study({**manifest, **known, "refused": refused}, items, found.chains, found.steps)


def _fault(reader: ModelReader, item: Item, measures: Sequence[Measure] = ALL) -> str:
    """Why a model cannot be asked what the measures ask of an item, "" if it can. Nothing is computed."""
    try:
        own, _ = wanted(item, measures)
        reader.tokens.plan([ask.after("") if isinstance(ask, ContinuedAsk) else ask for ask in own])
    except UserError as error:
        return error.message
    return ""


def with_continued(study: Study, reader: ModelReader, progress: Progress = silent) -> Study:
    """A study with the published forms that let the model write on; every other number stays as it is."""
    began = time.perf_counter()
    if any(m["name"] == CONTINUED[0].name for m in study.manifest["measures"]):
        return study
    found = scored(reader, study.items, progress, "Letting the model write on", measures=CONTINUED)
    rows = measure_rows(found.notes, CONTINUED)
    manifest = {**study.manifest, "measures": [*study.manifest["measures"], *rows]}
    manifest["continued"] = {"asked": found.asked, "seconds": round(time.perf_counter() - began, 1)}
    return Study(
        manifest,
        study.items,
        np.concatenate([study.scores, found.chains], axis=1),
        np.concatenate([study.step_scores, found.steps], axis=1),
    )


def estimate_tokens(settings: StudySettings) -> tuple[int, int]:
    """Tokens that a study sends through the model, and items that it makes at most."""
    tokens = items = 0
    for tier, _seed in parts_of(settings):
        made = settings.problems * (1 if tier == "Z" else 2)
        items += made
        tokens += made * (TOKENS_PER_ITEM[tier] + TOKENS_CONTINUED * settings.continued)
    return tokens, items
