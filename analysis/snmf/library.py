"""The factorizations that there are: those that come with Attune and those made here, and what is known of each.

A factorization is opened from its artefact alone, so the list of its features and its tree are on screen before any
model is loaded; a model is asked for only where words in context or logits are wanted, and then refused if its weights
are not those of the factorization. Features have unit length: how much of one a token uses is all in the activation.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from analysis import foreign
from analysis.artefacts import MAX_MANIFEST, state_of
from analysis.corpora.passages import Passage, bundled_corpus, corpus_hash
from analysis.corpora.sources import read_source
from analysis.corpora.text_source import TextSource
from analysis.errors import UserError
from analysis.home import folder
from analysis.models.sites import Site
from analysis.models.spec import ModelSpec
from analysis.snmf.artefact import load_factors, save_factors

if TYPE_CHECKING:
    from analysis.models.loaded_model import LoadedModel

BUNDLED = Path(__file__).resolve().parent.parent / "data" / "features"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,80}")
"""Names of factorizations: also names of files, so nothing else may come in."""
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
class Factorization:
    """One factorization: its levels, the smallest concepts first, and what was found out about its features.

    ``arrays``: what :mod:`analysis.snmf.pipeline` computed about the features, by name. ``manifest["rows"]`` has one
    row for each feature of the lowest level, ``manifest["upper"]`` the rows of the levels above it.
    """

    name: str
    levels: list[Level]
    arrays: dict[str, Tensor]
    manifest: dict[str, Any]

    @property
    def components(self) -> Tensor:
        """The features of the lowest level, (K, d) float32, signed, of unit length."""
        return self.levels[0].components

    @cached_property
    def site(self) -> Site:
        """Where the activations come from."""
        return Site(int(self.manifest["layer"]), str(self.manifest["site"]))

    @property
    def features(self) -> int:
        """How many features the lowest level has."""
        return len(self.components)

    @property
    def skip_first(self) -> int:
        """How many first positions of a text the factorization has not seen."""
        return int(self.manifest["skip_first"])

    @property
    def key(self) -> tuple[str, str]:
        """Names this factorization and its content: for what is remembered of it."""
        return self.name, str(self.manifest.get("sha256", ""))

    @cached_property
    def passages(self) -> list[Passage]:
        """The texts of the factorization; UserError if they are gone or are others."""
        if "passages" in self.manifest:  # typed in, and kept with what was made from them
            texts = [Passage(str(t)) for t in self.manifest["passages"]]
        else:
            source = TextSource.from_dict(self.manifest["source"])
            texts = bundled_corpus() if source.kind == "bundled" else read_source(source)
        if corpus_hash(texts) != self.manifest["corpus"]:
            raise UserError("The texts of this factorization have changed, so its contexts cannot be shown.", "fit")
        return texts

    def check_feature(self, feature: int) -> None:
        """UserError unless there is such a feature."""
        if not isinstance(feature, int) or isinstance(feature, bool) or not 0 <= feature < self.features:
            raise UserError(f"This factorization has features 0 to {self.features - 1}.", "feature")

    def label(self, feature: int) -> str:
        """The computed name of a feature."""
        return str(self.manifest["rows"][feature]["label"])

    def neurons(self, feature: int) -> list[int]:
        """The neurons that a feature keeps, the heaviest first."""
        row = self.components[feature].abs()
        return [int(i) for i in row.argsort(descending=True) if row[i] > 0]

    def facts(self) -> dict[str, Any]:
        """What the page says about the whole factorization."""
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
        return {
            "fit": self.name,
            "layer": self.site.layer,
            "site": self.site.kind,
            "width": m["width"],
            "features": sizes[0],
            "kept": m["kept"],
            "tokens": m["tokens"],
            "explained": m["explained"],
            "caption": caption,
            "command": m["command"],
            "levels": sizes,
            "curve": m["curve"],
            "random_auc": m.get("random_auc"),
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row for each feature of the lowest level, with the words by which it is found."""
        return [dict(row) for row in self.manifest["rows"]]


def listing(spec: ModelSpec) -> list[dict[str, Any]]:
    """The factorizations of a model: the bundled ones, the one to open on first, then one's own, newest first."""
    found = []
    for place, own in ((BUNDLED, False), (folder("features"), True)):
        for path in sorted(place.glob("*.json")) if place.is_dir() else []:
            try:
                m = foreign.read_json(path, MAX_MANIFEST, "fit")
                if foreign.misfit(m, _MANIFEST):
                    continue
                if not _NAME.fullmatch(path.stem) or "levels" not in m or m["model_spec"]["source"] != spec.source:
                    continue
                site, sizes = Site(m["layer"], m["site"]), [int(n) for n in m["levels"]]
                tree = f" in a tree of {len(sizes)} levels" if len(sizes) > 1 else ""
                end = f"own fit {path.stem[-6:]}" if own else "bundled"
                row = {
                    "name": path.stem,
                    "title": f"{site.label}: {sizes[0]} features{tree}, {end}",
                    "layer": site.layer,
                    "site": site.kind,
                    "features": sizes[0],
                    "levels": sizes,
                }
                order = -path.stat().st_mtime if own else float(not m.get("first"))
                found.append((own, order, site.layer, row))
            except (OSError, LookupError, ArithmeticError, ValueError, TypeError, AttributeError):
                continue
    return [row for *_, row in sorted(found, key=lambda f: f[:3])]


def open_factorization(memory: Any, name: str) -> Factorization:
    """The factorization of that name, from memory (``get``/``put``) if it was opened before and its file is as it was.

    Raises UserError.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UserError("Choose a factorization at the top of the page.", "fit")
    states = {p: state for p in (BUNDLED, folder("features")) if (state := state_of(p / f"{name}.json"))}
    if not states:
        raise UserError(f"The factorization “{name}” is not in this data folder. Choose another.", "fit")
    place, state = next(iter(states.items()))
    found: Factorization | None = memory.get(("factorization", name, state))
    if found is None:
        components, weights, manifest, arrays = load_factors(place / name)
        levels = [Level(c, w) for c, w in zip(components, [None, *weights], strict=True)]
        with foreign.reading(f"The factorization “{name}” lacks what a factorization holds. Make it again.", "fit"):
            found = _whole(Factorization(name, levels, arrays, manifest))
        memory.put(("factorization", name, state), found, sum(4 * c.numel() for c in components))
    return found


def _whole(fit: Factorization) -> Factorization:
    """The factorization, if what it says of itself is of the right kind and length. Raises UserError(field="fit")."""
    manifest = fit.manifest
    known = all(n in manifest for n in ("layer", "site", "fingerprint", "model"))
    described = [len(rows) for rows in (manifest.get("rows", ()), *manifest.get("upper", ()))]
    if not known or described != [len(level.components) for level in fit.levels]:
        raise UserError("This factorization does not say what its features are. Make it again.", "fit")
    fault = foreign.misfit(manifest, _MANIFEST)
    kept = {n: fit.arrays[n] for n in _ARRAYS if n in fit.arrays}
    wrong = [n for n, a in kept.items() if not fault and (a.ndim < 1 or len(a) != fit.features)]
    if wrong:
        fault = f"its array “{wrong[0]}” has another length than its features"
    if fault:
        raise UserError(f"The factorization “{fit.name}” cannot be used: {fault}. Make it again.", "fit")
    return fit


def fit_for(memory: Any, loaded: LoadedModel, name: str) -> Factorization:
    """The factorization of that name, once it is known to belong to the loaded model's weights. Raises UserError."""
    fit = open_factorization(memory, name)
    if fit.manifest["fingerprint"] != loaded.facts.fingerprint:
        raise UserError(
            f"This factorization was made for {fit.manifest['model']}, and the loaded model is {loaded.facts.label} "
            "with other weights. Choose a factorization of this model, or load that model on the Model page.",
            "fit",
        )
    return fit


def detection_table(spec: ModelSpec) -> dict[str, Any]:
    """The bundled comparison of features with baselines, layer by layer: ``rows``, ``sentence``, ``command``.

    Raises UserError(field="model") for a model that it was not made for.
    """
    try:
        found: dict[str, Any] = json.loads((BUNDLED / "detection.json").read_text(encoding="utf-8"))
        mine = found["model_spec"]["source"] == spec.source
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError("The table of detection is missing from this installation. Install Attune again.") from error
    if not mine:
        command = "python -m analysis.snmf.build --detection"
        raise UserError(f"Detection was measured for {found['model']} only, by: {command}.", "model")
    return {key: found[key] for key in ("rows", "sentence", "command")}


def save_factorization(fit: Factorization, passages: Sequence[Passage], place: Path | None = None) -> str:
    """Write a factorization to the data folder (or to ``place``); its name, which says site, block and sizes."""
    m = fit.manifest
    m["corpus"] = corpus_hash(passages)
    if not fit.name:
        keys = ("fingerprint", "layer", "site", "corpus", "seed", "tokens", "kept", "init", "iterations")
        sizes = [len(level.components) for level in fit.levels]
        facts = json.dumps([*(str(m.get(k)) for k in keys), *sizes])
        kind = str(m["site"]).replace("_", "-")
        ranks = "-".join(f"k{n}" for n in sizes[:4])
        fit.name = f"{kind}-{m['layer']}-{ranks}-{hashlib.sha256(facts.encode()).hexdigest()[:6]}"
    components = [level.components for level in fit.levels]
    weights = [level.weights for level in fit.levels[1:] if level.weights is not None]
    save_factors((place or folder("features")) / fit.name, components, weights, m, fit.arrays)
    return fit.name


def place_of_row(documents: Tensor, positions: Tensor, rows: Tensor) -> Tensor:
    """(…, 2): document and position of each row, -1 staying -1; int16 where they fit."""
    safe = rows.clamp(min=0)
    both = torch.stack([documents[safe], positions[safe]], -1).int().masked_fill((rows < 0)[..., None], -1)
    return both.to(torch.int16) if not both.numel() or int(both.max()) < 2**15 else both
