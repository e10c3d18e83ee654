"""What the Attention page's address holds of drawn cells, pairs and long texts, and what it refuses."""

from __future__ import annotations

import random
from pathlib import Path
from urllib.parse import urlencode

import pytest

from analysis.asker import LOOKING
from analysis.engine.context import Context
from analysis.engine.kept import KeptKeys
from analysis.engine.operation import rebuild
from analysis.errors import UserError
from analysis.findings.texts import MAX_ADDRESS
from analysis.qk.ops.drawn import MOST_CELLS
from analysis.qk.ops.validation import TrainToy
from analysis.view_ref import QuestionRef
from pages import state as codec
from pages.address import recall, remember
from pages.attention import in_link
from pages.attention.cells import read_cells, write_cells
from pages.attention.state import NO_PAIR, AttentionState, cells_text, drawn_cells, pairs_by_hand


def test_cells_survive_and_lines_are_short() -> None:
    draw = random.Random(0)
    for _ in range(60):
        cells = [[draw.randrange(30), draw.randrange(30)] for _ in range(draw.randrange(60))]
        cells += [[q, q - 1] for q in range(5, 5 + draw.randrange(40))] + [[12, k] for k in range(draw.randrange(12))]
        assert read_cells(write_cells(cells)) == sorted(map(list, {tuple(cell) for cell in cells}))
    assert write_cells([(q, q - 1) for q in range(1, 2048)]) == "1.0d2047"
    assert write_cells([(q, 4) for q in range(5, 90)]) == "5.4c85" and write_cells([]) == ""


@pytest.mark.parametrize(
    "text", ["1", "1.2x3", "1.2d", "1.2d0", "1.2d99999", "-1.2", "1.2_2.-3", "9999999.1", "1.0r8000_2.0r8000", "١.٢"]
)
def test_what_are_no_cells_is_refused(text: str) -> None:
    with pytest.raises(UserError):
        read_cells(text)


def test_named_patterns_no_pairs_and_nothing_are_told_apart() -> None:
    assert drawn_cells("previous") is None and drawn_cells("") is None and drawn_cells("3.1") == [[3, 1]]
    assert pairs_by_hand("") is None and pairs_by_hand(NO_PAIR) == [] and pairs_by_hand("0.0d2") == [[0, 0], [1, 1]]
    above = codec.read(AttentionState, {"drawn": "1.2", "pairs": "1.2"})
    assert above.drawn == "" and above.pairs == "1.2" and "after its query" in above.problems[0]
    assert cells_text([[0, 0]] * (MOST_CELLS + 1)) == ""


def test_the_longest_address_of_all_is_short_enough_to_be_pinned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    scattered = write_cells((q, q // 3) for q in range(0, 1500, 3))
    text = "語" * 1_500
    state = AttentionState(text=text, other="é\n" * 800, source="a&b " * 400, pairs=scattered, drawn=scattered)
    query = codec.write(state)
    assert len(urlencode(query)) < MAX_ADDRESS and codec.read(AttentionState, query) == state
    assert remember("語" * 100) == "語" * 100 and remember(text).startswith("@") and recall(remember(text)) == text


def test_a_link_says_what_it_goes_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    cells = [[q, q // 3] for q in range(0, 1500, 3)]
    long = "word " * 400
    held = in_link.hold(long, [], cells, None, "", "text", {"typed": True})
    assert held[0].startswith("@") and held[1] == NO_PAIR and held[2].startswith("@") and held[3:] == ("", "")
    looking = LOOKING.set(True)
    try:
        *entries, said = in_link.hold(long, cells[:3], cells, None, "", "text", {"typed": True})
        assert entries == ["", "0.0_3.1_6.2", "", ""]
        assert (
            said == "The link of this page goes without the other prompt, the drawn pattern: too long for an address."
        )
    finally:
        LOOKING.reset(looking)


def test_a_job_that_was_done_is_known_by_its_key_and_others_by_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    context = Context()
    job = TrainToy(n1=5, n2=3)
    ask = KeptKeys((QuestionRef("TrainToy", job.to_params()), QuestionRef("KeptToy", {})))
    assert ask.run(context).keys == ("", "")
    key = context.key_of(job)
    assert key is not None
    context.store.put(key, rebuild("KeptToy", {}).result(context), {})
    assert ask.run(context).keys == (key, "")
