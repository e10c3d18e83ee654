"""The fits that there are: those that come with Attune and those made here, and what is known of each region.

A fit is opened from its artefact alone, so its map is on screen before any model is loaded; a model is only asked for
when words in context are wanted, and then refused if its weights are not those of the fit. Users' own names for
regions lie beside the fits, never in them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from analysis.artefacts import Arrays, Wording, write_whole
from analysis.corpora.passages import Passage, bundled_corpus, corpus_hash
from analysis.corpora.sources import read_source
from analysis.corpora.text_source import TextSource
from analysis.engine.memory import Memory
from analysis.errors import UserError
from analysis.home import folder
from analysis.mfa.artefact import decode, encode
from analysis.mfa.density import Density
from analysis.mfa.parameters import Parameters
from analysis.mfa.rotations import rotate
from analysis.models.sites import Site
from analysis.models.spec import ModelSpec
from analysis.shelf import Entry, Misfit, Shelf, is_name

if TYPE_CHECKING:
    from analysis.models.loaded_model import LoadedModel


class Opened:
    """Fits that were opened: the least that :func:`open_fit` asks of a memory, for use outside the worker."""

    def __init__(self) -> None:
        self._kept: dict[Any, Any] = {}

    def get(self, key: Any) -> Any | None:
        """The value under a key, or None."""
        return self._kept.get(key)

    def put(self, key: Any, value: Any, _size: int) -> None:
        """Remember a value."""
        self._kept[key] = value


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
class RegionSet:
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

    @cached_property
    def site(self) -> Site:
        """Where the activations come from."""
        return Site(int(self.manifest["layer"]), str(self.manifest["site"]))

    @cached_property
    def density(self) -> Density:
        """Densities with the principal loadings."""
        return Density(self.parameters, self.mean)

    @cached_property
    def _turned(self) -> Parameters:
        return rotate(self.parameters, "varimax")

    @cached_property
    def _turned_density(self) -> Density:
        return Density(self._turned, self.mean)

    def rotated(self, rotation: str) -> Parameters:
        """The mixture with its loadings in that rotation."""
        return self._turned if rotation == "varimax" else self.parameters

    def density_of(self, rotation: str) -> Density:
        """Densities with the loadings in that rotation, for posterior means."""
        return self._turned_density if rotation == "varimax" else self.density

    def spread(self, rotation: str) -> Tensor:
        """Standard deviation of each local factor among the region's own points, (K, R)."""
        return self.arrays[f"{rotation}.spread"].float()

    @property
    def skip_first(self) -> int:
        """How many first positions of a text the fit has not seen."""
        return int(self.manifest["skip_first"])

    @cached_property
    def usable(self) -> list[int]:
        """Regions with enough points to be a control."""
        return [r["region"] for r in self.manifest["regions"] if r["character"] != "small"]

    @cached_property
    def passages(self) -> list[Passage]:
        """The texts of the fit; UserError if they are gone or are others."""
        source = TextSource.from_dict(self.manifest["source"])
        texts = bundled_corpus() if source.kind == "bundled" else read_source(source)
        if corpus_hash(texts) != self.manifest["corpus"]:
            raise UserError("The texts of this fit have changed since, so its contexts cannot be shown.", "fit")
        return texts

    def check_region(self, region: int) -> None:
        """UserError unless there is such a region."""
        if not 0 <= region < self.parameters.components:
            raise UserError(f"This fit has regions 0 to {self.parameters.components - 1}.", "region")

    def label(self, region: int) -> str:
        """The user's own name of a region, or the computed one."""
        return self.labels.get(str(region)) or str(self.manifest["regions"][region]["label"])

    def facts(self) -> dict[str, Any]:
        """What the page says about the whole fit."""
        m = self.manifest
        noun = "held-out log-likelihood"
        caption = (
            f"{m['K']} regions, {m['R']} local factors, {self.site.label} of {m['model']}; {m['rows']:,} activations, "
            f"{noun} {m['held_out']:.1f} nats per activation (one diagonal Gaussian: {m['gaussian']:.1f}). Of the "
            f"variance, centroids leave {m['fvu_centroid']:.0%} unexplained, with local offsets {m['fvu_local']:.0%}. "
            f"Made by: {m['command']}."
        )
        keys = ("K", "R", "D", "model", "rows", "held_out", "gaussian", "seed", "command", "layer", "site", "layers")
        return {"caption": caption, **{k: m[k] for k in keys}}

    def rows(self) -> list[dict[str, Any]]:
        """One row per region for the map and the list, with the words by which it is found."""
        xy, near = self.arrays["xy"].tolist(), self.arrays["near"].tolist()
        rows = []
        for row, place, others in zip(self.manifest["regions"], xy, near, strict=True):
            number = row["region"]
            label, own = self.label(number), self.labels.get(str(number), "")
            words = " ".join([str(number), label, row["label"], row["character"], row["search"]]).lower()
            keys = ("region", "character", "size", "score", "purity", "theme", "entropy")
            kept = {k: row[k] for k in keys} | {"label": label, "own_label": own, "words": words}
            rows.append(kept | {"x": round(place[0], 3), "y": round(place[1], 3), "near": others})
        return rows


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
    return RegionSet(name, parameters, extra["mean"].float(), extra, manifest, _labels(name))


REGION_SETS = Shelf(
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
    size=lambda fit: 16 * fit.parameters.loadings.numel(),
)
BUNDLED = REGION_SETS.bundled


def listing(spec: ModelSpec) -> list[dict[str, str]]:
    """Name and title of the fits of a model: the bundled ones from shallow to deep, then one's own, newest first."""

    def describe(entry: Entry) -> dict[str, str]:
        m, end = entry.manifest, "bundled" if entry.bundled else f"own fit {entry.name[-6:]}"
        return {"name": entry.name, "title": f"{Site(m['layer'], m['site']).label}: {m['K']} regions, {end}"}

    return REGION_SETS.listing(spec.source, describe)


def open_fit(memory: Memory, name: str) -> RegionSet:
    """The fit of that name, from memory if it was opened before and its file is as it was then. Raises UserError."""
    if not is_name(name):
        raise UserError("Choose a fit above the map.", "fit")
    path = REGION_SETS.find(name)
    if path is None:
        raise UserError(f"The fit “{name}” is not in this data folder. Choose another above the map.", "fit")
    return REGION_SETS.open(memory, path)


def fit_for(memory: Memory, loaded: LoadedModel, name: str) -> RegionSet:
    """The fit of that name, once it is known to belong to the loaded model's weights. Raises UserError."""
    fit = open_fit(memory, name)
    if fit.manifest["fingerprint"] != loaded.facts.fingerprint:
        raise UserError(
            f"This fit was made for {fit.manifest['model']}, and the loaded model is {loaded.facts.label} with other "
            "weights. Choose a fit of this model above the map, or load that model on the Model page.",
            "fit",
        )
    return fit


def save_fit(fit: RegionSet, passages: list[Passage], place: Path | None = None, half: bool = False) -> str:
    """Write a fit to the data folder (or to ``place``); its name, which says site and sizes and ends in a hash."""
    m = fit.manifest
    m["corpus"] = corpus_hash(passages)
    if not fit.name:
        keys = ("fingerprint", "layer", "site", "corpus", "seed", "rows")
        # Fits that differ in their noise alone must not share a name: one would take the place of the other.
        sizes = [fit.parameters.components, fit.parameters.factors, fit.parameters.noise.ndim]
        text = json.dumps([*(str(m.get(k)) for k in keys), *sizes])
        digest = hashlib.sha256(text.encode()).hexdigest()
        kind = str(m["site"]).replace("_", "-")
        fit.name = f"{kind}-{m['layer']}-k{fit.parameters.components}-r{fit.parameters.factors}-{digest[:6]}"
    arrays, facts = encode(fit.parameters, fit.arrays, half)
    REGION_SETS.save((place or REGION_SETS.own()) / fit.name, arrays, m | facts)
    return fit.name


def keep_label(fit: RegionSet, region: int, label: str) -> None:
    """Keep a user's name for a region; an empty one forgets it."""
    labels = {**_labels(fit.name), str(region): label}
    fit.labels = {k: v for k, v in labels.items() if v}
    write_whole(folder("labels") / f"{fit.name}.json", json.dumps(fit.labels).encode())


def _labels(name: str) -> dict[str, str]:
    try:
        data = json.loads((folder("labels") / f"{name}.json").read_text(encoding="utf-8"))
        return {str(k): str(v)[:80] for k, v in data.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def place_of_row(documents: Tensor, positions: Tensor, rows: Tensor) -> Tensor:
    """(…, 2): document and position of each row, -1 staying -1; int16 if they fit, as those of the bundled fits do."""
    safe = rows.clamp(min=0)
    both = torch.stack([documents[safe], positions[safe]], -1).int()
    both = both.masked_fill((rows < 0)[..., None], -1)
    return both.to(torch.int16) if int(both.max()) < 2**15 else both
