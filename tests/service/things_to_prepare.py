"""Products whose making is a wait and a file, for tests of Prepare; time passes by hand or by itself.

What was made is seen through files, which a killed process leaves: one per product that says its level, and a journal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from analysis.artefacts import write_whole
from analysis.engine.context import Context
from analysis.engine.operation import Operation
from analysis.engine.question import Kind, Result
from analysis.errors import UserError
from analysis.home import home
from analysis.models.model_facts import ModelFacts
from analysis.models.spec import ModelSpec
from analysis.product import Cost, Level, Product, Rate

QUARTERS = 4


class Clock:
    """Seconds by hand."""

    def __init__(self) -> None:
        self.now, self.wait = 0.0, self.pass_by

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


CLOCK = Clock()


@dataclass(frozen=True)
class MakeThing(Operation[Any]):
    """Writes a file that says its level, after some seconds; ``fault``: what becomes of it instead."""

    kind: ClassVar[Kind] = "job"
    writes: ClassVar[bool] = True
    name: str = ""
    level: int = 0
    seconds: float = 0.0
    fault: str = ""

    def run(self, context: Context) -> Result:
        for n in range(QUARTERS):
            CLOCK.wait(self.seconds / QUARTERS)
            context.progress((n + 1) / QUARTERS, "a quarter more")
        if self.fault == "refusal":
            raise UserError("It cannot be had.")
        if self.fault == "bug":
            raise ZeroDivisionError
        file = home() / f"thing-{self.name}"
        write_whole(file, str(self.level + 1).encode())
        # The journal is what says that a thing is there: one step, so that no kill falls between the two.
        write_whole(home() / "made", f"{made()} {self.name}{self.level}".encode())
        return Result({}, files=(file.name,))


@dataclass(frozen=True)
class Heights:
    """Levels of things that are there."""

    text: str


@dataclass(frozen=True)
class ReadThings(Operation[Heights]):
    """Which things are there now: a question that is asked while a run goes on."""

    kind: ClassVar[Kind] = "live"

    def run(self, context: Context) -> Heights:
        return Heights(" ".join(f"{file.name[6:]}{file.read_text()}" for file in sorted(home().glob("thing-*"))))


def made() -> str:
    """What was made, in order."""
    file = home() / "made"
    return file.read_text().strip() if file.exists() else ""


def thing(name: str, *costs: float, page: str = "/steering", fault: str = "", truth: float = 1.0) -> Product:
    """A product whose levels take ``truth`` times what is predicted."""

    def levels(spec: ModelSpec, facts: ModelFacts, rate: Rate) -> tuple[Level, ...]:
        return tuple(
            Level(f"level {n}", MakeThing(name, n, cost * truth, fault), Cost(cost, 10, 10), f"Level {n} of {name}.")
            for n, cost in enumerate(costs)
        )

    def present(facts: ModelFacts, of: tuple[Level, ...]) -> int:
        marks = made().split() if (home() / f"thing-{name}").exists() else []
        return max((int(mark[-1]) + 1 for mark in marks if mark[:-1] == name), default=0)

    return Product(page, name, f"Shows {name}.", levels, present)
