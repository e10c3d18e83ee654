"""What does steering cost? ``python -m benchmarks.steering_cost``.

Baselines, in turn with what is measured: for decoding, the same loop without interventions; for a slider, a plain pass
of the whole model over the same prompt. A slider at block l needs the blocks above it alone, so its share should be
near (L - l) / L, and a tenth is allowed for the rest. Strength 0 must change not one bit, which is asserted.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from analysis.corpora.passages import bundled_corpus
from analysis.engine.memory import Memory
from analysis.mfa.build import FITS
from analysis.mfa.library import RegionSet, open_fit
from analysis.mfa.settings import RegionSetting, SteeringSettings
from analysis.mfa.steering import interventions_of
from analysis.models.loaded_model import LoadedModel
from analysis.models.loader import load_model
from analysis.steering import Add, Interpolate, Intervention, PromptCache, generate_stream, steer
from benchmarks.timing import interleaved

LENGTHS = (16, 64, 256)
ALLOWED = 0.1  # of a whole pass, above the share of the blocks


def every_slider(fit: RegionSet, strength: float = 0.15, factor: float = 0.5) -> list[Intervention]:
    """Three regions, each with its strength and all of its eight local factors away from zero."""
    regions = tuple(
        RegionSetting(k, strength, tuple(factor * (-1) ** j for j in range(fit.parameters.factors)))
        for k in fit.usable[:3]
    )
    return interventions_of(SteeringSettings(fit=fit.name, regions=regions), fit)


def prompt_of(loaded: LoadedModel, tokens: int) -> list[int]:
    """The first ids of the bundled texts, one after another."""
    ids: list[int] = []
    for passage in bundled_corpus():
        ids += loaded.tokenizer(passage.text)["input_ids"]
        if len(ids) >= tokens:
            break
    return ids[:tokens]


def decoding(loaded: LoadedModel, made: list[Intervention], rounds: int = 7, count: int = 40) -> dict[str, Any]:
    """Tokens per second after the first token, unsteered and steered in turn; ratio steered / unsteered, the median of
    the rounds."""
    ids = prompt_of(loaded, 32)
    rates: dict[str, list[float]] = {"unsteered": [], "steered": []}
    for number in range(rounds + 1):
        order = list(rates) if number % 2 else list(reversed(rates))
        for name in order:
            rate = _rate(loaded, ids, made if name == "steered" else [], count)
            if number:  # the first round warms up
                rates[name].append(rate)
    pairs = zip(rates["steered"], rates["unsteered"], strict=True)
    return {
        "interventions": len(made),
        "unsteered, tokens/s": statistics.median(rates["unsteered"]),
        "steered, tokens/s": statistics.median(rates["steered"]),
        "ratio of speeds": statistics.median(a / b for a, b in pairs),
    }


def slider(loaded: LoadedModel, fit: RegionSet, tokens: int, rounds: int = 9) -> dict[str, Any]:
    """A slider's new distribution against a whole pass over the prompt: ``share`` of its time, and the target."""
    ids, made = prompt_of(loaded, tokens), every_slider(fit)
    cache = PromptCache(loaded, ids, [fit.site.layer])
    batch = torch.tensor([ids], device=loaded.device)

    @torch.no_grad()
    def whole() -> None:
        loaded.model(batch, use_cache=False, logits_to_keep=1).logits[0, -1].float().cpu()

    with steer(loaded, made, prompt_tokens=tokens), torch.no_grad():
        expected = loaded.model(batch, use_cache=False, logits_to_keep=1).logits[0, -1].float().cpu()
    difference = float((cache.next_logits(made) - expected).abs().max())
    assert difference < 1e-3, f"the slider's logits are off by {difference}"
    found = interleaved(whole, lambda: cache.next_logits(made), rounds)
    layers = loaded.facts.layers
    target = (layers - fit.site.layer) / layers + ALLOWED
    return {
        "whole pass, ms": 1000 * found["baseline_s"],
        "slider, ms": 1000 * found["candidate_s"],
        "share": found["ratio"],
        "target": target,
        "met": found["ratio"] <= target,
    }


def untouched(loaded: LoadedModel, fit: RegionSet) -> bool:
    """Assert that strength 0 gives the same bits: one pass, a slider, and decoding, by settings and by operators."""
    ids, zero = prompt_of(loaded, 64), torch.zeros_like(fit.mean)
    site = fit.site
    operators: list[Intervention] = [
        Interpolate(site, fit.parameters.means[0], 0.0),
        Add(site, fit.parameters.means[1], 0.0),
        Add(site, zero, 0.0),
    ]
    batch = torch.tensor([ids], device=loaded.device)
    cache = PromptCache(loaded, ids, [site.layer])
    with torch.no_grad():
        plain = loaded.model(batch, use_cache=False).logits
    steps = list(generate_stream(loaded, ids, 8))
    for made in (operators, every_slider(fit, 0.0, 0.0)):
        with torch.no_grad(), steer(loaded, made, prompt_tokens=len(ids)):
            assert torch.equal(loaded.model(batch, use_cache=False).logits, plain)
        assert torch.equal(cache.next_logits(made), cache.base_logits)
        again = list(generate_stream(loaded, ids, 8, interventions=made))
        assert len(again) == len(steps)
        assert all(a.token == b.token and torch.equal(a.logits, b.logits) for a, b in zip(again, steps, strict=True))
    return True


def _rate(loaded: LoadedModel, ids: list[int], made: list[Intervention], count: int) -> float:
    began, tokens = 0.0, 0
    for tokens, _ in enumerate(generate_stream(loaded, ids, count, interventions=made)):
        if not tokens:  # the prompt's pass is not decoding
            began = time.perf_counter()
    assert tokens >= count // 2, "the text ended too early to be timed"
    return tokens / (time.perf_counter() - began)


def main() -> dict[str, dict[str, Any]]:
    """All three on the default model with the bundled fits."""
    loaded, opened = load_model("default"), Memory()
    fits = [open_fit(opened, name) for name in FITS]
    found: dict[str, dict[str, Any]] = {
        "strength 0": {"bit-identical": untouched(loaded, fits[0])},
        "decoding, every slider of three regions on": {
            **decoding(loaded, every_slider(fits[0])),
            "threads": torch.get_num_threads(),
        },
    }
    for fit in fits:
        for tokens in LENGTHS:
            found[f"slider at block {fit.site.layer}, {tokens} tokens"] = slider(loaded, fit, tokens)
    return found


if __name__ == "__main__":
    for title, facts in main().items():
        print(title, {k: round(v, 3) if isinstance(v, float) else v for k, v in facts.items()})
