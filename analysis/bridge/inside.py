"""What questions about the inside of a steered pass have in common: the set-up of whichever method, the tokens whose
log-odds are looked at, and random pushes that cost the set-up's KL.

The words of a region's theme were not used to fit it; any push raises some tokens, so what is seen of the set-up is
seen of random pushes too, each at the strength at which the next token moves as far.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Generic, TypeVar

from analysis.bridge.steers import Steer, SteeringSettings, reads_of, ready
from analysis.engine.context import Context
from analysis.engine.operation import Operation
from analysis.errors import UserError
from analysis.fields import Flag, Text, Whole
from analysis.mfa.answers.frozen import ASKED
from analysis.mfa.answers.samples import Push
from analysis.mfa.ops.steer import Seed
from analysis.models.prompts import check_prompt
from analysis.models.spec import ModelSpec
from analysis.steering.prompt import ReadPrompt, read_prompt
from analysis.steering.shares import words_in

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.models.loaded_model import LoadedModel
    from analysis.steering import Intervention
    from analysis.steering.ready import ReadySteer

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
class InsideSteering(Operation[A], Generic[A]):
    """A prompt and a set-up that steers positions of it. ``seed`` of the random pushes."""

    model: ModelSpec = ModelSpec("default")
    text: str = ""
    chat: Annotated[bool, Flag(words="The chat template")] = False
    steer: Steer = SteeringSettings()
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_prompt(self.text)
        super().__post_init__()
        if not (self.steer.reads_on or self.written):
            raise UserError("What is steered here is the prompt, so positions of it must be steered.", "mode")

    @property
    def written(self) -> tuple[int, ...]:
        """Ids of tokens that were written after the prompt, and are read with it."""
        return ()

    def reads(self, context: Context) -> str:
        return reads_of(self.steer, lambda: context.model(self.model))

    def prepared(self, context: Context) -> tuple[LoadedModel, ReadySteer, ReadPrompt]:
        """Model, set-up and the prompt, read; UserError if they do not belong together or the prompt is too long."""
        loaded = context.model(self.model)
        own = ready(self.steer, context, loaded)
        return loaded, own, read_prompt(context, loaded, self.model, self.text, self.chat, own.lowest)

    def ready(self, context: Context) -> tuple[LoadedModel, ReadySteer, ReadPrompt, list[Intervention]]:
        """Model, set-up, prompt and the interventions. Raises UserError where nothing is steered."""
        loaded, own, prompt = self.prepared(context)
        if self.steer.idle:
            raise UserError("No slider is moved, so there is nothing to look at. Move one first.", "steer")
        return loaded, own, prompt, own.interventions(prompt)

    def directions(
        self,
        context: Context,
        own: ReadySteer,
        prompt: ReadPrompt,
        kl: float,
        draws: int,
        text: ReadPrompt | None = None,
    ) -> list[tuple[Push, list[Intervention]]]:
        """Random pushes in the set-up's place, each at the scale at which the next token after the ``text``, or the
        prompt, costs ``kl``."""
        found = []
        for draw in range(self.seed, self.seed + draws):
            made = lambda scale, draw=draw: own.random(prompt, draw, scale)  # noqa: E731
            found.append(at_kl(context, own, text or prompt, f"seed {draw}", made, kl))
        return found


@dataclass(frozen=True)
class OnWords(InsideSteering[A], Generic[A]):
    """``words``, whose log-odds are looked at: at commas; empty: those that the set-up is about. ``token``: the id of
    the one token that is looked at in their place; -1: none."""

    words: Annotated[str, Text(200, words="The words")] = ""
    token: Annotated[int, Whole(-1, 10**7, words="The number of the token")] = field(default=-1, kw_only=True)

    def target(self, loaded: LoadedModel, own: ReadySteer, prompt: ReadPrompt, steered: Tensor) -> Target:
        """The tokens: of the words typed, else of the regions' themes or what stands out in them, else those that the
        set-up raises most. ``steered``: logits (V,) of the next token."""
        import torch

        from analysis.mfa.evaluate import word_ids
        from analysis.models.prompts import token_labels

        if self.token >= 0:
            loaded.check_ids([self.token])
            return Target(torch.tensor([self.token]), tuple(token_labels(loaded.tokenizer, [self.token])), ASKED)
        typed = words_in(self.words)
        subject = own.words()
        ids, name = word_ids(loaded.tokenizer, typed or subject.words), "typed" if typed else subject.name
        if typed and not len(ids):
            raise UserError("None of these words is a single token of this model. Type others.", "words")
        if not len(ids):
            raised = steered.double().softmax(-1) - prompt.base.double().softmax(-1)
            ids, name = raised.topk(min(RAISED, len(raised))).indices, "the tokens that it raises most"
        return Target(ids, tuple(token_labels(loaded.tokenizer, ids.tolist())), name)


def at_kl(
    context: Context,
    own: ReadySteer,
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
    nearest = strength_for_kl(price, target, high=own.largest)
    return Push(note, nearest.strength, nearest.kl, nearest.met), made(nearest.strength)
