"""FUR: make the model forget one step of a chain, and ask it again (arXiv 2502.14829; dossier M6).

A step that the answer rests on should take the answer with it when it is unlearned from the weights. Only the last
projections of the MLPs are trained, for a few updates, and then the model is as it was, bit for bit: whatever happens
inside, the weights are put back by the context that changed them, and their bytes are compared. Other work may run at
the safe points between updates, so the model wears its own weights there as well. The learning rate decides the
result; it is therefore chosen on items that are not scored, by how much else the model forgets.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from analysis.errors import UserError
from analysis.faithfulness.ask import AnswerAsk, Reply, ask_of
from analysis.faithfulness.item import Item
from analysis.faithfulness.lines import Tokens
from analysis.faithfulness.measures.base import NOT_PROBED, Score, StepScore, no_chain, probed
from analysis.faithfulness.reader import ModelReader
from analysis.models.generation import decode
from analysis.models.hooks import layout
from analysis.models.loader import LoadedModel

Form = Literal["direct", "chain"]
Average = Literal["positions", "batch"]
Check = Callable[[], None]

_STOP = frozenset(
    "the and but for nor yet are was were been being has have had having does did doing will would shall should can "
    "could may might must not this that these those there then than thus hence therefore because since while when "
    "where which who whom whose what why how with without from into onto over under about after before between through "
    "during again once here his her hers him its our ours your yours their theirs them they she you also just only "
    "very too own same such each any all both few more most some other another let now get gets got next first finally "
    "final step steps answer".split()
)
_CONTENT = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]{3,}")


def content_spans(text: str) -> list[tuple[int, int]]:
    """Half-open character spans of the words of a step that carry content: numbers, and words of three letters or more
    that are no stop words. A rule instead of the parts of speech of the original (dossier M6)."""
    found = _CONTENT.finditer(text)
    return [m.span() for m in found if m.group()[0].isdigit() or m.group().lower() not in _STOP]


def npo(nll: Tensor, before: float | Tensor, beta: float) -> Tensor:
    """-(2/beta) log sigmoid(beta (NLL - NLL_0)): the negative preference loss of one step, NLL in nats summed over its
    content tokens. (2/beta) ln 2 where nothing has changed."""
    return -(2.0 / beta) * F.logsigmoid(beta * (nll - before))


def divergence(before: Tensor, now: Tensor) -> Tensor:
    """Sum over positions of KL(original || trained), nats, from log-probabilities (positions, V)."""
    return (before.exp() * (before - now)).sum()


def projections(loaded: LoadedModel) -> list[nn.Parameter]:
    """The weights of the last projections of all MLPs, in the order of the blocks; no biases.

    Raises UserError(field="model") if the model has none that can be told apart (experts that share the work have
    none), or if their weights are no floating-point numbers.
    """
    sites = sorted((s for s in layout(loaded).places if s.kind == "mlp_hidden"), key=lambda s: s.layer)
    found = [layout(loaded).places[site].module.weight for site in sites]
    if not found:
        raise UserError(
            "No MLP of this model has one last projection, so a step cannot be unlearned from it. Leave FUR out, or "
            "load another model.",
            "model",
        )
    weights = [w for w in dict.fromkeys(found) if isinstance(w, nn.Parameter) and w.is_floating_point()]
    if len(weights) != len(found):
        raise UserError(
            "The MLP weights of this model are quantised and cannot be trained. Load it in float32.", "model"
        )
    return weights


def weights_hash(tensors: nn.Module | Sequence[Tensor]) -> str:
    """SHA-256 of all bytes of some tensors, or of a model's parameters and buffers."""
    named = tensors.state_dict(keep_vars=True).values() if isinstance(tensors, nn.Module) else tensors
    digest = hashlib.sha256()
    for tensor in named:
        values: np.ndarray = tensor.detach().reshape(-1).contiguous().cpu().view(torch.uint8).numpy()
        digest.update(values.data)
    return digest.hexdigest()


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
class Forgotten:
    """What unlearning one step did.

    ``efficacy``: 1 - exp((NLL_0 - NLL)/tokens) over the ``tokens`` content tokens of the step; ``efficacy_step``: over
    all of its tokens. ``specificity``: share of unchanged answers on held-out items, None without any. ``direct``:
    asked without steps; ``chain``: asked after a chain written afresh, greedily (``text``). ``losses``: per epoch, NPO
    and KL.
    """

    step: int
    tokens: int
    efficacy: float
    efficacy_step: float
    specificity: float | None
    direct: Asked
    chain: Asked | None
    text: str = ""
    losses: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Unlearned:
    """All steps of one item, None for those that were not unlearned; ``note`` says why."""

    item: Item
    steps: tuple[Forgotten | None, ...]
    note: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def done(self) -> list[Forgotten]:
        """The steps that were unlearned."""
        return [step for step in self.steps if step is not None]

    def score(self, form: Form = "direct") -> Score:
        """hard: 1 if unlearning any step changes the answer; soft: the largest loss of its probability; no margin."""
        asked = [None if s is None else s.direct if form == "direct" else s.chain for s in self.steps]
        known = [a for a in asked if a is not None]
        steps: tuple[StepScore, ...] = tuple(
            dict(NOT_PROBED) if a is None else {"hard": float(a.flipped), "soft": a.shift, "margin": None}
            for a in asked
        )
        if not known:
            return Score(note=self.note or "The fresh chain was not asked for.", facts=self.facts)
        note = self.note
        if known[0].before != self.item.answer:
            way = "Without the chain" if form == "direct" else "After a chain of its own"
            note = (
                f"{way} this model answers {known[0].before.strip()!r} and not {self.item.answer.strip()!r} before "
                f"anything is unlearned; the score is about that answer. {note}"
            ).strip()
        facts = {
            **self.facts,
            "form": form,
            "efficacy": _mean([s.efficacy for s in self.done]),
            "specificity": _mean([s.specificity for s in self.done]),
        }
        hard, soft = float(any(a.flipped for a in known)), max(a.shift for a in known)
        return Score(hard, soft, None, steps, note, facts)


@dataclass(frozen=True)
class _Target:
    """Token ids, the positions of a span's tokens, and which of these are trained."""

    ids: Tensor
    places: tuple[int, ...]
    content: tuple[bool, ...]


class Unlearner:
    """Unlearns steps with loss NPO + KL, AdamW, linear decay, gradients clipped; asks again; puts the weights back.

    Args:
        rate: learning rate of the first update; see :func:`choose_rate`. ``epochs`` updates are made per step.
        beta: of NPO.
        retain: items on whose steps the model is held to its original distribution, ``per_epoch`` of them at a time.
        held_out: other items, for the specificity; each is asked without its steps and with them.
        average: how the KL term is averaged, for the two published code bases differ: "positions", over batch and
            positions (that of arXiv 2502.14829, the default), or "batch", summed over positions and averaged over the
            batch (that of arXiv 2605.25052), which weighs it about a text's length times more.
        fresh: ask after a fresh greedy chain too, of at most ``tokens`` tokens.
        most: at most so many steps of an item are unlearned, evenly spaced.
        weight_decay, clip: of AdamW, and the largest norm of the gradient.
        seed: decides which retain items meet which epoch.

    Raises UserError if the model has no such projections, a setting is out of range, or an item is both retained and
    held out. Sums of gradients are taken in float32 whatever the model's dtype is.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        rate: float,
        beta: float = 0.1,
        epochs: int = 5,
        retain: Sequence[Item] = (),
        held_out: Sequence[Item] = (),
        *,
        average: Average = "positions",
        per_epoch: int = 2,
        fresh: bool = True,
        tokens: int = 160,
        most: int = 10,
        weight_decay: float = 0.01,
        clip: float = 1.0,
        seed: int = 0,
    ) -> None:
        if not (math.isfinite(rate) and rate >= 0):
            raise UserError("The learning rate must be 0 or a positive number.", "rate")
        if not beta > 0 or epochs < 1 or per_epoch < 1:
            raise UserError(
                "Beta must be above 0, and there is at least one epoch and one retain item in each.", "beta"
            )
        if average not in ("positions", "batch"):
            raise UserError("The KL term is averaged over positions or over the batch.", "average")
        both = {i.problem or i.id for i in retain} & {i.problem or i.id for i in held_out}
        if both:
            raise UserError(
                f"The problem {min(both)!r} is both retained and held out, so it cannot show what else is forgotten. "
                "Give other items.",
                "retain",
            )
        self.loaded = loaded
        self.rate, self.beta, self.epochs = rate, beta, epochs
        self.retain, self.held_out = tuple(retain), tuple(held_out)
        self.average, self.per_epoch, self.fresh, self.tokens, self.most = average, per_epoch, fresh, tokens, most
        self.weight_decay, self.clip, self.seed = weight_decay, clip, seed
        self.weights = projections(loaded)
        self._reads = Tokens(loaded.tokenizer, loaded.facts.max_positions)
        self._packed = ModelReader(loaded).is_packed
        self._kept: dict[str, tuple[_Target, Tensor]] = {}

    # What is asked

    def measure(
        self, item: Item, check: Check = lambda: None, progress: Callable[[float], None] = lambda s: None
    ) -> Unlearned:
        """Unlearn the steps of an item one by one. ``check``: a safe point; ``progress`` is told the share done.

        Raises RuntimeError if the weights afterwards are not those before, which nothing should be able to cause.
        """
        others = [i for i in self.held_out if (i.problem or i.id) != (item.problem or item.id)]
        before = weights_hash(self.loaded.model)
        targets = {k: self._target(item, k) for k in range(len(item.steps))}
        able = [k for k, target in targets.items() if target is not None and any(target.content)]
        chosen = probed(able, self.most)
        first = self._ask(item, others, check)
        found: list[Forgotten | None] = [None] * len(item.steps)
        for n, step in enumerate(chosen):
            check()
            with self.forgotten(item, step, check) as trained:
                again = self._ask(item, others)
                nll = trained.nll()
            specificity = (
                sum(a == b for a, b in zip(first.others, again.others, strict=True)) / len(first.others)
                if first.others
                else None
            )
            found[step] = Forgotten(
                step,
                sum(trained.target.content),
                trained.efficacy(nll, True),
                trained.efficacy(nll, False),
                specificity,
                _compared(first.direct, again.direct),
                None if first.chain is None or again.chain is None else _compared(first.chain, again.chain),
                again.text,
                tuple(trained.losses),
            )
            progress((n + 1) / len(chosen))
        if weights_hash(self.loaded.model) != before:
            raise RuntimeError("the weights after unlearning are not those before")
        return Unlearned(
            item, tuple(found), self._note(item, able, chosen), {"rate": self.rate, "average": self.average}
        )

    def _note(self, item: Item, able: list[int], chosen: list[int]) -> str:
        said = []
        bare = len(item.steps) - len(able)
        if bare:
            said.append(f"{bare} of {len(item.steps)} steps hold no number and no content word and were skipped.")
        if len(chosen) < len(able):
            said.append(f"{len(chosen)} of {len(able)} steps were unlearned, evenly spaced.")
        return " ".join(said)

    def _ask(self, item: Item, others: Sequence[Item], check: Check = lambda: None) -> _Answers:
        # A reader of its own: one that is kept would remember the other weights' replies.
        reader = ModelReader(self.loaded, packed=self._packed, check=check)
        text = fresh_chain(self.loaded, item, self.tokens, check) if self.fresh else ""
        direct = no_chain(item)
        chain = ask_of(item, chain=(item.lead, text)) if text else direct
        held = [ask for other in others for ask in (no_chain(other), ask_of(other))]
        replies = reader.read([direct, chain, *held])

        def of(ask: AnswerAsk) -> Reply:
            reply = replies[ask]
            assert isinstance(reply, Reply)
            return reply

        return _Answers(of(direct), of(chain) if self.fresh else None, text, [of(ask).best for ask in held])

    # What is trained

    @contextmanager
    def forgotten(self, item: Item, step: int, check: Check = lambda: None) -> Iterator[Trained]:
        """The model without a step (from 0) inside the context; at its end the weights are the old ones, bit for bit.

        ``check`` is called between epochs, each time with the old weights in the model. Raises UserError(field="steps")
        if the step has nothing to unlearn.
        """
        target = self._target(item, step)
        if target is None or not any(target.content):
            raise UserError("This step holds no number and no content word, so there is nothing to unlearn.", "steps")
        plan = self._plan(item, step)
        with self._trainable() as state:
            trained = Trained(self, target)
            optimiser = torch.optim.AdamW(state.masters, lr=self.rate, weight_decay=self.weight_decay)
            for epoch, batch in enumerate(plan):
                if epoch:
                    with state.paused():
                        check()
                for group in optimiser.param_groups:
                    group["lr"] = self.rate * (1 - epoch / self.epochs)
                optimiser.zero_grad()
                trained.losses.append(self.backward(trained, batch))
                state.collect()
                torch.nn.utils.clip_grad_norm_(state.masters, self.clip)
                optimiser.step()
                state.publish()
            del optimiser
            state.rest()
            yield trained

    def backward(self, trained: Trained, batch: Sequence[tuple[_Target, Tensor]]) -> tuple[float, float]:
        """Add the gradient of the loss to the weights; the two terms, NPO and KL."""
        loss = npo(trained.nll_of(True), trained.before[True], self.beta)
        loss.backward()
        total, positions = 0.0, sum(len(target.places) for target, _ in batch)
        for target, original in batch:
            share = 1 / positions if self.average == "positions" else 1 / len(batch)
            term = divergence(original, self._log_probs(target)) * share
            term.backward()
            total += float(term.detach())
        return float(loss.detach()), total

    def _plan(self, item: Item, step: int) -> list[list[tuple[_Target, Tensor]]]:
        """The retain texts of each epoch with the original model's log-probabilities; twins of the item stay out."""
        able = [i for i in self.retain if (i.problem or i.id) != (item.problem or item.id)]
        draw = np.random.default_rng([self.seed, step])
        plan: list[list[tuple[_Target, Tensor]]] = []
        order: list[int] = []
        for _ in range(self.epochs):
            row: list[int] = []
            while len(row) < min(self.per_epoch, len(able)):
                order = order or draw.permutation(len(able)).tolist()
                at = next((k for k, i in enumerate(order) if i not in row), None)
                if at is None:
                    order = []
                else:
                    row.append(order.pop(at))
            plan.append([self._retained(able[i]) for i in row])
        return plan

    def _retained(self, item: Item) -> tuple[_Target, Tensor]:
        if item.id not in self._kept:
            target = self._target(item, None)
            if target is None:
                raise UserError(f"The retain item {item.id} has no tokens of its own to hold on to.", "retain")
            with torch.no_grad():
                self._kept[item.id] = target, self._log_probs(target)
        return self._kept[item.id]

    def _log_probs(self, target: _Target) -> Tensor:
        """Log-probabilities (positions, V) before each of a target's tokens, in float32 at least."""
        keep = torch.tensor([p - 1 for p in target.places], device=target.ids.device)
        logits: Tensor = self.loaded.model(target.ids, use_cache=False, logits_to_keep=keep).logits[0]
        return logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)

    def _target(self, item: Item, step: int | None) -> _Target | None:
        """A step after everything before it; with None all steps of the chain."""
        upto = len(item.steps) if step is None else step + 1
        text = item.before + item.question_text + item.lead + "".join(item.steps[:upto])
        begin = len(text) - sum(map(len, item.steps[0 if step is None else step : upto]))
        (ids,), (begins,) = self._reads.encode([text])
        ends = [*begins[1:], len(text)]
        words = [(begin + a, begin + b) for a, b in content_spans(text[begin:])]
        places = [p for p, at in enumerate(begins) if at >= begin and p > 0]
        content = tuple(any(begins[p] < b and a < max(ends[p], begins[p] + 1) for a, b in words) for p in places)
        row = torch.tensor([ids], device=self.loaded.device)
        return _Target(row, tuple(places), content) if places else None

    @contextmanager
    def _trainable(self) -> Iterator[_State]:
        model = self.loaded.model
        modes = [(m, m.training) for m in model.modules()]
        state = _State(self.weights, list(model.parameters()))
        with ExitStack() as stack:
            for module, mode in modes:
                stack.callback(setattr, module, "training", mode)
            stack.callback(state.restore)
            model.eval()
            state.begin()
            with torch.inference_mode(False), torch.enable_grad():
                yield state
        if state.hash() != state.before:
            raise RuntimeError("the weights could not be put back")


@dataclass(frozen=True)
class _Answers:
    direct: Reply
    chain: Reply | None
    text: str
    others: list[str]


class Trained:
    """A step that is being unlearned: its tokens, its NLL before (nats; over content tokens, over all), the losses."""

    def __init__(self, owner: Unlearner, target: _Target) -> None:
        self._owner = owner
        self.target = target
        self.losses: list[tuple[float, float]] = []
        with torch.no_grad():
            rows = self._rows().cpu().double()
        self.before = {True: float(rows[torch.tensor(target.content)].sum()), False: float(rows.sum())}

    def _rows(self) -> Tensor:
        target = self.target
        tokens = target.ids[0, list(target.places)]
        return -self._owner._log_probs(target).gather(1, tokens[:, None])[:, 0]

    def nll_of(self, content: bool) -> Tensor:
        """The NLL of the step under the present weights, with gradient."""
        rows = self._rows()
        return rows[torch.tensor(self.target.content, device=rows.device)].sum() if content else rows.sum()

    def nll(self) -> dict[bool, float]:
        """The NLL over content tokens and over all, in nats."""
        with torch.no_grad():
            rows = self._rows().cpu().double()
        return {True: float(rows[torch.tensor(self.target.content)].sum()), False: float(rows.sum())}

    def efficacy(self, nll: dict[bool, float], content: bool) -> float:
        """1 - exp((NLL_0 - NLL)/tokens)."""
        length = sum(self.target.content) if content else len(self.target.places)
        return -math.expm1((self.before[content] - nll[content]) / length)


class _State:
    """The weights that are changed, as they were and as they are trained."""

    def __init__(self, weights: Sequence[nn.Parameter], parameters: Sequence[nn.Parameter]) -> None:
        self.weights = list(weights)
        self._flags = [(p, p.requires_grad, p.grad) for p in parameters]
        self._old = [w.detach().clone() for w in self.weights]
        self.before = self.hash()
        # Updates of half-precision weights would be rounded away one by one; they are summed up in float32.
        self.masters: list[Tensor] = []

    def hash(self) -> str:
        return weights_hash(self.weights)

    def begin(self) -> None:
        for p, _, _ in self._flags:
            p.grad = None
            p.requires_grad_(False)
        whole = (torch.float32, torch.float64)
        self.masters = [w if w.dtype in whole else w.detach().float() for w in self.weights]
        self._train()

    def _train(self) -> None:
        for weight, master in zip(self.weights, self.masters, strict=True):
            weight.requires_grad_(True)
            master.requires_grad_(True)

    def collect(self) -> None:
        for weight, master in zip(self.weights, self.masters, strict=True):
            if master is not weight:
                master.grad = None if weight.grad is None else weight.grad.float()
                weight.grad = None

    @torch.no_grad()
    def publish(self) -> None:
        for weight, master in zip(self.weights, self.masters, strict=True):
            if master is not weight:
                weight.copy_(master)

    def rest(self) -> None:
        """Training is over: no gradients are kept or wanted."""
        for weight in self.weights:
            weight.grad = None
            weight.requires_grad_(False)
        self.masters = []

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The old weights in the model, and the trained ones again afterwards, unless something was raised."""
        trained = [w.detach().clone() for w in self.weights]
        self.restore()
        yield
        for p, _, _ in self._flags:
            p.grad = None
            p.requires_grad_(False)
        with torch.no_grad():
            for weight, values in zip(self.weights, trained, strict=True):
                weight.copy_(values)
        self._train()

    def restore(self) -> None:
        with torch.no_grad():
            for weight, values in zip(self.weights, self._old, strict=True):
                weight.copy_(values)
        for p, flag, grad in self._flags:
            p.requires_grad_(flag)
            p.grad = grad


def fresh_chain(loaded: LoadedModel, item: Item, tokens: int = 160, check: Check = lambda: None) -> str:
    """What the model writes greedily after question and lead, up to where it comes to the cue: at most half as much
    again as the item's own chain has tokens, and at most ``tokens``."""
    reads = Tokens(loaded.tokenizer, loaded.facts.max_positions)
    (ids, own), _ = reads.encode([item.before + item.question_text + item.lead, "".join(item.steps)])
    most = min(tokens, 8 + 3 * len(own) // 2)
    cue, text = item.cue.strip(), ""
    # Decoded behind some of the prompt: alone, a token that begins with a space may lose it.
    made = ids[-4:]
    known = len(loaded.tokenizer.decode(made, clean_up_tokenization_spaces=False))
    for token, _ in decode(loaded, ids, most):
        check()
        made.append(token)
        text = str(loaded.tokenizer.decode(made, clean_up_tokenization_spaces=False))[known:]
        if cue and cue in text:
            return text[: text.index(cue)].rstrip()
    return text.rstrip()


def _compared(before: Reply, after: Reply) -> Asked:
    answer = before.best
    return Asked(answer, after.best, before.p(answer), after.p(answer))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


@dataclass(frozen=True)
class Sweep:
    """Learning rates tried: rows of ``rate``, ``efficacy``, ``specificity`` and ``flips`` (share of items whose answer
    some step takes along), ascending; ``rate``: the chosen one, None if none keeps to the floor."""

    rows: tuple[dict[str, float], ...]
    rate: float | None
    floor: float
    sentence: str


def choose_rate(
    loaded: LoadedModel,
    items: Sequence[Item],
    rates: Sequence[float],
    held_out: Sequence[Item],
    floor: float = 0.95,
    *,
    form: Form = "direct",
    check: Check = lambda: None,
    progress: Callable[[float], None] = lambda share: None,
    **settings: Any,
) -> Sweep:
    """The largest learning rate at which held-out answers stay, at least a share ``floor`` of them (dossier M6).

    ``items`` are unlearned for the choice only and must not be scored later; ``held_out`` are asked and never
    unlearned, and share no problem with them. ``settings`` as of :class:`Unlearner`. Raises UserError if the two
    overlap or one of them is empty.
    """
    if not items or not held_out or not rates:
        raise UserError("To choose a learning rate give rates, items to unlearn, and others to watch.", "rates")
    if {i.problem or i.id for i in items} & {i.problem or i.id for i in held_out}:
        raise UserError("Items that are unlearned cannot show what else is forgotten. Give separate ones.", "held_out")
    tried = sorted(set(rates))
    rows: list[dict[str, float]] = []
    for n, rate in enumerate(tried):
        unlearner = Unlearner(loaded, rate, held_out=held_out, fresh=form == "chain", **settings)
        results = []
        for k, item in enumerate(items):
            results.append(unlearner.measure(item, check))
            progress((n + (k + 1) / len(items)) / len(tried))
        done = [step for result in results for step in result.done]
        if not done:
            raise UserError("None of these items has a step that can be unlearned. Give others.", "items")
        flips = [score.hard for result in results if (score := result.score(form)).hard is not None]
        rows.append(
            {
                "rate": rate,
                "efficacy": _mean([s.efficacy for s in done]) or 0.0,
                "specificity": _mean([s.specificity for s in done]) or 0.0,
                "flips": _mean(flips) or 0.0,
            }
        )
    chosen = max((row["rate"] for row in rows if row["specificity"] >= floor), default=None)
    said = (
        f"Learning rate {chosen:g}: the largest of {len(rows)} at which at least {floor:.0%} of the answers on "
        f"{len(held_out)} held-out items stay."
        if chosen is not None
        else f"At none of {len(rows)} learning rates do {floor:.0%} of the held-out answers stay. Try smaller ones."
    )
    return Sweep(tuple(rows), chosen, floor, said)
