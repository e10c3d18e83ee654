"""What the Validation page opens with: it says where it comes from, and belongs to the weights that it was made on."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from analysis.engine.context import Context
from analysis.errors import UserError
from analysis.qk.kept import BUNDLED, kept_invariants
from analysis.qk.ops.validation import KeptInvariants, KeptToy, TrainToy
from analysis.rotate.library import BUNDLED as NEURONS
from components.kit.view import NoOptions
from components.qk.validation_tables import measured_invariants, toy_checks, toy_table


def test_the_toy_is_that_of_the_form_and_says_that_it_was_not_trained_here() -> None:
    toy = KeptToy().run(Context())
    form, settings = asdict(TrainToy()), asdict(toy.settings)
    assert all(settings[name] == form[name] for name in ("n1", "n2", "d_head", "task", "seed"))
    assert toy.recipe == form["recipe"] and toy.curve[-1].step == toy.steps
    assert all(verdict is not False for *_, verdict in toy_checks(toy))
    assert "not in this session" in toy_table(toy, NoOptions(), "light").caption


def test_the_identities_are_the_default_models_and_no_others() -> None:
    of = json.loads(BUNDLED.with_suffix(".json").read_text(encoding="utf-8"))["model"]
    assert of["fingerprint"] == json.loads(NEURONS.with_suffix(".json").read_text(encoding="utf-8"))["fingerprint"]
    table = KeptInvariants().run(Context())  # the model is not loaded: its name has to do
    assert table == kept_invariants("/somewhere", of["fingerprint"], "a copy of it")
    assert all(row.holds for row in table.invariants) and "not in this session" in table.notes[-1]
    assert measured_invariants(table, NoOptions(), "light").caption.endswith(table.notes[-1])
    for source, fingerprint in (("owner/name", None), ("default", "f" * 64)):
        with pytest.raises(UserError, match="have not been measured on that one yet"):
            kept_invariants(source, fingerprint, "that one")
