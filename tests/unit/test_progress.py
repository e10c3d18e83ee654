"""How far work is: shares of parts within those of the whole, and that nothing is lost on the way."""

from __future__ import annotations

from typing import Any

import pytest

from analysis.engine.context import Context
from analysis.errors import Cancelled
from analysis.progress import Progress, portion


class Record(list[tuple[float | None, str, dict[str, Any]]]):
    """Progress that is written down."""

    def __call__(self, share: float | None, text: str = "", **facts: Any) -> None:
        self.append((share, text, facts))


def test_a_portion_lies_between_its_bounds_and_keeps_facts_and_unknown_shares() -> None:
    record = Record()
    told = portion(record, 0.2, 0.6, "fit: ")
    told(0.0, "begin")
    told(0.5, "half", curve=[1])
    told(1.0)
    told(None, "who knows")
    assert [share for share, *_ in record] == [pytest.approx(0.2), pytest.approx(0.4), pytest.approx(0.6), None]
    assert [text for _, text, _ in record] == ["fit: begin", "fit: half", "fit: ", "fit: who knows"]
    assert [facts for *_, facts in record] == [{}, {"curve": [1]}, {}, {}]


def test_portions_of_portions_cover_the_whole_without_a_gap() -> None:
    record = Record()
    for n in range(4):
        of_part = portion(record, n / 4, (n + 1) / 4)
        for m in range(3):
            portion(of_part, m / 3, (m + 1) / 3)(1.0)
    assert [share for share, *_ in record] == pytest.approx([(n + 1) / 12 for n in range(12)])


def test_what_progress_raises_passes_through() -> None:
    def stop(share: float | None, text: str = "", **facts: Any) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        portion(portion(stop, 0.1, 0.5))(0.5, "on")


def test_the_progress_of_a_context_is_of_this_form_and_a_safe_point() -> None:
    context, values, points = Context(), [], []
    context.on_progress = values.append
    context.check = lambda: points.append(len(values))  # type: ignore[method-assign]
    progress: Progress = context.progress
    portion(progress, 0.5, 1.0)(0.5, "half", curve=[2])
    progress(None)
    assert values == [{"share": 0.75, "text": "half", "curve": [2]}, {"share": None, "text": ""}]
    assert points == [1, 2]
