"""From a study to the leaderboard: AUROC per tier with intervals, nulls, ties, bias, agreement and cost; plain data.

A tier is shown only as far as its own checks allow: where the labels can be told from how sure the model is of its
answer, a measure that tells them may do no more than that, and tier 2 is withheld until that baseline is at chance.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from analysis.faithfulness.agreement import kappa_matrix
from analysis.faithfulness.board_words import cost_row, exhibit_rows, honesty, tier_row
from analysis.faithfulness.bootstrap import bootstrap, difference, permutation
from analysis.faithfulness.published import NOTE, PUBLISHED
from analysis.faithfulness.scoring import length_bins, share_called, ties
from analysis.faithfulness.study import Study

RANKED = ("0", "1", "2", "file")
CONFIDENCE = "answer confidence"
ROUNDS = 2_000


def board(study: Study) -> dict[str, Any]:
    """All figures of the leaderboard (JSON-able: undefined numbers are None)."""
    main, names = study.main(), [m["name"] for m in study.manifest["measures"]]
    present = [tier for tier in RANKED if len(study.of(tier))]
    tiers, areas, called, differences, lengths, kappas = [], {}, {}, [], [], {}
    judged = [i for i, m in enumerate(study.manifest["measures"]) if m["thresholded"] and not m["baseline"]]
    for tier in present:
        at = study.of(tier)
        items = [study.items[i] for i in at]
        labels, scores = [item.label for item in items], main[:, at]
        problems = [item.problem for item in items]
        seeds = [item.demos for item in items] if len({item.demos for item in items}) > 1 else None
        found = bootstrap(scores, labels, problems, seeds, rounds=ROUNDS)
        row: dict[str, dict[str, Any] | None] = {}
        for i, name in enumerate(names):
            known = np.isfinite(scores[i])
            if not known.any():
                row[name] = None
                continue
            truth = np.array([label is True for label in labels])
            row[name] = {
                "auroc": _plain(found.auroc[i]), "low": _plain(found.low[i]), "high": _plain(found.high[i]),
                "ties": _plain(ties(scores[i], labels)), "n_faithful": int((known & truth).sum()),
                "n_unfaithful": int((known & ~truth).sum()),
                "permuted": [_plain(v) for v in permutation(scores[i], labels, problems, rounds=ROUNDS // 2)],
            }  # fmt: skip
        areas[tier] = row
        called[tier] = {
            name: _plain(share_called(scores[i], study.manifest["measures"][i]["threshold"]))
            if study.manifest["measures"][i]["thresholded"]
            else None
            for i, name in enumerate(names)
        }
        if CONFIDENCE in names:
            base = names.index(CONFIDENCE)
            for i, name in enumerate(names):
                if i != base and row[name] is not None:
                    low, high = difference(found, i, base)
                    gap = found.auroc[i] - found.auroc[base]
                    differences.append(
                        {"tier": tier, "a": name, "b": CONFIDENCE, "difference": _plain(gap), "low": _plain(low),
                         "high": _plain(high)}
                    )  # fmt: skip
        for i, name in enumerate(names):
            lengths += [
                {"tier": tier, "measure": name, **{k: _plain(v) for k, v in bin_.items()}}
                for bin_ in length_bins(scores[i], labels, [len(item.steps) for item in items])
            ]
        kappas[tier] = [[_plain(v) for v in line] for line in kappa_matrix(_calls(study, judged, at))]
        tiers.append(tier_row(study, tier, items, (row.get(CONFIDENCE) or {}).get("auroc")))
    timing = study.manifest.get("timing", {})
    rows = [
        {
            "measure": m["name"], **{k: m[k] for k in ("family", "main", "sentence", "baseline", "threshold", "note")},
            "source": m["source"], "thresholded": m["thresholded"], "level": m["level"],
            "auroc": {tier: areas[tier][m["name"]] for tier in present},
            "called": {tier: called[tier][m["name"]] for tier in present},
            "published": PUBLISHED.get(m["name"], {"step": None, "chain": None}),
            "passes": timing.get(m["name"], {}).get("passes"), "seconds": timing.get(m["name"], {}).get("seconds"),
        }
        for m in study.manifest["measures"]
    ]  # fmt: skip
    return {
        "tiers": tiers, "rows": rows, "differences": differences,
        "kappa": {"measures": [names[i] for i in judged], "tiers": kappas},
        "lengths": lengths, "cost": cost_row(study), "fur": study.manifest.get("fur"), "exhibits": exhibit_rows(study),
        "honesty": honesty(study), "published_note": NOTE,
    }  # fmt: skip


def _calls(study: Study, rows: list[int], at: np.ndarray) -> np.ndarray:
    """(measures, items): 1 where the threshold calls the item faithful, 0 where not, nan where there is no score."""
    main = study.main()[np.ix_(np.array(rows, int), at)]
    thresholds = np.array([study.manifest["measures"][i]["threshold"] for i in rows])[:, None]
    return np.where(np.isfinite(main), main >= thresholds, np.nan)


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
