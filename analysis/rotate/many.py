"""Channels of a list of neurons, found together and in the form in which sets are kept."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.progress import Progress, silent
from analysis.rotate.channels import VocabularyChannels
from analysis.rotate.library import NeuronLibrary
from analysis.rotate.objective import kurtosis
from analysis.rotate.others import OtherResults, kept_tokens
from analysis.rotate.outliers import LONG, QUANTILE
from analysis.rotate.vectors import NeuronVectors
from analysis.rotate.width import FULL


def list_weights(U: Tensor, tokens: list[int]) -> Tensor:
    """Token weights (V,) by a list of tokens and the norm rule, in the order of the official code: the list first, then
    the hundredth of longest rows, which so gets back some of its weight where the list had taken it.

    Raises UserError(field="outliers") for a token that the vocabulary does not have.
    """
    beyond = [t for t in tokens if t >= len(U)]
    if beyond:
        raise UserError(f"The list leaves out token {beyond[0]:,}; this model has {len(U):,}.", "outliers")
    weights = torch.ones(len(U)).to(U)
    weights[tokens] = 0.0
    norms = U.norm(dim=1)
    weights[norms > norms.quantile(QUANTILE)] = LONG
    return weights


def find_many(
    vectors: NeuronVectors,
    library: NeuronLibrary | None,
    neurons: tuple[int, ...],
    *,
    layer: int,
    vector: str,
    channels: int = 5,
    mask_z: float = 4.0,
    optimiser: str = "lbfgs",
    outliers: str = "",
    seed: int = 0,
    progress: Progress = silent,
) -> OtherResults:
    """The channels of some neurons, settings as of :class:`analysis.rotate.ops.sets.FindMany`.

    Raises UserError: no such neuron, or neither measurements nor a list of tokens.
    """
    U = vectors.projection(layer)
    if outliers:
        weights = list_weights(U, kept_tokens(outliers))
    elif library is not None:
        weights = library.token_weights(library.projection_of(layer), len(U)).to(U)
    else:
        raise UserError(
            "Which tokens to leave out is not known for this model: press Measure, or open a list of tokens.", "model"
        )
    official = optimiser == "adamw"
    W = torch.stack([vectors.read(layer, vector, n) for n in neurons])
    fitted = VocabularyChannels(
        channels,
        mask_z=mask_z,
        optimiser=optimiser,
        starts=1 if official else FULL.starts if library is None else library.starts,
        compatible=official,
        random_state=seed,
    ).fit(W, U, weights, progress=lambda share, text="", **_facts: progress(share, text))
    found = fitted.channels_
    unweighted = torch.stack([kurtosis(one @ U.T) for one in found])
    shape = tuple(found.shape[:2])
    return OtherResults(
        neurons=neurons,
        counts=np.full(shape[0], shape[1], np.int32),
        channels=found.float().cpu().numpy(),
        kurtosis=unweighted.float().cpu().numpy(),
        step=fitted.evaluations_.cpu().numpy().astype(np.int32),
        masked=fitted.masked_.cpu().numpy().astype(np.int32),
        layer=layer,
        vector=vector,
    )
