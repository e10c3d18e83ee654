"""Finished results, by content key. A result is there whole and verified, or it is not there.

Each lives in a folder of its own: ``result.json`` and, if it has arrays, ``arrays.safetensors``. Both are written to a
temporary sibling that is renamed when complete, and read back only after the checksums agree.
"""

from __future__ import annotations

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
from safetensors.numpy import load_file, save_file

from analysis.home import folder
from analysis.service.operation import Result

log = logging.getLogger(__name__)
_KEY = re.compile(r"[0-9a-f]{64}")


class ResultStore:
    """Results below one folder; the oldest are dropped when they exceed ``limit`` bytes."""

    def __init__(self, root: Path | None = None, limit: int = 4 << 30) -> None:
        self.root = root or folder("results")
        self.limit = limit
        self._verified: set[str] = set()

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
            record: dict[str, Any] = {"data": result.data, "manifest": {**manifest, "made": time.time()}}
            if result.arrays:
                save_file({n: np.ascontiguousarray(a) for n, a in result.arrays.items()}, scratch / "arrays.safetensors")
                record["arrays_sha256"] = _sha256(scratch / "arrays.safetensors")
            body = json.dumps(record, allow_nan=False, sort_keys=True)
            (scratch / "result.json").write_text(hashlib.sha256(body.encode()).hexdigest() + "\n" + body)
            if path.exists():
                shutil.rmtree(path)
            scratch.rename(path)
            self._verified.add(key)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        self.prune()

    def has(self, key: str) -> bool:
        """Whether a result lies under that key (its checksums are looked at on reading)."""
        return (self._path(key) / "result.json").exists()

    def get(self, key: str, arrays: bool = True) -> Result | None:
        """The result under a key, or None. A damaged one is logged, removed and None."""
        path = self._path(key)
        try:
            digest, _, body = (path / "result.json").read_text().partition("\n")
            if hashlib.sha256(body.encode()).hexdigest() != digest:
                raise ValueError("result.json does not match its checksum")
            record = json.loads(body)
            found: dict[str, np.ndarray] = {}
            if "arrays_sha256" in record:
                file = path / "arrays.safetensors"
                if key not in self._verified and _sha256(file) != record["arrays_sha256"]:
                    raise ValueError("arrays.safetensors does not match its checksum")
                self._verified.add(key)
                found = load_file(file) if arrays else {}
            os.utime(path)
        except FileNotFoundError:
            return None
        except (ValueError, OSError) as error:
            log.warning("result %s is damaged and was removed: %s", key, error)
            shutil.rmtree(path, ignore_errors=True)
            return None
        return Result(record["data"], found, key)

    def manifest(self, key: str) -> dict[str, Any] | None:
        """What made the result under a key, or None."""
        try:
            body = (self._path(key) / "result.json").read_text().partition("\n")[2]
            return dict(json.loads(body)["manifest"])
        except (OSError, ValueError, KeyError):
            return None

    def prune(self) -> None:
        """Drop the results unused for longest until the store is within its limit."""
        entries = []
        for path in self.root.glob("??/[0-9a-f]*"):
            try:
                entries.append((path.stat().st_mtime, sum(f.stat().st_size for f in path.iterdir()), path))
            except OSError:
                continue
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self.limit:
                break
            shutil.rmtree(path, ignore_errors=True)
            total -= size


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
