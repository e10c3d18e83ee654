"""Weights in 8 bit: half or a quarter of the memory, and what that changes, measured while both models are here.

torchao keeps the matrices of the blocks as whole numbers with one scale per row and multiplies with the activations as
they are. Libraries that round the activations, too, find their scales in the whole batch, so that a token sees later
ones; none of those is used here. The model is read as it is stored first: loading takes the memory of the whole model
on the host, and running takes less.
"""

from __future__ import annotations

import logging
import re
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from analysis.errors import UserError

log = logging.getLogger(__name__)
_IN_BLOCK = re.compile(r"\.\d+\.")


def eight_bit_library() -> Any:
    """torchao's module of quantisation. Raises UserError(field="dtype") where it is not installed."""
    loggers = [logging.getLogger(name) for name in ("torchao", "torch.utils._pytree", "")]
    levels = [one.level for one in loggers]
    try:
        for one in loggers:  # it warns of kernels for GPUs that this machine has not
            one.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import torchao.quantization as library
    except ImportError as error:
        raise UserError(
            "Loading in 8 bit needs the package torchao, which is not installed: pip install attune[int8], or choose "
            "another dtype.",
            "dtype",
        ) from error
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)
    return library


def in_eight_bit(weight: Tensor) -> bool:
    """Whether a weight is held by torchao."""
    return hasattr(weight, "qdata")


def plain(weight: Tensor) -> Tensor:
    """The numbers of a weight, however it is held: a plain tensor itself, a torchao one as what it stands for.

    Raises UserError(field="model") for a weight packed by another library, whose numbers are not those of the model.
    """
    if in_eight_bit(weight):
        held: Any = weight.detach()
        numbers: Tensor = held.dequantize()
        return numbers
    if not weight.is_floating_point():
        raise UserError(
            "The weights of this model are packed in a way that cannot be read number by number. Load a copy in "
            "float32, bfloat16 or float16.",
            "model",
        )
    return weight


@torch.no_grad()
def into_eight_bit(model: Any, ids: Tensor) -> str:
    """Hold the matrices of the blocks in 8 bit, in place. Returns a sentence with what that changed.

    ``ids`` (1, T): the text on which next-token distributions are compared, before and after, in nats per token.
    Raises UserError(field="dtype"): no matrix that could be, or torchao is not there.
    """
    library = eight_bit_library()
    chosen = {name: m for name, m in model.named_modules() if isinstance(m, nn.Linear) and _IN_BLOCK.search(name)}
    if not chosen:
        raise UserError(
            "The blocks of this model have no plain linear maps, so they cannot be held in 8 bit. Choose another "
            "dtype.",
            "dtype",
        )
    before = _log_probabilities(model, ids)
    squares, whole = 0.0, 0.0
    for module in chosen.values():
        stored = module.weight.detach()
        library.quantize_(module, library.Int8WeightOnlyConfig())
        squares += float((plain(module.weight).float() - stored.float()).square().sum())
        whole += float(stored.float().square().sum())
        del stored
    after = _log_probabilities(model, ids)
    moved = (before.exp() * (before - after)).sum(-1)
    agree = float((before.argmax(-1) == after.argmax(-1)).float().mean())
    return (
        f"The {len(chosen):,} matrices of the blocks are held in 8 bit. Against the model as stored: its next-token "
        f"distribution moved by {float(moved.mean()):.4f} nats per token (KL, mean of {ids.shape[1]} tokens of a "
        f"probe; at most {float(moved.max()):.3f}), the most probable token is the same for {agree:.0%} of them, and "
        f"the weights are off by {(squares / max(whole, 1e-30)) ** 0.5:.1%} (root mean square). Everything measured "
        "here is of the model in 8 bit."
    )


def _log_probabilities(model: Any, ids: Tensor) -> Tensor:
    """log p (T, V) float32 of the next token after each of ``ids`` (1, T)."""
    logits: Tensor = model(ids, use_cache=False).logits[0]
    return logits.float().log_softmax(-1)
