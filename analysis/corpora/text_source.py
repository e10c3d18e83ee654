"""Where texts come from: the bundled corpus, a file that someone uploads, or a dataset on the hub.

A source is a few words of plain data that may come from a browser, be kept in a manifest and be part of a key. Reading
it is another matter: modules sources and hub_datasets.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from analysis.errors import UserError

Kind = Literal["bundled", "text", "dataset"]

MAX_LABEL = 80

_HASH = re.compile(r"[0-9a-f]{64}")
_DATASET = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_OPTION = re.compile(r"[\w.+-][\w.+/ \[\]:%-]{0,99}")


@dataclass(frozen=True)
class TextSource:
    """A source of texts. Any bad value raises UserError(field="texts").

    ``kind``: "bundled"; "text", whose ``name`` is the hash of a kept upload; or "dataset", whose ``name`` is a hub id
    (owner/name). ``label``: what the screen shows. For a dataset: ``split``, ``config`` and ``revision`` as on the hub
    (empty: the only one, or the newest), ``column`` that holds the text (empty: found).
    """

    kind: Kind = "bundled"
    name: str = ""
    label: str = ""
    split: str = "train"
    config: str = ""
    revision: str = ""
    column: str = ""

    def __post_init__(self) -> None:
        if not all(isinstance(getattr(self, f.name), str) for f in fields(self)):
            raise refusal("A source of texts is described by short texts only.")
        if self.kind not in ("bundled", "text", "dataset"):
            raise refusal("Texts come from the bundled corpus, an uploaded file, or a dataset on the hub. Choose one.")
        if self.kind == "text" and not _HASH.fullmatch(self.name):
            raise refusal("An uploaded text is named by the hash of its content. Upload the file again.")
        if self.kind == "dataset" and (not _DATASET.fullmatch(self.name) or ".." in self.name):
            raise refusal(
                "A dataset on the hub is named owner/name, with letters, digits, dots, dashes and underscores."
            )
        for what in ("split", "config", "revision", "column"):
            value = getattr(self, what)
            if value and (not _OPTION.fullmatch(value) or ".." in value):
                raise refusal(f"The {what} of a dataset is a short name, as on the page of the dataset. Type it again.")
        object.__setattr__(self, "label", label_of(self.label or ("" if self.kind == "text" else self.name)))

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON-able data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: object) -> TextSource:
        """The reverse of :meth:`to_dict`; missing fields take their defaults. Raises UserError for anything else."""
        names = {f.name for f in fields(cls)}
        if not isinstance(data, dict) or not all(isinstance(k, str) and k in names for k in data):
            raise refusal(f"A source of texts has the fields {', '.join(sorted(names))} and no others.")
        return cls(**data)


def label_of(name: str, most: int = MAX_LABEL) -> str:
    """A name without characters that cannot be seen, and of bearable length; of a file name the end says most."""
    return "".join(c for c in name if unicodedata.category(c) not in ("Cc", "Cf", "Cs")).strip()[-most:]


def refusal(message: str) -> UserError:
    """The error, at the field of texts, that says why they cannot be taken."""
    return UserError(message, "texts")


def source_of(text: str) -> TextSource:
    """The source that a form names: "bundled", or a source as JSON. Raises UserError(field="texts")."""
    if text == "bundled":
        return TextSource()
    try:
        return TextSource.from_dict(json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        raise refusal("Choose the texts to read.") from error
