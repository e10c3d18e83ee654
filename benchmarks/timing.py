"""Interleaved timing: two things in turn, several rounds, so that a noisy machine disturbs both alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any


def interleaved(baseline: Callable[[], Any], candidate: Callable[[], Any], rounds: int = 5) -> dict[str, float]:
    """Median seconds of both, and the median of the per-round ratios candidate / baseline, after one warm-up each."""
    baseline()
    candidate()
    pairs = []
    for i in range(rounds):
        first, second = (baseline, candidate) if i % 2 == 0 else (candidate, baseline)
        a, b = _seconds(first), _seconds(second)
        pairs.append((a, b) if i % 2 == 0 else (b, a))
    return {
        "baseline_s": statistics.median(a for a, _ in pairs),
        "candidate_s": statistics.median(b for _, b in pairs),
        "ratio": statistics.median(b / a for a, b in pairs),
    }


def _seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
