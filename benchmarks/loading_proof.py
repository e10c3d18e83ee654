"""What it costs that loading proves itself, against plainly loading the same folder in the same run.

``python -m benchmarks.loading_proof [MODEL]``: the default model, or a folder. The proof is allowed 2 seconds or 15 %
of a load.
"""

from __future__ import annotations

import sys
import time
from statistics import median
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

from analysis.models.default import prepare_default
from analysis.models.loader import load_model
from analysis.models.spec import ModelSpec, check_local

ROUNDS = 5


def main(source: str = "default") -> dict[str, dict[str, Any]]:
    """Seconds, medians of ROUNDS interleaved rounds after one to warm up."""
    transformers.utils.logging.disable_progress_bar()
    spec = ModelSpec(source)
    where = prepare_default() if spec.kind == "default" else check_local(spec)
    plain, whole, proof = [], [], []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        AutoTokenizer.from_pretrained(where)
        model: Any = AutoModelForCausalLM.from_pretrained(where, dtype="auto").eval()
        with torch.no_grad():
            model(torch.arange(3, 35)[None], use_cache=False)  # weights are mapped: reading them is part of a load
        plain.append(time.perf_counter() - began)
        del model
        began = time.perf_counter()
        loaded = load_model(spec)
        whole.append(time.perf_counter() - began)
        proof.append(loaded.facts.proof_seconds)
        del loaded
    load, ours, cost = median(plain[1:]), median(whole[1:]), median(proof[1:])
    return {
        f"loading that proves itself, {spec.label}": {
            "plain load and one pass, s": load,
            "load_model, s": ours,
            "of these the proof, s": cost,
            "share of load_model": cost / ours,
            "load_model over plain": ours / load,
            "allowed": cost <= 2 or cost <= 0.15 * ours,
        }
    }


if __name__ == "__main__":
    for name, facts in main(*sys.argv[1:]).items():
        print(name)
        for what, value in facts.items():
            print(f"  {what}: {value:.3g}" if isinstance(value, float) else f"  {what}: {value}")
