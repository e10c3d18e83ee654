"""Vocabularies with directions planted in them: what was put into a neuron must come out, strongest first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn.functional import normalize

from analysis.rotate.channels import VocabularyChannels
from analysis.rotate.objective import kurtosis, z_scores

SEEDS = range(20)
STRONG = 0.5


@dataclass(frozen=True)
class Planted:
    """A Gaussian ``projection`` (V, d) in which ``blocks`` (K, B) of tokens are shifted along ``directions`` (K, d),
    and ``vectors`` (N, d) that mix the directions by ``amplitudes`` (N, K)."""

    projection: Tensor
    directions: Tensor
    blocks: Tensor
    vectors: Tensor
    amplitudes: Tensor


def planted(
    seed: int, width: int = 40, tokens: int = 2400, directions: int = 5, neurons: int = 2, shift: float = 6.0
) -> Planted:
    """Amplitudes from 1 to 0.4 in another order for each neuron, and a little noise."""
    g = torch.Generator().manual_seed(seed)
    along = torch.linalg.qr(torch.randn(width, directions, generator=g)).Q.T.contiguous()
    U = torch.randn(tokens, width, generator=g)
    blocks = torch.randperm(tokens, generator=g)[: directions * 40].view(directions, 40)
    for block, direction in zip(blocks, along, strict=True):
        U[block] += shift * direction
    levels = torch.linspace(1, 0.4, directions)
    A = torch.stack([levels[torch.randperm(directions, generator=g)] for _ in range(neurons)])
    W = A @ along + 0.02 * torch.randn(neurons, width, generator=g)
    return Planted(U, along, blocks, W, A)


def shares(found: VocabularyChannels, blocks: Tensor, neuron: int) -> Tensor:
    """(C, K): share of each channel's 20 tokens that lie in each block."""
    return torch.stack([torch.isin(found.top_[neuron], block).float().mean(1) for block in blocks], 1)


@cache
def recovered() -> tuple[list[dict[str, float]], list[float], list[bool]]:
    """Over 20 vocabularies with 4 to 6 directions: a row for each planted direction, the Spearman correlation of
    discovery and amplitude of each neuron, and whether each neuron gave up all its strong directions."""
    rows, orders, whole = [], [], []
    for seed in SEEDS:
        p = planted(seed, directions=4 + seed % 3)
        count = len(p.directions)
        found = VocabularyChannels(count).fit(p.vectors, p.projection)
        for n, w in enumerate(normalize(p.vectors, dim=1)):
            inside = shares(found, p.blocks, n)
            rounds: dict[int, int] = {}
            for k in range(count):
                first = (inside[:, k] >= 0.8).nonzero()[:, 0].tolist()
                row = {"amplitude": float(p.amplitudes[n, k]), "found": float(bool(first)), "cosine": 0.0}
                if first:
                    rounds[k] = first[0]
                    # What the channel adds to the neuron, against what the direction has beyond the neuron.
                    added, wanted = (v - w * (w @ v) for v in (found.channels_[n, first[0]], p.directions[k]))
                    row["cosine"] = float(normalize(added, dim=0) @ normalize(wanted, dim=0))
                rows.append(row)
            amplitudes = [-float(p.amplitudes[n, k]) for k in rounds]
            orders.append(float(spearmanr(list(rounds.values()), amplitudes).statistic))
            whole.append(all(r["found"] for r in rows[-count:] if r["amplitude"] >= STRONG))
    return rows, orders, whole


def test_strong_planted_directions_are_recovered() -> None:
    rows, _, whole = recovered()
    strong = [r for r in rows if r["amplitude"] >= STRONG]
    assert len(strong) > 150 and len(whole) == 40
    assert sum(r["found"] for r in strong) / len(strong) >= 0.95
    # Between 92 and 100 % over sizes of vocabulary; what is missed is a sixth direction just above half amplitude.
    assert sum(whole) / len(whole) >= 0.9, "hardly a neuron keeps a strong direction back"
    added = torch.tensor([r["cosine"] for r in strong if r["found"]])
    assert float((added >= 0.8).float().mean()) >= 0.95 and float(added.median()) > 0.9


def test_discovery_follows_amplitude() -> None:
    orders = torch.tensor(recovered()[1])
    assert float(orders.mean()) >= 0.9 and float((orders >= 0.8 - 1e-6).float().mean()) >= 0.9


@pytest.mark.parametrize(("optimiser", "seeds"), [("lbfgs", range(6)), ("adamw", range(3))])
def test_two_blocks_as_in_the_official_test(optimiser: str, seeds: range) -> None:
    """Dossier's numbers: d 32, V 2,000, blocks of 40 and 30 tokens, neurons that mix 1:1, 1:0.6 and 0.6:1.

    In 600 steps AdamW has not always left the ridge between two equal blocks (its last candidate is that of step 500),
    so it has 900 here and is asked for fewer vocabularies.
    """
    for seed in seeds:
        g = torch.Generator().manual_seed(seed)
        directions = torch.linalg.qr(torch.randn(32, 2, generator=g)).Q.T
        U = torch.randn(2000, 32, generator=g)
        blocks = [torch.arange(40), torch.arange(40, 70)]
        for block, direction in zip(blocks, directions, strict=True):
            U[block] += 6 * direction
        mixes = torch.tensor([[1.0, 1.0], [1.0, 0.6], [0.6, 1.0]])
        W = mixes @ directions + 0.02 * torch.randn(3, 32, generator=g)
        found = VocabularyChannels(2, optimiser=optimiser, rate=1e-2, max_steps=900).fit(W, U)
        hits = torch.stack([shares(found, block[None], n)[:, 0] for n in range(3) for block in blocks]).view(3, 2, 2)
        assert bool((hits.amax((0, 2)) >= 0.8).all()), "both blocks are found over the set"
        assert bool((hits[:, :, 0].amax(1) >= 0.8).all()), "each neuron's first channel is one block"
        assert bool((found.kurtosis_[:, 0] > kurtosis(W @ U.T)).all())
        assert float(found.cosine_.min()) > 0.3
        for n in range(3):
            own = int(hits[n, :, 0].argmax())
            masked = (z_scores(found.channels_[n, 0] @ U.T).abs() > 4).nonzero()[:, 0]
            assert int(torch.isin(masked, blocks[own]).sum()) >= len(blocks[own]) / 2
            # By chance a token of the other block lies out there too, as any token may.
            assert int(torch.isin(masked, blocks[1 - own]).sum()) <= 1
            assert int(found.masked_[n, 0]) == len(masked)
