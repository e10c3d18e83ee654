"""The fits that there are: those that come with Attune and those made here, and what is known of each region.

Users' own names for regions lie beside the fits, never in them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from analysis.activations.fits import ActivationFit, FitShelf, fit_name
from analysis.artefacts import Arrays, Wording, write_whole
from analysis.corpora.passages import Passage, corpus_hash
from analysis.errors import UserError
from analysis.home import folder
from analysis.mfa.answers.regions import FitFacts, FitTitle, Region
from analysis.mfa.artefact import decode, encode
from analysis.mfa.density import Density
from analysis.mfa.lean import LARGE, density_of
from analysis.mfa.parameters import Parameters
from analysis.mfa.rotations import rotate
from analysis.models.sites import Site
from analysis.models.spec import ModelSpec
from analysis.shelf import Entry, Misfit

NO_THEMES = (
    "None of them bears the name of a theme: these activations group by tokens and grammar, and the strongest of those "
    "that lean to a theme comes first."
)
_REGION = {
    **dict.fromkeys(("label", "character", "search", "why"), str),
    **{"region": int, "size": float, "kinds": list},
}
_MANIFEST = {
    **dict.fromkeys(("fingerprint", "model", "site", "command", "corpus"), str),
    **dict.fromkeys(("layer", "layers", "rows", "seed", "skip_first"), int),
    **dict.fromkeys(("held_out", "gaussian", "fvu_centroid", "fvu_local"), float),
    **{"model_spec": dict, "source": dict, "regions": [_REGION]},
}
"""What every fit says of itself; checked before any of it is shown."""


@dataclass
class RegionSet(ActivationFit):
    """One fit: parameters (principal loadings), what was found out about its regions, and where it comes from.

    ``mean`` (D,): the mean activation that the fit was centred by. ``arrays``: what :mod:`analysis.mfa.pipeline`
    computed about the regions, by name. ``manifest["regions"]`` has one row per region.
    """

    name: str
    parameters: Parameters
    mean: Tensor
    arrays: dict[str, Tensor]
    manifest: dict[str, Any]
    labels: dict[str, str] = field(default_factory=dict)
    texts_changed = "The texts of this fit have changed since, so its contexts cannot be shown."

    @cached_property
    def density(self) -> Density:
        """Densities with the principal loadings."""
        return density_of(self.parameters, self.mean)

    @property
    def large(self) -> bool:
        """Whether a second copy of the loadings would be a burden."""
        return self.parameters.loadings.numel() > LARGE

    @cached_property
    def _turned(self) -> Parameters:
        return rotate(self.parameters, "varimax")

    @cached_property
    def _turned_density(self) -> Density:
        return Density(self._turned, self.mean)

    def rotated(self, rotation: str) -> Parameters:
        """The mixture with its loadings in that rotation."""
        return self._turned if rotation == "varimax" else self.parameters

    def part(self, regions: Sequence[int], rotation: str) -> Parameters:
        """The mixture of some regions alone, with the loadings in that rotation."""
        self.check_rotation(rotation)
        p, numbers = self.rotated(rotation), list(regions)
        noise = p.noise if p.noise.ndim == 1 else p.noise[numbers]
        return Parameters(p.weights[numbers], p.means[numbers], p.loadings[numbers], noise)

    def factors_of(self, points: Tensor, region: Tensor, rotation: str) -> Tensor:
        """Posterior means (N, R) of the local factors of points (N, D), each in its own region (N,), in a rotation."""
        self.check_rotation(rotation)
        density = self._turned_density if rotation == "varimax" else self.density
        return density.posterior(points, region)

    def check_rotation(self, rotation: str) -> None:
        """UserError if the survey left this rotation out: turning a mixture of released size to it takes hours."""
        if f"{rotation}.spread" not in self.arrays:
            raise UserError(
                f"A fit of this size has its principal axes only. Set “Local axes”, under the sliders, to principal "
                f"in place of {rotation}.",
                "rotation",
            )

    def spread(self, rotation: str) -> Tensor:
        """Standard deviation of each local factor among the region's own points, (K, R)."""
        self.check_rotation(rotation)
        return self.arrays[f"{rotation}.spread"].float()

    @cached_property
    def usable(self) -> list[int]:
        """Regions with enough points to be a control."""
        return [r["region"] for r in self.manifest["regions"] if r["character"] != "small"]

    def check_region(self, region: int) -> None:
        """UserError unless there is such a region."""
        if not 0 <= region < self.parameters.components:
            raise UserError(f"This fit has regions 0 to {self.parameters.components - 1}.", "region")

    def label(self, region: int) -> str:
        """The user's own name of a region, or the computed one."""
        return self.labels.get(str(region)) or str(self.manifest["regions"][region]["label"])

    def facts(self) -> FitFacts:
        """What the page says about the whole fit."""
        m = self.manifest
        noun = "held-out log-likelihood"
        regions = m.get("regions", [])
        bare = "" if not regions or any(r["character"] == "theme" for r in regions) else f"{NO_THEMES} "
        caption = (
            f"{m['K']} regions, {m['R']} local factors, {self.site.label} of {m['model']}; {m['rows']:,} activations, "
            f"{noun} {m['held_out']:.1f} nats per activation (one diagonal Gaussian: {m['gaussian']:.1f}). Of the "
            f"variance, centroids leave {m['fvu_centroid']:.0%} unexplained, with local offsets {m['fvu_local']:.0%}. "
            f"{bare}Made by: {m['command']}."
        )
        part = m.get("part_of")
        if part:
            caption = (
                f"The {m['K']} regions of a set-up, out of the {part['of']} of the fit “{part['fit']}”, which is not "
                f"here: shares of responsibility are among these alone. {caption}"
            )
        return FitFacts(caption, **{f.name: m[f.name] for f in fields(FitFacts) if f.name != "caption"})

    def rows(self) -> tuple[Region, ...]:
        """One row per region for the map and the list, with the words by which it is found."""
        xy, near = self.arrays["xy"].tolist(), self.arrays["near"].tolist()
        rows = []
        for row, place, others in zip(self.manifest["regions"], xy, near, strict=True):
            number = row["region"]
            label, own = self.label(number), self.labels.get(str(number), "")
            words = " ".join([str(number), label, row["label"], row["character"], row["search"]]).lower()
            keys = ("region", "character", "size", "score", "purity", "theme", "entropy")
            x, y = (round(part, 3) for part in place)
            rows.append(
                Region(
                    **{k: row[k] for k in keys}, label=label, own_label=own, words=words, x=x, y=y, near=tuple(others)
                )
            )
        return tuple(rows)


def _decode(name: str, arrays: Arrays, manifest: dict[str, Any]) -> RegionSet:
    parameters, extra = decode(arrays, manifest)
    count, width = parameters.components, parameters.width
    if "regions" in manifest and len(manifest["regions"]) != count:
        raise Misfit("its rows are not those of its regions")
    shapes = {"mean": (width,), "xy": (count, 2), "near": (count, -1), "promoted": (count, -1), "lifted": (count, -1)}
    for array, shape in shapes.items():
        actual = tuple(extra[array].shape) if array in extra else shape
        if len(actual) != len(shape) or any(w not in (-1, n) for n, w in zip(actual, shape, strict=True)):
            raise Misfit(f"its array “{array}” has another shape than its regions")
    return RegionSet(name, parameters, extra["mean"].float(), extra, manifest, labels_of(name))


REGION_SETS = FitShelf(
    kind="fit",
    place="regions",
    wording=Wording(
        field="fit",
        subject="This fit",
        absent="There is no file {file}. A fit is a pair: .safetensors and .json.",
        unreadable="This fit cannot be used: {why}. Copy both of its files again, or fit again.",
        changed="{file} was changed after it was written: its checksum is not the one in {manifest}. Copy both files "
        "again, or fit again.",
        unusable="The fit “{name}” cannot be used: {why}. Fit again.",
        incomplete="The fit “{name}” cannot be used: its file lacks what a fit holds. Fit again.",
    ),
    contents=_MANIFEST,
    decode=_decode,
    size=lambda fit: (4 if fit.large else 16) * fit.parameters.loadings.numel(),
    choose="Choose a fit at the top of the page.",
    missing="The fit “{name}” is not in this data folder. Choose another at the top of the page.",
    other_weights="This fit was made for {made_for}, and the loaded model is {loaded} with other weights. Choose a fit "
    "of this model at the top of the page, or load that model on the Model page.",
)
BUNDLED = REGION_SETS.bundled
open_fit = REGION_SETS.named
fit_for = REGION_SETS.for_model


def listing(spec: ModelSpec, fingerprint: str | None = None) -> tuple[FitTitle, ...]:
    """Name and title of the fits of a model: the bundled ones from shallow to deep, then one's own, newest first.
    ``fingerprint``: of its weights, while it is loaded."""

    def describe(entry: Entry) -> FitTitle:
        m, end = entry.manifest, "bundled" if entry.bundled else f"own fit {entry.name[-6:]}"
        if not entry.bundled and "released" in m:
            end = f"{Path(str(m['released']['origin'])).name[:60]}, {entry.name[-6:]}"
        return FitTitle(entry.name, f"{Site(m['layer'], m['site']).label}: {m['K']} regions, {end}")

    return tuple(REGION_SETS.listing(spec.source, describe, fingerprint))


def save_fit(fit: RegionSet, passages: list[Passage], place: Path | None = None, half: bool = False) -> str:
    """Write a fit to the data folder (or to ``place``); its name, which says site and sizes and ends in a hash."""
    m = fit.manifest
    m["corpus"] = corpus_hash(passages)
    if not fit.name:
        settings = ("fingerprint", "layer", "site", "corpus", "seed", "rows")
        # Fits that differ in their noise alone must not share a name: one would take the place of the other.
        p = fit.parameters
        sizes = (p.components, p.factors, p.noise.ndim)
        fit.name = fit_name(m, settings, sizes, f"k{p.components}-r{p.factors}")
    arrays, facts = encode(fit.parameters, fit.arrays, half)
    REGION_SETS.save((place or REGION_SETS.own()) / fit.name, arrays, m | facts)
    return fit.name


def keep_label(fit: RegionSet, region: int, label: str) -> None:
    """Keep a user's name for a region; an empty one forgets it."""
    labels = {**labels_of(fit.name), str(region): label}
    fit.labels = {k: v for k, v in labels.items() if v}
    write_whole(folder("labels") / f"{fit.name}.json", json.dumps(fit.labels).encode())


def labels_of(name: str) -> dict[str, str]:
    """Users' own names of regions of the fit of that name, by the region's number as text."""
    try:
        data = json.loads((folder("labels") / f"{name}.json").read_text(encoding="utf-8"))
        return {str(k): str(v)[:80] for k, v in data.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def put_labels(name: str, labels: dict[str, str]) -> None:
    """Keep names that came with a fit; those that are there already stay."""
    write_whole(folder("labels") / f"{name}.json", json.dumps({**labels, **labels_of(name)}).encode())
