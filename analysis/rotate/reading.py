"""What is said of a weight vector and of its channels, as answers for a page, a notebook or a table.

Every figure of a channel comes with its place among the channels of random vectors, and the words are chosen by that
place: by kurtosis alone, hardly any vector would look empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.models.prompts import token_labels
from analysis.rotate import attractors
from analysis.rotate.answers.channels import Attractor, Channel, ChannelToken
from analysis.rotate.answers.neurons import Band, TokenScore, VectorCard
from analysis.rotate.null import ChannelNull
from analysis.rotate.objective import kurtosis, skewness, z_scores

LEVEL = 0.05
"""A channel counts if at most this share of random vectors has one as good."""


def token_rows(tokenizer: Any, ids: Sequence[int], z: Sequence[float]) -> tuple[TokenScore, ...]:
    """Tokens with their labels and z-scores."""
    labels = token_labels(tokenizer, list(ids))
    return tuple(
        TokenScore(int(i), label, round(float(value), 4)) for i, label, value in zip(ids, labels, z, strict=True)
    )


def vector_card(
    tokenizer: Any, w: Tensor, U: Tensor, layer_kurtosis: np.ndarray | None, band: list[float] | None, shown: int = 15
) -> VectorCard:
    """A weight vector w (d,) under the projection U (V, d): moments, tokens of both ends, a histogram of z-scores.

    ``layer_kurtosis``: the kurtosis of its kind in its block; ``band``: 5 %, 50 %, 95 % of random vectors'.
    """
    projected = w @ U.T
    z = z_scores(projected)
    kurt, skew = float(kurtosis(projected)), float(skewness(projected))
    shown = min(shown, max(1, len(z) // 2))  # of a small vocabulary no token stands at both ends
    high, low = z.topk(shown), z.topk(shown, largest=False)
    place = None
    if layer_kurtosis is not None:
        others = layer_kurtosis[np.isfinite(layer_kurtosis)].astype(np.float64)
        place = 100 * float((others < kurt).mean()) if len(others) else None
    sentence = f"Excess kurtosis {kurt:.2f}, skewness {skew:+.2f}."
    if float(projected.std()) <= 1e-6 * float(projected.abs().max()):  # what is left of a spread is rounding
        sentence = "Every token gets the same value, so kurtosis and skewness are not defined, and no token stands out."
    elif band is not None:
        where = "above" if kurt > band[2] else "below" if kurt < band[0] else "inside"
        sentence += f" That is {where} the band of random vectors ({band[0]:.2f} to {band[2]:.2f})"
        sentence += "." if place is None else f" and above {place:.0f} % of its block."
    counts, edges = histogram(z[None])
    return VectorCard(
        kurtosis=kurt,
        skewness=skew,
        norm=float(w.norm()),
        in_layer=place,
        band=None if band is None else Band(*band),
        high=token_rows(tokenizer, high.indices.tolist(), high.values.tolist()),
        low=token_rows(tokenizer, low.indices.tolist(), low.values.tolist()),
        sentence=sentence,
        edges=edges,
        counts=counts[0],
    )


def histogram(z: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Counts (R, B) of z-scores (R, V) in common bins, and the bins' edges (B+1,): a quarter of a deviation wide, wider
    only where the range would need more than 400 of them."""
    low, high = float(np.floor(float(z.min()))), float(np.ceil(float(z.max())))
    bins = min(int((high - low) * 4), 400) or 1
    edges = np.linspace(low, high, bins + 1)
    counts = np.stack([np.histogram(row, edges)[0] for row in z.cpu().numpy()])
    return counts.astype(np.int32), edges.astype(np.float32)


def channel_rows(
    tokenizer: Any,
    channels: dict[str, Tensor],
    unweighted: Sequence[float],
    null: ChannelNull,
    groups: list[attractors.Attractor],
) -> tuple[Channel, ...]:
    """The channels of one neuron; ``channels`` by the estimator's names, (C, …), ``unweighted``: their kurtosis
    without token weights, which is the figure that the paper reports."""
    own = channels["own_z"].cpu()[None]
    percentile, p = null.percentile(own)[0], null.p_value(own)[0]
    rows = []
    for c in range(len(channels["own_z"])):
        group = next((g for g in groups if g.holds(channels["top"][c])), None)
        scores = token_rows(tokenizer, channels["top"][c].tolist(), channels["top_z"][c].tolist())
        in_neuron = channels["top_own_z"][c].tolist()
        kurt, skew, cosine, loss, own_z = (
            float(channels[name][c]) for name in ("kurtosis", "skewness", "cosine", "loss", "own_z")
        )
        beyond = bool(p[c] <= LEVEL)
        row = Channel(
            number=c + 1,
            kurtosis=kurt,
            skewness=skew,
            cosine=cosine,
            loss=loss,
            own_z=own_z,
            percentile=float(percentile[c]),
            p=float(p[c]),
            beyond=beyond,
            attractor=None if group is None else _attractor(tokenizer, group, null),
            pole=int(channels["pole"][c]),
            masked=int(channels["masked"][c]),
            evaluations=int(channels["evaluations"][c]),
            tokens=tuple(
                ChannelToken(t.id, t.token, t.z, round(float(value), 4))
                for t, value in zip(scores, in_neuron, strict=True)
            ),
            sentence=_sentence(own_z, float(p[c]), beyond, null),
            unweighted=unweighted[c],
        )
        rows.append(row)
    return tuple(rows)


def _attractor(tokenizer: Any, group: attractors.Attractor, null: ChannelNull) -> Attractor:
    words = ", ".join(token_labels(tokenizer, list(group.tokens[:4])))
    return Attractor(
        group.share, f"Also {group.share:.0%} of {null.vectors} random vectors land on these tokens ({words} …)."
    )


def _sentence(own: float, p: float, beyond: bool, null: ChannelNull) -> str:
    others = round(p * (1 + null.vectors)) - 1
    if own != own:
        return "How far the neuron itself favours these tokens is no number: it gives all tokens the same."
    start = f"The neuron itself favours these tokens by {own:.1f} standard deviations"
    if beyond:
        return f"{start}; of {null.vectors} random vectors {others or 'none'} have any channel with as much."
    return f"{start}, no more than random vectors do: {others} of {null.vectors} have a channel with as much."


def verdict(rows: Sequence[Channel], null: ChannelNull | None = None) -> tuple[bool, str]:
    """Whether there is nothing in the neuron, and that in words. ``null``: what the rows were held against; the words
    say where it is too small for a verdict."""
    beyond = [r for r in rows if r.beyond]
    if null is not None and 1 / (1 + null.vectors) > LEVEL:
        return True, (
            f"Nothing can be said: {null.vectors} random vectors are too few to tell a channel from chance, whatever "
            "it holds. Measure at least 19."
        )
    more = ""
    if null is not None and beyond and len(rows) > null.rounds:
        more = (
            f" Random vectors were searched for {null.rounds} {'channel' if null.rounds == 1 else 'channels'} each and "
            f"this one for {len(rows)}, so it had more chances than they."
        )
    if not beyond:
        return True, (
            f"Nothing in it: none of its {len(rows)} channels holds more than a random vector's would, whatever their "
            "kurtosis. The tokens below were found in this vector, not by it."
        )
    words = "; ".join(", ".join(t.token.strip() for t in r.tokens[:3]) for r in beyond[:3])
    count = "One channel is" if len(beyond) == 1 else f"{len(beyond)} channels are"
    rest = len(rows) - len(beyond)
    tail = "" if not rest else f" The other {rest} {'is' if rest == 1 else 'are'} like those of random vectors."
    return False, f"{count} beyond the null ({words}).{tail}{more}"


def left_out(
    tokenizer: Any, w: Tensor, U: Tensor, weights: Tensor, shown: int = 8
) -> tuple[tuple[TokenScore, ...], str]:
    """Tokens that w (d,) itself has far out (beyond four deviations) but that had no part in the search, and a
    sentence on them; empty if there are none. A neuron may be about such tokens: here that cannot be told from chance.
    """
    z = z_scores(w @ U.T)
    far = z.abs().masked_fill(weights.to(z) == 1, 0.0)
    top = far.topk(min(shown, len(far)))
    ids = top.indices[top.values > 4].tolist()
    if not ids:
        return (), ""
    rows = token_rows(tokenizer, ids, z[ids].tolist())
    words = ", ".join(f"{r.token} ({r.z:+.1f})" for r in rows[:4])
    return rows, (
        f" It also has tokens far out that were left out of the search, since random vectors land on them too: {words}."
    )


def geometry(w: Tensor, channels: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Cosines between neuron and channels, (C+1, C+1), and the rebuilding of w (d,) from the first 1..C channels
    (C, d) by least squares, (C, 3): cosine with w, explained share of its squared length, and that share for random
    vectors at the same cosines with w."""
    rows = torch.nn.functional.normalize(torch.cat([w[None], channels]).double(), dim=1)
    cosines = rows @ rows.T
    near = cosines[0, 1:]
    rebuilt = []
    for count in range(1, len(channels) + 1):
        explained = _explained(rows[1 : count + 1] @ rows[1 : count + 1].T, near[:count])
        # Unrelated vectors have between them only what both have of w.
        alone = near[:count, None] * near[None, :count]
        alone.fill_diagonal_(1.0)
        rebuilt.append([explained**0.5, explained, _explained(alone, near[:count])])
    return cosines.float().numpy(), np.asarray(rebuilt, np.float32)


def _explained(gram: Tensor, near: Tensor) -> float:
    solved = torch.linalg.lstsq(gram, near[:, None]).solution[:, 0]
    return float((near @ solved).clamp(0, 1))
