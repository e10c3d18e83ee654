"""How much memory do questions about a long prompt take, over what the loaded model takes?

Each operation is asked in a fresh process: the model is loaded, a short prompt is asked about so that everything that
is made once is there, and then the peak of the process's resident memory is held against what it was before the long
prompt. The baseline is the plain pass over the same prompt, of which each row says how many it costs in seconds.

Questions of one pass for each part are asked of a few parts, which stand for the memory of all of them (what is held
for later blocks is there), and not for their seconds; the names of these rows say of how many.

    python -m benchmarks.long_prompt [--tokens 2048 4096] [--only NAME ...]
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
BASELINE = "plain pass"


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
    from analysis.qk.contributions import contributions, pair_heads, pair_values
    from analysis.qk.ops.prompt import MAX_CELLS

    some = [(0, 0), (27, 3), (29, MLP)]
    long: dict[int, Any] = {}  # the recorded pass that later clicks find

    def trace_of(ids: list[int]) -> Any:
        if id(ids) not in long:
            long.clear()
            long[id(ids)] = trace_prompt(loaded, ids, False)[0]
        return long[id(ids)]

    def maps(ids: list[int], _other: list[int]) -> None:
        trace, pool = trace_of(ids), -(-len(ids) // MAX_CELLS)
        for head in range(loaded.facts.heads):
            trace.matrix(18, head, pool)
        for query in range(0, len(ids), max(1, len(ids) // 64)):
            trace.row(18, 6, query)
            pair_heads(trace, query, query // 2, loaded.facts.layers, loaded.facts.heads)

    def direct(ids: list[int], _other: list[int]) -> None:
        stream = take_apart(loaded, ids)
        trace = trace_of(ids)
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
        BASELINE: lambda ids, _: plain_logits(loaded, ids),
        "reading, scores of all heads": read,
        "recording, maps of 9 heads, rows and pairs of 64 queries": maps,
        "recording, contributions and one pair in all heads": direct,
        "ablation at the mean, 3 of 300 parts": lambda ids, _: list(ablations(loaded, ids, some, "mean")),
        "patching outputs, 3 of 300 parts": lambda ids, other: list(patches(loaded, ids, other, some, "output")),
        "patching patterns, 2 of 270 heads": lambda ids, other: list(
            patches(loaded, ids, other, [p for p in some if p[1] != MLP], "pattern")
        ),
        "patching residual stream, 4 batches of all places": lambda ids, other: _first(
            site_patches(loaded, ids, other, pairs, "residual"), 4
        ),
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
    """All questions, or some beside the baseline, each in a process of its own."""
    names = [BASELINE, *(name for name in only or questions(None) if name != BASELINE)]
    found: dict[str, dict[str, float]] = {}
    for name in names:
        command = [sys.executable, "-m", "benchmarks.long_prompt", "--tokens", str(tokens), "--one", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        found[name] = json.loads(lines[-1]) if lines else {"failed": 1.0}
        if "seconds" in found[name] and "seconds" in found[BASELINE]:
            found[name]["plain passes"] = found[name]["seconds"] / found[BASELINE]["seconds"]
        print(
            f"{tokens:,} tokens,",
            name,
            {k: round(v, 1) for k, v in found[name].items()},
            done.stderr[-300:] if not lines else "",
            flush=True,
        )
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tokens", type=int, nargs="+", default=[2048, 4096])
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--one")
    chosen = parser.parse_args()
    if chosen.one:
        print(json.dumps(one(chosen.one, chosen.tokens[0])))
    else:
        for tokens in chosen.tokens:
            run(tokens, chosen.only)


if __name__ == "__main__":
    main()
