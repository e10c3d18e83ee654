"""A model as a reader of asks: collects what is asked, reads each context once, remembers the replies.

Every figure of the page is made of the same few dozen contexts. So replies are kept, and a later question, a measure
added to the others or an edit taken back, costs only the contexts that were not read yet. ``count`` holds what was
really spent.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from copy import copy
from dataclasses import replace

import numpy as np

from analysis.faithfulness.ask import AnswerAsk, Ask, ContinuedAsk, NoReply, Reply, TextAsk, TextReply
from analysis.faithfulness.continuing import written_on
from analysis.faithfulness.lines import Line, Plan, Read, Tokens
from analysis.faithfulness.passes import TOLERANCE, Count, Packed, hiding_works, plain
from analysis.models.loaded_model import LoadedModel
from analysis.progress import Check, no_check

KEPT = 20_000
_READER = "faithfulness reader"
_NO_HIDING = (
    "This model carries a state from token to token, so a step cannot be hidden from what comes after it, and this "
    "measure is not defined for it."
)


class ModelReader:
    """Answers asks with a loaded model.

    ``packed`` None: packed passes if this model gives the same numbers that way, which is tried once.
    """

    def __init__(self, loaded: LoadedModel, packed: bool | None = None, check: Check = no_check) -> None:
        self.loaded = loaded
        self.tokens = Tokens(loaded.tokenizer, loaded.facts.max_positions)
        self.count = Count()
        self.check = check
        self._packed = Packed(loaded)
        self._use = packed
        self._kept: OrderedDict[Ask, Reply | TextReply] = OrderedDict()

    def under(self, check: Check) -> ModelReader:
        """A reader with the same memory, and with a safe point and a count of its own.

        Tasks that run at one another's safe points share what was read, and neither the way to end them nor the bill.
        """
        self._use = self.is_packed
        view = copy(self)
        view.check, view.count = check, Count()
        return view

    @property
    def is_packed(self) -> bool:
        """Whether packed passes are used."""
        if self._use is None:
            self._use = packing_works(self.loaded)
        return self._use

    def forget(self) -> None:
        """Drop all replies and keys: the weights have changed."""
        self._kept.clear()
        self._packed.forget()

    def read(self, asks: Sequence[Ask]) -> dict[Ask, Reply | TextReply]:
        """The reply to every ask; each context is read once. UserError if one cannot be read by this model."""
        wanted = dict.fromkeys(asks)
        # Taken out first: what runs at a safe point may read so much that old replies are dropped.
        found = {ask: self._kept[ask] for ask in wanted if ask in self._kept}
        fresh = [ask for ask in wanted if ask not in found]
        if any(isinstance(ask, AnswerAsk) and ask.hidden for ask in fresh) and not hiding_works(self.loaded):
            for hiding in [ask for ask in fresh if isinstance(ask, AnswerAsk) and ask.hidden]:
                nothing = np.full(len(hiding.candidates), np.nan)
                found[hiding] = NoReply(hiding.candidates, nothing, False, float("nan"), sentence=_NO_HIDING)
                fresh.remove(hiding)
        if fresh:
            found.update(self._fresh(fresh))
        for ask in wanted:
            self._kept[ask] = found[ask]
            self._kept.move_to_end(ask)
        while len(self._kept) > max(KEPT, len(wanted)):
            self._kept.popitem(last=False)
        return found

    def _fresh(self, asks: Sequence[Ask]) -> dict[Ask, Reply | TextReply]:
        """Replies to asks that were not read before; what is to be continued is continued first, then read alike."""
        grown: dict[Ask, tuple[AnswerAsk, str, bool]] = {}
        plain: dict[AnswerAsk | TextAsk, None] = {}
        for ask in asks:
            if isinstance(ask, ContinuedAsk):
                text, cut = written_on(self.loaded, self.tokens, ask, self.count, self.check)
                grown[ask] = ask.after(text), text, cut
                plain[grown[ask][0]] = None
            else:
                plain[ask] = None
        found: dict[Ask, Reply | TextReply] = dict(
            zip(plain, self._replies(self.tokens.plan(list(plain))), strict=True)
        )
        for ask, (longer, text, cut) in grown.items():
            reply = found[longer]
            assert isinstance(reply, Reply)
            found[ask] = replace(reply, written=text, cut=cut)
        return found

    def _replies(self, plans: list[Plan]) -> list[Reply | TextReply]:
        # Equal lines of different asks (a text and an answer, say) are read once, with the reads of both.
        merged: dict[tuple[tuple[int, ...], tuple[tuple[int, int], ...], int], dict[int, dict[int, None]]] = {}
        for plan in plans:
            for line in plan.lines:
                places = merged.setdefault((line.ids, line.hidden, line.since), {})
                for position, tokens in line.reads:
                    places.setdefault(position, {}).update(dict.fromkeys(tokens))
        lines = [
            Line(ids, tuple((p, tuple(t)) for p, t in places.items()), hidden, since)
            for (ids, hidden, since), places in merged.items()
        ]
        found = {
            (line.ids, line.hidden, line.since): {
                p: (dict(zip(t, r.logits, strict=True)), r.total) for (p, t), r in zip(line.reads, reads, strict=True)
            }
            for line, reads in zip(lines, self._run(lines), strict=True)
        }
        replies = []
        for plan in plans:
            rows = []
            for line in plan.lines:
                at = found[line.ids, line.hidden, line.since]
                rows.append([Read(np.array([at[p][0][t] for t in tokens]), at[p][1]) for p, tokens in line.reads])
            replies.append(plan.reply(rows))
        return replies

    def _run(self, lines: list[Line]) -> list[list[Read]]:
        windows = self.loaded.facts.sliding_windows
        short = not windows or max(len(line.ids) for line in lines) <= min(windows)
        if short and self.is_packed:
            return self._packed.run(lines, self.count, self.check)
        answers = []
        for line in lines:
            self.check()
            answers.append(plain(self.loaded, line, self.count))
        return answers


def packing_works(loaded: LoadedModel) -> bool:
    """Whether packed passes give the plain ones' numbers, tried on lines that share, branch and hide."""
    if loaded.facts.vocabulary < 8:  # too few tokens for such lines
        return False
    if not hiding_works(loaded):  # a state, which no mask parts into branches
        return False
    size = min(loaded.facts.vocabulary, 40)
    stem = tuple(5 + (7 * i) % (size - 5) for i in range(12))
    windows = loaded.facts.sliding_windows
    stem = stem[: max(2, min(windows) - 5)] if windows else stem
    ends = ((1, 2, 3), (1, 4), (6, 2, 3, 4))
    lines = [Line(stem + end, ((len(stem) + len(end) - 1, (1, 2, 3, 4, 5)),)) for end in ends]
    lines.append(
        Line(stem + ends[2], ((len(stem) + 3, (1, 2, 3, 4, 5)),), ((len(stem), len(stem) + 1),), len(stem) + 2)
    )
    count = Count()
    try:
        ours = Packed(loaded).run(lines, count)
    except Exception:  # any refusal of such a mask, by any architecture, means the plain way
        return False
    theirs = [plain(loaded, line, count) for line in lines]
    a = np.array([r.logits - r.total for line in ours for r in line])
    b = np.array([r.logits - r.total for line in theirs for r in line])
    coarse = 1.0 if loaded.facts.dtype == "float32" else 40.0
    return bool(np.abs(a - b).max() <= coarse * TOLERANCE * max(1.0, float(b.std())))


def reader_of_model(loaded: LoadedModel, check: Check = no_check) -> ModelReader:
    """A reader for one task, with the replies that readers of this model remember; they go when the model goes."""
    reader: ModelReader | None = loaded.extras.get(_READER)
    if reader is None:
        reader = loaded.extras[_READER] = ModelReader(loaded)
    return reader.under(check)
