"""What belongs to a model: its artefacts on all shelves, and how one is found, described and deleted.

An artefact belongs to weights. Where the model is loaded, these are known; where it is not, an artefact may still say
which source it was made from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from analysis.artefacts import manifest_path, pair_files
from analysis.engine.context import Context
from analysis.errors import UserError
from analysis.models.spec import ModelSpec
from analysis.portable.answers.files import ShelfRow
from analysis.portable.header import FIELD
from analysis.portable.kinds import KINDS, ArtefactKind, kind_of
from analysis.shelf import Entry
from analysis.spoken import counted


@dataclass(frozen=True)
class Weights:
    """The weights of a model: ``fingerprints`` by the kinds of artefact that name them in a way of their own, and under
    "" for all others; empty while it is not loaded."""

    spec: ModelSpec
    label: str
    fingerprints: dict[str, str] = field(default_factory=dict)

    def of(self, kind: ArtefactKind) -> str:
        """The fingerprint that artefacts of a kind name; empty while it is not known."""
        return self.fingerprints.get(kind.name, self.fingerprints.get("", ""))

    @property
    def loaded(self) -> bool:
        """Whether the weights are known."""
        return bool(self.fingerprints)


def weights_of(context: Context, spec: ModelSpec) -> Weights:
    """The weights of a model as far as they are known; nothing is loaded."""
    fingerprint = context.residents.fingerprint(spec)
    if fingerprint is None:
        return Weights(spec, spec.label)
    loaded = context.model(spec)
    known = {"": fingerprint}
    if (loaded.facts.vocabulary, loaded.facts.max_positions) == (61, 59):  # a network that plays Othello
        from analysis.tpr.library import fingerprint as of_network

        known["probes"] = of_network(loaded.model)
    return Weights(spec, loaded.facts.label, known)


def entries_of(weights: Weights, kind: ArtefactKind) -> list[Entry]:
    """The artefacts of a kind that belong to a model: as its page lists them, the one that it opens on first."""
    fingerprint, shelf = weights.of(kind), kind.shelf
    if fingerprint:
        entries = shelf.of_weights(fingerprint, *kind.inner(fingerprint))
        return sorted(entries, key=lambda e: e.bundled) if kind.own_first else entries
    return shelf.listing(weights.spec.source, lambda entry: entry)


def all_entries(weights: Weights) -> Iterator[tuple[ArtefactKind, Entry]]:
    """Everything on the shelves that belongs to a model, kind by kind."""
    for kind in KINDS.values():
        for entry in entries_of(weights, kind):
            yield kind, entry


def entry_for(weights: Weights, kind_name: str, name: str) -> Entry:
    """The artefact of that kind and name; without a name the one that its page opens on. UserError("file") if there is
    none."""
    kind = kind_of(kind_name)
    entries = entries_of(weights, kind)
    chosen = next((e for e in entries if e.name == name or not name), None)
    if chosen is None:
        named = f" “{name[:80]}”" if name else ""
        raise UserError(f"There is no {kind.noun}{named} of this model on the shelf, so nothing can be saved.", FIELD)
    return chosen


def row_of(kind: ArtefactKind, entry: Entry) -> ShelfRow:
    """What a list says of an artefact."""
    files = pair_files(entry.path)
    size = sum(path.stat().st_size for path in files if path.exists())
    made = 0.0 if entry.bundled else manifest_path(entry.path).stat().st_mtime
    command = str(entry.manifest.get("command") or entry.manifest.get("made_by") or "")[:300]
    return ShelfRow(
        kind.name, entry.name, kind.noun, _title(entry.manifest), command, size, made, entry.bundled, kind.page
    )


def _title(manifest: dict[str, Any]) -> str:
    """What an artefact is of, from what its kind says of itself."""
    if manifest.get("title"):
        return str(manifest["title"])[:120]
    parts = []
    if "layer" in manifest and "site" in manifest:
        parts.append(f"block {manifest['layer']}, {str(manifest['site']).replace('_', ' ')}")
    if "K" in manifest:
        parts.append(f"{manifest['K']:,} regions")
    if "levels" in manifest:
        parts.append(f"{' and '.join(str(n) for n in manifest['levels'])} features")
    if isinstance(manifest.get("rows"), list) and "levels" not in manifest:
        parts.append(f"{len(manifest['rows'])} probes")
    if "origin" in manifest:
        parts.append(str(manifest["origin"])[:120])
    if "neurons" in manifest:
        parts.append(f"channels of {counted(len(manifest['neurons']), 'neuron')}")
    return ", ".join(parts)


def delete(weights: Weights, kind_name: str, name: str) -> None:
    """Delete an artefact that was made or opened here. UserError("file") for one that comes with Attune, or is none."""
    entry = entry_for(weights, kind_name, name) if name else None
    if entry is None or entry.bundled:
        raise UserError("What comes with Attune stays. Only what was made or opened here can be deleted.", FIELD)
    manifest, arrays = pair_files(entry.path)
    manifest.unlink(missing_ok=True)  # without it nobody finds the arrays
    arrays.unlink(missing_ok=True)
