"""How close do responsibilities come to the speed of a matrix product? ``python -m benchmarks.mfa_density [--cuda]``.

Baseline: plain float32 products in the same run, one of the same shapes and a square one, whichever is faster. Counted
are the 2 N D K (R + 1) operations of the one product that responsibilities need; squares, sums and softmax come free in
this count, so the share says what they cost. Mixture and activations are synthetic: no number depends on them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from analysis.mfa.density import Density
from analysis.mfa.parameters import Parameters

SQUARE = 2048


def synthetic(regions: int, width: int, factors: int, device: torch.device) -> Parameters:
    """A random mixture with shared noise, float32, made where it is used."""
    generator = torch.Generator(device).manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, device=device)

    loadings = normal(regions, width, factors).mul_(width**-0.5)
    weights = torch.full((regions,), 1 / regions, device=device)
    return Parameters(weights, normal(regions, width), loadings, torch.full((width,), 0.5, device=device))


def run(
    device: torch.device, regions: int = 512, factors: int = 10, width: int = 576, points: int = 20_000, rounds: int = 7
) -> dict[str, Any]:
    """Rates in 1e9 operations per second; ``share`` of the best round each, ``share, medians`` of the middle ones."""
    parameters = synthetic(regions, width, factors, device)
    density = Density(parameters, torch.zeros_like(parameters.means[0]))
    generator = torch.Generator(device).manual_seed(1)
    x = torch.randn(points, width, generator=generator, device=device)
    x += parameters.means[torch.randint(regions, (points,), generator=generator, device=device)]
    del parameters
    columns = regions * (factors + 1)
    matrix = torch.randn(width, columns, device=device)
    out = torch.empty(points, columns, device=device)
    left, right = torch.randn(SQUARE, SQUARE, device=device), torch.randn(SQUARE, SQUARE, device=device)
    square = torch.empty_like(left)
    operations = 2.0 * points * width * columns
    found = density.responsibilities(x)
    assert bool(torch.allclose(found.sum(1), torch.ones(points, device=device), atol=1e-4))
    del found
    calls: dict[str, tuple[Callable[[], Any], float]] = {
        "responsibilities": (lambda: density.responsibilities(x), operations),
        "product, same shapes": (lambda: torch.mm(x, matrix, out=out), operations),
        # As many square ones as make about as many operations, so that all are timed over a like span.
        "product, square": (lambda: _repeat(left, right, square, operations), _repeats(operations) * 2.0 * SQUARE**3),
    }
    rates: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, (call, work) in calls.items():
            seconds = _seconds(call, device)
            if number:  # the first round warms up
                rates[name].append(work / seconds / 1e9)
    ours = rates.pop("responsibilities")
    best, middle = (max(pick(r) for r in rates.values()) for pick in (max, statistics.median))
    return {
        "K": regions,
        "R": factors,
        "D": width,
        "N": points,
        "threads": torch.get_num_threads() if device.type == "cpu" else torch.cuda.get_device_name(),
        "responsibilities, Gflop/s": max(ours),
        **{f"{name}, Gflop/s": max(r) for name, r in rates.items()},
        "share": max(ours) / best,
        "share, medians": statistics.median(ours) / middle,
        "activations per second": max(ours) * 1e9 / (2.0 * width * columns),
    }


def _repeats(operations: float) -> int:
    return max(1, round(operations / (2.0 * SQUARE**3)))


def _repeat(left: torch.Tensor, right: torch.Tensor, out: torch.Tensor, operations: float) -> None:
    for _ in range(_repeats(operations)):
        torch.mm(left, right, out=out)


def _seconds(call: Callable[[], Any], device: torch.device) -> float:
    _wait(device)
    began = time.perf_counter()
    call()
    _wait(device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> dict[str, dict[str, Any]]:
    """The default sizes on the CPU; with --cuda also those of a large mixture of Llama-3.1-8B on a GPU."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cuda", action="store_true")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_known_args()[0]
    found = {"responsibilities, float32, CPU": run(torch.device("cpu"), rounds=options.rounds)}
    if options.cuda:
        name = "responsibilities, float32, GPU"
        if torch.cuda.is_available():
            found[name] = run(torch.device("cuda"), 8000, 10, 4096, 8192, options.rounds)
        else:
            found[name] = {"skipped": "There is no GPU on this machine, so only the CPU was measured."}
    return found


if __name__ == "__main__":
    for title, facts in main().items():
        print(title, {k: round(v, 3) if isinstance(v, float) else v for k, v in facts.items()})
