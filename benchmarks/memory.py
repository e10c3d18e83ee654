"""Whether memory is flat: questions that nobody has asked, by fifties, once the memory of passes is full.

Asked as the worker asks them, with a memory of passes that is full after some dozens; its own has 600 MB. What is
written is the resident memory after each further fifty, as a ratio to that when it was full. Run it as
``python -m benchmarks.memory [fifties]``.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil

from analysis.engine.context import Context
from analysis.engine.memory import Memory, give_back
from analysis.engine.store import ResultStore
from benchmarks.people import fresh_questions

LIMIT = 40 << 20
"""Bytes of the memory of passes."""
BLOCK = 50


def main(blocks: int = 3) -> dict[str, Any]:
    """Resident memory when the memory of passes is full, and by how much it grows."""
    chance, kinds = random.Random(0), fresh_questions()  # noqa: S311
    with tempfile.TemporaryDirectory() as folder:
        context = Context(memory=Memory(LIMIT), store=ResultStore(Path(folder)))

        def ask(number: int) -> float:
            for _ in range(number):
                kind = chance.choices(kinds, [k.share for k in kinds])[0]
                context.perform(kind.ask(chance.randrange(100_000)))
            give_back()
            return float(psutil.Process().memory_info().rss / 1e6)

        first = ask(BLOCK)
        full = ask(BLOCK)
        further = [ask(BLOCK) for _ in range(blocks)]
    return {
        "memory of the worker, distinct questions": {
            f"after {BLOCK}, and full after {2 * BLOCK}, MB": f"{first:.0f}, {full:.0f}",
            f"after each further {BLOCK}, ratio to full": ", ".join(f"{value / full:.3f}" for value in further),
        }
    }


if __name__ == "__main__":
    for name, facts in main(*map(int, sys.argv[1:2])).items():
        print(name)
        for what, value in facts.items():
            print(f"  {what}: {value}")
