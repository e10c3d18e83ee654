"""Ablations against passes with the activation changed by hand, and a neuron into which two concepts were written."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize, silu

from analysis.errors import UserError
from analysis.models.facts import describe
from analysis.models.hooks import hooked
from analysis.models.loaded_model import LoadedModel
from analysis.models.sites import Site
from analysis.models.spec import ModelSpec
from analysis.rotate.ablation import WHOLE, ablate, ablation_study
from analysis.rotate.contexts import SHOWN, strongest, windows_of
from analysis.rotate.objective import z_scores
from analysis.rotate.removal import (
    ARMS,
    RANDOM,
    SINGULAR,
    Case,
    controls,
    equally_near,
    other_tokens,
    replaced,
    without,
)
from analysis.rotate.vectors import NeuronVectors
from tests.unit.test_contrasts import _byte_level
from tests.unit.tiny_models import tiny_model

A, B = tuple(range(40, 60)), tuple(range(70, 90))
NEURON, LAYER = 7, 3


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tiny(name: str = "llama") -> NeuronVectors:
    """A model of a test's own."""
    tokenizer = _byte_level()
    model = tiny_model(name, vocab_size=len(tokenizer))
    spec = ModelSpec("default")
    ids = torch.tensor([tokenizer("the lamp is kept in Box A")["input_ids"]])
    return NeuronVectors(LoadedModel(model, tokenizer, spec, describe(model, ids, tokenizer, spec, "")))


@cache
def common() -> NeuronVectors:
    return tiny()


def texts(count: int = 60, seed: int = 0) -> list[list[int]]:
    return torch.randint(30, 130, (count, 18), generator=generator(seed)).tolist()


def case_of(vectors: NeuronVectors, vector: str, layer: int = LAYER, cosine: float = 0.7) -> Case:
    w = vectors.read(layer, vector, NEURON)
    aside = torch.randn(len(w), generator=generator(4))
    channel = w.norm() * equally_near(w, aside, cosine)
    return Case(layer, vector, NEURON, channel, A, B)


def test_what_is_taken_out_is_gone_and_nothing_else() -> None:
    w, c = torch.randn(2, 30, generator=generator(0)).double()
    left = without(w, c)
    assert abs(float(left @ c)) < 1e-10 and torch.allclose(without(left, c), left)
    assert torch.allclose(without(w, -3 * c), left) and torch.allclose(without(w, w), torch.zeros(30).double())
    v = torch.randn(30, generator=generator(1)).double()
    v = v - c * (v @ c) / (c @ c)
    assert float(left @ v) == pytest.approx(float(w @ v))


@pytest.mark.parametrize("cosine", [-0.4, 0.0, 0.65, 1.0])
def test_controls_are_as_near_to_the_neuron_as_they_are_told(cosine: float) -> None:
    w, toward = torch.randn(2, 30, generator=generator(2)).double()
    made = equally_near(w, toward, cosine)
    assert float(made.norm()) == pytest.approx(1) and float(made @ w / w.norm()) == pytest.approx(cosine)
    aside = made - w * (made @ w) / (w @ w)
    assert cosine == 1 or float(cosine_similarity(aside, without(toward, w), dim=0)) == pytest.approx(1)


def test_every_arm_takes_the_same_amount_out() -> None:
    v = common()
    case = case_of(v, "down")
    w = v.read(LAYER, "down", NEURON)
    made = controls(v, case, seed=3)
    assert tuple(made) == ARMS and [len(d) for d in made.values()] == [1, RANDOM, 1, 1]
    lost = [float((w - without(w, d)).norm() / w.norm()) for group in made.values() for d in group]
    assert lost == pytest.approx([0.7] * len(lost), abs=1e-5)
    again, other = controls(v, case, seed=3), controls(v, case, seed=4)
    assert torch.equal(again["random direction"][0], made["random direction"][0])
    assert not torch.equal(other["random direction"][0], made["random direction"][0])
    unit = normalize(w, dim=0)
    U = v.projection(LAYER)
    top = z_scores(w @ U.T).topk(20).indices
    lens = without(U[top].mean(0) - U.mean(0), unit)
    right = torch.linalg.svd(v.vectors(LAYER, "down"), full_matrices=False).Vh[:SINGULAR]
    part = without(right.T @ (right @ w), unit)
    for arm, wanted in (("logit lens", lens), ("svd", part)):
        assert float(cosine_similarity(without(made[arm][0], unit), wanted, dim=0)) > 0.999


@pytest.mark.parametrize("name", ["llama", "gpt2", "phi3"])
def test_a_swapped_vector_comes_back_bit_for_bit(name: str) -> None:
    v = tiny(name)
    state = {k: t.clone() for k, t in v.loaded.model.state_dict().items()}
    value = torch.randn(48, generator=generator(5))
    for kind in v.kinds:
        weight = v.place(1, kind, NEURON)
        rows = v.vectors(1, kind).clone()
        with pytest.raises(InterruptedError), replaced(weight, NEURON, value):
            assert torch.equal(v.read(1, kind, NEURON), value)
            changed = (v.vectors(1, kind) != rows).any(1).nonzero()[:, 0].tolist()
            assert changed == [NEURON]
            raise InterruptedError
    assert all(torch.equal(t, state[k]) for k, t in v.loaded.model.state_dict().items())


def test_half_precision_comes_back_too() -> None:
    v = tiny()
    v.loaded.model.to(torch.bfloat16)  # type: ignore[arg-type]
    weight = v.place(0, "down")
    before = weight.matrix().clone()
    with replaced(weight, 3, torch.full((48,), 1 / 3)):
        assert torch.equal(weight.matrix()[3], torch.full((48,), 1 / 3, dtype=torch.bfloat16))
    assert torch.equal(weight.matrix(), before)


@pytest.mark.parametrize("layer", [1, 3])
def test_output_drops_are_those_of_a_pass_with_the_written_vector_changed(layer: int) -> None:
    """By hand: the MLP's output of an unchanged pass plus activation times (new - old) vector."""
    v = common()
    case = case_of(v, "down", layer)
    ids = texts(1, seed=9)[0]
    state = {k: t.clone() for k, t in v.loaded.model.state_dict().items()}
    data = ablate(v, case, ids, seed=2)
    assert all(torch.equal(t, state[k]) for k, t in v.loaded.model.state_dict().items())
    row = torch.tensor([ids])
    seen: list[Tensor] = []
    with hooked(v.loaded, {Site(layer, "mlp_hidden"): lambda h: seen.append(h[0, :, NEURON])}):
        before = v.loaded.forward(row, logits=True)[0]
    h = seen[0]
    order = h[2:].abs().argsort(descending=True)[:SHOWN] + 2
    assert data.kind == "output" and data.unit == "logits" and list(data.shown) == order.tolist()
    assert list(data.activation) == pytest.approx(h.tolist(), abs=1e-5) and len(data.labels) == len(ids)
    w = v.read(layer, "down", NEURON)
    for arm, directions in controls(v, case, 2).items():
        drops = []
        for direction in directions:
            change = without(w, direction) - w
            with hooked(v.loaded, {Site(layer, "mlp_output"): lambda y, c=change: y + h[None, :, None] * c}):
                after = v.loaded.forward(row, logits=True)[0]
            fall = (before - before.mean(1, keepdim=True)) - (after - after.mean(1, keepdim=True))
            drops.append(h.sign()[:, None] * fall)
        drop = torch.stack(drops).mean(0)[order]
        said = next(a for a in data.arms if a.name == arm)
        assert said.own == pytest.approx(float(drop[:, A].mean()), abs=1e-4)
        assert said.other == pytest.approx(float(drop[:, B].mean()), abs=1e-4)
        assert said.score == pytest.approx(said.own - said.other)
        assert said.own_interval[0] <= said.own <= said.own_interval[1]
    with hooked(v.loaded, {Site(layer, "mlp_hidden"): lambda x: x * (torch.arange(x.shape[-1]) != NEURON)}):
        gone = v.loaded.forward(row, logits=True)[0]
    fall = h.sign()[:, None] * ((before - before.mean(1, keepdim=True)) - (gone - gone.mean(1, keepdim=True)))
    assert data.whole.own == pytest.approx(float(fall[order][:, A].mean()), abs=1e-4)
    centred = before - before.mean(1, keepdim=True)
    assert [t.id for t in data.tokens] == list(A)
    assert [t.before for t in data.tokens] == pytest.approx(centred[order[0]][list(A)].tolist(), abs=1e-4)


def test_a_negative_pole_turns_the_sign_of_what_counts_as_a_drop() -> None:
    v = common()
    one = case_of(v, "down")
    other = Case(LAYER, "down", NEURON, one.channel, A, B, pole=-1)
    ids = texts(1, seed=9)[0]
    plus, minus = ablate(v, one, ids), ablate(v, other, ids)
    assert plus.arms[0].own == pytest.approx(-minus.arms[0].own) != 0


@pytest.mark.parametrize("vector", ["gate", "up"])
def test_input_drops_are_those_of_the_formula(vector: str) -> None:
    """By hand, one sentence at a time: silu(gate . x) * (up . x) from what the projections read."""
    v = common()
    case = case_of(v, vector, layer=2)
    rows = texts()
    data = ablate(v, case, texts(1, seed=9)[0], rows, seed=1)
    windows = windows_of(case, rows, 1)
    assert data.kind == "input" and data.tokens == () and len(data.sentences) == sum(map(len, windows))
    w, x_of = v.read(2, vector, NEURON), what_is_read(v, 2)
    fixed = v.read(2, "up" if vector == "gate" else "gate", NEURON)

    def activation(x: Tensor, vector_now: Tensor) -> float:
        gate, up = (vector_now, fixed) if vector == "gate" else (fixed, vector_now)
        return float(silu(x @ gate) * (x @ up))

    befores, drops = [], {arm: [[], []] for arm in ("channel", WHOLE)}  # type: ignore[var-annotated]
    sentences = iter(data.sentences)
    for side, group in enumerate(windows):
        for window in group:
            said = next(sentences)
            pair = x_of(window)[-2:]
            values = [activation(x, w) for x in pair]
            at = max((0, 1), key=lambda i: abs(values[i]))
            sign = 1 if values[at] > 0 else -1
            befores.append(abs(values[at]))
            for arm, new in (("channel", without(w, case.channel)), (WHOLE, torch.zeros_like(w))):
                drops[arm][side].append(befores[-1] - sign * activation(pair[at], new))
            assert said.own == (side == 0) and said.before == pytest.approx(befores[-1], abs=1e-4)
            assert said.after == pytest.approx(befores[-1] - drops["channel"][side][-1], abs=1e-4)
    scale = sum(befores) / len(befores)
    for arm, found in (("channel", data.arms[0]), (WHOLE, data.whole)):
        means = [sum(d) / len(d) / scale for d in drops[arm]]
        assert [found.own, found.other] == pytest.approx(means, abs=1e-3)
    whole = data.whole.own * len(windows[0]) + data.whole.other * len(windows[1])
    assert whole == pytest.approx(len(befores), rel=1e-3), "without a vector nothing is left"


def what_is_read(v: NeuronVectors, layer: int) -> Any:
    module = v.place(layer, "gate").module

    def read(row: list[int]) -> Tensor:
        seen: list[Tensor] = []
        handle = module.register_forward_pre_hook(lambda _m, args: seen.append(args[0][0]))
        try:
            v.loaded.forward(torch.tensor([row]))
        finally:
            handle.remove()
        return seen[0]

    return read


@cache
def written() -> tuple[NeuronVectors, Case]:
    """A model whose neuron writes two concepts, tokens A and tokens B; the channel is the one of A."""
    v = tiny()
    model: Any = v.loaded.model
    directions = torch.linalg.qr(torch.randn(48, 2, generator=generator(6))).Q.T
    with torch.no_grad():
        for block, direction in ((A, directions[0]), (B, directions[1])):
            model.lm_head.weight[list(block)] += 2 * direction
        v.place(LAYER, "down").matrix()[NEURON] = 3 * (directions[0] + directions[1])
    return v, Case(LAYER, "down", NEURON, directions[0], A, B)


def test_the_channel_of_one_of_two_concepts_takes_only_that_one() -> None:
    v, case = written()
    data = ablate(v, case, texts(1, seed=3)[0])
    channel, random, whole = data.arms[0], data.arms[1], data.whole
    assert whole.own > 0.2 and whole.other > 0.2, "the neuron promotes both"
    assert channel.own == pytest.approx(whole.own, rel=0.25)
    assert abs(channel.other) < 0.25 * whole.other and channel.own_interval[0] > channel.other_interval[1]
    assert abs(random.score) < 0.6 * channel.score and "only" not in data.sentence


def test_a_channel_that_is_not_the_neurons_is_said_to_take_more_than_was_there() -> None:
    v, case = written()
    w = v.read(LAYER, "down", NEURON)
    foreign = without(torch.randn(48, generator=generator(8)), w)
    channel = equally_near(w, foreign, 0.6)
    U = v.projection(LAYER)
    # Tokens that the foreign part favours and the neuron does not.
    taste = z_scores(normalize(foreign, dim=0) @ U.T) - 3 * z_scores(w @ U.T).abs()
    tokens = tuple(taste.topk(10).indices.tolist())
    data = ablate(v, Case(LAYER, "down", NEURON, channel, tokens, case.others), texts(1, seed=3)[0])
    assert data.arms[0].own > 2 * abs(data.whole.own) and "only" in data.sentence


def test_other_tokens_are_the_neurons_and_not_the_channels() -> None:
    v, case = written()
    w, U = v.read(LAYER, "down", NEURON), v.projection(LAYER)
    found = other_tokens(w, U, case.channel, 1)
    assert len(found) == 20 and set(B) >= set(found[:15]) and not set(found) & set(A)
    without_some = other_tokens(w, U, case.channel, 1, usable=~torch.isin(torch.arange(len(U)), torch.tensor(B[:10])))
    assert not set(without_some) & set(B[:10]) and set(B[10:]) & set(without_some)
    assert other_tokens(-w, U, -case.channel, -1) == found


def test_strongest_contexts_end_where_a_neuron_is_most_active() -> None:
    v = common()
    rows = [row[: 6 + i % 9] for i, row in enumerate(texts(40))]
    found = strongest(v.loaded, 1, [NEURON, 20], rows, count=4)
    for neuron, contexts in zip((NEURON, 20), found, strict=True):
        slow = []
        for row in rows:
            seen: list[Tensor] = []
            with hooked(v.loaded, {Site(1, "mlp_hidden"): lambda h: seen.append(h[0, :, neuron].abs())}):  # noqa: B023
                v.loaded.forward(torch.tensor([row]))
            place = int(seen[0][2:].argmax()) + 2
            slow.append((float(seen[0][place]), row[: place + 1]))
        assert contexts == [context for _, context in sorted(slow, key=lambda pair: -pair[0])[:4]]


def test_sentences_end_with_their_token_and_hold_none_of_the_others() -> None:
    v = common()
    rows = texts(200)
    own, other = windows_of(case_of(v, "gate"), rows, 0)
    for group, wanted, avoided in ((own, A, B), (other, B, A)):
        assert 3 <= len(group) <= SHOWN and all(g[-1] in wanted and not set(g) & set(avoided) for g in group)
        assert len({g[-1] for g in group}) == len(group), "as many different tokens as there are"
        assert all(any(row[: len(g)] == g for row in rows) for g in group)
    with pytest.raises(UserError) as refused:
        ablate(v, case_of(v, "gate"), rows[0], [row for row in rows if set(row).isdisjoint(A)])
    assert refused.value.field == "channel" and "corpus" in refused.value.message


def test_a_study_is_its_cases_and_their_means() -> None:
    v, case = written()
    rows = texts(30, seed=5)
    cases = [case, Case(LAYER, "gate", NEURON, v.read(LAYER, "gate", NEURON), A, (255,)), case_of(v, "up", 1)]
    shares: list[float] = []
    study = ablation_study(v, cases, rows, seed=0, progress=shares.append)
    assert [r["case"] for r in study["rows"]] == [0, 2] and study["left_out"] == 1 and shares[0] == 0
    for figure in ("own", "other", "score"):
        for arm in ARMS:
            values = [r["arms"][arm][figure] for r in study["rows"]]
            assert study["arms"][arm][figure] == pytest.approx(sum(values) / 2)
            low, high = study["arms"][arm][f"{figure}_interval"]
            assert (low, high) == pytest.approx((min(values), max(values)))
    ratio = sum(r["arms"]["channel"]["own"] for r in study["rows"]) / sum(r["whole"]["own"] for r in study["rows"])
    assert study["arms"]["channel"]["of_whole"] == pytest.approx(ratio)
    ahead = [r["arms"]["channel"]["score"] > r["arms"]["svd"]["score"] for r in study["rows"]]
    assert study["arms"]["svd"]["channel_ahead"] == sum(ahead) / 2
    contexts = strongest(v.loaded, LAYER, [NEURON], rows)[0]
    drops = []
    w = v.read(LAYER, "down", NEURON)
    for context in contexts:
        seen: list[Tensor] = []
        row = torch.tensor([context])
        with hooked(v.loaded, {Site(LAYER, "mlp_hidden"): lambda h: seen.append(h[0, -1, NEURON])}):  # noqa: B023
            before = v.loaded.forward(row, logits=True)[0, -1]
        with replaced(v.place(LAYER, "down"), NEURON, without(w, case.channel)):
            after = v.loaded.forward(row, logits=True)[0, -1]
        fall = before - before.mean() - after + after.mean()
        drops.append(float(seen[0].sign() * fall[list(A)].mean()))
    assert study["rows"][0]["arms"]["channel"]["own"] == pytest.approx(sum(drops) / len(drops), abs=1e-4)


def test_a_text_of_one_token_is_refused() -> None:
    v = common()
    with pytest.raises(UserError) as refused:
        ablate(v, case_of(v, "down"), [40])
    assert refused.value.field == "text"
