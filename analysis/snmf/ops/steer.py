"""Operations of steering with a feature of an MLP: the next token at a given KL beside the baselines, and texts.

Every direction gets the strength at which it moves the next token by the same KL, found for this prompt and this pole.
Only then can it be said that a feature does something that its neurons on other places, or one neuron, do not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, TypeVar

from annotated_types import Predicate

from analysis.answer import extended
from analysis.engine.context import Context
from analysis.engine.keys import hash_of
from analysis.engine.operation import Operation
from analysis.engine.question import Kind
from analysis.errors import UserError
from analysis.fields import Choice, Field, Flag, Real, Whole
from analysis.models.prompts import PromptText
from analysis.models.spec import ModelSpec
from analysis.snmf.answers.steering import FeatureTexts, SteeringArm, SteeringComparison, TokenChange
from analysis.snmf.ops.factorization import FeatureNumber, checksum_of
from analysis.steering.answers import Alternatives, NextTokens, TokenReading, WrittenTexts
from analysis.steering.prompt import ReadPrompt, next_token_shift, read_prompt
from analysis.steering.room import TEXTS, TokenCount, check_written

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.models.loaded_model import LoadedModel
    from analysis.snmf.library import Factorization
    from analysis.steering import Calibration, Intervention

BASELINES = ("none", "DiffMean", "single neuron", "random sparse", "shuffled neurons")
MAX_STRENGTH = 10_000.0
A = TypeVar("A")


@dataclass(frozen=True)
class Pole(Field):
    """One of the two ends of a feature, 1 or -1."""

    def check(self, value: Any, name: str) -> None:
        if value not in (1, -1) or isinstance(value, bool):
            raise UserError("The pole of a feature is 1 or -1.", name)

    def read(self, text: str) -> int:
        return int(text)

    def rule(self) -> str:
        return "1 or -1"

    def wrong(self) -> tuple[Any, ...]:
        return (None, 0, 2, True, "1")

    def __iter__(self) -> Iterator[object]:
        yield Predicate((1, -1).__contains__)


PoleNumber = Annotated[int, Pole()]
Target = Annotated[float, Real(0.001, 20.0, words="The target KL")]


@dataclass(frozen=True)
class WithFeature(Operation[A], Generic[A]):
    """A prompt, and one pole of a feature to steer with."""

    model: ModelSpec = ModelSpec("default")
    fit: str = ""
    feature: FeatureNumber = 0
    pole: PoleNumber = 1

    def reads(self, context: Context) -> str:
        return checksum_of(self.fit)

    def opened(self, context: Context, text: str, chat: bool) -> tuple[LoadedModel, Factorization, ReadPrompt]:
        """Model, factorization and the prompt, read, ``chat``: in the model's chat template; UserError if they do not
        belong together."""
        from analysis.snmf.library import fit_for

        loaded = context.model(self.model)
        fit = fit_for(context.memory, loaded, self.fit)
        fit.check_feature(self.feature)
        lowest = fit.site.layer - (fit.site.kind != "residual")
        try:
            prompt = read_prompt(context, loaded, self.model, text, chat, lowest)
        except UserError as error:
            raise UserError(error.message, "text") from error
        return loaded, fit, prompt


@dataclass(frozen=True)
class FeatureEffect(WithFeature[SteeringComparison]):
    """What the feature and its baselines do to the next token, each at the strength where it costs ``target`` nats."""

    target: Target = 0.25
    text: Annotated[str, PromptText()] = ""
    chat: Annotated[bool, Flag(words="The chat template")] = False

    def run(self, context: Context) -> SteeringComparison:
        from analysis.snmf.directions import ARMS, feature_direction

        loaded, fit, prompt = self.opened(context, self.text, self.chat)
        feature_direction(fit.components[self.feature])  # refused before anything is computed
        key = ("feature effect", fit.key, loaded.facts.fingerprint, hash_of(self.to_params()))
        comparison: SteeringComparison | None = context.memory.get(key)
        if comparison is None:
            arms, steered = [], prompt.base
            for name in ARMS:
                arm, logits = self.arm(context, loaded, fit, prompt, name)
                arms.append(arm)
                if name == "feature" and logits is not None:
                    steered = logits
            shift = next_token_shift(loaded, prompt.base, steered)
            comparison = extended(
                SteeringComparison,
                NextTokens(shift.labels, shift.ids, shift.base, shift.steered, shift.change),
                arms=tuple(arms),
                tokens=len(prompt.ids),
                label=fit.label(self.feature),
                site=fit.site.label,
                sentence=_sentence(fit, self.target, arms),
            )
            context.memory.put(key, comparison, 30_000)
        return comparison

    def arm(
        self, context: Context, loaded: LoadedModel, fit: Factorization, prompt: ReadPrompt, name: str
    ) -> tuple[SteeringArm, Tensor | None]:
        """A row of the table, and the steered logits (V,); a direction that cannot be had is a row without numbers."""
        from analysis.models.prompts import token_labels
        from analysis.snmf.directions import direction_of
        from analysis.snmf.steering import calibrated, changes, divergence_of, interventions_of

        try:
            direction = direction_of(name, context.memory, loaded, fit, self.feature, check=context.check)
        except UserError as error:
            return SteeringArm(name, None, None, False, error.message), None
        price = divergence_of([prompt.cache], fit.site, direction.vector, self.pole, context.check)
        calibration = calibrated(price, self.target, typical(fit, self.feature))
        interventions = interventions_of(fit.site, direction.vector, self.pole, calibration.strength)
        logits = prompt.cache.next_logits(interventions)
        sides = []
        for side in changes(prompt.base, logits):
            labels = token_labels(loaded.tokenizer, [c.token for c in side])
            sides.append(tuple(TokenChange(c.token, t, c.change) for c, t in zip(side, labels, strict=True)))
        arm = SteeringArm(
            name=name,
            strength=calibration.strength,
            kl=calibration.kl if math.isfinite(calibration.kl) else None,
            met=calibration.met,
            sentence=_calibration_sentence(calibration),
            up=sides[0],
            down=sides[1],
            note=direction.note,
        )
        return arm, logits


@dataclass(frozen=True)
class FeatureText(WithFeature[FeatureTexts]):
    """Unsteered and steered text side by side, one of a baseline if wanted, as ``SteerText`` says them.

    ``strength`` and ``baseline_strength``: factors of the unit directions, as :class:`FeatureEffect` finds them; both
    act at the same ``pole``. The texts are called base, steered and control; ``begin``: token ids that the text ``of``
    is made to begin with.
    """

    kind: ClassVar[Kind] = "stream"
    strength: Annotated[float, Real(0.0, MAX_STRENGTH, words="The strength")] = 0.0
    text: Annotated[str, PromptText()] = ""
    count: TokenCount = 40
    temperature: Annotated[float, Real(0.0, 2.0, words="The temperature")] = 0.7
    top_p: Annotated[float, Real(0.05, 1.0, words="Top-p")] = 0.95
    seed: Annotated[int, Whole(0, 2**31 - 1, words="The seed")] = 0
    baseline: Annotated[str, Choice(BASELINES, words="The baseline")] = "none"
    baseline_strength: Annotated[float, Real(0.0, MAX_STRENGTH, words="The strength of the baseline")] = 0.0
    chat: Annotated[bool, Flag(words="The chat template")] = False
    of: Annotated[str, Choice(TEXTS, words="The text that goes on from other tokens")] = "steered"
    begin: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "begin", check_written(self.begin, "begin"))

    def run(self, context: Context) -> FeatureTexts:
        from analysis.steering.writing import Writer

        loaded, fit, prompt = self.opened(context, self.text, self.chat)
        arms, note = arms_of(self, context, loaded, fit)
        writer = Writer(context, loaded, prompt.ids, self, self.model, {self.of: self.begin})
        texts = writer.write(arms, note)
        return extended(FeatureTexts, texts, readings=(activity(loaded, fit, self.feature, prompt.ids, texts),))


@dataclass(frozen=True)
class FeatureAlternatives(WithFeature[Alternatives]):
    """What could have stood in the place of the last of the written token ids ``ids`` of the text ``of``, of those that
    :class:`FeatureText` writes: the unsteered model and the steered one, or for the control the baseline's."""

    strength: Annotated[float, Real(0.0, MAX_STRENGTH, words="The strength")] = 0.0
    text: Annotated[str, PromptText()] = ""
    baseline: Annotated[str, Choice(BASELINES, words="The baseline")] = "none"
    baseline_strength: Annotated[float, Real(0.0, MAX_STRENGTH, words="The strength of the baseline")] = 0.0
    chat: Annotated[bool, Flag(words="The chat template")] = False
    of: Annotated[str, Choice(TEXTS, words="The text")] = "steered"
    ids: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "ids", check_written(self.ids, "ids"))
        if not self.ids:
            raise UserError("Choose a token that was written.", "ids")

    def run(self, context: Context) -> Alternatives:
        from analysis.steering.alternatives import alternatives

        loaded, fit, prompt = self.opened(context, self.text, self.chat)
        arms, _ = arms_of(self, context, loaded, fit)
        made = arms.get("control", arms["steered"]) if self.of == "control" else arms["steered"]
        return alternatives(loaded, prompt.ids, self.ids, made)


def arms_of(
    on: FeatureText | FeatureAlternatives, context: Context, loaded: LoadedModel, fit: Factorization
) -> tuple[dict[str, list[Intervention]], str]:
    """The interventions of the steered text and, with a baseline, of the control; and a note on what that is."""
    from analysis.snmf.directions import direction_of
    from analysis.snmf.steering import interventions_of

    wanted = {"steered": ("feature", on.strength)}
    if on.baseline != "none":
        wanted["control"] = (on.baseline, on.baseline_strength)
    arms: dict[str, list[Intervention]] = {}
    note = ""
    for arm, (name, strength) in wanted.items():
        direction = direction_of(name, context.memory, loaded, fit, on.feature, check=context.check)
        arms[arm] = list(interventions_of(fit.site, direction.vector, on.pole, strength))
        note = direction.note if arm == "control" else note
    return arms, note


def activity(
    loaded: LoadedModel, fit: Factorization, feature: int, prompt: Sequence[int], texts: WrittenTexts
) -> TokenReading:
    """How active the feature is at each written token, each text read without steering."""
    from analysis.snmf.reading import feature_by_token

    rows = [
        tuple(round(v, 4) for v in feature_by_token(loaded, fit, [*prompt, *text.ids], feature)[len(prompt) :].tolist())
        if text is not None and text.ids else ()
        for text in (texts.base, texts.steered, texts.control)
    ]  # fmt: skip
    top = max((value for row in rows for value in row), default=0.0)
    return TokenReading(f"activation of feature {feature}", top or 1.0, *rows)


def typical(fit: Factorization, feature: int) -> float:
    """A typical large activation of a feature, where a search for a strength may begin; 1 where it is not known."""
    scales = fit.arrays.get("scale")
    scale = float(scales[feature]) if scales is not None and len(scales) > feature else 0.0
    return scale if math.isfinite(scale) and scale > 0 else 1.0


def benchmark_sentence(fit: Factorization) -> str | None:
    """What the benchmark says of the features of a bundled factorization, on average; None for any other."""
    from analysis.snmf.library import FACTORIZATIONS

    try:
        table = json.loads((FACTORIZATIONS.bundled / "steering.json").read_text(encoding="utf-8"))
        sums = {f["name"]: f["sha256"] for f in table["fits"]}
        if fit.key[1] == "" or sums.get(fit.name) != fit.key[1]:
            return None
        return str(table["sentences"][fit.name])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _calibration_sentence(calibration: Calibration) -> str:
    if calibration.met and calibration.kl:
        return calibration.sentence
    return calibration.sentence + " The rest of this row is at that strength."


def _sentence(fit: Factorization, target: float, arms: Sequence[SteeringArm]) -> str:
    met = [a.name for a in arms if a.met]
    others = [a.name for a in arms if not a.met]
    unmet = f" not reached by: {', '.join(others)};" if others else ""
    average = benchmark_sentence(fit)
    return (
        f"Each direction is added at every position of the {fit.site.label}, at the strength where the next token "
        f"moves by {target:g} nats (met, within 5 %, by {len(met)} of {len(arms)};{unmet} strengths are for this "
        "prompt and pole). Listed: changes of log-probability, in nats, of tokens with probability 0.00001 or more."
        + (f" On average over features and prompts: {average}" if average else "")
    )
