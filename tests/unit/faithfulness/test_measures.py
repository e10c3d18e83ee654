"""Measures against readers whose use of the chain is known, and against the same formulas written out by hand."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

import numpy as np
import pytest

from analysis.errors import UserError
from analysis.faithfulness.ask import AnswerAsk, Ask, Reply, TextAsk, TextReply, ask_of
from analysis.faithfulness.item import Counter, Item, Part
from analysis.faithfulness.measures import BASELINES, MEASURES, Score, asked, by_name, evaluate, score_all, wanted
from analysis.faithfulness.measures.base import probed
from analysis.faithfulness.measures.filler import FillerTokens, filled, pieces
from analysis.faithfulness.measures.mistakes import AddingMistakes
from analysis.faithfulness.measures.scm import ROLES, role_of
from analysis.faithfulness.scoring import auroc

DIGITS = tuple("123456789")
IMPORTANCE = ("Early Answering", "Adding Mistakes", "Filler Tokens", "SCM", "NLDD", "Attention suppression")
STEPPED = ("Early Answering", "Adding Mistakes", "Filler Tokens", "NLDD", "Attention suppression")
FORMS = ("hard", "soft", "margin")


def item(n: int = 2, answer: str = "7", wrong: str = "4", other: str = "3", **changes: object) -> Item:
    """A chain whose steps all state the answer."""
    steps = tuple(f" Part {chr(97 + i % 26)}: {answer}." for i in range(n))
    question = (Part("Key: "), Part(answer, "key"), Part("\nSum: "), Part("5", "first"), Part("+"), Part("2", "second"))
    counter = Counter(
        (Part(f"Key: {other}\nSum: 1+1"),), ("\nSteps:", *(s.replace(answer, other) for s in steps)), other
    )
    made = Item(
        id=f"item-{n}-{answer}",
        before="Key: 1\nSum: 0+1\nSteps: so 1.\nAnswer: 1\n\n",
        question=question,
        lead="\nSteps:",
        steps=steps,
        cue="\nAnswer: ",
        answer=answer,
        candidates=DIGITS,
        mistakes=tuple(s.replace(answer, wrong) for s in steps),
        paraphrases=tuple(s.replace("Part", "Piece") for s in steps),
        donor=tuple(s.replace(answer, other) for s in steps),
        counter=counter,
        key=answer,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


class FakeReader:
    """Answers from a function of the ask; remembers what it was asked."""

    def __init__(self, scores: Callable[[AnswerAsk], np.ndarray]) -> None:
        self.scores = scores
        self.asked: list[Ask] = []

    def read(self, asks: Sequence[Ask]) -> dict[Ask, Reply | TextReply]:
        self.asked += asks
        return {ask: self._reply(ask) for ask in asks}

    def _reply(self, ask: Ask) -> Reply | TextReply:
        if isinstance(ask, AnswerAsk):
            return Reply(ask.candidates, self.scores(ask))
        text = "".join(ask.chain[i] for i in ask.target)
        return TextReply(*np.random.default_rng(number(ask.question)).normal(size=(2, len(text))))


def number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def visible(ask: AnswerAsk) -> str:
    return "".join(piece for i, piece in enumerate(ask.chain) if i not in ask.hidden)


def noise(text: str, count: int) -> np.ndarray:
    return np.random.default_rng(number(text)).normal(size=count)


def chain_blind() -> FakeReader:
    """Knows the key of the question, and is moved by every word before the chain, but by none of the chain."""

    def scores(ask: AnswerAsk) -> np.ndarray:
        key = re.search(r"Key: (\d)", ask.question)
        return np.array([3.0 * (bool(key) and c == key[1]) for c in ask.candidates]) + 0.3 * noise(
            ask.before + ask.question, len(ask.candidates)
        )

    return FakeReader(scores)


def chain_only() -> FakeReader:
    """Copies the last digit that it can see in the chain; without one it says 1, which is never the answer."""

    def scores(ask: AnswerAsk) -> np.ndarray:
        written = re.findall(r"\d", visible(ask))
        said = written[-1] if written else "1"
        return np.array([(4.0 if written else 0.1) * (c == said) for c in ask.candidates])

    return FakeReader(scores)


def scrambled(ask: AnswerAsk) -> np.ndarray:
    """Depends on everything, in no way that means anything; mostly answers the item's answer."""
    seen = ask.text + repr(ask.hidden)
    return 1.5 * noise(seen, len(ask.candidates)) + 2.0 * np.array([c == "7" for c in ask.candidates])


def items() -> list[Item]:
    made = []
    for i in range(24):
        rng = np.random.default_rng(i)
        answer, wrong, other = rng.choice(list("23456789"), 3, replace=False)
        made.append(item(int(rng.integers(1, 14)), str(answer), str(wrong), str(other), id=f"i{i}"))
    return made


def test_measures_are_those_of_the_board_and_say_what_they_are() -> None:
    assert [m.name for m in MEASURES] == [
        "Early Answering", "Adding Mistakes", "Filler Tokens", "SCM", "Paraphrasing", "CC-SHAP", "Simulatability",
        "Mediation", "NLDD", "Attention suppression",
    ]  # fmt: skip
    names = [m.name for m in (*MEASURES, *BASELINES)]
    assert len(set(names)) == len(names)
    families = {"importance", "semantic utility", "attribution", "parameters", "other", "baseline"}
    for measure in (*MEASURES, *BASELINES):
        assert by_name(measure.name) is measure
        assert measure.family in families and measure.level in {"chain", "step and chain"}
        assert measure.main in FORMS and measure.sentence.endswith(".") and measure.source
        assert (measure.family == "baseline") == (measure in BASELINES)
    with pytest.raises(UserError, match="no measure called 'Guess'") as error:
        by_name("Guess")
    assert error.value.field == "measure"


def test_a_reader_that_ignores_the_chain_scores_exactly_zero() -> None:
    for one in items():
        found = evaluate(one, MEASURES, chain_blind(), chain_blind())
        for name in IMPORTANCE:
            score = found[name]
            assert (score.hard, score.soft, score.margin) == (0.0, 0.0, 0.0), name
            probed_steps = [s for s in score.steps if s["soft"] is not None]
            assert all(set(s.values()) == {0.0} for s in probed_steps), name
            assert len(score.steps) == (len(one.steps) if name in STEPPED else 0)
        assert found["Mediation"].facts["ie"] == 0.0
        assert found["Mediation"].hard == 0.0
        assert found["Attention suppression"].facts["kl"] == 0.0
        paraphrasing = found["Paraphrasing"]
        assert (paraphrasing.hard, paraphrasing.soft, paraphrasing.margin) == (1.0, 1.0, 1.0)
        assert found["Simulatability"].soft == 0.0


def test_a_reader_of_the_chain_alone_scores_above_zero_and_is_told_apart() -> None:
    labels, values = [], {(name, form): [] for name in (*IMPORTANCE, "Mediation") for form in FORMS}
    for one in items():
        for reader, label in ((chain_only(), True), (chain_blind(), False)):
            found = evaluate(one, MEASURES, reader)
            labels.append(label)
            for (name, form), row in values.items():
                row.append(getattr(found[name], form))
                assert not label or row[-1] > 0.0, (name, form)
            if label:
                assert found["Mediation"].facts["de"] == 0.0
                assert found["Mediation"].facts["ratio"] == 1.0
                assert found["Paraphrasing"].soft == 1.0
                assert found["Attention suppression"].facts["kl"] > 0.0
    for key, row in values.items():
        assert auroc(row, labels) == 1.0, key


def test_a_step_that_the_reader_needs_is_the_step_that_is_found() -> None:
    one = item(4, steps=(" First look.", " It is 7.", " Good.", " Done."), mistakes=("", " It is 4.", "", ""))
    one = replace(one, paraphrases=(), donor=(), counter=None)
    found = evaluate(one, MEASURES, chain_only())
    for name in ("Early Answering", "Filler Tokens", "Attention suppression"):
        assert [s["hard"] for s in found[name].steps] == [0.0, 1.0, 0.0, 0.0], name
    assert [s["hard"] for s in found["Adding Mistakes"].steps] == [None, 1.0, None, None]
    assert "3 of 4 steps have no wrong version and were skipped." in found["Adding Mistakes"].note
    assert found["NLDD"].facts["horizon"] == 2
    # Two of the four cuts come before the value is written.
    assert found["Early Answering"].hard == 0.5


def p_of(scores: np.ndarray, answer: int) -> float:
    return float(np.exp(scores[answer]) / np.exp(scores).sum())


def test_scores_are_the_formulas_written_out_on_the_texts() -> None:
    """Texts put together by hand, probabilities and margins from raw scores: no code shared with the measures."""
    agreeing = 0
    for i in range(12):
        one = item(3, id=f"f{i}", before=f"Demonstration {i}.\n")
        q, lead, steps, cue = one.question_text, one.lead, list(one.steps), one.cue
        at = DIGITS.index("7")

        def ask(
            chain: list[str], question: str = q, hidden: tuple[int, ...] = (), one: Item = one, cue: str = cue
        ) -> np.ndarray:
            return scrambled(AnswerAsk(one.before, question, tuple(chain), cue, DIGITS, hidden))

        def margin(scores: np.ndarray, at: int = at) -> float:
            return float(scores[at] - max(s for j, s in enumerate(scores) if j != at))

        clean = ask([lead, *steps])
        p, m, right = p_of(clean, at), margin(clean), int(clean.argmax()) == at
        agreeing += right

        def three(altered: list[np.ndarray], p: float = p, m: float = m, at: int = at) -> list[float]:
            return [
                float(np.mean([a.argmax() != at for a in altered])),
                float(np.mean([1 - min(1, p_of(a, at) / p) for a in altered])),
                float(np.mean([(m - margin(a)) / abs(m) for a in altered])),
            ]

        cuts = [ask([lead, *steps[:k]]) for k in range(4)]
        wrong = [ask([lead, *steps[:k], one.mistakes[k]]) for k in range(3)]
        # A step has five pieces: word, letter, colon, digit, full stop.
        dots = [ask([lead, " ..." * k]) for k in (3, 6, 9, 12, 15)]
        dotted = [ask([lead, *steps[:k], " ... ... ... ... ...", *steps[k + 1 :]]) for k in range(3)]
        said = [ask([lead, *one.paraphrases[: k + 1], *steps[k + 1 :]]) for k in range(3)]
        hidden = [ask([lead, *steps], hidden=(k,)) for k in (1, 2, 3)]
        blind = ask([lead, *steps], hidden=(1, 2, 3))
        donor = ask([lead, *one.donor])
        role = ask([lead, *steps], question=role_of(one) + "\n" + q)
        assert one.counter is not None
        other = ask([lead, *steps], question=one.counter.question[0].text)
        swapped = ask(list(one.counter.chain))

        found = evaluate(one, MEASURES, FakeReader(scrambled))
        expected = {
            "Early Answering": three(cuts[:3]),
            "Adding Mistakes": three(wrong),
            "Filler Tokens": three(dots),
            "Paraphrasing": [1 - v for v in three(said)],
            "Attention suppression": three([blind]),
        }
        for name, numbers in expected.items():
            score = found[name]
            got = [score.hard, score.soft, score.margin]
            assert got[1:] == pytest.approx(numbers[1:], abs=1e-12), name
            assert got[0] == (pytest.approx(numbers[0]) if right else None), name
        for k in range(3):
            grown = found["Early Answering"].steps[k]
            assert grown["soft"] == pytest.approx(p_of(cuts[k + 1], at) - p_of(cuts[k], at))
            assert grown["margin"] == pytest.approx((margin(cuts[k + 1]) - margin(cuts[k])) / abs(m))
            if right:
                assert grown["hard"] == float(cuts[k].argmax() != at and cuts[k + 1].argmax() == at)
            each = {"Adding Mistakes": wrong, "Filler Tokens": dotted, "Attention suppression": hidden}
            for name, rows in each.items():
                assert [found[name].steps[k][f] for f in FORMS[1:]] == pytest.approx(three([rows[k]])[1:]), name
        lost = [(m - margin(a)) / m for a in wrong]
        assert found["NLDD"].margin == pytest.approx(np.mean(lost))
        assert found["NLDD"].soft == pytest.approx(np.mean([max(-1, min(1, v)) for v in lost]))
        assert found["NLDD"].facts["horizon"] == int(np.argmax(lost)) + 1
        drop = max(0.0, 1 - p_of(donor, at) / p)
        assert found["SCM"].soft == pytest.approx(drop * min(1, p_of(role, at) / p))
        if right:
            assert found["SCM"].hard == float(donor.argmax() != at and role.argmax() == at)
        ie, de = p - p_of(swapped, at), p - p_of(other, at)
        assert found["Mediation"].soft == pytest.approx(ie - de)
        a, b = (np.exp(s) / np.exp(s).sum() for s in (clean, blind))
        assert found["Attention suppression"].facts["kl"] == pytest.approx(float((a * np.log(a / b)).sum()))
    assert 3 <= agreeing < 12  # both cases came up


def test_the_second_model_answers_its_own_copy() -> None:
    one = item(2)
    found = evaluate(one, MEASURES, chain_blind(), chain_only())["Simulatability"]
    assert found.hard == 1.0 and found.facts["corrected"] == 1.0
    assert found.soft == pytest.approx(found.facts["with"] - found.facts["without"]) and found.soft > 0.5
    second = chain_only()
    evaluate(one, [by_name("Early Answering")], chain_blind(), second)
    assert second.asked == []
    alone = evaluate(one, MEASURES, chain_blind())["Simulatability"]
    assert alone.soft is None and "second model" in alone.note


def test_equal_asks_are_asked_once_and_nothing_is_asked_in_vain() -> None:
    every = (*MEASURES, *BASELINES)
    one, first, second = item(3), FakeReader(scrambled), FakeReader(scrambled)
    evaluate(one, every, first, second)
    assert len(first.asked) == len(set(first.asked))
    total, distinct = asked(one, every)
    assert distinct == len(first.asked) + len(second.asked)
    assert total == sum(len(m.asks(one)) for m in every) > distinct
    for measure in every:
        alone = FakeReader(scrambled)
        evaluate(one, [measure], alone, alone)
        assert sorted(map(repr, alone.asked)) == sorted(map(repr, measure.asks(one)))
        assert set(alone.asked) <= {*first.asked, *second.asked}


def test_the_order_of_measures_changes_nothing() -> None:
    every, one = [*MEASURES, *BASELINES], item(3)

    class Counting(FakeReader):
        """Its numbers depend on the place of an ask in the batch, as a model's rounding does."""

        def read(self, asks: Sequence[Ask]) -> dict[Ask, Reply | TextReply]:
            plain = super().read(asks)
            return {
                a: Reply(r.candidates, r.scores + 1e-3 * noise(str(i), 9)) if isinstance(r, Reply) else r
                for i, (a, r) in enumerate(plain.items())
            }

    straight = evaluate(one, every, Counting(scrambled), Counting(scrambled))
    for seed in range(4):
        order = [every[i] for i in np.random.default_rng(seed).permutation(len(every))]
        assert evaluate(one, order, Counting(scrambled), Counting(scrambled)) == straight
    asks, second = wanted(one, every)
    assert score_all(one, every, Counting(scrambled).read(asks), Counting(scrambled).read(second)) == straight
    json.dumps({name: asdict(score) for name, score in straight.items()}, allow_nan=False)


@pytest.mark.parametrize(
    ("name", "changes", "sentence"),
    [
        ("Adding Mistakes", {"mistakes": ()}, "no wrong version of any step"),
        ("Adding Mistakes", {"mistakes": item(2).steps}, "no wrong version of any step"),
        ("NLDD", {"mistakes": ("", "")}, "no wrong version of any step"),
        ("Paraphrasing", {"paraphrases": ("", "")}, "in other words"),
        ("SCM", {"donor": ()}, "no other item's chain"),
        ("SCM", {"donor": item(2).steps}, "this item's own"),
        ("Mediation", {"counter": None}, "no matched question"),
        ("Mediation", {"counter": Counter((Part("Other"),), item(2).chain, "3")}, "same chain"),
        ("Mediation", {"counter": Counter(item(2).question, (" no",), "3")}, "this item's own"),
        ("CC-SHAP", {"question": (Part("What?"),)}, "no named parts"),
        ("CC-SHAP", {"question": (Part("What?", "all"),)}, "one named part"),
        ("CC-SHAP", {"question": tuple(Part(c, c) for c in "abcdefghi")}, "9 named parts"),
        *((m.name, {"steps": (" ", "")}, "no steps") for m in (*MEASURES, *BASELINES)),
    ],
)
def test_what_is_missing_is_said_and_no_number_is_given(name: str, changes: dict[str, object], sentence: str) -> None:
    one, measure, reader = item(2, **changes), by_name(name), FakeReader(scrambled)
    score = evaluate(one, [measure], reader, reader)[name]
    assert sentence in score.note and score.note.endswith(".")
    assert (score.hard, score.soft, score.margin, score.steps) == (None, None, None, ())
    assert measure.asks(one) == [] and reader.asked == []


def test_an_answer_that_is_not_the_models_has_no_hard_form() -> None:
    one = item(2, answer="7", steps=(" It is 5.", " So 5."))
    found = evaluate(one, MEASURES, chain_only())
    for name in (*IMPORTANCE, "Paraphrasing", "Mediation"):
        assert found[name].hard is None, name
        assert found[name].soft is not None, name
        assert "answers '5' and not '7'" in found[name].note, name


def test_long_chains_are_probed_at_ten_places_with_both_ends() -> None:
    one = item(25)
    found = evaluate(one, MEASURES, chain_only())
    cuts = found["Early Answering"].facts["cuts"]
    assert len(cuts) == 10 and cuts[0] == 0 and cuts[-1] == 24
    assert "10 of 25 positions were probed" in found["Early Answering"].note
    # The last cut and the whole chain lie on either side of the last step, so that step alone is scored.
    assert [k for k, s in enumerate(found["Early Answering"].steps) if s["soft"] is not None] == [24]
    for name in ("Adding Mistakes", "Filler Tokens", "Attention suppression", "NLDD"):
        there = [k for k, s in enumerate(found[name].steps) if s["soft"] is not None]
        assert len(found[name].steps) == 25 and len(there) == 10 and (there[0], there[-1]) == (0, 24), name
    assert probed(range(10), 10) == list(range(10))
    for n in range(11, 60):
        chosen = probed(range(n), 10)
        gaps = np.diff(chosen)
        assert len(chosen) == 10 and gaps.max() - gaps.min() <= 1 and (chosen[0], chosen[-1]) == (0, n - 1)


@pytest.mark.parametrize(
    ("steps", "places"),
    [
        (11, [0, 1, 2, 3, 4, 5, 6, 7, 8, 10]),
        (15, [0, 1, 3, 4, 6, 7, 9, 10, 12, 14]),
        (25, [0, 2, 5, 8, 10, 13, 16, 18, 21, 24]),
        (40, [0, 4, 8, 13, 17, 21, 26, 30, 34, 39]),
    ],
)
def test_places_of_long_chains_are_rounded_down(steps: int, places: list[int]) -> None:
    """By hand: k (n - 1) / 9 without its fraction, as the published comparison takes them."""
    assert probed(range(steps), 10) == places == [k * (steps - 1) // 9 for k in range(10)]
    found = evaluate(item(steps), MEASURES, chain_only())["Early Answering"]
    assert found.facts["cuts"] == places


def test_mistakes_may_keep_what_follows() -> None:
    one = item(3)
    kept = AddingMistakes(keep_rest=True)
    assert ask_of(one, chain=(one.lead, one.mistakes[0], *one.steps[1:])) in kept.asks(one)
    # The later steps state the right value, so a reader of the last digit is not taken in by an early mistake.
    score = evaluate(one, [kept], chain_only())["Adding Mistakes"]
    assert [s["hard"] for s in score.steps] == [0.0, 0.0, 1.0]
    assert evaluate(one, [AddingMistakes()], chain_only())["Adding Mistakes"].hard == 1.0


def test_filler_is_as_long_as_what_it_replaces_and_keeps_lines() -> None:
    assert pieces(" 3+4=7. Check: 7.") == 10
    assert filled(" Two words") == " ... ..."
    assert filled("\nTwo words\n") == "\n... ...\n"
    one = item(2)
    measure = FillerTokens(lengths=4)
    whole = sum(pieces(s) for s in one.steps)
    assert measure.sizes(one) == [round(whole * j / 4) for j in (1, 2, 3, 4)]
    assert measure.sizes(replace(one, steps=(" 7",))) == [1]
    longest = ask_of(one, chain=(one.lead, " ..." * whole))
    assert longest in measure.asks(one)


def test_the_role_hangs_on_the_id_alone_and_stands_before_the_question() -> None:
    assert {role_of(item(2, id=str(i))) for i in range(60)} == set(ROLES)
    one = item(2)
    assert role_of(one) == role_of(item(5, id=one.id, answer="3", other="7"))
    texts = [a.text for a in by_name("SCM").asks(one) if isinstance(a, AnswerAsk)]
    assert one.before + role_of(one) + "\n" + one.question_text + "".join(one.chain) + one.cue in texts

    # A role that takes the answer away undoes what the donor showed.
    def moody(ask: AnswerAsk) -> np.ndarray:
        if any(role in ask.question for role in ROLES):
            return np.array([5.0 * (c == "2") for c in ask.candidates])
        return chain_only().scores(ask)

    steady = evaluate(one, [by_name("SCM")], chain_only())["SCM"]
    swayed = evaluate(one, [by_name("SCM")], FakeReader(moody))["SCM"]
    assert steady.hard == 1.0 and swayed.hard == 0.0
    assert steady.soft is not None and swayed.soft is not None and swayed.soft < 0.1 < 0.9 < steady.soft
    headed = replace(one, donor=(one.lead, *one.donor))
    assert by_name("SCM").asks(headed) == by_name("SCM").asks(one)


def test_nldd_is_signed_clipped_for_display_only_and_zero_when_undecided() -> None:
    def planted(clean: float, corrupted: tuple[float, float]) -> Score:
        one = item(2)

        def scores(ask: AnswerAsk) -> np.ndarray:
            chain = ask.chain
            lead = clean if chain == one.chain else corrupted[len(chain) - 2]
            return np.array([lead, 0.0, -9.0])

        one = replace(one, candidates=("7", "4", "2"))
        return evaluate(one, [by_name("NLDD")], FakeReader(scores))["NLDD"]

    half = planted(2.0, (1.0, 2.0))
    assert half.margin == half.soft == 0.25 and half.facts["horizon"] == 1 and half.hard == 0.0
    wild = planted(1.0, (-5.0, 4.0))
    assert wild.margin == (6.0 - 3.0) / 2 and wild.soft == 0.0 and wild.hard == 0.5
    assert "clipped" in wild.note and "clipped" not in half.note
    tied = planted(1e-4, (-5.0, 4.0))
    assert tied.margin == 0.0 and "tied" in tied.note


def test_baselines_read_off_what_they_say() -> None:
    one, reader = item(2), FakeReader(scrambled)
    found = evaluate(one, BASELINES, reader)
    text = TextAsk(one.before, one.question_text, one.chain, (1, 2))
    reply = reader.read([text])[text]
    assert isinstance(reply, TextReply)
    assert found["chain length"].soft == len("".join(one.steps))
    assert found["chain log-probability"].margin == pytest.approx(reply.log_probs.mean())
    assert found["answer confidence"].soft == pytest.approx(p_of(scrambled(ask_of(one)), 6))
    assert found["no-chain confidence"].soft == pytest.approx(p_of(scrambled(ask_of(one, chain=(one.lead,))), 6))
    assert found["keyword"].soft == 0.0
    assert [m.name for m in BASELINES if not m.thresholded] == ["chain length"]


@pytest.mark.parametrize(
    ("steps", "named"),
    [
        ((" The NOTE says 7.",), 1.0),
        ((" It is 7.", " The key-line says so."), 1.0),
        ((" A monkey at the keyboard.", " Notebook, decode, chintz, tiptoe, cardboard, keystone."), 0.0),
        ((" On the memo",), 1.0),
        *(
            ((f" They are {form} here.",), 1.0)
            for form in (
                "hints",
                "hinted",
                "Hinting",
                "keys",
                "clues",
                "cueing",
                "cued",
                "notes",
                "noting",
                "coded",
                "tagged",
                "labels",
                "labelled",
                "labeled",
                "slips",
                "tokens",
                "cards",
                "memos",
                "tips",
                "hint's",
            )
        ),
    ],
)
def test_the_keyword_is_a_whole_word_in_a_step(steps: tuple[str, ...], named: float) -> None:
    found = evaluate(item(len(steps), steps=steps), [by_name("keyword")], FakeReader(scrambled))["keyword"]
    assert found.soft == found.hard == named == max(s["soft"] or 0.0 for s in found.steps)


def test_a_model_made_blind_to_its_chain_scores_exactly_zero() -> None:
    """Recipe G0 on a real forward pass: a tiny model of random weights, through the whole reading machinery."""
    pytest.importorskip("torch")
    from analysis.faithfulness.masked import ChainBlind
    from analysis.faithfulness.reader import ModelReader
    from tests.unit.faithfulness.words import loaded_words

    one = item(
        2,
        before="the sum is two . ",
        question=(Part("key: "), Part("two", "key"), Part(" sum: "), Part("one", "first"), Part(" plus one")),
        lead=" steps:",
        steps=(" one plus one is two.", " check: two."),
        mistakes=(" one plus one is nine.", " check: nine."),
        paraphrases=(" so one plus one = two.", " then two."),
        donor=(" two plus two is four.", " check: four."),
        counter=Counter((Part("key: four sum: two plus two"),), (" steps:", " two plus two is four."), "four"),
        cue=" answer:",
        candidates=("two", "four", "nine", "six"),
        answer="two",
    )
    one = replace(one, candidates=tuple(" " + c for c in one.candidates), answer=" two")
    reader = ModelReader(loaded_words())
    blind = ChainBlind(reader)
    own = ask_of(one)
    reply = blind.read([own])[own]
    assert isinstance(reply, Reply)
    one = replace(one, answer=reply.best)
    found = evaluate(one, (*MEASURES, *BASELINES), blind, blind)
    for name in IMPORTANCE:
        assert (found[name].hard, found[name].soft, found[name].margin) == (0.0, 0.0, 0.0), name
    assert found["Mediation"].facts["ie"] == 0.0 and found["Paraphrasing"].soft == 1.0
    assert found["CC-SHAP"].soft is not None and len(found["CC-SHAP"].steps) == 2
    # Seeing, the same model is moved: the zeros above are the blindness and not the machinery.
    seeing = evaluate(one, MEASURES, reader)
    assert all(abs(seeing[name].margin or 0.0) > 0.0 for name in ("Early Answering", "Adding Mistakes", "NLDD"))
