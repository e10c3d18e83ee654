"""Operations of steering with a feature of an MLP: the next token at a given KL beside the baselines, and texts.

Every direction gets the strength at which it moves the next token by the same KL, found for this prompt and this pole.
Only then can it be said that a feature does something that its neurons on other places, or one neuron, do not.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from analysis.answer import to_wire
from analysis.engine.context import Context
from analysis.engine.keys import hash_of
from analysis.engine.operation import Operation
from analysis.engine.question import Kind, Result
from analysis.errors import UserError
from analysis.fields import choice, number, whole
from analysis.models.prompts import check_prompt
from analysis.models.spec import ModelSpec
from analysis.steering.answers import WrittenTexts
from analysis.steering.prompt import ReadPrompt, next_token_shift, read_prompt

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.models.loaded_model import LoadedModel
    from analysis.snmf.library import Factorization
    from analysis.steering import Calibration

BASELINES = ("none", "DiffMean", "single neuron", "random sparse", "shuffled neurons")
MAX_STRENGTH = 10_000.0


@dataclass(frozen=True)
class WithFeature(Operation):
    """A prompt, and one pole of a feature to steer with."""

    model: ModelSpec = ModelSpec("default")
    fit: str = ""
    feature: int = 0
    pole: int = 1

    def __post_init__(self) -> None:
        whole(self.feature, 0, 1_000_000, "feature", "The feature")
        if self.pole not in (1, -1) or isinstance(self.pole, bool):
            raise UserError("The pole of a feature is 1 or -1.", "pole")

    def opened(self, context: Context, text: str) -> tuple[LoadedModel, Factorization, ReadPrompt]:
        """Model, factorization and the prompt, read; UserError if they do not belong together."""
        from analysis.snmf.library import fit_for

        loaded = context.model(self.model)
        fit = fit_for(context.memory, loaded, self.fit)
        fit.check_feature(self.feature)
        lowest = fit.site.layer - (fit.site.kind != "residual")
        try:
            prompt = read_prompt(context, loaded, self.model, text, False, lowest)
        except UserError as error:
            raise UserError(error.message, "text") from error
        return loaded, fit, prompt


@dataclass(frozen=True)
class FeatureEffect(WithFeature):
    """What the feature and its baselines do to the next token, each at the strength where it costs ``target`` nats."""

    target: float = 0.25
    text: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        number(self.target, 0.001, 20.0, "target", "The target KL")
        _check_text(self.text)

    def run(self, context: Context) -> Result:
        from analysis.snmf.directions import ARMS, feature_direction

        loaded, fit, prompt = self.opened(context, self.text)
        feature_direction(fit.components[self.feature])  # refused before anything is computed
        key = ("feature effect", fit.key, loaded.facts.fingerprint, hash_of(self.to_params()))
        data: dict[str, Any] | None = context.memory.get(key)
        if data is None:
            arms, steered = [], prompt.base
            for name in ARMS:
                arm, logits = self.arm(context, loaded, fit, prompt, name)
                arms.append(arm)
                if name == "feature" and logits is not None:
                    steered = logits
            shown = next_token_shift(loaded, prompt.base, steered)
            data = {
                "arms": arms,
                **{k: list(getattr(shown, k)) for k in ("labels", "ids", "base", "steered", "change")},
                "tokens": len(prompt.ids),
                "label": fit.label(self.feature),
                "site": fit.site.label,
                "sentence": _sentence(fit, self.target, arms),
            }
            context.memory.put(key, data, 30_000)
        return Result(data)

    def arm(
        self, context: Context, loaded: LoadedModel, fit: Factorization, prompt: ReadPrompt, name: str
    ) -> tuple[dict[str, Any], Tensor | None]:
        """A row of the table, and the steered logits (V,); a direction that cannot be had is a row without numbers."""
        from analysis.models.prompts import token_labels
        from analysis.snmf.directions import direction_of
        from analysis.snmf.steering import calibrated, changes, divergence_of, interventions_of

        try:
            found = direction_of(name, context.memory, loaded, fit, self.feature, check=context.check)
        except UserError as error:
            none: dict[str, Any] = {"strength": None, "kl": None, "met": False, "up": [], "down": [], "note": ""}
            return {"name": name, **none, "sentence": error.message}, None
        price = divergence_of([prompt.cache], fit.site, found.vector, self.pole, context.check)
        calibration = calibrated(price, self.target, typical(fit, self.feature))
        made = interventions_of(fit.site, found.vector, self.pole, calibration.strength)
        logits = prompt.cache.next_logits(made)
        rows = []
        for side in changes(prompt.base, logits):
            ids = [c.token for c in side]
            labels = token_labels(loaded.tokenizer, ids)
            rows.append([{"id": c.token, "token": t, "change": c.change} for c, t in zip(side, labels, strict=True)])
        arm = {
            "name": name,
            "strength": calibration.strength,
            "kl": calibration.kl if math.isfinite(calibration.kl) else None,
            "met": calibration.met,
            "sentence": _said(calibration),
            "up": rows[0],
            "down": rows[1],
            "note": found.note,
        }
        return arm, logits


@dataclass(frozen=True)
class FeatureText(WithFeature):
    """Unsteered and steered text side by side, one of a baseline if wanted, as ``SteerText`` says them.

    ``strength`` and ``baseline_strength``: factors of the unit directions, as :class:`FeatureEffect` finds them; both
    act at the same ``pole``. The texts are called base, steered and control.
    """

    kind: ClassVar[Kind] = "stream"
    answer: ClassVar[type | None] = WrittenTexts
    strength: float = 0.0
    text: str = ""
    count: int = 40
    temperature: float = 0.7
    top_p: float = 0.95
    seed: int = 0
    baseline: str = "none"
    baseline_strength: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        number(self.strength, 0.0, MAX_STRENGTH, "strength", "The strength")
        _check_text(self.text)
        whole(self.count, 1, 400, "count", "The number of tokens")
        number(self.temperature, 0.0, 2.0, "temperature", "The temperature")
        number(self.top_p, 0.05, 1.0, "top_p", "Top-p")
        whole(self.seed, 0, 2**31 - 1, "seed", "The seed")
        choice(self.baseline, BASELINES, "baseline", "The baseline")
        number(self.baseline_strength, 0.0, MAX_STRENGTH, "baseline_strength", "The strength of the baseline")

    def run(self, context: Context) -> Result:
        from analysis.snmf.directions import direction_of
        from analysis.snmf.steering import interventions_of
        from analysis.steering.writing import Writer

        loaded, fit, prompt = self.opened(context, self.text)
        wanted = {"steered": ("feature", self.strength)}
        if self.baseline != "none":
            wanted["control"] = (self.baseline, self.baseline_strength)
        arms, note = {}, ""
        for arm, (name, strength) in wanted.items():
            found = direction_of(name, context.memory, loaded, fit, self.feature, check=context.check)
            arms[arm] = interventions_of(fit.site, found.vector, self.pole, strength)
            note = found.note if arm == "control" else note
        return Result(*to_wire(Writer(context, loaded, prompt.ids, self, self.model).write(arms, note)))


def typical(fit: Factorization, feature: int) -> float:
    """A typical large activation of a feature, where a search for a strength may begin; 1 where it is not known."""
    scales = fit.arrays.get("scale")
    scale = float(scales[feature]) if scales is not None and len(scales) > feature else 0.0
    return scale if math.isfinite(scale) and scale > 0 else 1.0


def measured(fit: Factorization) -> dict[str, Any] | None:
    """What the benchmark found with the features of a bundled factorization, on average; None for any other."""
    from analysis.snmf.library import FACTORIZATIONS

    try:
        found = json.loads((FACTORIZATIONS.bundled / "steering.json").read_text(encoding="utf-8"))
        mine = {f["name"]: f["sha256"] for f in found["fits"]}
        ok = fit.key[1] != "" and mine.get(fit.name) == fit.key[1]
        rows = [row for row in found["rows"] if row["fit"] == fit.name]
        return {"sentence": found["sentences"][fit.name], "command": found["command"], "rows": rows} if ok else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _said(calibration: Calibration) -> str:
    if calibration.met and calibration.kl:
        return calibration.sentence
    return calibration.sentence + " The rest of this row is at that strength."


def _sentence(fit: Factorization, target: float, arms: list[dict[str, Any]]) -> str:
    met = [a["name"] for a in arms if a["met"]]
    others = [a["name"] for a in arms if not a["met"]]
    unmet = f" not reached by: {', '.join(others)};" if others else ""
    average = measured(fit)
    return (
        f"Each direction is added at every position of the {fit.site.label}, at the strength where the next token "
        f"moves by {target:g} nats (met, within 5 %, by {len(met)} of {len(arms)};{unmet} strengths are for this "
        "prompt and pole). Listed: changes of log-probability, in nats, of tokens with probability 0.00001 or more."
        + (f" On average over features and prompts: {average['sentence']}" if average else "")
    )


def _check_text(text: str) -> None:
    try:
        check_prompt(text)
    except UserError as error:
        raise UserError(error.message, "text") from error
