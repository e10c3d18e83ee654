"""The factorizations that there are: those that come with Attune and those made here, and what is known of each.

Features have unit length: how much of one a token uses is all in the activation.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from analysis.activations.fits import ActivationFit, FitShelf, fit_name
from analysis.answer import from_wire
from analysis.artefacts import Arrays, Wording
from analysis.corpora.passages import Passage, corpus_hash
from analysis.errors import UserError
from analysis.models.sites import Site
from analysis.models.spec import ModelSpec
from analysis.shelf import Entry, Misfit
from analysis.snmf.answers.factorization import (
    DetectionComparison,
    ExplainedCurve,
    FactorizationSummary,
    FactorizationTitle,
    FeatureRow,
)
from analysis.snmf.artefact import decode, encode
from analysis.snmf.describe import label_of

_ROW = {
    **dict.fromkeys(("label", "words", "character"), str),
    **{"feature": int, "active": float, "top": list, "contexts": list, "on": list, "plus": list},
}
_MANIFEST = {
    **dict.fromkeys(("fingerprint", "model", "site", "command", "corpus"), str),
    **dict.fromkeys(("layer", "skip_first", "tokens", "width"), int),
    **{"explained": float, "kept": float, "model_spec": dict, "curve": (dict, None), "levels": list, "rows": [_ROW]},
}
"""What every factorization says of itself; checked before any of it is shown."""
_ARRAYS = ("active", "deciles", "plus", "plus_value", "scale")


@dataclass(frozen=True)
class Level:
    """One level of a tree: unit features ``components`` (K_l, d), and ``weights`` (K_l, K_{l-1}) >= 0, with which each
    is made of those of the level below; None at the lowest."""

    components: Tensor
    weights: Tensor | None = None


@dataclass
class Factorization(ActivationFit):
    """One factorization: its levels, the smallest concepts first, and what was found out about its features.

    ``arrays``: what :mod:`analysis.snmf.pipeline` computed about the features, by name. ``manifest["rows"]`` has one
    row for each feature of the lowest level, ``manifest["upper"]`` the rows of the levels above it.
    """

    name: str
    levels: list[Level]
    arrays: dict[str, Tensor]
    manifest: dict[str, Any]
    texts_changed = "The texts of this factorization have changed, so its contexts cannot be shown."

    @property
    def components(self) -> Tensor:
        """The features of the lowest level, (K, d) float32, signed, of unit length."""
        return self.levels[0].components

    @property
    def features(self) -> int:
        """How many features the lowest level has."""
        return len(self.components)

    @property
    def key(self) -> tuple[str, str]:
        """Names this factorization and its content: for what is remembered of it."""
        return self.name, str(self.manifest.get("sha256", ""))

    def check_feature(self, feature: int) -> None:
        """UserError unless there is such a feature."""
        if not isinstance(feature, int) or isinstance(feature, bool) or not 0 <= feature < self.features:
            raise UserError(f"This factorization has features 0 to {self.features - 1}.", "feature")

    def label(self, feature: int) -> str:
        """The computed name of a feature."""
        return label_of(self.manifest["rows"][feature])

    def neurons(self, feature: int) -> list[int]:
        """The neurons that a feature keeps, the heaviest first."""
        row = self.components[feature].abs()
        return [int(i) for i in row.argsort(descending=True) if row[i] > 0]

    def facts(self) -> FactorizationSummary:
        """What is known about the whole factorization."""
        m = self.manifest
        sizes = [len(level.components) for level in self.levels]
        tree = f", merged into {' and '.join(map(str, sizes[1:]))} larger ones" if len(sizes) > 1 else ""
        kept = max(1, int((self.components != 0).sum(1).max()))
        unit = "neurons" if m["site"] == "mlp_hidden" else "dimensions"
        caption = (
            f"{sizes[0]} features{tree}; {self.site.label} of {m['model']}. Each keeps at most {kept} of "
            f"{m['width']:,} {unit}. Fitted to {m['tokens']:,} tokens, of whose squared length it explains "
            f"{m['explained']:.0%} (the mean is not taken off). Made by: {m['command']}."
        )
        return FactorizationSummary(
            fit=self.name,
            layer=self.site.layer,
            site=self.site.kind,
            width=m["width"],
            features=sizes[0],
            kept=m["kept"],
            tokens=m["tokens"],
            explained=m["explained"],
            caption=caption,
            command=m["command"],
            levels=tuple(sizes),
            curve=curve_of(m["curve"]),
            random_auc=m.get("random_auc"),
        )

    def rows(self) -> tuple[FeatureRow, ...]:
        """One row for each feature of the lowest level, with the words by which a search meets it."""
        return tuple(_row(row) for row in self.manifest["rows"])


def curve_of(curve: dict[str, Any] | None) -> ExplainedCurve:
    """A curve as a manifest keeps it, or as a fit tells it while it runs; an empty one for None."""
    curve = curve or {}
    return ExplainedCurve(tuple(curve.get("iteration") or ()), tuple(curve.get("explained") or ()), curve.get("best"))


def _row(row: dict[str, Any]) -> FeatureRow:
    return FeatureRow(
        feature=row["feature"],
        label=label_of(row),
        top=tuple(row["top"]),
        active=row["active"],
        theme=row.get("theme", ""),
        purity=row.get("purity", 0.0),
        auc=row.get("auc"),
        words=row["words"],
        character=row["character"],
        auc_theme=(row.get("detection") or {}).get("theme", ""),
    )


def _decode(name: str, arrays: Arrays, manifest: dict[str, Any]) -> Factorization:
    components, weights, extra = decode(arrays, manifest)
    described = [len(rows) for rows in (manifest.get("rows", ()), *manifest.get("upper", ()))]
    if described != [len(c) for c in components]:
        raise Misfit("it does not say what its features are")
    for array in _ARRAYS:
        if array in extra and (extra[array].ndim < 1 or len(extra[array]) != len(components[0])):
            raise Misfit(f"its array “{array}” has another length than its features")
    levels = [Level(c, w) for c, w in zip(components, [None, *weights], strict=True)]
    fit = Factorization(name, levels, extra, manifest)
    _ = fit.site, manifest["fingerprint"], manifest["model"]
    return fit


FACTORIZATIONS = FitShelf(
    kind="factorization",
    place="features",
    wording=Wording(
        field="fit",
        subject="This factorization",
        absent="There is no file {file}. A factorization is a pair: .safetensors and .json.",
        unreadable="This factorization cannot be used: {why}. Copy both of its files again, or make it again.",
        changed="{file} was changed after it was written: its checksum is not the one in {manifest}. Copy both files "
        "again, or make the factorization again.",
        unusable="The factorization “{name}” cannot be used: {why}. Make it again.",
        incomplete="The factorization “{name}” lacks what a factorization holds. Make it again.",
    ),
    contents=_MANIFEST,
    decode=_decode,
    size=lambda fit: sum(4 * level.components.numel() for level in fit.levels),
    choose="Choose a factorization at the top of the page.",
    missing="The factorization “{name}” is not in this data folder. Choose another.",
    other_weights="This factorization was made for {made_for}, and the loaded model is {loaded} with other weights. "
    "Choose a factorization of this model, or load that model on the Model page.",
)
BUNDLED = FACTORIZATIONS.bundled
open_factorization = FACTORIZATIONS.named
fit_for = FACTORIZATIONS.for_model


def listing(spec: ModelSpec, fingerprint: str | None = None) -> tuple[FactorizationTitle, ...]:
    """The factorizations of a model: the bundled ones, the one to open on first, then one's own, newest first.
    ``fingerprint``: of its weights, while it is loaded."""

    def describe(entry: Entry) -> FactorizationTitle:
        site, sizes = Site(entry.manifest["layer"], entry.manifest["site"]), [int(n) for n in entry.manifest["levels"]]
        tree = f" in a tree of {len(sizes)} levels" if len(sizes) > 1 else ""
        end = "bundled" if entry.bundled else f"own fit {entry.name[-6:]}"
        title = f"{site.label}: {sizes[0]} features{tree}, {end}"
        return FactorizationTitle(entry.name, title, site.layer, site.kind, sizes[0], tuple(sizes))

    return tuple(FACTORIZATIONS.listing(spec.source, describe, fingerprint))


def detection_table(spec: ModelSpec) -> DetectionComparison:
    """The bundled comparison of features with baselines, layer by layer.

    Raises UserError(field="model") for a model that it was not made for.
    """
    try:
        table: dict[str, Any] = json.loads((FACTORIZATIONS.bundled / "detection.json").read_text(encoding="utf-8"))
        mine = table["model_spec"]["source"] == spec.source
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError("The table of detection is missing from this installation. Install Attune again.") from error
    if not mine:
        command = "python -m analysis.build snmf --detection"
        raise UserError(f"Detection was measured for {table['model']} only, by: {command}.", "model")
    return from_wire(DetectionComparison, {key: table[key] for key in ("rows", "sentence", "command")}, {})


def detection_checksum() -> str:
    """What :func:`detection_table` depends on; empty where the table is missing."""
    try:
        return hashlib.sha256((FACTORIZATIONS.bundled / "detection.json").read_bytes()).hexdigest()
    except OSError:
        return ""


def save_factorization(fit: Factorization, passages: Sequence[Passage], place: Path | None = None) -> str:
    """Write a factorization to the data folder (or to ``place``); its name, which says site, block and sizes."""
    m = fit.manifest
    m["corpus"] = corpus_hash(passages)
    if not fit.name:
        settings = ("fingerprint", "layer", "site", "corpus", "seed", "tokens", "kept", "init", "iterations")
        sizes = [len(level.components) for level in fit.levels]
        fit.name = fit_name(m, settings, sizes, "-".join(f"k{n}" for n in sizes[:4]))
    components = [level.components for level in fit.levels]
    weights = [level.weights for level in fit.levels[1:] if level.weights is not None]
    arrays, facts = encode(components, weights, fit.arrays)
    FACTORIZATIONS.save((place or FACTORIZATIONS.own()) / fit.name, arrays, m | facts)
    return fit.name
