"""Arrays in a folder that grows shard by shard, and in which a shard is there whole or not at all.

A run may be cut off at any time, and two processes may share a data folder. This module hides the files: safetensors
shards with a checksum each, a manifest, written last, that says which shards count, and a lock for the one that writes.
Sizes are compared on opening and checksums on the first reading; a shard that fails ends the sequence before it, since
rows after a gap would not be the rows of an uninterrupted run.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from analysis.activations.room import amount, require_room
from analysis.errors import UserError

log = logging.getLogger(__name__)
_MANIFEST, _LOCK = "manifest.json", ".lock"


class Shards:
    """The shards of one folder. ``entries``: of each its file, rows, bytes, sha256 and the facts given with it.
    ``head``: the plain data that the manifest begins with, None where there is no manifest that can be read.
    ``complete``: nothing will be added any more.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.head: dict[str, Any] | None = None
        self.entries: list[dict[str, Any]] = []
        self.complete = False
        self._checked: set[str] = set()
        self.reload()

    @property
    def rows(self) -> int:
        """Rows of all shards together."""
        return sum(entry["rows"] for entry in self.entries)

    def reload(self) -> None:
        """Read the manifest again, as far as its shards are there in full size."""
        self.head, self.entries, self.complete = None, [], False
        try:
            data = json.loads((self.path / _MANIFEST).read_text(encoding="utf-8"))
            head, entries, complete = dict(data["head"]), [dict(e) for e in data["shards"]], bool(data["complete"])
            sizes = [(str(e["file"]), int(e["bytes"]), int(e["rows"])) for e in entries]
        except FileNotFoundError:
            return
        except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            log.warning("the manifest of %s cannot be read and is ignored: %s", self.path.name, error)
            return
        self.head, self.entries, self.complete = head, entries, complete
        for number, (name, size, _) in enumerate(sizes):
            path = self.path / name
            if not path.is_file() or path.stat().st_size != size:
                log.warning("shard %s of %s is missing or cut off", name, self.path.name)
                self._cut(number)
                return

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the folder for writing, made if missing and rid of what a run that was cut off left in it.

        Raises UserError if another process holds it.
        """
        from filelock import FileLock, Timeout

        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = FileLock(self.path / _LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise UserError("Another Attune is collecting these activations. Wait until it is done.") from error
        try:
            self.reload()  # another process may have written since this one looked
            kept = {_MANIFEST, _LOCK, *(e["file"] for e in self.entries)}
            for path in self.path.iterdir():
                if path.name not in kept and path.is_file():
                    path.unlink(missing_ok=True)
            yield
        finally:
            lock.release()

    def add(self, arrays: Mapping[str, Tensor], rows: int, facts: Mapping[str, Any]) -> None:
        """Write one more shard of contiguous CPU arrays, each with ``rows`` rows, and the manifest after it.

        Raises UserError(field="tokens") if there is no room for it; what was written before stays.
        """
        body = save(dict(arrays))
        name = f"{len(self.entries):05d}.safetensors"
        require_room(self.path.parent, len(body), self.path.name)
        self._write(name, body)
        digest = hashlib.sha256(body).hexdigest()
        self.entries.append({"file": name, "rows": rows, "bytes": len(body), "sha256": digest, **facts})
        self._checked.add(name)
        self.write_manifest()

    def array(self, number: int, name: str) -> Tensor:
        """One array of one shard, as stored, after the shard's checksum was compared (once).

        Raises UserError if the shard is damaged; it and those after it then no longer count.
        """
        entry = self.entries[number]
        path = self.path / entry["file"]
        try:
            if entry["file"] not in self._checked:
                with path.open("rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() != entry["sha256"]:
                        raise ValueError("its checksum differs")
                self._checked.add(entry["file"])
            with safe_open(path, "pt") as arrays:
                found: Tensor = arrays.get_tensor(name)
                return found
        except (OSError, ValueError, SafetensorError) as error:
            log.warning("shard %s of %s is damaged: %s", entry["file"], self.path.name, error)
            self._cut(number)
            self.write_manifest()
            raise UserError(
                f"Part of the kept activations was damaged on disk and has been left out; {self.rows:,} are whole. "
                "Ask again: what is missing is computed anew.",
                "tokens",
            ) from error

    def shape(self, number: int, name: str) -> tuple[int, ...]:
        """The shape of one array, from the header of its shard."""
        with safe_open(self.path / self.entries[number]["file"], "pt") as arrays:
            return tuple(arrays.get_slice(name).get_shape())

    def write_manifest(self) -> None:
        """Put ``head``, ``complete`` and the list of shards on disk."""
        data = {"head": self.head, "rows": self.rows, "complete": self.complete, "shards": self.entries}
        self._write(_MANIFEST, json.dumps(data, indent=1, allow_nan=False).encode())

    def _write(self, name: str, body: bytes) -> None:
        part = self.path / f".{name}.part"
        try:
            with part.open("wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, self.path / name)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise UserError(
                f"{amount(len(body))} of activations could not be written ({error.strerror or 'system error'}). Make "
                "room on the disk; what was written before is kept.",
                "tokens",
            ) from error

    def _cut(self, number: int) -> None:
        self.entries, self.complete = self.entries[:number], False
        self._checked &= {e["file"] for e in self.entries}
