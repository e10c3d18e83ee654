"""Operations on a fit: which there are, the map of its regions, what one region is, and what a token is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from analysis.engine.context import Context
from analysis.engine.operation import Operation
from analysis.engine.question import Kind, Result
from analysis.errors import UserError
from analysis.fields import choice, whole
from analysis.mfa.settings import ROTATIONS
from analysis.models.prompts import check_prompt
from analysis.models.spec import ModelSpec

if TYPE_CHECKING:
    from analysis.mfa.library import RegionSet
    from analysis.models.loaded_model import LoadedModel

MAX_EXPLAINED = 200


@dataclass(frozen=True)
class ListFits(Operation):
    """The fits that belong to a model, the one to open on first."""

    kind: ClassVar[Kind] = "read"
    model: ModelSpec = ModelSpec("default")

    def run(self, context: Context) -> Result:
        from analysis.mfa.library import listing

        return Result({"fits": listing(self.model)})


@dataclass(frozen=True)
class RegionMap(Operation):
    """All regions of a fit, ready to draw: place, size, what it is about, nearest regions."""

    kind: ClassVar[Kind] = "read"
    model: ModelSpec = ModelSpec("default")
    fit: str = ""

    def run(self, context: Context) -> Result:
        from analysis.mfa.library import open_fit

        fit = open_fit(context.memory, self.fit)
        return Result({"fit": fit.name, "facts": fit.facts(), "regions": fit.rows()})


@dataclass(frozen=True)
class RenameRegion(Operation):
    """Keep a user's own name for a region; an empty one brings the computed name back."""

    kind: ClassVar[Kind] = "read"
    fit: str = ""
    region: int = 0
    label: str = ""

    def __post_init__(self) -> None:
        whole(self.region, 0, 100_000, "region", "The region")
        if not isinstance(self.label, str) or len(self.label) > 80:
            raise UserError("A name has at most 80 characters.", "label")

    def run(self, context: Context) -> Result:
        from analysis.mfa.library import keep_label, open_fit

        fit = open_fit(context.memory, self.fit)
        fit.check_region(self.region)
        keep_label(fit, self.region, " ".join(self.label.split()))
        return Result({"label": fit.label(self.region)})


@dataclass(frozen=True)
class OfRegion(Operation):
    """One region of a fit, with the local factors in one rotation."""

    model: ModelSpec = ModelSpec("default")
    fit: str = ""
    region: int = 0
    rotation: str = "principal"

    def __post_init__(self) -> None:
        whole(self.region, 0, 100_000, "region", "The region")
        choice(self.rotation, ROTATIONS, "rotation", "The rotation")

    def opened(self, context: Context) -> tuple[LoadedModel, RegionSet]:
        """Model and fit, once they are known to belong together and to have this region."""
        from analysis.mfa.library import fit_for

        loaded = context.model(self.model)
        fit = fit_for(context.memory, loaded, self.fit)
        fit.check_region(self.region)
        return loaded, fit


@dataclass(frozen=True)
class RegionCard(OfRegion):
    """What a region is: facts, contexts of three samples, tokens, local factors with named ends."""

    def run(self, context: Context) -> Result:
        from analysis.mfa.card import card_of

        loaded, fit = self.opened(context)
        return Result(card_of(loaded, fit, self.region, self.rotation))


@dataclass(frozen=True)
class RegionEffects(OfRegion):
    """What steering to a region makes more and less likely, or (``factors``) along each of its factors: measured,
    remembered. The factors take some twenty passes."""

    factors: bool = False

    def run(self, context: Context) -> Result:
        from analysis.mfa.effects import Effects

        loaded, fit = self.opened(context)
        key = ("effects", fit.name, fit.manifest["sha256"], self.region, self.rotation, self.factors)
        found = context.memory.get(key)
        if found is None:
            effects = Effects(loaded, fit, context.memory)
            factors = (
                []
                if not self.factors
                else [
                    [effects.of_factor(self.region, self.rotation, factor, sign) for sign in (-1.0, 1.0)]
                    for factor in range(fit.parameters.factors)
                ]
            )
            found = {"factors": factors} if self.factors else effects.of_centroid(self.region)
            context.memory.put(key, found, 20_000)
        return Result(found)


@dataclass(frozen=True)
class FactorsOfContext(OfRegion):
    """Where an example token lies in its region: the value of every local factor, in spreads."""

    row: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self.row, 0, 2**31 - 1, "row", "The example")

    def run(self, context: Context) -> Result:
        from analysis.mfa.card import factors_of_row

        loaded, fit = self.opened(context)
        return Result(
            {"region": self.region, "factors": factors_of_row(loaded, fit, self.region, self.row, self.rotation)}
        )


@dataclass(frozen=True)
class ExplainTokens(Operation):
    """Every token of a text: its region, responsibility, and the split of its activation; one token's two segments."""

    model: ModelSpec = ModelSpec("default")
    fit: str = ""
    text: str = ""
    rotation: str = "principal"

    def __post_init__(self) -> None:
        check_prompt(self.text)
        choice(self.rotation, ROTATIONS, "rotation", "The rotation")

    def run(self, context: Context) -> Result:
        from analysis.mfa.library import fit_for
        from analysis.mfa.reading import explain
        from analysis.models.prompts import encode_prompt, token_labels

        loaded = context.model(self.model)
        fit = fit_for(context.memory, loaded, self.fit)
        ids = encode_prompt(loaded, self.text, False)
        if len(ids) > MAX_EXPLAINED:
            raise UserError(
                f"This text has {len(ids):,} tokens; {MAX_EXPLAINED} can be explained at once. Shorten it.", "text"
            )
        parts = explain(loaded, fit, ids, self.rotation)
        regions = parts["region"].tolist()
        data: dict[str, Any] = {
            "labels": token_labels(loaded.tokenizer, ids),
            "region": regions,
            "region_labels": [fit.label(k) for k in regions],
            "second": parts["second"].tolist(),
            "second_labels": [fit.label(k) for k in parts["second"].tolist()],
            **{n: np.round(v, 4).tolist() for n, v in parts.items() if n not in ("region", "second")},
            "outside": fit.skip_first,
        }
        return Result(data)
