"""A study of steering and attention: for the largest themes of the bundled corpus, through what a region's effect goes,
beside that of a random region and a random direction at one price.

Each push is added at the strength at which the next token costs the KL, prompt by prompt; then the pass is run with
each set of parts above it free and the rest held (:mod:`analysis.steering.frozen`). Themes, regions, prompts and price
are those of the study of texts (theme-shares.json), chosen before anything was measured here. Every theme and prompt is
kept as it comes, so the study goes on where it was stopped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.corpora.themes import themes
from analysis.home import folder
from analysis.mfa.evaluate import PROMPTS, log_odds, word_ids
from analysis.mfa.library import RegionSet
from analysis.models.loaded_model import LoadedModel
from analysis.progress import Progress
from analysis.steering import Add, PromptCache, kl_divergence, strength_for_kl
from analysis.steering.frozen import HeldPass
from analysis.steering.parts import PARTS, SETS, shares_of

TARGET, LARGEST, RAISED, DRAWS = 0.25, 4.0, 5, 2000
"""Nats of KL, times the centroid's distance, tokens that an arm raises most, and draws of the bootstrap."""
ARMS = ("region", "random region", "random direction")
ROUTES = ("patterns", "values", "MLPs", "residual stream alone")


class Bridge:
    """The study of one fit: prompts read once, cells measured and kept."""

    def __init__(self, loaded: LoadedModel, fit: RegionSet, path: Path) -> None:
        self.loaded, self.fit, self.path = loaded, fit, path
        ids = [list(loaded.tokenizer(text)["input_ids"]) for text in PROMPTS]
        self.caches = [PromptCache(loaded, row, [fit.site.layer]) for row in ids]
        self.held = [HeldPass(loaded, row, fit.site.layer) for row in ids]
        lines = path.read_text("utf-8").splitlines(keepends=True) if path.is_file() else []
        if lines and not lines[-1].endswith("\n"):  # it was being written when the study was stopped
            lines.pop()
            path.write_text("".join(lines), "utf-8")
        rows = [json.loads(line) for line in lines]
        self.kept: dict[tuple[str, int], dict[str, Any]] = {(row["theme"], row["prompt"]): row for row in rows}

    def measure(self, theme: str, region: int, words: Sequence[str], prompt: int) -> None:
        """Make sure of one cell: a theme after a prompt, all arms."""
        if (theme, prompt) in self.kept:
            return
        ids = word_ids(self.loaded.tokenizer, words)
        arms = {arm: self._arm(self._vector(arm, region, prompt), ids, prompt) for arm in ARMS}
        row = {"theme": theme, "prompt": prompt, "arms": arms}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self.kept[theme, prompt] = row

    def _vector(self, arm: str, region: int, prompt: int) -> Tensor:
        """The push of an arm, as long as the region's."""
        away = self.fit.parameters.means[region] - self.fit.mean
        drawn = torch.Generator().manual_seed(1_000 * region + prompt)
        if arm == "random region":
            others = [k for k in self.fit.usable if k != region]
            other = others[int(torch.randint(len(others), (1,), generator=drawn))]
            vector = self.fit.parameters.means[other] - self.fit.mean
        else:
            vector = away if arm == "region" else torch.randn(away.shape, generator=drawn)
        sized: Tensor = vector / vector.norm() * away.norm()
        return sized

    def _arm(self, vector: Tensor, ids: Tensor, prompt: int) -> dict[str, Any]:
        """One push at the price: what it does to the words and to what it raises most, with each set of parts free."""
        cache, held = self.caches[prompt], self.held[prompt]
        base = cache.base_logits

        def logits(strength: float) -> Tensor:
            return cache.next_logits([Add(self.fit.site, vector, strength)])

        found = strength_for_kl(lambda s: kl_divergence(base, logits(s)), TARGET, high=LARGEST)
        every = held.next_logits(cache, [Add(self.fit.site, vector, found.strength)])
        raised = (every[-1].double().softmax(-1) - base.double().softmax(-1)).topk(RAISED).indices
        words, raises = (
            [round(float((log_odds(free, tokens) - log_odds(base, tokens)).mean()), 6) for free in every]
            for tokens in (ids, raised)
        )
        return {
            "strength": found.strength, "kl": found.kl, "met": found.met,
            "words": words, "raised": raises,
        }  # fmt: skip


def measured(loaded: LoadedModel, fit: RegionSet, chosen: Mapping[str, int], progress: Progress) -> dict[str, Any]:
    """The table of the study as JSON-able data. ``chosen``: the region of each theme."""
    listed = {theme.key: theme.words for theme in themes()}
    study = Bridge(loaded, fit, folder("studies") / f"bridge-{fit.name}-{fit.manifest['sha256'][:12]}.jsonl")
    order = [(theme, prompt) for prompt in range(len(PROMPTS)) for theme in chosen]
    for n, (theme, prompt) in enumerate(order):
        progress(n / len(order), f"prompt {prompt + 1}, {theme}")
        study.measure(theme, chosen[theme], listed[theme], prompt)
    return {
        "what": "study of the bridge",  # it lies beside fits, and is none
        "model": loaded.facts.label,
        "fit": fit.name,
        "sha256": fit.manifest["sha256"],
        "command": "python -m analysis.build mfa --bridge",
        "target": TARGET,
        "prompts": list(PROMPTS),
        "raised": RAISED,
        **tables(list(chosen), study.kept, len(PROMPTS)),
    }


def tables(chosen: Sequence[str], kept: Mapping[tuple[str, int], Any], prompts: int) -> dict[str, Any]:
    """Effects and shares of every arm over all themes and prompts, on the themes' words and on what each arm raises
    most; what of each stays with one part held; and the region's shares minus the random region's. Means of all cells
    are divided, not means of ratios; intervals: themes and prompts drawn anew."""
    effects = {
        (arm, on): np.array([[kept[theme, n]["arms"][arm][on] for n in range(prompts)] for theme in chosen])
        for arm in ARMS
        for on in ("words", "raised")
    }
    # Means (draws, 8) over all cells, the first of all as they are, the others with themes and prompts drawn anew.
    means = {of: _means(values) for of, values in effects.items()}
    rows = []
    for (arm, on), mean in means.items():
        held = [SETS.index(frozenset(PARTS) - {part}) for part in PARTS]
        rows.append(
            {
                "arm": arm,
                "on": on,
                "effect": _interval(mean[:, -1]),
                "shares": [_interval(share) for share in _shares(mean).T],
                "stays with it held": [_interval(mean[:, n] / mean[:, -1]) for n in held],
                "unmet": sum(not kept[theme, n]["arms"][arm]["met"] for theme in chosen for n in range(prompts)),
            }
        )
    minus = _shares(means["region", "raised"]) - _shares(means["random region", "raised"])
    by_theme = [
        {"theme": theme, "effect": _rounded(mean[-1]), "shares": [_rounded(s) for s in _shares(mean[None])[0]]}
        for theme, mean in zip(chosen, effects["region", "words"].mean(1), strict=True)
    ]
    return {
        "routes": list(ROUTES),
        "arms": rows,
        "region minus random region, on what each raises": [_interval(m) for m in minus.T],
        "themes": by_theme,
    }


def _means(values: np.ndarray) -> np.ndarray:
    """Means (1 + DRAWS, 8) of values (themes, prompts, 8): of all, then with themes and prompts drawn anew, for all
    arms the same ones."""
    drawn = np.random.default_rng(0)
    found = [values.mean((0, 1))]
    for _ in range(DRAWS):
        rows, columns = (drawn.integers(n, size=n) for n in values.shape[:2])
        found.append(values[np.ix_(rows, columns)].mean((0, 1)))
    return np.stack(found)


def _interval(draws: np.ndarray) -> list[float]:
    """The first value, and the 2.5 and 97.5 % points of the rest."""
    return [_rounded(draws[0]), *map(_rounded, np.quantile(draws[1:], [0.025, 0.975]))]


def _shares(means: np.ndarray) -> np.ndarray:
    shares: np.ndarray = shares_of(means) / means[:, -1:]
    return shares


def _rounded(value: float) -> float:
    return round(float(value), 4)
