"""Packed passes against plain ones on every architecture, and asks against a model called by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.errors import UserError
from analysis.faithfulness import passes
from analysis.faithfulness import reader as reader_module
from analysis.faithfulness.ask import AnswerAsk, Reply, TextAsk, TextReply
from analysis.faithfulness.lines import Line, Read, Tokens
from analysis.faithfulness.passes import Count, Packed, plain
from analysis.faithfulness.reader import ModelReader, packing_works
from analysis.models.loaded_model import LoadedModel
from tests.unit.faithfulness.words import loaded_words, word_tokenizer
from tests.unit.tiny_models import ARCHITECTURES

CHAIN = ("Steps:", " three plus four is seven.", " check seven.")


def lines_of(seed: int, vocabulary: int) -> list[Line]:
    """Lines that share a beginning, branch in the middle, repeat each other, and hide spans from their ends."""
    draw = np.random.default_rng(seed)
    stem = tuple(int(t) for t in draw.integers(3, vocabulary, 14))
    lines = []
    for k in range(9):
        cut = int(draw.integers(9, 14))
        ids = stem[:cut] + tuple(int(t) for t in draw.integers(3, 6, 5))
        reads = ((len(ids) - 1, (3, 4, 5)), (len(ids) - 3, (ids[len(ids) - 2],)))
        lines.append(Line(ids, reads))
        if k % 3 == 0:
            lines.append(Line(ids, reads[:1], ((cut - 3, cut - 1),), cut + 1))
    return lines


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_packed_is_plain(name: str) -> None:
    loaded = loaded_words(name, **({"sliding_window": 64} if "sliding_window" in ARCHITECTURES[name] else {}))
    lines = lines_of(3, 40)
    count = Count()
    packed = Packed(loaded)
    for _ in range(2):  # the second time from kept keys and values
        answers = packed.run(lines, count)
        for line, got in zip(lines, answers, strict=True):
            for a, b in zip(got, plain(loaded, line, Count()), strict=True):
                np.testing.assert_allclose(a.logits, b.logits, atol=2e-4)
                assert a.total == pytest.approx(b.total, abs=2e-4)
    assert count.tokens < sum(len(line.ids) for line in lines)
    assert packing_works(loaded)


def test_hiding_is_done_by_hand_too() -> None:
    loaded = loaded_words()
    ids = (5, 6, 7, 8, 9, 10, 11)
    line = Line(ids, ((6, (3, 4)),), ((2, 4),), 5)
    mask = torch.full((1, 1, 7, 7), torch.finfo(torch.float32).min).triu(1)
    mask[0, 0, 5:, 2:4] = torch.finfo(torch.float32).min
    with torch.no_grad():
        logits = loaded.model(torch.tensor([ids]), attention_mask=mask, use_cache=False).logits[0, 6, [3, 4]].numpy()
        open_logits = loaded.model(torch.tensor([ids]), use_cache=False).logits[0, 6, [3, 4]].numpy()
    for read in (plain(loaded, line, Count())[0], Packed(loaded).run([line], Count())[0][0]):
        np.testing.assert_allclose(read.logits, logits, atol=1e-4)
    assert np.abs(logits - open_logits).max() > 1e-2


def by_hand(loaded: LoadedModel, ask: AnswerAsk) -> np.ndarray:
    """Mean log-probabilities of the candidates, one forward pass each, tokens found by comparing whole texts."""
    rows = [loaded.tokenizer(ask.text + c)["input_ids"] for c in ask.candidates]
    shared = 0
    while len({tuple(r[: shared + 1]) for r in rows}) == 1 and all(len(r) > shared + 1 for r in rows):
        shared += 1
    values = []
    for row in rows:
        with torch.no_grad():
            logs = loaded.model(torch.tensor([row])).logits[0].double().log_softmax(-1)
        values.append(float(np.mean([logs[p - 1, row[p]] for p in range(shared, len(row))])))
    return np.array(values)


@pytest.mark.parametrize("candidates", [("seven", "nine", "two"), ("seven", "two three", "two four five")])
@pytest.mark.parametrize("packed", [False, True])
def test_answers_are_the_models(candidates: tuple[str, ...], packed: bool) -> None:
    loaded = loaded_words()
    ask = AnswerAsk("one plus one is two . ", "three plus four ", CHAIN, " answer ", candidates)
    reply = ModelReader(loaded, packed=packed).read([ask])[ask]
    assert isinstance(reply, Reply)
    expected = by_hand(loaded, ask)
    assert reply.several == (" " in candidates[1])
    np.testing.assert_allclose(np.diff(reply.scores), np.diff(expected), atol=1e-4)
    assert reply.probabilities.sum() == pytest.approx(1) and 0 < reply.mass <= 1
    best = candidates[int(expected.argmax())]
    assert reply.best == best and reply.margin(best) > 0 > reply.margin(candidates[int(expected.argmin())])


def test_a_candidate_with_which_another_begins_has_to_end() -> None:
    """1 against 12: the mean over tokens alone would let the shorter one win, or tie, whatever follows it."""
    ask = AnswerAsk("", "three plus four ", CHAIN, " answer ", ("two", "two three", "two four five", "nine"))
    plan = Tokens(word_tokenizer()).plan([ask])[0]

    def read(value: float) -> Read:
        return Read(np.array([value]), 0.0)

    reply = plan.reply([[read(-0.1)], [read(-0.1), read(-0.2)], [read(-0.1), read(-3.0), read(-0.5)], [read(-4.0)]])
    stop = np.log(1 - np.exp(-0.2) - np.exp(-3.0))
    assert isinstance(reply, Reply)
    np.testing.assert_allclose(reply.scores, [(-0.1 + stop) / 2, -0.15, -3.6 / 3, -4.0])
    assert reply.best == "two three"
    # A model that means "two" says so, though "two three" would be likely to go on with.
    reply = plan.reply([[read(-0.1)], [read(-0.1), read(-3.0)], [read(-0.1), read(-4.0), read(-0.1)], [read(-4.0)]])
    assert isinstance(reply, Reply) and reply.best == "two"
    # Where none begins with another nothing is added.
    apart = AnswerAsk("", "three plus four ", CHAIN, " answer ", ("two three", "nine"))
    reply = Tokens(word_tokenizer()).plan([apart])[0].reply([[read(-0.1), read(-0.2)], [read(-4.0)]])
    assert isinstance(reply, Reply)
    np.testing.assert_allclose(reply.scores, [-0.15, -4.0])


def test_texts_are_the_models() -> None:
    loaded = loaded_words()
    ask = TextAsk("one plus one is two . ", "three plus four ", CHAIN, (1,))
    reply = ModelReader(loaded).read([ask])[ask]
    assert isinstance(reply, TextReply)
    ids = loaded.tokenizer(ask.text)["input_ids"]
    start = len(loaded.tokenizer(ask.before + ask.question + CHAIN[0])["input_ids"])
    size = len(loaded.tokenizer(CHAIN[1])["input_ids"])
    with torch.no_grad():
        logs = loaded.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    expected = [float(logs[p - 1, ids[p]]) for p in range(start, start + size)]
    np.testing.assert_allclose(reply.log_probs, expected, atol=1e-4)
    p = np.exp(expected)
    np.testing.assert_allclose(reply.log_odds, np.log(p / (1 - p)), atol=1e-3)


def test_each_context_is_read_once() -> None:
    reader = ModelReader(loaded_words(), packed=True)
    asks = [AnswerAsk("", "three plus four ", CHAIN[: k + 1], " answer ", ("seven", "two")) for k in range(3)]
    first = reader.read([*asks, *asks])
    spent = reader.count.copy()
    assert len(first) == 3 and reader.read(asks)[asks[0]] is first[asks[0]]
    assert reader.count == spent
    hidden = AnswerAsk("", "three plus four ", CHAIN, " answer ", ("seven", "two"), hidden=(1,))
    assert not np.allclose(reader.read([hidden])[hidden].scores, first[asks[2]].scores)  # type: ignore[union-attr]
    reader.forget()
    np.testing.assert_allclose(reader.read(asks)[asks[1]].scores, first[asks[1]].scores, atol=1e-5)  # type: ignore[union-attr]


@pytest.mark.parametrize("same_length", [True, False])
def test_a_task_at_a_safe_point_reads_other_texts_and_changes_nothing(
    same_length: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A live question runs at the safe points of a study, with the same keys and values to go by."""
    monkeypatch.setattr(passes, "PACK", 4)  # many passes, so many safe points
    loaded = loaded_words()
    shown = {True: "one plus one is two . ", False: "two plus one is three . one plus one is two . "}
    ends = [f" {word} ." for word in ("seven", "nine", "two", "three")]

    def asks(before: str) -> list[AnswerAsk]:
        steps = [(*CHAIN[:1], end) for end in ends]
        return [AnswerAsk(before, "three plus four ", s, " answer ", ("seven", "nine", "two")) for s in steps]

    job, live = asks("two plus two is four . "), asks(shown[same_length])
    expected = {ask: ModelReader(loaded, packed=False).read([ask])[ask] for ask in (*job, *live)}
    shared, checks = ModelReader(loaded, packed=True), 0

    def serve() -> None:
        nonlocal checks
        checks += 1
        guest = shared.under(lambda: None)
        for ask, reply in guest.read(live).items():
            np.testing.assert_allclose(reply.scores, expected[ask].scores, atol=1e-4)  # type: ignore[union-attr]
        assert guest.check is not serve

    mine = shared.under(serve)
    for ask, reply in mine.read(job).items():
        np.testing.assert_allclose(reply.scores, expected[ask].scores, atol=1e-4)  # type: ignore[union-attr]
    assert checks >= 2 and mine.check is serve
    alone = ModelReader(loaded, packed=True)
    alone.read(job)
    assert mine.count == alone.count  # what the guest read is not on this task's bill


def test_a_pass_that_fails_leaves_no_broken_keys_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = loaded_words()
    lines, packed = lines_of(3, 40), Packed(loaded)
    before = packed.run(lines, Count())

    def refuse(*_: object) -> None:
        raise MemoryError("no room")

    hook = loaded.model.model.layers[1].register_forward_pre_hook(refuse)
    with pytest.raises(MemoryError):
        packed.run(lines, Count())
    hook.remove()
    passed = 0

    def guest_fails() -> None:
        nonlocal passed, hook
        passed += 1
        if passed == 1:
            hook = loaded.model.model.layers[1].register_forward_pre_hook(refuse)
            with pytest.raises(MemoryError):
                packed.run(lines, Count())
            hook.remove()

    monkeypatch.setattr(passes, "PACK", 8)
    again = packed.run(lines, Count(), guest_fails)
    assert passed > 1
    for a, b in zip(before, again, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(x.logits, y.logits, atol=2e-4)
    for a, b in zip(before, packed.run(lines, Count()), strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(x.logits, y.logits, atol=2e-4)


def test_replies_that_a_guest_pushes_out_are_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "KEPT", 3)
    shared = ModelReader(loaded_words(), packed=False)

    def asks(question: str) -> list[AnswerAsk]:
        return [AnswerAsk("", question, CHAIN[: k + 1], " answer ", ("seven", "two")) for k in range(3)]

    first = asks("three plus four ")
    kept = shared.read(first[:2])

    def serve() -> None:
        shared.under(lambda: None).read(asks("two plus one "))

    found = shared.under(serve).read(first)
    assert found[first[0]] is kept[first[0]] and len(found) == 3


def test_hidden_pieces_become_their_tokens() -> None:
    tokens = Tokens(word_tokenizer())
    ask = AnswerAsk("", "three plus four ", CHAIN, " answer ", ("seven", "two"), hidden=(1,))
    (plan,) = tokens.plan([ask])
    (line,) = plan.lines
    words = word_tokenizer().convert_ids_to_tokens(list(line.ids))
    begin, end = line.hidden[0]
    assert words[begin:end] == ["three", "plus", "four", "is", "seven", "."] and words[line.since] == "answer"


def test_what_cannot_be_read_is_said() -> None:
    reader = ModelReader(loaded_words(max_position_embeddings=24))
    long = AnswerAsk("", "three plus four " * 10, CHAIN, " answer ", ("seven", "two"))
    with pytest.raises(UserError, match="tokens long"):
        reader.read([long])
    with pytest.raises(UserError, match="same tokens"):
        reader.read([AnswerAsk("", "three", CHAIN, " answer ", ("qqq", "xxx"))])
