"""What does steering with a feature do that cheaper directions do not? ``python -m benchmarks.feature_steering``.

Features are drawn at random among those that have a theme, for each bundled factorization. Each of them, at either
pole, and each baseline get the strength at which the next token moves by the same KL, the mean over several prompts
that have nothing to do with any theme. Then two sets of tokens are looked at: the tokens that the feature's own weights
promote, which favours the feature, and the words that stand out in the theme's passages, which favours the difference
of means, since it knows them. The gain is that of their log-odds, the mean over the prompts. The nulls are the mean of
several draws. Intervals: 95 %, features drawn again. Writes ``analysis/data/features/steering.json``, which the page
reads; ``--features N`` for another number of features of each factorization.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.activations.collect import tokens_of
from analysis.corpora.passages import bundled_corpus
from analysis.engine.memory import Memory
from analysis.errors import UserError
from analysis.models.loaded_model import LoadedModel
from analysis.models.loader import load_model
from analysis.snmf.build import FITS
from analysis.snmf.directions import ARMS, direction_of, theme_of
from analysis.snmf.library import BUNDLED, Factorization, fit_for
from analysis.snmf.ops.steer import typical
from analysis.snmf.steering import calibrated, interventions_of
from analysis.steering import PromptCache, kl_divergences

PROMPTS = (
    "I think that",
    "Yesterday we talked about a",
    "My friend told me that",
    "In the end, there was only one",
    "Many people say that the",
    "The first thing you should know is that",
)
TARGETS = (0.1, 0.25, 0.5)
SHOWN = 0.25
DRAWS = {"random sparse": 2, "shuffled neurons": 2}
PROMOTED, WORDS = 20, 30
OUTCOMES = ("promoted tokens", "theme words")
COMMAND = "python -m benchmarks.feature_steering"


@dataclass(frozen=True)
class Trial:
    """One feature, pole, target and direction: ``gains`` in log-odds by outcome, and whether the target was met."""

    fit: str
    feature: int
    pole: int
    target: float
    arm: str
    met: bool
    gains: tuple[float, ...]


def main(features: int = 12) -> dict[str, dict[str, Any]]:
    """Measure all bundled factorizations, and write what was found."""
    loaded, memory = load_model("default"), Memory()
    fits, trials = [], []
    for name in FITS:
        try:
            fits.append(fit_for(memory, loaded, name))
        except UserError as error:
            sys.stderr.write(f"{name}: {error.message}\n")
    words = theme_words(loaded)
    for fit in fits:
        trials += measure(loaded, memory, fit, words, features)
    sentences = {fit.name: sentence(trials, fit.name) for fit in fits}
    table = {
        "model": loaded.facts.label,
        "command": COMMAND,
        "fits": [{"name": fit.name, "sha256": fit.key[1]} for fit in fits],
        "prompts": list(PROMPTS),
        "draws": DRAWS,
        "rows": rows_of(trials),
        "sentences": sentences,
        "sentence": sentence(trials, "all"),
    }
    BUNDLED.mkdir(parents=True, exist_ok=True)
    text = json.dumps(table, indent=1, ensure_ascii=False, allow_nan=False)
    (BUNDLED / "steering.json").write_text(text + "\n", encoding="utf-8")
    met = {f"target {t:g} met": _share(x.met for x in trials if x.target == t) for t in TARGETS}
    return {f"steering with features, {f}": {"": s} for f, s in sentences.items()} | {"KL targets": met}


def measure(
    loaded: LoadedModel, memory: Memory, fit: Factorization, words: dict[str, list[int]], features: int
) -> list[Trial]:
    """All trials of some features of one factorization."""
    lowest = fit.site.layer - (fit.site.kind != "residual")
    caches = [PromptCache(loaded, loaded.tokenizer(text)["input_ids"], [lowest]) for text in PROMPTS]
    base = torch.stack([cache.base_logits for cache in caches])
    able = [row.feature for row in fit.rows() if row.theme and fit.neurons(row.feature)]
    drawn = sorted(np.random.default_rng(0).permutation(able)[:features].tolist())
    found, began = [], time.perf_counter()
    for number, feature in enumerate(drawn):
        theme = torch.tensor(words[theme_of(fit, feature)])
        for arm in ARMS:
            for seed in range(DRAWS.get(arm, 1)):
                vector = direction_of(arm, memory, loaded, fit, feature, seed).vector
                for pole in (1, -1):
                    own = fit.arrays["plus" if pole == 1 else "minus"][feature][:PROMOTED].long()
                    start = typical(fit, feature)
                    for i, target in enumerate(TARGETS):
                        met, strength, steered = at_target(caches, fit, vector, pole, target, start)
                        gains = (gain(base, steered, own), pole * gain(base, steered, theme))
                        found.append(Trial(fit.name, feature, pole, target, arm, met, gains))
                        start = strength * (TARGETS[min(i + 1, len(TARGETS) - 1)] / target) ** 0.5
        seconds = time.perf_counter() - began
        sys.stderr.write(f"{fit.name}: {number + 1} of {len(drawn)} features, {seconds:.0f} s\n")
    return found


def at_target(
    caches: Sequence[PromptCache], fit: Factorization, vector: Tensor, pole: int, target: float, start: float
) -> tuple[bool, float, Tensor]:
    """Whether the mean KL over the prompts meets the target, the strength, and the logits (P, V) there."""
    base = torch.stack([cache.base_logits for cache in caches])
    made: dict[float, Tensor] = {}

    def price(strength: float) -> float:
        interventions = interventions_of(fit.site, vector, pole, strength)
        made[strength] = torch.stack([cache.next_logits(interventions) for cache in caches])
        return float(kl_divergences(base, made[strength]).mean())

    found = calibrated(price, target, start)
    return found.met, found.strength, made[found.strength]


def gain(base: Tensor, steered: Tensor, tokens: Tensor) -> float:
    """Change of the log-odds that the next token is one of ``tokens``, the mean over prompts; logits are (P, V)."""

    def odds(logits: Tensor) -> Tensor:
        logits = logits.double()
        inside = torch.zeros(logits.shape[1], dtype=torch.bool)
        inside[tokens] = True
        return logits[:, inside].logsumexp(1) - logits[:, ~inside].logsumexp(1)

    return float((odds(steered) - odds(base)).mean())


def theme_words(loaded: LoadedModel) -> dict[str, list[int]]:
    """For each theme of the bundled corpus the tokens, whole words with a blank before, that stand out in it most: by
    what they add to the divergence of its tokens from the corpus's, p ln(p / q)."""
    passages = bundled_corpus()
    counts: dict[str, np.ndarray] = {}
    for passage, ids in zip(passages, tokens_of(loaded, passages), strict=True):
        row = counts.setdefault(passage.theme, np.zeros(loaded.facts.vocabulary))
        np.add.at(row, ids, 1)
    total = sum(counts.values())
    assert isinstance(total, np.ndarray)
    pieces = loaded.tokenizer.convert_ids_to_tokens(list(range(loaded.facts.vocabulary)))
    word = np.array([bool(p) and p[0] in "Ġ▁" and len(p) > 3 and p[1:].isalpha() for p in pieces])
    found = {}
    for theme, row in counts.items():
        p, q = row / row.sum(), total / total.sum()
        score = np.where(word & (row >= 5), p * np.log(np.maximum(p, 1e-12) / np.maximum(q, 1e-12)), -1.0)
        found[theme] = [int(i) for i in np.argsort(-score)[:WORDS]]
    return found


def rows_of(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """One row for each factorization (and all), pole, target, outcome and direction: ``gain`` with its interval,
    ``ahead``, by how much the feature is ahead of it at equal KL, with its interval, and the share ``met``."""
    rows: list[dict[str, Any]] = []
    for fit in ("all", *dict.fromkeys(t.fit for t in trials)):
        for pole in (1, -1):
            for target in TARGETS:
                for outcome, name in enumerate(OUTCOMES):
                    some = [t for t in trials if t.pole == pole and t.target == target and fit in ("all", t.fit)]
                    values = {arm: by_feature(some, arm, outcome) for arm in ARMS}
                    for arm in ARMS:
                        row: dict[str, Any] = {"fit": fit, "pole": pole, "target": target, "outcome": name, "arm": arm}
                        ahead = values["feature"] - values[arm]
                        row |= {"features": int(np.isfinite(ahead).sum())}
                        row |= _numbers("gain", values[arm])
                        row |= _numbers("ahead", ahead) if arm != "feature" else {}
                        row["met"] = round(_share(t.met for t in some if t.arm == arm), 4)
                        rows.append(row)
    return rows


def by_feature(trials: Sequence[Trial], arm: str, outcome: int) -> np.ndarray:
    """The gain of each feature (F,), the mean of the draws; NaN where a target was not met, since the KL differs."""
    names = list(dict.fromkeys((t.fit, t.feature) for t in trials))
    found = np.full(len(names), np.nan)
    for i, name in enumerate(names):
        mine = [t for t in trials if (t.fit, t.feature) == name and t.arm == arm]
        if mine and all(t.met for t in mine):
            found[i] = np.mean([t.gains[outcome] for t in mine])
    return found


def sentence(trials: Sequence[Trial], fit: str) -> str:
    """What the measurement says, for the reader of the page."""
    rows = [r for r in rows_of(trials) if r["fit"] == fit and r["target"] == SHOWN and r["pole"] == 1]
    said = []
    for outcome, what in zip(OUTCOMES, ("the tokens that it promotes", "the words of its theme"), strict=True):
        mine = {r["arm"]: r for r in rows if r["outcome"] == outcome}
        own, others = mine["feature"], [f"{mine[a]['gain']:+.2f} with {a}" for a in ARMS[1:]]
        low, high = own["gain_low"], own["gain_high"]
        said.append(
            f"{what} gain {own['gain']:+.2f} nats of log-odds [{low:+.2f}, {high:+.2f}] with the feature, "
            + ", ".join(others)
        )
    met = _share(t.met for t in trials if fit in ("all", t.fit))
    return (
        f"at {SHOWN:g} nats and the plus pole, {'; '.join(said)} ({own['features']} features, {len(PROMPTS)} prompts; "
        f"targets {', '.join(f'{t:g}' for t in TARGETS)} met in {met:.0%} of all trials)."
    )


def _numbers(name: str, values: np.ndarray) -> dict[str, float | None]:
    """Mean and 95 % interval over features drawn again; None without any."""
    good = values[np.isfinite(values)]
    if not len(good):
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    drawn = good[np.random.default_rng(0).integers(0, len(good), (2000, len(good)))].mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {name: round(float(good.mean()), 4), f"{name}_low": round(low, 4), f"{name}_high": round(high, 4)}


def _share(flags: Any) -> float:
    kept = list(flags)
    return sum(kept) / len(kept) if kept else 0.0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Steering with features beside its baselines, at equal KL.")
    parser.add_argument("--features", type=int, default=12)
    for title, facts in main(parser.parse_args().features).items():
        print(title, facts)
