"""Known answers: a teacher whose roles are known is found again, codes of real boards are read (dossier 8.2, 8.3)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from analysis.othello.games import board_labels
from analysis.tpr.activations import whole_games
from analysis.tpr.codes import encode, iid_boards, random_codes
from analysis.tpr.directions import cosines
from analysis.tpr.gauge import subspace_cosines
from analysis.tpr.library import make_probe
from analysis.tpr.probes import TPRProbe

D, R = 48, 10


@pytest.fixture(scope="module")
def teacher() -> tuple[TPRProbe, Tensor, Tensor]:
    """A teacher with ten roles, activations, and labels drawn from its softmax; logits of deviation 6."""
    draw = torch.Generator().manual_seed(0)
    parts = {
        "binding_map": torch.randn(D, R, 2, generator=draw, dtype=torch.float64),
        "roles": torch.randn(64, R, generator=draw, dtype=torch.float64),
        "fillers": torch.randn(3, 2, generator=draw, dtype=torch.float64),
    }
    probe = TPRProbe(R, 2).take(parts)
    h = torch.randn(8000, D, generator=draw, dtype=torch.float64)
    probe.take({**parts, "binding_map": parts["binding_map"] * 6 / probe.logits(h).std()})
    shares = probe.probabilities(h).reshape(-1, 3)
    labels = torch.multinomial(shares, 1, generator=draw).reshape(-1, 64)
    return probe, h, labels


def divergence(teacher: TPRProbe, student: TPRProbe) -> float:
    h = torch.randn(1500, D, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    p, q = teacher.logits(h).log_softmax(-1), student.logits(h).log_softmax(-1)
    return float((p.exp() * (p - q)).sum(-1).mean())


def test_the_teacher_is_found_at_its_own_size_and_not_below(teacher: tuple[TPRProbe, Tensor, Tensor]) -> None:
    probe, h, labels = teacher
    found = {r: TPRProbe(r, 2, random_state=1).fit(h, labels) for r in (6, R, 12)}
    lost = {r: divergence(probe, student) for r, student in found.items()}
    alike = cosines(probe.directions(), found[R].directions())
    assert alike.mean() > 0.995 and alike.min() > 0.98
    assert subspace_cosines(probe.roles_.numpy(), found[R].roles_.numpy()).min() > 0.99
    centred = [d - d.mean(1, keepdim=True) for d in (probe.directions(), found[R].directions())]
    assert float((centred[0] * centred[1]).sum() / (centred[0] ** 2).sum()) == pytest.approx(1, abs=0.05)
    assert lost[R] < 0.01 and lost[6] > 10 * lost[R] and lost[12] > 0.8 * lost[R]


def test_codes_of_real_boards_are_read() -> None:
    codes = random_codes(256, 1)
    train, test = (board_labels(whole_games(n, seed)).reshape(-1, 64) for n, seed in ((250, 1), (40, 2)))
    h, g = encode(train, codes, noise=0.5, random_state=0), encode(test, codes, noise=0.5, random_state=1)
    found = {kind: make_probe(kind).fit(h, train).accuracy(g, test) for kind in ("linear", "tpr")}
    assert found["linear"] > 0.999 and found["tpr"] > 0.985
    noisy = encode(test, codes, noise=8.0, random_state=1)
    assert (
        make_probe("linear").fit(encode(train, codes, noise=8.0), train).accuracy(noisy, test) < found["linear"] - 0.01
    )
    iid = iid_boards(len(train), 3)
    shown = make_probe("tpr").fit(encode(iid, codes, noise=0.5), iid)
    fresh = iid_boards(2000, 4)
    assert shown.accuracy(encode(fresh, codes, noise=0.5, random_state=2), fresh) > 0.9
    assert np.isfinite(shown.directions().numpy()).all()
