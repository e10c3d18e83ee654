"""A reader's own edits: what the model is asked with is what the item holds."""

from __future__ import annotations

import pytest

from analysis.errors import UserError
from analysis.faithfulness.edits import edited
from analysis.faithfulness.item import Item, Part

ITEM = Item(
    id="R-0-1+3", before="Key: 5\n\n", question=(Part("Key: "), Part("4", "key"), Part("\nSum: 1+3\n")), lead="Steps:",
    steps=(" 1+3=4.", " Check: 4."), cue="\nAnswer: ", answer="4", candidates=("4", "7"),
    mistakes=(" 1+3=7.", ""), paraphrases=("", " So: 4."), key="4",
)  # fmt: skip


def question(parts: tuple[Part, ...]) -> str:
    return "".join(part.text for part in parts)


@pytest.mark.parametrize(
    ("edits", "measured"),
    [(("keep", "keep"), True), (("block", "keep"), False), (("delete", "delete"), False), (("corrupt", "fill"), True)],
)
def test_the_question_is_the_one_that_the_model_reads(edits: tuple[str, ...], measured: bool) -> None:
    made = edited(ITEM, edits, " 7 ")
    assert question(made.question) == "Key: 7\nSum: 1+3\n" and (made.item is not None) is measured
    assert made.ask.text.startswith(ITEM.before + question(made.question) + ITEM.lead)
    assert measured == (not made.note)
    if made.item is not None:
        assert made.item.question == made.question and made.item.key == "7"
    assert edited(ITEM, edits).question == ITEM.question


def test_steps_are_what_the_edits_say() -> None:
    made = edited(ITEM, ("corrupt", "text: Done."))
    assert made.steps == ((" 1+3=7.", "corrupt"), (" Done.", "text")) and made.item is not None
    assert made.item.steps == (" 1+3=7.", " Done.") and made.item.text == made.ask.text
    assert edited(ITEM, ("delete", "keep")).item.steps == (" Check: 4.",)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("edits", "key", "field"),
    [(("keep",), "", "edits"), (("burn", "keep"), "", "edits"), (("keep", "corrupt"), "", "edits"),
     (("paraphrase", "keep"), "", "edits"), (("keep", "keep"), "9" * 2001, "key")],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_with_its_field(edits: tuple[str, ...], key: str, field: str) -> None:
    with pytest.raises(UserError) as caught:
        edited(ITEM, edits, key)
    assert caught.value.field == field and caught.value.message.endswith(".")
