"""A pin as the browser draws it: what was pinned stays, and the other theme is drawn from the frozen answers."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from analysis.answer import to_wire
from analysis.errors import UserError
from analysis.findings.records import Check, Pin
from components.findings.exhibit import exhibit, plain_figure, settings_of
from components.kit.figure import figure
from components.kit.theme import template
from components.kit.view import Drawing, NoOptions, view


@dataclass(frozen=True)
class Base:
    """An answer of the test's own view."""

    values: np.ndarray


@dataclass(frozen=True)
class Wider(Base):
    """What an operation may answer where the view declares the base."""

    more: int = 0


@dataclass(frozen=True)
class Kept:
    data: dict[str, Any]
    arrays: dict[str, np.ndarray]


class Shelf:
    """Contents by name."""

    def __init__(self, answer: Any, drawn: Any) -> None:
        self.kept, self.drawn = Kept(*to_wire(answer)), json.dumps(plain_figure(drawn))

    def answer(self, digest: str) -> Kept:
        if digest != "a":
            raise UserError("The answer is missing.")
        return self.kept

    def json(self, digest: str) -> Any:
        return json.loads(self.drawn)


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    monkeypatch.setattr("components.kit.view.VIEWS", local := {})

    @view("test/line", Base)
    def line(answer: Base, options: NoOptions, theme: str) -> Drawing:
        colour = "white" if theme == "dark" else "black"
        return Drawing(figure([{"type": "scatter", "y": answer.values, "line": {"color": colour}}], theme), "c")

    assert list(local) == ["test/line"]
    answer = Wider(np.array([1.0, np.nan, 2.0]), 3)
    return Shelf(answer, line.draw(answer, NoOptions(), "light").figure)


PIN = Pin(
    id="p",
    title="A line",
    ref={"view": "test/line", "questions": [{"operation": "Q", "params": {"layer": 3}}], "options": {}},
    address="/attention?layer=3",
    caption="One line.",
    theme="light",
    made=0.0,
    answers=("a",),
    figure="f",
    height=360,
    parts=({"kind": "facts", "title": "", "rows": []},),
    control={"name": "baseline", "text": "Nothing.", "numbers": {"kl": 0.1}},
    numbers={"kl": 2.0},
    facts={"rank": 1},
)


def test_a_pin_is_plain_data_as_it_was_pinned(shelf: Shelf) -> None:
    made = exhibit(PIN, shelf, "light", Check("p", 1.0, "equal", "All numbers are equal."), "the fit has changed.")
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    assert made["figure"]["data"][0]["y"] == [1.0, None, 2.0] and made["figure"]["data"][0]["line"]["color"] == "black"
    assert made["control"] == PIN.control and made["numbers"] == {"kl": 2.0} and made["facts"] == {"rank": 1}
    assert made["settings"] == {"view": "test/line", "layer": 3} and made["date"] == "1970-01-01T00:00:00+00:00"
    assert made["check"]["state"] == "equal" and made["stale"] == "the fit has changed." and made["frozen"] is None


def test_the_other_theme_is_drawn_from_the_frozen_answers(shelf: Shelf) -> None:
    made = exhibit(PIN, shelf, "dark")
    assert made["figure"]["data"][0]["line"]["color"] == "white" and made["frozen"] is None
    assert made["figure"]["layout"]["template"] == template("dark")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"answers": ("lost",)}, "The answer is missing."),
        ({"ref": PIN.ref | {"view": "test/old"}}, "no view called 'test/old'"),
        ({"answers": ("a", "a")}, "does not read the pinned answers"),
        ({"answers": ()}, "left out when it was handed over"),
    ],
)
def test_what_cannot_be_drawn_stays_as_it_was_and_says_so(shelf: Shelf, change: dict[str, Any], words: str) -> None:
    made = exhibit(replace(PIN, **change), shelf, "dark")
    assert made["figure"]["data"][0]["line"]["color"] == "black" and words in (made["frozen"] or "")
    assert made["figure"]["layout"]["template"] == template("dark")


def test_a_figure_stands_in_the_window_that_was_pinned(shelf: Shelf) -> None:
    made = exhibit(
        replace(PIN, window={"yaxis.range": [0, 3], "scene.camera": {"eye": {"x": 1}}, "title.text": "x"}),
        shelf,
        "light",
    )
    assert made["figure"]["layout"]["yaxis"] == {"range": [0, 3], "autorange": False}
    assert (
        made["figure"]["layout"]["scene"] == {"camera": {"eye": {"x": 1}}} and "title" not in made["figure"]["layout"]
    )


def test_settings_of_two_questions_are_told_apart() -> None:
    ask = [{"operation": "A", "params": {"layer": 1, "text": "x" * 3000}}, {"operation": "B", "params": {"layer": 2}}]
    out = settings_of({"view": "v", "questions": ask, "options": {"unit": "raw"}})
    assert out["layer"] == 1 and out["B.layer"] == 2 and out["unit"] == "raw"
    assert out["text"].endswith("… (3000 characters)") and len(out["text"]) < 2100
