"""What a packed copy of the default model, used for text only, would give: tokens per second beside those of the
model as it is, and how far its predictions are from it. ``python -m benchmarks.packed_copy``

Tokens per second are read off in turns, copy and model one after the other, for one text and for eight in a batch, as
wall time and as computing time. The distance is KL(model || copy) per token of texts that the model wrote after the
bundled prompts. Nothing of this is in the app; docs/steering.md says why.
"""

from __future__ import annotations

import copy
import json
import os
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from analysis.mfa.evaluate import PROMPTS
from analysis.models import load_model
from analysis.models.generation import decode
from analysis.steering import kl_divergences

STEPS, ROUNDS, WRITTEN = 12, 5, 40


class WeightOnly(nn.Module):
    """A linear layer with weights of eight bits and a scale per output, which computes in bfloat16."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        scale = linear.weight.detach().abs().amax(1) / 127
        self.packed = torch.round(linear.weight.detach() / scale[:, None]).to(torch.int8)
        self.scale, self.bias = scale.bfloat16(), linear.bias

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1]).bfloat16()
        made = torch._weight_int8pack_mm(rows, self.packed, self.scale).to(x.dtype).reshape(*x.shape[:-1], -1)
        return made if self.bias is None else made + self.bias


def weight_only(model: Any) -> Any:
    """A copy whose linear layers hold weights of eight bits."""
    made = copy.deepcopy(model)
    for module in list(made.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear:
                setattr(module, name, WeightOnly(child))
    return made


def dynamic(model: Any) -> Any:
    """A copy whose linear layers hold weights of eight bits and round what comes in to eight bits, too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantize: Any = torch.ao.quantization.quantize_dynamic
        return quantize(copy.deepcopy(model), {nn.Linear}, dtype=torch.qint8)


COPIES: dict[str, Callable[[Any], Any]] = {
    "bfloat16": lambda model: copy.deepcopy(model).bfloat16(),
    "int8 weights, bfloat16 products": weight_only,
    "int8 weights and activations": dynamic,
}


@torch.no_grad()
def seconds(model: Any, ids: Tensor) -> tuple[float, float]:
    """Wall and computing time of a step of decoding behind token ids (B, T)."""
    cache = model(ids, use_cache=True, logits_to_keep=1).past_key_values
    wall, own = time.perf_counter(), time.process_time()
    for _ in range(STEPS):
        model(ids[:, -1:], past_key_values=cache, use_cache=True, logits_to_keep=1)
    return (time.perf_counter() - wall) / STEPS, (time.process_time() - own) / STEPS


@torch.no_grad()
def run() -> dict[str, Any]:
    """The figures."""
    loaded = load_model("default")
    prompts = [list(loaded.tokenizer(text)["input_ids"]) for text in PROMPTS]
    texts = [[*ids, *(token for token, _ in decode(loaded, ids, WRITTEN, temperature=0.7, seed=0))] for ids in prompts]
    model: Any = loaded.model
    found: dict[str, Any] = {}
    for name, make in COPIES.items():
        packed = make(model)
        kl = []
        for text, ids in zip(texts, prompts, strict=True):
            feed = torch.tensor([text])
            own, other = (m(feed, use_cache=False).logits[0, len(ids) - 1 : -1].float() for m in (model, packed))
            kl += kl_divergences(own, other).tolist()
        row: dict[str, Any] = {
            "KL per token, mean": round(statistics.mean(kl), 4),
            "KL per token, 95th percentile": round(sorted(kl)[int(0.95 * len(kl))], 4),
            "tokens": len(kl),
        }
        for rows in (1, 8):
            feed = torch.tensor([prompts[0]] * rows)
            pairs = [(seconds(model, feed), seconds(packed, feed)) for _ in range(ROUNDS)]
            for place, what in enumerate(("wall", "computing")):
                ratio = statistics.median(own[place] / other[place] for own, other in pairs)
                row[f"times as fast, {rows} rows, {what} time"] = round(ratio, 2)
        found[name] = row
        del packed
    return {"load of the machine": os.getloadavg()[0], "threads": torch.get_num_threads(), **found}


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))
