"""The ladder of strengths as it leaves the page: texts, numbers, what is not reached, and older texts refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.errors import UserError
from analysis.mfa.answers.steering import Ladder, Rung
from analysis.steering.answers import WrittenText
from components.kit.part import Table, Texts
from components.mfa.ladder import LadderOptions, digest_of_ladder, ladder_parts, ladder_table, limit_of


def text(*ids: int, kl: float = 0.0) -> WrittenText:
    labels = tuple(f"t{i}" for i in ids)
    return WrittenText(ids, " ".join(labels), labels, (kl,) * len(ids), (1.0,) * len(ids), kl, 2.5, 0.25)


LADDER = Ladder(
    7, "wine", text(1, 2), 0.01,
    (Rung(0.2, 0.05, 0.05, True, text(1, 3, kl=0.75), 0.1), Rung(1.0, 0.1, 0.08, False, text(4, kl=3.0), 0.6)),
    9.0, "2 texts.", True,
)  # fmt: skip


def test_texts_and_numbers_stand_side_by_side() -> None:
    drawing = ladder_parts.draw(LADDER, LadderOptions("A prompt"), "light")
    texts, table = drawing.parts
    assert isinstance(texts, Texts) and isinstance(table, Table)
    assert [t.title for t in texts.texts] == [
        "Unsteered", "Strength 0.2: KL 0.05", "Strength 1: KL 0.08, 0.1 is not reached",
    ]  # fmt: skip
    assert [shade for _, shade in texts.texts[1].tokens] == [0.5, 0.5] and texts.texts[2].tokens[0][1] == 1.0
    assert table.rows[:2] == ((0.0, 0.0, 0.0, 2.5, 0.25, 0.01), (0.2, 0.05, 0.75, 2.5, 0.25, 0.1))
    assert table.rows[2] == (1.0, 0.08, 3.0, 2.5, 0.25, 0.6)
    assert drawing.control and "1.0%" in drawing.control.text and "60.0%" in drawing.control.text
    assert drawing.numbers["largest strength"] == 1.0
    assert "0.080 (not 0.1)" in str(ladder_table(LADDER)) and "unsteered" in str(ladder_table(LADDER))


def test_other_texts_than_those_on_the_screen_are_refused() -> None:
    options = LadderOptions("A prompt", digest_of_ladder(LADDER))
    assert ladder_parts.draw(LADDER, options, "dark").parts
    other = replace(LADDER, base=text(9))
    with pytest.raises(UserError, match="other texts"):
        ladder_parts.draw(other, options, "dark")


def at(strength: float, perplexity: float | None) -> Rung:
    return Rung(strength, None, 0.1, True, replace(text(1), perplexity=perplexity), 0.1)


def test_the_limit_is_the_last_strength_before_the_first_text_that_breaks() -> None:
    ladder = replace(LADDER, rungs=(at(0.6, 5.0), at(0.2, 3.0), at(0.4, 4.9), at(0.8, 3.0)))  # unsteered: 2.5
    limit = limit_of(ladder)
    assert (limit.strength, limit.breaks) == (0.4, 0.6), "what comes after a broken text does not count"
    assert "0.4 still speaks well: perplexity 4.9" in limit.sentence and "at 0.6 it breaks: 5.0" in limit.sentence
    first = limit_of(replace(ladder, rungs=(at(0.2, None), at(0.4, 3.0))))
    assert (first.strength, first.breaks) == (None, 0.2) and first.sentence.startswith("At 0.2 it breaks: none")
    none = limit_of(replace(ladder, rungs=(at(0.2, 3.0), at(1.0, 4.0))))
    assert (none.strength, none.breaks) == (1.0, None) and "breaks" not in none.sentence.split("(")[0]
    assert limit_of(replace(ladder, base=replace(ladder.base, perplexity=None))).strength is None
    ended = limit_of(replace(ladder, rungs=(at(0.2, 3.0), replace(at(0.4, 9.0), ended=True))))
    assert (ended.strength, ended.breaks) == (None, None) and "ended by hand" in ended.sentence
    assert "ended by hand" in limit_of(replace(ladder, base_ended=True)).sentence
