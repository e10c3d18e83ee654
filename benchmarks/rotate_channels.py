"""Does the fast optimiser end where the published one ends, and for how much? ``python -m benchmarks.rotate_channels``

Three descents to the first channel of neurons of a late block of the default model, on the same threads: the published
recipe (AdamW at 8e-4) from two starts, the lower loss kept; the fast one from the same two starts; and, for the clock
only, a plain loop over single neurons with autograd. The published recipe goes down for all neurons at once here, which
changes its losses by nothing and its seconds in its favour.

A step of the plain loop is timed on three neurons, before and after the fast way, and counted as often as the recipe
needs steps: at least 2,000, since it is not asked before then whether the loss has settled, and up to the number after
which this batch had settled. Both are given; so is the loss that the recipe has reached after its least number of
steps. One start is counted for the loop, as the paper has one, and two for the fast way.

With ``--ablation`` the study of docs/neurons.md as well: what falls in the running model without a channel.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import Any

import torch
from torch import Tensor

from analysis.corpora.passages import bundled_corpus
from analysis.engine.memory import Memory
from analysis.models.loader import load_model
from analysis.rotate.ablation import WHOLE, ablation_study
from analysis.rotate.channels import VocabularyChannels
from analysis.rotate.descent import adamw
from analysis.rotate.lbfgs import lbfgs
from analysis.rotate.library import NeuronLibrary, open_library
from analysis.rotate.moments import projected_moments
from analysis.rotate.objective import Objective, reflect, signed_log
from analysis.rotate.objective import kurtosis as kurtosis_of
from analysis.rotate.removal import ARMS, Case, other_tokens
from analysis.rotate.vectors import NeuronVectors

CLOSE = 0.01
LEAST_STEPS = 2_000
STARTS = 2


def chosen(vectors: NeuronVectors, layer: int, kind: str, count: int) -> tuple[Tensor, list[str]]:
    """Numbers of neurons (N,), half of them at random and half of the highest kurtosis, and which is which."""
    found = vectors.vectors(layer, kind)
    kurt, _ = projected_moments(found, vectors.projection(layer))
    high = kurt.argsort(descending=True)[: count // 2]
    rest = torch.randperm(len(found), generator=torch.Generator().manual_seed(layer))
    rest = rest[~torch.isin(rest, high)][: count - len(high)]
    return torch.cat([high, rest]), ["high kurtosis"] * len(high) + ["random"] * len(rest)


def plain_step_seconds(w: Tensor, U: Tensor, m: Tensor, steps: int) -> float:
    """Seconds of one AdamW step of one neuron, with autograd and whole projections as the definition has them."""
    u = torch.randn(len(w), generator=torch.Generator().manual_seed(0)).requires_grad_()
    optimiser = torch.optim.AdamW([u], lr=8e-4, weight_decay=0.01)
    began = 0.0
    for step in range(steps + 3):
        if step == 3:
            began = time.perf_counter()
        optimiser.zero_grad()
        r = reflect(w, u)
        loss = -0.3 * signed_log(kurtosis_of(m * (U @ r))) + 1 - torch.nn.functional.cosine_similarity(r, w, dim=0)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return (time.perf_counter() - began) / steps


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Losses, evaluations and seconds of both ways."""
    vectors = NeuronVectors(load_model("default"))
    U = vectors.projection(options.layer)
    library = open_library(Memory(), vectors.loaded.facts.fingerprint)
    m = torch.ones(len(U)) if library is None else library.token_weights(library.projection_of(options.layer), len(U))
    numbers, groups = chosen(vectors, options.layer, "down", options.neurons)
    W = vectors.vectors(options.layer, "down")[numbers]
    objective = Objective(W, U, m)
    neuron = torch.arange(len(W)).repeat_interleave(STARTS)
    start = torch.randn(len(neuron), W.shape[1], generator=torch.Generator().manual_seed(options.seed))

    loop = [plain_step_seconds(w, U, m, options.timed_steps) for w in W[:3]]
    began = time.perf_counter()
    fast = lbfgs(objective, start, neuron)
    fast_seconds = time.perf_counter() - began
    loop += [plain_step_seconds(w, U, m, options.timed_steps) for w in W[:3]]
    began = time.perf_counter()
    slow = adamw(objective, start, neuron, max_steps=options.max_steps)
    slow_seconds = time.perf_counter() - began

    steps = int(slow.evaluations[0])
    step = sum(loop) / len(loop)
    reached = fast.loss.view(-1, STARTS).amin(1)
    reference = slow.loss.view(-1, STARTS).amin(1)
    early = slow.trace[slow.steps.tolist().index(min(LEAST_STEPS, int(slow.steps[-1])))][:, 0].view(-1, STARTS).amin(1)
    found: dict[str, Any] = {
        "model": vectors.loaded.facts.label,
        "block": options.layer,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "token weights": "none" if library is None else "those that come with Attune",
        "neurons": len(W),
        "fast: evaluations of a start": float(fast.evaluations.double().mean()),
        "fast: seconds per channel": fast_seconds / len(W),
        "recipe: steps until all had settled": steps,
        "recipe, all neurons in one batch: seconds per channel": slow_seconds / len(W),
        "plain loop: seconds per step": step,
        "plain loop: seconds per channel, 2,000 steps": step * LEAST_STEPS,
        f"plain loop: seconds per channel, {steps:,} steps": step * steps,
        "times less, against 2,000 steps": step * LEAST_STEPS * len(W) / fast_seconds,
        f"times less, against {steps:,} steps": step * steps * len(W) / fast_seconds,
    }
    for name in ("high kurtosis", "random", "all"):
        rows = torch.tensor([name in ("all", group) for group in groups])
        found[f"{name}: neurons within {CLOSE} of the reference loss"] = _share(
            (reached - reference).abs() < CLOSE, rows
        )
        found[f"{name}: neurons as low or lower than reference + {CLOSE}"] = _share(reached < reference + CLOSE, rows)
        found[f"{name}: same after 2,000 steps of the recipe"] = _share((reached - early).abs() < CLOSE, rows)
        found[f"{name}: mean loss, fast and reference"] = [float(v[rows].mean()) for v in (reached, reference)]
    return found


def _share(hit: Tensor, rows: Tensor) -> str:
    return f"{int(hit[rows].sum())} of {int(rows.sum())}"


def ablation(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Drops of channels beyond the null, and of channels that are not, for what neurons write and what they read."""
    vectors = NeuronVectors(load_model("default"))
    library = open_library(Memory(), vectors.loaded.facts.fingerprint)
    if library is None:
        raise SystemExit("The default model's neurons have not been measured: run python -m analysis.build rotate.")
    tokenizer: Any = vectors.loaded.tokenizer
    texts = [list(tokenizer(p.text)["input_ids"])[:128] for p in bundled_corpus()]
    found: dict[str, dict[str, Any]] = {}
    for kind in ("down", "gate"):
        cases = _cases(vectors, library, options.layer, kind, options.neurons)
        for name, group in cases.items():
            if group:
                # The strongest contexts are looked for in a part of the corpus, sentences with a token in all of it.
                study = ablation_study(vectors, group, texts[::8] if kind == "down" else texts, seed=options.seed)
                found[f"{kind}, block {options.layer}, {name}"] = study
    return found


def _cases(
    vectors: NeuronVectors, library: NeuronLibrary, layer: int, kind: str, neurons: int
) -> dict[str, list[Case]]:
    """The first channels of some neurons, by whether random vectors have such channels too."""
    U = vectors.projection(layer)
    name = library.projection_of(layer)
    m, null = library.token_weights(name, len(U)), library.null(name)
    numbers, _ = chosen(vectors, layer, kind, neurons)
    W = vectors.vectors(layer, kind)[numbers]
    found = VocabularyChannels(1).fit(W, U, m)
    beyond = null.p_value(found.own_z_)[:, 0] <= 0.05
    cases: dict[str, list[Case]] = {"beyond the null": [], "as random vectors' channels": []}
    for i, number in enumerate(numbers.tolist()):
        channel, pole = found.channels_[i, 0], int(found.pole_[i, 0])
        others = other_tokens(W[i], U, channel, pole, usable=m == 1)
        case = Case(layer, kind, number, channel, tuple(found.top_[i, 0].tolist()), others, pole)
        cases["beyond the null" if beyond[i] else "as random vectors' channels"].append(case)
    return cases


def study_table(found: dict[str, dict[str, Any]]) -> str:
    """The ablation study in Markdown: means over channels with 95 % intervals."""
    lines = [
        "| channels | taken out | own fall by | others fall by | own - others | own / whole neuron | channel ahead |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, study in found.items():
        for arm in (*ARMS, WHOLE):
            row = study["arms"].get(arm)
            if row is None:
                continue
            cells = []
            for figure in ("own", "other", "score", "of_whole"):
                low, high = row[f"{figure}_interval"]
                cells.append(f"{row[figure]:.3f} ({low:.3f} to {high:.3f})")
            ahead = "" if arm == "channel" else f"{row['channel_ahead']:.0%}"
            lines.append(f"| {name} ({len(study['rows'])}) | {arm} | {' | '.join(cells)} | {ahead} |")
    return "\n".join(lines)


def table(found: dict[str, Any]) -> str:
    """The comparison in Markdown."""
    lines = ["| figure | value |", "|---|---|"]
    for what, value in found.items():
        shown = f"{value:.3g}" if isinstance(value, float) else value
        if isinstance(value, list):
            shown = " and ".join(f"{v:.3f}" for v in value)
        lines.append(f"| {what} | {shown} |")
    return "\n".join(lines)


def options_of() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--layer", type=int, default=27)
    parser.add_argument("--neurons", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timed-steps", type=int, default=20, help="steps of the plain loop that are timed, six times")
    parser.add_argument("--max-steps", type=int, default=10_000, help="limit of the published recipe")
    parser.add_argument("--ablation", action="store_true", help="the ablation study alone")
    return parser.parse_known_args()[0]


def main() -> dict[str, dict[str, Any]]:
    """Measure with the options of the command line."""
    options = options_of()
    name = f"vocabulary channels, down of block {options.layer}, {options.neurons} neurons"
    return {name: compare(options)}


if __name__ == "__main__":
    if options_of().ablation:
        studies = ablation(options_of())
        print(study_table(studies))
        print(json.dumps(studies))
    else:
        results = main()
        for title, facts in results.items():
            print(f"{title}\n\n{table(facts)}\n")
        print(json.dumps(results))
