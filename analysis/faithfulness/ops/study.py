"""Operations of the Faithfulness page on what is kept: leaderboard, points behind it, items; and a few steps shared by
the operations that ask the model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from analysis.answer import from_wire
from analysis.engine.context import Context
from analysis.engine.operation import Operation
from analysis.errors import UserError
from analysis.faithfulness.answers.board import (
    Board,
    ItemList,
    ItemRow,
    ScorePoint,
    StudyList,
    TierScores,
    TwinName,
)
from analysis.models.spec import ModelSpec

if TYPE_CHECKING:
    from analysis.faithfulness.item import Item
    from analysis.faithfulness.reader import ModelReader
    from analysis.faithfulness.study import Study
    from analysis.models.loaded_model import LoadedModel

A = TypeVar("A")
TIERS = ("0", "1", "2", "Z", "G1", "own", "file")
IMPORTANCE = "Adding Mistakes"
"""The measure whose score stands for importance on the map of importance and truth."""


@dataclass(frozen=True)
class OnStudy(Operation[A]):
    """A kept study of a model; "" is the one that comes with Attune."""

    model: ModelSpec = ModelSpec("default")
    study: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.study, str) or len(self.study) > 80:
            raise UserError("A study is named by at most 80 characters.", "study")

    def opened(self, context: Context) -> tuple[LoadedModel, Study]:
        """Model and study; UserError if this model has no such study."""
        from analysis.faithfulness.library import open_study

        loaded = context.model(self.model)
        return loaded, open_study(context.memory, loaded.facts.fingerprint, self.study)

    def reads(self, context: Context) -> str:
        """Name and checksum of the study that the answer is read from."""
        from analysis.faithfulness.library import STUDIES, resolved

        fingerprint = context.residents.fingerprint(self.model) or ""
        return STUDIES.checksum(resolved(fingerprint, self.study) or "default", fingerprint[:32])


def reader_for(context: Context, loaded: LoadedModel) -> ModelReader:
    """A reader for one task, with the replies that readers of this model remember; they go when the model goes."""
    from analysis.faithfulness.reader import reader_of_model

    return reader_of_model(loaded, context.check)


def unlabelled(items: tuple[Item, ...]) -> bool:
    """Whether nothing in a study can be ranked."""
    return all(item.label is None for item in items)


@dataclass(frozen=True)
class FaithBoard(OnStudy[Board]):
    """The leaderboard of a study and all that stands beside it."""

    def run(self, context: Context) -> Board:
        from analysis.faithfulness.library import resolved, studies

        loaded, study = self.opened(context)
        m, fingerprint = study.manifest, loaded.facts.fingerprint
        seconds = m["cost"]["seconds"]
        took = f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} s"
        name = resolved(fingerprint, self.study)
        whence = "Made here" if name else "Comes with Attune"
        data = {
            "studies": [asdict(study) for study in studies(fingerprint)],
            "fingerprint": fingerprint,
            "study": name,
            "source": f"{whence}: {m['command']}, {m['model']}, {took}.",
            **current(m["board"]),
        }
        return from_wire(Board, data, {})


def current(board: dict[str, Any]) -> dict[str, Any]:
    """A board as it was kept, its numbers untouched, with what is said of measures, and what was published of them, as
    it is known now."""
    from analysis.faithfulness.measures import BASELINES, CONTINUED, MEASURES, OF_ROWS
    from analysis.faithfulness.published import note, published

    words = {m.name: m.sentence for m in (*MEASURES, *CONTINUED, *BASELINES, *OF_ROWS)}
    rows = [
        {
            **row,
            "sentence": words.get(row["measure"], row["sentence"]),
            "published": published(row["measure"]),
        }
        for row in board.get("rows", [])
    ]
    return {**board, "rows": rows, "published_note": note([row["measure"] for row in rows])}


@dataclass(frozen=True)
class FaithStudies(Operation[StudyList]):
    """The kept studies of a model: what can be chosen where the one that was asked for cannot be opened."""

    model: ModelSpec = ModelSpec("default")

    def run(self, context: Context) -> StudyList:
        from analysis.faithfulness.library import studies

        fingerprint = context.model(self.model).facts.fingerprint
        return StudyList(tuple(studies(fingerprint)), fingerprint)


@dataclass(frozen=True)
class FaithScores(OnStudy[TierScores]):
    """Every item of a tier with all its scores."""

    tier: str = "1"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tier not in TIERS:
            raise UserError(f"Choose one of the tiers {', '.join(TIERS)}.", "tier")

    def run(self, context: Context) -> TierScores:
        _, study = self.opened(context)
        main, measures = study.main(), study.manifest["measures"]
        names = [m["name"] for m in measures]
        points = []
        for at in study.of(self.tier):
            item = study.items[at]
            scores = {name: _number(main[row, at]) for row, name in enumerate(names)}
            points.append(
                ScorePoint(
                    item.id, item.label, item.regime, item.problem, item.demos, short(item), len(item.steps), scores,
                    scores.get(IMPORTANCE),
                )
            )  # fmt: skip
        thresholds = {m["name"]: m["threshold"] for m in measures if m["thresholded"]}
        return TierScores(tuple(points), tuple(names), thresholds, IMPORTANCE, self.tier)


@dataclass(frozen=True)
class FaithItems(OnStudy[ItemList]):
    """The items of a study, each with its twins: the same problem under the same demonstrations."""

    def run(self, context: Context) -> ItemList:
        _, study = self.opened(context)
        return ItemList(tuple(item_row(study, item) for item in study.items))


def item_row(study: Study, item: Item) -> ItemRow:
    """A row of the list of items."""
    twins = tuple(TwinName(t.id, t.regime) for t in study.twins(item))
    return ItemRow(
        item.id, item.tier, item.regime, item.label, item.problem, item.demos, short(item), item.answer.strip(), twins
    )


def short(item: Item) -> str:
    """Question and chain in one line; of chains of the model's own, answer and chain."""
    question = " · ".join(line.strip() for line in item.question_text.strip().splitlines())
    text = f"{question} ·{''.join(item.steps)}".replace("\n", " ")
    if item.tier == "own":  # all chains answer one question: the answer and the steps tell them apart
        text = f"{item.answer.strip()} ·{''.join(item.steps)}".replace("\n", " ")
    return text if len(text) <= 140 else text[:139] + "…"


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
