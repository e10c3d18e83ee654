"""Reading a zip that anyone may have made, into memory. Nothing is unpacked to a folder.

Whoever makes a zip chooses its names, its sizes and what it unfolds to. So names are held against the few that a bundle
has, declared sizes are added up before anything is read, and what is read is counted, since a declared size may lie.
"""

from __future__ import annotations

import io
import re
import stat
import zipfile
import zlib
from pathlib import Path

from analysis import foreign
from analysis.errors import UserError

MAX_BUNDLE = 256 << 20
MAX_MEMBERS = 5_000
MAX_TOTAL = 512 << 20
MAX_RATIO = 400
"""Bytes that one byte of a member may unfold to; text and arrays of zeros reach about a hundred."""
SMALL = 1 << 20
"""A member up to this size may be as regular as it likes."""
_CHUNK = 1 << 20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGED = "This bundle is damaged or no zip. Get it again from where it comes from."


def read_zip(source: bytes | Path, names: re.Pattern[str], field: str) -> dict[str, bytes]:
    """The members of a zip by name. ``names``: what a member may be called.

    Raises UserError(field), and has then written nothing: too large, damaged, encrypted, a name that a bundle has not
    (of another folder, too), a name twice, a link, a member that unfolds to more than it may or than it says.
    """
    body = foreign.read_bytes(source, MAX_BUNDLE, field) if isinstance(source, Path) else source
    if len(body) > MAX_BUNDLE:
        raise UserError(f"A bundle has at most {MAX_BUNDLE >> 20} MB; this file is larger.", field)
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            members = archive.infolist()
            _check(members, names, field)
            return {member.filename: _read(archive, member, field) for member in members}
    except UserError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, NotImplementedError) as error:
        raise UserError(_DAMAGED, field) from error


def _check(members: list[zipfile.ZipInfo], names: re.Pattern[str], field: str) -> None:
    if len(members) > MAX_MEMBERS:
        raise UserError(f"This zip has {len(members):,} members; a bundle has at most {MAX_MEMBERS:,}.", field)
    seen: set[str] = set()
    for member in members:
        name = member.filename
        if not names.fullmatch(name):
            raise UserError(f"This zip has a member that a bundle has not ({name[:60]!r}). It was not opened.", field)
        if name in seen:
            raise UserError(f"This zip has the member {name} twice. It was not opened.", field)
        seen.add(name)
        mode = member.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise UserError(f"The member {name} of this zip is a link or no file. It was not opened.", field)
        if member.flag_bits & 0x1:
            raise UserError("This zip is encrypted. Unlock it first.", field)
        if member.compress_type not in _METHODS:
            raise UserError(f"The member {name} of this zip is packed in a way that bundles are not.", field)
        if member.file_size > SMALL and member.file_size > MAX_RATIO * max(1, member.compress_size):
            raise UserError(f"The member {name} of this zip unfolds to more than data do. It was not opened.", field)
    if sum(member.file_size for member in members) > MAX_TOTAL:
        raise UserError(f"This zip unfolds to more than {MAX_TOTAL >> 20} MB. It was not opened.", field)


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, field: str) -> bytes:
    """A member, at most as large as it says."""
    parts, size = [], 0
    with archive.open(member) as file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            if size > member.file_size:
                raise UserError(f"The member {member.filename} of this zip is larger than it says.", field)
            parts.append(chunk)
    return b"".join(parts)
