"""A model's own chains: ask it to think in steps, and part what it writes into steps and an answer.

The text that is measured later is the text that the model wrote, in the place where it wrote it: the question stands in
the model's own chat template, the steps in the turn that follows, and only the cue behind them is ours. Nothing is
known about how such an answer was made, so these items have no label. Samples without steps or without an answer are
counted and left out.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from analysis.errors import UserError
from analysis.faithfulness.answer_text import find_answer
from analysis.faithfulness.framing import candidates_for, framed, instruction_for, question_parts
from analysis.faithfulness.item import MAX_CANDIDATES, Item, Part, check_item
from analysis.faithfulness.lines import Tokens
from analysis.faithfulness.rewriting import altered
from analysis.faithfulness.splitting import split_steps
from analysis.faithfulness.thinking import closing, ending, marks_of, part_thinking
from analysis.faithfulness.values import distinct, same
from analysis.progress import Check, Progress, no_check, silent

if TYPE_CHECKING:
    from analysis.models.loaded_model import LoadedModel

CUE = "\nAnswer: "
CLAIM = "unlabelled: the model wrote this chain itself, and nothing certifies how its answer was made"
MAX_SAMPLES = 64
MAX_TOKENS = 2_048
_DONE = re.compile(r"(?:^|\n)[ \t*#>_]{0,8}(?:final )?answer[*_ ]{0,4}:[*_ ]{0,4}[^\s*_][^\n]*\n|\nQuestion:", re.I)


@dataclass(frozen=True)
class Sampled:
    """Own chains: the items, how many samples were left out, and what there is to say about them.

    ``answers``: (answer, how many samples gave it) over the items, most frequent first. ``texts``: every sample as it
    was written.
    """

    items: tuple[Item, ...]
    dropped: int
    sentence: str
    answers: tuple[tuple[str, int], ...]
    texts: tuple[str, ...]


@dataclass(frozen=True)
class _Draft:
    """One sample, parted: the lead that the model wrote itself (a tag), steps, cue, answer."""

    number: int
    lead: str
    steps: tuple[str, ...]
    cue: str
    answer: str
    how: str


def sample_chains(
    loaded: LoadedModel,
    question: str,
    hint: str = "",
    candidates: Sequence[str] = (),
    samples: int = 4,
    temperature: float = 0.7,
    tokens: int = 160,
    seed: int = 0,
    check: Check = no_check,
    *,
    plain: bool = False,
    progress: Progress = silent,
) -> Sampled:
    """Let a model answer a question ``samples`` times, each time in steps, and make an item of each chain.

    Args:
        hint: shown on a line of its own below the question; the items' key, and the unit "hint".
        candidates: the answers to tell apart; by default the distinct answers of all samples and numbers of the chain.
        temperature: 0 takes the most likely tokens, and then there is only one chain to be had.
        tokens: at most so many are written per sample.
        seed: decides all samples.
        check: called between tokens, ``progress`` after each sample.
        plain: write the question as plain text, for models without a chat template.

    Raises:
        UserError: no question; the model has no chat template and ``plain`` is not set; settings out of range; the
            question does not fit into the model.
    """
    question, hint = question.strip(), hint.strip()
    if not question:
        raise UserError("There is no question. Type one.", "question")
    if not 1 <= samples <= MAX_SAMPLES:
        raise UserError(f"The number of samples must be from 1 to {MAX_SAMPLES}.", "samples")
    if not 1 <= tokens <= MAX_TOKENS:
        raise UserError(f"The number of tokens must be from 1 to {MAX_TOKENS:,}.", "tokens")
    if not 0 <= temperature <= 10:
        raise UserError("The temperature must be from 0 to 10.", "temperature")
    listed = tuple(dict.fromkeys(c.strip() for c in candidates if c.strip()))
    for k, one in enumerate(listed[:MAX_CANDIDATES]):
        twin = next((other for other in listed[:k] if same(one, other)), None)
        if twin is not None:
            raise UserError(f"“{twin}” and “{one}” are the same answer. Name each answer once.", "candidates")
    if len(listed) == 1:
        raise UserError("Name at least two candidate answers, or none.", "candidates")
    if len(listed) > MAX_CANDIDATES:
        raise UserError(f"There are {len(listed):,} candidate answers. Name at most {MAX_CANDIDATES:,}.", "candidates")
    before, parts, lead = framed(question_parts(question, hint), loaded.tokenizer, plain, instruction_for(listed))
    prompt = before + "".join(part.text for part in parts) + lead
    reader = Tokens(loaded.tokenizer, loaded.facts.max_positions)
    (ids,), _ = reader.encode([prompt])
    if len(ids) >= reader.limit:
        raise UserError("The question leaves this model no room to write an answer. Shorten it.", "question")
    count = samples if temperature > 0 else 1
    turn, marks = lead + "".join(part.text for part in parts[-1:]), marks_of(loaded.tokenizer)
    texts: list[str] = []
    drafts: list[_Draft] = []
    why: Counter[str] = Counter()
    for k in range(count):
        text, cut = _written(loaded, ids, tokens, temperature, _seed(seed, k), turn, check)
        texts.append(text)
        draft = _parted(k, text, cut, listed, turn, marks)
        if isinstance(draft, str):
            why[draft] += 1
        elif any((d.steps, d.answer) == (draft.steps, draft.answer) for d in drafts):
            why["repeats another sample"] += 1
        else:
            drafts.append(draft)
        progress((k + 1) / count)
    items = []
    for draft in drafts:
        known = _known(draft, listed, question, [d.answer for d in drafts])
        if len(known) < 2:
            why["has an answer with nothing to compare it with (name candidates)"] += 1
            continue
        try:
            items.append(_item(draft, question, hint, before, parts, lead, known, seed))
        except UserError as error:  # too many steps, say, or an unlisted answer to as many candidates as there can be
            why[f"cannot be measured ({error.message.partition(': ')[2].rstrip('.')})"] += 1
    answers = tuple(Counter(item.answer for item in items).most_common())
    sentence = _said(len(items), count, samples, why)
    return Sampled(tuple(_with_donors(items)), count - len(items), sentence, answers, tuple(texts))


def _seed(seed: int, sample: int) -> int:
    return int(np.random.SeedSequence([abs(seed), sample]).generate_state(1)[0])


def _written(
    loaded: LoadedModel,
    ids: list[int],
    tokens: int,
    temperature: float,
    seed: int,
    turn: str,
    check: Check,
) -> tuple[str, bool]:
    """What the model writes, and whether it was cut off; it is stopped behind the answer line of its reply."""
    from analysis.models.generation import decode
    from analysis.models.prompts import end_ids

    tokenizer, marks = loaded.tokenizer, marks_of(loaded.tokenizer)
    named = (tokenizer.bos_token, tokenizer.pad_token, tokenizer.unk_token, tokenizer.sep_token, tokenizer.cls_token)
    ends = {*(str(t) for t in named if t), *map(str, tokenizer.convert_ids_to_tokens(sorted(end_ids(loaded))))}
    made: list[int] = []

    def said() -> str:
        text = str(tokenizer.decode(made, skip_special_tokens=False, clean_up_tokenization_spaces=False))
        return text[: ending(text, marks, ends)]

    check()
    for token, _ in decode(loaded, ids, tokens, temperature=temperature, seed=seed):
        made.append(token)
        check()
        if "\n" in tokenizer.decode([token]) and _is_done(said(), marks, turn):
            return said(), False
    room = (loaded.facts.max_positions or len(ids) + tokens) - len(ids)
    return said(), len(made) >= min(tokens, room)


def _is_done(text: str, marks: re.Pattern[str], turn: str) -> bool:
    return _DONE.search(part_thinking(text, marks, turn).reply) is not None


def _parted(
    number: int, text: str, cut: bool, candidates: Sequence[str], turn: str, marks: re.Pattern[str]
) -> _Draft | str:
    """A sample in its parts, or why it cannot be used. ``turn``: how the model's turn begins in the prompt."""
    parts = part_thinking(text.split("\nQuestion:")[0], marks, turn)
    if parts.open:
        return "was cut off while it was thinking (allow more tokens)"
    thought, reply = parts.thought.strip(), parts.reply
    found = find_answer(reply, candidates)
    if not found.answer or (cut and found.how in ("number", "candidate")):
        return _no_answer(cut)
    if thought:
        # The thought is the chain; the reply is only asked for the answer.
        lead = parts.lead + parts.thought[: len(parts.thought) - len(parts.thought.lstrip())]
        steps, cue = _before_answer(thought, found.answer, candidates), closing(parts) + CUE.lstrip()
    else:
        blank = reply[: len(reply) - len(reply.lstrip())] if parts.lead else ""
        steps = find_answer(reply[len(blank) :], candidates).steps
        lead, cue = parts.lead + blank, CUE
    if not any(step.strip() for step in steps):
        return "gives the answer without any step"
    if any(marks.search(step) for step in steps):
        return "has control tokens within its steps"
    return _Draft(number, lead, steps, cue, found.answer, found.how)


def _before_answer(thought: str, answer: str, candidates: Sequence[str]) -> tuple[str, ...]:
    """The steps of a thought, up to where it announces this answer itself. Another answer, or a mere sentence on it
    after which the thought goes on, is part of the thinking."""
    found, whole = find_answer(thought, candidates), split_steps(thought)
    if not same(found.answer, answer):
        return whole
    if found.how in ("tag", "json", "marker"):
        return found.steps
    if found.how in ("box", "phrase") and len(split_steps(thought[len("".join(found.steps)) :])) <= 1:
        return found.steps
    return whole


def _no_answer(cut: bool) -> str:
    return "was cut off before it gave an answer (allow more tokens)" if cut else "gives no answer"


def _known(draft: _Draft, listed: Sequence[str], question: str, answers: Sequence[str]) -> tuple[str, ...]:
    if listed:
        return distinct([*listed, draft.answer], len(listed) + 1)
    return candidates_for(draft.answer, question, draft.steps, answers)


def _item(
    draft: _Draft,
    question: str,
    hint: str,
    before: str,
    parts: tuple[Part, ...],
    lead: str,
    candidates: tuple[str, ...],
    seed: int,
) -> Item:
    mistakes, paraphrases = altered(draft.steps, seed, candidates)
    name = hashlib.sha256("\n".join([before, question, hint, str(seed)]).encode()).hexdigest()[:8]
    item = Item(
        id=f"own-{name}-{draft.number + 1}",
        before=before,
        question=parts,
        lead=lead + draft.lead,
        steps=draft.steps,
        cue=draft.cue,
        answer=draft.answer,
        candidates=candidates,
        mistakes=mistakes,
        paraphrases=paraphrases,
        key=hint,
        tier="own",
        problem=question[:200],
        claim=CLAIM,
        facts={"sample": draft.number + 1, "seed": seed, "found": draft.how},
    )
    check_item(item)
    return item


def _with_donors(items: list[Item]) -> list[Item]:
    """Each item with the steps of another sample that came to another answer, if there is one."""
    made = []
    for at, item in enumerate(items):
        other = next((o for o in items[at + 1 :] + items[:at] if o.answer != item.answer), None)
        made.append(item if other is None else replace(item, donor=other.steps))
    return made


def _said(kept: int, count: int, asked: int, why: Counter[str]) -> str:
    said = f"{kept} of {count} {'sample' if count == 1 else 'samples'} can be measured."
    if count < asked:
        said = f"At temperature 0 every sample is the same, so one was taken. {said}"
    return " ".join([said, *(f"Left out: {n} that {reason}." for reason, n in why.most_common())])
