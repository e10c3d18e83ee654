"""The contrasts that come fitted: whole, of the default model, and those with which the Attention page opens."""

from __future__ import annotations

import pytest

from analysis.engine.memory import Memory
from analysis.qk.build import FITTED
from analysis.qk.contrasts.spec import ContrastSpec
from analysis.qk.library import CONTRASTS, contrast_entry
from analysis.qk.ops.features import FitContrast
from analysis.shelf import DATA, Entry, read_manifest
from pages.attention.state import AttentionState


def bundled() -> dict[str, Entry]:
    return {e.manifest["contrast"]["kind"]: e for e in CONTRASTS.entries() if e.bundled}


def test_those_of_the_page_are_among_them() -> None:
    assert set(bundled()) == set(FITTED)
    weights = read_manifest(DATA / "regions" / "block-10")["fingerprint"]
    for feature in AttentionState().features:
        usual = FitContrast(contrast=ContrastSpec.from_dict(feature))
        entry = contrast_entry(weights, usual.contrast, usual.rotary, usual.permutations)
        assert entry is not None and entry.bundled


@pytest.mark.parametrize("kind", FITTED)
def test_each_is_whole(kind: str) -> None:
    entry = bundled()[kind]
    assert ContrastSpec.from_dict(entry.manifest["contrast"]) == ContrastSpec(kind)
    assert sum(path.stat().st_size for path in entry.path.parent.glob(entry.path.name + ".*")) < 7_000_000
    fit = CONTRASTS.open(Memory(10**9), entry.path)
    assert (
        fit.trace.shape == (30, 9) and fit.null_trace.shape[2] == FitContrast(contrast=ContrastSpec(kind)).permutations
    )
    # The kept covariances are those of the trace that was measured in full precision.
    assert (fit.trace > fit.null_trace.max(-1)).sum() > 20, "heads beyond the null"
