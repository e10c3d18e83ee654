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
    shape = (len(chosen), prompts)
    rows = []
    for (arm, on), values in effects.items():
        stays = [SETS.index(frozenset(PARTS) - {part}) for part in PARTS]
        rows.append(
            {
                "arm": arm,
                "on": on,
                "effect": _interval(lambda w, v=values: _mean(v[..., -1], w), shape),
                "shares": [_interval(lambda w, v=values, r=r: _shares(v, w)[r], shape) for r in range(4)],
                "stays with it held": [
                    _interval(lambda w, v=values, n=n: _mean(v[..., n], w) / _mean(v[..., -1], w), shape) for n in stays
                ],
                "unmet": sum(not kept[theme, n]["arms"][arm]["met"] for theme in chosen for n in range(prompts)),
            }
        )
    own, other = effects["region", "raised"], effects["random region", "raised"]
    minus = [_interval(lambda w, r=r: _shares(own, w)[r] - _shares(other, w)[r], shape) for r in range(4)]
    by_theme = [
        {"theme": theme, "effect": _rounded(v[:, -1].mean()), "shares": [_rounded(s) for s in _by(v)]}
        for theme, v in zip(chosen, effects["region", "words"], strict=True)
    ]
    return {"routes": list(ROUTES), "arms": rows, "region minus random region, on what each raises": minus,
            "themes": by_theme}  # fmt: skip


def _interval(measure: Any, shape: tuple[int, int]) -> list[float]:
    """A measure of weights (themes, prompts), and the 2.5 and 97.5 % points of it, themes and prompts drawn anew."""
    drawn = np.random.default_rng(0)
    found = [measure(np.ones(shape))]
    for _ in range(DRAWS):
        themes_, prompts = (np.bincount(drawn.integers(n, size=n), minlength=n) for n in shape)
        found.append(measure(np.outer(themes_, prompts)))
    low, high = np.quantile(found[1:], [0.025, 0.975])
    return [_rounded(found[0]), _rounded(low), _rounded(high)]


def _mean(values: np.ndarray, weights: np.ndarray) -> float:
    return float((values * weights).sum() / weights.sum())


def _shares(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    mean = (values * weights[..., None]).sum((0, 1)) / weights.sum()
    shares: np.ndarray = shares_of(mean[None])[0] / mean[-1]
    return shares


def _by(values: np.ndarray) -> np.ndarray:
    return _shares(values[None], np.ones((1, len(values))))


def _rounded(value: float) -> float:
    return round(float(value), 4)
