"""Operations of the validation page: the toy model with a known answer, and the invariants on the loaded model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from analysis.engine.context import Context
from analysis.engine.fields import choice, whole
from analysis.engine.operation import Operation
from analysis.engine.question import Kind, Result
from analysis.errors import UserError
from analysis.models.capabilities import require_attention
from analysis.models.spec import ModelSpec
from analysis.qk.contrasts.spec import ContrastSpec

INVARIANT_PROMPT = (
    "The water in the harbour was calm that morning. Anna carried the red box and Paul carried the blue box. When the "
    "water rose, Anna opened the red box first."
)


@dataclass(frozen=True)
class TrainToy(Operation):
    """Train the toy model of arXiv 2602.04752 and report what its known answer is and what the method finds."""

    kind: ClassVar[Kind] = "job"
    n1: int = 3
    n2: int = 5
    d_head: int = 16
    task: str = "binary"
    seed: int = 11
    recipe: str = "fast"

    def __post_init__(self) -> None:
        whole(self.n1, 1, 12, "n1", "The width of z1")
        whole(self.n2, 1, 12, "n2", "The width of z2")
        whole(self.d_head, 2, 64, "d_head", "The head width")
        whole(self.seed, 0, 2**31 - 1, "seed", "The seed")
        choice(self.task, ("binary", "gaussian"), "task", "The task")
        choice(self.recipe, ("fast", "reference"), "recipe", "The recipe")

    def describe(self) -> str:
        return f"Train the toy model {self.n1}/{self.n2}/{self.d_head}, {self.task}"

    def run(self, context: Context) -> Result:
        from analysis.qk.toy import ToySettings, toy_report, train_toy

        chosen: dict[str, Any] = {
            "n1": self.n1,
            "n2": self.n2,
            "d_head": self.d_head,
            "task": self.task,
            "seed": self.seed,
        }
        settings = ToySettings.reference(**chosen) if self.recipe == "reference" else ToySettings(**chosen)
        curve: list[dict[str, Any]] = []

        def progress(facts: dict[str, Any]) -> None:
            curve.append({k: facts[k] for k in ("step", "loss", "accuracy")})
            share = 0.9 * facts["step"] / facts["max_steps"]
            context.progress(share, f"step {facts['step']:,}: accuracy {facts['accuracy']:.3f}", curve=curve)

        trained = train_toy(settings, progress)
        context.progress(0.92, "measuring", curve=curve)
        report = toy_report(trained)
        data, arrays = _split(report)
        return Result({**data, "curve": curve, "steps": trained.steps, "recipe": self.recipe}, arrays)


def _split(report: dict[str, Any], prefix: str = "") -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A nested report as JSON data and arrays, the arrays under dotted names."""
    data: dict[str, Any] = {}
    arrays: dict[str, np.ndarray] = {}
    for name, value in report.items():
        if isinstance(value, np.ndarray):
            arrays[prefix + name] = value
        elif isinstance(value, dict):
            data[name], inner = _split(value, f"{prefix}{name}.")
            arrays |= inner
        else:
            data[name] = value
    return data, arrays


@dataclass(frozen=True)
class Invariants(Operation):
    """Measure the identities of the method on the loaded model, each beside a variant that breaks it."""

    kind: ClassVar[Kind] = "job"
    model: ModelSpec = ModelSpec("default")

    def describe(self) -> str:
        return f"Invariants on {self.model.label}"

    def run(self, context: Context) -> Result:
        from analysis.models.prompts import encode_prompt
        from analysis.qk.contrasts import build_examples
        from analysis.qk.invariants import measure_invariants

        loaded = context.model(self.model)
        require_attention(loaded.facts_dict(), "The invariants need recorded attention.")
        try:
            ids = encode_prompt(loaded, INVARIANT_PROMPT, chat=False)
        except UserError as error:
            raise UserError(f"The invariants are measured on an English text. {error.message}", "model") from None
        examples = build_examples(ContrastSpec("induction", 24), loaded.tokenizer)
        notes: list[str] = []
        found = measure_invariants(loaded, ids, examples, context.progress, notes)
        return Result({"invariants": found, "notes": notes})
