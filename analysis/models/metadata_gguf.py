"""A model in one GGUF file, known from the header of that file.

A GGUF file brings its own description and no configuration, and it can only be loaded where transformers has a reader
for its architecture. This module hides the GGUF package, which maps the file and touches no weight but trusts what it
reads, and the place where transformers keeps its list of readable architectures.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from analysis.models.metadata_facts import Facts, Stored, bad, gb, is_buffer


def from_gguf(path: Path) -> Facts:
    """Sizes from the GGUF header; the reader maps the file and touches none of its weights."""
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise bad("Reading GGUF files needs the packages gguf and accelerate: pip install gguf accelerate.") from error
    size = path.stat().st_size
    try:
        reader = GGUFReader(str(path))
        fields = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("tokenizer.")}
        spans = [(t, int(t.data_offset) + int(t.n_bytes)) for t in reader.tensors]
    # The reader does not check what it reads: a short or damaged file fails wherever it happens to.
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError, OSError) as error:
        raise bad(_cut_off(path, size)) from error
    if not spans or any(end > size for _, end in spans):
        raise bad(_cut_off(path, size))
    architecture = str(fields.get("general.architecture", ""))
    if not _gguf_is_read(architecture):
        raise bad(
            f"transformers cannot read GGUF files of the architecture {architecture[:60]!r}. Choose another model."
        )
    lost = "These weights are quantised; loading dequantises them, and what quantisation lost stays lost."
    stored = [
        Stored(t.name, t.tensor_type.name, tuple(int(n) for n in reversed(t.shape)), int(t.n_bytes)) for t, _ in spans
    ]
    return Facts(
        tensors=[t for t in stored if not is_buffer(t)],
        config={},
        architecture=architecture,
        model_type=architecture,
        layers=_whole(fields.get(f"{architecture}.block_count")),
        heads=_whole(fields.get(f"{architecture}.attention.head_count")),
        origin=f"Read from the header of {path.name}.",
        bytes_on_disk=size,
        notes=[lost] if any(t.dtype not in ("F32", "F16", "BF16") for t in stored) else [],
        weights="gguf",
    )


def _gguf_is_read(architecture: str) -> bool:
    for module, names in (
        ("modeling_gguf_pytorch_utils", "GGUF_SUPPORTED_ARCHITECTURES"),
        ("integrations.gguf", "GGUF_ARCHS"),
    ):
        try:
            if architecture in getattr(importlib.import_module(f"transformers.{module}"), names):
                return True
        except (ImportError, AttributeError):
            continue
    return False


def _whole(value: object) -> int | None:
    if isinstance(value, list):  # some files give one count for each layer
        value = max((v for v in value if isinstance(v, int)), default=None)
    return value if isinstance(value, int) else None


def _cut_off(path: Path, size: int) -> str:
    return f"{path.name} is cut off or damaged: its header describes more than its {gb(size)}. Download it again."
