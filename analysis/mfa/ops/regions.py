"""Operations on a fit: which there are, the map of its regions, what one region is, and what a token is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Generic, TypeVar

from analysis.engine.context import Context
from analysis.engine.operation import Operation
from analysis.engine.question import Kind
from analysis.errors import UserError
from analysis.fields import Choice, Whole
from analysis.mfa.answers.regions import ContextFactors, Effects, FitList, FitMap, RegionFacts, RegionName, TokenParts
from analysis.mfa.settings import ROTATIONS
from analysis.models.prompts import check_prompt
from analysis.models.spec import ModelSpec

if TYPE_CHECKING:
    from analysis.mfa.library import RegionSet
    from analysis.models.loaded_model import LoadedModel

MAX_EXPLAINED = 200
A = TypeVar("A")
RegionNumber = Annotated[int, Whole(0, 100_000, words="The region")]
Rotation = Annotated[str, Choice(ROTATIONS, words="The rotation")]


def checksum_of(fit: str) -> str:
    """What an answer that is read from a fit depends on. The user's own names for regions are no part of it."""
    from analysis.mfa.library import REGION_SETS

    return REGION_SETS.checksum(fit)


@dataclass(frozen=True)
class ListFits(Operation[FitList]):
    """The fits that belong to a model, the one to open on first."""

    kind: ClassVar[Kind] = "read"
    model: ModelSpec = ModelSpec("default")

    def run(self, context: Context) -> FitList:
        from analysis.mfa.library import listing

        return FitList(listing(self.model, context.residents.fingerprint(self.model)))


@dataclass(frozen=True)
class RegionMap(Operation[FitMap]):
    """All regions of a fit, ready to draw: place, size, what it is about, nearest regions."""

    kind: ClassVar[Kind] = "read"
    model: ModelSpec = ModelSpec("default")
    fit: str = ""

    def reads(self, context: Context) -> str:
        return checksum_of(self.fit)

    def run(self, context: Context) -> FitMap:
        from analysis.mfa.library import open_fit

        fit = open_fit(context.memory, self.fit)
        return FitMap(fit.name, fit.facts(), fit.rows())


@dataclass(frozen=True)
class RenameRegion(Operation[RegionName]):
    """Keep a user's own name for a region; an empty one brings the computed name back."""

    kind: ClassVar[Kind] = "read"
    writes: ClassVar[bool] = True
    fit: str = ""
    region: RegionNumber = 0
    label: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.label, str) or len(self.label) > 80:
            raise UserError("A name has at most 80 characters.", "label")

    def run(self, context: Context) -> RegionName:
        from analysis.mfa.library import keep_label, open_fit

        fit = open_fit(context.memory, self.fit)
        fit.check_region(self.region)
        keep_label(fit, self.region, " ".join(self.label.split()))
        return RegionName(fit.label(self.region))


@dataclass(frozen=True)
class OfRegion(Operation[A], Generic[A]):
    """One region of a fit, with the local factors in one rotation."""

    model: ModelSpec = ModelSpec("default")
    fit: str = ""
    region: RegionNumber = 0
    rotation: Rotation = "principal"

    def reads(self, context: Context) -> str:
        return checksum_of(self.fit)

    def opened(self, context: Context) -> tuple[LoadedModel, RegionSet]:
        """Model and fit, once they are known to belong together and to have this region."""
        from analysis.mfa.library import fit_for

        loaded = context.model(self.model)
        fit = fit_for(context.memory, loaded, self.fit)
        fit.check_region(self.region)
        return loaded, fit


@dataclass(frozen=True)
class RegionCard(OfRegion[RegionFacts]):
    """What a region is: facts, contexts of three samples, tokens, local factors with named ends."""

    def run(self, context: Context) -> RegionFacts:
        from analysis.mfa.card import card_of

        loaded, fit = self.opened(context)
        return card_of(loaded, fit, self.region, self.rotation)


@dataclass(frozen=True)
class RegionEffects(OfRegion[Effects]):
    """What steering to a region makes more and less likely, or (``factors``) along each of its factors: measured,
    remembered. The factors take some twenty passes."""

    factors: bool = False

    def run(self, context: Context) -> Effects:
        from analysis.mfa.effects import EffectMeasurement

        loaded, fit = self.opened(context)
        key = ("effects", fit.name, fit.manifest["sha256"], self.region, self.rotation, self.factors)
        effects: Effects | None = context.memory.get(key)
        if effects is None:
            measured = EffectMeasurement(loaded, fit, context.memory)
            effects = (
                measured.of_factors(self.region, self.rotation) if self.factors else measured.of_centroid(self.region)
            )
            context.memory.put(key, effects, 20_000)
        return effects


@dataclass(frozen=True)
class FactorsOfContext(OfRegion[ContextFactors]):
    """Where an example token lies in its region: the value of every local factor, in spreads."""

    row: Annotated[int, Whole(0, 2**31 - 1, words="The example")] = 0

    def run(self, context: Context) -> ContextFactors:
        from analysis.mfa.card import factors_of_row

        loaded, fit = self.opened(context)
        return ContextFactors(self.region, factors_of_row(loaded, fit, self.region, self.row, self.rotation))


@dataclass(frozen=True)
class ExplainTokens(Operation[TokenParts]):
    """Every token of a text: its region, responsibility, and the split of its activation; one token's two segments."""

    model: ModelSpec = ModelSpec("default")
    fit: str = ""
    text: str = ""
    rotation: Rotation = "principal"

    def __post_init__(self) -> None:
        check_prompt(self.text)
        super().__post_init__()

    def reads(self, context: Context) -> str:
        return checksum_of(self.fit)

    def run(self, context: Context) -> TokenParts:
        from analysis.mfa.library import fit_for
        from analysis.mfa.reading import explain
        from analysis.models.prompts import encode_prompt

        loaded = context.model(self.model)
        fit = fit_for(context.memory, loaded, self.fit)
        ids = encode_prompt(loaded, self.text, False)
        if len(ids) > MAX_EXPLAINED:
            raise UserError(
                f"This text has {len(ids):,} tokens; {MAX_EXPLAINED} can be explained at once. Shorten it.", "text"
            )
        return explain(loaded, fit, ids, self.rotation)
