"""The trace of long chains: how many places are read, that it is said, and that short chains are read whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from analysis.faithfulness.ask import Ask, Reply, TextReply
from analysis.faithfulness.item import MAX_STEPS, Item, Part
from analysis.faithfulness.trace import MOST_PLACES, lines, traced


class Counting:
    """Says the answer more surely the longer the text, and counts what it is asked."""

    def __init__(self) -> None:
        self.asked: set[Ask] = set()

    def read(self, asks: Sequence[Ask]) -> dict[Ask, Reply | TextReply]:
        self.asked |= set(asks)
        return {ask: Reply(ask.candidates, np.array([len(ask.text) / 1e4, 0.0])) for ask in asks}  # type: ignore[union-attr]


def chain_of(count: int) -> Item:
    steps = tuple(f" Step {k} is 4." for k in range(count))
    return Item(
        id="i", before="", question=(Part("What?"),), lead="\n", steps=steps, cue="\nAnswer: ", answer="4",
        candidates=("4", "5"), mistakes=tuple(s.replace("4", "5") for s in steps),
        paraphrases=tuple(f" So:{s}" for s in steps),
    )  # fmt: skip


@pytest.mark.parametrize("count", [1, MOST_PLACES - 1, MOST_PLACES, 100, MAX_STEPS])
def test_a_trace_ends_whatever_the_chain(count: int) -> None:
    item, reader = chain_of(count), Counting()
    rows = traced(item, reader)
    assert len(rows) == 5 and len(reader.asked) <= 5 * MOST_PLACES
    said = rows[0].sentence
    for row in rows:
        steps = [p.step for p in row.points]
        assert steps[0] == 0 and steps[-1] == count and len(steps) == min(count + 1, MOST_PLACES)
        assert np.ptp(np.diff(steps)) <= 1  # evenly spaced
    if count + 1 <= MOST_PLACES:
        assert steps == list(range(count + 1)) and "places" not in said
    else:
        assert f"Of {count + 1} places, {MOST_PLACES} are read, evenly spaced" in said and said.endswith(".")
    assert rows[0].points[-1].text == "".join(item.steps).strip()
    assert all(len(line.asks) == count + 1 for line in lines(item))
