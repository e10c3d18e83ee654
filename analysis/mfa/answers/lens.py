"""The answer of the lens: what the residual stream says at every block, unsteered and steered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Lens:
    """The logit lens of a text at R stages of the residual stream and its last P positions.

    Stages in the order of a pass: behind block ``blocks[r]`` (-1: the embeddings), or, where ``whole[r]`` is 0, behind
    its attention only. ``labels`` of the P tokens, the first at position ``first``; from position ``prompt`` on they
    were written, in the text ``of`` ("" where none is). Arms: unsteered, steered, and as
    many random directions at the set-up's KL as ``controls`` has, the KL of each at the next token (nats); ``kl``: the
    set-up's, ``met``: whether each control reaches it.

    ``odds`` (arms, R, P): mean log-odds of the target's tokens, nats; ``ranks`` (2, R, P): rank of the likeliest of
    them, 1 the first of all tokens, unsteered and steered; ``leads`` (2, R, P, 3): the leading tokens, as places in
    ``names``, with their ``chances``. ``tokens``: the target, from ``subject``. ``acts``: blocks behind which, or in
    whose MLP, the set-up acts. ``agreement`` (R,): how often the unsteered lens puts the same token first as the model,
    on ``sample`` tokens of the bundled corpus (NaN where it was not measured); ``plain``: the same of the plain lens,
    where the one that is used is ``trained`` (what it is called; "" for the plain one). ``error``: how far the lens at
    the last block is from the model's own log-probabilities, at most.
    """

    labels: tuple[str, ...]
    first: int
    prompt: int
    of: str
    blocks: tuple[int, ...]
    whole: tuple[int, ...]
    acts: tuple[int, ...]
    tokens: tuple[str, ...]
    subject: str
    kl: float
    controls: tuple[float, ...]
    met: tuple[int, ...]
    sample: int
    trained: str
    error: float
    names: tuple[str, ...]
    odds: np.ndarray
    ranks: np.ndarray
    leads: np.ndarray
    chances: np.ndarray
    agreement: np.ndarray
    plain: np.ndarray
