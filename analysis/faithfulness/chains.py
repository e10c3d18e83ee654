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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.errors import UserError
from analysis.faithfulness.item import Item, Part, check_item
from analysis.faithfulness.lines import Tokens
from analysis.faithfulness.rewriting import altered
from analysis.faithfulness.splitting import find_answer, named, numbers_in, split_steps

if TYPE_CHECKING:
    from analysis.models.loader import LoadedModel

CUE = "\nAnswer: "
CLAIM = "unlabelled: the model wrote this chain itself, and nothing certifies how its answer was made"
INSTRUCTION = (
    "Think about the question in short steps, one sentence each. Then end with a line of its own that reads "
    "“Answer: X”, where X is the answer alone."
)
MAX_CANDIDATES = 8
MAX_UNITS = 5
MAX_SAMPLES = 64
MAX_TOKENS = 2_048
_PLAIN_LEAD = "\nLet us think step by step.\n"
_PLACE = "QUESTION-7F3A-HERE"
_TAG = re.compile(r"<(think|thinking|thought|reasoning)>\s*", re.I)
_CLOSE = re.compile(r"\s*</(think|thinking|thought|reasoning)>\s*", re.I)
_DONE = re.compile(r"(?:^|\n)[ \t*#>_]{0,8}(?:final )?answer[*_ ]{0,4}:[*_ ]{0,4}[^\s*_][^\n]*\n|\nQuestion:", re.I)
_OPTION = re.compile(r"(?:^|(?<=[\s(*]))\(?([A-J])[).:](?=\s|\*)", re.M)


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
    check: Callable[[], None] = lambda: None,
    *,
    plain: bool = False,
    progress: Callable[[float], None] = lambda share: None,
) -> Sampled:
    """Let a model answer a question ``samples`` times, each time in steps, and make an item of each chain.

    Args:
        hint: shown on a line of its own below the question; the items' key, and the unit "hint".
        candidates: the answers to tell apart; by default the distinct answers of all samples and numbers of the chain.
        temperature: 0 takes the most likely tokens, and then there is only one chain to be had.
        tokens: at most so many are written per sample.
        seed: decides all samples.
        check: a safe point between tokens, which may raise; ``progress`` is told the share that is done.
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
    if len(listed) == 1:
        raise UserError("Name at least two candidate answers, or none.", "candidates")
    before, parts, lead = framed(question_parts(question, hint), loaded.tokenizer, plain, _instruction(listed))
    prompt = before + "".join(part.text for part in parts) + lead
    reader = Tokens(loaded.tokenizer, loaded.facts.max_positions)
    (ids,), _ = reader.encode([prompt])
    if len(ids) >= reader.limit:
        raise UserError("The question leaves this model no room to write an answer. Shorten it.", "question")
    count = samples if temperature > 0 else 1
    texts: list[str] = []
    drafts: list[_Draft] = []
    why: Counter[str] = Counter()
    for k in range(count):
        text, cut = _written(loaded, ids, tokens, temperature, _seed(seed, k), check)
        texts.append(text)
        draft = _parted(k, text, cut, listed, lead + "".join(part.text for part in parts[-1:]))
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
        items.append(_item(draft, question, hint, before, parts, lead, known, seed))
    answers = tuple(Counter(item.answer for item in items).most_common())
    sentence = _said(len(items), count, samples, why)
    return Sampled(tuple(_with_donors(items)), count - len(items), sentence, answers, tuple(texts))


def framed(
    parts: Sequence[Part], tokenizer: Any, plain: bool = False, instruction: str = ""
) -> tuple[str, tuple[Part, ...], str]:
    """(before, question, lead) of an item: the parts of a question in the model's chat template, or as plain text.

    In a template everything up to the question is ``before``, and what closes the turn and opens the model's own is the
    question's last part, which has no unit; the lead is "". A template that takes no system message gets the
    instruction at the head of the user's turn. Raises UserError(field="model") if there is no template.
    """
    if plain:
        return f"{instruction}\n\n" if instruction else "", (Part("Question: "), *parts), _PLAIN_LEAD
    if not getattr(tokenizer, "chat_template", None):
        raise UserError(
            "This model has no chat template, so it cannot be asked in its own format. Choose a chat model, or ask it "
            "in plain text.",
            "model",
        )
    text = _templated(tokenizer, instruction)
    if text.count(_PLACE) != 1:
        raise UserError("The chat template of this model does not show the question. Ask it in plain text.", "model")
    head, tail = text.split(_PLACE)
    return head, (*parts, *([Part(tail)] if tail else [])), ""


def question_parts(question: str, hint: str = "") -> tuple[Part, ...]:
    """A question in at most :data:`MAX_UNITS` units, which attributions mask: its sentences (neighbours together where
    there are more; clauses where there is one only), and the hint as the unit "hint".

    A hint that stands in the question stays there; any other is put on a line of its own below. Joined, the parts are
    the text; the blank space before a unit is no part of it, so that masking keeps the layout.
    """
    hint = hint.strip()
    if hint and hint in question:
        front, _, back = question.partition(hint)
        pieces, marked = [front, hint, back], 1
    elif hint:
        pieces, marked = [question, f"\n{hint}"], 1
    else:
        pieces, marked = [question], -1
    room = MAX_UNITS - (marked >= 0)
    cut = [[] if k == marked else [s for s in split_steps(piece) if s] for k, piece in enumerate(pieces)]
    if sum(s.strip() != "" for row in cut for s in row) == 1 and marked < 0:
        cut = [re.split(r"(?<=[,;:])(?=\s)", pieces[0])]
    size = -(-sum(map(len, cut)) // room)
    parts: list[Part] = []
    number = 0
    for k, piece in enumerate(pieces):
        for i in range(0, len(cut[k]), size):
            group = "".join(cut[k][i : i + size])
            number += bool(group.strip())
            parts += _spaced(group, f"sentence {number}")
        if k == marked:
            parts += _spaced(piece, "hint")
    # A hint within the question may leave one group more on its other side than there is room for.
    names = [part.unit for part in parts if part.unit and part.unit != "hint"]
    spare = set(names[room - 1 :]) if len(names) > room else set()
    return tuple(replace(p, unit=names[room - 1]) if p.unit in spare else p for p in parts)


def candidates_for(answer: str, question: str, steps: Sequence[str], others: Sequence[str] = ()) -> tuple[str, ...]:
    """Answers to compare with, the answer first: other answers known, the question's option letters if the answer is
    such a letter, and numbers of the chain if it is a number, or if there is nothing else. At most 8, each once; two
    ways to write the same number are one."""
    found = [answer, *others]
    letters = list(dict.fromkeys(_OPTION.findall(question)))
    if re.fullmatch(r"[A-J]", answer) and letters == list("ABCDEFGHIJ")[: len(letters)]:
        found += letters
    kept = _distinct(found)
    if len(kept) < 2 or numbers_in(answer) == [answer]:
        kept = _distinct([*kept, *(n for step in reversed(steps) for n in reversed(numbers_in(step)))])
    return kept


def _distinct(found: Sequence[str]) -> tuple[str, ...]:
    kept: list[str] = []
    for one in found:
        if one and one not in kept and not (numbers_in(one) == [one] and named(one, kept)):
            kept.append(one)
        if len(kept) == MAX_CANDIDATES:
            break
    return tuple(kept)


def _spaced(text: str, unit: str) -> list[Part]:
    inner = text.strip()
    if not inner:
        return [Part(text)] if text else []
    at = text.index(inner)
    made = [Part(text[:at]), Part(inner, unit), Part(text[at + len(inner) :])]
    return [part for part in made if part.text]


def _instruction(candidates: Sequence[str]) -> str:
    return f"{INSTRUCTION} X is one of: {', '.join(candidates)}." if candidates else INSTRUCTION


def _templated(tokenizer: Any, instruction: str) -> str:
    from jinja2.exceptions import TemplateError

    def apply(messages: list[dict[str, str]]) -> str:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    user = {"role": "user", "content": _PLACE}
    if not instruction:
        return apply([user])
    try:
        text = apply([{"role": "system", "content": instruction}, user])
        if instruction in text:
            return text
    except TemplateError:  # some templates refuse system messages, others drop them
        pass
    return apply([{"role": "user", "content": f"{instruction}\n\n{_PLACE}"}])


def _seed(seed: int, sample: int) -> int:
    return int(np.random.SeedSequence([abs(seed), sample]).generate_state(1)[0])


def _written(
    loaded: LoadedModel, ids: list[int], tokens: int, temperature: float, seed: int, check: Callable[[], None]
) -> tuple[str, bool]:
    """What the model writes, and whether it was cut off; it is stopped behind its answer line."""
    from analysis.models.generation import decode

    made: list[int] = []
    check()
    for token, _ in decode(loaded, ids, tokens, temperature=temperature, seed=seed):
        made.append(token)
        check()
        if "\n" in loaded.tokenizer.decode([token]) and _is_done(_text(loaded.tokenizer, made)):
            return _text(loaded.tokenizer, made), False
    room = (loaded.facts.max_positions or len(ids) + tokens) - len(ids)
    return _text(loaded.tokenizer, made), len(made) >= min(tokens, room)


def _text(tokenizer: Any, made: list[int]) -> str:
    """Token ids as text, up to the first token that is no text; tags of thinking are."""
    text = str(tokenizer.decode(made, skip_special_tokens=False, clean_up_tokenization_spaces=False))
    ends = [text.find(s) for s in tokenizer.all_special_tokens if s in text and not re.match(r"</?(think|tho|reas)", s)]
    return text[: min(ends)] if ends else text


def _is_done(text: str) -> bool:
    opened, closed = _TAG.search(text), _CLOSE.search(text)
    if opened and not closed:
        return False
    return _DONE.search(text, closed.end() if closed else 0) is not None


def _parted(number: int, text: str, cut: bool, candidates: Sequence[str], turn: str) -> _Draft | str:
    """A sample in its parts, or why it cannot be used. ``turn``: how the model's turn begins in the prompt."""
    text = text.split("\nQuestion:")[0]
    opened, closed = _TAG.match(text.lstrip()), _CLOSE.search(text)
    inside = bool(opened) or (_TAG.search(turn) is not None and _CLOSE.search(turn) is None)
    lead, cue, body = "", CUE, text
    if inside and closed is None:
        return "was cut off while it was thinking (allow more tokens)"
    if inside and closed is not None:
        begin = text.index(opened.group()) + len(opened.group()) if opened else 0
        thought, reply = text[begin : closed.start()], text[closed.end() :]
        if thought.strip():
            found = find_answer(reply, candidates)
            # The thought is the chain; the reply is only asked for the answer.
            answer, how, steps = found.answer, found.how, split_steps(thought)
            lead, cue = text[:begin], closed.group().rstrip() + "\n" + CUE
            if not answer:
                return _no_answer(cut)
            return _Draft(number, lead, steps, cue, answer, how)
        lead, body = text[: closed.end()], reply
    found = find_answer(body, candidates)
    if not found.answer or (cut and found.how in ("number", "candidate")):
        return _no_answer(cut)
    if not any(step.strip() for step in found.steps):
        return "gives the answer without any step"
    return _Draft(number, lead, found.steps, cue, found.answer, found.how)


def _no_answer(cut: bool) -> str:
    return "was cut off before it gave an answer (allow more tokens)" if cut else "gives no answer"


def _known(draft: _Draft, listed: Sequence[str], question: str, answers: Sequence[str]) -> tuple[str, ...]:
    if listed:
        return tuple(dict.fromkeys([*listed, draft.answer]))
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
