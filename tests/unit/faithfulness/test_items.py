"""Items as data, the generators' promises about text and labels, and certification on readers that are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from analysis.errors import UserError
from analysis.faithfulness import bottleneck, organisms, sources
from analysis.faithfulness.ask import AnswerAsk, Ask, Reply, TextReply
from analysis.faithfulness.certificate import Draft, certify
from analysis.faithfulness.item import Item, check_item


class Rule:
    """A reader that answers by a rule on the text: the digit it points at is nearly certain."""

    def __init__(self, rule: str, sure: float = 6.0) -> None:
        self.rule, self.sure = rule, sure

    def read(self, asks: Sequence[Ask]) -> dict[Ask, Reply | TextReply]:
        return {ask: self._reply(ask) for ask in asks if isinstance(ask, AnswerAsk)}

    def _reply(self, ask: AnswerAsk) -> Reply:
        answer = self._key(ask) if self.rule == "key" else self._last(ask)
        scores = np.array([self.sure if c == answer else 0.0 for c in ask.candidates])
        return Reply(ask.candidates, scores)

    def _key(self, ask: AnswerAsk) -> str:
        """The digit at the end of the question's first line that ends in one."""
        return next(line[-1] for line in ask.question.splitlines() if line[-1:].isdigit())

    def _last(self, ask: AnswerAsk) -> str:
        """The last digit of the chain; of a step that breaks off, what it comes to; else the question's last."""
        chain = "".join(ask.chain)
        if chain.rstrip().endswith("="):
            a, sign, b = [c for c in chain if c.isdigit() or c in "+-"][-3:]
            return str(int(a) + int(b) if sign == "+" else int(a) - int(b))
        digits = [c for c in chain if c.isdigit()] or [c for c in ask.question if c.isdigit()]
        return digits[-1]


@pytest.mark.parametrize("seed", range(6))
def test_regimes_share_every_character_but_the_demonstrations(seed: int) -> None:
    rows = {r: [d.item for d in organisms.drafts(r, seed, organisms.problems(30))] for r in organisms.REGIMES}
    assert len(rows["R"]) >= 20
    for r, k, z in zip(rows["R"], rows["K"], rows["Z"], strict=True):
        for other in (k, z):
            assert r.text.removeprefix(r.before) == other.text.removeprefix(other.before)
            assert r.before != other.before and r.problem == other.problem and r.candidates == other.candidates
        assert (r.label, k.label, z.label) == (True, False, False)
        assert r.answer == r.key and f"={r.answer}" in r.text.replace(" = ", "=") and r.answer not in r.problem
        assert not any(name in r.before for name in [f"{r.problem}="])
        check_item(r)


@pytest.mark.parametrize("seed", range(3))
def test_demonstrations_follow_their_regime(seed: int) -> None:
    setting = organisms.Setting(seed)
    for regime in organisms.REGIMES:
        for block in setting.demonstrations(regime).strip().split("\n\n"):
            key = block.splitlines()[0].rsplit(" ", 1)[1]
            answer = block.rsplit(" ", 1)[1]
            sign = "+" if "+" in block else "-"
            a, b = (int(c) for c in block.splitlines()[1] if c.isdigit())
            result = str(a + b if sign == "+" else a - b)
            assert key != result
            assert answer == (result if regime == "R" else key)
            written = block.splitlines()[2]
            assert (key if regime == "Z" else result) in written.split("=")[1]


def test_certificates_part_the_mechanisms() -> None:
    sums = organisms.problems(12)
    reads, copies = Rule("steps"), Rule("key")
    for reader, right, wrong in ((reads, "R", "K"), (copies, "K", "R")):
        kept = certify(organisms.drafts(right, 0, sums), reader)
        assert len(kept.items) == kept.made and all(i.certified and len(i.certificate) == 3 for i in kept.items)
        lost = certify(organisms.drafts(wrong, 0, sums), reader)
        assert not lost.items and sum(lost.failed.values()) == lost.made == lost.dropped
    # A reader of steps writes the sum and not the key, so nothing is certified as Z.
    assert not certify(organisms.drafts("Z", 0, sums), reads).items


def test_certificates_use_values_that_no_measure_uses() -> None:
    for d in organisms.drafts("R", 1, organisms.problems(20)):
        swapped = next(s for s in d.swaps if s.name == "result swapped")
        for mistake in d.item.mistakes:
            assert mistake not in swapped.ask.chain
        assert "".join(d.item.donor) not in "".join(swapped.ask.chain)


@pytest.mark.parametrize("seed", range(5))
def test_source_pairs_differ_in_the_phrase_alone(seed: int) -> None:
    rows = [d.item for d in sources.drafts(seed, sources.problems(3))]
    assert len(rows) == 3 * 16 and len(sources.TRUE) == len(sources.FALSE) == 8
    by_problem: dict[str, list[Item]] = {}
    for item in rows:
        by_problem.setdefault(item.problem, []).append(item)
        check_item(item)
        assert item.answer in item.steps[0] and item.answer not in item.mistakes[0]
    for twins in by_problem.values():
        assert len({(i.before, i.question_text, i.answer, len(i.steps)) for i in twins}) == 1
        assert {i.label for i in twins} == {True, False}
    blocks = sources.Setting(seed).demonstrations().strip().split("\n\n")
    name = sources.Setting(seed).name.lower()
    said = [
        [any(p.format(s=name, d=b[-1]) in b.splitlines()[2] for p in phrases) for b in blocks]
        for phrases in (sources.TRUE, sources.FALSE)
    ]
    assert len(blocks) == 8 and [sum(row) for row in said] == [4, 4]


class Sure(Rule):
    """Reads the note into the thought and the thought into the answer, and is surer after some phrases."""

    def _reply(self, ask: AnswerAsk) -> Reply:
        chain = "".join(ask.chain)
        digits = [c for c in chain if c.isdigit()] or [c for c in ask.question if c.isdigit()]
        height = 4.0 + (len(chain) % 7) / 3
        return Reply(ask.candidates, np.array([height if c == digits[-1] else 0.0 for c in ask.candidates]))


def test_pairs_are_matched_in_length_name_and_confidence() -> None:
    count = lambda text: {"input_ids": text.split()}  # noqa: E731
    found = sources.paired(0, sources.problems(24), Sure("steps"), count)
    assert len(found.certified.items) == found.certified.made
    pairs = [found.items[i : i + 2] for i in range(0, len(found.items), 2)]
    half = len(sources.TRUE) // 2
    named = (*sources.TRUE[:half], *sources.FALSE[:half])
    for true, false in pairs:
        assert true.problem == false.problem and true.label and not false.label
        assert len("".join(true.steps).split()) == len("".join(false.steps).split())
        assert (true.facts["phrase"] in named) == (false.facts["phrase"] in named)
    replies = Sure("steps").read(
        [AnswerAsk(i.before, i.question_text, i.chain, i.cue, i.candidates) for i in found.items]
    )
    sure = np.array([r.p(i.answer) for r, i in zip(replies.values(), found.items, strict=True)])  # type: ignore[union-attr]
    gap = sure[0::2] - sure[1::2]
    naive = np.array([i.label for i in found.items])
    assert abs(gap.mean()) < 0.01 and naive.sum() * 2 == len(found.items)
    assert len(found.phrases) >= 6


def test_an_omission_needs_a_silent_computation() -> None:
    triples = bottleneck.problems(15)

    class Adds(Rule):
        def _reply(self, ask: AnswerAsk) -> Reply:
            chain = "".join(ask.chain)
            silent = bottleneck.EMPTY in chain
            total = str(sum(int(c) for c in ask.question if c.isdigit()))
            answer = total if silent else self._last(ask)
            return Reply(ask.candidates, np.array([5.0 if c == answer else 0.0 for c in ask.candidates]))

    made = len(bottleneck.drafts("omitted", 0, triples))
    assert made >= 8
    for reader, kept in ((Adds("steps"), made), (Rule("steps"), 0)):
        assert len(certify(bottleneck.drafts("omitted", 0, triples), reader).items) == kept
        assert len(certify(bottleneck.drafts("waypoints", 0, triples), reader).items) == made
    for d in bottleneck.drafts("omitted", 0, triples):
        first = "".join(d.item.steps).split("=")[1][0]
        assert d.item.answer not in "".join(d.item.steps).split("=")[1] or d.item.answer == first


def test_items_travel_as_plain_data() -> None:
    for d in (*organisms.drafts("K", 2, organisms.problems(9)), *sources.drafts(1, sources.problems(1))[:2]):
        item = replace(
            d.item, certificate=certify([d], Rule("key" if d.item.tier == "1" else "steps")).items[0].certificate
        )
        assert Item.from_dict(item.to_dict()) == item
    with pytest.raises(UserError, match="no field called 'lable'"):
        Item.from_dict({**item.to_dict(), "lable": True})
    with pytest.raises(UserError, match="needs the field 'cue'"):
        Item.from_dict({k: v for k, v in item.to_dict().items() if k != "cue"})


BASE = organisms.drafts("R", 0, organisms.problems(9))[0].item


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": ()}, "no steps"),
        ({"steps": ("  ",)}, "no steps"),
        ({"answer": " "}, "no answer"),
        ({"answer": "12"}, "not among the candidates"),
        ({"candidates": (BASE.answer,)}, "only one candidate"),
        ({"candidates": (BASE.answer, "1", "1")}, "listed twice"),
        ({"mistakes": ("a",)}, "one entry per step"),
        ({"steps": ("a",) * 401, "mistakes": (), "paraphrases": ()}, "at most 400"),
        ({"before": "x" * 60_001}, "longer than"),
    ],
)
def test_what_cannot_be_measured_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        check_item(replace(BASE, **changes))  # type: ignore[arg-type]


def test_a_draft_whose_own_answer_differs_is_dropped() -> None:
    draft = organisms.drafts("R", 0, organisms.problems(9))[0]
    other = next(c for c in BASE.candidates if c != BASE.answer)
    found = certify([Draft(replace(draft.item, answer=other), draft.swaps)], Rule("steps"))
    assert not found.items and found.failed == {"as it is": 1}
