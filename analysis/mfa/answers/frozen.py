"""The answer of free or frozen: an effect with each set of parts free, for the set-up and for random directions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ASKED = "the token asked about"
"""The subject, where the target is one token that somebody asks about."""


@dataclass(frozen=True)
class Frozen:
    """What a set-up does at the next token after a prompt, whose last token is ``label``, with parts above block
    ``above`` free or held as they were unsteered.

    Arms: the set-up, then random directions, each with the KL that it costs with all free (``kls``, nats) and whether
    that is the set-up's (``met``). Columns: with which parts free, in the order of analysis.steering.parts.SETS, so
    that the first has none and the last all of them. ``target`` (arms, 8): change of the mean log-odds of ``tokens``,
    from ``subject``; ``raised`` (arms, 8): the same of the tokens that this arm itself raises most when all is free,
    ``raises`` of each arm; ``kl`` (arms, 8) of the next token. ``heads``: (layer, head) whose patterns and values are
    held, all if empty. ``patternless``, ``mlpless``: blocks above that have nothing to hold there. ``off``: how far
    the unsteered pass is from itself with what its heads give worked out anew from what was recorded, logits, at most.
    """

    label: str
    above: int
    tokens: tuple[str, ...]
    subject: str
    kls: tuple[float, ...]
    met: tuple[int, ...]
    raises: tuple[str, ...]
    heads: tuple[tuple[int, int], ...]
    patternless: tuple[int, ...]
    mlpless: tuple[int, ...]
    off: float
    target: np.ndarray
    raised: np.ndarray
    kl: np.ndarray
