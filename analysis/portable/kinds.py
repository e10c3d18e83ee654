"""The kinds of artefacts that travel: which shelf each is from, and what is special about it.

Shelves lie in modules that need torch, so they are imported when one is asked for: the web process names kinds too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from analysis.errors import UserError
from analysis.shelf import Shelf

FINGERPRINT = re.compile(r"[0-9A-Za-z]{8,128}")
"""What a fingerprint of weights looks like; it may be the name of a folder, so nothing else may come in."""


@dataclass(frozen=True)
class ArtefactKind:
    """One kind of artefact.

    ``name``: as its manifests say it. ``noun``: what it is called, ``words`` the same with its article. ``page``: where
    it is used. ``shelf_at``: module and name of its shelf. ``gaps``: arrays in which NaN stands for what was not
    measured; anywhere else, and for infinity everywhere, a file is refused. ``reserved``: names that mean something
    else. ``by_weights``: own ones lie in a folder for each model. ``own_first``: its page opens on own ones
    before bundled ones. ``labels_at``: module whose ``labels_of(name)`` and
    ``put_labels(name, labels)`` keep users' own names beside an artefact; they travel with it. ``presets_at``: module
    whose ``presets_of(name)`` and ``put_presets(name, rows)`` keep users' presets of it; they travel in packs.
    """

    name: str
    noun: str
    page: str
    shelf_at: tuple[str, str]
    gaps: str = r"(?!)"
    reserved: frozenset[str] = frozenset()
    by_weights: bool = False
    own_first: bool = False
    labels_at: str = ""
    presets_at: str = ""

    @property
    def words(self) -> str:
        """Its noun with an article."""
        return f"a {self.noun}"

    @property
    def shelf(self) -> Shelf[Any]:
        """Its shelf; imports the method."""
        module, name = self.shelf_at
        shelf: Shelf[Any] = getattr(import_module(module), name)
        return shelf

    def inner(self, fingerprint: str) -> tuple[str, ...]:
        """The folder within the shelf in which own ones of these weights lie."""
        return (fingerprint[:32],) if self.by_weights else ()

    def labels(self, name: str) -> dict[str, str]:
        """Users' names beside the artefact of that name; empty for a kind without."""
        labels_of: Callable[[str], dict[str, str]] | None = getattr(_module(self.labels_at), "labels_of", None)
        return labels_of(name) if labels_of else {}

    def put_labels(self, name: str, labels: dict[str, str]) -> None:
        """Keep users' names beside the artefact of that name."""
        if labels and self.labels_at:
            import_module(self.labels_at).put_labels(name, labels)

    def presets(self, name: str) -> list[dict[str, Any]]:
        """Users' presets of the artefact of that name; none for a kind without."""
        presets_of: Callable[[str], list[dict[str, Any]]] | None
        presets_of = getattr(_module(self.presets_at), "presets_of", None)
        return presets_of(name) if presets_of else []

    def put_presets(self, name: str, rows: list[dict[str, Any]]) -> int:
        """Keep users' presets of the artefact of that name; how many are new."""
        return int(import_module(self.presets_at).put_presets(name, rows)) if rows and self.presets_at else 0


def _module(name: str) -> Any:
    return import_module(name) if name else None


KINDS: dict[str, ArtefactKind] = {
    kind.name: kind
    for kind in (
        ArtefactKind(
            "fit", "fit of regions", "/steering", ("analysis.mfa.library", "REGION_SETS"),
            labels_at="analysis.mfa.library", presets_at="analysis.mfa.presets",
        ),
        ArtefactKind("factorization", "factorization", "/mlp-features", ("analysis.snmf.library", "FACTORIZATIONS")),
        ArtefactKind(
            "neurons", "measurement of neurons", "/neurons", ("analysis.rotate.library", "MEASUREMENTS"),
            gaps=r"kurtosis|skewness|made\.trace",
        ),
        ArtefactKind(
            "study", "study", "/faithfulness", ("analysis.faithfulness.library", "STUDIES"),
            gaps=r"scores|step_scores", reserved=frozenset({"default", "newest"}), by_weights=True,
        ),
        ArtefactKind(
            "probes", "set of probes", "/othello", ("analysis.tpr.library", "PROBE_SETS"),
            gaps=r"baseline/.*", own_first=True,
        ),
        ArtefactKind(
            "contrast", "fitted contrast", "/attention", ("analysis.qk.library", "CONTRASTS"), gaps=r"attention|hits",
        ),
        ArtefactKind(
            "channels", "set of channels", "/neurons", ("analysis.rotate.sets", "CHANNEL_SETS"),
        ),
        ArtefactKind("vectors", "set of steering vectors", "/steering", ("analysis.mfa.vectors", "VECTORS")),
    )
}  # fmt: skip
"""All kinds by name, in the order of lists."""


def kind_of(name: Any) -> ArtefactKind:
    """The kind of that name. Raises UserError("file") if this version knows none."""
    if not isinstance(name, str) or name not in KINDS:
        known = ", ".join(KINDS)
        raise UserError(f"This file holds a {str(name)[:40]!r}. Attune opens {known}.", "file")
    return KINDS[name]
