"""The habits that all fits have in common: those of scikit-learn's estimators."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from analysis.errors import Cancelled
from analysis.mfa import MixtureOfFactorAnalyzers
from analysis.rotate.channels import VocabularyChannels
from analysis.snmf.hierarchy import HierarchicalSemiNMF
from analysis.snmf.semi_nmf import SemiNMF
from analysis.tpr.probes import LinearProbe, LowRankProbe, TPRProbe, TrilinearProbe

X = torch.randn(240, 12, generator=torch.Generator().manual_seed(1))
BOARDS = torch.randint(0, 3, (240, 64), generator=torch.Generator().manual_seed(2)).to(torch.uint8)
PROJECTION = torch.randn(300, 12, generator=torch.Generator().manual_seed(3))

Asked = Callable[[Any], Any]
ESTIMATORS: list[tuple[Any, tuple[Any, ...], dict[str, Any], Asked | None]] = [
    (MixtureOfFactorAnalyzers(3, 2, max_iter=3), (X,), {"n_components": 2, "tol": 0.1}, lambda m: m.predict(X)),
    (SemiNMF(4, sparsity=0.5, max_iter=9), (X.abs(),), {"n_components": 3, "max_iter": 7}, lambda m: m.transform(X)),
    (HierarchicalSemiNMF((4, 2), sparsity=0.5, max_iter=6), (X.abs(),), {"ranks": (5, 3)}, lambda m: m.tree()),
    (VocabularyChannels(2, starts=1), (X[:3], PROJECTION), {"mask_z": 3.0, "n_channels": 1}, None),
    (LinearProbe(max_epochs=2), (X, BOARDS), {"bias": True}, lambda m: m.predict(X)),
    (LowRankProbe(5, max_epochs=2), (X, BOARDS), {"rank": 4}, lambda m: m.predict(X)),
    (TPRProbe(6, 2, max_epochs=2), (X, BOARDS), {"role_dim": 5}, lambda m: m.predict(X)),
    (TrilinearProbe(3, 3, 2, max_epochs=2), (X, BOARDS), {"row_dim": 2}, lambda m: m.predict(X)),
]
"""Each with data to fit, other settings, and a question that needs a fit."""
each = pytest.mark.parametrize(
    ("made", "data", "other", "ask"), ESTIMATORS, ids=[type(m).__name__ for m, *_ in ESTIMATORS]
)


@each
def test_settings_are_plain_taken_as_they_come_and_survive_a_clone(
    made: Any, data: tuple[Any, ...], other: dict[str, Any], ask: Asked | None
) -> None:
    assert isinstance(made, BaseEstimator)
    names = list(inspect.signature(type(made).__init__).parameters)[1:]
    assert sorted(names) == sorted(made.get_params()) and "callback" not in names
    odd = {name: object() for name in names}  # whatever it is: it is looked at when a fit begins
    assert type(made)(**odd).get_params() == odd
    twin = clone(made)
    assert twin is not made and twin.get_params() == made.get_params() and type(made).__name__ in repr(made)
    assert twin.set_params(**other) is twin
    assert twin.get_params() == {**made.get_params(), **other} != made.get_params()
    with pytest.raises(ValueError, match="n_clusters"):
        twin.set_params(n_clusters=3)


@each
def test_a_fit_returns_itself_changes_no_setting_and_leaves_learned_attributes(
    made: Any, data: tuple[Any, ...], other: dict[str, Any], ask: Asked | None
) -> None:
    fresh = clone(made)
    with pytest.raises(NotFittedError):
        check_is_fitted(fresh)
    if ask is not None:
        with pytest.raises(NotFittedError):
            ask(fresh)
    assert not [name for name in vars(fresh) if name.endswith("_")]
    before = [part.clone() for part in data]
    assert fresh.fit(*data) is fresh and fresh.get_params() == made.get_params()
    assert all(torch.equal(a, b) for a, b in zip(before, data, strict=True))
    check_is_fitted(fresh)
    assert fresh.n_features_in_ == data[0].shape[1]
    if ask is not None:
        ask(fresh)
    with pytest.raises(NotFittedError):
        check_is_fitted(clone(fresh))
    assert list(inspect.signature(type(made).fit).parameters)[1] == "X"


def learned(fitted: Any) -> dict[str, np.ndarray]:
    """The learned arrays and tensors of an estimator by name, those in lists numbered."""
    lists = {name: value if isinstance(value, list) else [value] for name, value in vars(fitted).items()}
    return {
        f"{name}{n}": np.asarray(one)
        for name, values in lists.items()
        for n, one in enumerate(values)
        if name.endswith("_") and isinstance(one, torch.Tensor | np.ndarray)
    }


@each
def test_equal_settings_give_an_equal_fit_from_arrays_too(
    made: Any, data: tuple[Any, ...], other: dict[str, Any], ask: Asked | None
) -> None:
    first, second = clone(made).fit(*data), clone(made).fit(*(part.numpy() for part in data))
    assert learned(first).keys() == learned(second).keys() != set()
    for name, value in learned(first).items():
        assert np.allclose(value, learned(second)[name], atol=1e-5), name


@each
def test_progress_is_told_and_ends_the_fit(
    made: Any, data: tuple[Any, ...], other: dict[str, Any], ask: Asked | None
) -> None:
    told: list[float | None] = []

    def progress(share: float | None, text: str = "", **facts: Any) -> None:
        assert text
        told.append(share)

    clone(made).fit(*data, progress=progress)
    assert told and all(share is None or 0 <= share <= 1 for share in told)

    def stop(share: float | None, text: str = "", **facts: Any) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        clone(made).fit(*data, progress=stop)


def test_names_of_estimators_cost_no_scikit_learn_until_they_are_used() -> None:
    code = "import sys, analysis.mfa, analysis.snmf, analysis.tpr, analysis.rotate; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
