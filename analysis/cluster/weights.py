"""Every weight of a model in one digest. The fingerprint of a model reads a sample of each tensor, which a training run
that changes few rows of an embedding passes by; numbers that are summed over nodes may not rest on a sample."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from analysis.progress import Check, no_check

if TYPE_CHECKING:
    from analysis.models.loaded_model import LoadedModel

_KEPT = "digest of every weight"
_CHUNK = 1 << 26
"""Numbers of a tensor that are copied to the host at once."""


def digest_of(loaded: LoadedModel, check: Check = no_check) -> str:
    """Twenty hex digits of the names, shapes, dtypes and bytes of all tensors of a model, made once for as long as it
    is loaded: about a second for each gigabyte. ``check`` is called for each tensor and may raise."""
    import torch

    if _KEPT not in loaded.extras:
        digest = hashlib.sha256()
        for name, tensor in loaded.model.state_dict().items():
            check()
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            for part in tensor.detach().reshape(-1).split(_CHUNK):
                digest.update(part.cpu().contiguous().view(torch.uint8).numpy())
        loaded.extras[_KEPT] = digest.hexdigest()[:20]
    return str(loaded.extras[_KEPT])
