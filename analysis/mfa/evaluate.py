"""Does steering towards a region say more of its theme's words, and how does that compare with other pushes?

Every method is brought to the same price, a KL of the next-token distribution from the unsteered one, before gains are
compared; the words come from the list of themes, not from the fit. A gain is the mean change of a word's log-odds over
the theme's words that are one token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from analysis.steering.calibrate import kl_divergence, strength_for_kl

PROMPTS = (
    "I think that",
    "The next day we talked about",
    "My favourite thing in the world is the",
    "She opened the door and saw a",
    "Everyone in the room was thinking about the",
    "Last week I read about",
    "The most important part of it is the",
    "He told me a story about",
)


@dataclass(frozen=True)
class Gain:
    """Mean log-odds gain in nats at one prompt, the KL reached, and whether the wanted KL could be met."""

    gain: float
    kl: float
    met: bool
    strength: float


def word_ids(tokenizer: PreTrainedTokenizerBase, words: Sequence[str]) -> Tensor:
    """Token ids (W,) of the words that are a single token after a blank; each once, sorted."""
    rows = [tokenizer(" " + word, add_special_tokens=False)["input_ids"] for word in dict.fromkeys(words)]
    return torch.tensor(sorted({row[0] for row in rows if len(row) == 1}), dtype=torch.long)


def log_odds(logits: Tensor, ids: Tensor) -> Tensor:
    """log p/(1-p) (W,), float64, of the given tokens under logits (V,)."""
    logp = logits.double().log_softmax(-1)[ids]
    return logp - torch.log1p(-logp.exp())


def gain_at_kl(base: Tensor, steered: Callable[[float], Tensor], ids: Tensor, target: float, high: float = 1.0) -> Gain:
    """Bring ``steered`` (strength to logits (V,)) to the target KL from ``base`` (V,), and measure the words there."""
    found = strength_for_kl(lambda a: kl_divergence(base, steered(a)), target, high=high)
    logits = steered(found.strength)
    change = log_odds(logits, ids) - log_odds(base, ids)
    return Gain(float(change.mean()), found.kl, found.met, found.strength)


def bootstrap(values: Tensor, draws: int = 2000, seed: int = 0) -> tuple[float, float, float]:
    """Mean of values (groups, repeats) and the 2.5 and 97.5 % points of it, groups and repeats both drawn anew."""
    generator = torch.Generator().manual_seed(seed)
    groups, repeats = values.shape
    which = torch.randint(groups, (draws, groups), generator=generator)
    within = torch.randint(repeats, (draws, groups, repeats), generator=generator)
    means = values[which].gather(2, within).mean((1, 2))
    low, high = torch.quantile(means, torch.tensor([0.025, 0.975], dtype=values.dtype)).tolist()
    return float(values.mean()), float(low), float(high)
