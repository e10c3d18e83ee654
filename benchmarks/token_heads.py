"""Heads for a predicted token: what it costs to ask, and whether they are ranked as taking them out ranks them.

``python -m benchmarks.token_heads`` times the direct parts of all heads and MLPs, and taking each of them out, beside
whole passes one by one. ``python -m benchmarks.token_heads --study FILE`` asks 40 prompts of each of five kinds, one
line of FILE each, and goes on where FILE ends. The figures stand in docs/attention.md.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from analysis.models.ablation import MLP, Baseline, ablations, parts_of, plain_logits
from analysis.models.first_order import estimated_falls
from analysis.models.loaded_model import LoadedModel
from analysis.models.loader import load_model
from analysis.models.spec import ModelSpec
from analysis.models.stream import take_apart
from analysis.qk.contributions import contributions
from benchmarks.timing import interleaved

PROMPTS = 40
TOP = 5
NAMES = "Mary John Tom James Anna Paul Mark Sarah David Emma Jack Alice Peter Laura Simon Kate".split()
WORDS = "river stone lamp copper window forest apple silver garden bridge candle market winter island".split()
PLACES = (("store", "drink"), ("park", "ball"), ("school", "book"), ("office", "letter"), ("garden", "flower"))
CAPITALS = dict(
    zip(
        "France Germany Spain Italy Japan China Russia Egypt Greece Poland Norway Sweden Austria Portugal".split()
        + "Ireland Cuba Peru Kenya Iran Canada".split(),
        "Paris Berlin Madrid Rome Tokyo Beijing Moscow Cairo Athens Warsaw Oslo Stockholm Vienna Lisbon".split()
        + "Dublin Havana Lima Nairobi Tehran Ottawa".split(),
        strict=True,
    )
)


@dataclass(frozen=True)
class Asked:
    """A prompt, the word that should follow, and the one that it is held against; "" for the mean of all tokens."""

    prompt: str
    right: str
    wrong: str


def indirect_object(draw: random.Random) -> Asked:
    """The name that was not repeated."""
    one, two = draw.sample(NAMES, 2)
    place, thing = draw.choice(PLACES)
    first = draw.sample((one, two), 2)
    return Asked(f"When {first[0]} and {first[1]} went to the {place}, {two} gave a {thing} to", f" {one}", f" {two}")


def greater_than(draw: random.Random) -> Asked:
    """A decade after that of the beginning, over one before it."""
    century, decade = draw.choice(("14", "15", "16", "17", "18")), draw.randint(2, 7)
    what = draw.choice(("war", "siege", "reign", "journey", "strike", "festival"))
    year = f"{century}{decade}{draw.randint(1, 8)}"
    return Asked(f"The {what} lasted from the year {year} to the year {century}", str(decade + 1), str(decade - 1))


def copying(draw: random.Random) -> Asked:
    """The next word of a list, over another word of it."""
    words = draw.sample(WORDS, 5)
    at = draw.randint(1, 3)
    return Asked(
        f"List: {', '.join(words)}. The same list again: {', '.join(words[:at])},", f" {words[at]}", f" {words[at - 1]}"
    )


def induction(draw: random.Random) -> Asked:
    """What followed a word the first time, among words without an order."""
    words = [draw.choice(WORDS) for _ in range(9)]
    words += draw.sample([w for w in WORDS if w not in words], 2)
    return Asked(" ".join([*words, *words[:3], words[-2]]), f" {words[-1]}", "")


def capital(draw: random.Random) -> Asked:
    """A capital over another one."""
    country, other = draw.sample(list(CAPITALS), 2)
    lead = draw.choice(("The capital of {} is", "The capital city of {} is called", "In {}, the capital is"))
    return Asked(lead.format(country), f" {CAPITALS[country]}", f" {CAPITALS[other]}")


KINDS: dict[str, Callable[[random.Random], Asked]] = {
    "indirect object": indirect_object,
    "greater than": greater_than,
    "copying": copying,
    "induction": induction,
    "capital of": capital,
}


def first_token(loaded: LoadedModel, word: str) -> int:
    """The token that a word begins with behind a text."""
    return int(loaded.tokenizer(word, add_special_tokens=False)["input_ids"][0])


def line_of(loaded: LoadedModel, kind: str, number: int, baseline: Baseline) -> dict[str, Any]:
    """What one prompt gives: how far what heads and MLPs write ranks them as the falls without them do."""
    asked = KINDS[kind](random.Random(f"{kind} {number}"))  # noqa: S311
    ids = loaded.tokenizer(asked.prompt)["input_ids"]
    right = first_token(loaded, asked.right)
    wrong = first_token(loaded, asked.wrong) if asked.wrong else None
    parts = contributions(take_apart(loaded, ids), right, wrong)
    before = plain_logits(loaded, ids).double()

    def over(logits: torch.Tensor) -> float:
        return float(logits[right] - (logits.mean() if wrong is None else logits[wrong]))

    heads, mlps = np.full(tuple(parts.heads.shape), np.nan), np.full(len(parts.mlps), np.nan)
    for batch in ablations(loaded, ids, parts_of(loaded), baseline):
        for one in batch:
            fall = over(before) - over(one.logits.double())
            if one.head == MLP:
                mlps[one.layer] = fall
            else:
                heads[one.layer, one.head] = fall
    guess, guess_mlps = (part.numpy() for part in estimated_falls(loaded, ids, right, wrong, baseline))
    return {
        "kind": kind,
        "number": number,
        "baseline": baseline,
        "difference": over(before),
        "remainder": abs(parts.remainder),
        "heads written": _agreement(parts.heads.numpy(), heads),
        "heads estimated": _agreement(guess, heads),
        "MLPs written": _agreement(parts.mlps.numpy(), mlps),
        "MLPs estimated": _agreement(guess_mlps, mlps),
        "falls": heads.round(3).tolist(),
    }


def _agreement(ranked: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Spearman's rank correlation, and which share of the first five by one are among the first five by the other."""
    a, b = ranked.ravel(), truth.ravel()
    first = [set(np.argsort(-values)[:TOP].tolist()) for values in (a, b)]
    return {"rank": float(spearmanr(a, b).statistic), "top": len(first[0] & first[1]) / TOP, "chance": TOP / len(a)}


def study(path: Path, baseline: Baseline) -> None:
    """Ask every prompt that has no line yet; a last line that was cut off is written again."""
    loaded = load_model(ModelSpec())
    lines = _lines(path)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    done = {(line["kind"], line["number"], line["baseline"]) for line in lines}
    with path.open("a", encoding="utf-8") as file:
        for number in range(PROMPTS):
            for kind in KINDS:
                if (kind, number, baseline) not in done:
                    file.write(json.dumps(line_of(loaded, kind, number, baseline)) + "\n")
                    file.flush()


def _lines(path: Path) -> list[dict[str, Any]]:
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return lines


def summary(lines: list[dict[str, Any]]) -> list[str]:
    """One line per kind and baseline: means over prompts with 95 % intervals, prompts drawn anew 2,000 times."""
    out = []
    for kind, baseline in sorted({(line["kind"], line["baseline"]) for line in lines}):
        rows = [line for line in lines if (line["kind"], line["baseline"]) == (kind, baseline)]
        preferred = sum(line["difference"] > 0 for line in rows)
        text = f"{kind}, {baseline}: {len(rows)} prompts, {preferred} with the right token ahead"
        for part in ("heads written", "heads estimated", "MLPs written", "MLPs estimated"):
            for name in ("rank", "top"):
                values = np.array([line[part][name] for line in rows])
                draws = np.random.default_rng(0).choice(values, (2000, len(values))).mean(1)
                low, high = np.quantile(draws, [0.025, 0.975])
                text += f"; {part} {name} {values.mean():.2f} [{low:.2f}, {high:.2f}]"
            text += f" (chance {rows[0][part]['chance']:.2f})"
        out.append(text)
    return out


def times(tokens: int = 32, passes: int = 30, rounds: int = 3) -> dict[str, Any]:
    """Seconds for the parts of a logit, and for all heads and MLPs taken out beside as many whole passes; ``passes``
    of those are timed, in turn with a tenth of the parts."""
    loaded = load_model(ModelSpec())
    text = "The sun was warm and the friends had walked for an hour along the river. " * 4
    ids = loaded.tokenizer(text)["input_ids"][:tokens]
    parts = parts_of(loaded)
    some = parts[:: len(parts) // passes][:passes]
    one = torch.tensor([ids])

    def naive() -> None:
        for _ in some:
            loaded.forward(one, logits=True)

    def split() -> None:
        contributions(take_apart(loaded, ids), 5, None)

    def taken_out() -> None:
        for _ in ablations(loaded, ids, parts, "zero"):
            pass

    split()
    seconds = min(_seconds(split) for _ in range(5))
    ratio = interleaved(naive, taken_out, rounds)
    began = time.process_time()
    taken_out()
    processor = time.process_time() - began
    return {
        "tokens": len(ids),
        "heads and MLPs": len(parts),
        "direct parts, s": seconds,
        "all taken out, s": ratio["candidate_s"],
        "all taken out, processor s": processor,
        "whole passes one by one, s": ratio["baseline_s"] * len(parts) / len(some),
        "all taken out, share of whole passes": ratio["ratio"] * len(some) / len(parts),
    }


def _seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def main() -> dict[str, dict[str, Any]]:
    """The times of one run."""
    return {"heads for a predicted token": times()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=Path, help="file of lines; goes on where it ends")
    parser.add_argument("--baseline", choices=("zero", "mean"), default="mean")
    parser.add_argument("--summary", type=Path, help="print what a file of lines says")
    options = parser.parse_args()
    if options.study:
        study(options.study, options.baseline)
    if options.study or options.summary:
        print("\n".join(summary(_lines(options.study or options.summary))))
    else:
        for what, value in times().items():
            print(f"{what}: {value:.4g}" if isinstance(value, float) else f"{what}: {value}")
