"""How much memory do questions about a long prompt take, over what the loaded model takes?

Each operation is asked in a fresh process: the model is loaded, a short prompt is asked about so that everything that
is made once is there, and then the peak of the process's resident memory is held against what it was before the long
prompt.

    python -m benchmarks.long_prompt [--tokens 2048] [--only NAME ...]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FEW = 24
"""Tokens of the short prompt."""


def _forget() -> None:
    """From here on the peak is counted anew, without that of loading."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _status(name: str) -> float:
    """A size in this process's status, in MB: "VmHWM", the most resident memory, or "VmRSS", what is resident now."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(name))) / 1024


def _first(runs: Iterator[Any], batches: int) -> None:
    """The first batches of a run, which take as much memory as all of them: what is kept for later blocks is there."""
    for _ in range(batches):
        if next(runs, None) is None:
            return


def questions(loaded: Any) -> dict[str, Callable[[list[int], list[int]], object]]:
    """What is asked of the ids of a prompt and of another one, by name."""
    import torch

    from analysis.models.ablation import MLP, ablations, plain_logits
    from analysis.models.lens import lens_logits, read_stream
    from analysis.models.patches import patches
    from analysis.models.site_patches import site_patches
    from analysis.models.stream import take_apart
    from analysis.models.trace import trace_prompt
    from analysis.qk.contributions import contributions, pair_values

    some = [(0, 0), (27, 3), (29, MLP)]

    def direct(ids: list[int], _other: list[int]) -> None:
        stream = take_apart(loaded, ids)
        trace, _ = trace_prompt(loaded, ids, False)
        contributions(stream, 5, None)
        pair_values(stream, trace, len(ids) // 2, 5, None, loaded.facts.heads)

    def read(ids: list[int], _other: list[int]) -> None:
        trace_prompt(loaded, ids)

    def lens(ids: list[int], _other: list[int]) -> None:
        stream = read_stream(loaded, torch.tensor([ids]), min(64, len(ids)))
        for _ in lens_logits(loaded, stream, stream.vectors):
            pass

    pairs = [(n, n) for n in (1, 2)]
    return {
        "reading, scores of all heads": read,
        "contributions": direct,
        "plain pass": lambda ids, _: plain_logits(loaded, ids),
        "ablation at the mean": lambda ids, _: list(ablations(loaded, ids, some, "mean")),
        "patching outputs": lambda ids, other: list(patches(loaded, ids, other, some, "output")),
        "patching patterns": lambda ids, other: list(
            patches(loaded, ids, other, [p for p in some if p[1] != MLP], "pattern")
        ),
        "patching residual stream": lambda ids, other: _first(site_patches(loaded, ids, other, pairs, "residual"), 4),
        "lens, 64 tokens": lens,
    }


def one(name: str, tokens: int) -> dict[str, float]:
    """Memory added by one question, in MB, and its seconds."""
    import torch

    from analysis.models.loader import load_model
    from analysis.models.spec import ModelSpec

    loaded = load_model(ModelSpec("default"))
    generator = torch.Generator().manual_seed(0)

    def prompt(count: int) -> list[int]:
        return torch.randint(100, loaded.facts.vocabulary, (count,), generator=generator).tolist()  # type: ignore[no-any-return]

    ask = questions(loaded)[name]
    ask(prompt(FEW), prompt(FEW))
    long, other = prompt(tokens), prompt(tokens)
    _forget()
    before, start = _status("VmRSS"), time.perf_counter()
    ask(long, other)
    return {"added MB": _status("VmHWM") - before, "seconds": time.perf_counter() - start, "loaded MB": before}


def run(tokens: int = 2048, only: list[str] | None = None) -> dict[str, dict[str, float]]:
    """All questions, each in a process of its own."""
    names = only or list(questions(None))
    found: dict[str, dict[str, float]] = {}
    for name in names:
        command = [sys.executable, "-m", "benchmarks.long_prompt", "--tokens", str(tokens), "--one", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        found[name] = json.loads(lines[-1]) if lines else {"failed": 1.0}
        print(
            name, {k: round(v, 1) for k, v in found[name].items()}, done.stderr[-300:] if not lines else "", flush=True
        )
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--one")
    chosen = parser.parse_args()
    if chosen.one:
        print(json.dumps(one(chosen.one, chosen.tokens)))
    else:
        run(chosen.tokens, chosen.only)


if __name__ == "__main__":
    main()
