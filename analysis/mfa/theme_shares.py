"""A study of texts: for the largest themes of the bundled corpus, in how many texts one of the theme's words appears,
when a region of it, a random region, or the difference of means steers at one price.

Each push is added at the strength at which the next token after the prompt costs the KL, prompt by prompt. The region
is the one with the highest low end of its purity; the random region is drawn anew for each theme and prompt. Words,
prompts and price were fixed before a text was written. What is written is kept theme by theme in the data folder, so
the study goes on where it was stopped.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from analysis.activations.collect import collect
from analysis.activations.recipe import WINDOW
from analysis.artefacts import write_whole
from analysis.corpora.passages import Passage
from analysis.corpora.themes import themes
from analysis.home import folder
from analysis.mfa.evaluate import PROMPTS, bootstrap
from analysis.mfa.library import RegionSet
from analysis.models.batch import Row
from analysis.models.loaded_model import LoadedModel
from analysis.progress import Progress, portion
from analysis.steering import Add, Arm, PromptCache, generate_batch, kl_divergence, repeated_share, strength_for_kl
from analysis.steering.shares import Share, places

TARGET, COUNT, TEMPERATURE, TOP_P = 0.25, 40, 0.7, 0.95
ACTIVATIONS = 60_000
"""Of which the means of the themes are taken."""
ARMS = ("unsteered", "region", "random region", "difference of means")
BATCH = 32
LARGEST = 4.0
"""Times the distance of the region's centroid from the mean that a push may have: more than any price here needs."""


@dataclass(frozen=True)
class Theme:
    """One theme: its ``words``, the ``region`` that is most purely about it, and the ``difference`` (D,) of its mean
    activation from that of all texts."""

    key: str
    words: tuple[str, ...]
    region: int
    difference: Tensor


def region_of(fit: RegionSet, theme: str) -> int | None:
    """The region of a theme with the highest low end of its share; None where no region is large enough."""
    rows = [r for r in fit.manifest["regions"] if r["theme"] == theme and r["size"] >= 60 and r["texts"] >= 8]
    return max(rows, key=lambda r: r["purity_low"])["region"] if rows else None


def largest_themes(
    loaded: LoadedModel, passages: Sequence[Passage], fit: RegionSet, count: int, progress: Progress
) -> tuple[list[Theme], list[str]]:
    """The themes with most activations that have a region, and the names of those among them that have none."""
    store = collect(loaded, passages, [fit.site], max_tokens=ACTIVATIONS, window=WINDOW, progress=progress)
    names = sorted({p.theme for p in passages})
    code = torch.tensor([names.index(p.theme) for p in passages])[store.index(ACTIVATIONS)[1].long()]
    sums, first = torch.zeros(len(names), fit.parameters.width), 0
    for batch in store.batches(fit.site, 8192, rows=ACTIVATIONS):
        sums.index_add_(0, code[first : first + len(batch)], batch)
        first += len(batch)
    counts = torch.bincount(code, minlength=len(names))
    everything, words = sums.sum(0) / len(code), {theme.key: theme.words for theme in themes()}
    made, without = [], []
    for place in counts.argsort(descending=True).tolist()[:count]:
        name, region = names[place], region_of(fit, names[place])
        if region is None or name not in words:
            without.append(name)
        else:
            made.append(Theme(name, words[name], region, sums[place] / counts[place] - everything))
    return made, without


class Study:
    """Texts of one fit: prompts read once, pushes brought to the price, texts written in batches and kept."""

    def __init__(self, loaded: LoadedModel, fit: RegionSet, seeds: int, path: Path) -> None:
        self.loaded, self.fit, self.seeds, self.path = loaded, fit, seeds, path
        self.prompts = [list(loaded.tokenizer(text)["input_ids"]) for text in PROMPTS]
        self.caches = [PromptCache(loaded, ids, [fit.site.layer]) for ids in self.prompts]

    def kept(self) -> dict[str, Any]:
        """What was written so far, by theme; "" has the unsteered texts, which all themes share."""
        if not self.path.is_file():
            return {}
        rows = [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]
        return {row["theme"]: row for row in rows}

    def write(self, theme: Theme | None) -> dict[str, Any]:
        """The texts of a theme, or the unsteered ones; kept before they are given back."""
        row: dict[str, Any] = {"theme": theme.key if theme else "", "region": theme.region if theme else None}
        if theme is None:
            row["arms"] = {ARMS[0]: self._texts([None] * len(PROMPTS))}
        else:
            row["arms"] = {arm: self._arm(theme, arm) for arm in ARMS[1:]}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        return row

    def _arm(self, theme: Theme, arm: str) -> dict[str, Any]:
        away = self.fit.parameters.means[theme.region] - self.fit.mean
        pushes, kls, met = [], [], 0
        for n, cache in enumerate(self.caches):
            vector = theme.difference if arm == ARMS[3] else away if arm == ARMS[1] else self._other(theme, n)
            vector = vector / vector.norm() * away.norm()
            price = lambda a, v=vector, c=cache: kl_divergence(c.base_logits, c.next_logits([self._add(v, a)]))  # noqa: E731
            found = strength_for_kl(price, TARGET, high=LARGEST)
            pushes.append(self._add(vector, found.strength))
            kls.append(found.kl)
            met += found.met
        return {"kl": kls, "met": met, **self._texts(pushes)}

    def _other(self, theme: Theme, prompt: int) -> Tensor:
        others = [k for k in self.fit.usable if k != theme.region]
        drawn = torch.Generator().manual_seed(1_000 * theme.region + prompt)
        return self.fit.parameters.means[others[int(torch.randint(len(others), (1,), generator=drawn))]] - self.fit.mean

    def _add(self, vector: Tensor, strength: float) -> Add:
        return Add(self.fit.site, vector, strength)

    def _texts(self, pushes: Sequence[Add | None]) -> dict[str, Any]:
        """A text for each prompt and seed, in that order, and the mean share of repeated 3-grams in them."""
        arms = [
            Arm(Row(tuple(ids), TEMPERATURE, TOP_P, seed), [] if push is None else [push])
            for ids, push in zip(self.prompts, pushes, strict=True)
            for seed in range(self.seeds)
        ]
        written: list[list[int]] = [[] for _ in arms]
        for first in range(0, len(arms), BATCH):
            for steps in generate_batch(self.loaded, arms[first : first + BATCH], COUNT):
                for step in steps:
                    written[first + step.arm].append(step.token)
        texts = [self.loaded.tokenizer.decode(ids, skip_special_tokens=True) for ids in written]
        return {"texts": texts, "repetition": sum(map(repeated_share, written)) / len(written)}


def measured(
    loaded: LoadedModel, passages: Sequence[Passage], fit: RegionSet, count: int, seeds: int, progress: Progress
) -> dict[str, Any]:
    """The table of the study as JSON-able data: shares by theme and arm, and over all themes, with intervals."""
    chosen, without = largest_themes(loaded, passages, fit, count, portion(progress, 0.0, 0.1))
    path = folder("studies") / f"theme-shares-{fit.name}-{fit.manifest['sha256'][:12]}-{seeds}.jsonl"
    study = Study(loaded, fit, seeds, path)
    kept = study.kept()
    for n, theme in enumerate([None, *chosen]):
        progress(0.1 + 0.9 * n / (len(chosen) + 1), f"texts of {theme.key if theme else 'the unsteered model'}")
        if (theme.key if theme else "") not in kept:
            row = study.write(theme)
            kept[row["theme"]] = row
    return {
        "model": loaded.facts.label,
        "fit": fit.name,
        "sha256": fit.manifest["sha256"],
        "command": "python -m analysis.build mfa --shares",
        "target": TARGET,
        "tokens": COUNT,
        "temperature": TEMPERATURE,
        "top_p": TOP_P,
        "prompts": list(PROMPTS),
        "seeds": seeds,
        "without": without,
        **tables(chosen, kept),
    }


def tables(chosen: Sequence[Theme], kept: dict[str, Any]) -> dict[str, Any]:
    """Rows by theme and arm, and the arms over all themes: mean share with its interval, themes and texts drawn anew,
    and the same of each arm minus the random region."""
    rows: list[dict[str, Any]] = []
    found: dict[str, list[list[float]]] = {arm: [] for arm in ARMS}
    for theme in chosen:
        for arm in ARMS:
            of = kept["" if arm == "unsteered" else theme.key]["arms"][arm]
            here = [float(bool(spans)) for spans in places(of["texts"], "theme", "", theme.words)]
            share, kls = Share(int(sum(here)), len(here)), of.get("kl", [0.0])
            found[arm].append(here)
            low, high = share.interval
            rows.append(
                {
                    "theme": theme.key,
                    "region": theme.region,
                    "arm": arm,
                    "with": share.count,
                    "texts": share.total,
                    "low": round(low, 4),
                    "high": round(high, 4),
                    "kl": round(sum(kls) / len(kls), 4),
                    "met": of.get("met"),
                    "repetition": round(of["repetition"], 4),
                }
            )
    tensors = {arm: torch.tensor(values, dtype=torch.float64) for arm, values in found.items()}
    arms = {}
    for arm, values in tensors.items():
        mean, beside = bootstrap(values), bootstrap(values - tensors["random region"])
        arms[arm] = {
            "share": [round(x, 4) for x in mean],
            "minus random region": [round(x, 4) for x in beside],
            "met": sum(row["met"] or 0 for row in rows if row["arm"] == arm),
            "repetition": round(sum(row["repetition"] for row in rows if row["arm"] == arm) / max(1, len(chosen)), 4),
        }
    return {"arms": arms, "rows": rows}


def write_table(path: Path, table: dict[str, Any]) -> None:
    """Write the table, whole or not at all."""
    write_whole(path, (json.dumps(table, indent=1, ensure_ascii=False) + "\n").encode())
