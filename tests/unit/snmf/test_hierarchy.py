"""Small concepts merge into larger ones: planted groups are found, and a shared child stays shared."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from analysis.errors import UserError
from analysis.snmf.hierarchy import STARTS, HierarchicalSemiNMF, graph, joint_descent
from analysis.snmf.semi_nmf import SemiNMF

GROUPS, CHILDREN = 4, 3


def families(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens of two of twelve concepts each; three siblings share five core neurons and have three of their own."""
    g = torch.Generator().manual_seed(seed)
    features = torch.zeros(GROUPS * CHILDREN, 240)
    for group in range(GROUPS):
        core = 60 * group + torch.arange(5)
        for child in range(CHILDREN):
            row = features[group * CHILDREN + child]
            row[core] = 1.0
            row[60 * group + 10 + 3 * child + torch.arange(3)] = 1.2
    use = torch.zeros(1500, len(features))
    for row in use:
        row[torch.randperm(len(features), generator=g)[:2]] = 0.5 + torch.rand(2, generator=g)
    return use @ features + 0.01 * torch.randn(1500, 240, generator=g), features


def test_children_come_under_the_right_parent() -> None:
    right = []
    for seed in range(2):
        X, features = families(seed)
        found = HierarchicalSemiNMF((12, 4), sparsity=0.034, random_state=seed, max_iter=300).fit(X)
        truth = (normalize(found.levels_[0].components_, dim=1) @ normalize(features, dim=1).T).argmax(1) // CHILDREN
        parent = found.weights_[0].argmax(0)
        # A parent is named after the group that most of its children are of.
        names = {int(p): int(truth[parent == p].mode().values) for p in parent.unique()}
        right.append(sum(names[int(p)] == int(t) for p, t in zip(parent, truth, strict=True)) / len(truth))
    assert max(right) >= 0.9, right


def test_the_core_belongs_to_all_siblings_and_the_rest_to_one() -> None:
    X, features = families(0)
    found = HierarchicalSemiNMF((12, 4), sparsity=0.04).fit(X).levels_[0].components_
    match = (normalize(features, dim=1) @ normalize(found, dim=1).T).max(1)
    siblings = [i for i in range(3) if match.values[i] > 0.9]
    assert len(siblings) >= 2
    kept = [set((found[match.indices[i]].abs() > 0.1).nonzero()[:, 0].tolist()) for i in siblings]
    shared = set.intersection(*kept)
    assert shared >= set(range(5))
    assert all(k - shared for k in kept)


def test_without_the_core_all_siblings_fall_and_without_its_own_neurons_one() -> None:
    X, features = families(0)
    fitted = HierarchicalSemiNMF((12, 4), sparsity=0.034, random_state=0).fit(X).levels_[0]
    match = (normalize(features, dim=1) @ normalize(fitted.components_, dim=1).T).max(1)
    group = [list(range(3 * i, 3 * i + 3)) for i in range(GROUPS)]
    whole = [g for g in group if bool((match.values[g] > 0.9).all())]
    assert whole, match.values
    first = whole[0][0] // CHILDREN

    def without(neurons: torch.Tensor) -> torch.Tensor:
        """Share of each sibling's activation that is left on the tokens where it was planted alone of its group."""
        tokens = features.clone()
        tokens[:, neurons] = 0
        before, after = fitted.transform(features), fitted.transform(tokens)
        return torch.stack([after[c, match.indices[c]] / before[c, match.indices[c]] for c in whole[0]])

    assert bool((without(60 * first + torch.arange(5)) < 0.8).all())
    left = without(60 * first + 10 + torch.arange(3))
    assert float(left[0]) < 0.6 and bool((left[1:] > 0.95).all())


def test_weights_are_nonnegative_and_concepts_of_tokens_are_their_product() -> None:
    X, _ = families(1)
    found = HierarchicalSemiNMF((8, 4, 2), sparsity=0.05, max_iter=40).fit(X)
    assert [tuple(w.shape) for w in found.weights_] == [(4, 8), (2, 4)]
    assert all(bool((w >= 0).all()) for w in found.weights_)
    whole = found.levels_[0].activations_ @ found.weights_[0].T @ found.weights_[1].T
    assert torch.allclose(found.concept_tokens(2), whole)
    assert torch.equal(found.concept_tokens(0), found.levels_[0].activations_)


def test_fine_tuning_keeps_signs_and_sparsity_and_lowers_the_loss() -> None:
    X, _ = families(2)
    plain = HierarchicalSemiNMF((8, 3), sparsity=0.05, max_iter=40).fit(X)
    tuned = HierarchicalSemiNMF((8, 3), sparsity=0.05, max_iter=40, fine_tune=25).fit(X)
    assert plain.tuned_ is None and tuned.tuned_ is not None and tuned.tuned_[1] < tuned.tuned_[0]
    assert bool((tuned.weights_[0] >= 0).all()) and bool((tuned.levels_[0].activations_ >= 0).all())
    before, after = (m.levels_[-1].components_ != 0 for m in (plain, tuned))
    assert bool((after & ~before).sum() == 0)
    # What is said of the tuned levels is true of them: the loss of the product, unit features, what is explained.
    whole = tuned.concept_tokens(1) @ tuned.levels_[1].components_
    assert float((X - whole).square().sum()) / 2 == pytest.approx(tuned.tuned_[1], rel=1e-4)
    for level, below in zip(tuned.levels_, (X, tuned.levels_[0].components_), strict=True):
        assert torch.allclose(level.components_.norm(dim=1), torch.ones(len(level.components_)), atol=1e-5)
        assert int((level.components_ != 0).sum(1).max()) <= 12
        rest = below - level.activations_ @ level.components_
        assert level.explained_ == pytest.approx(1 - float(rest.square().sum() / below.square().sum()), abs=1e-5)
    assert torch.equal(tuned.levels_[1].activations_.T, tuned.weights_[0])
    assert graph([8, 3], tuned.weights_)["edges"] == tuned.tree()["edges"] != plain.tree()["edges"]


def test_tuning_does_not_see_the_scale_of_the_data() -> None:
    X, _ = families(2)
    one, big = (HierarchicalSemiNMF((6, 3), sparsity=0.05, max_iter=30, fine_tune=10).fit(c * X) for c in (1, 64))
    assert one.tuned_ is not None and big.tuned_ is not None
    fell = [1 - model.tuned_[1] / model.tuned_[0] for model in (one, big)]
    assert fell[0] > 0 and fell[1] == pytest.approx(fell[0], rel=0.02)


def test_tuning_from_the_best_there_is_gives_it_back() -> None:
    g = torch.Generator().manual_seed(0)
    parts = [torch.rand(n, k, generator=g, dtype=torch.float64) for n, k in ((40, 5), (5, 3), (3, 20))]
    X = parts[0] @ parts[1] @ parts[2] + 1e-6  # where a step of Adam is far too long
    before, after, found = joint_descent(X, parts, 15)
    assert after <= before
    assert float((X - found[0] @ found[1] @ found[2]).square().sum()) / 2 == pytest.approx(after, rel=1e-9)


def test_levels_above_the_first_are_the_best_of_several_starts() -> None:
    found = HierarchicalSemiNMF((12, 5), sparsity=0.034, init="random", max_iter=30).fit(families(1)[0])
    data = found.levels_[0].components_
    starts = [
        SemiNMF(5, sparsity=0.034, init="random", max_iter=30, random_state=s).fit(data).explained_
        for s in range(STARTS)
    ]
    assert found.levels_[1].explained_ == pytest.approx(max(starts)) and max(starts) > min(starts) + 1e-3


def test_progress_never_goes_back_and_arrays_are_taken() -> None:
    shares: list[float] = []
    X = families(2)[0][:300].numpy()
    found = HierarchicalSemiNMF((6, 4, 2), sparsity=0.05, max_iter=12).fit(
        X, progress=lambda share, text="", **facts: shares.append(share)
    )
    assert shares == sorted(shares) and 0.9 < shares[-1] <= 1
    with pytest.raises(UserError, match="3 levels"):
        found.concept_tokens(3)


def test_the_graph_keeps_shared_children() -> None:
    weights = torch.tensor([[1.0, 0.5, 0.0, 0.05], [0.0, 2.0, 4.0, 0.0]])
    found = graph([4, 2], [weights], 0.15)
    edges = {(e["parent"], e["child"]): e["weight"] for e in found["edges"]}
    assert edges == {("2:0", "1:0"): 1.0, ("2:0", "1:1"): 0.5, ("2:1", "1:2"): 1.0, ("2:1", "1:1"): 0.5}
    assert found["shared"] == ["1:1"] and len(found["nodes"]) == 6
    assert {e["child"] for e in graph([4, 2], [weights], 0.0)["edges"] if e["parent"] == "2:0"} == {"1:0", "1:1", "1:3"}
    assert len(graph([4, 2], [weights], 0.0, max_children=1)["edges"]) == 2


@pytest.mark.parametrize("ranks", [(), (4, 4), (4, 8)])
def test_levels_must_shrink(ranks: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="fewer features than the one before"):
        HierarchicalSemiNMF(ranks).fit(families(0)[0])
