"""Token weights before the first round, made for a model without data.

Two sorts of tokens would take over every neuron's first channels. Tokens whose row of the projection is very long (the
longest hundredth) count for next to nothing, as in the paper. And tokens on which unrelated vectors land again and
again (the paper had a hand-made list for one model) are found by looking for channels of random vectors, and leave the
objective; this is repeated until no group of tokens draws more than a set share of fresh random vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.progress import Progress, portion, silent
from analysis.rotate.attractors import attractors
from analysis.rotate.channels import Batches, VocabularyChannels
from analysis.rotate.objective import z_scores

LONG = 1e-4
"""Weight of tokens of outlying norm (official code)."""
QUANTILE = 0.99
RECURRING = 0.05
"""Share of random vectors from which on a group of tokens is taken out."""


@dataclass(frozen=True)
class TokenWeights:
    """``weights`` (V,): 1, or 1e-4 for tokens of outlying norm, or 0 for special and recurring ones; ``passes``: per
    pass, the shares of the groups taken out and how many tokens went with them."""

    weights: Tensor
    passes: list[dict[str, object]]

    @property
    def counts(self) -> tuple[int, int]:
        """How many tokens have no weight at all, and how many almost none."""
        return int((self.weights == 0).sum()), int((self.weights == LONG).sum())


def token_weights(
    projection: Tensor,
    special: Sequence[int] = (),
    *,
    vectors: int = 96,
    rounds: int = 2,
    passes: int = 4,
    starts: int = 2,
    mask_z: float = 4.0,
    seed: int = 0,
    progress: Progress = silent,
    batches: Batches | None = None,
) -> TokenWeights:
    """Weights for a projection (V, d) and the ids of special tokens, which get weight 0.

    At most ``passes`` times, ``vectors`` new random vectors are given ``rounds`` channels each, the best of ``starts``.
    Of every group of channels to which at least 5 % of the vectors come, the tokens beyond ``mask_z`` on the group's
    tail get weight 0. ``batches`` as of :meth:`~analysis.rotate.channels.VocabularyChannels.fit`.
    """
    norms = projection.norm(dim=1)
    weights = torch.ones_like(norms)
    weights[norms > norms.quantile(QUANTILE)] = LONG
    weights[list(special)] = 0.0
    done: list[dict[str, object]] = []
    generator = torch.Generator().manual_seed(seed + 104_729)
    for number in range(passes):
        drawn = torch.randn(vectors, projection.shape[1], generator=generator).to(projection)

        found = VocabularyChannels(rounds, mask_z=mask_z, starts=starts, random_state=seed + number).fit(
            drawn, projection, weights, progress=_of_pass(progress, number, passes), batches=batches
        )
        groups = [g for g in attractors(found.top_.cpu(), RECURRING)]
        if not groups:
            break
        # The group's direction is the mean of its members' channels, each turned to its heavier tail.
        taken = torch.zeros_like(weights, dtype=torch.bool)
        for group in groups:
            inside = [(i, c) for i in range(vectors) for c in range(rounds) if group.holds(found.top_[i, c])]
            channels = torch.stack([found.channels_[i, c] * found.pole_[i, c] for i, c in inside])
            direction = torch.nn.functional.normalize(channels, dim=1).mean(0)
            taken |= z_scores(projection @ direction) > mask_z
        done.append({"shares": [g.share for g in groups], "tokens": int((taken & (weights > 0)).sum())})
        weights[taken] = 0.0
    return TokenWeights(weights, done)


def _of_pass(progress: Progress, number: int, passes: int) -> Progress:
    told = portion(progress, number / passes, (number + 1) / passes)
    return lambda share, text="", **facts: told(share, f"tokens that recur, pass {number + 1}", **facts)
