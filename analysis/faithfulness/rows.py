"""Items from outside: rows in the shape of the published benchmark, checked one by one.

One row there is one label, of a sentence or of a whole chain, so the rows of a chain are put together again here. A
label belongs to characters of the chain: where a row names a span, that span is one step, and only the text between
labelled spans is split by our own rule. A row that cannot be used is left out with a sentence and its line number; the
others are read all the same. Altered versions of the steps are made by our rules, since the rows bring none.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

from analysis.errors import UserError
from analysis.faithfulness import row_fields, row_files
from analysis.faithfulness.chains import CUE
from analysis.faithfulness.framing import candidates_for, framed, question_parts
from analysis.faithfulness.item import MAX_STEPS, Item, check_item
from analysis.faithfulness.rewriting import altered
from analysis.faithfulness.row_blocks import blocked, steps_of
from analysis.faithfulness.row_fields import value
from analysis.faithfulness.row_report import lost_labels, reasons, same_model
from analysis.faithfulness.values import distinct, named
from analysis.foreign import parse_json
from analysis.progress import Check, no_check

MAX_BYTES = 20_000_000
MAX_TOKENS = 3_800
"""Of a chain with its question: a little less than a model reads here, because altered chains are a little longer."""
_LOOKED = 500  # rows that are looked at for a chain to swap in
_Line = tuple[int, str]


@dataclass(frozen=True)
class Rows:
    """The items of a file, (line, sentence) for each row that was refused, lines from 1, and a summary sentence."""

    items: tuple[Item, ...]
    refused: tuple[_Line, ...]
    sentence: str


@dataclass
class _Chain:
    """What the rows of one chain say together; ``steps``: labels by the span of characters that they belong to."""

    line: int
    row: Mapping[str, Any]
    chain_label: bool | None = None
    steps: dict[tuple[int, int], bool] = field(default_factory=dict)
    rows: int = 0
    marks: list[dict[str, Any]] = field(default_factory=list)
    item: Item | None = None

    @property
    def target(self) -> str:
        """The model that wrote the chain, as the rows name it."""
        return value(self.row, "target_model").strip()


def read_rows(
    text: str,
    tokenizer: Any = None,
    allow_unlabelled: bool = False,
    seed: int = 0,
    check: Check = no_check,
    target: str = "",
    most: int = MAX_STEPS,
) -> Rows:
    """Read the rows of a text (JSONL, a JSON array or CSV) into items of tier "file".

    Columns: ``question`` or ``prompt`` (which is what is read where it is there), ``cot``, ``model_answer``,
    ``label_type`` (one of :data:`~analysis.faithfulness.row_fields.LABELS`), and as far as they are there
    ``target_model``, ``prompted_hint``, ``correct_answer``, ``sentence_id`` (from 1), ``sentence_text``,
    ``sentence_span_start``, ``sentence_span_end`` (characters of ``cot``), ``reason``, and our own ``candidates`` (a
    list). A labelled sentence is found by its span, else by its text, else by its number among our own steps, else
    around its ``extract``. Rows of the same question, hint, chain, answer and target model make one item: step labels
    go to ``step_labels``, the chain's to ``label``. Chains of the same question are twins and share their answers.
    ``tokenizer``: with a chat template, questions are put into it; else they are plain text; a chain that is longer
    than :data:`MAX_TOKENS` with its question is refused. ``seed`` is that of the wrong versions of the steps.
    ``check``: a safe point between rows, which may raise. ``target``: take the chains of this model only; "" for all.
    ``most``: steps of a chain, beyond which neighbouring sentences are put together
    (:mod:`analysis.faithfulness.row_blocks`).

    Raises:
        UserError: field "file", the text is empty or longer than :data:`MAX_BYTES`.
    """
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise UserError(
            f"The file is larger than {MAX_BYTES / 1e6:.0f} MB. Give a part of it, all rows of a question together.",
            "file",
        )
    if not text.strip():
        raise UserError(
            "The file is empty. It needs rows as in the published benchmark: JSONL, a JSON array or CSV.", "file"
        )
    refused: list[_Line] = []
    chains: dict[tuple[str, ...], _Chain] = {}
    others: Tally[str] = Tally()
    for line, row in row_files.parsed(text, refused):
        check()
        writer = value(row, "target_model").strip()
        if target and not same_model(writer, target):
            others[writer or "no model named"] += 1
            continue
        fault = _add(chains, line, row, allow_unlabelled)
        if fault:
            refused.append((line, fault))
    answers: dict[str, dict[str, None]] = {}
    for chain in chains.values():
        known = answers.setdefault(row_fields.problem(chain.row), {})
        if len(known) < row_fields.MAX_GIVEN:  # a question with thousands of answers: the first ones serve all its rows
            known[row_fields.answer(chain.row)] = None
    for chain in chains.values():
        check()
        try:
            chain.item = _item(chain, list(answers[row_fields.problem(chain.row)]), tokenizer, seed, most)
            check_item(chain.item)
            _check_length(chain.item, tokenizer)
        except UserError as error:
            chain.item = None
            refused.append((chain.line, error.message))
    items = _with_donors([chain.item for chain in chains.values() if chain.item is not None])
    lost = [chain for chain in chains.values() if chain.item is None]
    said = _summary(items) + reasons(refused, {chain.line: chain.rows for chain in lost})
    said += lost_labels([item.label for item in items], [chain.chain_label for chain in lost]) + _not_taken(others)
    return Rows(tuple(items), tuple(sorted(refused)), said)


def _add(chains: dict[tuple[str, ...], _Chain], line: int, row: Mapping[str, Any], allow_unlabelled: bool) -> str:
    """Enter a row with its chain; a sentence if it cannot be used."""
    fault = row_fields.fault(row, allow_unlabelled)
    if fault:
        return fault
    cot, kind = value(row, "cot"), row_fields.label_type(row)
    asked, _ = row_fields.prompt(row)
    key = (row_fields.question(row), asked, value(row, "prompted_hint"), cot, row_fields.answer(row),
           value(row, "target_model").strip())  # fmt: skip
    chain = chains.get(key) or _Chain(line, row)
    place: tuple[int, int] | None = None
    label = kind.startswith("FAITHFUL")
    if kind.endswith("_COT"):
        if chain.chain_label is not None and chain.chain_label != label:
            return f"This row contradicts an earlier label of the same chain (line {chain.line}). Keep one of them."
        chain.chain_label = label
    elif kind:
        span = row_fields.span(row, cot)
        if isinstance(span, str):
            return span
        if any(a < span[1] and span[0] < b and (a, b) != span for a, b in chain.steps):
            return (
                "The span of this sentence overlaps that of another labelled sentence of the chain. Keep one of them."
            )
        if chain.steps.get(span, label) != label:
            return f"This row contradicts an earlier label of the same sentence (chain of line {chain.line})."
        chain.steps[span] = label
        place = span
    if kind:
        chain.marks.append({"label_type": kind, "place": place} | row_fields.kept(row, row_fields.OF_LABEL))
    chain.rows += 1
    chains[key] = chain
    return ""


def _item(chain: _Chain, others: Sequence[str], tokenizer: Any, seed: int, most: int) -> Item:
    row, cot = chain.row, value(chain.row, "cot")
    asked, hint = row_fields.prompt(row)
    steps, labels, block = blocked(*steps_of(cot, chain.steps), most)
    candidates, answer = _candidates(row, steps, others)
    if len(candidates) < 2:
        raise UserError(
            "Only one answer is known for this question, so there is nothing to compare it with. Give candidates or "
            "correct_answer.",
            "candidates",
        )
    before, parts, lead = framed(question_parts(asked, hint), tokenizer, plain=not _templated(tokenizer))
    mistakes, paraphrases = altered(steps, seed, candidates)
    names = sorted({kind for kind in (_kind(chain.chain_label, "chain"), *_step_kinds(labels)) if kind})
    claim = f"given by the file: {', '.join(names)}" if names else "unlabelled: the file gives no label"
    facts: dict[str, Any] = {"line": chain.line, "rows": chain.rows}
    known = {"target_model": chain.target, "reason": row_fields.column(row, "reason", "labeling_reason"),
             "correct_answer": value(row, "correct_answer").strip()}  # fmt: skip
    facts |= {name: said for name, said in known.items() if said}
    if block > 1:
        facts["block"] = block
    facts["columns"] = row_fields.kept(row, row_fields.OF_CHAIN)
    ends = list(accumulate(map(len, steps)))
    facts["marks"] = [
        {**{k: v for k, v in mark.items() if k != "place"},
         **({"step": bisect_right(ends, mark["place"][0])} if mark["place"] else {})}
        for mark in chain.marks
    ]  # fmt: skip
    return Item(
        id=f"file-{chain.line}",
        before=before,
        question=parts,
        lead=lead,
        steps=tuple(steps),
        cue=CUE,
        answer=answer,
        candidates=candidates,
        mistakes=mistakes,
        paraphrases=paraphrases,
        key=hint,
        tier="file",
        problem=row_fields.problem(row),
        label=chain.chain_label,
        claim=claim,
        step_labels=tuple(labels) if chain.steps else (),
        facts=facts,
    )


def _check_length(item: Item, tokenizer: Any) -> None:
    if tokenizer is None:
        return
    count = len(tokenizer(item.text, add_special_tokens=False, verbose=False)["input_ids"])
    if count > MAX_TOKENS:
        raise UserError(
            f"Question and chain are {count:,} tokens long; at most {MAX_TOKENS:,} can be measured. Shorten the chain.",
            "steps",
        )


def _templated(tokenizer: Any) -> bool:
    return bool(getattr(tokenizer, "chat_template", None))


def _kind(label: bool | None, what: str) -> str:
    return "" if label is None else f"{'faithful' if label else 'unfaithful'} {what}"


def _step_kinds(labels: Sequence[bool | None]) -> list[str]:
    return [_kind(label, "step") for label in labels]


def _candidates(row: Mapping[str, Any], steps: Sequence[str], others: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Candidate answers, each once in whatever writing, and the item's answer as it is written among them."""
    answer = row_fields.answer(row)
    given = row.get("candidates")
    if isinstance(given, str) and given.lstrip().startswith("["):  # a cell of a table holds the list as JSON
        given = parse_json(given, "candidates", "The column candidates")
    if given:
        if not isinstance(given, list) or not all(isinstance(c, (str, int, float)) for c in given):
            raise UserError("The column candidates must be a list of answers.", "candidates")
        listed = distinct([row_fields.bare(str(c)) for c in given], len(given))
        chosen = named(answer, listed)
        return (listed, chosen) if chosen else (distinct([*listed, answer], len(listed) + 1), answer)
    correct = row_fields.bare(value(row, "correct_answer"))
    return candidates_for(answer, row_fields.question(row), steps, [correct, *others]), answer


def _with_donors(items: list[Item]) -> list[Item]:
    """Each item with the chain of the next one, round the file, of another question that ends in another answer."""
    made, count = [], len(items)
    for at, item in enumerate(items):
        nearest = (items[(at + k) % count] for k in range(1, min(count, _LOOKED)))
        other = next((o for o in nearest if o.problem != item.problem and o.answer != item.answer), None)
        made.append(item if other is None else replace(item, donor=other.steps))
    return made


def _summary(items: Sequence[Item]) -> str:
    labelled = sum(item.label is not None for item in items)
    steps = sum(label is not None for item in items for label in item.step_labels)
    said = f"{len(items):,} chains were read, {labelled:,} of them with a label, and {steps:,} labelled steps."
    joined = [item.facts["block"] for item in items if item.facts.get("block")]
    if joined:
        said += (
            f" {len(joined):,} of them are long and were read in blocks of up to {max(joined):,} neighbouring "
            "sentences, each labelled sentence by itself: a block is altered as one step, so positions are coarser."
        )
    return said


def _not_taken(others: Tally[str]) -> str:
    if not others:
        return ""
    names = ", ".join(f"{name} ({count:,})" for name, count in others.most_common(4))
    return f" {sum(others.values()):,} rows of other models were not taken: {names}{', …' if len(others) > 4 else ''}."
