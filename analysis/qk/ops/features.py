"""Operations on features: preview a contrast, fit it on all heads, and read what the fit says."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np

from analysis.answer import extended
from analysis.engine.context import Context
from analysis.engine.operation import A, Operation
from analysis.engine.question import Kind
from analysis.errors import UserError
from analysis.fields import Choice, Whole, whole
from analysis.models.capabilities import require_attention
from analysis.models.spec import ModelSpec
from analysis.progress import portion
from analysis.qk.answers.evidence import HeadEvidence, SubspaceTest
from analysis.qk.answers.features import ContrastPreview, FeatureHeads, FitFlags, FittedContrast, SubspaceOverlap
from analysis.qk.contrasts import CONTRAST_KINDS
from analysis.qk.contrasts.spec import ContrastSpec

if TYPE_CHECKING:
    from analysis.qk.contrasts.example import Example
    from analysis.qk.fit import ContrastFit
    from analysis.shelf import Entry

PERMUTATIONS = 20


def feature_name(contrast: ContrastSpec) -> str:
    """How a feature is called on screen: its name, or its kind and what distinguishes it from the kind's defaults."""
    if contrast.name:
        return contrast.name
    kind = CONTRAST_KINDS[contrast.kind]
    usual = ContrastSpec(contrast.kind).options if contrast.kind not in ("template", "jsonl") else {}
    other = [str(v) for n, v in contrast.options.items() if n in usual and v != usual[n] and len(str(v)) < 16]
    return kind.title + (f" ({', '.join(other)})" if other else "")


@dataclass(frozen=True)
class OnContrast(Operation[A]):
    """A contrast on a model."""

    model: ModelSpec = ModelSpec("default")
    contrast: ContrastSpec = ContrastSpec("induction")
    rotary: Annotated[str, Choice(("post", "pre"), words="The vectors")] = "post"

    def examples(self, context: Context, contrast: ContrastSpec | None = None) -> list[Example]:
        """The examples of the contrast for this model's tokenizer, those that are held back from a fit among them."""
        from analysis.qk.contrasts import build_examples

        loaded, chosen = context.model(self.model), contrast or self.contrast
        examples = build_examples(chosen, loaded.tokenizer)
        check_lengths(examples, loaded.facts.max_positions, chosen.kind)
        return examples


def check_lengths(examples: list[Example], most: int, kind: str) -> None:
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
class PreviewContrast(OnContrast[ContrastPreview]):
    """A few examples of a contrast with their tokens, and what fitting it will cost."""

    def run(self, context: Context) -> ContrastPreview:
        from analysis.qk.contrasts import describe, held_back

        loaded = context.model(self.model)
        # What people wrote themselves is built whole, so that every word and line is looked at before it is fitted.
        own = self.contrast.kind in ("template", "jsonl")
        few = self.examples(context, self.contrast if own else replace(self.contrast, n_examples=8))
        reserve = len(held_back(self.contrast))
        count = len(few) - reserve if own else self.contrast.n_examples
        tokens = sum(len(p) for e in few for p in e.prompts) / len(few) * count
        examples = tuple(describe(e, loaded.tokenizer) for e in few[:3])
        seconds = tokens * loaded.facts.seconds_per_token * 1.2
        return ContrastPreview(examples, count, reserve, int(tokens), seconds)


@dataclass(frozen=True)
class FitContrast(OnContrast[FittedContrast]):
    """Fit a contrast on every head of every layer from one stream of forward passes."""

    kind: ClassVar[Kind] = "job"
    permutations: Annotated[int, Whole(0, 100, words="The number of relabellings")] = PERMUTATIONS

    def __post_init__(self) -> None:
        super().__post_init__()
        # A feature that was renamed is the same fit.
        object.__setattr__(self, "contrast", self.contrast.unnamed())

    def describe(self) -> str:
        return f"Fit {feature_name(self.contrast)} on {self.model.label}"

    def run(self, context: Context) -> FittedContrast:
        from analysis.qk.contrasts import fitted_examples
        from analysis.qk.fit import fit_contrast

        loaded = context.model(self.model)
        require_attention(loaded.facts, "Features cannot be fitted on this model.")
        context.progress(0.0, "building examples")
        examples = fitted_examples(self.contrast, loaded.tokenizer)
        check_lengths(examples, loaded.facts.max_positions, self.contrast.kind)
        fit = fit_contrast(
            loaded, examples, self.permutations, self.contrast.seed, self.rotary, progress=context.progress,
            check=context.check, spread=context.spread(loaded),
        )  # fmt: skip
        parts = {f.name: getattr(fit, f.name) for f in fields(fit)}
        if np.isnan(fit.chance):  # NaN is no JSON
            parts |= {"candidates": None, "chance": None}
        still = tuple(n for n, flag in zip(fit.layers, parts["still"], strict=True) if flag)
        return FittedContrast(**parts, name=feature_name(self.contrast), still_layers=still)


@dataclass(frozen=True)
class OnFittedContrast(OnContrast[A]):
    """A contrast that has been fitted."""

    def built_on(self) -> tuple[Operation[Any], ...]:
        return (FitContrast(self.model, self.contrast, self.rotary),)


def fit_of(context: Context, model: ModelSpec, contrast: ContrastSpec, rotary: str = "post") -> ContrastFit:
    """The stored fit of a feature. UserError(field="features") if it has not been fitted on this model."""
    from analysis.qk.library import fit_from

    operation = FitContrast(model, contrast, rotary)
    key = context.key_of(operation)
    recent = context.memory.get(("fit", key)) if key else None
    if recent is not None:
        return recent  # type: ignore[no-any-return]
    result = context.store.get(key) if key else None
    if result is None:
        return _brought(context, operation, feature_name(contrast))
    fit = fit_from(FitContrast.answer_from(result))
    context.memory.put(("fit", key), fit, sum(a.nbytes for a in result.arrays.values()))
    return fit


def _brought(context: Context, operation: FitContrast, name: str) -> ContrastFit:
    """The fit of a feature, called ``name``, that was opened from a file. UserError(field="features") if there is none,
    or if it is not of this model's layers and heads."""
    from analysis.qk.library import CONTRASTS

    path = _brought_at(context, operation)
    if path is None:
        raise UserError(f"“{name}” has not been fitted on this model yet. Press Fit.", "features")
    fit, facts = CONTRASTS.open(context.memory, path), context.model(operation.model).facts
    if fit.trace.shape[1] != facts.heads or max(fit.layers, default=0) >= facts.layers:
        raise UserError(f"The file of “{name}” is of a model with other layers or heads. Press Fit.", "features")
    return fit


def _brought_at(context: Context, operation: FitContrast) -> Path | None:
    entry = _entry(context, operation)
    return None if entry is None else entry.path


def _entry(context: Context, operation: FitContrast) -> Entry | None:
    from analysis.qk.library import contrast_entry

    weights = context.residents.fingerprint(operation.model)
    settings = (operation.contrast, operation.rotary, operation.permutations)
    return contrast_entry(weights, *settings) if weights else None


def fit_name(context: Context, fit: FitContrast) -> str | None:
    """What names the fit of a contrast on this model, and changes with it: the key of its stored result, or the
    checksum of the file that it was opened from or comes in. None where there is none."""
    key = context.key_of(fit)
    if key is not None and context.store.has(key):
        return key
    entry = _entry(context, fit)
    return None if entry is None else entry.checksum


@dataclass(frozen=True)
class FeatureStatus(Operation[FitFlags]):
    """Which of some features are fitted on a model."""

    kind: ClassVar[Kind] = "read"
    model: ModelSpec = ModelSpec("default")
    features: tuple[ContrastSpec, ...] = ()

    def run(self, context: Context) -> FitFlags:
        fits = [FitContrast(self.model, feature) for feature in self.features]
        keys = [context.key_of(fit) for fit in fits]
        here = [key is not None and context.store.has(key) for key in keys]
        kept = [None if made else _entry(context, fit) for made, fit in zip(here, fits, strict=True)]
        return FitFlags(
            tuple(made or entry is not None for made, entry in zip(here, kept, strict=True)),
            tuple(entry is not None and entry.bundled for entry in kept),
        )


@dataclass(frozen=True)
class FeatureScores(OnFittedContrast[FeatureHeads]):
    """Per layer and head: trace in nats, its distance from the null, attention contrast, hit rate, and how much
    attention the matching keys get together; NaN elsewhere, and for the distance where relabellings are too few."""

    kind: ClassVar[Kind] = "read"

    def run(self, context: Context) -> FeatureHeads:
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
        grids = {}
        for name, values in scores.items():
            grid = np.full((facts.layers, facts.heads), np.nan, np.float32)
            grid[fit.layers] = values
            grids[name] = grid
        chance = None if np.isnan(fit.chance) else fit.chance
        return FeatureHeads(fit.examples, fit.null_trace.shape[-1], chance, LOOKS, **grids)


@dataclass(frozen=True)
class Evidence(OnFittedContrast[HeadEvidence]):
    """What supports a feature's subspace on one head: spectrum with null, trace, noise share, split halves."""

    kind: ClassVar[Kind] = "read"
    layer: int = 0
    head: int = 0
    rank: int = -1
    centred: bool = False

    def run(self, context: Context) -> HeadEvidence:
        from analysis.qk.contrasts import held_back
        from analysis.qk.evidence import head_evidence

        fit = fit_of(context, self.model, self.contrast, self.rotary)
        check_head(fit, self.layer, self.head)
        rank = None if self.rank < 0 else self.rank
        facts = head_evidence(fit, self.layer, self.head, rank, self.centred, rotary=self.rotary)
        return replace(facts, held_back=len(held_back(self.contrast)))


@dataclass(frozen=True)
class Overlap(Operation[SubspaceOverlap]):
    """How far the subspaces of several features coincide on one head."""

    kind: ClassVar[Kind] = "read"
    model: ModelSpec = ModelSpec("default")
    features: tuple[ContrastSpec, ...] = ()
    layer: int = 0
    head: int = 0

    def built_on(self) -> tuple[Operation[Any], ...]:
        return tuple(FitContrast(self.model, feature) for feature in self.features)

    def run(self, context: Context) -> SubspaceOverlap:
        from analysis.qk.evidence import overlap, subspace_of

        fits = [fit_of(context, self.model, f) for f in self.features]
        for fit in fits:
            check_head(fit, self.layer, self.head)
        subspaces = [subspace_of(f, self.layer, self.head) for f in fits]
        return overlap(subspaces, [feature_name(f) for f in self.features])


@dataclass(frozen=True)
class HeldOut(OnFittedContrast[SubspaceTest]):
    """A head's subspace on examples that the fit has not seen, where there are any: swaps by rank with random controls,
    and the map. ``in_sample`` and ``basis`` of the answer say which examples these were."""

    kind: ClassVar[Kind] = "job"
    layer: int = 0
    head: int = 0
    examples_count: Annotated[int, Whole(20, 2000, words="The number of examples to test on")] = 150
    centred: bool = False

    def describe(self) -> str:
        return f"Swap test of {feature_name(self.contrast)} on layer {self.layer}, head {self.head}"

    def run(self, context: Context) -> SubspaceTest:
        from analysis.qk.contrasts import trial_of
        from analysis.qk.evidence import subspace_of
        from analysis.qk.heldout import collect, map_points, swap_table

        fit = fit_of(context, self.model, self.contrast, self.rotary)
        check_head(fit, self.layer, self.head)
        subspace = subspace_of(fit, self.layer, self.head, None, self.centred)
        loaded = context.model(self.model)
        trial = trial_of(self.contrast, loaded.tokenizer, self.examples_count)
        check_lengths(trial.examples, loaded.facts.max_positions, self.contrast.kind)
        samples = collect(
            loaded,
            trial.examples,
            self.layer,
            self.head,
            self.rotary,
            portion(context.progress, 0.0, 0.8),
        )
        points = map_points(samples, subspace)
        table = None
        if self.rotary == "post" and any(samples.negative):
            context.progress(0.85, "swaps by rank")
            table = swap_table(samples, subspace)
        where = {"in_sample": trial.in_sample, "basis": trial.basis, "examples": len(trial.examples)}
        return extended(SubspaceTest, points, swaps=table, **where)


def check_head(fit: ContrastFit, layer: int, head: int) -> None:
    """Refuse a layer or head that the fit does not have."""
    if layer not in fit.layers:
        raise UserError(f"Layer {layer} of this model has no softmax attention to fit.", "layer")
    whole(head, 0, fit.trace.shape[1] - 1, "head", "The head")
