"""Which token of one prompt stands where a token of another stands.

Prompts of the same length are paired by position, so that words that change places are paired with what stands in
their place. Of others, what they begin and end with alike is paired first, and the rest along the alignment with the
fewest edits (a token put in, taken away or exchanged): a slot between equal tokens is paired by position if it holds as
many tokens in both. Where it holds more in one, its last tokens are paired, which have seen the others, and the others
have no partner. What is paired otherwise is for a person to say.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.errors import UserError

Pair = tuple[int, int]
"""A token of this prompt and one of the other, by position."""


def paired(ids: Sequence[int], other: Sequence[int]) -> tuple[Pair, ...]:
    """Pairs of positions, ascending in both; the last tokens are always a pair."""
    if len(ids) == len(other):
        return tuple((n, n) for n in range(len(ids)))
    mine, theirs = len(ids) - 1, len(other) - 1
    begin = shared_start(ids[:mine], other[:theirs])
    most = min(mine, theirs) - begin
    end = min(most, shared_start(ids[:mine][::-1], other[:theirs][::-1]))
    pairs = [(n, n) for n in range(begin)]
    at = (begin, begin)  # where the slot begins that is open
    for a, b in [
        *_equal(ids[begin : mine - end], other[begin : theirs - end]),
        (mine - end - begin, theirs - end - begin),
    ]:
        here = (begin + a, begin + b)
        pairs += _slot(at, here)
        if here[0] < mine - end:
            pairs.append(here)
        at = (here[0] + 1, here[1] + 1)
    pairs += zip(range(mine - end, mine + 1), range(theirs - end, theirs + 1), strict=True)
    return tuple(pairs)


def _slot(first: Pair, stop: Pair) -> list[Pair]:
    """The pairs of a slot: all by position, or the last tokens alone where it holds more in one."""
    sizes = stop[0] - first[0], stop[1] - first[1]
    if sizes[0] == sizes[1]:
        return [(first[0] + n, first[1] + n) for n in range(sizes[0])]
    return [(stop[0] - 1, stop[1] - 1)] if min(sizes) > 0 else []


def _equal(ids: Sequence[int], other: Sequence[int]) -> list[Pair]:
    """Equal tokens that are paired by an alignment with the fewest edits (Levenshtein's), ascending."""
    a, b = np.asarray(ids, np.int64), np.asarray(other, np.int64)
    across = np.arange(len(b) + 1, dtype=np.int32)
    edits = np.empty((len(a) + 1, len(b) + 1), np.int32)
    edits[0] = across
    for n, token in enumerate(a, start=1):
        best = np.minimum(edits[n - 1, 1:] + 1, edits[n - 1, :-1] + (b != token))
        row = np.concatenate([[n], best]) - across
        # A token put in costs one more than what stands before it in the row.
        edits[n] = np.minimum.accumulate(row) + across
    pairs, i, j = [], len(a), len(b)
    while i and j:
        same = bool(a[i - 1] == b[j - 1])
        if edits[i, j] == edits[i - 1, j - 1] + (not same):
            i, j = i - 1, j - 1
            if same:
                pairs.append((i, j))
        elif edits[i, j] == edits[i - 1, j] + 1:
            i -= 1
        else:
            j -= 1
    return pairs[::-1]


def check_pairs(pairs: Sequence[Pair], tokens: int, others: int) -> None:
    """Raises UserError(field="pairs") for a pair of a token that is not there, and for a token with two partners."""
    for mine, theirs in pairs:
        if not (0 <= mine < tokens and 0 <= theirs < others):
            raise UserError(
                f"Tokens {mine} and {theirs} are paired, but the prompts have {tokens} and {others} tokens here. Pair "
                "them anew.",
                "pairs",
            )
    for side, places in (("this", [a for a, _ in pairs]), ("the other", [b for _, b in pairs])):
        twice = next((p for p in places if places.count(p) > 1), None)
        if twice is not None:
            raise UserError(f"Token {twice} of {side} prompt has two partners. Take one of them away.", "pairs")


def shared_start(ids: Sequence[int], other: Sequence[int]) -> int:
    """How many first tokens are the same in both, and so all that a causal model makes of them."""
    return next((n for n, (a, b) in enumerate(zip(ids, other, strict=False)) if a != b), min(len(ids), len(other)))


def beyond_start(pairs: Sequence[Pair], same: int) -> list[Pair]:
    """The pairs that may change something: all but those of the ``same`` first tokens with themselves."""
    return [(a, b) for a, b in pairs if not a == b < same]
