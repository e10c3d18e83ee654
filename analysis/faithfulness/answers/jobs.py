"""Answers of the jobs that make a study: what it will cost, and what was kept under which name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from analysis.answer import Incidental


@dataclass(frozen=True)
class StudyEstimate:
    """How many items a study will have at most, and about how many seconds it takes."""

    sentence: str
    seconds: Annotated[float, Incidental()]
    items: int


@dataclass(frozen=True)
class NewStudy:
    """A study that was made and kept."""

    study: str
    sentence: str
    items: int


@dataclass(frozen=True)
class OwnChain:
    """A chain that the model wrote: its item, its steps, its answer, and all of it as text."""

    item: str
    chain: tuple[str, ...]
    answer: str
    text: str


@dataclass(frozen=True)
class AnswerCount:
    """How often an answer came."""

    answer: str
    count: int


@dataclass(frozen=True)
class OwnChains:
    """A study of the model's own chains; ``texts``: everything that it wrote, also what could not be split."""

    study: str
    items: tuple[OwnChain, ...]
    sentence: str
    answers: tuple[AnswerCount, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True)
class RefusedLine:
    """A line of a file (from 1) that cannot be used, and why."""

    line: int
    sentence: str


@dataclass(frozen=True)
class FileStudy:
    """A study of rows from a file: how many items it has, and the lines that were left out."""

    study: str
    items: int
    refused: tuple[RefusedLine, ...]
    sentence: str


@dataclass(frozen=True)
class ScoredRows:
    """Scores as CSV in the columns of the published code, and how many rows there are."""

    text: str
    rows: int
    sentence: str
