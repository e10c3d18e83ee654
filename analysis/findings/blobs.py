"""What pins are made of, by content: JSON, arrays, pictures. The name of a file is the checksum of its bytes.

Equal contents are one file, nothing is ever written over, and whoever reads compares the checksum with the name: a
damaged file is said to be so, never shown. An answer is a JSON file that names the file of its arrays. A file is on
the disk before its name is, so a pin in the database never names half of one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from analysis.engine.question import Result
from analysis.errors import UserError
from analysis.findings.texts import check_png, json_bytes

DIGEST = re.compile(r"[0-9a-f]{64}")
MAX_JSON = 32 << 20
"""Bytes of a figure, or of an answer beside its arrays."""
_ARRAYS = "attune.arrays"  # the entry of an answer that names its arrays


class Blobs:
    """Files below one folder: ``ab/<sha256>.json``, ``.safetensors`` and ``.png``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, body: bytes, kind: str) -> str:
        """Keep bytes; returns their checksum in hex."""
        digest = hashlib.sha256(body).hexdigest()
        path = self._path(digest, kind)
        if _bytes_of(path) == body:
            return digest
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        scratch = path.with_name(f".part-{secrets.token_hex(8)}")
        try:
            with scratch.open("xb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)
        return digest

    def get(self, digest: str, kind: str) -> bytes:
        """The bytes under a checksum. UserError: they are not there, or are others."""
        if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
            raise UserError("This is no name of anything that was pinned.")
        body = _bytes_of(self._path(digest, kind))
        if body is None:
            raise UserError(f"A file of this finding is missing ({digest[:12]}….{kind}). Pin the view again.")
        if hashlib.sha256(body).hexdigest() != digest:
            raise UserError(
                f"A file of this finding is damaged ({digest[:12]}….{kind}): its checksum is another. Pin the view "
                "again, or put back the file from a backup."
            )
        return body

    def put_json(self, data: Any) -> str:
        """Keep plain data. Raises as :func:`analysis.findings.texts.json_bytes`, and UserError for more than
        :data:`MAX_JSON`."""
        body = json_bytes(data)
        if len(body) > MAX_JSON:
            raise UserError(f"This view is too large to be pinned ({len(body) / 1e6:.0f} MB).")
        return self.put(body, "json")

    def json(self, digest: str) -> Any:
        """The plain data under a checksum. UserError as :meth:`get`."""
        return json.loads(self.get(digest, "json"))

    def put_answer(self, result: Result) -> str:
        """Keep an answer with its arrays; key and files of its job are left out, as they are not its content."""
        arrays = ""
        if result.arrays:
            arrays = self.put(save({n: np.ascontiguousarray(a) for n, a in result.arrays.items()}), "safetensors")
        return self.put_json({"data": result.data, _ARRAYS: arrays})

    def answer(self, digest: str) -> Result:
        """The answer under a checksum. UserError as :meth:`get`, and for what is no answer."""
        record = self._record(digest)
        try:
            arrays = dict(load(self.get(record[_ARRAYS], "safetensors"))) if record[_ARRAYS] else {}
        except SafetensorError as error:
            raise UserError("The arrays of this finding are no arrays. Pin the view again.") from error
        return Result(record["data"], arrays)

    def _record(self, digest: str) -> dict[str, Any]:
        record = self.json(digest)
        if not isinstance(record, dict) or record.keys() != {"data", _ARRAYS}:
            raise UserError("What is kept under this name is no answer.")
        return record

    def put_picture(self, png: bytes) -> str:
        """Keep a PNG. UserError for what is none, or is too large."""
        check_png(png)
        return self.put(png, "png")

    def _path(self, digest: str, kind: str) -> Path:
        return self.root / digest[:2] / f"{digest}.{kind}"


def _bytes_of(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
