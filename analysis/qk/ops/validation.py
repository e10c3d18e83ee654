"""Operations of the validation page: the toy model with a known answer, and the invariants on the loaded model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, get_args

from analysis.answer import extended, plain_of
from analysis.engine.context import Context
from analysis.engine.operation import Operation
from analysis.engine.question import Kind
from analysis.errors import UserError
from analysis.fields import Choice, Whole
from analysis.models.spec import ModelSpec
from analysis.progress import portion
from analysis.qk.answers.validation import InvariantTable, ToyPoint, ToyTraining
from analysis.qk.contrasts.spec import ContrastSpec
from analysis.qk.toy_settings import Task

INVARIANT_PROMPT = (
    "The water in the harbour was calm that morning. Anna carried the red box and Paul carried the blue box. When the "
    "water rose, Anna opened the red box first."
)


@dataclass(frozen=True)
class TrainToy(Operation[ToyTraining]):
    """Train the toy model of arXiv 2602.04752 and report what its known answer is and what the method finds."""

    kind: ClassVar[Kind] = "job"
    n1: Annotated[int, Whole(1, 12, words="The width of z1")] = 3
    n2: Annotated[int, Whole(1, 12, words="The width of z2")] = 5
    d_head: Annotated[int, Whole(2, 64, words="The head width")] = 16
    task: Annotated[Task, Choice(get_args(Task), words="The task")] = "binary"
    seed: Annotated[int, Whole(0, 2**31 - 1, words="The seed")] = 11
    recipe: Annotated[str, Choice(("fast", "reference"), words="The recipe")] = "fast"

    def describe(self) -> str:
        return f"Train the toy model {self.n1}/{self.n2}/{self.d_head}, {self.task}"

    def run(self, context: Context) -> ToyTraining:
        from analysis.qk.toy import ToySettings, toy_report, train_toy

        recipe = ToySettings.reference if self.recipe == "reference" else ToySettings
        settings = recipe(n1=self.n1, n2=self.n2, d_head=self.d_head, task=self.task, seed=self.seed)
        curve: list[ToyPoint] = []

        training = portion(context.progress, 0.0, 0.9)

        def progress(share: float | None, text: str = "", **facts: Any) -> None:
            curve.append(ToyPoint(**facts))
            training(share, text, curve=plain_of(curve))

        trained = train_toy(settings, progress)
        context.progress(0.92, "measuring", curve=plain_of(curve))
        return extended(ToyTraining, toy_report(trained), curve=tuple(curve), recipe=self.recipe)


@dataclass(frozen=True)
class KeptToy(Operation[ToyTraining]):
    """The toy that comes with Attune, as the Validation page opens with it."""

    kind: ClassVar[Kind] = "read"

    def run(self, context: Context) -> ToyTraining:
        from analysis.qk.kept import kept_toy

        return kept_toy()


@dataclass(frozen=True)
class Invariants(Operation[InvariantTable]):
    """Measure the identities of the method on the loaded model, each beside a variant that breaks it."""

    kind: ClassVar[Kind] = "job"
    model: ModelSpec = ModelSpec("default")

    def describe(self) -> str:
        return f"Invariants on {self.model.label}"

    def run(self, context: Context) -> InvariantTable:
        from analysis.models.capabilities import require_attention
        from analysis.models.prompts import encode_prompt
        from analysis.qk.contrasts import build_examples
        from analysis.qk.invariants import measure_invariants

        loaded = context.model(self.model)
        require_attention(loaded.facts, "The invariants need recorded attention.")
        try:
            ids = encode_prompt(loaded, INVARIANT_PROMPT, chat=False)
        except UserError as error:
            raise UserError(f"The invariants are measured on an English text. {error.message}", "model") from None
        examples = build_examples(ContrastSpec("induction", 24), loaded.tokenizer)
        return measure_invariants(loaded, ids, examples, context.progress)


@dataclass(frozen=True)
class KeptInvariants(Operation[InvariantTable]):
    """The identities as they were measured on a model before: here, or for the default model with Attune."""

    kind: ClassVar[Kind] = "read"
    model: ModelSpec = ModelSpec("default")

    def run(self, context: Context) -> InvariantTable:
        from analysis.qk.kept import kept_invariants, noted

        found = context.stored(Invariants(self.model))
        if found is not None:
            return noted(Invariants.answer_from(found), "Measured here before.")
        return kept_invariants(self.model.source, context.residents.fingerprint(self.model), self.model.label)
