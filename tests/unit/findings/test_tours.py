"""Tours: every step opens a page at a state that it can be in, and points at something that stands there."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from analysis.errors import UserError
from analysis.findings.store import FindingStore
from analysis.findings.tours import Tour, bundled_tours, tour_of
from pages.frame.tours import tour_called
from pages.registry import pages
from pages.state import names_of, write
from tests.unit.findings.test_prose import pin

PAGES = {page.path: page for page in pages()}


def names_on(component: Any) -> set[str]:
    """All names by which a step can point at a part of a page: ids, and the names of cards."""
    parts = [component, *component._traverse()]
    ids = {part.id for part in parts if isinstance(getattr(part, "id", None), str)}
    return ids | {
        part.to_plotly_json()["props"].get("data-card", "") for part in parts if hasattr(part, "to_plotly_json")
    }


def test_three_tours_come_with_attune() -> None:
    tours = bundled_tours()
    assert [tour.name for tour in tours] == ["attention", "steering", "othello"]
    for tour in tours:
        assert 5 <= len(tour.steps) <= 8 and tour.title and tour.about.endswith(".")
        assert tour_called(tour.name) is tour


@pytest.mark.parametrize("tour", bundled_tours(), ids=lambda tour: tour.name)
def test_every_step_opens_a_page_as_it_says(tour: Tour) -> None:
    for step in tour.steps:
        where = urlsplit(step.address)
        page, query = PAGES[where.path], dict(parse_qsl(where.query, strict_parsing=bool(where.query)))
        if page.state is None or page.read_address is None:
            assert not query
        else:
            state = page.read_address(query)
            assert state.problems == () and set(query) <= set(names_of(page.state))
            for name in query.keys() - {"model"}:
                assert name in write(state) or query[name] == "0", f"{step.address} says nothing by {name}"
        assert step.card in names_on(page.layout(**query)), f"{step.card} does not stand on {where.path}"
        assert 60 < len(step.note) < 460 and step.note.endswith("."), step.note


def test_a_board_of_steps_and_findings_is_a_tour(tmp_path: Path) -> None:
    store = FindingStore(tmp_path)
    board = store.new_board("Mine", "tour")
    with pytest.raises(UserError, match="no step yet"):
        tour_of(store.board(board.id))
    store.add(board.id, "section", {"title": "A section leads nowhere"})
    store.add(board.id, "step", {"address": "/othello", "card": "oth-next-card", "note": "What it would play."})
    shown = store.put_pin(pin("a" * 32, 1.0, kl=0.25))
    store.add(board.id, "finding", {"claim": "It costs {{kl}}.", "note": "No more.", "pins": [shown.id]})
    tour = tour_of(store.board(board.id))
    assert [(step.address, step.card, step.note) for step in tour.steps] == [
        ("/othello", "oth-next-card", "What it would play."),
        (shown.address, "", "It costs 0.250.\n\nNo more."),
    ]
    with pytest.raises(UserError, match="is no tour"):
        tour_of(store.board(store.new_board("A board").id))
