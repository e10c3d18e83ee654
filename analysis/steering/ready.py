"""What steers, whatever method it is of, read for one model: what is put into it, and random pushes in its place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.steering import Intervention
    from analysis.steering.prompt import ReadPrompt

LARGEST = 8.0
"""Times a set-up's strength up to which a control is looked for, where its mode knows no end of its own."""


@dataclass(frozen=True)
class Words:
    """Words that a set-up should make likelier, and whose they are; empty where nothing says which."""

    name: str = ""
    words: tuple[str, ...] = ()


class ReadySteer(ABC):
    """A set-up read for one model. ``lowest``: the last block whose output is as it was, or the first that is changed;
    ``largest``: how many times its strengths can be taken."""

    lowest: int
    largest: float = LARGEST

    @abstractmethod
    def interventions(self, prompt: ReadPrompt) -> list[Intervention]:
        """What is put into the model on this prompt. Raises UserError where it does not belong to the prompt."""

    @abstractmethod
    def random(self, prompt: ReadPrompt, seed: int, scale: float) -> list[Intervention]:
        """The same with random pushes of equal length in its place, at ``scale`` times its strengths."""

    def words(self) -> Words:
        """What it is about."""
        return Words()
