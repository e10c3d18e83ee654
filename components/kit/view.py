"""Views: pictures of answers, as pure functions that can be had by name.

    @view("validation/spectra", ToyReport)
    def toy_spectra(report: ToyReport, options: NoOptions, theme: str) -> Drawing: ...

A view takes the answers that it declares, its options (a frozen dataclass of plain values) and the theme, and gives a
figure with its caption. It is registered under its name, so that a :class:`analysis.view_ref.ViewRef` finds it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec

from analysis.errors import UserError
from analysis.view_ref import QuestionRef, ViewRef
from components.kit.figure import Figure
from components.kit.part import Part

P = ParamSpec("P")
VIEWS: dict[str, View[Any]] = {}


@dataclass(frozen=True)
class Control:
    """What a claim is held against: the null or control of a view, by its name in the field ("shuffled labels", "random
    subspace", "random region", "wrong square", "baseline"), a sentence that says what it gave, and its numbers."""

    name: str
    text: str
    numbers: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Drawing:
    """A figure, and the caption below it; or, where there is no figure, ``parts`` of other kinds (or both).

    ``facts``: plain data of the answers that the questions do not say, such as the rank that a rule chose; an export
    prints it with the settings. ``control``: None where the view has none. ``numbers``: what prose may quote of the
    picture, by a short name, such as the value of the row that is chosen. ``hint``: what a click on the picture does;
    the card says it behind the caption, and a pin, where nothing answers a click, does not.
    """

    figure: Figure | None = None
    caption: str = ""
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    control: Control | None = None
    numbers: dict[str, float] = dataclasses.field(default_factory=dict)
    hint: str = ""


@dataclass(frozen=True)
class NoOptions:
    """The options of a view that has none."""


@dataclass(frozen=True)
class View(Generic[P]):
    """A registered view. Called, it draws."""

    name: str
    answers: tuple[type, ...]
    options: type
    draw: Callable[P, Drawing]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Drawing:
        return self.draw(*args, **kwargs)

    def ref(self, questions: Sequence[QuestionRef], options: Any = None) -> ViewRef:
        """What draws this view of these questions again."""
        if len(questions) != len(self.answers):
            raise TypeError(f"{self.name} draws {len(self.answers)} answers, not {len(questions)}")
        chosen = self.options() if options is None else options
        return ViewRef(self.name, tuple(questions), dataclasses.asdict(chosen))

    def options_from(self, data: dict[str, Any]) -> Any:
        """The options in a ViewRef. Raises UserError where they are none of this view's."""
        fields = {f.name: f for f in dataclasses.fields(self.options)}
        if data.keys() - fields.keys():
            raise UserError(f"The view {self.name} has no option {sorted(data.keys() - fields.keys())[0]!r}.")
        try:
            return self.options(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items()})
        except TypeError as error:
            raise UserError(f"The options of the view {self.name} are not complete.") from error


def view(name: str, *answers: type, options: type = NoOptions) -> Callable[[Callable[P, Drawing]], View[P]]:
    """Register a function as a view of answers of these classes."""

    def register(draw: Callable[P, Drawing]) -> View[P]:
        if name in VIEWS:
            raise ValueError(f"there are two views called {name}")
        VIEWS[name] = View(name, answers, options, draw)
        return VIEWS[name]

    return register


def view_called(name: str) -> View[Any]:
    """The view of that name; UserError if there is none."""
    if name not in VIEWS:
        raise UserError(f"There is no view called {name!r} in this version of Attune.")
    return VIEWS[name]
