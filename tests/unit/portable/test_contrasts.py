"""A fitted contrast out of the result store of one machine into the page of another, where nothing was fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.engine.context import Context
from analysis.errors import UserError
from analysis.models.spec import ModelSpec
from analysis.portable.ops.files import ListShelf, OpenArtefact, SaveArtefact, SavePack, new_place, waiting
from analysis.qk.ops.features import FeatureScores, FeatureStatus, FitContrast
from tests.unit.test_operations import FEATURE, context_at


def carried(context: Context, question: SaveArtefact | SavePack) -> str:
    """The token of a file that was saved by one context and waits to be opened by another."""
    body = waiting("outgoing", question.run(context).token).read_bytes()
    place = new_place("incoming")
    place.write_bytes(body)
    return place.name


@pytest.mark.parametrize("packed", [False, True])
def test_it_stands_in_for_a_fit(packed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path / "home"))
    first, second = context_at(tmp_path / "first"), context_at(tmp_path / "second")
    model, status = ModelSpec(), FeatureStatus(features=(FEATURE,))
    saving = SavePack(model) if packed else SaveArtefact(model, "contrast", contrast=FEATURE)
    with pytest.raises(UserError, match="nothing to pack" if packed else "has not been fitted on this model yet"):
        saving.run(first)
    first.perform(FitContrast(contrast=FEATURE))
    file = carried(first, saving)
    assert ListShelf(model).run(second).rows == () and status.run(second).fitted == (False,)
    with pytest.raises(UserError, match="Press Fit"):
        second.perform(FeatureScores(contrast=FEATURE))
    opened = OpenArtefact(model, file).run(second)
    assert opened.artefacts[0].ours and opened.artefacts[0].contrast == FEATURE.to_dict()
    assert status.run(second).fitted == (True,)
    before, after = (context.perform(FeatureScores(contrast=FEATURE)) for context in (first, second))
    assert before.data == after.data and before.arrays.keys() == after.arrays.keys()
    assert all(np.array_equal(before.arrays[n], after.arrays[n], equal_nan=True) for n in before.arrays)
