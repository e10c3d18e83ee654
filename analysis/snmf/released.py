"""Features that others factorized, opened as a factorization of ours: from a safetensors file of one matrix.

The authors keep theirs pickled, and what is pickled is never opened here; the manual has the few lines that write the
matrix out of one, away from Attune. A file brings features and no activations of our tokens: those are solved for over
texts with the features held fixed, and from there on it is a factorization like any other.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from analysis.activations.collect import collect
from analysis.activations.recipe import WINDOW
from analysis.corpora.passages import Passage
from analysis.errors import UserError
from analysis.models.loaded_model import LoadedModel
from analysis.progress import Progress, portion
from analysis.snmf.learning import Learned, Wanted
from analysis.snmf.library import Factorization, Level
from analysis.snmf.pipeline import divide, finished
from analysis.snmf.reading import codes

MAX_FEATURES = 4_000
NAMES = ("F", "F_")
"""What the matrix of features may be called in a file: neurons x features, as the authors have it."""
_RECIPE = "The manual says how features are written as safetensors, away from Attune (MLP features)."


def read_features(file: str, width: int) -> tuple[Tensor, str]:
    """The features (K, width) float32 of unit length in a safetensors file (base64), and the file's SHA-256 in hex.

    Raises UserError(field="file"): not such a file, no matrix of that name, another width, values that are no numbers.
    """
    try:
        body = base64.b64decode(file, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UserError("The file did not arrive whole. Choose it again.", "file") from error
    if body[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        raise UserError(f"This file is pickled, and opening it could run what is in it. {_RECIPE}", "file")
    try:
        arrays = load(body)
    except (SafetensorError, KeyError, ValueError, OverflowError, RuntimeError) as error:
        raise UserError(f"This is no safetensors file, or it is damaged. {_RECIPE}", "file") from error
    matrix = next((arrays[name] for name in NAMES if name in arrays), None)
    if matrix is None:
        has = ", ".join(name[:30] for name in list(arrays)[:6]) or "nothing"
        raise UserError(f"This file has no matrix called F (neurons x features); it has {has}. {_RECIPE}", "file")
    if matrix.ndim != 2 or not matrix.is_floating_point() or not 1 <= matrix.shape[1] <= MAX_FEATURES:
        raise UserError(
            f"F must be a matrix of real numbers, neurons x features, with 1 to {MAX_FEATURES:,} features.", "file"
        )
    if matrix.shape[0] != width:
        raise UserError(
            f"These features are of {matrix.shape[0]:,} neurons; the chosen site of this model has {width:,}. Choose "
            "the model, block and site that they were made for.",
            "file",
        )
    features = matrix.T.float().contiguous()
    if not bool(torch.isfinite(features).all()):
        raise UserError("F holds values that are no finite numbers. It is damaged.", "file")
    lengths = features.norm(dim=1)
    if not bool((lengths > 0).all()):
        raise UserError(f"Feature {int((lengths == 0).nonzero()[0])} of F is zero everywhere. Leave it out.", "file")
    return features / lengths[:, None], hashlib.sha256(body).hexdigest()


def open_features(
    loaded: LoadedModel, features: Tensor, digest: str, passages: Sequence[Passage], wanted: Wanted, progress: Progress
) -> Factorization:
    """A factorization with the given unit features (K, d), their activations solved for over ``wanted.tokens`` tokens.

    Raises UserError and what ``progress`` does.
    """
    if len({p.text for p in passages}) < 2:
        raise UserError("One passage is not enough to see where features are active. Bring more text.", "texts")
    wanted = replace(wanted, features=len(features), kept=float((features != 0).float().mean(1).max()))
    store = collect(
        loaded, passages, [wanted.site], max_tokens=wanted.tokens + wanted.reserve(passages), window=WINDOW,
        progress=portion(progress, 0.0, 0.5),
    )  # fmt: skip
    x = store.read(wanted.site, divide(store, passages, wanted)[0])
    progress(0.5, "solving for the activations of the features")
    activations = torch.cat([codes(features, part).float() for part in x.split(4_096)])
    total = float(x.double().square().sum())
    explained = 1 - float((x - activations @ features).double().square().sum()) / max(total, 1e-30)
    curve: dict[str, Any] = {"iteration": [1], "explained": [round(explained, 5)], "best": 1}
    learned = Learned([Level(features, None)], activations, explained, 0, curve)
    fit = finished(loaded, passages, store, wanted, learned, 0.0, portion(progress, 0.6, 1.0))
    fit.manifest |= {"init": f"features of a file ({digest[:12]})", "released": {"sha256": digest}}
    return fit
