"""What every fit to activations has, whatever method made it: a site, the texts that it saw, weights it belongs to.

A fit is opened from its artefact alone, so it is on screen before any model is loaded; a model is only asked for when
words in context are wanted, and then refused if its weights are not those of the fit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from torch import Tensor

from analysis.corpora.passages import Passage, bundled_corpus, corpus_hash
from analysis.corpora.sources import read_source
from analysis.corpora.text_source import TextSource
from analysis.engine.memory import Memory
from analysis.errors import UserError
from analysis.models.sites import Site
from analysis.shelf import Shelf, is_name

if TYPE_CHECKING:
    from analysis.models.loaded_model import LoadedModel


class ActivationFit:
    """Base of what a method fits to activations. ``texts_changed``: the sentence where its texts are others now."""

    name: str
    manifest: dict[str, Any]
    texts_changed: ClassVar[str]

    @cached_property
    def site(self) -> Site:
        """Where the activations come from."""
        return Site(int(self.manifest["layer"]), str(self.manifest["site"]))

    @property
    def skip_first(self) -> int:
        """How many first positions of a text the fit has not seen."""
        return int(self.manifest["skip_first"])

    @cached_property
    def passages(self) -> list[Passage]:
        """The texts of the fit; UserError if they are gone or are others."""
        if "passages" in self.manifest:  # typed in, and kept with what was made from them
            rows = self.manifest["passages"]
            texts = [Passage(*map(str, row[:3])) if isinstance(row, list) else Passage(str(row)) for row in rows]
        else:
            source = TextSource.from_dict(self.manifest["source"])
            texts = bundled_corpus() if source.kind == "bundled" else read_source(source)
        if corpus_hash(texts) != self.manifest["corpus"]:
            raise UserError(self.texts_changed, "fit")
        return texts


F = TypeVar("F", bound=ActivationFit)


@dataclass(frozen=True, kw_only=True)
class FitShelf(Shelf[F]):
    """A shelf of fits, each opened by its name.

    ``choose``: the sentence for what is no name. ``missing``: for a name that is not there ({name}). ``other_weights``:
    for a fit of another model than the loaded one ({made_for}, {loaded}).
    """

    choose: str
    missing: str
    other_weights: str

    def named(self, memory: Memory, name: str) -> F:
        """The fit of that name, from memory if it was opened before and its file is as it was then. Raises
        UserError."""
        if not is_name(name):
            raise UserError(self.choose, self.wording.field)
        path = self.find(name)
        if path is None:
            raise UserError(self.missing.format(name=name), self.wording.field)
        return self.open(memory, path)

    def for_model(self, memory: Memory, loaded: LoadedModel, name: str) -> F:
        """The fit of that name, once it is known to belong to the loaded model's weights. Raises UserError."""
        fit = self.named(memory, name)
        if fit.manifest[self.weights] != loaded.facts.fingerprint:
            names = {"made_for": fit.manifest["model"], "loaded": loaded.facts.label}
            raise UserError(self.other_weights.format(**names), self.wording.field)
        return fit


def fit_name(manifest: dict[str, Any], settings: Sequence[str], sizes: Sequence[int], ranks: str) -> str:
    """A name that says site and ranks and ends in a hash of the named settings of the manifest and the sizes."""
    text = json.dumps([*(str(manifest.get(name)) for name in settings), *sizes])
    kind = str(manifest["site"]).replace("_", "-")
    return f"{kind}-{manifest['layer']}-{ranks}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def place_of_row(documents: Tensor, positions: Tensor, rows: Tensor) -> Tensor:
    """(…, 2): document and position of each row, -1 staying -1; int16 where they fit."""
    safe = rows.clamp(min=0)
    both = torch.stack([documents[safe], positions[safe]], -1).int().masked_fill((rows < 0)[..., None], -1)
    return both.to(torch.int16) if not both.numel() or int(both.max()) < 2**15 else both
