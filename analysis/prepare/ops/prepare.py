"""Operations of Prepare: what each page needs for a model, and a run that makes it under a budget."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Annotated, ClassVar

from analysis.answer import to_wire
from analysis.engine.context import Context
from analysis.engine.operation import Operation
from analysis.engine.question import Kind, Result
from analysis.errors import UserError
from analysis.fields import Real
from analysis.models.spec import ModelSpec
from analysis.prepare.answers import Preparation, Prepared
from analysis.prepare.products import check_pages

LONGEST = 7 * 86_400.0


@dataclass(frozen=True)
class DescribePrepare(Operation[Preparation]):
    """What is there for a model, what can be made, and what that costs here. It measures for a second or two, unless
    that was done at or after ``since``, in seconds since 1970."""

    model: ModelSpec = ModelSpec("default")
    since: Annotated[float, Real(0, 1e11, words="The time of the measurement")] = 0.0

    def run(self, context: Context) -> Preparation:
        from analysis.prepare.describe import preparation

        return preparation(context, self.model, self.since)


@dataclass(frozen=True)
class PrepareModel(Operation[Prepared]):
    """Make what some pages need (all, if none is named), as much as fits into ``budget`` seconds.

    Each part is kept under its own key and on its own shelf as soon as it is made, so that whoever cancels loses the
    part at hand alone, and who asks again makes only what is missing. A part that fails is reported, and the others are
    made.

    Progress has the facts ``place`` and ``places`` (the part at hand, from 1, and how many), ``page``, ``seconds``
    (predicted to be left) and ``step`` (the part's own progress). A part that has come to its end is told once more,
    with ``part`` (fields of :class:`analysis.prepare.answers.Part`) and ``wrote`` as true: from that the client knows
    that what it has read is old.
    """

    kind: ClassVar[Kind] = "job"
    writes: ClassVar[bool] = True
    common: ClassVar[bool] = True
    model: ModelSpec = ModelSpec("default")
    pages: tuple[str, ...] = ()
    budget: Annotated[float, Real(1, LONGEST, words="The budget in seconds")] = 600.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.pages, tuple) or not all(isinstance(page, str) for page in self.pages):
            raise UserError("The pages to prepare are named by their paths.", "pages")
        check_pages(self.pages)

    def describe(self) -> str:
        which = "all pages" if not self.pages else ", ".join(page.removeprefix("/") for page in self.pages)
        return f"Prepare {which} for {self.model.label}"

    def reads(self, context: Context) -> str:
        """Another text at each run: what is to be made depends on the shelves and on the time, so no kept answer serves
        in its place."""
        return uuid.uuid4().hex

    def run(self, context: Context) -> Result:
        from analysis.prepare.run import Run

        run = Run(context, self.model, self.pages, self.budget)
        answer = run.make()
        return Result(*to_wire(answer), files=tuple(run.files))
