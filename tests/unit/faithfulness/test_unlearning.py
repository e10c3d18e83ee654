"""Unlearning against slow implementations of its loss and its updates, and the weights afterwards, bit for bit."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from analysis.errors import Cancelled, UserError
from analysis.faithfulness import trained_weights
from analysis.faithfulness.asking_again import Asked, fresh_chain
from analysis.faithfulness.forgotten import Forgotten, Unlearned
from analysis.faithfulness.item import Item, Part
from analysis.faithfulness.rate_sweep import choose_rate
from analysis.faithfulness.trained_weights import projections, weights_hash
from analysis.faithfulness.unlearning import Unlearner
from analysis.faithfulness.unlearning_loss import content_spans, divergence, npo
from analysis.models.generation import decode
from analysis.models.loaded_model import LoadedModel
from tests.unit.faithfulness.words import loaded_words

NAMES = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def sums(a: int, b: int) -> Item:
    """An item about the sum of two numbers, in words that the tiny models know."""
    x, y, z = NAMES[a - 1], NAMES[b - 1], NAMES[a + b - 1]
    steps = (f" {x} plus {y} is {z} .", f" check {z} .", " so .")
    parts = (Part(f"{x} plus {y} "),)
    return Item(f"{a}+{b}", "one plus one is two . ", parts, "Steps:", steps, "\nanswer ", z, NAMES, problem=f"{a}+{b}")


ITEM = sums(2, 3)
RETAIN = [sums(4, 4), sums(2, 1), sums(1, 3)]
HELD = [sums(3, 3), sums(3, 4), sums(1, 2), sums(2, 5), sums(1, 1), sums(5, 3)]


def quick(loaded: LoadedModel, rate: float = 1e-2, **settings: Any) -> Unlearner:
    """An unlearner that does not write fresh chains."""
    return Unlearner(loaded, rate, **{"retain": RETAIN, "fresh": False, **settings})


def test_content_is_numbers_and_words() -> None:
    text = "So 3.5 plus the 12 apples is then OK, Peter's."
    assert [text[a:b] for a, b in content_spans(text)] == ["3.5", "plus", "12", "apples", "Peter"]
    loaded = loaded_words()
    target = quick(loaded)._target(ITEM, 0)
    assert target is not None
    words = loaded.tokenizer.convert_ids_to_tokens(target.ids[0, list(target.places)].tolist())
    assert words == ["two", "plus", "three", "is", "five", "."]
    assert target.content == (True, True, True, False, True, False)


def test_limits_of_the_terms() -> None:
    nll = torch.tensor(12.5)
    for beta in (0.05, 0.1, 1.0):
        assert float(npo(nll, 12.5, beta)) == pytest.approx(2 / beta * math.log(2), rel=1e-7)
        assert float(npo(nll + 1e4, 12.5, beta)) == 0.0  # forgotten: nothing more to gain
        x = nll.clone().requires_grad_(True)
        npo(x, 12.5, beta).backward()
        assert x.grad is not None and float(x.grad) == pytest.approx(-1.0)  # at first plain gradient ascent
    a, b = torch.randn(2, 5, 40, dtype=torch.float64).log_softmax(-1)
    assert float(divergence(a, a)) == 0.0
    assert float(divergence(a, b)) == pytest.approx(float(F.kl_div(b, a, reduction="sum", log_target=True)))


def slow_loss(loaded: LoadedModel, item: Item, step: int, first: float, batch: list[tuple[Item, torch.Tensor]]) -> Any:
    """NPO + KL written down again with whole rows of logits and words found one by one."""

    def rows(text: str) -> torch.Tensor:
        ids = loaded.tokenizer(text, return_tensors="pt")["input_ids"]
        return loaded.model(ids, use_cache=False).logits[0].log_softmax(-1)

    content = {w for w in loaded.tokenizer.get_vocab() if w in (*NAMES, "plus", "check", "sum", "remember")}
    head = item.before + item.question_text + item.lead + "".join(item.steps[:step])
    start = len(loaded.tokenizer(head)["input_ids"])
    text = head + item.steps[step]
    ids = loaded.tokenizer(text)["input_ids"]
    words = loaded.tokenizer.convert_ids_to_tokens(ids)
    logs = rows(text)
    nll = -sum(logs[p - 1, ids[p]] for p in range(start, len(ids)) if words[p] in content)
    loss = -20.0 * torch.log(torch.sigmoid(0.1 * (nll - first)))
    divergences, count = [], 0
    for other, original in batch:
        head = other.before + other.question_text + other.lead
        size, length = len(loaded.tokenizer(head)["input_ids"]), original.shape[0]
        now = rows(head + "".join(other.steps))
        for p in range(size - 1, length - 1):
            count += 1
            divergences.append((original[p].exp() * (original[p] - now[p])).sum())
    return nll, loss, sum(divergences) / count, count


def originals(loaded: LoadedModel, items: list[Item]) -> list[tuple[Item, torch.Tensor]]:
    """The rows of log-probabilities of the model as it is."""
    made = []
    for item in items:
        text = item.before + item.question_text + item.lead + "".join(item.steps)
        with torch.no_grad():
            ids = loaded.tokenizer(text, return_tensors="pt")["input_ids"]
            made.append((item, loaded.model(ids, use_cache=False).logits[0].log_softmax(-1)))
    return made


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_gradient_is_that_of_finite_differences(name: str) -> None:
    loaded = loaded_words(name)
    loaded.model.double()
    unlearner = quick(loaded, per_epoch=2)
    batch = unlearner._plan(ITEM, 0)[0]
    weights = unlearner.weights
    with unlearner._trainable() as state:
        trained = _trained(unlearner)
        noise = torch.Generator().manual_seed(3)
        with torch.no_grad():  # away from the start, where the KL term has no slope
            for w in weights:
                w += 0.02 * torch.randn(w.shape, generator=noise, dtype=w.dtype)
        unlearner.backward(trained, batch)
        grads = [w.grad.clone() for w in weights if w.grad is not None]
        assert len(grads) == len(weights)
        direction = [torch.randn(w.shape, generator=noise, dtype=w.dtype) for w in weights]
        slope = sum(float((g * d).sum()) for g, d in zip(grads, direction, strict=True))
        values, size = [], 3e-4  # parts of the model compute in float32 whatever its weights are
        for side in (size, -2 * size):
            with torch.no_grad():
                for w, d in zip(weights, direction, strict=True):
                    w += side * d
            values.append(sum(unlearner.backward(trained, batch)))
        assert slope == pytest.approx((values[0] - values[1]) / (2 * size), rel=1e-3)
        state.rest()


def _trained(unlearner: Unlearner) -> Any:
    from analysis.faithfulness.unlearning import Trained

    target = unlearner._target(ITEM, 0)
    assert target is not None
    return Trained(unlearner, target)


def test_updates_are_those_of_a_slow_implementation() -> None:
    loaded, oracle = loaded_words(), loaded_words()
    unlearner = quick(loaded, 3e-3, epochs=4, per_epoch=3, weight_decay=0.05)
    weights = projections(oracle)
    batch = originals(oracle, RETAIN)
    first = float(slow_loss(oracle, ITEM, 0, 0.0, batch)[0].detach())
    moments = [(torch.zeros_like(w), torch.zeros_like(w)) for w in weights]
    losses = []
    for w in weights:
        w.requires_grad_(True)
    for epoch in range(4):
        _, gain, held, _ = slow_loss(oracle, ITEM, 0, first, batch)
        losses.append((float(gain.detach()), float(held.detach())))
        grads = torch.autograd.grad(gain + held, weights)
        size = math.sqrt(sum(float(g.double().square().sum()) for g in grads))
        rate = 3e-3 * (1 - epoch / 4)
        with torch.no_grad():
            for w, g, (m, v) in zip(weights, grads, moments, strict=True):
                g = g * min(1.0, 1.0 / (size + 1e-6))
                m.mul_(0.9).add_(0.1 * g)
                v.mul_(0.999).add_(0.001 * g * g)
                w *= 1 - rate * 0.05
                scale = (v / (1 - 0.999 ** (epoch + 1))).sqrt() + 1e-8
                w -= rate * m / (1 - 0.9 ** (epoch + 1)) / scale
    with unlearner.forgotten(ITEM, 0) as trained:
        for a, b in zip(projections(loaded), weights, strict=True):
            # Adam divides by the size of the gradient, so where it vanishes the rounding decides.
            assert float((a - b).detach().abs().median()) < 1e-6 and float((a - b).detach().abs().max()) < 2e-3
        np.testing.assert_allclose(trained.losses, losses, rtol=2e-3, atol=2e-3)
        assert trained.losses[0] == pytest.approx((20 * math.log(2), 0.0), abs=1e-4)
        assert trained.losses[-1][1] > 1e-3


def test_the_two_averages_differ_by_the_positions() -> None:
    terms = {}
    for average in ("positions", "batch"):
        loaded = loaded_words()
        unlearner = quick(loaded, average=average)
        batch = unlearner._plan(ITEM, 0)[0]
        positions = sum(len(target.places) for target, _ in batch)
        with unlearner._trainable() as state:
            trained = _trained(unlearner)
            with torch.no_grad():
                for w in unlearner.weights:
                    w *= 1.2
            terms[average] = unlearner.backward(trained, batch)[1]
            state.rest()
    assert terms["batch"] == pytest.approx(terms["positions"] * positions / 2, rel=1e-4) and terms["positions"] > 1e-3


def test_more_rate_forgets_more_and_spares_less() -> None:
    loaded = loaded_words()
    efficacy, specificity = [], []
    for rate in (0.0, 1e-5, 1e-4, 1e-3, 2e-2):
        result = quick(loaded, rate, held_out=HELD).measure(ITEM)
        efficacy.append([s.efficacy for s in result.done])
        specificity.append(np.mean([s.specificity for s in result.done if s.specificity is not None]))
        if rate == 0:
            assert efficacy == [[0.0, 0.0]] and [s.direct.shift for s in result.done] == [0.0, 0.0]
            assert result.score().hard == 0.0 and result.score().soft == 0.0
    assert (np.diff(efficacy, axis=0) > 0).all() and (np.array(efficacy[-1]) > 0.9).all()
    assert specificity[0] == 1.0 and (np.diff(specificity) <= 0).all() and specificity[-1] < 0.8


def snapshot(loaded: LoadedModel) -> Any:
    """Everything about a model that must be as it was."""
    model = loaded.model
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules())
    flags = {n: p.requires_grad for n, p in model.named_parameters()}
    grads = {n: None if p.grad is None else p.grad.clone() for n, p in model.named_parameters()}
    return weights_hash(model), flags, {n: m.training for n, m in model.named_modules()}, hooks, grads


def same(a: Any, b: Any) -> bool:
    """Whether two snapshots are equal."""
    grads = all(
        (x is None) == (y is None) and (x is None or torch.equal(x, y))
        for x, y in zip(a[4].values(), b[4].values(), strict=True)
    )
    return bool(a[:4] == b[:4] and grads)


@pytest.mark.parametrize("fault", [None, Cancelled, KeyError])
@pytest.mark.parametrize("place", ["between epochs", "inside"])
def test_the_model_is_put_back_bit_for_bit(fault: type[Exception] | None, place: str) -> None:
    loaded = loaded_words()
    unlearner = quick(loaded, 5e-2, held_out=HELD[:2])
    # Marks that must survive: a mode, a flag, a gradient, and a weight whose bits equality cannot see.
    loaded.model.model.layers[1].train()
    head = loaded.model.get_output_embeddings().weight
    head.requires_grad_(True)
    head.grad = torch.ones_like(head)
    with torch.no_grad():
        projections(loaded)[0][0, 0] = -0.0
    before = snapshot(loaded)
    calls: list[str] = []

    def check() -> None:
        calls.append(weights_hash(loaded.model))
        if fault is not None and place == "between epochs" and len(calls) == 3:
            raise fault

    try:
        with unlearner.forgotten(ITEM, 0, check):
            assert weights_hash(loaded.model) != before[0]
            if fault is not None and place == "inside":
                raise fault
        assert fault is None
    except (Cancelled, KeyError):
        assert fault is not None
    assert same(snapshot(loaded), before)
    # At the safe points others meet the model's own weights.
    assert set(calls) == {before[0]} and len(calls) == (3 if fault and place == "between epochs" else 4)


def test_a_pause_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, made, seen = loaded_words(), [], []
    ids = torch.tensor([[5, 6, 7]])
    own = loaded.forward(ids, logits=True)

    def work() -> None:
        seen.append(torch.equal(loaded.forward(ids, logits=True), own))

    with quick(loaded).forgotten(ITEM, 0, work):
        made.append(weights_hash(projections(loaded)))
    assert seen == [True] * 4
    # The same updates with nothing put back in between.
    monkeypatch.setattr(trained_weights.TrainedWeights, "paused", lambda self: nullcontext())
    with quick(loaded).forgotten(ITEM, 0, work):
        made.append(weights_hash(projections(loaded)))
    assert made[0] == made[1] and seen[4:] == [False] * 4


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "gpt_neox"])
def test_only_the_last_projections_change(name: str) -> None:
    loaded = loaded_words(name, tie_word_embeddings=True)
    embedding, head = loaded.model.get_input_embeddings().weight, loaded.model.get_output_embeddings().weight
    assert embedding.data_ptr() == head.data_ptr()
    old = {n: p.detach().clone() for n, p in loaded.model.named_parameters()}
    with quick(loaded).forgotten(ITEM, 0):
        changed = {n for n, p in loaded.model.named_parameters() if not torch.equal(p, old[n])}
        assert embedding.data_ptr() == head.data_ptr()
        assert not any(p.requires_grad or p.grad is not None for p in loaded.model.parameters())
    parts = {"gpt2": "mlp.c_proj.weight", "gpt_neox": "mlp.dense_4h_to_h.weight"}
    assert len(changed) == 4 and all(n.endswith(parts.get(name, "mlp.down_proj.weight")) for n in changed)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_trained_and_restored(dtype: torch.dtype) -> None:
    loaded = loaded_words()
    loaded.model.to(dtype)
    before = snapshot(loaded)
    result = quick(loaded, 1e-2).measure(ITEM)
    assert same(snapshot(loaded), before) and min(s.efficacy for s in result.done) > 0.3


def test_everything_random_comes_from_the_seed() -> None:
    def run(seed: int) -> tuple[tuple[tuple[float, float], ...], ...]:
        unlearner = quick(loaded_words(), per_epoch=1, seed=seed)
        return tuple(s.losses for s in unlearner.measure(ITEM).done)

    torch.manual_seed(5)
    first = run(0)
    torch.manual_seed(6)
    assert run(0) == first and run(1) != first


def test_what_is_measured_of_an_item() -> None:
    loaded = loaded_words()
    ticks: list[float] = []
    result = Unlearner(loaded, 1e-2, retain=RETAIN, tokens=12, held_out=[*HELD, sums(2, 3)]).measure(
        ITEM, progress=ticks.append
    )
    assert [s is None for s in result.steps] == [False, False, True] and "1 of 3 steps" in result.note
    assert ticks == [0.5, 1.0]
    for form in ("direct", "chain"):
        score = result.score(form)  # type: ignore[arg-type]
        asked = [s.direct if form == "direct" else s.chain for s in result.done]
        assert score.soft == max(a.shift for a in asked if a) and score.hard == float(
            any(a.flipped for a in asked if a)
        )
        assert len(score.steps) == 3 and score.steps[2]["hard"] is None and 0 < score.facts["efficacy"] <= 1
        # Of the held-out items the item's twin is not asked: six items, twice each.
        assert all(s.specificity is not None and (s.specificity * 12) % 1 == pytest.approx(0) for s in result.done)
    assert [s.steps for s in [quick(loaded).measure(ITEM).score("chain")]] == [()]


def test_the_score_says_whose_answer_it_is_about() -> None:
    asked = [Asked("six", "five", 0.6, 0.2), Asked("six", "six", 0.6, 0.7)]
    done = tuple(Forgotten(k, 3, 0.5, 0.4, 0.9, a, None) for k, a in enumerate(asked))
    score = Unlearned(ITEM, (*done, None)).score()
    assert (score.hard, score.soft) == (1.0, pytest.approx(0.4)) and "not 'five' before" in score.note
    assert [s["soft"] for s in score.steps][:2] == [pytest.approx(0.4), pytest.approx(-0.1)]
    assert Unlearned(ITEM, (*done, None)).score("chain").soft is None


def test_a_fresh_chain_is_the_greedy_one_up_to_the_cue() -> None:
    loaded = loaded_words()
    ids = loaded.tokenizer(ITEM.before + ITEM.question_text + ITEM.lead)["input_ids"]
    tokens = [t for t, _ in decode(loaded, ids, 10)]
    assert fresh_chain(loaded, ITEM, 10).split() == loaded.tokenizer.convert_ids_to_tokens(tokens)
    assert fresh_chain(loaded, ITEM, 10).startswith(" ")
    word = loaded.tokenizer.decode(tokens[4:5])
    cut = Item(
        **{
            **{f: getattr(ITEM, f) for f in ("id", "before", "question", "lead", "steps", "answer", "candidates")},
            "cue": f"\n{word} ",
        }
    )
    assert fresh_chain(loaded, cut, 10).split() == loaded.tokenizer.convert_ids_to_tokens(
        tokens[: tokens.index(tokens[4])]
    )


def test_the_rate_is_chosen_by_what_else_is_forgotten() -> None:
    loaded = loaded_words()
    tuning = [sums(2, 3), sums(2, 2)]
    before = weights_hash(loaded.model)
    sweep = choose_rate(loaded, tuning, [5e-2, 1e-5, 1e-3], HELD, floor=0.95, retain=RETAIN)
    rates, kept = [row["rate"] for row in sweep.rows], [row["specificity"] for row in sweep.rows]
    assert rates == [1e-5, 1e-3, 5e-2] and sweep.rate == max(r for r, s in zip(rates, kept, strict=True) if s >= 0.95)
    assert sweep.rate < 5e-2 and f"{sweep.rate:g}" in sweep.sentence and weights_hash(loaded.model) == before
    assert all(0 <= row["flips"] <= 1 for row in sweep.rows) and np.all(
        np.diff([r["efficacy"] for r in sweep.rows]) > 0
    )
    none = choose_rate(loaded, tuning[:1], [5e-2], HELD, floor=1.0, retain=RETAIN)
    assert none.rate is None and "Try smaller" in none.sentence
    with pytest.raises(UserError, match="separate"):
        choose_rate(loaded, tuning, [1e-3], tuning)
    with pytest.raises(UserError, match="give rates"):
        choose_rate(loaded, [], [1e-3], HELD)


def test_what_cannot_be_unlearned_is_said() -> None:
    with pytest.raises(UserError, match="last projection"):
        Unlearner(loaded_words("gpt_oss"), 1e-3)
    loaded = loaded_words()
    with pytest.raises(UserError, match="held out"):
        Unlearner(loaded, 1e-3, retain=RETAIN, held_out=RETAIN[:1])
    with pytest.raises(UserError, match="learning rate"):
        Unlearner(loaded, float("nan"))
    with pytest.raises(UserError, match="averaged"):
        Unlearner(loaded, 1e-3, average="tokens")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="nothing to unlearn"), quick(loaded).forgotten(ITEM, 2):
        raise AssertionError
