"""Edits: the binding changes as asked by the shortest vector, and nothing else is claimed of the probe's logits."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.tpr.edits import (
    EditMap,
    binding_change,
    cross_talk,
    edit_vector,
    least_norm,
    linear_edit,
    random_edit,
    tpr_edit,
    weight_tuples,
    wrong_squares,
)
from analysis.tpr.probes import LinearProbe, TPRProbe, TrilinearProbe

CHANGES = [(10, 1, 2), (20, 2, 0)]


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def tpr(d: int = 40, r: int = 12, seed: int = 0) -> TPRProbe:
    parts = {"binding_map": normal(seed, d, r, 2), "roles": normal(seed + 1, 64, r), "fillers": normal(seed + 2, 3, 2)}
    return TPRProbe(r, 2).take(parts)


def trilinear() -> TrilinearProbe:
    parts = {"binding_map": normal(5, 40, 4, 3, 2), "row_embeddings": normal(6, 8, 4)}
    return TrilinearProbe(4, 3, 2).take(parts | {"column_embeddings": normal(7, 8, 3), "fillers": normal(8, 3, 2)})


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


@pytest.mark.parametrize("weights", [None, (1.0, 0.3)])
def test_the_edit_changes_the_binding_as_asked_and_by_the_shortest_vector(weights: tuple[float, float] | None) -> None:
    probe, h = tpr(), normal(3, 1, 40)
    change = binding_change(probe.roles_, probe.fillers_, CHANGES, weights)
    slow = sum(
        w * probe.roles_[s][:, None] * (probe.fillers_[t] - probe.fillers_[o])[None]
        for w, (s, o, t) in zip(weights or (1.0, 1.0), CHANGES, strict=True)
    )
    assert torch.allclose(change, torch.as_tensor(slow), atol=1e-12)
    g = least_norm(probe.binding_map_, change)
    assert torch.allclose(g, EditMap.of(probe).vector(CHANGES, weights), atol=1e-12)
    assert torch.allclose(probe.binding(h + g)[0] - probe.binding(h)[0], change, atol=1e-9)
    flat = probe.binding_map_.reshape(40, -1)
    other = g + (torch.eye(40).double() - flat @ torch.linalg.pinv(flat)) @ normal(4, 40)
    assert torch.allclose(flat.T @ other, flat.T @ g, atol=1e-9) and other.norm() > g.norm()


@pytest.mark.parametrize("weights", [None, (0.2, 1.0)])
def test_cross_talk_is_the_change_of_the_logits_and_the_gram_formula(weights: tuple[float, float] | None) -> None:
    h = normal(9, 1, 40)
    for probe in (tpr(), trilinear()):
        same = probe.as_bilinear() if isinstance(probe, TrilinearProbe) else probe
        unit = tpr_edit(probe, CHANGES, weights=weights)
        assert unit.norm() == pytest.approx(1)
        talk = cross_talk(probe, CHANGES, 2.5, weights=weights)
        assert torch.allclose(probe.logits(h + 2.5 * unit)[0] - probe.logits(h)[0], talk, atol=1e-9)
        length = EditMap.of(probe).vector(CHANGES, weights).norm()
        roles, fillers = same.roles_, same.fillers_
        gram = torch.zeros(64, 3).double()
        for w, (s, o, t) in zip(weights or (1.0, 1.0), CHANGES, strict=True):
            gram += 2.5 / length * w * torch.outer(roles @ roles[s], fillers @ (fillers[t] - fillers[o]))
        assert torch.allclose(talk, gram, atol=1e-9)


def test_cross_talk_is_right_where_the_map_cannot_make_every_change() -> None:
    # Width 20 under 24 numbers of the binding: the wanted change is out of reach, the predicted one must still happen.
    probe, h = tpr(d=20), normal(9, 1, 20)
    unit = tpr_edit(probe, CHANGES)
    assert torch.allclose(probe.logits(h + unit)[0] - probe.logits(h)[0], cross_talk(probe, CHANGES), atol=1e-9)


def test_a_tolerance_keeps_the_edit_out_of_directions_that_the_probe_hardly_reads() -> None:
    u, _ = torch.linalg.qr(normal(1, 40, 24))
    v, _ = torch.linalg.qr(normal(2, 24, 24))
    sizes = torch.ones(24).double()
    sizes[-1] = 1e-4
    probe = tpr()
    probe.take({**probe.parts, "binding_map": (u * sizes @ v.T).view(40, 12, 2)})
    change = binding_change(probe.roles_, probe.fillers_, CHANGES)
    plain, cut = least_norm(probe.binding_map_, change), least_norm(probe.binding_map_, change, rtol=1e-2)
    weak = u[:, -1]
    assert abs(plain @ weak) / plain.norm() > 0.9 and abs(cut @ weak) < 1e-9
    assert torch.allclose(cut, plain - weak * (plain @ weak), atol=1e-6)
    assert torch.allclose(tpr_edit(probe, CHANGES, rtol=1e-2), cut / cut.norm(), atol=1e-9)


def test_a_map_is_found_once_and_again_after_another_fit() -> None:
    probe = tpr()
    first = EditMap.of(probe)
    assert EditMap.of(probe) is first and EditMap.of(probe, 0.1) is not first
    probe.take(tpr(seed=50).parts)
    assert torch.equal(EditMap.of(probe).vector(CHANGES), EditMap.of(tpr(seed=50)).vector(CHANGES))


def test_linear_edits_add_unit_directions() -> None:
    w = normal(0, 64, 3, 16)
    slow = w[10, 2] / w[10, 2].norm() + w[20, 0] / w[20, 0].norm()
    assert torch.allclose(linear_edit(w, CHANGES), slow)
    heavy = 0.5 * w[10, 2] / w[10, 2].norm() + 2 * w[20, 0] / w[20, 0].norm()
    assert torch.allclose(linear_edit(w, CHANGES, weights=(0.5, 2)), heavy)
    minus = linear_edit(w, CHANGES[:1], minus=True)
    assert torch.allclose(minus, (w[10, 2] - w[10, 1]) / (w[10, 2] - w[10, 1]).norm())


def test_centred_edits_do_not_notice_what_the_softmax_does_not() -> None:
    w = normal(0, 64, 3, 16)
    shifted = w + normal(1, 64, 1, 16)
    assert torch.allclose(linear_edit(w, CHANGES, centred=True), linear_edit(shifted, CHANGES, centred=True))
    assert not torch.allclose(linear_edit(w, CHANGES), linear_edit(shifted, CHANGES), atol=0.1)
    both = [linear_edit(w, CHANGES, minus=True, centred=c) for c in (False, True)]
    assert torch.allclose(*both)


def test_controls_have_the_length_of_an_edit_and_other_squares() -> None:
    draw = generator()
    assert random_edit(30, draw).norm() == pytest.approx(1, abs=1e-5)
    classes = [0] * 64
    classes[10] = classes[11] = 1
    classes[20] = classes[21] = classes[22] = 2
    found = wrong_squares(classes, CHANGES, draw)
    assert found[0] == (11, 1, 2) and found[1][0] in (21, 22) and found[1][1:] == (2, 0)
    with pytest.raises(UserError, match="no other square"):
        wrong_squares([0] * 64, CHANGES, draw)


def test_weights_stay_with_their_changes_on_wrong_squares() -> None:
    classes = [0] * 64
    classes[10] = 1  # the only disc of its class: the first change has nowhere else to go
    classes[20] = classes[21] = classes[30] = classes[31] = 2
    probe, three = tpr(), [*CHANGES, (30, 2, 1)]
    squares = wrong_squares(classes, three, generator())
    assert sorted(s for s, _, _ in squares) == [21, 31]
    made = edit_vector("wrong-square", probe, three, classes, generator(), (1.0, 0.25, 0.75))
    assert torch.allclose(made, tpr_edit(probe, squares, weights=(0.25, 0.75)))
    classes[11] = 1
    squares = wrong_squares(classes, CHANGES, generator())
    made = edit_vector("wrong-square", probe, CHANGES, classes, generator(), (1.0, 0.25))
    assert torch.allclose(made, tpr_edit(probe, squares, weights=(1.0, 0.25)))


def test_methods_give_their_own_edits() -> None:
    probe, linear = tpr(), LinearProbe().take({"weights": normal(4, 3, 64, 40)})
    classes = [1] * 64
    for method, bound in (("tpr", probe), ("trilinear", trilinear())):
        made = edit_vector(method, bound, CHANGES, classes, generator())
        assert torch.equal(made, tpr_edit(bound, CHANGES))
    for method, minus in (("linear", False), ("linear-minus", True)):
        made = edit_vector(method, linear, CHANGES, classes, generator())
        assert torch.equal(made, linear_edit(linear.directions(), CHANGES, minus=minus))
    made = edit_vector("random", probe, CHANGES, classes, generator())
    assert torch.equal(made, random_edit(40, generator())) and made.norm() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("squares", "wanted"), [(1, 1), (2, 63), (3, 841), (4, 9279)])
def test_weight_tuples_are_as_many_as_in_the_papers_code(squares: int, wanted: int) -> None:
    found = weight_tuples(squares)
    assert len(found) == len(set(found)) == wanted and found[0] == (1.0,) * squares
    assert all(max(t) == 1 and min(t) > 0 for t in found)
    if squares == 2:
        slow = {round(a / b, 9) for a, b in itertools.product(range(1, 11), repeat=2)}
        assert {round(a / b, 9) for a, b in found} == slow


def test_what_cannot_be_edited_is_said() -> None:
    probe, linear, classes = tpr(), LinearProbe().take({"weights": normal(4, 3, 64, 40)}), [1] * 64
    for wrong, sentence in (
        (lambda: edit_vector("tpr", linear, CHANGES, classes, generator()), "Only a TPR"),
        (lambda: edit_vector("magic", linear, CHANGES, classes, generator()), "no method"),
        (lambda: edit_vector("tpr", probe, [], classes, generator()), "at least one square"),
        (lambda: edit_vector("tpr", probe, [(64, 1, 2)], classes, generator()), "0 to 63"),
        (lambda: tpr_edit(probe, [(3, 1, 1)]), "changes nothing"),
        (lambda: linear_edit(linear.directions(), [(3, 1, 1)], minus=True), "changes nothing"),
        (lambda: tpr_edit(probe, CHANGES, weights=(1.0,)), "as many weights"),
        (lambda: weight_tuples(5), "One to four"),
    ):
        with pytest.raises(UserError, match=sentence):
            wrong()
