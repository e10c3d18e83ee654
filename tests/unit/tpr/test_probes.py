"""Probes as functions: both readings agree, changes of basis do not matter, sizes are what the paper counts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from analysis.errors import UserError
from analysis.tpr.probes import LinearProbe, LowRankProbe, Probe, TPRProbe, TrilinearProbe
from analysis.tpr.start import random_parts

D = 24


def drawn(probe: Probe, d: int = D, dtype: torch.dtype = torch.float64) -> Probe:
    """A probe with random tensors, bias included if it has one."""
    parts = random_parts(probe, d, dtype, torch.Generator().manual_seed(3))
    if probe.bias:
        parts["bias"] = torch.randn(3, 64, generator=torch.Generator().manual_seed(4), dtype=dtype)
    return probe.take(parts)


def activations(n: int = 40, d: int = D) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def all_kinds() -> list[Probe]:
    return [
        LinearProbe(),
        LowRankProbe(9),
        TPRProbe(7, 2),
        TPRProbe(5, 4),
        TrilinearProbe(3, 5, 2),
        TPRProbe(6, 2, bias=True),
        TrilinearProbe(4, 2, 3, bias=True),
    ]


@pytest.mark.parametrize("probe", all_kinds(), ids=lambda p: f"{p.kind}{list(p.sizes.values())}{p.bias}")
def test_dot_products_with_the_directions_are_the_logits(probe: Probe) -> None:
    drawn(probe)
    h = activations()
    logits, directions = probe.logits(h), probe.directions()
    assert logits.shape == (40, 64, 3) and directions.shape == (64, 3, D)
    other = torch.einsum("nd,scd->nsc", h, directions)
    if probe.bias:
        assert (other - logits).abs().max() > 0.1
        other = other + probe.bias_.T
    assert (other - logits).abs().max() <= 1e-10 * logits.abs().max()


@pytest.mark.parametrize("probe", [TPRProbe(7, 2), TrilinearProbe(3, 4, 2)], ids=lambda p: p.kind)
def test_unbinding_gives_vectors_whose_dot_products_with_the_fillers_are_the_logits(probe: TPRProbe) -> None:
    drawn(probe)
    h = activations(6).view(2, 3, D)
    binding = probe.binding(h)
    assert binding.shape == (2, 3, probe.roles_.shape[1], 2)
    vectors = probe.unbind(binding)
    assert vectors.shape == (2, 3, 64, 2)
    assert torch.allclose(vectors @ probe.fillers_.T, probe.logits(h.view(6, D)).view(2, 3, 64, 3), atol=1e-12)
    one = probe.unbind(probe.binding(h[0, 0]))
    assert torch.allclose(one, vectors[0, 0], atol=1e-12)
    # The formula of the paper, one square by hand.
    s = 42
    assert torch.allclose(vectors[1, 2, s], binding[1, 2].T @ probe.roles_[s], atol=1e-12)


@pytest.mark.parametrize("which", ["roles", "fillers"])
def test_a_change_of_basis_moves_the_pictures_and_no_logit(which: str) -> None:
    probe = drawn(TPRProbe(7, 2))
    n = 7 if which == "roles" else 2
    change = torch.randn(n, n, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    back = torch.linalg.inv(change)
    parts = dict(probe.parts)
    if which == "roles":
        parts |= {
            "roles": parts["roles"] @ change.T,
            "binding_map": torch.einsum("drf,rq->dqf", parts["binding_map"], back),
        }
    else:
        parts |= {
            "fillers": parts["fillers"] @ change.T,
            "binding_map": torch.einsum("drf,fg->drg", parts["binding_map"], back),
        }
    same = TPRProbe(7, 2).take(parts)
    h = activations()
    assert (same.logits(h) - probe.logits(h)).abs().max() <= 1e-10 * probe.logits(h).abs().max()
    assert (same.directions() - probe.directions()).abs().max() <= 1e-10 * probe.directions().abs().max()
    gram = [torch.nn.functional.normalize(p.parts[which], dim=1) for p in (same, probe)]
    assert (gram[0] @ gram[0].T - gram[1] @ gram[1].T).abs().max() > 0.1


def test_what_all_classes_share_does_not_change_the_probabilities() -> None:
    probe = drawn(LinearProbe())
    h = activations()
    shift = torch.randn(1, 64, D, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    other = LinearProbe().take({"weights": probe.weights_ + shift})
    assert (other.logits(h) - probe.logits(h)).abs().max() > 0.1
    assert torch.allclose(other.probabilities(h), probe.probabilities(h), atol=1e-12)
    assert np.array_equal(other.predict(h), probe.predict(h))


def test_a_trilinear_probe_is_the_bilinear_one_of_outer_products() -> None:
    probe = drawn(TrilinearProbe(3, 5, 2, bias=True))
    h = activations()
    flat = probe.as_bilinear()
    assert isinstance(flat, TPRProbe) and flat.sizes == {"role_dim": 15, "filler_dim": 2}
    kron = torch.stack([torch.kron(probe.row_embeddings_[i], probe.column_embeddings_[j]) for i, j in np.ndindex(8, 8)])
    assert torch.equal(flat.roles_, kron) and torch.equal(probe.roles_, kron)
    assert torch.allclose(flat.logits(h), probe.logits(h), atol=1e-12)
    assert torch.allclose(flat.binding(h), probe.binding(h), atol=1e-12)
    # The paper's sum over row, column and colour coordinates, for one square and class.
    cube = probe.cube(h)
    i, j, c = 2, 6, 1
    by_hand = torch.einsum(
        "nuvf,u,v,f->n", cube, probe.row_embeddings_[i], probe.column_embeddings_[j], probe.fillers_[c]
    )
    assert torch.allclose(probe.logits(h)[:, 8 * i + j, c], by_hand + probe.bias_[c, 8 * i + j], atol=1e-12)


def test_the_rank_of_the_directions_is_bounded_by_the_shape() -> None:
    probe = drawn(TPRProbe(7, 2), d=60)
    directions = probe.directions()
    assert int(torch.linalg.matrix_rank(directions.reshape(192, 60))) == 14
    assert int(torch.linalg.matrix_rank(directions.reshape(64, 180))) == 7
    low = drawn(LowRankProbe(11), d=60)
    assert int(torch.linalg.matrix_rank(low.directions().reshape(192, 60))) == 11


@pytest.mark.parametrize(
    ("probe", "count"),
    [
        (LinearProbe(), 98_304),
        (TPRProbe(16, 8), 66_584),
        (TPRProbe(), 56_582),
        (TPRProbe(56), 60_934),
        (TPRProbe(64), 69_638),
        (TrilinearProbe(), 65_670),
        (TrilinearProbe(6), 49_270),
        (LowRankProbe(), 80 * (512 + 192)),
        (TPRProbe(bias=True), 56_582 + 192),
    ],
)
def test_parameter_counts_are_those_of_the_paper(probe: Probe, count: int) -> None:
    assert probe.parameter_count(512) == count
    drawn(probe)
    assert probe.parameter_count() == sum(value.numel() for value in probe.parts.values())


@pytest.mark.parametrize(
    ("probe", "d"),
    [
        (TPRProbe(5, 2), 7),
        (TPRProbe(3, 5), 6),
        (TrilinearProbe(3, 2, 2), 6),
        (LowRankProbe(4), 7),
        (LinearProbe(bias=True), 3),
    ],
    ids=lambda v: getattr(v, "kind", v),
)
def test_degrees_of_freedom_are_the_rank_of_the_map_from_tensors_to_directions(probe: Probe, d: int) -> None:
    parts = random_parts(probe, d, torch.float64, torch.Generator().manual_seed(0))
    names = list(probe.tensors)

    def directions(*tensors: torch.Tensor) -> torch.Tensor:
        return probe.effective(dict(zip(names, tensors, strict=True))).flatten()

    columns = torch.autograd.functional.jacobian(directions, tuple(parts[name] for name in names))
    rank = int(torch.linalg.matrix_rank(torch.cat([c.flatten(1) for c in columns], 1)))
    assert probe.degrees_of_freedom(d) == rank + (192 if probe.bias else 0)


def test_the_type_follows_the_activations() -> None:
    probe = drawn(TPRProbe(4, 2), dtype=torch.float32)
    h = activations()
    assert probe.logits(h.float()).dtype == probe.logits(h.half()).dtype == torch.float32
    assert probe.logits(h).dtype == probe.binding(h).dtype == torch.float64
    assert probe.logits(h.numpy()).dtype == torch.float64
    assert drawn(TPRProbe(4, 2)).logits(h.float()).dtype == torch.float64


def test_scores_against_a_count_by_hand() -> None:
    probe = drawn(LinearProbe())
    h = activations(50)
    boards = torch.randint(0, 3, (50, 64), generator=torch.Generator().manual_seed(1)).numpy().astype(np.uint8)
    boards[:, 27] = np.where(boards[:, 27] == 0, 1, boards[:, 27])
    found = probe.predict(h)
    assert found.dtype == np.uint8 and np.array_equal(found, probe.logits(h).argmax(-1).numpy())
    right = [sum(int(found[i, s] == boards[i, s]) for i in range(50)) / 50 for s in range(64)]
    assert np.allclose(probe.square_accuracy(h, boards), right)
    assert probe.accuracy(h, boards) == pytest.approx(np.mean(right))
    assert probe.macro_f1(h, boards) == pytest.approx(f1_score(boards.ravel(), found.ravel(), average="macro"))
    with pytest.raises(UserError, match="shape"):
        probe.accuracy(h, boards[:, :60])


@pytest.mark.parametrize("probe", all_kinds(), ids=lambda p: f"{p.kind}{list(p.sizes.values())}{p.bias}")
def test_a_probe_survives_being_kept_as_arrays(probe: Probe) -> None:
    drawn(probe, dtype=torch.float32)
    arrays, settings = probe.to_arrays()
    assert all(a.dtype == np.float32 for a in arrays.values())
    again = Probe.from_arrays(arrays, settings)
    assert type(again) is type(probe) and again.to_arrays()[1] == settings
    h = activations().float()
    assert torch.equal(again.logits(h), probe.logits(h))


def test_arrays_that_are_no_probe_are_refused() -> None:
    arrays, settings = drawn(TPRProbe(4, 2), dtype=torch.float32).to_arrays()
    for wrong, how in (
        ({**arrays, "roles": arrays["roles"][:60]}, settings),
        ({k: v for k, v in arrays.items() if k != "fillers"}, settings),
        ({**arrays, "fillers": np.full_like(arrays["fillers"], np.nan)}, settings),
        ({**arrays, "binding_map": np.float32(1.0)}, settings),
        (arrays, {**settings, "role_dim": 5}),
        (arrays, {**settings, "kind": "quadratic"}),
        (arrays, {**settings, "colour_dim": 5}),
    ):
        with pytest.raises(UserError) as caught:
            Probe.from_arrays(wrong, how)
        assert caught.value.field == "probe"


@pytest.mark.parametrize(
    "make",
    [
        lambda: TPRProbe(65),
        lambda: TPRProbe(0),
        lambda: TPRProbe(2.0),
        lambda: TPRProbe(True),
        lambda: TrilinearProbe(9),
        lambda: LowRankProbe(193),
        lambda: LinearProbe(recipe="slow"),
        lambda: LinearProbe(weight_decay=-1.0),
        lambda: LinearProbe(weight_decay=float("nan")),
        lambda: LinearProbe(max_epochs=0),
    ],
)
def test_settings_that_make_no_probe_are_refused(make: Callable[[], Probe]) -> None:
    probe = make()
    with pytest.raises(UserError) as caught:
        probe.fit(activations(), np.zeros((40, 64), np.uint8))
    assert caught.value.field == "probe" and caught.value.message.endswith((".", "'"))


def test_what_cannot_be_read_is_said() -> None:
    with pytest.raises(UserError, match="width 24"):
        drawn(LinearProbe()).logits(activations(d=25))
