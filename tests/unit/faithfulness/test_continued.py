"""The published forms of two measures: the model writes on by itself, as in a plain loop; and only they have published
values beside them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from analysis.faithfulness.ask import AnswerAsk, Ask, ContinuedAsk, NoReply, Reply, TextReply, ask_of, continued
from analysis.faithfulness.board import board
from analysis.faithfulness.item import Item, Part
from analysis.faithfulness.library import BUNDLED
from analysis.faithfulness.masked import ChainBlind, QuestionBlind
from analysis.faithfulness.measures import CONTINUED, MEASURES, evaluate
from analysis.faithfulness.measures.mistakes import ROOM, mistaken, room_after
from analysis.faithfulness.measures.paraphrase import reworded
from analysis.faithfulness.ops.study import current
from analysis.faithfulness.parts import ALL, chosen, named
from analysis.faithfulness.published import OTHER_FORMS, PUBLISHED
from analysis.faithfulness.reader import ModelReader
from analysis.faithfulness.study import Study, score_items, with_continued
from tests.unit.faithfulness.test_measures import DIGITS, FakeReader, item
from tests.unit.faithfulness.words import loaded_words

MISTAKES, PARAPHRASING = (m.name for m in CONTINUED)


class Writer(FakeReader):
    """Writes on from a function of the chain so far, then answers as a reader of the whole chain."""

    def __init__(self, write: Callable[[str], str]) -> None:
        super().__init__(self._last)
        self.write = write

    @staticmethod
    def _last(ask: AnswerAsk) -> np.ndarray:
        digits = [c for c in "".join(ask.chain) if c in ask.candidates]
        return np.array([4.0 * (bool(digits) and c == digits[-1]) for c in ask.candidates])

    def read(self, asks: Sequence[Ask]) -> dict[Ask, Reply | TextReply]:
        found = {}
        for ask in asks:
            if isinstance(ask, ContinuedAsk):
                text = self.write("".join(ask.chain))
                found[ask] = replace(super().read([ask.after(text)])[ask.after(text)], written=text)  # type: ignore[type-var]
            else:
                found[ask] = super().read([ask])[ask]
        return found


def test_a_mistake_that_the_model_repairs_counts_as_unfaithful_only_when_it_may_write_on() -> None:
    """The model says 7 again behind any mistake: asked at once it answers the mistake, writing on it does not."""
    found = evaluate(item(3), [*MEASURES[1:2], *CONTINUED], Writer(lambda chain: " No, it is 7."))
    assert found["Adding Mistakes"].hard == 1.0 and found[MISTAKES].hard == 0.0 == found[MISTAKES].soft
    assert found[MISTAKES].facts["written"] == [" No, it is 7."] * 3
    assert [s["hard"] for s in found[MISTAKES].steps] == [0.0] * 3
    stubborn = evaluate(item(3), CONTINUED, Writer(lambda chain: ""))
    assert stubborn[MISTAKES].hard == 1.0 and stubborn[PARAPHRASING].hard == 1.0


def test_a_paraphrase_is_continued_without_the_rest_of_the_chain() -> None:
    one = item(4)
    seen: list[str] = []

    def write(chain: str) -> str:
        seen.append(chain)
        return " So 3." if chain.count("Piece") >= 3 else " So 7."

    found = evaluate(one, CONTINUED[1:], Writer(write))[PARAPHRASING]
    assert found.hard == 0.5  # places 1 and 2 of 4 end with the answer
    said = [one.lead + "".join(s.replace("Part", "Piece") for s in one.steps[:k]) for k in (1, 2, 3, 4)]
    assert seen == said, "the first steps in other words, and nothing behind them"
    assert CONTINUED[0].main == CONTINUED[1].main == "hard" and not CONTINUED[1].value(found) == found.soft


@pytest.mark.parametrize("stop", [False, True])
def test_what_a_model_writes_on_is_what_a_plain_loop_writes(stop: bool) -> None:
    loaded = loaded_words()
    ask = ContinuedAsk("so is ", "three plus four ?", (" so", " three is seven ."), " answer ", ("seven", "nine"), 12)
    tokenizer: Any = loaded.tokenizer

    def loop(cue: str) -> tuple[str, bool]:
        ids, words = list(tokenizer(ask.text)["input_ids"]), []
        while len(words) < 12:
            with torch.no_grad():
                best = int(loaded.model(torch.tensor([ids])).logits[0, -1].argmax())
            if best == tokenizer.eos_token_id:
                return "".join(f" {w}" for w in words), False
            ids.append(best)
            words.append(tokenizer.convert_ids_to_tokens(best))
            if cue.strip() in words:
                return "".join(f" {w}" for w in words[:-1]), False
        return "".join(f" {w}" for w in words), True

    free, _ = loop("nothing like it")
    if stop:
        words = free.split()
        ask = replace(ask, cue=f" {next(w for w in words[2:] if w not in words[:2] and w.isalpha())} ")
    text, cut = loop(ask.cue)
    assert len(free.split()) > 3 and (not stop or len(text) < len(free))
    reader = ModelReader(loaded)
    reply = reader.read([ask])[ask]
    assert isinstance(reply, Reply) and (reply.written, reply.cut) == (text, cut)
    behind = ModelReader(loaded).read([ask.after(text)])[ask.after(text)]
    assert isinstance(behind, Reply)
    np.testing.assert_allclose(reply.scores, behind.scores, atol=1e-5)
    assert reader.count.passes > len(text.split()) and reader.read([ask])[ask] is reply


def test_writing_on_leaves_room_for_cue_and_answer() -> None:
    loaded = loaded_words(max_position_embeddings=40)
    ask = ContinuedAsk("", "three plus four ?" + " so" * 18, (" so .",), " answer ", ("seven", "nine"), 500)
    reply = ModelReader(loaded).read([ask])[ask]
    assert isinstance(reply, Reply) and bool(np.isfinite(reply.scores).all())
    full = ContinuedAsk("", "three plus four ?" + " so" * 26, (" so .",), " answer ", ("seven", "nine"), 500)
    found = ModelReader(loaded).read([full])[full]
    assert isinstance(found, Reply) and (found.written, found.cut) == ("", True)


def test_a_model_that_never_sees_question_or_chain_writes_on_without_it_too() -> None:
    reader = Writer(lambda chain: " So 3.")
    ask = continued(item(2), mistaken(item(2), 0).chain, 9)
    blind = ChainBlind(reader).read([ask, ask_of(item(2))])
    np.testing.assert_array_equal(blind[ask].scores, blind[ask_of(item(2))].scores)  # type: ignore[union-attr]
    seen = QuestionBlind(reader).read([ask])[ask]
    assert (
        isinstance(seen, Reply)
        and seen.best == "3"
        and all(getattr(a, "question", "") == "" for a in reader.asked[-1:])
    )


def test_there_is_room_for_the_rest_of_the_chain_and_a_repair() -> None:
    one = item(3)
    assert room_after(one, 3) == ROOM and room_after(one, 1) > room_after(one, 2) > ROOM
    asks = CONTINUED[1].asks(one)
    assert isinstance(asks[0], ContinuedAsk) and asks[0].chain == reworded(one, 0).chain[:2]
    assert asks[0].most == room_after(one, 1) and asks[0].candidates == DIGITS


def own(number: int, label: bool | None) -> Item:
    steps = (" three plus four is seven .", " check seven .")
    wrong = tuple(s.replace("seven", "nine") for s in steps)
    return Item(
        id=f"file-{number}", before="", question=(Part(f"three plus {'four five six'.split()[number]} "),), lead=" ",
        steps=steps, cue=" answer ", answer="seven", candidates=("seven", "nine"), mistakes=wrong,
        paraphrases=tuple(f" so {s.strip()}" for s in steps), tier="file", problem=str(number), label=label,
        claim="from a file", donor=wrong,
    )  # fmt: skip


def test_a_study_has_the_published_forms_where_they_are_asked_for_and_no_other_number_moves() -> None:
    items = (own(0, True), own(1, False), own(2, True))
    loaded = loaded_words()
    manifest = {"model": "tiny", "parameters": 1, "command": "here"}

    def made(continued: bool) -> Study:
        return score_items(
            ModelReader(loaded), items, dict(manifest), None, lambda share, text: None, chosen(continued)
        )

    plain, both = made(False), made(True)
    names = [m["name"] for m in both.manifest["measures"]]
    assert [m["name"] for m in plain.manifest["measures"]] == [m.name for m in ALL]
    assert {MISTAKES, PARAPHRASING} < set(names)
    kept = [names.index(m.name) for m in ALL]
    np.testing.assert_allclose(both.scores[:, kept], plain.scores, atol=1e-4)
    later = with_continued(plain, ModelReader(loaded))
    assert [m["name"] for m in later.manifest["measures"]] == [*(m.name for m in ALL), MISTAKES, PARAPHRASING]
    np.testing.assert_array_equal(later.scores[:, : len(ALL)], plain.scores)
    added = both.scores[:, [names.index(n) for n in (MISTAKES, PARAPHRASING)]]
    np.testing.assert_allclose(later.scores[:, len(ALL) :], added, atol=1e-4)
    assert with_continued(later, ModelReader(loaded)) is later
    assert [m.name for m in named(names)] == names and named([m.name for m in ALL]) == ALL
    for study in (plain, both, later):
        told = board(study)
        row = {r["measure"]: r["published"] for r in told["rows"]}
        for ours, theirs in OTHER_FORMS.items():
            assert row[ours] == {"step": None, "chain": None}
            assert row.get(theirs, PUBLISHED[theirs]) == PUBLISHED[theirs]
        assert ("made without them" in told["published_note"]) == (study is plain)


def test_the_board_that_comes_along_shows_no_published_value_beside_another_experiment_and_says_why() -> None:
    kept = json.loads(BUNDLED.with_suffix(".json").read_text())["board"]
    shown = current(kept)
    for before, row in zip(kept["rows"], shown["rows"], strict=True):
        assert row["published"] == PUBLISHED.get(row["measure"], {"step": None, "chain": None})
        assert {k: v for k, v in row.items() if k not in ("published", "sentence")} == {
            k: v for k, v in before.items() if k not in ("published", "sentence")
        }
    by = {row["measure"]: row for row in shown["rows"]}
    for ours, theirs in OTHER_FORMS.items():
        assert by[ours]["published"] == {"step": None, "chain": None} and "at once" in by[ours]["sentence"]
        assert theirs in by or "made without them" in shown["published_note"]
    assert by["Early Answering"]["published"]["chain"] == (0.45, 0.03)


def test_a_reply_that_cannot_be_had_says_so_and_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model with a state cannot hide a step: the measure has the sentence, and no text that was written."""
    monkeypatch.setattr("analysis.faithfulness.reader.hiding_works", lambda loaded: False)
    reader = ModelReader(loaded_words())
    one = own(0, True)
    reply = reader.read([ask_of(one, hidden=(1,))])[ask_of(one, hidden=(1,))]
    assert isinstance(reply, NoReply) and "cannot be hidden" in reply.sentence and reply.written == ""
    suppression = next(m for m in MEASURES if m.name == "Attention suppression")
    assert "cannot be hidden" in evaluate(one, [suppression], reader)["Attention suppression"].note
