"""Asking a model again after something was done to its weights: without the steps, and after a chain of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.faithfulness.ask import AnswerAsk, Reply, ask_of
from analysis.faithfulness.item import Item
from analysis.faithfulness.lines import Tokens
from analysis.faithfulness.measures.base import no_chain
from analysis.faithfulness.reader import ModelReader
from analysis.faithfulness.thinking import marks_of
from analysis.models.generation import decode
from analysis.models.loaded_model import LoadedModel
from analysis.progress import Check, no_check


@dataclass(frozen=True)
class Asked:
    """An answer before and after unlearning, and what probability each time falls on the one given before."""

    before: str
    after: str
    p_before: float
    p_after: float

    @property
    def flipped(self) -> bool:
        """Whether the answer is another one."""
        return self.before != self.after

    @property
    def shift(self) -> float:
        """P_0(y*) - P(y*), y* the answer before; negative if it became more likely."""
        return self.p_before - self.p_after


@dataclass(frozen=True)
class Answers:
    """The replies without steps and after the fresh chain ``text``, and the best answers of the held-out items."""

    direct: Reply
    chain: Reply | None
    text: str
    others: list[str]


def ask_again(
    loaded: LoadedModel,
    item: Item,
    others: Sequence[Item],
    *,
    fresh: bool,
    tokens: int,
    packed: bool | None = None,
    check: Check = no_check,
) -> Answers:
    """Ask an item under the present weights, and held-out items without their steps and with them.

    ``fresh``: after a chain written afresh too, of at most ``tokens`` tokens; ``packed`` as of
    :class:`~analysis.faithfulness.reader.ModelReader`; ``check``: a safe point.
    """
    # A reader of its own: one that is kept would remember the other weights' replies.
    reader = ModelReader(loaded, packed=packed, check=check)
    text = fresh_chain(loaded, item, tokens, check) if fresh else ""
    direct = no_chain(item)
    chain = ask_of(item, chain=(item.lead, text)) if text else direct
    held = [ask for other in others for ask in (no_chain(other), ask_of(other))]
    replies = reader.read([direct, chain, *held])

    def of(ask: AnswerAsk) -> Reply:
        reply = replies[ask]
        assert isinstance(reply, Reply)
        return reply

    return Answers(of(direct), of(chain) if fresh else None, text, [of(ask).best for ask in held])


def fresh_chain(loaded: LoadedModel, item: Item, tokens: int = 160, check: Check = no_check) -> str:
    """What the model writes greedily after question and lead, up to where it comes to the cue: at most half as much
    again as the item's own chain has tokens, and at most ``tokens``."""
    reads = Tokens(loaded.tokenizer, loaded.facts.max_positions)
    (ids, own), _ = reads.encode([item.before + item.question_text + item.lead, "".join(item.steps)])
    most = min(tokens, 8 + 3 * len(own) // 2)
    cue, text = item.cue.strip(), ""
    mark = marks_of(loaded.tokenizer).match(cue)
    # A cue that closes the model's thinking: its first mark ends the chain, whatever reply follows.
    stop = mark.group() if mark else cue
    # Decoded behind some of the prompt: alone, a token that begins with a space may lose it.
    made = ids[-4:]
    known = len(loaded.tokenizer.decode(made, clean_up_tokenization_spaces=False))
    for token, _ in decode(loaded, ids, most):
        check()
        made.append(token)
        text = str(loaded.tokenizer.decode(made, clean_up_tokenization_spaces=False))[known:]
        if stop and stop in text:
            return text[: text.index(stop)].rstrip()
    return text.rstrip()


def compared(before: Reply, after: Reply) -> Asked:
    """Two replies to one question, before and after."""
    answer = before.best
    return Asked(answer, after.best, before.p(answer), after.p(answer))
