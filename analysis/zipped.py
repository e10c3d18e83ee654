"""Reading a zip that anyone may have made: into memory, or member by member into files whose names are chosen here.

Whoever makes a zip chooses its names, its sizes and what it unfolds to. So names are held against the few that such a
file has, declared sizes are added up before anything is read, and what is read is counted, since a declared size may
lie.
"""

from __future__ import annotations

import io
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

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


@dataclass(frozen=True)
class ZipKind:
    """A kind of zip: what it is called, what a member may be called, and at most how many bytes its members have."""

    what: str
    names: re.Pattern[str]
    field: str
    total: int = MAX_TOTAL


def read_zip(source: bytes | Path, names: re.Pattern[str], field: str) -> dict[str, bytes]:
    """The members of a bundle by name, in memory. ``names``: what a member may be called.

    Raises UserError(field), and has then written nothing: too large, damaged, encrypted, a name that a bundle has not
    (of another folder, too), a name twice, a link, a member that unfolds to more than it may or than it says.
    """
    body = foreign.read_bytes(source, MAX_BUNDLE, field) if isinstance(source, Path) else source
    if len(body) > MAX_BUNDLE:
        raise UserError(f"A bundle has at most {MAX_BUNDLE >> 20} MB; this file is larger.", field)
    with opened(io.BytesIO(body), ZipKind("bundle", names, field, MAX_TOTAL)) as (archive, members):
        return {member.filename: member_bytes(archive, member, field) for member in members}


@contextmanager
def opened(source: Path | BinaryIO, kind: ZipKind) -> Iterator[tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]]:
    """A zip whose list of members was checked; what fails while it is read is a sentence, too. UserError(field)."""
    try:
        with zipfile.ZipFile(source) as archive:
            members = archive.infolist()
            _check(members, kind)
            yield archive, members
    except UserError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, NotImplementedError) as error:
        raise _damaged(kind) from error
    except OSError as error:
        if error.errno is not None:  # the disk's fault
            raise
        raise _damaged(kind) from error


def member_bytes(archive: zipfile.ZipFile, member: zipfile.ZipInfo, field: str) -> bytes:
    """A member in memory, at most as large as it says."""
    return b"".join(_pieces(archive, member, field))


def extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, field: str) -> None:
    """Write a member to a new file, at most as large as it says."""
    with target.open("xb") as file:
        for piece in _pieces(archive, member, field):
            file.write(piece)


def _damaged(kind: ZipKind) -> UserError:
    return UserError(f"This {kind.what} is damaged or no zip. Get it again from where it comes from.", kind.field)


def _check(members: list[zipfile.ZipInfo], kind: ZipKind) -> None:
    what, field = kind.what, kind.field
    if len(members) > MAX_MEMBERS:
        raise UserError(f"This zip has {len(members):,} members; a {what} has at most {MAX_MEMBERS:,}.", field)
    seen: set[str] = set()
    for member in members:
        name = member.filename
        if not kind.names.fullmatch(name):
            raise UserError(f"This zip has a member that a {what} has not ({name[:60]!r}). It was not opened.", field)
        if name in seen:
            raise UserError(f"This zip has the member {name} twice. It was not opened.", field)
        seen.add(name)
        mode = member.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise UserError(f"The member {name} of this zip is a link or no file. It was not opened.", field)
        if member.flag_bits & 0x1:
            raise UserError("This zip is encrypted. Unlock it first.", field)
        if member.compress_type not in _METHODS:
            raise UserError(f"The member {name} of this zip is packed in a way that {what}s are not.", field)
        if member.file_size > SMALL and member.file_size > MAX_RATIO * max(1, member.compress_size):
            raise UserError(f"The member {name} of this zip unfolds to more than data do. It was not opened.", field)
    if sum(member.file_size for member in members) > kind.total:
        raise UserError(f"This zip unfolds to more than {kind.total >> 20} MB. It was not opened.", field)


def _pieces(archive: zipfile.ZipFile, member: zipfile.ZipInfo, field: str) -> Iterator[bytes]:
    size = 0
    with archive.open(member) as file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            if size > member.file_size:
                raise UserError(f"The member {member.filename} of this zip is larger than it says.", field)
            yield chunk
