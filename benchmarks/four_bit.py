"""What holding a model in 4 bit would change and cost: why the Model page does not offer it.

    python -m benchmarks.four_bit [MODEL]

Of the 4-bit formats of torchao only NF4 runs and can be read back without a GPU. This puts the matrices of the blocks
into it, as loading in 8 bit does (:mod:`analysis.models.eight_bit`), and prints how far predictions move and what a
token takes.
"""

from __future__ import annotations

import math
import sys
import time
from typing import Any

import torch
from torch import Tensor, nn

from analysis.models.eight_bit import eight_bit_library
from analysis.models.loader import load_model

TEXT = (
    "The surgeon washed her hands, and the nurse gave the patient an injection. On Monday they flew to Paris for "
    "dinner, which cost more than the flight."
)
BLOCK, TOKENS = 64, 6


@torch.no_grad()
def main(source: str) -> None:
    """Measure before and after, and print."""
    eight_bit_library()  # quietly: it warns of kernels that this machine has not
    from torchao.quantization.quantize_.workflows.nf4.nf4_tensor import to_nf4

    loaded = load_model(source)
    model: Any = loaded.model
    ids = torch.tensor([loaded.tokenizer(TEXT)["input_ids"]], device=loaded.device)
    before, seconds = _log_probabilities(model, ids), _seconds(model, ids)
    squares = whole = 0.0
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and any(part.isdigit() for part in name.split(".")):
            weight = module.weight.detach().contiguous()
            held = to_nf4(weight, BLOCK, math.gcd(weight.numel() // BLOCK, 256))
            squares += float((held.get_original_weight().float() - weight.float()).square().sum())
            whole += float(weight.float().square().sum())
            module.weight = nn.Parameter(held, requires_grad=False)
    after, slower = _log_probabilities(model, ids), _seconds(model, ids)
    moved = (before.exp() * (before - after)).sum(-1)
    agree = float((before.argmax(-1) == after.argmax(-1)).float().mean())
    print(f"weights off by {(squares / whole) ** 0.5:.1%} (root mean square)")
    print(f"KL {float(moved.mean()):.3f} nats per token, at most {float(moved.max()):.2f}, over {ids.shape[1]} tokens")
    print(f"the same most probable token for {agree:.0%}")
    print(f"a token of text takes {slower / seconds:.1f} times as long ({seconds:.2f} s before)")


def _log_probabilities(model: Any, ids: Tensor) -> Tensor:
    return torch.log_softmax(model(ids, use_cache=False).logits[0].float(), -1)


def _seconds(model: Any, ids: Tensor) -> float:
    """Seconds of a token that is written behind the text, the best of a few."""
    out, best = model(ids, use_cache=True), math.inf
    for _ in range(TOKENS):
        began = time.perf_counter()
        out = model(out.logits[:, -1:].argmax(-1), past_key_values=out.past_key_values, use_cache=True)
        best = min(best, time.perf_counter() - began)
    return best


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "default")
