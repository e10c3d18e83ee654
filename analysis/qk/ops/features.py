"""Operations on features: preview a contrast, fit it on all heads, and read what the fit says."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from analysis.engine.context import Context
from analysis.engine.operation import Operation
from analysis.engine.question import Kind, Result
from analysis.errors import UserError
from analysis.fields import choice, whole
from analysis.models.capabilities import require_attention
from analysis.models.spec import ModelSpec
from analysis.qk.contrasts import CONTRAST_KINDS
from analysis.qk.contrasts.spec import ContrastSpec

if TYPE_CHECKING:
    from analysis.qk.contrasts.example import Example
    from analysis.qk.fit import ContrastFit

PERMUTATIONS = 20


def feature_name(contrast: ContrastSpec) -> str:
    """How a feature is called on screen: its kind, and what distinguishes it from the kind's defaults."""
    kind = CONTRAST_KINDS[contrast.kind]
    usual = ContrastSpec(contrast.kind).options if contrast.kind not in ("template", "jsonl") else {}
    other = [str(v) for n, v in contrast.options.items() if n in usual and v != usual[n] and len(str(v)) < 16]
    return kind.title + (f" ({', '.join(other)})" if other else "")


@dataclass(frozen=True)
class OnContrast(Operation):
    """A contrast on a model."""

    model: ModelSpec = ModelSpec("default")
    contrast: ContrastSpec = ContrastSpec("induction")
    rotary: str = "post"

    def __post_init__(self) -> None:
        choice(self.rotary, ("post", "pre"), "rotary", "The vectors")

    def examples(self, context: Context, contrast: ContrastSpec | None = None) -> list[Example]:
        """The examples of the contrast for this model's tokenizer, those that are held back from a fit among them."""
        from analysis.qk.contrasts import build_examples

        loaded, chosen = context.model(self.model), contrast or self.contrast
        examples = build_examples(chosen, loaded.tokenizer)
        _check_lengths(examples, loaded.facts.max_positions, chosen.kind)
        return examples


def _check_lengths(examples: list[Example], most: int, kind: str) -> None:
    """UserError for examples with more tokens than the model has positions; ``most`` 0: it has no limit."""
    lengths = [max(map(len, example.prompts)) for example in examples]
    beyond = [number for number, length in enumerate(lengths, start=1) if most and length > most]
    if beyond:
        own = kind in ("template", "jsonl")
        raise UserError(
            f"{len(beyond):,} of {len(examples):,} examples are longer than the {most:,} tokens that this model reads "
            f"(the first is example {beyond[0]:,}, the longest has {max(lengths):,}). "
            + ("Shorten their texts." if own else "Choose another feature, or one with shorter lists."),
            "text" if own else "n_examples",
        )


@dataclass(frozen=True)
class PreviewContrast(OnContrast):
    """A few examples of a contrast with their tokens, and what fitting it will cost."""

    def run(self, context: Context) -> Result:
        from analysis.qk.contrasts import describe, held_back

        loaded = context.model(self.model)
        # What people wrote themselves is built whole, so that every word and line is looked at before it is fitted.
        own = self.contrast.kind in ("template", "jsonl")
        few = self.examples(context, self.contrast if own else replace(self.contrast, n_examples=8))
        held = len(held_back(self.contrast))
        count = len(few) - held if own else self.contrast.n_examples
        tokens = sum(len(p) for e in few for p in e.prompts) / len(few) * count
        shown = [describe(e, loaded.tokenizer) for e in few[:3]]
        seconds = tokens * loaded.facts.seconds_per_token * 1.2
        return Result({"examples": shown, "count": count, "held_back": held, "tokens": int(tokens), "seconds": seconds})


@dataclass(frozen=True)
class FitContrast(OnContrast):
    """Fit a contrast on every head of every layer from one stream of forward passes."""

    kind: ClassVar[Kind] = "job"
    permutations: int = PERMUTATIONS

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self.permutations, 0, 100, "permutations", "The number of relabellings")

    def describe(self) -> str:
        return f"Fit {feature_name(self.contrast)} on {self.model.label}"

    def run(self, context: Context) -> Result:
        from analysis.qk.contrasts import fitted_examples
        from analysis.qk.fit import fit_contrast

        loaded = context.model(self.model)
        require_attention(loaded.facts_dict(), "Features cannot be fitted on this model.")
        context.progress(0.0, "building examples")
        examples = fitted_examples(self.contrast, loaded.tokenizer)
        _check_lengths(examples, loaded.facts.max_positions, self.contrast.kind)
        fit = fit_contrast(
            loaded, examples, self.permutations, self.contrast.seed, self.rotary, progress=context.progress
        )
        plain = ("layers", "counts", "candidates", "chance")
        arrays = {f.name: getattr(fit, f.name) for f in fields(fit) if f.name not in plain}
        data = {
            "layers": fit.layers,
            "counts": list(fit.counts),
            # NaN is no JSON: what is not defined is left out.
            **({} if np.isnan(fit.chance) else {"candidates": list(fit.candidates), "chance": fit.chance}),
            "name": feature_name(self.contrast),
            "still": [n for n, still in zip(fit.layers, arrays["still"], strict=True) if still],
        }
        return Result(data, arrays)


def fit_of(context: Context, model: ModelSpec, contrast: ContrastSpec, rotary: str = "post") -> ContrastFit:
    """The stored fit of a feature. UserError(field="features") if it has not been fitted on this model."""
    from analysis.qk.fit import ContrastFit

    operation = FitContrast(model, contrast, rotary)
    key = context.key_of(operation)
    found = context.memory.get(("fit", key)) if key else None
    if found is not None:
        return found  # type: ignore[no-any-return]
    result = context.store.get(key) if key else None
    if result is None:
        raise UserError(f"“{feature_name(contrast)}” has not been fitted on this model yet. Press Fit.", "features")
    known: dict[str, Any] = dict(result.arrays)
    if "chance" in result.data:
        known |= {"chance": result.data["chance"], "candidates": tuple(result.data["candidates"])}
    fit = ContrastFit(
        layers=result.data["layers"],
        counts=tuple(result.data["counts"]),
        **known,
    )
    context.memory.put(("fit", key), fit, sum(a.nbytes for a in result.arrays.values()))
    return fit


@dataclass(frozen=True)
class FeatureStatus(Operation):
    """Which of some features are fitted on a model."""

    kind: ClassVar[Kind] = "read"
    model: ModelSpec = ModelSpec("default")
    features: tuple[ContrastSpec, ...] = ()

    def run(self, context: Context) -> Result:
        keys = [context.key_of(FitContrast(self.model, f)) for f in self.features]
        return Result({"fitted": [k is not None and context.store.has(k) for k in keys]})


@dataclass(frozen=True)
class FeatureScores(OnContrast):
    """Per layer and head: trace in nats, its distance from the null, attention contrast, hit rate, and how much
    attention the matching keys get together; NaN elsewhere, and for the distance where relabellings are too few."""

    kind: ClassVar[Kind] = "read"

    def run(self, context: Context) -> Result:
        from analysis.qk.evidence import FEW_RELABELLINGS, LOOKS, matching_attention

        fit = fit_of(context, self.model, self.contrast, self.rotary)
        facts = context.model(self.model).facts
        distance = np.full_like(fit.trace, np.nan)
        if fit.null_trace.shape[-1] >= FEW_RELABELLINGS:
            spread = fit.null_trace.std(-1, ddof=1)
            distance = (fit.trace - fit.null_trace.mean(-1)) / np.maximum(spread, 1e-9)
        scores = {
            "trace_nats": fit.trace * fit.scaling[:, None],
            "trace_z": distance,
            "contrast": fit.attention[..., 0] - fit.attention[..., 1],
            "hits": fit.hits,
            "matching": matching_attention(fit),
        }
        whole_grid = {}
        for name, values in scores.items():
            grid = np.full((facts.layers, facts.heads), np.nan, np.float32)
            grid[fit.layers] = values
            whole_grid[name] = grid
        chance = None if np.isnan(fit.chance) else fit.chance
        told = {"examples": fit.examples, "permutations": fit.null_trace.shape[-1], "chance": chance}
        told["looks"] = LOOKS
        return Result(told, whole_grid)


@dataclass(frozen=True)
class Evidence(OnContrast):
    """What supports a feature's subspace on one head: spectrum with null, trace, noise share, split halves."""

    kind: ClassVar[Kind] = "read"
    layer: int = 0
    head: int = 0
    rank: int = -1
    centred: bool = False

    def run(self, context: Context) -> Result:
        from analysis.qk.contrasts import held_back
        from analysis.qk.evidence import head_evidence

        fit = fit_of(context, self.model, self.contrast, self.rotary)
        check_head(fit, self.layer, self.head)
        rank = None if self.rank < 0 else self.rank
        facts = head_evidence(fit, self.layer, self.head, rank, self.centred, rotary=self.rotary)
        return Result({**facts, "held_back": len(held_back(self.contrast))})


@dataclass(frozen=True)
class Overlap(Operation):
    """How far the subspaces of several features coincide on one head."""

    kind: ClassVar[Kind] = "read"
    model: ModelSpec = ModelSpec("default")
    features: tuple[ContrastSpec, ...] = ()
    layer: int = 0
    head: int = 0

    def run(self, context: Context) -> Result:
        from analysis.qk.evidence import overlap, subspace_of

        fits = [fit_of(context, self.model, f) for f in self.features]
        for fit in fits:
            check_head(fit, self.layer, self.head)
        found = overlap([subspace_of(f, self.layer, self.head) for f in fits])
        return Result({**found, "names": [feature_name(f) for f in self.features]})


@dataclass(frozen=True)
class HeldOut(OnContrast):
    """A head's subspace on examples that the fit has not seen, where there are any: swaps by rank with random controls,
    and the map. ``in_sample`` and ``basis`` of the answer say which examples these were."""

    kind: ClassVar[Kind] = "job"
    layer: int = 0
    head: int = 0
    examples_count: int = 150
    centred: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self.examples_count, 20, 2000, "examples_count", "The number of examples to test on")

    def describe(self) -> str:
        return f"Swap test of {feature_name(self.contrast)} on layer {self.layer}, head {self.head}"

    def run(self, context: Context) -> Result:
        from analysis.qk.contrasts import trial_of
        from analysis.qk.evidence import subspace_of
        from analysis.qk.heldout import collect, map_points, swap_table

        fit = fit_of(context, self.model, self.contrast, self.rotary)
        check_head(fit, self.layer, self.head)
        subspace = subspace_of(fit, self.layer, self.head, None, self.centred)
        loaded = context.model(self.model)
        trial = trial_of(self.contrast, loaded.tokenizer, self.examples_count)
        _check_lengths(trial.examples, loaded.facts.max_positions, self.contrast.kind)
        samples = collect(
            loaded,
            trial.examples,
            self.layer,
            self.head,
            self.rotary,
            lambda share, text: context.progress(None if share is None else 0.8 * share, text),
        )
        points = map_points(samples, subspace)
        table = None
        if self.rotary == "post" and any(samples.negative):
            context.progress(0.85, "swaps by rank")
            table = swap_table(samples, subspace)
        arrays = {name: points.pop(name) for name in ("points", "centre", "axes")}
        told = {"in_sample": trial.in_sample, "basis": trial.basis, "examples": len(trial.examples)}
        return Result({"swaps": table, "map": points, **told}, arrays)


def check_head(fit: ContrastFit, layer: int, head: int) -> None:
    """Refuse a layer or head that the fit does not have."""
    if layer not in fit.layers:
        raise UserError(f"Layer {layer} of this model has no softmax attention to fit.", "layer")
    whole(head, 0, fit.trace.shape[1] - 1, "head", "The head")
