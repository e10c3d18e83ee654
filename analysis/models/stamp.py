"""What a model's files were when they were read: so that a folder that was saved over is noticed.

Names, sizes, times and file numbers, not contents: looking must cost nothing. A training run that saves into the folder
again changes at least one of them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from analysis.errors import UserError
from analysis.models.default import default_folder
from analysis.models.spec import ModelSpec, check_local, local_path

# name, bytes, time of the last change in nanoseconds, number of the file
Stamp = tuple[tuple[str, int, int, int], ...]
_READ = (".json", ".safetensors", ".bin", ".model", ".txt", ".jinja", ".gguf", ".tiktoken")


_LARGE = 100_000_000  # bytes; a larger text in the folder is no part of a model, and goes by its time
_WEIGHTS = (".safetensors", ".bin", ".gguf")


def surroundings_of(spec: ModelSpec, header: int = 0) -> str:
    """Sixteen hex digits for what a local model consists of besides its weights: tokenizer, template, configuration.

    The same weights with another tokenizer read another text, so what was computed with the one is no answer about the
    other. ``header``: so many bytes from the beginning of a GGUF file are its header. Empty for the model that is
    bundled and for the hub.
    """
    place = None if spec.kind == "default" else check_local(spec)
    if place is None:
        return ""
    digest = hashlib.sha256()
    if place.is_file():
        with place.open("rb") as file:
            digest.update(file.read(header))
    else:
        for file_ in sorted(f for f in place.iterdir() if f.is_file() and f.suffix.lower() in _READ):
            if file_.suffix.lower() not in _WEIGHTS:
                facts = _one(file_)
                digest.update(str(facts if facts[1] > _LARGE else facts[:2]).encode())
                digest.update(b"" if facts[1] > _LARGE else file_.read_bytes())
    return digest.hexdigest()[:16]


def stamp_of(spec: ModelSpec) -> Stamp:
    """The files of a local model as they are now; empty for the hub, and where they cannot be looked at."""
    try:
        looked_at = {"default": lambda _spec: default_folder(), "folder": local_path}
        place = looked_at.get(spec.kind, check_local)(spec)
        if place is None:
            return ()
        files = [place] if place.is_file() else [f for f in sorted(place.iterdir()) if f.suffix.lower() in _READ]
        if spec.kind == "gguf":
            stem = place.name.rpartition("-of-")[0][: -len("-00001")]
            files = sorted(
                p for p in place.parent.glob("*.[gG][gG][uU][fF]") if p == place or (stem and p.name.startswith(stem))
            )
        return tuple(_one(file) for file in files if file.is_file())
    except (OSError, UserError):
        return ()


def _one(file: Path) -> tuple[str, int, int, int]:
    facts = file.stat()
    return file.name, facts.st_size, facts.st_mtime_ns, facts.st_ino
