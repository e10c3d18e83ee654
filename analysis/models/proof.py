"""Proof, on one short probe, that a loaded model computes what it computes elsewhere and that no token sees the future.

Attune puts its own function where transformers computes attention. A model that takes its mask from transformers but
computes attention itself would then run without one, and say nothing: its logits are off, and every token reads those
behind it. No list of architectures can be complete, so the loaded module itself is asked, once with Attune's function
and once with the plain one that transformers would have chosen.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.models.eight_bit import in_eight_bit, plain
from analysis.models.recording import IMPLEMENTATION

log = logging.getLogger(__name__)

TOKENS = 32  # a longer text would prove the same and cost more
# Largest difference that rounding explains, as a share of the largest logit.
ROUNDING = {"float64": 1e-6, "float32": 1e-4, "float16": 2e-2, "bfloat16": 8e-2}


@dataclass(frozen=True)
class Proof:
    """What the probe measured. ``difference``: largest difference between the logits with Attune's attention and with
    the plain one, None where the plain one is in use. ``leak``: how far changing later tokens moved earlier logits.
    ``size``: largest absolute logit."""

    difference: float | None
    leak: float
    size: float
    tokens: int

    @property
    def sentence(self) -> str:
        """For the facts of a model."""
        same = (
            "The logits are those of the plainly loaded model"
            if self.difference == 0.0
            else f"The logits equal those of the plainly loaded model to {self.difference:.1e} (largest logit "
            f"{self.size:.3g})"
            if self.difference is not None
            else "The model runs with its own plain attention"
        )
        moved = (
            "no earlier logit" if self.leak == 0.0 else f"earlier logits by {self.leak:.1e} at most, which is rounding"
        )
        return f"{same}; changing later tokens moved {moved}; all are finite ({self.tokens} tokens)."


def rounding(model: Any, size: float) -> float:
    """The largest difference of logits that rounding explains in this model's dtype; ``size``: the largest logit."""
    return ROUNDING.get(str(model.dtype).removeprefix("torch."), 8e-2) * max(size, 1e-3)


def plain_implementation(model: Any) -> str:
    """The attention that transformers would have chosen for this model without being asked."""
    try:
        return str(model.get_correct_attn_implementation(None))
    except (ImportError, ValueError):  # its way of saying that SDPA cannot be used
        return "eager"


def variants(ids: Tensor, vocabulary: int) -> tuple[Tensor, int]:
    """Three rows of token ids (3, T): ``ids`` (1, T); with the last token changed; with the second half changed.

    Also the position from which on the third row is another text.
    """
    length = ids.shape[1]
    half = max(1, length // 2)
    rows = ids.expand(3, length).clone()
    rows[1, -1] = (rows[1, -1] + 1) % vocabulary
    rows[2, half:] = (rows[2, half:] + 1) % vocabulary
    return rows, half


@torch.no_grad()
def logits_of(model: Any, rows: Tensor) -> Tensor:
    """Logits (B, T, V) float32 on the CPU of one pass without cache."""
    output: Tensor = model(rows, use_cache=False).logits
    return output.float().cpu()


@torch.no_grad()
def prove(model: Any, ids: Tensor, label: str) -> Proof | None:
    """Measure a model with Attune's attention on a probe (1, T), or with its plain one if that is set.

    Returns None where Attune's attention gives other logits than the plain one, or sees the future while the plain one
    does not: then the plain one has to be used.

    Raises:
        UserError(field="model"): weights or logits are not finite, or the plain model itself lets tokens see those
            behind them.
    """
    _check_numbers(model, label)
    vocabulary = int(model.get_input_embeddings().weight.shape[0])
    rows, half = variants(ids[:, :TOKENS], vocabulary)
    ours = model.config._attn_implementation == IMPLEMENTATION
    try:
        got = logits_of(model, rows)
    except (RuntimeError, TypeError, ValueError, KeyError, IndexError, AttributeError):
        if not ours:
            raise
        log.info("%s does not run with recorded attention", label, exc_info=True)
        return None
    size = float(got.abs().nan_to_num(0.0, 0.0, 0.0).max())
    leak = max(_moved(got[0, :-1], got[1, :-1]), _moved(got[0, :half], got[2, :half]))
    allowed = rounding(model, size)
    difference = None
    if ours:
        plain = plain_implementation(model)
        model.set_attn_implementation(plain)
        try:
            if model.config._attn_implementation != plain:
                return None
            difference = _moved(logits_of(model, rows), got)
        finally:
            model.set_attn_implementation(IMPLEMENTATION)
        if not difference <= allowed or not leak <= allowed:
            log.info("%s: logits differ by %.3g, later tokens move earlier logits by %.3g", label, difference, leak)
            return None
    if not bool(got.isfinite().all()):
        raise UserError(
            f"{label} computes values that are not numbers, or too large for {_dtype(model)}"
            + (
                ". Load the model in float32 or bfloat16."
                if _dtype(model) == "float16"
                else ", though all its weights are numbers. "
                + (
                    "A number in config.json may be wrong, or the training had failed."
                    if _dtype(model) == "float32"
                    else "Load the model in float32."
                )
            ),
            "model",
        )
    if not leak <= allowed:
        raise UserError(
            f"In {label} a token sees those behind it: changing later tokens moved earlier logits by {leak:.2g} "
            f"(largest logit {size:.3g}). {_why_not_causal(model)}",
            "model",
        )
    return Proof(difference, leak, size, int(rows.shape[1]))


def _moved(a: Tensor, b: Tensor) -> float:
    """Largest difference; two equal values that are not finite differ by nothing."""
    if not a.numel():
        return 0.0
    same = (a == b) | (a.isnan() & b.isnan())
    return float((a - b).abs().masked_fill(same, 0.0).max())


def _dtype(model: Any) -> str:
    return str(model.dtype).removeprefix("torch.")


def _check_numbers(model: Any, label: str) -> None:
    """Raises UserError(field="model") for a weight that is no number, wherever it is: the probe reads few tokens."""
    for name, tensor in model.named_parameters():
        # One pass that propagates what is no number; types of one byte and weights kept elsewhere have none.
        if not tensor.is_floating_point() or tensor.element_size() < 2 or tensor.is_meta or not tensor.numel():
            continue
        held = tensor.detach()
        if not all(bool(end.isfinite()) for end in torch.aminmax(plain(held) if in_eight_bit(held) else held)):
            raise UserError(
                f"{label} holds values in {name} that are not numbers, or too large for {_dtype(model)}"
                + (
                    ". Load the model in float32 or bfloat16; if that is refused, too, the file is damaged."
                    if _dtype(model) == "float16"
                    else ". The file is damaged, or the training had failed."
                ),
                "model",
            )


def _why_not_causal(model: Any) -> str:
    if getattr(model.config.get_text_config(), "is_decoder", None) is False:
        return (
            "It is an encoder: config.json has is_decoder false. Attune asks causal language models, which predict the "
            "next token from those before it."
        )
    return "Attune asks causal language models, which predict the next token from those before it. Choose another."
