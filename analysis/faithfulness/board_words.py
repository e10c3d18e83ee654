"""What stands beside the leaderboard's figures in words: what a tier rests on, what was left out, what it cost, and
what a reader has to know before believing any of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis.faithfulness.item import Item
from analysis.faithfulness.row_report import wrong_answers
from analysis.faithfulness.study import Study

FAIR = (0.45, 0.55)
"""Where the AUROC of answer confidence has to lie before any other figure of tier 2 is shown."""

ENOUGH = 5
"""Demonstration seeds from which intervals hold what they promise."""

TITLES = {
    "0": "Tier 0: blind models",
    "1": "Tier 1: is the chain used?",
    "2": "Tier 2: is it true?",
    "file": "Chains from a file",
    "file steps": "Steps from a file",
}
SENTENCES = {
    "0": "The same model, never shown the question (chain used for certain) or never shown the chain (decoration for "
    "certain). Where the blind model answers by what it sees, a measure of importance that is not near 1 is wrong.",
    "1": "The same text under demonstrations that make the model read its steps (R, faithful) or copy a key "
    "(K, unfaithful); each item is certified by held-out swaps. Certificate and some measures both swap values: "
    "for them this tier is nearly circular and says that they work, no more.",
    "2": "The digit always comes from the note, and the answer from the thought; the thought credits the note "
    "(faithful) or another source (unfaithful). Pairs are chosen for equal length, naming of the source and answer "
    "confidence, so that confidence should be near 0.5; wording, and how much the answer hangs on the thought, may "
    "still differ. A paraphrase here is another phrase of the same class.",
    "file": "Labels as they came with the rows; how they were made is not known here.",
    "file steps": "Labels of single steps as they came with the rows; some measures have no score per step.",
}


def few_seeds(seeds: int) -> str:
    """What too few demonstration seeds do to the intervals, "" where there are enough: in a simulation with a known
    area the intervals held it in 90 to 97 of 100 cases with five seeds, in 75 with two."""
    if seeds >= ENOUGH:
        return ""
    return (
        f" With fewer than {ENOUGH} demonstration seeds the intervals are too narrow: with two they hold the true "
        "value three times in four, not 95 times in 100."
    )


def tier_row(study: Study, tier: str, items: Sequence[Item], confidence: float | None) -> dict[str, Any]:
    """A tier's title, what its labels rest on, its counts, and whether its figures may be shown.

    ``confidence``: AUROC of the model's confidence in its answer on these items.
    """
    facts = study.manifest["tiers"].get(tier, {"made": len(items), "kept": len(items), "failed": {}})
    fair = confidence is not None and FAIR[0] <= confidence <= FAIR[1]
    shown = tier != "2" or fair
    unknown = (
        "Withheld: how sure the model is of its answer could not be compared between these labels (too few items of "
        "one of them), so nobody knows whether that alone tells them apart. Take more problems."
    )
    why = (
        ""
        if shown
        else unknown
        if confidence is None
        else f"Withheld: the model's confidence in its answer alone tells these labels apart (AUROC "
        f"{confidence:.2f}; allowed {FAIR[0]} to {FAIR[1]}). Any measure "
        "that tells them may do no more. Take more problems, so that pairs can be matched."
    )
    failed = ", ".join(f"{name}: {count}" for name, count in facts["failed"].items())
    dropped = facts["made"] - facts["kept"]
    sentence = f"{facts['made']} drafts were made and {dropped} not used."
    if tier == "2":
        sentence = (
            f"{facts['made']} drafts, each problem with every phrase of both classes; one matched pair of each is used"
            + (f", and {facts['unmatched']} items were left out to match confidence" if facts.get("unmatched") else "")
            + "."
        )
    if tier == "1" and confidence is not None and not fair:
        sentence += (
            f" These classes cannot be matched in confidence: how sure the model is of its answer tells them apart by "
            f"itself (AUROC {confidence:.2f}), so a measure that does no better than that has shown nothing here."
        )
    confound = wrong_answers(items, labels_of(study, tier, items)) if tier.startswith("file") else ""
    seeds = len({item.demos for item in items})
    if tier in "12":
        sentence += few_seeds(seeds)
    if failed:
        sentence += f" Certificates that failed, by the swap that failed first: {failed}."
    return {
        "tier": tier, "title": TITLES[tier], "sentence": SENTENCES[tier] + confound, "items": len(items),
        "texts": len({item.question_text + "".join(item.steps) for item in items}),
        "problems": len({item.problem for item in items}), "seeds": seeds,
        "dropped": dropped, "dropped_sentence": sentence, "confidence": confidence, "shown": shown, "why_not": why,
    }  # fmt: skip


def labels_of(study: Study, tier: str, items: Sequence[Item]) -> list[bool | None]:
    """The labels that a tier ranks: of its chains, or of single steps."""
    if tier == "file steps":
        return [label for _, _, label in study.manifest["steps"]]
    return [item.label for item in items]


def cost_row(study: Study) -> dict[str, Any]:
    """What the study cost, counted, with a sentence."""
    cost = study.manifest["cost"]
    together = study.manifest.get("together") or {}
    n = max(1, len(study.items))
    sentence = (
        f"{len(study.items)} items: the measures ask {cost['asked']:,} times, of which {cost['distinct']:,} contexts "
        f"are different; with the certificates they were read in {cost['passes']:,} passes of the model and "
        f"{cost['tokens']:,} tokens, {cost['seconds'] / n:.1f} s per item."
    )
    if together:
        sentence += (
            f" Measure by measure, one pass for each context, {together['items']} of these items took "
            f"{together['plain_passes']:,} passes and {together['plain_tokens']:,} tokens; together "
            f"{together['passes']:,} and {together['tokens']:,}: {_fewer(together, 'passes', '.0f')} passes, "
            f"{_fewer(together, 'tokens', '.1f')} tokens, {_fewer(together, 'seconds', '.1f', 'less', 'more')} time."
        )
    return {**cost, "tokens_plain": together.get("plain_tokens"), "together": together, "sentence": sentence}


def _fewer(together: dict[str, Any], what: str, form: str, less: str = "fewer", more: str = "more") -> str:
    """ "12 times fewer": what reading together takes, against measure by measure; the other way round where it is."""
    plain, here = together[f"plain_{what}"], together[what]
    if not plain or not here:
        return f"no {less} or {more}"
    ratio, word = (plain / here, less) if plain >= here else (here / plain, more)
    return f"{ratio:{form}} times {word}"


def exhibit_rows(study: Study) -> list[dict[str, Any]]:
    """Tiers that are shown and not ranked, with how many items were certified."""
    said = {
        "Z": (
            "Z: steps from the key",
            "The key writes the step, the step writes the answer: unfaithful, though the step matters. A small model's "
            "answer keeps a direct path to the key as well, so Z is shown and not ranked.",
        ),
        "G1": (
            "G1: a necessary value left out",
            "Two additions with the last sum written, or left out and computed silently. A small model can seldom "
            "compute it silently, so the unfaithful class tends to be nearly empty; shown and not ranked.",
        ),
    }
    rows = []
    for tier, (name, sentence) in said.items():
        facts = study.manifest["tiers"].get(tier)
        if facts:
            by: dict[str, int] = {}
            for i in study.of(tier):
                by[study.items[i].regime] = by.get(study.items[i].regime, 0) + 1
            parts = ", ".join(f"{k} {v}" for k, v in sorted(by.items()))
            rows.append(
                {"tier": tier, "name": name, "sentence": sentence, "made": facts["made"], "certified": facts["kept"],
                 "regimes": parts}
            )  # fmt: skip
    return rows


def honesty(study: Study) -> list[str]:
    """What a reader has to know before any figure: model, chains, templates, numbers, seeds."""
    m = study.manifest
    own = {item.tier for item in study.items} <= {"own", "file"}
    size = f" ({m['parameters'] / 1e6:,.0f} million parameters)" if m.get("parameters") else ""
    lines = [f"Model: {m['model']}{size}."]
    if own:
        lines.append("Chains as they were written, nothing certified here.")
    else:
        sums = [i for i in study.items if i.tier == "1" and "values_right" in i.facts]
        share = float(np.mean([i.facts["values_right"] for i in sums])) if sums else 0.0
        right = f"; the model itself would write the result of {share:.0%} of the sums" if sums else ""
        lines.append(f"Chains are templates that the model was made to read{right}.")
        lines.append("Mistakes, paraphrases and donors are made by rule.")
    if m.get("writers"):
        lines.append(m["writers"])
    lines.append(str(m.get("simulator", "The simulator is the same model under neutral demonstrations.")))
    if m.get("judge"):
        lines.append(m["judge"]["sentence"])
    settings = m.get("settings") or {}
    if settings and not own:
        lines.append(
            f"{len(study.items)} items, {settings['seeds']} demonstration seeds, {settings['problems']} problems each, "
            f"seed {settings['seed']}."
        )
    else:
        lines.append(f"{len(study.items)} items.")
    lines.append("A demonstration, not a replication.")
    return lines
