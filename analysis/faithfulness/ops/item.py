"""Operations of the Faithfulness page on one item: read closely, traced step by step, and intervened on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from analysis.engine.context import Context
from analysis.errors import UserError
from analysis.faithfulness.answers.item import (
    CertificateSwap,
    EditedStep,
    Forms,
    Intervention,
    ItemReading,
    ItemScore,
    ItemTrace,
    MovedOption,
    MovedScore,
    Option,
    OwnAnswer,
    Passes,
    Piece,
    Twin,
)
from analysis.faithfulness.ops.study import OnStudy, reader_for

if TYPE_CHECKING:
    from analysis.faithfulness.ask import Reader, Reply
    from analysis.faithfulness.item import Item
    from analysis.faithfulness.measures import Score
    from analysis.faithfulness.passes import Count
    from analysis.faithfulness.reader import ModelReader
    from analysis.faithfulness.study import Study

A = TypeVar("A")
KEY_UNITS = ("key", "source", "hint")
CLAIMS_NOT = {
    "0": "It does not claim anything about faithfulness in the full sense: only whether the chain can be used at all.",
    "1": "It does not claim that the chain says all that happened, nor that it would be so without these "
    "demonstrations. The certificate swaps values, as some measures do.",
    "2": "It does not claim that the model “knows” its source: only that the digit was read from the line above, "
    "whatever the thought says.",
    "Z": "It does not claim that the key works through the step alone: it may keep a direct path to the answer.",
    "G1": "It does not claim that every missing word is an omission, only that a sum which had to be made is missing.",
    "own": "There is no label: nothing certifies how this answer was made.",
    "file": "How the label was made is not known here; it came with the row.",
}


@dataclass(frozen=True)
class OnItem(OnStudy[A]):
    """One item of a study."""

    item: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.item, str) or not 0 < len(self.item) <= 200:
            raise UserError("Choose an item from the list.", "item")

    def opened_item(self, context: Context) -> tuple[ModelReader, Reader, Study, Item]:
        """The model's reader, the reader that the item was made for, study and item."""
        from analysis.faithfulness.parts import reader_of

        loaded, study = self.opened(context)
        item = study.item(self.item)
        reader = reader_for(context, loaded)
        return reader, reader_of(item, reader), study, item


@dataclass(frozen=True)
class FaithItem(OnItem[ItemReading]):
    """One item read closely: text in pieces, options, certificate, all scores.

    The scores are those that were kept with the study, so that the answer comes at once; ``full`` computes them anew,
    step by step as well.
    """

    full: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.full, bool):
            raise UserError("Scores are either computed anew or not.", "full")

    def run(self, context: Context) -> ItemReading:
        from analysis.faithfulness.ask import ask_of
        from analysis.faithfulness.measures import asked
        from analysis.faithfulness.parts import evaluated, named

        reader, seen, study, item = self.opened_item(context)
        measures = named([m["name"] for m in study.manifest["measures"]])
        before = reader.count.copy()
        reply: Any = seen.read([ask_of(item)])[ask_of(item)]
        scores = evaluated(item, reader, measures, None) if self.full else study.kept(item)
        total, distinct = asked(item, measures)
        spent = reader.count - before
        return ItemReading(
            item=item.id, tier=item.tier, regime=item.regime, label=item.label, claim=item.claim,
            demos=item.demos, problem=item.problem,
            twins=_twins(study, item), pieces=pieces(item), key=item.key.strip(),
            steps=item.steps,
            step_labels=tuple(item.step_labels),
            answer=item.answer.strip(), candidates=tuple(c.strip() for c in item.candidates),
            options=options(reply),
            p=reply.p(item.answer), several=reply.several, mass=reply.mass, own=_own(item, reply),
            certificate=tuple(CertificateSwap(**vars(check)) for check in item.certificate), certified=item.certified,
            claims_not=CLAIMS_NOT.get(item.tier, ""), scores=_scores(study, item, scores), full=self.full,
            passes=Passes(total, distinct, spent.passes, spent.tokens), text=item.text,
            sentence=_sentence(item, reply), z_made="Z" in study.manifest["tiers"],
            seconds=tokens_of(item, distinct, reader) * reader.loaded.facts.seconds_per_token,
        )  # fmt: skip


def tokens_of(item: Item, distinct: int, reader: ModelReader) -> float:
    """About how many tokens ``distinct`` contexts of an item take, less than a factor of two off on short chains.

    Read together, what stands before the question is read once, and a context that is altered somewhere in the text
    is read from there on: half of it on average. Read one by one, each takes all of it.
    """
    before, text = (
        len(reader.loaded.tokenizer.encode(part, add_special_tokens=False))
        for part in (item.before, item.text[len(item.before) :])
    )
    return before + distinct * text / 2 if reader.is_packed else float(distinct * (before + text))


@dataclass(frozen=True)
class FaithTrace(OnItem[ItemTrace]):
    """The answer's probability after each step of the true chain and of chains in its place."""

    def run(self, context: Context) -> ItemTrace:
        from analysis.faithfulness.ask import ask_of
        from analysis.faithfulness.trace import traced

        reader, seen, _, item = self.opened_item(context)
        count = reader.count.copy()
        lines = traced(item, seen)
        base: Any = seen.read([ask_of(item, chain=(item.lead,))])[ask_of(item, chain=(item.lead,))]
        used = reader.count - count
        p = base.p(item.answer)
        sentence = (
            f"Without any step the model gives {item.answer.strip()} a probability of {p:.2f}; after the whole chain "
            f"{lines[0].points[-1].p:.2f}. {_passes(used)}"
        )
        steps = ("start", *(str(k + 1) for k in range(len(item.steps))))
        return ItemTrace(steps, lines, item.answer.strip(), p, used.passes, sentence)


@dataclass(frozen=True)
class FaithIntervene(OnItem[Intervention]):
    """An item after one's own edits: options, probability, and all scores before and after."""

    edits: tuple[str, ...] = ()
    key: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.edits, tuple) or not all(isinstance(e, str) for e in self.edits):
            raise UserError("There must be one edit per step.", "edits")
        if not isinstance(self.key, str) or len(self.key) > 2_000:
            raise UserError("A key or hint can have at most 2,000 characters.", "key")

    def run(self, context: Context) -> Intervention:
        from dataclasses import replace

        import numpy as np

        from analysis.faithfulness.ask import ask_of
        from analysis.faithfulness.edits import edited
        from analysis.faithfulness.parts import evaluated, named

        reader, seen, study, item = self.opened_item(context)
        measures = named([m["name"] for m in study.manifest["measures"]])
        edit = edited(item, self.edits or ("keep",) * len(item.steps), self.key)
        count = reader.count.copy()
        replies: Any = seen.read([ask_of(item), edit.ask])
        before, after = replies[ask_of(item)], replies[edit.ask]
        used = reader.count - count
        old = study.kept(item)
        new = {} if edit.item is None else evaluated(replace(edit.item, answer=after.best), reader, measures, None)
        total = reader.count - count
        p, q = before.p(item.answer), after.p(item.answer)
        with np.errstate(divide="ignore"):
            logs = np.log(np.maximum(before.probabilities, 1e-12)) - np.log(np.maximum(after.probabilities, 1e-12))
        margin = before.margin(item.answer)
        rows = tuple(
            MovedScore(
                m.name, m.value(old[m.name]), m.value(new[m.name]) if m.name in new else None,
                new[m.name].note if m.name in new else edit.note,
            )
            for m in measures
        )  # fmt: skip
        key = self.key.strip()
        return Intervention(
            steps=tuple(EditedStep(text, kind) for text, kind in edit.steps),
            key=key or item.key.strip(),
            options=tuple(
                MovedOption(c.strip(), float(a), float(b))
                for c, a, b in zip(item.candidates, before.probabilities, after.probabilities, strict=True)
            ),
            answer=item.answer.strip(),
            before=p,
            after=q,
            best=after.best.strip(),
            moved=after.best != before.best,
            kl=float((before.probabilities * logs).sum()),
            soft=0.0 if q >= p else 1 - q / p,
            margin=None if margin == 0 else (margin - after.margin(item.answer)) / abs(margin),
            passes=used.passes,
            passes_scores=(total - used).passes,
            scores=rows,
            pieces=pieces(edit.item or replace(item, question=edit.question, key=key or item.key)),
            note=edit.note,
            sentence=_moved(item, before, after, used, total),
        )


def pieces(item: Item) -> tuple[Piece, ...]:
    """The item's text, piece by piece, each with what it is."""
    return (
        Piece("before", item.before),
        *(
            Piece("key" if p.unit in KEY_UNITS else "unit" if p.unit else "question", p.text, unit=p.unit)
            for p in item.question
        ),
        Piece("lead", item.lead),
        *(Piece("step", step, k) for k, step in enumerate(item.steps, 1)),
        Piece("cue", item.cue),
        Piece("answer", item.answer),
    )


def options(reply: Reply) -> tuple[Option, ...]:
    """Every candidate with its probability among the candidates."""
    return tuple(Option(c.strip(), float(p)) for c, p in zip(reply.candidates, reply.probabilities, strict=True))


def _twins(study: Study, item: Item) -> tuple[Twin, ...]:
    from analysis.faithfulness.organisms import TITLES

    names = {"true": "true source", "false": "false source"}
    order = {"R": 0, "K": 1, "Z": 2, "true": 0, "false": 1}
    twins = sorted([item, *study.twins(item)], key=lambda i: (order.get(i.regime, 3), i.regime, i.id))
    return tuple(
        Twin(i.id, i.regime, i.label,
             f"{i.regime}: {TITLES[i.regime]}" if i.regime in TITLES else names.get(i.regime, i.regime))
        for i in twins
    )  # fmt: skip


def _own(item: Item, reply: Reply) -> OwnAnswer:
    right = item.facts.get("values_right")
    says = f"After this chain the model answers {reply.best.strip()}"
    says += "." if reply.best == item.answer else f", not {item.answer.strip()}."
    if right is not None:
        written = str(item.facts.get("own_value", "")).strip()
        says += (
            " It would also write the value of the first step itself."
            if right
            else f" Left to itself it would write {written} in the first step, so this chain is one that it was given."
        )
    if reply.several:
        says += (
            " The candidates have several tokens; they are compared by their mean log-probability per token; where one "
            "begins another, ending there counts as one token more."
        )
    return OwnAnswer(reply.best.strip(), right, says)


def _scores(study: Study, item: Item, scores: dict[str, Score]) -> tuple[ItemScore, ...]:
    from analysis.faithfulness.board import medians

    middles = study.memo.get(f"medians {item.tier}") or medians(study, item.tier)
    study.memo[f"medians {item.tier}"] = middles
    withheld = any(t["tier"] == item.tier and not t["shown"] for t in study.manifest["board"]["tiers"])
    if withheld:
        middles = {}  # medians of two classes would show what the board does not
    kept = study.kept(item)
    rows = []
    for m in study.manifest["measures"]:
        s = scores.get(m["name"], kept[m["name"]])  # FUR is never computed while one waits
        value = getattr(s, m["main"])
        sides = middles.get(m["name"], {})
        rows.append(
            ItemScore(
                measure=m["name"], family=m["family"], hard=s.hard, soft=s.soft, margin=s.margin, main=m["main"],
                steps=tuple(Forms(**step) for step in s.steps),
                threshold=m["threshold"] if m["thresholded"] else None,
                called=None if value is None or not m["thresholded"] else value >= m["threshold"], note=s.note,
                value=value, sentence=m["sentence"], median_faithful=sides.get("faithful"),
                median_unfaithful=sides.get("unfaithful"),
            )
        )  # fmt: skip
    return tuple(rows)


def _sentence(item: Item, reply: Reply) -> str:
    says = f"the model answers {reply.best.strip()} with probability {reply.probabilities.max():.2f}."
    if item.label is None:
        return f"Unlabelled; {says}"
    return f"This chain is {'faithful' if item.label else 'unfaithful'}; {says}"


def _moved(item: Item, before: Reply, after: Reply, used: Count, total: Count) -> str:
    p, q = before.p(item.answer), after.p(item.answer)
    if after.best != before.best:
        says = f"The answer moves from {before.best.strip()} to {after.best.strip()}"
    else:
        says = f"The answer stays {after.best.strip()}"
    says += f"; P({item.answer.strip()}) goes from {p:.3f} to {q:.3f}. {_passes(used)}"
    rest = (total - used).passes
    return says + (f" All scores of the edited item: {rest} more." if rest else "")


def _passes(count: Count) -> str:
    if not count.passes:
        return "Everything was read before: no further pass."
    return f"{count.passes} {'pass' if count.passes == 1 else 'passes'} of the model, {count.tokens:,} tokens."
