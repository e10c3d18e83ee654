"""A pack: all that belongs to a model in one zip of portable files, with a manifest and checksums.

A pack is for another machine, on which the model may not be there: so it says which model that is, by its id on the hub
or by name, and by its fingerprint. Its members are portable files and are opened as such, one by one; nothing in a pack
is packed a second time, since arrays do not get smaller, and so it is written and read without holding it in memory.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from analysis import __version__, foreign
from analysis.artefacts import MAX_ARRAYS
from analysis.errors import UserError
from analysis.models.spec import ModelSpec
from analysis.portable.belonging import Weights
from analysis.portable.file import Opened, open_file, workplace, write
from analysis.portable.header import ENDING, FIELD
from analysis.portable.kinds import FINGERPRINT, KINDS, ArtefactKind
from analysis.shelf import Entry
from analysis.zipped import ZipKind, extract, member_bytes, opened

FORMAT = 1
MAX_PACK = 4 * MAX_ARRAYS
PACK = ZipKind(
    "pack",
    re.compile(rf"manifest\.json|README\.txt|(?:{'|'.join(KINDS)})/[a-z0-9][a-z0-9-]{{0,80}}\.attune\.safetensors"),
    FIELD,
    MAX_PACK,
)
README = """Artefacts of one model, made with Attune.

manifest.json names the model and the SHA-256 of each file. Each *.attune.safetensors is one artefact, with its own
manifest in its header. Attune opens this zip on its Model page; each file alone opens on the page that uses it.
"""
_MADE = (2020, 1, 1, 0, 0, 0)  # equal shelves give equal packs
_MANIFEST = {"format": int, "kind": str, "model": dict, "made_by": str, "members": [{}]}
_MEMBER = {"file": str, "kind": str, "name": str, "title": str, "size": int, "sha256": str}
_MODEL = {"label": str, "source": str, "revision": (str, None), "fingerprints": dict}


@dataclass(frozen=True)
class PackManifest:
    """What a pack says of itself: its model (``label``; ``source`` is an id on the hub, "default", or a name only;
    ``fingerprints`` by kind as :class:`Weights` has them) and its ``members`` (rows of file, kind, name, title, size,
    sha256)."""

    label: str
    source: str
    revision: str
    fingerprints: dict[str, str]
    members: tuple[dict[str, Any], ...]

    @property
    def loadable(self) -> bool:
        """Whether the model can be loaded by its source on any machine."""
        try:
            return ModelSpec(self.source).kind in ("default", "hub") and (
                "/" in self.source or self.source == "default"
            )
        except UserError:
            return False


@dataclass(frozen=True)
class OpenedPack:
    """A pack that was opened: what is on the shelves now, and a sentence for each part that could not be opened."""

    manifest: PackManifest
    artefacts: tuple[Opened, ...]
    refused: tuple[str, ...]


class _Summed:
    """A file to write to, with the checksum and the number of the bytes written."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.digest, self.size = file, hashlib.sha256(), 0

    def write(self, body: bytes) -> int:
        self.digest.update(body)
        self.size += len(body)
        return self.file.write(body)


def write_pack(
    weights: Weights,
    entries: Sequence[tuple[ArtefactKind, Entry]],
    target: BinaryIO,
    titles: Sequence[str] = (),
    presets: bool = False,
) -> PackManifest:
    """Write the pack of some artefacts of a model, and what it says of itself. ``titles``: what each is of;
    ``presets``: with the user's presets of them, which hold prompts.

    Raises UserError("file") where there is nothing to pack, or an artefact is damaged.
    """
    if not entries:
        raise UserError(
            f"There is nothing of {weights.label} on the shelf yet, so there is nothing to pack. Make a fit or a "
            "measurement first.",
            FIELD,
        )
    rows = []
    titles = titles or [""] * len(entries)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for (kind, entry), title in zip(entries, titles, strict=True):
            name = f"{kind.name}/{entry.name}{ENDING}"
            with archive.open(_info(name), "w", force_zip64=True) as file:
                summed = _Summed(file)  # type: ignore[arg-type]
                write(kind.name, entry, summed, presets)  # type: ignore[arg-type]
            rows.append(
                {"file": name, "kind": kind.name, "name": entry.name, "title": title, "size": summed.size,
                 "sha256": summed.digest.hexdigest()}
            )  # fmt: skip
        spec = weights.spec
        shared = spec.kind in ("default", "hub") or spec.source == "othello"
        model = {
            "label": weights.label,
            "source": spec.source if shared else Path(spec.source).name,
            "revision": spec.revision,
            "fingerprints": weights.fingerprints,
        }
        record = {
            "format": FORMAT, "kind": "pack", "model": model, "made_by": f"Attune {__version__}", "members": rows,
        }  # fmt: skip
        text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
        archive.writestr(_info("manifest.json"), text.encode())
        archive.writestr(_info("README.txt"), README.encode())
    return _manifest(json.loads(text))


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _MADE)
    info.external_attr = 0o100644 << 16
    return info


def read_pack(source: Path) -> PackManifest:
    """What a pack says of itself; nothing is put anywhere. Raises UserError("file")."""
    with opened(source, PACK) as (archive, members):
        return _manifest_in(archive, members)


def open_pack(source: str | Path, loaded: tuple[str, ModelSpec] | None = None) -> OpenedPack:
    """Put all that is in a pack on its shelves. ``loaded``: as for :func:`open_file`.

    All members are compared with their checksums before one of them is opened. Raises UserError("file"), and has then
    put nothing on a shelf; a member that cannot be opened for what it holds is refused alone.
    """
    foreign.regular(Path(source), FIELD, "this file")
    with workplace() as place:
        files: list[tuple[dict[str, Any], Path]] = []
        with opened(Path(source), PACK) as (archive, members):
            manifest = _manifest_in(archive, members)
            by_name = {member.filename: member for member in members}
            for row in manifest.members:
                path = place / secrets.token_hex(8)
                extract(archive, by_name[row["file"]], path, FIELD)
                with path.open("rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() != row["sha256"]:
                        raise UserError(f"The file {row['file']} of this pack was changed after it was written.", FIELD)
                files.append((row, path))
        artefacts, refused = [], []
        for row, path in files:
            try:
                artefacts.append(open_file(path, row["kind"], loaded))
            except UserError as error:
                refused.append(f"{row['file']}: {error.message}")
            path.unlink()
        return OpenedPack(manifest, tuple(artefacts), tuple(refused))


def _manifest_in(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> PackManifest:
    by_name = {member.filename: member for member in members}
    if "manifest.json" not in by_name:
        raise UserError("This zip is no pack of Attune: it has no manifest.json.", FIELD)
    body = member_bytes(archive, by_name["manifest.json"], FIELD)
    manifest = _manifest(foreign.parse_json(body, FIELD, "The manifest of this pack"))
    named = {row["file"] for row in manifest.members}
    if named != by_name.keys() - {"manifest.json", "README.txt"} or len(named) != len(manifest.members):
        raise UserError("The members of this pack are not those that its manifest names.", FIELD)
    return manifest


def _manifest(record: Any) -> PackManifest:
    if not isinstance(record, dict) or record.get("kind") != "pack":
        raise UserError("This zip is no pack of Attune. A bundle of findings opens on the Findings page.", FIELD)
    fault = foreign.misfit(record, _MANIFEST) or _lacking(record, _MANIFEST)
    model = record.get("model")
    if not fault and isinstance(model, dict):
        fault = foreign.misfit(model, _MODEL) or _lacking(model, _MODEL)
    rows = record.get("members")
    if not fault and isinstance(rows, list):
        fault = next((f for row in rows if (f := foreign.misfit(row, _MEMBER) or _lacking(row, _MEMBER))), "")
    if fault:
        raise UserError(f"The manifest of this pack cannot be used: {fault}.", FIELD)
    if record["format"] != FORMAT:
        raise UserError(
            f"This pack is of format {record['format']}, and this version of Attune reads format {FORMAT}.", FIELD
        )
    known = record["model"]["fingerprints"]
    if not all(isinstance(value, str) and FINGERPRINT.fullmatch(value) for value in known.values()):
        raise UserError("The manifest of this pack does not say which weights it belongs to.", FIELD)
    return PackManifest(
        record["model"]["label"][:200],
        record["model"]["source"][:500],
        (record["model"]["revision"] or "")[:200],
        {str(k): v for k, v in known.items()},
        tuple(record["members"]),
    )


def _lacking(record: dict[str, Any], kinds: dict[str, Any]) -> str:
    return next((f"“{name}” is missing" for name in kinds if name not in record), "")
