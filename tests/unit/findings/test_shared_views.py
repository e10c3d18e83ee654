"""Views of Validation, the Model page and the token card: parts, controls and numbers are those of the answers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.engine.client import Reply
from analysis.models.capabilities import LoadReport, capabilities
from analysis.models.token_name import TokenName
from analysis.qk.answers.validation import (
    Invariant,
    InvariantTable,
    ToyAttribution,
    ToyInteraction,
    ToyLatent,
    ToyMap,
    ToyOverlap,
    ToyPoint,
    ToySwap,
    ToyTraining,
)
from analysis.qk.toy_settings import ToySettings
from analysis.token_card.answers import (
    ChannelRow,
    LeadingRegionRow,
    Place,
    PromotingFeatureRow,
    RegionRow,
    SubspaceRow,
    TokenCardAnswer,
    TokenContext,
    TokenPart,
    UsedFeatureRow,
)
from analysis.view_ref import QuestionRef
from components.findings.exhibit import plain_figure
from components.frame.model_card import fact_rows, model_report
from components.frame.token_parts import token_parts
from components.kit.part import Table, part_to_dict
from components.kit.view import VIEWS, Drawing, NoOptions, View
from components.qk.validation_figures import toy_interaction, toy_map, toy_spectra, toy_swaps, toy_training
from components.qk.validation_tables import measured_invariants, toy_checks, toy_table
from tests.unit.findings.pinned import pinned
from tests.unit.test_pages import no_attention

ONES, MAP_ROWS = np.ones(3, np.float32), np.zeros((4, 3), np.float32)


def latent(rank: int) -> ToyLatent:
    return ToyLatent(rank, 2, 4, np.array([3.0, 2.0, 0.1], np.float32), 20.0, 0.01, 1.5, 1.5, 0.001)


TOY = ToyTraining(
    ToySettings(n1=2, n2=2, d_head=8), 500, 0, 10_000, 0.975, 0.98, {"z1": latent(2), "z2": latent(3)},
    ToyOverlap(ONES, ONES),
    (ToySwap("none", "none", 0, 0, 0.9, 0.02, 0.9, 0.0), ToySwap("z1+z2", "latent", 4, 1, 0.02, 0.93, 0.0, 0.9),
     ToySwap("random", "random", 4, 8, 0.8, 0.05, 0.8, 0.0)),
    1_000, ToyInteraction(np.eye(4, dtype=np.float32), 0.95, ("a", "b", "c", "d")),
    ToyMap(MAP_ROWS, np.array([0, 0, 1, 1], np.float32), np.array([0, 1, 0, 1], np.float32), ("+", "-"), MAP_ROWS[:2],
           ((0, 1),), ONES / 3),
    ToyAttribution(("z1", "z2", "rest"), ONES, ONES, 3.0, 3.0, 1e-6, 0.99),
    (ToyPoint(1, 2.0, 0.1), ToyPoint(500, 0.1, 0.97)),
    "fast",
)  # fmt: skip
INVARIANTS = InvariantTable(
    (Invariant("additive", 1e-7, 1e-5, 0.3, "no shift", True, 1, 2),
     Invariant("symmetric", 1e-7, 1e-5, 1e-6, "same sign", False, 1, 2),
     Invariant("alone", 1e-7, 1e-5, None, "", True, 1, 2)),
    ("One layer has no attention.",),
)  # fmt: skip
FACTS = replace(
    no_attention(), recording_error=2e-6, attention_layers=[0, 1], proof=["No weight is missing.", "Finite."]
)
HERE = Place("/attention")
NAMED = {"fit": "f", "where": "w", "layer": 12, "link": HERE}
REGION = {**NAMED, "region": 7, "label": "<b>", "theme": "", "purity": 0.5}
FEATURE = {**NAMED, "feature": 9, "label": "names", "how": "", "active": 0.1}
CARD = TokenCardAnswer(
    345, "<b>", (), TokenContext((TokenName(1, "a "), TokenName(345, "<b>")), 4, 5, 30, "t", False, 0), "A remark.",
    (TokenPart("QK subspaces", (SubspaceRow("Induction", 18, 6, 3.1, None, 4, 64, 0.06, 0.4, 0.5, 0.1, 0.2, HERE),),
               "Shares.", HERE),
     TokenPart("Regions", (RegionRow(**REGION, responsibility=0.9, typical=0.5, expected=0.01, second=8,
                                     second_label="y", second_share=0.1, local=0.4, outside=False),
                           LeadingRegionRow(**REGION, why="that lead", rank=2)), "Regions say.", HERE),
     TokenPart("Neuron channels", (ChannelRow(3, "up", 44, 1, 9.0, 4.0, 0.01, 99.0, 0.5, 345, "<b>", True, HERE),),
               "Channels say.", HERE),
     TokenPart("MLP features", (UsedFeatureRow(**FEATURE, value=0.8, share=0.01, expected=0.02),
                                PromotingFeatureRow(**FEATURE, rank=3, value=1.2)), "", HERE),
     TokenPart("Empty", (), "Nothing was fitted.", HERE)),
)  # fmt: skip
REPORT = LoadReport(FACTS, capabilities(FACTS))
DRAWN: list[tuple[View[Any], Any]] = [
    *((view, TOY) for view in (toy_training, toy_spectra, toy_swaps, toy_interaction, toy_map, toy_table)),
    (measured_invariants, INVARIANTS),
    (model_report, REPORT),
    (token_parts, CARD),
]


def draw(view: View[Any], answer: Any) -> Drawing:
    drawing: Drawing = view.draw(answer, NoOptions(), "light")
    return drawing


def test_every_view_of_these_pages_is_here() -> None:
    rooms = ("validation/", "model/", "token-card/")
    assert {view.name for view, _ in DRAWN} == {name for name in VIEWS if name.startswith(rooms)}


@pytest.mark.parametrize(("view", "answer"), DRAWN, ids=[view.name for view, _ in DRAWN])
def test_a_drawing_is_plain_data(view: View[Any], answer: Any) -> None:
    drawing = draw(view, answer)
    parts = [part_to_dict(part) for part in drawing.parts]
    assert json.loads(json.dumps(parts, allow_nan=False)) == json.loads(json.dumps(parts))
    assert parts or (drawing.figure is not None and plain_figure(drawing.figure)["data"])
    assert all(
        isinstance(v, (int, float))
        for v in [*drawing.numbers.values(), *(drawing.control.numbers.values() if drawing.control else ())]
    )


@pytest.mark.parametrize(("view", "answer"), DRAWN, ids=[view.name for view, _ in DRAWN])
def test_a_pin_is_drawn_from_its_kept_answers(view: View[Any], answer: Any, tmp_path: Path) -> None:
    question, one = QuestionRef("Q", {}), draw(view, answer)
    seen, again = pinned(tmp_path, view.ref([question]), [Reply(answer, question)], one)
    assert seen["frozen"] is None and seen["numbers"].items() >= one.numbers.items()
    assert again.caption == one.caption and again.parts == one.parts and again.control == one.control
    assert one.figure is None or plain_figure(again.figure or {}) == plain_figure(one.figure)


def test_a_toy_is_held_against_its_known_answer() -> None:
    controls = {view.name: draw(view, TOY).control for view, answer in DRAWN if answer is TOY}
    ranks, swaps, checks = (controls[f"validation/{n}"] for n in ("spectra", "swaps", "checks"))
    assert controls["validation/training"] is not None and controls["validation/training"].numbers == {"accuracy": 0.98}
    assert ranks is not None and ranks.numbers == {"rank of z1": 2, "rank of z2": 2, "rank of z1, untrained": 4,
                                                   "rank of z2, untrained": 4}  # fmt: skip
    assert draw(toy_spectra, TOY).numbers == {"rank of z1": 2, "rank of z2": 3}
    assert swaps is not None and (swaps.name, swaps.numbers) == ("random subspaces", {"target, rank 4": 0.05})
    assert draw(toy_swaps, TOY).numbers["target, z1 and z2"] == 0.93
    verdicts = [verdict for *_, verdict in toy_checks(TOY)]
    assert checks is not None and checks.numbers == {
        "as expected": verdicts.count(True),
        "known": len(verdicts) - verdicts.count(None),
    }
    assert verdicts.count(False) == 1, "the rank of z2"
    crowded = replace(TOY, settings=ToySettings(n1=6, n2=6, d_head=8), ceiling=None, swaps=TOY.swaps[:2])
    assert [draw(v, crowded).control for v in (toy_interaction, toy_training, toy_swaps)] == [None] * 3


def test_identities_are_held_against_variants_that_break_them() -> None:
    drawing = draw(measured_invariants, INVARIANTS)
    (table,) = drawing.parts
    assert isinstance(table, Table) and table.rows[0][1] == 1e-7 and table.rows[2][4] is None
    assert [row[-1] for row in table.rows] == [
        "holds",
        "not tested: the wrong variant passes too",
        "holds (nothing to tell it from)",
    ]
    assert drawing.control is not None and drawing.control.numbers == {"variants": 2, "variants that fail": 1}
    assert drawing.caption == INVARIANTS.notes[0] and drawing.numbers["identities that hold"] == 2


def test_a_model_is_held_against_its_own_attention() -> None:
    drawing = draw(model_report, REPORT)
    proof, facts, works = drawing.parts
    assert proof.texts[0].text == "No weight is missing.\nFinite." and facts.rows == tuple(fact_rows(FACTS))
    assert [row[0] for row in works.rows] == [row.need for row in REPORT.capabilities]
    assert drawing.control is not None and drawing.control.numbers == {"largest difference": 2e-6}
    assert draw(model_report, LoadReport(no_attention(), ())).control is None


def test_a_token_card_has_each_number_beside_its_null() -> None:
    drawing = draw(token_parts, CARD)
    context, *tables = drawing.parts
    assert context.texts[0].tokens == (("a ", 0.0), ("<b>", 1.0))
    rows = {table.title: dict(zip(table.columns, table.rows[0], strict=True)) for table in tables}
    assert list(rows) == ["QK subspaces", "Regions", "Neuron channels", "MLP features"]
    assert (rows["QK subspaces"]["query"], rows["QK subspaces"]["random subspace"]) == (0.4, 0.06)
    assert rows["QK subspaces"]["relabelled, mean"] is None and rows["Neuron channels"]["p"] == 0.01
    assert (rows["MLP features"]["share of tokens"], rows["MLP features"]["by chance"]) == (0.01, 0.02)
    assert drawing.control is not None and "random subspaces" in drawing.control.text
    assert "A remark." in drawing.caption and "Nothing was fitted." in drawing.caption
    pieces = TokenCardAnswer(None, "", (), text="ab", pieces=(TokenName(1, "a"), TokenName(2, "b")), sentence="Two.")
    assert draw(token_parts, pieces).parts[0].texts[0].text == "ab" and draw(token_parts, pieces).control is None
