"""A model in GGUF files, known from their headers.

A GGUF file brings its own description and no configuration, and it can only be loaded where transformers has a reader
for its architecture. This module hides the place where transformers keeps its lists of readable architectures.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from analysis.models.gguf_files import parts_of
from analysis.models.metadata_facts import Facts, Stored, bad, is_buffer


def from_gguf(path: Path) -> Facts:
    """Sizes from the headers of all parts of the model; none of its weights is touched."""
    try:
        from gguf import GGMLQuantizationType
    except ImportError as error:
        raise bad("Reading GGUF files needs the packages gguf and accelerate: pip install gguf accelerate.") from error
    headers = parts_of(path)
    fields = headers[0].fields
    declared = [t for h in headers for t in h.tensors]
    if not declared:
        raise bad(f"{path.name} holds no tensors: the download is not complete. Download it again.")
    architecture = str(fields.get("general.architecture", ""))
    if not _gguf_is_read(architecture):
        raise bad(
            f"transformers cannot read GGUF files of the architecture {architecture[:60]!r}. Choose another model."
        )
    try:
        stored = [Stored(t.name, GGMLQuantizationType(t.kind).name, t.shape, t.nbytes) for t in declared]
    except ValueError as error:
        raise bad(f"{path.name} holds tensors of a kind that is not known here ({error}).") from error
    lost = "These weights are quantised; loading dequantises them, and what quantisation lost stays lost."
    return Facts(
        tensors=[t for t in stored if not is_buffer(t)],
        config={},
        architecture=architecture,
        model_type=architecture,
        layers=_whole(fields.get(f"{architecture}.block_count")),
        heads=_whole(fields.get(f"{architecture}.attention.head_count")),
        origin=f"Read from the header of {path.name}."
        if len(headers) == 1
        else f"Read from the headers of the {len(headers)} parts of {headers[0].path.name}.",
        bytes_on_disk=sum(h.path.stat().st_size for h in headers),
        notes=[lost] if any(t.dtype not in ("F32", "F16", "BF16") for t in stored) else [],
        weights="gguf",
    )


def _gguf_is_read(architecture: str) -> bool:
    try:
        supported = importlib.import_module("transformers.integrations.gguf.utils").is_gguf_arch_supported
        if supported(architecture):
            return True
    except (ImportError, AttributeError):
        pass
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
