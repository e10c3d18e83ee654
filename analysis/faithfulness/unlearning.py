"""FUR: make the model forget one step of a chain, and ask it again (arXiv 2502.14829; dossier M6).

A step that the answer rests on should take the answer with it when it is unlearned from the weights. Only the last
projections of the MLPs are trained, for a few updates, and then the model is as it was, bit for bit: whatever happens
inside, the weights are put back by the context that changed them, and their bytes are compared. Other work may run at
the safe points between updates, so the model wears its own weights there as well. The learning rate decides the
result; it is therefore chosen on items that are not scored, by how much else the model forgets.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.faithfulness.asking_again import Answers, ask_again, compared
from analysis.faithfulness.forgotten import Forgotten, Unlearned
from analysis.faithfulness.item import Item
from analysis.faithfulness.lines import Tokens
from analysis.faithfulness.measures.base import probed
from analysis.faithfulness.reader import ModelReader
from analysis.faithfulness.trained_weights import TrainedWeights, projections, weights_hash
from analysis.faithfulness.unlearning_loss import content_spans, divergence, npo
from analysis.models.loaded_model import LoadedModel
from analysis.progress import Check, Progress, no_check, silent

Average = Literal["positions", "batch"]


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

    def measure(self, item: Item, check: Check = no_check, progress: Progress = silent) -> Unlearned:
        """Unlearn the steps of an item one by one.

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
                compared(first.direct, again.direct),
                None if first.chain is None or again.chain is None else compared(first.chain, again.chain),
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

    def _ask(self, item: Item, others: Sequence[Item], check: Check = no_check) -> Answers:
        return ask_again(
            self.loaded, item, others, fresh=self.fresh, tokens=self.tokens, packed=self._packed, check=check
        )

    # What is trained

    @contextmanager
    def forgotten(self, item: Item, step: int, check: Check = no_check) -> Iterator[Trained]:
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
    def _trainable(self) -> Iterator[TrainedWeights]:
        model = self.loaded.model
        modes = [(m, m.training) for m in model.modules()]
        state = TrainedWeights(self.weights, list(model.parameters()))
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
