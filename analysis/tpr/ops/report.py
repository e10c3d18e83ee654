"""Operations of the game report: one game ply by ply, and random games for comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from analysis.engine.context import Context
from analysis.engine.question import Kind
from analysis.fields import Choice, Whole
from analysis.tpr.answers.report import GameCourse, UsualCourse
from analysis.tpr.ops.reading import LABELS, PROBES, OfGame, OfOthello


@dataclass(frozen=True)
class GameReport(OfGame[GameCourse]):
    """The whole game ply by ply: probability on illegal moves, and squares that a probe reads wrongly."""

    probe: Annotated[str, Choice(PROBES, words="The probe")] = "tpr"

    def run(self, context: Context) -> GameCourse:
        from analysis.tpr.course import course_of

        room, game, _row = self.read(context)
        return course_of(room, game, self.layer, self.probe, self.labels)


@dataclass(frozen=True)
class UsualReport(OfOthello[UsualCourse]):
    """The same of random games: what is usual at each ply, and in how many of them the model loses the board."""

    kind: ClassVar[Kind] = "job"
    games: Annotated[int, Whole(20, 5000, words="The number of games")] = 200
    seed: Annotated[int, Whole(0, 2**31 - 1, words="The seed")] = 60_000
    labels: Annotated[str, Choice(LABELS, words="The labels")] = "parity"
    probe: Annotated[str, Choice(PROBES, words="The probe")] = "tpr"

    def describe(self) -> str:
        return f"How {self.games} random games usually go"

    def run(self, context: Context) -> UsualCourse:
        from analysis.tpr.course import usual_course

        room = self.room(context)
        return usual_course(
            room,
            self.probe,
            self.labels,  # type: ignore[arg-type]
            self.games,
            self.seed,
            context.progress,
            context.check,
        )
