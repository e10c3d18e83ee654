"""What does fitting a contrast on all heads cost beside the bare forward passes, and beside one head at a time?

Baseline 1: the same padded batches through the model's decoder stack, nothing recorded. The null's spectra at the end
are timed apart, since their cost does not grow with the examples. Baseline 2: the plain definition, head by head, from
stored queries and keys (the accumulation only, same numbers).
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch

from analysis.models.facts import describe
from analysis.models.loaded_model import LoadedModel
from analysis.models.loader import load_model
from analysis.models.recording import IMPLEMENTATION
from analysis.models.spec import ModelSpec
from analysis.qk.accumulate import LayerSums, on_device
from analysis.qk.batching import batches
from analysis.qk.contrasts import ContrastSpec, build_examples
from analysis.qk.contrasts.example import Example, Place
from analysis.qk.covariance import contrastive_covariance
from analysis.qk.fit import affordable_permutations, reduce_sums
from analysis.qk.runs import run_batch
from benchmarks.timing import interleaved


def run(
    loaded: LoadedModel, examples: list[Example], permutations: int = 20, rounds: int = 5, max_tokens: int = 512
) -> dict[str, Any]:
    """Ratio of one streamed fit (sums of all heads, halves and null) to the bare passes over the same batches."""
    device = loaded.device if loaded.device.type == "cuda" else torch.device("cpu")
    permutations = affordable_permutations(loaded, permutations, device.type)
    packed = list(batches(examples, permutations, 0, max_tokens))
    kept: dict[str, Any] = {}

    def bare() -> None:
        for batch in packed:
            loaded.forward(batch.ids, batch.mask)
        _wait(device)

    @torch.no_grad()
    def fitted() -> None:
        sums: dict[int, LayerSums] = {}
        for batch in packed:
            run_batch(loaded, batch, sums, permutations + 2, "post")
        for s in sums.values():
            s.flush()
        _wait(device)
        kept["sums"] = sums

    result = interleaved(bare, fitted, rounds)
    began = time.perf_counter()
    reduce_sums(kept["sums"], (len(examples) + 1) // 2, len(examples) // 2)
    spectra = time.perf_counter() - began
    if device.type == "cuda":
        result["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
    tokens = sum(b.tokens for b in packed)
    return {
        **result,
        "null_spectra_s": spectra,
        "examples": len(examples),
        "tokens": tokens,
        "permutations": permutations,
    }


def head_by_head(heads: int = 9, key_heads: int = 3, width: int = 64, rows: int = 256) -> dict[str, Any]:
    """The batched accumulator of one layer against the plain definition in a loop over heads and channels."""
    generator = torch.Generator().manual_seed(0)
    examples = [
        Example(
            (tuple(range(21)),), Place(0, 20), (Place(0, 6),), tuple(Place(0, i) for i in range(7, 21)), "", ("",) * 15
        )
        for _ in range(rows)
    ]
    (batch,) = batches(examples, 20, 0, 21 * rows)
    q = torch.randn(rows, heads, 21, width, generator=generator)
    k = torch.randn(rows, key_heads, 21, width, generator=generator)
    batch = on_device(batch, torch.device("cpu"))

    def loop() -> None:
        for head in range(heads):
            queries = q[torch.arange(rows), head, batch.position]
            slots = k[batch.key_prompt, head // (heads // key_heads), batch.key_position].double()
            for channel in range(22):
                keys = (batch.weights[channel][..., None] * slots).sum(1)
                contrastive_covariance(queries, keys, torch.zeros_like(keys))

    def batched() -> None:
        sums = LayerSums(heads, key_heads, width, 22, torch.device("cpu"))
        sums.add(q, k, batch)
        sums.flush()

    return interleaved(loop, batched)


def random_llama_8b(device: str) -> LoadedModel:
    """A model of Llama-3.1-8B's shape with random weights in bfloat16: 32 layers, 32 heads, 8 key heads, width 128."""
    from transformers import AutoModelForCausalLM, LlamaConfig

    config = LlamaConfig(
        vocab_size=128256,
        hidden_size=4096,
        intermediate_size=14336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        max_position_embeddings=8192,
    )
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, attn_implementation=IMPLEMENTATION, dtype=torch.bfloat16)
    model.eval().requires_grad_(False)
    spec = ModelSpec("default")
    facts = describe(model, torch.arange(3, 67, device=device)[None], None, spec, "random weights")
    return LoadedModel(model, None, spec, facts)  # type: ignore[arg-type]


def random_examples(count: int, vocabulary: int, length: int = 64) -> list[Example]:
    """Examples of random ids: one positive and 14 negative keys each."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(3, vocabulary, (count, length), generator=generator).tolist()
    places = [Place(0, p) for p in range(2, 17)]
    return [
        Example(
            (tuple(row),),
            Place(0, length - 1),
            (places[i % 15],),
            tuple(p for p in places if p != places[i % 15]),
            "",
            ("",) * 15,
        )
        for i, row in enumerate(ids)
    ]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> dict[str, Any]:
    """Default model on the CPU; with --cuda the 8B shape on a GPU."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cuda", action="store_true")
    if parser.parse_known_args()[0].cuda:
        return {
            "llama-8b shape, bf16, cuda": run(random_llama_8b("cuda"), random_examples(512, 128256), max_tokens=8192)
        }
    loaded = load_model("default")
    examples = build_examples(ContrastSpec("induction", 256), loaded.tokenizer)  # type: ignore[arg-type]
    return {
        "SmolLM2-135M, all 270 heads, against bare passes": run(loaded, examples),
        "batched sums against head by head": head_by_head(),
    }


if __name__ == "__main__":
    for name, facts in main().items():
        print(name, {k: round(v, 4) if isinstance(v, float) else v for k, v in facts.items()})
