"""What questions about the inside of a steered pass have in common: the tokens whose log-odds are looked at, and random
directions that cost the set-up's KL.

The words of a region's theme were not used to fit it; any push raises some tokens, so what is seen of the set-up is
seen of random directions too, each at the strength at which the next token moves as far.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Generic, TypeVar

from analysis.engine.context import Context
from analysis.errors import UserError
from analysis.fields import Text
from analysis.mfa.answers.samples import Push
from analysis.mfa.ops.control import largest_scale
from analysis.mfa.ops.samples import subject_of
from analysis.mfa.ops.steer import Seed, UnderSteering
from analysis.mfa.settings import SteeringSettings
from analysis.steering.prompt import ReadPrompt
from analysis.steering.shares import words_in

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.mfa.library import RegionSet
    from analysis.models.loaded_model import LoadedModel
    from analysis.steering import Intervention

A = TypeVar("A")
RAISED = 5
"""Tokens that the set-up raises most, where nothing says which to look at."""


@dataclass(frozen=True)
class Target:
    """Tokens by their ids (W,), how they read, and where they are from."""

    ids: Tensor
    labels: tuple[str, ...]
    subject: str


@dataclass(frozen=True)
class InsideSteering(UnderSteering[A], Generic[A]):
    """A prompt and a set-up that steers positions of it. ``seed`` of the random directions."""

    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steer.where in ("generated", "thinking", "answer") or self.steer.after:
            raise UserError("What is steered here is the prompt, so positions of it must be steered.", "mode")

    def ready(self, context: Context) -> tuple[LoadedModel, RegionSet, ReadPrompt, list[Intervention]]:
        """Model, fit, prompt and the set-up's interventions. Raises UserError where nothing is steered."""
        from analysis.mfa.steering import interventions_of

        loaded, fit, prompt = self.prepared(context)
        if self.steer.idle:
            raise UserError("No slider is moved, so there is nothing to look at. Move one first.", "steer")
        return loaded, fit, prompt, interventions_of(self.steer, fit)

    def directions(
        self, context: Context, fit: RegionSet, prompt: ReadPrompt, kl: float, draws: int
    ) -> list[tuple[Push, list[Intervention]]]:
        """Random directions in the set-up's place, each at the scale at which the next token costs ``kl``."""
        from analysis.mfa.steering import random_direction

        found = []
        for draw in range(self.seed, self.seed + draws):
            made = lambda scale, draw=draw: random_direction(self.steer, fit, draw, scale)  # noqa: E731
            found.append(at_kl(context, self.steer, prompt, f"seed {draw}", made, kl))
        return found


@dataclass(frozen=True)
class OnWords(InsideSteering[A], Generic[A]):
    """``words``, whose log-odds are looked at: at commas; empty: those of the region's theme."""

    words: Annotated[str, Text(200, words="The words")] = ""

    def target(self, loaded: LoadedModel, fit: RegionSet, prompt: ReadPrompt, steered: Tensor) -> Target:
        """The tokens: of the words typed, else of the regions' themes or what stands out in them, else those that the
        set-up raises most. ``steered``: logits (V,) of the next token."""
        from analysis.mfa.evaluate import word_ids
        from analysis.models.prompts import token_labels

        typed = words_in(self.words)
        subject = subject_of(loaded, fit, self.steer)
        ids, name = word_ids(loaded.tokenizer, typed or subject.words), "typed" if typed else subject.name
        if typed and not len(ids):
            raise UserError("None of these words is a single token of this model. Type others.", "words")
        if not len(ids):
            raised = steered.double().softmax(-1) - prompt.base.double().softmax(-1)
            ids, name = raised.topk(min(RAISED, len(raised))).indices, "the tokens that it raises most"
        return Target(ids, tuple(token_labels(loaded.tokenizer, ids.tolist())), name)


def at_kl(
    context: Context,
    steer: SteeringSettings,
    prompt: ReadPrompt,
    note: str,
    made: Callable[[float], list[Intervention]],
    target: float,
) -> tuple[Push, list[Intervention]]:
    """A control at the scale of the set-up's strengths at which the next token costs ``target`` nats."""
    from analysis.steering.calibrate import kl_divergence, strength_for_kl

    def price(scale: float) -> float:
        context.check()
        return kl_divergence(prompt.base, prompt.cache.next_logits(made(scale)))

    if target < 1e-6:
        return Push(note, 1.0, price(1.0), False), made(1.0)
    nearest = strength_for_kl(price, target, high=largest_scale(steer))
    return Push(note, nearest.strength, nearest.kl, nearest.met), made(nearest.strength)
