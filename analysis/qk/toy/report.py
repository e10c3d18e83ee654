"""All that the validation page shows of a trained toy, computed in one go from fresh rows.

On the toy the truth is known, so nearly every figure here has a value that it ought to have (dossier 1.4, 2.3, 2.4);
where a figure could look right by accident it stands beside a control: the ranks beside those of untrained weights,
each swap beside random subspaces of the same rank. The subspaces are those of the same functions that a language
model's heads go through, never of shortcuts that only the toy allows. The result is plain data, so that it can be
kept, sent and drawn without torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.qk import (
    QKSubspace,
    attribute_logits,
    contrastive_covariance,
    joint_basis,
    noise_share,
    principal_cosines,
    random_basis,
    swap_keys,
)
from analysis.qk.answers.validation import (
    ToyAttribution,
    ToyInteraction,
    ToyLatent,
    ToyMap,
    ToyOverlap,
    ToyReport,
    ToySwap,
)
from analysis.qk.toy.data import ToyBatch, generator_for, latent_codes, sample_batch, sample_contrast
from analysis.qk.toy.model import ToyHead, TrainedToy, accuracy_ceiling, evaluate, initial_head
from analysis.qk.toy_settings import ToySettings

_CHUNK = 2_048  # Rows with a whole context that are held at once.
_PAIRS = 1_600  # Query-key pairs on the map, as in the paper's Figure 3.
_ATTRIBUTED = 1_000
_CODE_BITS = 5  # More would give more codes than pairs to average.
_BINS = 8
_FACTORS: tuple[Literal["z1", "z2"], ...] = ("z1", "z2")


@torch.no_grad()
def toy_report(
    trained: TrainedToy, samples: int = 40_960, swap_rows: int = 20_000, seed: int = 0, random_bases: int = 5
) -> ToyReport:
    """The evidence on a trained toy (arXiv 2602.04752, Figures 2 to 5; dossier 2.3, 2.4), in about a second.

    Args:
        samples: contrast triples per latent, and rows for the accuracy; 200 to 200,000.
        swap_rows: rows of the swap test, 200 to 200,000; one without a token that differs in both latents is left out.
        seed: decides every draw of the report, apart from those of training.
        random_bases: how many random subspaces each random condition averages, 1 to 50.

    Returns:
        The report; its arrays are float32.

    Raises:
        UserError: a number out of range.
    """
    for name, value, low, high in (
        ("samples", samples, 200, 200_000),
        ("swap_rows", swap_rows, 200, 200_000),
        ("seed", seed, 0, 2**31 - 1),
        ("random_bases", random_bases, 1, 50),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise UserError(f"{name} must be a whole number from {low} to {high}; it is {value!r}.", name)
    generator = generator_for(seed, "report")
    latents: dict[str, ToyLatent] = {}
    subspaces = []
    for factor in _FACTORS:
        latents[factor], subspace = _latent(trained, factor, samples, generator)
        subspaces.append(subspace)
    swaps, used = _swaps(trained, subspaces, swap_rows, random_bases, generator)
    first, second = subspaces
    return ToyReport(
        settings=trained.settings,
        steps=trained.steps,
        seed=seed,
        samples=samples,
        accuracy=_accuracy(trained, samples, generator),
        ceiling=accuracy_ceiling(trained.settings),
        latents=latents,
        overlap=ToyOverlap(
            _array(principal_cosines(first.query_basis, second.query_basis)),
            _array(principal_cosines(first.key_basis, second.key_basis)),
        ),
        swaps=swaps,
        swap_rows=used,
        interaction=_interaction(trained),
        map=_map(trained, first, generator),
        attribution=_attribution(trained, subspaces, generator),
    )


def _latent(
    trained: TrainedToy, factor: Literal["z1", "z2"], samples: int, generator: torch.Generator
) -> tuple[ToyLatent, QKSubspace]:
    settings, embedding = trained.settings, trained.embedding
    triples = sample_contrast(settings, embedding, factor, samples, generator)

    def contrast(head: ToyHead) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        query = head.queries(triples.query).double()
        positive, negative = head.keys(triples.positive).double(), head.keys(triples.negative).double()
        return query, positive, negative, contrastive_covariance(query, positive, negative)

    query, positive, negative, delta = contrast(trained.head)
    difference = positive - negative
    subspace = QKSubspace.from_covariance(delta)
    asked, held = (embedding.b1, embedding.a1) if factor == "z1" else (embedding.b2, embedding.a2)
    closed = trained.head.queries(asked.T).double().T @ trained.head.keys(held.T).double()
    true_rank = min(asked.shape[1], settings.d_head)
    values = subspace.singular_values
    spread = (float(query.square().sum(-1).mean()), float(difference.square().sum(-1).mean()))
    return ToyLatent(
        rank=subspace.rank,
        true_rank=true_rank,
        untrained_rank=QKSubspace.from_covariance(contrast(initial_head(settings))[-1]).rank,
        singular_values=_array(values),
        gap=float(values[true_rank - 1] / values[true_rank]) if true_rank < len(values) else None,
        closed_form_error=float((delta - closed).norm() / closed.norm()),
        trace=subspace.trace,
        mean_gap=float((query * positive).sum(-1).mean() - (query * negative).sum(-1).mean()),
        noise_share=noise_share(*spread, float(delta.square().sum()), samples),
    ), subspace


def _accuracy(trained: TrainedToy, samples: int, generator: torch.Generator) -> float:
    hits = 0.0
    for batch in _chunks(trained, samples, generator):
        hits += evaluate(trained.head, batch)[1] * len(batch.label)
    return hits / samples


def _swaps(
    trained: TrainedToy, subspaces: list[QKSubspace], rows: int, random_bases: int, generator: torch.Generator
) -> tuple[tuple[ToySwap, ...], int]:
    """Attention before and after the asked key and a key that differs in both latents trade their coordinates."""
    width = trained.settings.d_head
    first, second = (subspace.key_basis for subspace in subspaces)
    conditions: list[tuple[str, str, list[Tensor]]] = [
        ("none", "none", [first[:, :0]]),
        ("z1", "latent", [first]),
        ("z2", "latent", [second]),
        ("z1+z2", "latent", [joint_basis([first, second])]),
    ]
    for name, _, (basis,) in conditions[1:]:
        drawn = [random_basis(width, basis.shape[1], generator, basis.dtype) for _ in range(random_bases)]
        conditions.append((f"random, rank of {name}", "random", drawn))
    totals, used = torch.zeros(len(conditions), 4, dtype=torch.float64), 0
    for batch in _chunks(trained, rows, generator):
        place, target, kept = _swap_places(batch, generator)
        line = torch.arange(len(place))
        query = trained.head.queries(batch.query[kept]).double()
        keys = trained.head.keys(batch.context[kept]).double()
        for row, (_, _, bases) in enumerate(conditions):
            for basis in bases:
                changed = keys.clone()
                changed[line, place], changed[line, target] = swap_keys(keys[line, place], keys[line, target], basis)
                weights = torch.softmax((changed @ query.unsqueeze(-1)).squeeze(-1) / width**0.5, dim=-1)
                top = weights.argmax(-1)
                seen = (weights[line, place], weights[line, target], (top == place).double(), (top == target).double())
                totals[row] += torch.stack([part.sum() for part in seen]) / len(bases)
        used += len(place)
    if not used:
        raise UserError("No row has a token that differs from the asked one in both latents. Use a longer context.")
    table = (
        ToySwap(name, kind, int(bases[0].shape[1]), len(bases), *(total / used).tolist())
        for (name, kind, bases), total in zip(conditions, totals, strict=True)
    )
    return tuple(table), used


def _swap_places(batch: ToyBatch, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """The asked place and a random place that differs in both latents, for the rows (mask ``kept``) that have one."""
    line = torch.arange(len(batch.place))
    differs = (batch.z1 != batch.z1[line, batch.place].unsqueeze(1)).any(-1)
    differs &= (batch.z2 != batch.z2[line, batch.place].unsqueeze(1)).any(-1)
    kept = differs.any(-1)
    target = torch.multinomial(differs[kept].float(), 1, generator=generator).squeeze(-1)
    return batch.place[kept], target, kept


def _interaction(trained: TrainedToy) -> ToyInteraction:
    """G = (W_Q B)^T (W_K A): the logit of latents z* and z is z*^T G z (dossier 2.4, the paper's Figure 5)."""
    embedding = trained.embedding
    asked = trained.head.queries(torch.cat([embedding.b1, embedding.b2], dim=1).T).double()
    held = trained.head.keys(torch.cat([embedding.a1, embedding.a2], dim=1).T).double()
    matrix = asked @ held.T
    widths = zip(_FACTORS, (trained.settings.n1, trained.settings.n2), strict=True)
    return ToyInteraction(
        matrix=_array(matrix),
        diagonal_share=float(matrix.diagonal().square().sum() / matrix.square().sum()),
        names=tuple(f"{factor}[{place}]" for factor, width in widths for place in range(width)),
    )


def _map(trained: TrainedToy, subspace: QKSubspace, generator: torch.Generator) -> ToyMap:
    """Queries and their target keys in z1's subspace (the paper's Figure 3)."""
    settings = trained.settings
    batch = sample_batch(settings, trained.embedding, _PAIRS, generator)
    line = torch.arange(_PAIRS)
    queries = trained.head.queries(batch.query).double() @ subspace.query_basis
    keys = trained.head.keys(batch.context[line, batch.place]).double() @ subspace.key_basis
    coordinates = torch.cat([queries, keys])
    coordinates -= coordinates.mean(0)
    _, values, axes = torch.linalg.svd(coordinates, full_matrices=False)
    energy = values.square() / values.square().sum()
    points, shares = torch.zeros(2 * _PAIRS, 3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    shown = min(3, len(values))
    points[:, :shown], shares[:shown] = coordinates @ axes[:shown].T, energy[:shown]
    codes, names, edges = _codes(settings, batch.z1[line, batch.place])
    means = torch.stack([points[_PAIRS:][codes == code].mean(0) for code in range(len(names))])
    return ToyMap(
        points=_array(points),
        role=_array(torch.arange(2).repeat_interleave(_PAIRS)),
        code=_array(codes.repeat(2)),
        code_names=tuple(names),
        code_means=_array(means),
        edges=tuple(edges),
        shares=_array(shares),
    )


def _codes(settings: ToySettings, latents: Tensor) -> tuple[Tensor, list[str], list[tuple[int, int]]]:
    if settings.task == "gaussian":
        cuts = torch.quantile(latents[:, 0], torch.linspace(0, 1, _BINS + 1)[1:-1])
        return (
            torch.bucketize(latents[:, 0].contiguous(), cuts),
            [f"bin {number}" for number in range(1, _BINS + 1)],
            [],
        )
    bits = min(settings.n1, _CODE_BITS)
    names = ["".join("+" if code >> bit & 1 else "-" for bit in range(bits)) for code in range(2**bits)]
    edges = [(code, code | 1 << bit) for code in range(2**bits) for bit in range(bits) if not code >> bit & 1]
    return latent_codes(latents[:, :bits]), names, edges


def _attribution(trained: TrainedToy, subspaces: list[QKSubspace], generator: torch.Generator) -> ToyAttribution:
    """Raw logits split on the query side (dossier 2.4 and 3.5)."""
    batch = sample_batch(trained.settings, trained.embedding, _ATTRIBUTED, generator)
    queries, keys = trained.head.queries(batch.query).double(), trained.head.keys(batch.context).double()
    parts = torch.stack([attribute_logits(query, key, subspaces) for query, key in zip(queries, keys, strict=True)])
    logits = (keys @ queries.unsqueeze(-1)).squeeze(-1)
    asked = torch.arange(batch.context.shape[1]) == batch.place.unsqueeze(-1)
    return ToyAttribution(
        names=(*_FACTORS, "rest"),
        target=_array(parts[asked].mean(0)),
        others=_array(parts[~asked].mean(0)),
        target_total=float(logits[asked].mean()),
        others_total=float(logits[~asked].mean()),
        additivity_error=float((parts.sum(-1) - logits).abs().max()),
        energy_explained=float(1 - parts[..., -1].square().sum() / logits.square().sum()),
    )


def _chunks(trained: TrainedToy, rows: int, generator: torch.Generator) -> Iterator[ToyBatch]:
    for start in range(0, rows, _CHUNK):
        yield sample_batch(trained.settings, trained.embedding, min(_CHUNK, rows - start), generator)


def _array(tensor: Tensor) -> np.ndarray[Any, np.dtype[np.float32]]:
    return tensor.to(torch.float32).numpy()
