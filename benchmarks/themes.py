"""Does a region steer to its theme? ``python -m benchmarks.themes [--fit block-10] [--themes 20]``.

For the largest themes of the bundled corpus, the log-odds of the theme's own words at equal price (a KL of the
next-token distribution from the unsteered one) are compared between the theme's region, controls, and the difference of
means that was told the themes. The word lists come with the corpus and the region is chosen by the low end of its
purity; no fit or choice has seen a gain. The figures stand in docs/steering.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from analysis.activations.collect import collect
from analysis.activations.recipe import WINDOW
from analysis.corpora.passages import bundled_corpus
from analysis.corpora.themes import themes
from analysis.engine.memory import Memory
from analysis.mfa.build import FITS, TOKENS
from analysis.mfa.evaluate import PROMPTS, Gain, bootstrap, gain_at_kl, word_ids
from analysis.mfa.library import RegionSet, open_fit
from analysis.models.loaded_model import LoadedModel
from analysis.models.loader import load_model
from analysis.models.sites import Site
from analysis.steering import Add, Interpolate, Intervention, PromptCache

TARGET = 0.25
Arm = Callable[[float], list[Intervention]]


def regions_of(fit: RegionSet, theme: str, count: int) -> list[int]:
    """The regions of a theme with the highest low end of its share, best first."""
    rows = [r for r in fit.manifest["regions"] if r["theme"] == theme and r["size"] >= 60 and r["texts"] >= 8]
    return [r["region"] for r in sorted(rows, key=lambda r: -r["purity_low"])[:count]]


def theme_means(loaded: LoadedModel, fit: RegionSet) -> tuple[dict[str, Tensor], dict[str, int], Tensor]:
    """Mean activation and number of activations of each theme, and the mean of all."""
    passages = bundled_corpus()
    sites = [Site(layer) for layer, _, _ in FITS.values()]
    store = collect(loaded, passages, sites, max_tokens=TOKENS, window=WINDOW)
    documents = store.index()[1].long()
    names = sorted({p.theme for p in passages})
    code = torch.tensor([names.index(p.theme) for p in passages])[documents]
    sums, counts, first = torch.zeros(len(names), fit.parameters.width), torch.zeros(len(names)), 0
    for batch in store.batches(fit.site, 8192):
        part = code[first : first + len(batch)]
        sums.index_add_(0, part, batch)
        counts.index_add_(0, part, torch.ones(len(part)))
        first += len(batch)
    means = {name: sums[i] / counts[i] for i, name in enumerate(names)}
    return means, {name: int(counts[i]) for i, name in enumerate(names)}, sums.sum(0) / counts.sum()


def arms_of(fit: RegionSet, theme: str, difference: Tensor, seed: int) -> dict[str, Arm]:
    """What is compared, each as strength in [0, 1] to interventions."""
    site, means, generator = fit.site, fit.parameters.means, torch.Generator().manual_seed(seed)
    best = regions_of(fit, theme, 4)
    away = means[best[0]] - fit.mean
    near = torch.stack([means[k] for k in best]).mean(0)
    other = fit.usable[int(torch.randint(len(fit.usable), (1,), generator=generator))]
    turned = torch.randn(away.shape, generator=generator)
    push = {
        "one region, added": away,
        "four regions, added": near - fit.mean,
        "random region, added": means[other] - fit.mean,
        "random direction, added": turned,
        "difference of means (supervised), added": difference,
    }
    # Four times the centroid's distance is beyond every target, so that a bisection has room.
    sized = {name: 4 * v / v.norm() * away.norm() for name, v in push.items()}
    arms: dict[str, Arm] = {
        "one region, interpolated": lambda a: [Interpolate(site, means[best[0]], a)],
        "four regions, interpolated": lambda a: [Interpolate(site, near, a)],
        "random region, interpolated": lambda a: [Interpolate(site, means[other], a)],
    }
    return arms | {name: partial(_added, site, v) for name, v in sized.items()}


def _added(site: Site, vector: Tensor, strength: float) -> list[Intervention]:
    return [Add(site, vector, strength)]


def _gain(cache: PromptCache, make: Arm, ids: Tensor) -> Gain:
    return gain_at_kl(cache.base_logits, lambda strength: cache.next_logits(make(strength)), ids, TARGET)


def main() -> None:
    """Measure and print the table, in Markdown, then the same as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit", default="block-10")
    parser.add_argument("--themes", type=int, default=20)
    parser.add_argument("--prompts", type=int, default=len(PROMPTS))
    options = parser.parse_args()
    loaded, fit = load_model("default"), open_fit(Memory(), options.fit)
    means, counts, everything = theme_means(loaded, fit)
    largest = sorted(counts, key=lambda name: -counts[name])[: options.themes]
    words = {theme.key: theme.words for theme in themes()}
    caches = [
        PromptCache(loaded, loaded.tokenizer(p)["input_ids"], [fit.site.layer]) for p in PROMPTS[: options.prompts]
    ]
    table: dict[str, list[list[float]]] = {}
    unmet: dict[str, int] = {}
    chosen: dict[str, list[float] | None] = {}
    for number, name in enumerate(largest):
        best = regions_of(fit, name, 1)
        if not best:
            chosen[name] = None
            continue
        row = fit.manifest["regions"][best[0]]
        chosen[name] = [best[0], round(row["purity"], 3), row["size"]]
        ids = word_ids(loaded.tokenizer, words[name])
        for arm, make in arms_of(fit, name, means[name] - everything, number).items():
            gains = [_gain(cache, make, ids) for cache in caches]
            table.setdefault(arm, []).append([g.gain for g in gains])
            unmet[arm] = unmet.get(arm, 0) + sum(not g.met for g in gains)
    print(f"{len(chosen)} themes, {len(caches)} prompts, KL {TARGET} nats, fit {fit.name}\n")
    print("| push | mean log-odds gain of the theme's words, nats | 95 % interval | KL not met |\n|---|---|---|---|")
    rows = {}
    for arm, values in sorted(table.items(), key=lambda t: -sum(map(sum, t[1]))):
        mean, low, high = bootstrap(torch.tensor(values, dtype=torch.float64))
        rows[arm] = {"mean": mean, "low": low, "high": high, "unmet": unmet[arm]}
        print(f"| {arm} | {mean:+.2f} | {low:+.2f} to {high:+.2f} | {unmet[arm]} of {len(values) * len(caches)} |")
    print(json.dumps({"fit": fit.name, "target": TARGET, "arms": rows, "regions": chosen}))


if __name__ == "__main__":
    main()
