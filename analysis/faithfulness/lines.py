"""From asks to token lines: which tokens the model reads, and at which of them what is read off.

The whole text is tokenised, never its pieces: a space before a digit is a token of its own in some tokenizers and part
of the digit's token in others, and only the whole text knows. Where candidate answers begin to differ is found in the
tokens as well, so a cue may end with a space or without one. What contexts share is found afterwards, in the tokens.

Candidates of several tokens are compared by their mean log-probability per token, so that long ones are not worse for
being long. Where one is how another begins (1 and 12), the mean would say nothing of whether the model stops there: to
the shorter one, stopping counts as one token more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.errors import UserError
from analysis.faithfulness.ask import AnswerAsk, Reply, TextAsk, TextReply
from analysis.models.frames import frame_ids, with_start
from analysis.models.legible import check_known, unknown_ids

MAX_TOKENS = 4_096


@dataclass(frozen=True)
class Line:
    """A row of token ids, and what is read from it.

    ``reads``: (position, token ids): the logits of those tokens in the distribution after that position, and the
    log-sum-exp of all logits there. Tokens from ``since`` on do not attend to those in the half-open spans ``hidden``.
    """

    ids: tuple[int, ...]
    reads: tuple[tuple[int, tuple[int, ...]], ...]
    hidden: tuple[tuple[int, int], ...] = ()
    since: int = 0


@dataclass(frozen=True)
class Read:
    """What one read gave: the logits asked for, float64, and the position's log-sum-exp in nats."""

    logits: np.ndarray
    total: float


@dataclass(frozen=True)
class Plan:
    """The lines of one ask; ``several``: its candidates differ in more than one token each, so each has its line."""

    ask: AnswerAsk | TextAsk
    lines: tuple[Line, ...]
    several: bool = False

    def reply(self, reads: Sequence[Sequence[Read]]) -> Reply | TextReply:
        """The reply from what was read off each line."""
        if isinstance(self.ask, TextAsk):
            log_probs = np.array([r.logits[0] - r.total for r in reads[0]])
            rest = np.log(-np.expm1(np.minimum(log_probs, -1e-12)))
            return TextReply(log_probs, log_probs - rest)
        if self.several:
            rows = [[float(r.logits[0] - r.total) for r in line] for line in reads]
            scores = [float(np.mean(row)) for row in self._ended(rows)]
            first = {self.lines[i].reads[0][1][0]: line[0] for i, line in enumerate(reads)}
            mass = sum(float(np.exp(r.logits[0] - r.total)) for r in first.values())
            return Reply(self.ask.candidates, np.array(scores), True, mass)
        read = reads[0][0]
        return Reply(self.ask.candidates, read.logits, False, float(np.exp(read.logits - read.total).sum()))

    def _ended(self, rows: list[list[float]]) -> list[list[float]]:
        """Log-probabilities of each candidate's tokens. One with which longer ones begin (1 and 12) also has to stop:
        it gets, as one token more, log(1 - sum of the probabilities of the distinct tokens with which these go on), as
        read for them, at least log(1e-12). Rows with which none begins are as they were."""
        tokens = [tuple(read[1][0] for read in line.reads) for line in self.lines]
        ended = []
        for mine, row in zip(tokens, rows, strict=True):
            n = len(mine)
            on = {t[n]: r[n] for t, r in zip(tokens, rows, strict=True) if len(t) > n and t[:n] == mine}
            ended.append([*row, float(np.log1p(-min(1 - 1e-12, sum(map(np.exp, on.values())))))] if on else row)
        return ended


class Tokens:
    """A tokenizer as asks need it: ids of whole texts, and the place of characters among them."""

    def __init__(self, tokenizer: Any, max_positions: int = 0) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise UserError(
                "The tokenizer of this model cannot say which characters its tokens cover, so steps cannot be found "
                "among them. Use a model with a fast tokenizer.",
                "model",
            )
        self.tokenizer = tokenizer
        self.limit = min(MAX_TOKENS, max_positions or MAX_TOKENS)
        self.start, _ = frame_ids(tokenizer)
        self.unknown = unknown_ids(tokenizer)

    def encode(self, texts: Sequence[str]) -> tuple[list[list[int]], list[list[int]]]:
        """Token ids of each text, and the index of the first character of each token (-1 for the start token)."""
        made = self.tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=True)
        check_known(self.unknown, made["input_ids"])
        ids, begins = [], []
        for text, row, offsets in zip(texts, made["input_ids"], made["offset_mapping"], strict=True):
            # A chat template writes the start token itself; an end token is never put behind a text that goes on.
            ids.append(with_start(self.start, row))
            start = ids[-1][: len(ids[-1]) - len(row)]
            begins.append([*(-1 for _ in start), *(_first(text, a, b) for a, b in offsets)])
            if len(ids[-1]) > self.limit:
                raise UserError(
                    f"The text is {len(ids[-1]):,} tokens long; this model can read {self.limit:,} here. Shorten the "
                    "question or the chain.",
                    "steps",
                )
        return ids, begins

    def plan(self, asks: Sequence[AnswerAsk | TextAsk]) -> list[Plan]:
        """The lines of every ask."""
        texts: list[str] = []
        for ask in asks:
            texts += [ask.text + c for c in ask.candidates] if isinstance(ask, AnswerAsk) else [ask.text]
        ids, begins = self.encode(texts)
        plans, at = [], 0
        for ask in asks:
            if isinstance(ask, TextAsk):
                plans.append(_text_plan(ask, ids[at], begins[at]))
                at += 1
            else:
                end = at + len(ask.candidates)
                plans.append(_answer_plan(ask, ids[at:end], begins[at]))
                at = end
        return plans


def _first(text: str, begin: int, end: int) -> int:
    """The first character of a token; some tokenizers leave the space before a word out of its offsets."""
    return begin - 1 if begin > 0 and end > begin and text[begin - 1] == " " and text[begin] != " " else begin


def _spans(before: str, pieces: Sequence[str]) -> list[tuple[int, int]]:
    spans, at = [], len(before)
    for piece in pieces:
        spans.append((at, at + len(piece)))
        at += len(piece)
    return spans


def _within(begins: Sequence[int], span: tuple[int, int]) -> tuple[int, int]:
    """The half-open token span of the tokens that begin in a character span."""
    inside = [i for i, b in enumerate(begins) if span[0] <= b < span[1]]
    return (inside[0], inside[-1] + 1) if inside else (0, 0)


def _text_plan(ask: TextAsk, ids: list[int], begins: list[int]) -> Plan:
    spans = _spans(ask.before + ask.question, ask.chain)
    places = sorted({p for k in ask.target for p in range(*_within(begins, spans[k])) if p > 0})
    if not places:
        raise UserError("A step is no token of its own here; its probability cannot be read. Lengthen it.", "steps")
    return Plan(ask, (Line(tuple(ids[: places[-1]]), tuple((p - 1, (ids[p],)) for p in places)),))


def _answer_plan(ask: AnswerAsk, rows: list[list[int]], begins: list[int]) -> Plan:
    shared = _common(rows)
    if any(rows[i] == rows[j] for i in range(len(rows)) for j in range(i)):
        raise UserError("Two candidate answers are the same tokens to this model. Change one of them.", "candidates")
    if shared == 0:
        raise UserError("Nothing stands before the answer. Give a question or a cue.", "cue")
    context = ask.before + ask.question
    spans = _spans(context, ask.chain)
    hidden = tuple(span for k in sorted(ask.hidden) if (span := _within(begins, spans[k]))[1])
    cue = len(context) + sum(map(len, ask.chain))
    since = next((i for i, b in enumerate(begins) if b >= cue), len(begins)) if hidden else 0
    since = max(since, hidden[-1][1]) if hidden else 0
    several = any(len(row) != shared + 1 for row in rows)
    if not several:
        line = Line(tuple(rows[0][:shared]), ((shared - 1, tuple(row[shared] for row in rows)),), hidden, since)
        return Plan(ask, (line,))
    lines = tuple(
        Line(tuple(row[:-1]), tuple((p - 1, (row[p],)) for p in range(shared, len(row))), hidden, since) for row in rows
    )
    return Plan(ask, lines, True)


def _common(rows: list[list[int]]) -> int:
    """How many tokens all rows begin with, leaving each at least one of its own."""
    shortest = min(map(len, rows)) - 1
    first = rows[0]
    return next((i for i in range(shortest) if any(row[i] != first[i] for row in rows)), shortest)
