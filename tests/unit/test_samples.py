"""Many texts as they leave the page: shares, intervals, the control beside them, and the places that were counted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.errors import UserError
from analysis.mfa.answers.samples import Push, SampleArm, Samples, SampleText, Subject
from components.kit.part import Table, Texts
from components.mfa.samples import SamplesOptions, digest_of_samples, marks_of, samples_shares, samples_table


def texts(*written: str) -> tuple[SampleText, ...]:
    return tuple(SampleText((n,), text, 0.5, 4.0, 0.25) for n, text in enumerate(written))


SAMPLES = Samples(
    "wine", Subject("wine", ("wine", "grape"), True), (3, 4),
    (
        SampleArm("base", "Unsteered", (), texts("a cup", "a \U0001f377 grape")),
        SampleArm("steered", "Steered", (Push("the set-up", 1.0, 0.25, True),), texts("Wine!", "of grapes, wine")),
        SampleArm(
            "region", "Random region", (Push("7: sea", 2.0, 0.25, True), Push("8", 8.0, 0.1, False)), texts("", "b"),
        ),
    ),
    ("Random direction",), 9.0, "6 texts.", True,
)  # fmt: skip


def test_shares_stand_beside_their_control_with_intervals() -> None:
    drawing = samples_shares.draw(SAMPLES, SamplesOptions("A prompt"), "light")
    table, *columns = drawing.parts
    assert isinstance(table, Table) and [row[:3] for row in table.rows] == [
        ("Unsteered", "1 of 2", 0.5), ("Steered", "2 of 2", 1.0), ("Random region", "0 of 2", 0.0),
    ]  # fmt: skip
    assert table.rows[0][5] is None and table.rows[1][5] == 0.5 and table.rows[2][8] == pytest.approx(0.175)
    assert drawing.control and drawing.control.name == "random region" and "+100 points" in drawing.control.text
    assert drawing.numbers["share"] == 1.0 and drawing.numbers["share random region"] == 0.0
    assert "1 of 2 draws of “Random region” do not reach" in drawing.caption and "Random direction" in drawing.caption
    assert isinstance(columns[1], Texts) and columns[1].texts[1].tokens == (
        ("of ", 0.0), ("grapes", 1.0), (", ", 0.0), ("wine", 1.0),
    )  # fmt: skip
    assert "2 of 2" in str(samples_table(SAMPLES, SamplesOptions())) and "7: sea; 8" in str(
        samples_table(SAMPLES, SamplesOptions())
    )


def test_places_are_counted_as_a_browser_counts_characters() -> None:
    assert marks_of(SAMPLES, SamplesOptions())["base-1"] == [[5, 10]]
    words = SamplesOptions(counted="words", pattern="cup")
    assert {name for name, spans in marks_of(SAMPLES, words).items() if spans} == {"base-0"}


def test_without_a_control_the_unsteered_texts_are_it_and_older_texts_are_refused() -> None:
    alone = replace(SAMPLES, arms=SAMPLES.arms[:2])
    drawing = samples_shares.draw(alone, SamplesOptions("", "theme", "", digest_of_samples(alone)), "dark")
    assert drawing.control and drawing.control.name == "unsteered"
    with pytest.raises(UserError, match="other texts"):
        samples_shares.draw(SAMPLES, SamplesOptions(digest=digest_of_samples(alone)), "dark")


def test_a_text_that_its_reader_has_ended_is_shown_and_not_counted() -> None:
    steered = SAMPLES.arms[1]
    cut = replace(steered, texts=(steered.texts[0], replace(steered.texts[1], text="of", ended=True)))
    drawing = samples_shares.draw(replace(SAMPLES, arms=(SAMPLES.arms[0], cut)), SamplesOptions(), "light")
    table, _, column = drawing.parts
    assert isinstance(table, Table) and table.rows[1][1] == "1 of 1"
    assert "1 of the texts were ended by hand" in drawing.caption
    assert isinstance(column, Texts) and column.texts[1].title.endswith("ended by hand")
