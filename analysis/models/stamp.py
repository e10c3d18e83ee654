"""What a model's files were when they were read: so that a folder that was saved over is noticed.

Names, sizes, times and file numbers, not contents: looking must cost nothing. A training run that saves into the folder
again changes at least one of them.
"""

from __future__ import annotations

from pathlib import Path

from analysis.errors import UserError
from analysis.models.default import default_folder
from analysis.models.spec import ModelSpec, check_local

# name, bytes, time of the last change in nanoseconds, number of the file
Stamp = tuple[tuple[str, int, int, int], ...]
_READ = (".json", ".safetensors", ".bin", ".model", ".txt", ".jinja", ".gguf", ".tiktoken")


def stamp_of(spec: ModelSpec) -> Stamp:
    """The files of a local model as they are now; empty for the hub, and where they cannot be looked at."""
    try:
        place = default_folder() if spec.kind == "default" else check_local(spec)
        if place is None:
            return ()
        files = [place] if place.is_file() else sorted(place.iterdir())
        if spec.kind == "gguf":
            stem = place.name.rpartition("-of-")[0][: -len("-00001")]
            files = sorted(p for p in place.parent.glob("*.gguf") if p == place or (stem and p.name.startswith(stem)))
        return tuple(_one(file) for file in files if file.suffix in _READ and file.is_file())
    except (OSError, UserError):
        return ()


def _one(file: Path) -> tuple[str, int, int, int]:
    facts = file.stat()
    return file.name, facts.st_size, facts.st_mtime_ns, facts.st_ino
