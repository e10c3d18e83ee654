"""Do local factors tell kinds of a theme apart? ``python -m benchmarks.kinds [--fit block-10]``.

For every region whose members hold two or more kinds of at least a tenth each, the centroid strength is fixed and one
factor slider goes from end to end; the change in log-odds between the words of the two largest kinds, of the factor
that moves it most, is compared with the same for random rotations of the same loadings, which span the same space.
"""

from __future__ import annotations

import argparse
import json

import torch
from torch import Tensor

from analysis.corpora.themes import themes
from analysis.engine.memory import Memory
from analysis.mfa.evaluate import PROMPTS, bootstrap, log_odds, word_ids
from analysis.mfa.library import RegionSet, open_fit
from analysis.models.loader import load_model
from analysis.steering import Add, Interpolate, Intervention, PromptCache

STRENGTH, END = 0.4, 4.0


def movements(
    fit: RegionSet, region: int, steps: Tensor, words: tuple[Tensor, Tensor], caches: list[PromptCache]
) -> Tensor:
    """For each step (n, D), the change of the kinds' log-odds from -step to +step, averaged over prompts: (n,)."""
    centroid = fit.parameters.means[region]
    found = torch.zeros(len(steps), dtype=torch.float64)
    for cache in caches:
        for j, step in enumerate(steps):
            ends = []
            for sign in (1.0, -1.0):
                made: list[Intervention] = [Interpolate(fit.site, centroid, STRENGTH), Add(fit.site, step, sign)]
                logits = cache.next_logits(made)
                ends.append(log_odds(logits, words[0]).mean() - log_odds(logits, words[1]).mean())
            found[j] += (ends[0] - ends[1]) / len(caches)
    return found


def rotated_steps(fit: RegionSet, region: int, seed: int) -> Tensor:
    """Steps (R, D) of END spreads along randomly rotated loadings, the spread of each from those of the principal ones
    (whose scores are uncorrelated up to sampling)."""
    factors = fit.parameters.factors
    gaussian = torch.randn(factors, factors, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    q, r = torch.linalg.qr(gaussian)
    q = (q * r.diagonal().sign()).float()
    spread = (q.square() * fit.spread("principal")[region][:, None].square()).sum(0).sqrt()
    steps: Tensor = ((fit.parameters.loadings[region] @ q) * spread * END).T
    return steps


def main() -> None:
    """Measure all such regions and print a table and JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit", default="block-10")
    parser.add_argument("--rotations", type=int, default=4)
    parser.add_argument("--prompts", type=int, default=3)
    options = parser.parse_args()
    loaded, fit = load_model("default"), open_fit(Memory(), options.fit)
    words = {f"{k.theme}: {k.name}": word_ids(loaded.tokenizer, k.words) for t in themes() for k in t.kinds}
    caches = [
        PromptCache(loaded, loaded.tokenizer(p)["input_ids"], [fit.site.layer]) for p in PROMPTS[: options.prompts]
    ]
    rows = []
    for row in fit.manifest["regions"]:
        named = [name for name, _ in row["kinds"]]
        if len(named) < 2 or row["character"] == "small":
            continue
        pair = (words[named[0]], words[named[1]])
        k = row["region"]
        own = {r: (fit.rotated(r).loadings[k] * fit.spread(r)[k] * END).T for r in ("principal", "varimax")}
        best = {r: float(movements(fit, k, steps, pair, caches).abs().max()) for r, steps in own.items()}
        null = [
            float(movements(fit, k, rotated_steps(fit, k, 100 * k + n), pair, caches).abs().max())
            for n in range(options.rotations)
        ]
        rows.append({"region": k, "kinds": named[:2], **best, "random": sum(null) / len(null)})
        print(f"{k:4d} {best['principal']:.2f} {best['varimax']:.2f} {rows[-1]['random']:.2f} {named[:2]}", flush=True)
    print(
        f"\n{len(rows)} regions with two or more kinds, strength {STRENGTH}, slider from -{END:g} to +{END:g} spreads"
    )
    print(
        "| axes | log-odds between kinds, nats | minus random rotation, 95 % interval | further in |\n|---|---|---|---|"
    )
    random = torch.tensor([r["random"] for r in rows], dtype=torch.float64)
    for axes in ("principal", "varimax"):
        values = torch.tensor([r[axes] for r in rows], dtype=torch.float64)
        mean, low, high = bootstrap((values - random)[:, None])
        share = int((values > random).sum())
        print(f"| {axes} | {values.mean():.2f} | {mean:+.2f} ({low:+.2f} to {high:+.2f}) | {share} of {len(rows)} |")
    print(f"| random rotation | {random.mean():.2f} | | |")
    print(json.dumps({"fit": fit.name, "rows": rows}))


if __name__ == "__main__":
    main()
