"""Which token of one prompt stands where a token of another stands.

Equal stretches are paired token by token, and so is a slot that holds as many tokens in both. Where a slot holds more
in one, its last tokens are paired, which have seen the others, and the others have no partner. What is paired otherwise
is for a person to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

from analysis.errors import UserError

Pair = tuple[int, int]
"""A token of this prompt and one of the other, by position."""


def paired(ids: Sequence[int], other: Sequence[int]) -> tuple[Pair, ...]:
    """Pairs of positions, ascending in both; the last tokens are always a pair."""
    pairs: list[Pair] = []
    matcher = SequenceMatcher(a=list(ids[:-1]), b=list(other[:-1]), autojunk=False)
    for kind, first, stop, other_first, other_stop in matcher.get_opcodes():
        if kind == "equal" or (kind == "replace" and stop - first == other_stop - other_first):
            pairs += zip(range(first, stop), range(other_first, other_stop), strict=True)
        elif kind == "replace":
            pairs.append((stop - 1, other_stop - 1))
    return (*pairs, (len(ids) - 1, len(other) - 1))


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
