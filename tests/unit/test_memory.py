"""Recent values within a limit of bytes, and one that is larger than the limit by itself."""

from __future__ import annotations

from analysis.engine.memory import Memory


def held(memory: Memory) -> str:
    return "".join(k for k in "abcdefgh" if memory._items.get(k) is not None)


def test_the_least_recently_used_goes_first() -> None:
    memory = Memory(limit=10)
    for name in "abc":
        memory.put(name, name, 4)
    assert held(memory) == "bc" and memory.get("b") == "b"
    memory.put("d", "d", 4)
    assert held(memory) == "bd" and memory._bytes == 8


def test_one_that_is_larger_than_all_stays_beside_small_ones_until_the_next() -> None:
    memory = Memory(limit=10)
    memory.put("a", "a", 4)
    memory.put("b", "b", 50)
    for name in "cde":
        memory.put(name, name, 4)
    assert held(memory) == "bde" and memory._bytes == 58
    memory.put("f", "f", 60)
    assert held(memory) == "def" and memory._bytes == 68
    memory.put("f", "f", 3)
    assert held(memory) == "ef" and memory._bytes == 7
