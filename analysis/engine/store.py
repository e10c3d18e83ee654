"""Finished results, by content key. A result is there whole and verified, or it is not there.

Each lives in a folder of its own: ``result.json`` and, if it has arrays, ``arrays.safetensors``. Both are written to a
temporary sibling that is renamed when complete, and read back only after the checksums agree. A result that names
files of the data folder is there only while they are: who deleted a fit and asks for it again gets it made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save_file

from analysis.engine.question import Result
from analysis.home import folder, home
from analysis.quota import room_for_results

log = logging.getLogger(__name__)
_KEY = re.compile(r"[0-9a-f]{64}")
_SHORT = 1_000_000
"""Bytes up to which a file is known by its contents."""
_ABANDONED = 3600.0  # seconds after which a half-written folder has no writer any more


class ResultStore:
    """Results below one folder; the oldest are dropped when they exceed ``limit`` bytes."""

    def __init__(self, root: Path | None = None, limit: int = 4 << 30) -> None:
        self.root = root or folder("results")
        self.limit = limit
        self._verified: dict[str, tuple[str, int, int, int]] = {}

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError("a result key is 64 hex digits")
        return self.root / key[:2] / key

    def put(self, key: str, result: Result, manifest: dict[str, Any]) -> None:
        """Keep a result under its key, with the manifest that says what made it."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".part-", dir=path.parent))
        try:
            record: dict[str, Any] = {"key": key, "data": result.data, "manifest": {**manifest, "made": time.time()}}
            if result.arrays:
                arrays = {n: np.asarray(a, order="C") for n, a in result.arrays.items()}
                save_file(arrays, scratch / "arrays.safetensors")
                record["arrays_sha256"] = _sha256(scratch / "arrays.safetensors")
            if result.files:
                record["files"] = [(name, (home() / name).stat().st_size, digest_of(name)) for name in result.files]
            body = json.dumps(record, allow_nan=False, sort_keys=True)
            digest = hashlib.sha256(body.encode()).hexdigest()
            (scratch / "result.json").write_text(f"{digest}\n{body}", encoding="utf-8")
            self._replace(path, scratch)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        self.prune(keep=key)

    def _replace(self, path: Path, scratch: Path) -> None:
        """Put the complete folder in place; one that was there is moved away first, so that no reader sees a half."""
        for _ in range(5):
            try:
                scratch.rename(path)
                return
            except OSError:
                if not path.exists():
                    raise
            old = Path(tempfile.mkdtemp(prefix=".part-", dir=path.parent))
            with contextlib.suppress(OSError):  # another process may have moved it already
                path.rename(old / path.name)
            shutil.rmtree(old, ignore_errors=True)
        raise OSError(f"the result {path.name} could not be put in place")

    def has(self, key: str) -> bool:
        """Whether a result lies under that key (the checksum of its arrays is looked at on reading)."""
        try:
            return _stands(_verified_record((self._path(key) / "result.json").read_bytes(), key))
        except (OSError, ValueError):
            return False

    def get(self, key: str, arrays: bool = True) -> Result | None:
        """The result under a key, or None. A damaged one is logged, removed and None."""
        path = self._path(key)
        for _ in range(5):
            raw = b""
            try:
                raw = (path / "result.json").read_bytes()
                record = _verified_record(raw, key)
                if not _stands(record):
                    return None
                found = self._arrays(key, path, record, arrays)
            except FileNotFoundError:
                return None
            except (ValueError, SafetensorError) as error:
                if _contents(path / "result.json") != raw:
                    continue  # it was being replaced; the new one may be whole
                log.warning("result %s is damaged and was removed: %s", key, error)
                shutil.rmtree(path, ignore_errors=True)
                return None
            except OSError as error:  # such as too many open files: says nothing about the result, so it stays
                log.warning("result %s could not be read: %s", key, error)
                return None
            with contextlib.suppress(OSError):
                os.utime(path)
            return Result(record["data"], found, key, tuple(name for name, *_ in record.get("files", ())))
        return None

    def _arrays(self, key: str, path: Path, record: dict[str, Any], wanted: bool) -> dict[str, np.ndarray]:
        """The arrays of a record, from the very bytes whose checksum was compared.

        A file that has been compared in this state before is not summed up again.
        """
        if "arrays_sha256" not in record:
            return {}
        with (path / "arrays.safetensors").open("rb") as file:
            facts = os.fstat(file.fileno())
            state = (record["arrays_sha256"], facts.st_ino, facts.st_size, facts.st_mtime_ns)
            known = self._verified.get(key) == state
            body = file.read() if wanted or not known else b""
        if not known and hashlib.sha256(body).hexdigest() != record["arrays_sha256"]:
            raise ValueError("arrays.safetensors does not match its checksum")
        self._verified[key] = state
        return dict(load(body)) if wanted else {}

    def manifest(self, key: str) -> dict[str, Any] | None:
        """What made the result under a key, or None."""
        try:
            return dict(_verified_record((self._path(key) / "result.json").read_bytes(), key)["manifest"])
        except (OSError, ValueError, KeyError):
            return None

    def prune(self, keep: str = "") -> None:
        """Drop the results unused for longest until the store is within its limit and the quota of the data folder, and
        what dead writers left.

        The result ``keep`` stays even if it is larger than the limit: someone is about to read it.
        """
        for part in self.root.glob("??/.part-*"):
            with contextlib.suppress(OSError):
                if time.time() - part.stat().st_mtime > _ABANDONED:
                    shutil.rmtree(part, ignore_errors=True)
        entries = []
        for path in self.root.glob("??/[0-9a-f]*"):
            try:
                entries.append((path.stat().st_mtime, sum(f.stat().st_size for f in path.iterdir()), path))
            except OSError:
                continue
        total = sum(size for _, size, _ in entries)
        limit = room_for_results(self.limit)
        for _, size, path in sorted(entries):
            if total <= limit:
                break
            if path.name == keep:
                continue
            shutil.rmtree(path, ignore_errors=True)
            self._verified.pop(path.name, None)
            total -= size


def _verified_record(raw: bytes, key: str) -> dict[str, Any]:
    digest, _, body = raw.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise ValueError("result.json does not match its checksum")
    record = dict(json.loads(body))
    if record.get("key") != key:
        raise ValueError("result.json belongs to another result")
    return record


def _stands(record: dict[str, Any]) -> bool:
    """Whether the files that a result names are there, as they were when it was put.

    Another job may have written a file of the same name and length (a null of another seed), and then the file that
    describes the other one says so: of short files the contents count, of long ones the length.
    """
    return all(
        size_of(name) == size and digest in ([], [digest_of(name)]) for name, size, *digest in record.get("files", ())
    )


def size_of(name: str) -> int | None:
    """Bytes of a file of the data folder; None if it is not there."""
    try:
        return (home() / name).stat().st_size
    except (OSError, ValueError):
        return None


def digest_of(name: str) -> str:
    """The checksum of a short file of the data folder; empty for a long one, or one that is not there."""
    size = size_of(name)
    if size is None or size > _SHORT:
        return ""
    try:
        return hashlib.sha256((home() / name).read_bytes()).hexdigest()
    except OSError:
        return ""


def _contents(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
