"""Shares of texts: intervals as scipy has them, what counts as a word, and regular expressions that would not end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from analysis.errors import UserError
from analysis.steering.shares import COUNTED, LONGEST, Share, difference, places

COUNTS = st.integers(0, 40).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(COUNTS)
def test_the_interval_is_wilsons(pair: tuple[int, int]) -> None:
    share = Share(*pair)
    if not share.total:
        assert share.interval == (0.0, 1.0) and share.value == 0.0
        return
    exact = binomtest(*pair).proportion_ci(0.95, method="wilson")
    assert share.interval == pytest.approx((exact.low, exact.high), abs=1e-12)


@given(COUNTS, COUNTS)
def test_a_difference_lies_in_its_interval_and_turns_with_its_sides(a: tuple[int, int], b: tuple[int, int]) -> None:
    d, low, high = difference(Share(*a), Share(*b))
    assert -1 - 1e-12 <= low <= d <= high <= 1 + 1e-12
    assert difference(Share(*b), Share(*a)) == pytest.approx((-d, -high, -low))


def test_newcombes_interval() -> None:
    # Newcombe 1998, table II, method 10: 56/70 against 48/80 is 0.20, 0.0524 to 0.3339.
    assert difference(Share(56, 70), Share(48, 80)) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_what_counts_as_a_word() -> None:
    found = places(["Ships, a shipment, the SHIP", "no", "fishes ship"], "theme", "", ["ship", "fish"])
    assert found == [[(0, 5), (23, 27)], [], [(0, 6), (7, 11)]]
    assert places(["Ships, a  ship of  war"], "words", " ship of  war, C++ , ship", []) == [[(10, 22)]]
    assert places(["C++ and c+ c++"], "words", "C++", []) == [[(0, 3), (11, 14)]]
    assert places(["red wine, WINES"], "regex", r"wines?\b", []) == [[(4, 8), (10, 15)]]
    assert places(["", "abc"], "regex", r"x*", []) == [[], []]


@pytest.mark.parametrize(
    ("counted", "pattern", "sentence"),
    [
        ("theme", "", "no words of its own"),
        ("words", " , ", "Type the word"),
        ("regex", " ", "Type the regular expression"),
        ("regex", "(a", "no regular expression: missing"),
        ("regex", "(?:a{100}){100}", "repeats more than 1,000"),
        ("regex", "a" * (LONGEST + 1), "at most 200 characters"),
        ("words", "a" * (LONGEST + 1), "at most 200 characters"),
        ("regex", "(a|aa)+$", "takes too long"),
    ],
)
def test_what_cannot_be_counted_is_refused_in_a_sentence(counted: str, pattern: str, sentence: str) -> None:
    assert counted in COUNTED
    with pytest.raises(UserError, match=sentence):
        places(["a" * 400 + "!"], counted, pattern, [])  # type: ignore[arg-type]
