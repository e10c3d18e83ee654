"""A study of texts: for the largest themes of the bundled corpus, in how many texts one of the theme's words appears,
when a region of it, a random region, or the difference of means steers at one price.

Each push is added at the strength at which the next token after the prompt costs the KL, prompt by prompt. The region
is the one with the highest low end of its purity; the random region is drawn anew for each theme and prompt. Words,
prompts and price were fixed before a text was written. What is written is kept theme by theme and seed by seed in the
data folder, so the study goes on where it was stopped, and more seeds can follow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from analysis.activations.collect import collect
from analysis.activations.recipe import WINDOW
from analysis.artefacts import write_whole
from analysis.corpora.passages import Passage
from analysis.corpora.themes import themes
from analysis.home import folder
from analysis.mfa.evaluate import PROMPTS as ALL_PROMPTS
from analysis.mfa.evaluate import bootstrap
from analysis.mfa.library import RegionSet
from analysis.models.batch import Row
from analysis.models.loaded_model import LoadedModel
from analysis.progress import Progress, portion
from analysis.steering import Add, Arm, PromptCache, generate_batch, kl_divergence, repeated_share, strength_for_kl
from analysis.steering.shares import Share, places

PROMPTS = ALL_PROMPTS[::2]
"""Every second of those at which the next token is measured: a text takes as long as forty of it."""
TARGET, COUNT, TEMPERATURE, TOP_P = 0.25, 40, 0.7, 0.95
ACTIVATIONS = 20_000
"""Of which the means of the themes are taken."""
ARMS = ("unsteered", "region", "random region", "difference of means")
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


class Push(NamedTuple):
    """A vector (D,), the strength at which it is added, and the KL (nats) that it costs there; ``met``: as wanted."""

    vector: Tensor
    strength: float
    kl: float
    met: bool


class Study:
    """Texts of one fit: prompts read once, pushes brought to the price, texts written in batches and kept."""

    def __init__(self, loaded: LoadedModel, fit: RegionSet, path: Path) -> None:
        self.loaded, self.fit, self.path = loaded, fit, path
        self.prompts = [list(loaded.tokenizer(text)["input_ids"]) for text in PROMPTS]
        self.caches = [PromptCache(loaded, ids, [fit.site.layer]) for ids in self.prompts]
        lines = path.read_text("utf-8").splitlines(keepends=True) if path.is_file() else []
        if lines and not lines[-1].endswith("\n"):  # it was being written when the study was stopped
            lines.pop()
            path.write_text("".join(lines), "utf-8")
        rows = [json.loads(line) for line in lines]
        self.kept: dict[tuple[str, int], dict[str, Any]] = {(row["theme"], row["seed"]): row for row in rows}

    def write(self, theme: Theme | None, seed: int) -> None:
        """Make sure of the texts of a theme, or of the unsteered ones, with a seed: one for each prompt and arm."""
        key = theme.key if theme else "", seed
        if key in self.kept:
            return
        pushes: dict[str, list[Push] | None] = {ARMS[0]: None}
        if theme is not None:
            pushes = {arm: self._pushes(theme, arm) for arm in ARMS[1:]}
        row = {"theme": key[0], "seed": seed, "arms": self._texts(pushes, seed)}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self.kept[key] = row

    def _pushes(self, theme: Theme, arm: str) -> list[Push]:
        """For each prompt, the push and what it costs there; the prices of the first seed hold for the others."""
        before = self.kept.get((theme.key, 0))
        away = self.fit.parameters.means[theme.region] - self.fit.mean
        made = []
        for n, cache in enumerate(self.caches):
            vector = theme.difference if arm == ARMS[3] else away if arm == ARMS[1] else self._other(theme, n)
            vector = vector / vector.norm() * away.norm()
            if before is not None:
                of = before["arms"][arm]
                made.append(Push(vector, of["strength"][n], of["kl"][n], of["met"][n]))
                continue
            price = lambda a, v=vector, c=cache: kl_divergence(c.base_logits, c.next_logits([self._add(v, a)]))  # noqa: E731
            found = strength_for_kl(price, TARGET, high=LARGEST)
            made.append(Push(vector, found.strength, found.kl, found.met))
        return made

    def _other(self, theme: Theme, prompt: int) -> Tensor:
        others = [k for k in self.fit.usable if k != theme.region]
        drawn = torch.Generator().manual_seed(1_000 * theme.region + prompt)
        return self.fit.parameters.means[others[int(torch.randint(len(others), (1,), generator=drawn))]] - self.fit.mean

    def _add(self, vector: Tensor, strength: float) -> Add:
        return Add(self.fit.site, vector, strength)

    def _texts(self, pushes: Mapping[str, list[Push] | None], seed: int) -> dict[str, dict[str, Any]]:
        """By arm, a text for each prompt, all in one batch, and the pushes that they were written under."""
        arms = [
            Arm(Row(tuple(ids), TEMPERATURE, TOP_P, seed), [self._add(of[n].vector, of[n].strength)] if of else [])
            for of in pushes.values()
            for n, ids in enumerate(self.prompts)
        ]
        written: list[list[int]] = [[] for _ in arms]
        for steps in generate_batch(self.loaded, arms, COUNT):
            for step in steps:
                written[step.arm].append(step.token)
        rows = {}
        for place, (arm, of) in enumerate(pushes.items()):
            mine = written[place * len(self.prompts) : (place + 1) * len(self.prompts)]
            rows[arm] = {
                "strength": [push.strength for push in of or []],
                "kl": [push.kl for push in of or []],
                "met": [push.met for push in of or []],
                "texts": [self.loaded.tokenizer.decode(ids, skip_special_tokens=True) for ids in mine],
                "repetition": [repeated_share(ids) for ids in mine],
            }
        return rows


def measured(
    loaded: LoadedModel, passages: Sequence[Passage], fit: RegionSet, count: int, seeds: int, progress: Progress
) -> dict[str, Any]:
    """The table of the study as JSON-able data: shares by theme and arm, and over all themes, with intervals."""
    chosen, without = largest_themes(loaded, passages, fit, count, portion(progress, 0.0, 0.1))
    study = Study(loaded, fit, folder("studies") / f"theme-shares-{fit.name}-{fit.manifest['sha256'][:12]}.jsonl")
    order = [(seed, theme) for seed in range(seeds) for theme in (None, *chosen)]
    for n, (seed, theme) in enumerate(order):
        progress(0.1 + 0.9 * n / len(order), f"seed {seed}, texts of {theme.key if theme else 'the unsteered model'}")
        study.write(theme, seed)
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
        **tables(chosen, study.kept, seeds),
    }


def tables(chosen: Sequence[Theme], kept: Mapping[tuple[str, int], Any], seeds: int) -> dict[str, Any]:
    """Rows by theme and arm, and the arms over all themes: mean share with its interval, themes and prompts
    drawn anew, and the same of each arm minus the random region."""
    rows: list[dict[str, Any]] = []
    found: dict[str, list[Tensor]] = {arm: [] for arm in ARMS}
    for theme in chosen:
        for arm in ARMS:
            of = [kept["" if arm == ARMS[0] else theme.key, seed]["arms"][arm] for seed in range(seeds)]
            spans = places([text for row in of for text in row["texts"]], "theme", "", theme.words)
            here = [float(bool(found_here)) for found_here in spans]
            share, kl, repetition = (
                Share(int(sum(here)), len(here)),
                of[0]["kl"],
                [x for r in of for x in r["repetition"]],
            )
            low, high = share.interval
            # The seeds of a prompt share its random region: what is drawn anew is prompts, each with all its seeds.
            found[arm].append(torch.tensor(here, dtype=torch.float64).reshape(seeds, -1).mean(0))
            rows.append(
                {
                    "theme": theme.key,
                    "region": theme.region,
                    "arm": arm,
                    "with": share.count,
                    "texts": share.total,
                    "low": round(low, 4),
                    "high": round(high, 4),
                    "kl": round(_mean(kl), 4),
                    "unmet": sum(not met for met in of[0]["met"]),
                    "repetition": round(_mean(repetition), 4),
                }
            )
    tensors = {arm: torch.stack(values) for arm, values in found.items()}
    arms = {}
    for arm, values in tensors.items():
        mine = [row for row in rows if row["arm"] == arm]
        arms[arm] = {
            "share": [round(x, 4) for x in bootstrap(values)],
            "minus random region": [round(x, 4) for x in bootstrap(values - tensors["random region"])],
            "unmet": sum(row["unmet"] for row in mine),
            "repetition": round(_mean([row["repetition"] for row in mine]), 4),
        }
    return {"arms": arms, "rows": rows}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def write_table(path: Path, table: dict[str, Any]) -> None:
    """Write the table, whole or not at all."""
    write_whole(path, (json.dumps(table, indent=1, ensure_ascii=False) + "\n").encode())
