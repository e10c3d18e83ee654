"""A set-up opens where its fit is not: its regions travel in its file, and steer as they did, number for number."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from analysis import shelf as shelves
from analysis.errors import UserError
from analysis.mfa.library import REGION_SETS, RegionSet, save_fit
from analysis.mfa.part import keep_part, part_in, part_of, regions_of, with_part
from analysis.mfa.settings import GateSetting, RegionSetting, SteeringSettings
from analysis.mfa.steering import interventions_of
from analysis.steering import SteeringSetup, load_setup, save_setup

REGIONS = (RegionSetting(4, 0.5, (1.0, -2.0)), RegionSetting(1, 0.25))


def whole() -> RegionSet:
    """A fit of six regions, kept in the data folder: a part of a bundled one, which is quicker to rotate."""
    fit = part_of(REGION_SETS.read(REGION_SETS.bundled / "block-15"), [3, 9, 40, 7, 11, 100])
    fit.name = "six"
    save_fit(fit, [])
    return REGION_SETS.read(REGION_SETS.own() / "six")


def setup_file(fit: RegionSet, steer: SteeringSettings) -> bytes:
    """The file of a set-up with the part of its fit, as the page saves it."""
    setup = SteeringSetup("default", fit.manifest["fingerprint"], 576, tuple(interventions_of(steer, fit)))
    return with_part(save_setup(None, setup), part_of(fit, regions_of(steer)))


def kept(body: bytes, steer: SteeringSettings, fingerprint: str) -> SteeringSettings | None:
    """The set-up on the part that came with it."""
    part = part_in(body)
    return None if part is None else keep_part(part, steer, fingerprint)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Changes to an empty data folder, where nothing comes with Attune."""

    def change() -> None:
        monkeypatch.setenv("ATTUNE_HOME", str(tmp_path / "other"))
        monkeypatch.setattr(shelves, "DATA", tmp_path / "nothing")

    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path / "home"))
    return change


@pytest.mark.parametrize("mode", ["interpolate", "add", "project_out", "clamp"])
@pytest.mark.parametrize("rotation", ["principal", "varimax"])
def test_its_regions_come_with_it_and_steer_as_they_did(
    mode: str, rotation: str, elsewhere: Callable[[], None]
) -> None:
    fit = whole()
    steer = SteeringSettings("six", REGIONS, mode, rotation=rotation)
    body = setup_file(fit, steer)
    before = interventions_of(steer, fit)
    elsewhere()
    brought = kept(body, steer, fit.manifest["fingerprint"])
    assert brought is not None and brought.fit.startswith("six-part-")
    assert [r.region for r in brought.regions] == [0, 1] and brought.mode == mode
    part = REGION_SETS.read(REGION_SETS.own() / brought.fit)
    after = interventions_of(brought, part)
    assert len(after) == len(before) == len(load_setup(body).interventions)
    for one, other in zip(before, after, strict=True):
        assert type(one) is type(other) and one.site == other.site
        for name, value in vars(one).items():
            same = torch.allclose(value, vars(other)[name], atol=1e-4) if isinstance(value, torch.Tensor) else True
            assert same, (mode, name)
    assert part.rows()[0].label == fit.label(4) and "out of the 6 of the fit “six”" in part.facts().caption
    assert kept(body, steer, fit.manifest["fingerprint"]) == brought  # again: it is there
    assert len(list(REGION_SETS.own().glob("*.json"))) == 1


def changed(body: bytes, change: Callable[[dict[str, object]], object]) -> bytes:
    """The file with another header."""
    size = int.from_bytes(body[:8], "little")
    header = json.loads(body[8 : 8 + size])
    manifest = json.loads(header["__metadata__"]["attune_fit"])
    change(manifest)
    header["__metadata__"]["attune_fit"] = json.dumps(manifest)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body[8 + size :]


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(name="../../evil-part-1"),
        lambda m: m.update(sha256="0" * 64),
        lambda m: m.update(part_of=3),
        lambda m: m.update(part_of={"regions": [7, 8]}),
        lambda m: m.update(regions=m["regions"][:1]),
        lambda m: m.update(K=70_000),
    ],
)
def test_a_part_that_was_changed_is_refused(change: Callable[..., object], elsewhere: Callable[[], None]) -> None:
    fit = whole()
    steer = SteeringSettings("six", REGIONS)
    body = changed(setup_file(fit, steer), change)
    elsewhere()
    with pytest.raises(UserError, match="The regions that came with this set-up cannot be read"):
        kept(body, steer, fit.manifest["fingerprint"])
    assert not list(REGION_SETS.own().iterdir())


def test_a_file_without_a_part_or_of_other_weights_brings_nothing(elsewhere: Callable[[], None]) -> None:
    fit = whole()
    steer = SteeringSettings("six", REGIONS)
    setup = SteeringSetup("default", "0" * 20, 576, tuple(interventions_of(steer, fit)))
    assert kept(save_setup(None, setup), steer, fit.manifest["fingerprint"]) is None
    assert kept(setup_file(fit, steer), steer, "0" * 20) is None


def test_a_gate_reads_the_same_region_in_the_part(elsewhere: Callable[[], None]) -> None:
    fit = whole()
    steer = SteeringSettings("six", REGIONS, gate=GateSetting("projection", 0, "below", 0.3))
    body = setup_file(fit, steer)
    before = interventions_of(steer, fit)[0].gate
    elsewhere()
    brought = kept(body, steer, fit.manifest["fingerprint"])
    assert brought is not None and brought.gate == GateSetting("projection", 2, "below", 0.3)
    assert [r.region for r in brought.regions] == [0, 1], "region 0 of the fit is the third of the part"
    after = interventions_of(brought, REGION_SETS.read(REGION_SETS.own() / brought.fit))[0].gate
    x = torch.randn(5, 576, generator=torch.Generator().manual_seed(0))
    assert before is not None and before.reading is not None and after is not None and after.reading is not None
    assert torch.allclose(before.reading.values(x), after.reading.values(x), atol=1e-5)


def test_how_far_a_region_is_responsible_cannot_be_told_from_a_part(elsewhere: Callable[[], None]) -> None:
    fit = whole()
    steer = SteeringSettings("six", REGIONS, gate=GateSetting("responsibility", 4))
    body = setup_file(fit, steer)
    elsewhere()
    with pytest.raises(UserError, match="among all of its regions"):
        kept(body, steer, fit.manifest["fingerprint"])
