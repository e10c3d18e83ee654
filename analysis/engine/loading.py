"""Operations on models as such: estimate one before loading, load one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from analysis.engine.context import Context
from analysis.engine.keys import hash_of
from analysis.engine.operation import Operation
from analysis.engine.question import Kind
from analysis.models.capabilities import LoadReport, capabilities
from analysis.models.model_facts import ModelEstimate
from analysis.models.spec import ModelSpec


@dataclass(frozen=True)
class EstimateModel(Operation[ModelEstimate]):
    """Parameters and memory of a model from its metadata alone, against what the machine has."""

    kind: ClassVar[Kind] = "read"
    candidate: ModelSpec = ModelSpec("default")

    def run(self, context: Context) -> ModelEstimate:
        from analysis.models.metadata import estimate

        return estimate(self.candidate)


@dataclass(frozen=True)
class DescribeModel(Operation[LoadReport]):
    """What is known of a model, which is loaded if it is not."""

    model: ModelSpec = ModelSpec("default")

    def run(self, context: Context) -> LoadReport:
        return _report(context, self.model)


@dataclass(frozen=True)
class LoadModel(Operation[LoadReport]):
    """Load a model, or read it again if its files were saved over; describe it, and say what works with it."""

    kind: ClassVar[Kind] = "job"
    reread: ClassVar[bool] = True
    model: ModelSpec = ModelSpec("default")

    def describe(self) -> str:
        return f"Load {self.model.label}"

    def reads(self, context: Context) -> str:
        """The files as they are now: a kept answer is not one about files that were saved over."""
        from analysis.models.stamp import stamp_of

        return hash_of([list(entry) for entry in stamp_of(self.model)])

    def run(self, context: Context) -> LoadReport:
        return _report(context, self.model)


def _report(context: Context, model: ModelSpec) -> LoadReport:
    facts = context.model(model).facts
    return LoadReport(facts, capabilities(facts))
