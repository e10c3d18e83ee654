"""Operations on a prompt under steering: the next token while a slider moves, texts side by side, prices, controls."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Generic, TypeVar

import numpy as np

from analysis.answer import extended
from analysis.engine.context import Context
from analysis.engine.operation import Operation
from analysis.engine.question import Kind
from analysis.errors import UserError
from analysis.fields import Choice, Flag, Real, Whole
from analysis.mfa.answers.steering import Control, ControlTable, Presence, SteeredNext, SteeredTexts, Strength
from analysis.mfa.ops.control import CONTROLS, Equal, check_sentences, control_for, control_text
from analysis.mfa.ops.regions import checksum_of
from analysis.mfa.settings import RegionSetting, SteeringSettings
from analysis.models.prompts import check_prompt
from analysis.models.spec import ModelSpec
from analysis.steering.answers import TokenReading, WrittenText, WrittenTexts
from analysis.steering.prompt import ReadPrompt, next_token_shift, read_prompt
from analysis.steering.room import TEXTS, TokenCount, check_written

if TYPE_CHECKING:
    from analysis.mfa.library import RegionSet
    from analysis.models.loaded_model import LoadedModel
    from analysis.steering import Intervention

A = TypeVar("A")
Seed = Annotated[int, Whole(0, 2**31 - 1, words="The seed")]


def reads_of(steer: SteeringSettings) -> str:
    """Checksums of the files that a set-up is read from."""
    from analysis.mfa.vectors import VECTORS

    return checksum_of(steer.fit) + "".join(VECTORS.checksum(v.name) for v in steer.vectors)


@dataclass(frozen=True)
class UnderSteering(Operation[A], Generic[A]):
    """A prompt and a set-up of one fit."""

    model: ModelSpec = ModelSpec("default")
    text: str = ""
    chat: Annotated[bool, Flag(words="The chat template")] = False
    steer: SteeringSettings = SteeringSettings()

    def __post_init__(self) -> None:
        check_prompt(self.text)
        super().__post_init__()

    def reads(self, context: Context) -> str:
        return reads_of(self.steer)

    def prepared(self, context: Context) -> tuple[LoadedModel, RegionSet, ReadPrompt]:
        """Model, fit and the prompt, read; UserError if they do not belong together or the prompt is too long."""
        from analysis.mfa.library import fit_for
        from analysis.mfa.steering import lowest_block

        loaded = context.model(self.model)
        fit = fit_for(context.memory, loaded, self.steer.fit)
        beyond = [layer for layer in self.steer.layers if layer >= loaded.facts.layers]
        if beyond:
            raise UserError(
                f"This model has blocks 0 to {loaded.facts.layers - 1}; there is no block {beyond[0]}.", "layers"
            )
        lowest = lowest_block(self.steer, fit)
        prompt = read_prompt(context, loaded, self.model, self.text, self.chat, lowest)
        context.gap()
        return loaded, fit, prompt


@dataclass(frozen=True)
class SteerNext(UnderSteering[SteeredNext]):
    """The next token's distribution, unsteered and steered: what a moving slider asks."""

    def run(self, context: Context) -> SteeredNext:
        from analysis.mfa.steering import interventions_of

        loaded, fit, prompt = self.prepared(context)
        began = time.perf_counter()
        steered = prompt.cache.next_logits(interventions_of(self.steer, fit))
        seconds = time.perf_counter() - began
        context.gap()
        shift = next_token_shift(loaded, prompt.base, steered)
        return extended(SteeredNext, shift, seconds=seconds, full_seconds=prompt.seconds, tokens=len(prompt.ids))


@dataclass(frozen=True)
class SteerControls(UnderSteering[ControlTable]):
    """The KL of the set-up beside that of controls of equal norm: random region and direction, means of sentences."""

    seed: Seed = 0
    positive: str = ""
    negative: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sentences(self.positive, self.negative)

    def run(self, context: Context) -> ControlTable:
        from analysis.mfa.steering import interventions_of

        loaded, fit, prompt = self.prepared(context)
        if self.steer.idle:
            raise UserError("No slider is moved, so there is nothing to compare. Move one first.", "steer")
        rows = []
        arms = [("the set-up", "own"), ("random region", "region"), ("random direction", "direction")]
        if self.positive.strip():
            arms.append(("difference of means", "means"))
        factors = any(any(r.factors) for r in self.steer.regions)
        left_out = []
        for name, kind in arms:
            note = ""
            if kind == "own":
                made = interventions_of(self.steer, fit)
            else:
                made, note = control_for(context, loaded, self, fit, kind, self.seed)
                if not made:  # without its local factors nothing of the set-up is left: doing nothing is no control
                    left_out.append(name)
                    continue
                if factors and kind != "direction":
                    note += "; local factors left out, so it is not of the set-up's size"
            shift = next_token_shift(loaded, prompt.base, prompt.cache.next_logits(made))
            rows.append(extended(Control, shift, name=name, own=kind == "own", note=note))
            context.check()
        return ControlTable(tuple(rows), tuple(left_out), factors)


def at_strength(steer: SteeringSettings, region: int, strength: float) -> SteeringSettings:
    """The set-up with that strength of one of its regions."""
    rows = [RegionSetting(r.region, strength, r.factors) if r.region == region else r for r in steer.regions]
    return replace(steer, regions=tuple(rows))


@dataclass(frozen=True)
class StrengthForKL(UnderSteering[Strength]):
    """The strength at which one region of the set-up reaches a KL at the end of the prompt, the others kept."""

    region: int = 0
    target: Annotated[float, Real(0.001, 20.0, words="The target KL")] = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        if all(r.region != self.region for r in self.steer.regions):
            raise UserError("This region is not on the sliders. Add it first.", "region")

    def run(self, context: Context) -> Strength:
        from analysis.mfa.steering import interventions_of
        from analysis.steering.calibrate import kl_divergence, strength_for_kl

        _, fit, prompt = self.prepared(context)

        def price(strength: float) -> float:
            context.check()
            return kl_divergence(
                prompt.base,
                prompt.cache.next_logits(interventions_of(at_strength(self.steer, self.region, strength), fit)),
            )

        nearest = strength_for_kl(price, self.target)
        return Strength(nearest.strength, nearest.kl, nearest.met, nearest.sentence, self.region)


@dataclass(frozen=True)
class SteerText(UnderSteering[SteeredTexts]):
    """Unsteered and steered text side by side, a control if wanted, token by token, with what each token costs.
    ``begin``: token ids that the text ``of`` is made to begin with."""

    kind: ClassVar[Kind] = "stream"
    count: TokenCount = 40
    temperature: Annotated[float, Real(0.0, 2.0, words="The temperature")] = 0.7
    top_p: Annotated[float, Real(0.05, 1.0, words="Top-p")] = 0.95
    seed: Seed = 0
    control: Annotated[str, Choice(CONTROLS, words="The control")] = "none"
    positive: str = ""
    negative: str = ""
    of: Annotated[str, Choice(TEXTS, words="The text that goes on from other tokens")] = "steered"
    begin: tuple[int, ...] = ()
    equal: Equal = "length"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sentences(self.positive, self.negative)
        object.__setattr__(self, "begin", check_written(self.begin, "begin"))

    def run(self, context: Context) -> SteeredTexts:
        from analysis.mfa.steering import interventions_of
        from analysis.steering.writing import Writer

        loaded, fit, prompt = self.prepared(context)
        writer = Writer(context, loaded, prompt.ids, self, self.model, {self.of: self.begin})
        arms: dict[str, list[Intervention]] = {"steered": interventions_of(self.steer, fit)}
        note = ""
        if self.control != "none" and not self.steer.idle:
            arms["control"], note = control_text(context, loaded, self, fit, prompt)
        texts = writer.write(arms, note)
        context.gap()
        presence, readings = carried(loaded, fit, self.steer, prompt.ids, texts)
        return extended(SteeredTexts, texts, presence=presence, readings=readings)


def carried(
    loaded: LoadedModel, fit: RegionSet, steer: SteeringSettings, prompt: list[int], texts: WrittenTexts
) -> tuple[Presence, tuple[TokenReading, ...]]:
    """Responsibility of the steered regions over written tokens, read without steering at the fit's own block: means,
    and token by token.

    Steering is not applied while reading, so that a text has to carry the region by its words.
    """
    numbers = [r.region for r in steer.regions if not r.idle]
    labels = tuple(f"{k}: {fit.label(k)}" for k in numbers)
    base, steered, control = (
        shares_by_token(loaded, fit, numbers, prompt, text) for text in (texts.base, texts.steered, texts.control)
    )
    readings = tuple(
        TokenReading(f"responsibility of region {label}", 1.0, _column(base, n), _column(steered, n),
                     _column(control, n) if texts.control is not None else ())
        for n, label in enumerate(labels)
    )  # fmt: skip
    return Presence(labels, _means(base), _means(steered)), readings


def shares_by_token(
    loaded: LoadedModel, fit: RegionSet, numbers: list[int], prompt: list[int], text: WrittenText | None
) -> np.ndarray:
    """Responsibilities (T, len(numbers)) of the regions over the T tokens of a text that was written after the
    prompt."""
    from analysis.mfa.reading import responsibilities_of

    if text is None or not text.ids or not numbers:
        return np.zeros((0, len(numbers)), np.float32)
    return responsibilities_of(loaded, fit, [*prompt, *text.ids])[len(prompt) :][:, numbers]


def _column(shares: np.ndarray, n: int) -> tuple[float, ...]:
    return tuple(np.round(shares[:, n].astype(np.float64), 4).tolist())


def _means(shares: np.ndarray) -> tuple[float, ...]:
    means = shares.mean(0) if len(shares) else np.zeros(shares.shape[1])
    return tuple(np.asarray(means, np.float64).tolist())


def shares_in(
    loaded: LoadedModel, fit: RegionSet, numbers: list[int], prompt: list[int], text: WrittenText
) -> tuple[float, ...]:
    """Mean responsibility of the regions ``numbers`` over a text that was written after the prompt; 0 for an empty
    one."""
    return _means(shares_by_token(loaded, fit, numbers, prompt, text))
