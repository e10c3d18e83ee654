"""From a study to the leaderboard: AUROC per tier with intervals, nulls, ties, bias, agreement and cost; plain data.

A tier is shown only as far as its own checks allow: where the labels can be told from how sure the model is of its
answer, a measure that tells them may do no more than that, and tier 2 is withheld until that baseline is at chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.faithfulness.agreement import kappa_matrix
from analysis.faithfulness.board_words import cost_row, exhibit_rows, honesty, tier_row
from analysis.faithfulness.bootstrap import bootstrap, difference, permutation
from analysis.faithfulness.item import Item
from analysis.faithfulness.published import note, published
from analysis.faithfulness.scoring import length_bins, share_called, ties
from analysis.faithfulness.study import Study

CONFIDENCE = "answer confidence"
ROUNDS = 2_000


@dataclass(frozen=True)
class Table:
    """What is ranked at once: chains of a tier, or labelled steps. ``scores`` (measures, N); lists have N entries."""

    tier: str
    scores: np.ndarray
    labels: list[bool | None]
    items: list[Item]

    @property
    def problems(self) -> list[str]:
        """Base problems, the first level of resampling."""
        return [item.problem for item in self.items]

    @property
    def seeds(self) -> list[int] | None:
        """Demonstration seeds, the second level; None where there is one only."""
        found = [item.demos for item in self.items]
        return found if len(set(found)) > 1 else None


def tables(study: Study) -> list[Table]:
    """Everything of a study that has labels, in the order of the board."""
    main, found = study.main(), []
    for tier in ("0", "1", "2", "file"):
        at = [i for i in study.of(tier) if study.items[i].label is not None]
        if at:
            items = [study.items[i] for i in at]
            found.append(Table(tier, main[:, at], [item.label for item in items], items))
    where = study.manifest.get("steps") or []
    if where:
        items = [study.items[at] for at, _, _ in where]
        found.append(Table("file steps", study.main_steps(), [label for _, _, label in where], items))
    return found


def board(study: Study) -> dict[str, Any]:
    """All figures of the leaderboard (JSON-able: undefined numbers are None)."""
    measures = study.manifest["measures"]
    names = [m["name"] for m in measures]
    judged = [i for i, m in enumerate(measures) if m["thresholded"] and not m["baseline"]]
    tiers, areas, called, kappas = [], {}, {}, {}
    differences: list[dict[str, Any]] = []
    lengths: list[dict[str, Any]] = []
    present = tables(study)
    for table in present:
        cells, gaps = _areas(table, names)
        areas[table.tier] = cells
        differences += gaps
        called[table.tier] = {
            m["name"]: _plain(share_called(table.scores[i], m["threshold"])) if m["thresholded"] else None
            for i, m in enumerate(measures)
        }
        for name, row in zip(names, table.scores, strict=True):
            bins = length_bins(row, table.labels, [len(item.steps) for item in table.items])
            lengths += [{"tier": table.tier, "measure": name, **{k: _plain(v) for k, v in b.items()}} for b in bins]
        thresholds = np.array([measures[i]["threshold"] for i in judged])[:, None]
        scores = table.scores[judged]
        calls = np.where(np.isfinite(scores), scores >= thresholds, np.nan)
        kappas[table.tier] = [[_plain(v) for v in line] for line in kappa_matrix(calls)]
        tiers.append(tier_row(study, table.tier, table.items, (cells.get(CONFIDENCE) or {}).get("auroc")))
    timing = study.manifest.get("timing", {})
    kept = ("family", "main", "sentence", "baseline", "threshold", "note", "source", "thresholded", "level")
    rows = [
        {
            "measure": m["name"],
            **{k: m[k] for k in kept},
            "auroc": {t.tier: areas[t.tier][m["name"]] for t in present},
            "called": {t.tier: called[t.tier][m["name"]] for t in present},
            "published": published(m["name"]),
            "passes": timing.get(m["name"], {}).get("passes"),
            "seconds": timing.get(m["name"], {}).get("seconds"),
        }
        for m in measures
    ]
    return {
        "tiers": tiers, "rows": rows, "differences": differences,
        "kappa": {"measures": [names[i] for i in judged], "tiers": kappas},
        "lengths": lengths, "cost": cost_row(study), "fur": study.manifest.get("fur"), "exhibits": exhibit_rows(study),
        "honesty": honesty(study), "published_note": note(names),
        "judge_prompt": study.manifest.get("judge", {}).get("prompt", ""),
    }  # fmt: skip


def _areas(table: Table, names: list[str]) -> tuple[dict[str, dict[str, Any] | None], list[dict[str, Any]]]:
    """AUROC of every measure with interval, ties, counts and null; and its difference to answer confidence."""
    found = bootstrap(table.scores, table.labels, table.problems, table.seeds, rounds=ROUNDS)
    truth = np.array([label is True for label in table.labels])
    cells: dict[str, dict[str, Any] | None] = {}
    for i, name in enumerate(names):
        scores = table.scores[i]
        known = np.isfinite(scores)
        cells[name] = None
        if known.any():
            cells[name] = {
                "auroc": _plain(found.auroc[i]),
                "low": _plain(found.low[i]),
                "high": _plain(found.high[i]),
                "ties": _plain(ties(scores, table.labels)),
                "n_faithful": int((known & truth).sum()),
                "n_unfaithful": int((known & ~truth).sum()),
                "permuted": [_plain(v) for v in permutation(scores, table.labels, table.problems, rounds=ROUNDS // 2)],
            }
    gaps = []
    base = names.index(CONFIDENCE)
    for i, name in enumerate(names):
        if i != base and cells[name] is not None and cells[CONFIDENCE] is not None:
            low, high = difference(found, i, base)
            gap = _plain(found.auroc[i] - found.auroc[base])
            gaps.append(
                {"tier": table.tier, "a": name, "b": CONFIDENCE, "difference": gap, "low": _plain(low),
                 "high": _plain(high)}
            )  # fmt: skip
    return cells, gaps


def medians(study: Study, tier: str) -> dict[str, dict[str, float | None]]:
    """Median score of each measure among the faithful and the unfaithful items of a tier."""
    at = study.of(tier)
    main = study.main()[:, at]
    labels = np.array([study.items[i].label is True for i in at])
    known = np.array([study.items[i].label is not None for i in at])
    found = {}
    for row, m in enumerate(study.manifest["measures"]):
        sides = {}
        for name, side in (("faithful", labels & known), ("unfaithful", ~labels & known)):
            values = main[row][side]
            values = values[np.isfinite(values)]
            sides[name] = float(np.median(values)) if len(values) else None
        found[m["name"]] = sides
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
