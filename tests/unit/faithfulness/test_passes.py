"""Packed passes against plain ones on every architecture, and asks against a model called by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.errors import UserError
from analysis.faithfulness.ask import AnswerAsk, Reply, TextAsk, TextReply
from analysis.faithfulness.lines import Line, Tokens
from analysis.faithfulness.passes import Count, Packed, plain
from analysis.faithfulness.reader import ModelReader, packing_works
from analysis.models.loader import LoadedModel
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
    packed = Packed(loaded, count)
    for _ in range(2):  # the second time from kept keys and values
        answers = packed.run(lines)
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
    for read in (plain(loaded, line, Count())[0], Packed(loaded, Count()).run([line])[0][0]):
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
