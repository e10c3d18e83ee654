"""A set-up goes into one file and comes back the same, and no bad file gets in."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

from analysis.errors import UserError
from analysis.models.sites import Site
from analysis.steering import (
    Add,
    Clamp,
    Interpolate,
    ProjectOut,
    SteeringSetup,
    check_setup,
    generate_stream,
    load_setup,
    save_setup,
    setup_for,
)
from tests.unit.steering.test_sites import own_tiny
from tests.unit.test_fit import loaded_tiny

A, B = torch.randn(2, 48, generator=torch.Generator().manual_seed(8))
EVERY = (
    Interpolate(Site(1), A, 0.1),
    Add(Site(2), B, -2.5, where="all"),
    Add(Site(3), B, 1 / 3),  # the same vector again
    ProjectOut(Site(1, "mlp_output"), torch.stack([A, B]), where="generated"),
    Clamp(Site(0), A + B, 7.25),
)
SETUP = SteeringSetup(
    "owner/model", "abc", 48, EVERY, "main", "Once upon a time", True, 0.7, 0.9, 2**40, 30, "two regions; ü 🦊"
)
BODY = save_setup(None, SETUP)


def changed(*, arrays: dict[str, Any] | None = None, drop: str = "", **manifest: Any) -> bytes:
    """The bytes of a set-up with something else in its arrays or its manifest."""
    new = {**SETUP.manifest(), **manifest}
    new.pop(drop, None)
    return save(load(BODY) if arrays is None else arrays, {"attune": json.dumps(new)})


def row(index: int, /, **changes: Any) -> list[dict[str, Any]]:
    rows = SETUP.manifest()["interventions"]
    rows[index] |= changes
    return rows  # type: ignore[no-any-return]


def test_a_set_up_comes_back_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "set-up.safetensors"
    assert save_setup(path, SETUP) == path.read_bytes() == BODY and len(list(tmp_path.iterdir())) == 1
    for source in (path, str(path), BODY):
        back = load_setup(source)
        assert back.manifest() == SETUP.manifest() and json.loads(json.dumps(back.manifest())) == back.manifest()
        assert save_setup(None, back) == BODY
        assert torch.equal(back.interventions[0].target, A)  # type: ignore[union-attr]
        assert back.interventions[2].strength == 1 / 3 and back.interventions[3].where == "generated"  # type: ignore[union-attr]


def test_the_text_of_a_set_up_is_reproduced_from_its_file() -> None:
    loaded = own_tiny("llama")
    setup = setup_for(loaded.facts, EVERY, temperature=1.5, seed=11, prompt="x", generate=6)
    back = load_setup(save_setup(None, setup))

    def text(s: SteeringSetup) -> list[int]:
        arguments: dict[str, Any] = {"temperature": s.temperature, "top_p": s.top_p, "seed": s.seed}
        steps = generate_stream(loaded, [5, 9, 30], s.generate, interventions=s.interventions, **arguments)
        return [step.token for step in steps]

    assert text(back) == text(setup) != text(replace(back, interventions=()))
    assert check_setup(back, loaded.facts) == []


def test_damaged_and_foreign_files_are_refused_in_words(tmp_path: Path) -> None:
    other = {**load(BODY), "vectors.1": load(BODY)["vectors.1"] + 1e-3}
    bad: dict[str, bytes] = {
        "not a steering set-up": b"",
        "not a steering set-up of Attune": b"PK\x03\x04" + bytes(60),
        "is not a steering": save({"x": torch.zeros(2)}),
        "another version": changed(format=99),
        "checksum": changed(arrays=other),
        "missing from the file": changed(interventions=row(0, array="vectors.9")),
        "another shape": changed(interventions=row(0, shape=[47])),
        "number type": changed(arrays={**load(BODY), "vectors.0": A.half()}),
        "not a complete": changed(drop="model"),
        "not described": changed(interventions=row(0, kind="train")),
        "no field 'command'": changed(command="run"),
        "cannot be used. The strength": changed(interventions=row(0, number=3.0)),
        "cannot be used. A block": changed(interventions=row(0, site={"layer": -1})),
        "field seed": changed(seed=-1),
        "field top_p": changed(top_p="0.9"),
        "field prompt": changed(prompt=7),
    }
    for words, body in bad.items():
        with pytest.raises(UserError, match=words) as error:
            load_setup(body)
        assert error.value.field == "file"
    for cut in (5, 100, len(BODY) // 2, len(BODY) - 4):
        with pytest.raises(UserError):
            load_setup(BODY[:cut])
    flipped = bytearray(BODY)
    flipped[-3] ^= 1
    with pytest.raises(UserError, match="changed after it was written"):
        load_setup(bytes(flipped))
    with pytest.raises(UserError, match="cannot be read"):
        load_setup(tmp_path / "none")
    with pytest.raises(UserError, match="larger than 50 MB"):
        load_setup(bytes(50_000_001))


def test_values_that_are_not_numbers_do_not_get_in() -> None:
    holed = A.clone()
    holed[0] = torch.inf
    import hashlib

    rows = row(0, sha256=hashlib.sha256(holed.numpy().tobytes()).hexdigest())
    body = changed(arrays={**load(BODY), "vectors.0": holed}, interventions=rows)
    with pytest.raises(UserError, match="not finite"):
        load_setup(body)


def test_a_set_up_for_another_model_is_refused_and_other_weights_are_said() -> None:
    facts = {"fingerprint": "abc", "hidden": 48, "source": "owner/model", "label": "model", "layers": 4}
    assert check_setup(SETUP, facts) == []
    (remark,) = check_setup(SETUP, {**facts, "fingerprint": "def"})
    assert "other weights of owner/model" in remark
    for change, words in (
        ({"hidden": 960}, "owner/model, with 48 numbers per token; the loaded model has 960. Load owner/model on the"),
        ({"source": "owner/other", "label": "other"}, "made for owner/model; the loaded model is other"),
        ({"layers": 3}, "steers block 3; the loaded model has blocks 0 to 2"),
    ):
        with pytest.raises(UserError, match=words) as error:
            check_setup(SETUP, {**facts, "fingerprint": "def", **change})
        assert error.value.field == "file"


def test_a_folder_is_named_by_its_label_and_not_by_its_path() -> None:
    facts = replace(loaded_tiny("llama").facts, source="/some/where/llama-tiny", label="llama-tiny")
    setup = setup_for(facts, EVERY)
    assert setup.model == "llama-tiny" and b"/some" not in save_setup(None, setup)
    assert check_setup(setup, facts) == [] and len(check_setup(setup, replace(facts, fingerprint="x"))) == 1
