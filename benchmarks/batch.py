"""Eight steered texts in one batch against one text: tokens per second in turns, and the rows against single runs.

python -m benchmarks.batch
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable
from typing import Any

import torch

from analysis.models.batch import Row
from analysis.models.loaded_model import LoadedModel
from analysis.models.loader import load_model
from analysis.models.sites import Site
from analysis.steering import Add, Arm, generate_batch, generate_stream

PROMPT = "I think that the weather in the mountains"
TOKENS, ROUNDS, ROWS = 24, 5, (2, 4, 8, 16)
TARGET = 3.3
"""Times the speed of one text that eight together should reach on two cores."""


def arms_of(loaded: LoadedModel, rows: int) -> list[Arm]:
    """Texts of one prompt under growing pushes in a random direction, each with a seed of its own."""
    ids = tuple(loaded.tokenizer(PROMPT)["input_ids"])
    push = torch.randn(loaded.facts.hidden, generator=torch.Generator().manual_seed(0))
    site = Site(loaded.facts.layers // 3)
    return [Arm(Row(ids, 0.7, 0.95, n), [Add(site, push, 0.2 * n)] if n else []) for n in range(rows)]


def rate(steps: Iterable[int]) -> float:
    """Tokens per second of what yields how many tokens each step made; the prompt's pass is not decoding."""
    began, tokens = 0.0, 0
    for n, made in enumerate(steps):
        if n == 0:
            began = time.perf_counter()
        else:
            tokens += made
    return tokens / (time.perf_counter() - began)


def single(loaded: LoadedModel, arm: Arm) -> float:
    """The speed of one text by itself."""
    row = arm.row
    made = generate_stream(
        loaded, list(row.ids), TOKENS, temperature=row.temperature, top_p=row.top_p, seed=row.seed,
        interventions=arm.interventions,
    )  # fmt: skip
    return rate(1 for _ in made)


def check(loaded: LoadedModel, arms: list[Arm]) -> float:
    """The largest difference of a row's logits from its own single run; the tokens have to be the same."""
    texts: list[list[Any]] = [[] for _ in arms]
    for steps in generate_batch(loaded, arms, TOKENS):
        for step in steps:
            texts[step.arm].append(step)
    worst = 0.0
    for arm, text in zip(arms, texts, strict=True):
        row = arm.row
        alone = generate_stream(
            loaded, list(row.ids), TOKENS, temperature=row.temperature, top_p=row.top_p, seed=row.seed,
            interventions=arm.interventions,
        )  # fmt: skip
        for a, b in zip(text, alone, strict=True):
            assert a.token == b.token, "a row of the batch is another text than its single run"
            worst = max(worst, float((a.logits - b.logits).abs().max()))
    return worst


def main() -> dict[str, Any]:
    """Print the median ratio for each number of rows, and how far rows are from single runs."""
    loaded = load_model("default")
    arms = arms_of(loaded, max(ROWS))
    found: dict[str, Any] = {"largest difference of logits": check(loaded, arms[:8])}
    ratios: dict[int, list[float]] = {n: [] for n in ROWS}
    speeds: list[float] = []
    for _ in range(ROUNDS):
        one = single(loaded, arms[1])
        speeds.append(one)
        for n in ROWS:
            ratios[n].append(rate(len(steps) for steps in generate_batch(loaded, arms[:n], TOKENS)) / one)
    found["one text, tokens/s"] = statistics.median(speeds)
    found |= {f"{n} texts, times that": statistics.median(values) for n, values in ratios.items()}
    found["target for 8"] = TARGET
    return found


if __name__ == "__main__":
    for name, value in main().items():
        print(f"{name}: {value:.3g}")
