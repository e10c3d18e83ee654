"""What every page does when it asks."""

from __future__ import annotations

from pages.common import TimeLeft


def test_the_time_left_is_told_once_there_is_enough_to_tell_it_from() -> None:
    now = [0.0]
    left = TimeLeft(lambda: now[0])
    assert left.said(0.1, "Reading") == "Reading"
    now[0] = 4.0
    assert left.said(0.2, "Reading") == "Reading"  # too early
    now[0] = 60.0
    # A third of what was left at first took a minute.
    assert left.said(0.4, "Reading") == "Reading · about 2 min left"
    assert left.said(0.4, "") == "about 2 min left"
    assert left.said(0.4, "half, 7 s left") == "half, 7 s left"
    assert left.said(1.0, "Reading") == "Reading"


def test_a_second_part_that_begins_at_nothing_is_timed_anew() -> None:
    now = [0.0]
    left = TimeLeft(lambda: now[0])
    left.said(0.0, "")
    now[0] = 100.0
    left.said(0.9, "")
    assert left.said(0.0, "again") == "again"
    now[0] = 110.0
    assert left.said(0.5, "again") == "again · about 10 s left"


def test_features_are_moved_and_removed_by_what_they_are() -> None:
    """Their places in the list on screen may be those of an older list."""
    from pages.attention.features import rearranged
    from pages.attention.state import MOST_FEATURES

    a, b, c = ({"kind": "induction", "seed": seed} for seed in range(3))
    assert rearranged([a, b, c], {"kind": "raise", "feature": c}) == [a, c, b]
    assert rearranged([a, b], {"kind": "remove", "feature": a}) == [b]
    assert rearranged([b], {"kind": "remove", "feature": a}) == [b]  # pressed twice
    assert rearranged([a], {"kind": "add", "feature": b}) == [a, b] and rearranged(
        [a], {"kind": "add", "feature": a}
    ) == [a]
    full = [{"kind": "induction", "seed": seed} for seed in range(MOST_FEATURES)]
    assert rearranged(full, {"kind": "add", "feature": {"kind": "previous"}}) == full
