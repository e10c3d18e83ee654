"""The steps of a labelled chain, and long chains in blocks of neighbouring sentences, so that what is asked of each
step does not grow without end.

A labelled sentence stays a step of its own: it is what its label is about. The sentences between two of them go into
blocks of equal length. A block is removed, altered and scored as one step, so positions in the chain are coarser.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analysis.faithfulness.splitting import split_steps


def steps_of(cot: str, labels: Mapping[tuple[int, int], bool]) -> tuple[list[str], list[bool | None]]:
    """Steps that make up the chain, every labelled span in a step of its own, and their labels."""
    steps: list[str] = []
    known: list[bool | None] = []
    at = 0
    for (begin, end), label in sorted(labels.items()):
        between = split_steps(cot[at:begin])
        if between and not between[-1].strip():  # blank space goes with the step behind it
            between = between[:-1]
        elif between:
            bare = between[-1].rstrip()
            between = (*between[:-1], bare)
        at += sum(map(len, between))
        steps += [*between, cot[at:end]]
        known += [*(None for _ in between), label]
        at = end
    rest = split_steps(cot[at:])
    if rest and not any(step.strip() for step in rest) and steps:
        steps[-1] += cot[at:]
    else:
        steps += rest
        known += [None for _ in rest]
    return steps, known


def blocked(steps: Sequence[str], labels: Sequence[bool | None], most: int) -> tuple[list[str], list[bool | None], int]:
    """At most ``most`` steps of the same text, as far as labels let it, with their labels, and the longest block.

    The block is 1 where nothing had to be put together. Steps that have a label are never joined, nor are sentences on
    both sides of one, so more than ``most`` remain where there are that many labels.
    """
    if len(steps) <= most:
        return list(steps), list(labels), 1
    runs = _runs(labels)
    room = most - sum(label is not None for label in labels)
    size = 1
    longest = max((end - begin for begin, end in runs), default=1)
    while size < longest and sum(-(-(end - begin) // size) for begin, end in runs) > room:
        size += 1
    joined: list[str] = []
    known: list[bool | None] = []
    at = 0
    for begin, end in [*runs, (len(steps), len(steps))]:
        joined += steps[at:begin]
        known += labels[at:begin]
        for start in range(begin, end, size):
            joined.append("".join(steps[start : min(start + size, end)]))
            known.append(None)
        at = end
    return joined, known, size


def _runs(labels: Sequence[bool | None]) -> list[tuple[int, int]]:
    """Begin and end of each run of steps without a label."""
    found: list[tuple[int, int]] = []
    for at, label in enumerate(labels):
        if label is None:
            if found and found[-1][1] == at:
                found[-1] = (found[-1][0], at + 1)
            else:
                found.append((at, at + 1))
    return found
