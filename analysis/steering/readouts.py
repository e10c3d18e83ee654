"""What steering did to a text, in numbers that need no judge.

Three things can go wrong or right: the distribution moved (divergence from the unsteered model), the text became
unlikely to the model itself (perplexity), and it began to repeat itself. None of them says whether the text is about
what it was steered to; that is for the method that knows the words.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.models.loaded_model import LoadedModel
from analysis.steering.calibrate import kl_divergences


@dataclass(frozen=True)
class TextReadouts:
    """``kl``: per generated token, nats, KL(unsteered || steered) of the distribution it was chosen from, both models
    having read the same steered text. ``surprise``: per generated token, -log p in nats under the unsteered model.
    ``repetition`` and ``distinct`` as of :func:`repeated_share`, :func:`distinct_share`; ``compression`` as of
    :func:`compression_ratio`.
    """

    kl: tuple[float, ...]
    surprise: tuple[float, ...]
    repetition: float
    distinct: tuple[float, ...]
    compression: float

    @property
    def perplexity(self) -> float:
        """exp of the mean surprise: among how many equally likely tokens the unsteered model seems to choose."""
        return math.exp(min(sum(self.surprise) / len(self.surprise), 700.0))

    @property
    def mean_kl(self) -> float:
        """Mean divergence per generated token, nats."""
        return sum(self.kl) / len(self.kl)


@torch.no_grad()
def text_readouts(
    loaded: LoadedModel, ids: Sequence[int], prompt_tokens: int, steered_logits: Sequence[Tensor] | Tensor
) -> TextReadouts:
    """Read a steered text, prompt and continuation ``ids``, once with the unsteered model, and compare.

    ``steered_logits``: (n, V), or n times (V,), the logits that each of the n generated tokens was chosen from. Must
    not be called while the model is steered.

    Raises:
        UserError: nothing was generated, or logits and tokens do not match in number.
    """
    made = len(ids) - prompt_tokens
    if prompt_tokens < 1 or made < 1:
        raise UserError("There is no generated text to read. Generate at least one token.", "generate")
    if len(steered_logits) != made:
        raise UserError(f"There are {made} generated tokens and logits for {len(steered_logits)}.", "generate")
    row = torch.tensor([list(ids)], device=loaded.device)
    own = loaded.model(row[:, :-1], use_cache=False, logits_to_keep=made).logits[0].float().cpu()
    steered = steered_logits if isinstance(steered_logits, Tensor) else torch.stack(list(steered_logits))
    kl = kl_divergences(own, steered.cpu())
    new = list(ids[prompt_tokens:])
    surprise = -own.double().log_softmax(-1)[torch.arange(made), torch.tensor(new)]
    text = str(loaded.tokenizer.decode(new))
    return TextReadouts(
        tuple(kl.tolist()),
        tuple(surprise.tolist()),
        repeated_share(new, 3),
        tuple(distinct_share(new, n) for n in (1, 2, 3)),
        compression_ratio(text),
    )


@torch.no_grad()
def perplexity(loaded: LoadedModel, ids: Sequence[int], prompt_tokens: int) -> float:
    """Perplexity of ``ids`` after their first ``prompt_tokens`` under the model as it is. Raises UserError if none."""
    made = len(ids) - prompt_tokens
    if prompt_tokens < 1 or made < 1:
        raise UserError("There is no text after the prompt to read.", "generate")
    row = torch.tensor([list(ids)], device=loaded.device)
    own = loaded.model(row[:, :-1], use_cache=False, logits_to_keep=made).logits[0].double().log_softmax(-1).cpu()
    return math.exp(min(-float(own[torch.arange(made), torch.tensor(list(ids[prompt_tokens:]))].mean()), 700.0))


def repeated_share(tokens: Sequence[int], n: int = 3) -> float:
    """Share of the runs of n tokens that occurred before in the same text; 0 for texts shorter than n."""
    return 1 - distinct_share(tokens, n)


def distinct_share(tokens: Sequence[int], n: int = 1) -> float:
    """Different runs of n tokens over all runs of n tokens ("distinct-n"); 1 for texts shorter than n."""
    grams = [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 1.0


def compression_ratio(text: str) -> float:
    """Bytes of a text over its bytes after zlib: about 1 for short plain text, much more for repetition."""
    raw = text.encode("utf-8", "replace")
    return len(raw) / len(zlib.compress(raw, 9)) if raw else 1.0
