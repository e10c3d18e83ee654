"""Strength by divergence, controls of equal size, and readouts of a text."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from analysis.errors import UserError
from analysis.models.hooks import hooked
from analysis.models.sites import Site
from analysis.steering import (
    Add,
    PromptCache,
    compression_ratio,
    difference_of_means,
    distinct_share,
    encode_sentences_mean,
    generate_stream,
    kl_divergence,
    kl_divergences,
    perplexity,
    random_direction,
    repeated_share,
    strength_for_kl,
    text_readouts,
)
from tests.unit.steering.test_sites import own_tiny
from tests.unit.test_fit import loaded_tiny

IDS = [5, 9, 12, 30, 7, 9]


# Divergence and calibration


def test_divergence_equals_its_sum_and_is_zero_for_equals() -> None:
    a, b = torch.randn(2, 50, generator=torch.Generator().manual_seed(1)) * 5
    p, q = a.double().softmax(-1).tolist(), b.double().softmax(-1).tolist()
    by_hand = sum(x * math.log(x / y) for x, y in zip(p, q, strict=True))
    assert kl_divergence(a, b) == pytest.approx(by_hand, rel=1e-9)
    assert kl_divergence(a, a) == 0.0 and kl_divergence(a, a + 3) == pytest.approx(0, abs=1e-6)
    assert kl_divergences(torch.stack([a, b]), torch.stack([b, b])).tolist() == pytest.approx([by_hand, 0.0])
    masked = a.clone()
    masked[3] = -torch.inf
    assert math.isfinite(kl_divergence(masked, b)) and kl_divergence(b, masked) == math.inf


@pytest.mark.parametrize("power", [0.7, 1, 2, 4])
@pytest.mark.parametrize("target", [0.02, 0.25, 2.0])
def test_the_strength_for_a_target_is_found(power: float, target: float) -> None:
    found = strength_for_kl(lambda s: 3 * s**power, target)
    assert found.met and abs(found.kl - target) <= 0.02 * target and len(found.evaluations) <= 13
    assert found.strength == pytest.approx((found.kl / 3) ** (1 / power)) and "target" in found.sentence


def test_a_divergence_as_it_really_grows_takes_few_evaluations() -> None:
    loaded = loaded_tiny("llama")
    cache = PromptCache(loaded, IDS)
    push = 10 * torch.randn(48, generator=torch.Generator().manual_seed(2))

    def divergence(strength: float) -> float:
        return kl_divergence(cache.base_logits, cache.next_logits([Add(Site(1), push, strength)]))

    found = strength_for_kl(divergence, 0.1)
    assert found.met and divergence(found.strength) == pytest.approx(found.kl) == pytest.approx(0.1, rel=0.02)
    assert len(found.evaluations) <= 13


def test_targets_that_share_what_was_measured_are_found_with_fewer_evaluations() -> None:
    targets, known = (0.05, 0.1, 0.25, 0.5, 1.0), dict[float, float]()
    asked: list[float] = []

    def divergence(strength: float) -> float:
        asked.append(strength)
        return 3 * strength**1.7

    alone = [strength_for_kl(divergence, target) for target in targets]
    first = len(asked)
    shared = [strength_for_kl(divergence, target, known=known) for target in targets]
    assert len(asked) - first < 0.6 * first and len(set(asked[first:])) == len(asked) - first == len(known)
    for target, one, other in zip(targets, alone, shared, strict=True):
        assert (
            other.met
            and abs(other.kl - target) <= 0.02 * target
            and other.strength == pytest.approx(one.strength, rel=0.03)
        )
    assert not strength_for_kl(divergence, 5.0, known=known).met, "beyond reach is still said"
    falls = {s: 0.3 if 0.4 < s < 0.6 else 0.0 for s in (0.25, 0.5, 0.75, 1.0)}
    assert strength_for_kl(lambda s: 0.3 if 0.4 < s < 0.6 else 0.0, 0.3, known=falls).strength == 0.5


def test_a_target_out_of_reach_is_said() -> None:
    found = strength_for_kl(lambda s: 0.1 * s, 0.25)
    assert not found.met and found.strength == 1.0 and found.kl == pytest.approx(0.1)
    assert "cannot be reached" in found.sentence and "0.1 nats, at strength 1" in found.sentence
    falls = strength_for_kl(lambda s: s if s <= 0.6 else 0.0, 0.25)
    assert falls.met and falls.kl == pytest.approx(0.25, rel=0.02)
    jumps = strength_for_kl(lambda s: 0.01 if s < 0.37 else 5.0, 0.25)
    assert not jumps.met and "jumps" in jumps.sentence
    broken = strength_for_kl(lambda s: float("nan") if s > 0.5 else s, 0.25)
    assert broken.met and broken.strength == pytest.approx(0.25, rel=0.03)
    for target, low, high in ((0, 0, 1), (-1, 0, 1), (float("nan"), 0, 1), (1, 1, 1), (1, 0, math.inf)):
        with pytest.raises(UserError):
            strength_for_kl(lambda s: s, target, low, high)


# Controls


def test_a_random_direction_has_the_length_and_no_preference() -> None:
    vector = torch.zeros(64)
    vector[0] = 12.0
    drawn = torch.stack([random_direction(vector, seed) for seed in range(2000)])
    assert torch.allclose(drawn.norm(dim=1), torch.tensor(12.0), atol=1e-4)
    assert drawn.mean(0).norm() < 3 * 12 / math.sqrt(2000)
    # Every axis carries the same share of the length.
    assert ((drawn**2).mean(0) / (144 / 64) - 1).abs().max() < 0.2
    assert torch.equal(random_direction(vector, 5), drawn[5])


def test_the_difference_of_means_points_from_one_set_to_the_other() -> None:
    noise = torch.randn(400, 16, generator=torch.Generator().manual_seed(3))
    shift = torch.arange(16.0)
    assert torch.allclose(difference_of_means(noise[:200] + shift, noise[:200]), shift, atol=1e-5)
    for bad in ((noise[:0], noise), (noise, noise[:, :8])):
        with pytest.raises(UserError):
            difference_of_means(*bad)


def test_sentences_are_averaged_over_their_tokens() -> None:
    loaded = own_tiny("llama")
    tokenizer: Any = lambda text, **_: {"input_ids": [3 + ord(c) % 90 for c in text]}  # noqa: E731
    loaded.tokenizer = tokenizer
    sentences = ["short one", "a longer sentence", "ab", " ", "the third"]
    rows = []
    for text in ("short one", "a longer sentence", "the third"):
        with hooked(loaded, {Site(2): lambda x: rows.append(x[0, 2:].clone())}):  # type: ignore[dict-item, func-returns-value]
            loaded.forward(torch.tensor([tokenizer(text)["input_ids"]]))
    mean = encode_sentences_mean(loaded, sentences, Site(2))
    assert torch.allclose(mean, torch.cat(rows).mean(0), atol=1e-4)
    with pytest.raises(UserError, match="longer"):
        encode_sentences_mean(loaded, ["ab", ""], Site(2))


# Readouts


def test_repetition_is_counted() -> None:
    assert distinct_share([1, 2, 1, 2, 1], 1) == 2 / 5 and distinct_share([1, 2, 1, 2, 1], 2) == 2 / 4
    assert repeated_share([1, 2, 3, 1, 2, 3]) == 1 / 4 and repeated_share([1, 2, 3, 4]) == 0
    assert distinct_share([], 1) == 1.0 and repeated_share([1], 3) == 0.0
    assert compression_ratio("again " * 100) > 20 > 2 > compression_ratio("A sentence of no great length.") > 0
    assert compression_ratio("") == 1.0


def test_a_steered_text_is_read_with_the_unsteered_model() -> None:
    loaded = own_tiny("llama")
    tokenizer: Any = SimpleNamespace(decode=lambda ids: " ".join(map(str, ids)))
    loaded.tokenizer = tokenizer
    push = 5 * torch.randn(48, generator=torch.Generator().manual_seed(2))
    steps = list(generate_stream(loaded, IDS, 6, interventions=[Add(Site(1), push)], temperature=1.0, seed=1))
    ids = IDS + [s.token for s in steps]
    read = text_readouts(loaded, ids, len(IDS), [s.logits for s in steps])
    surprises = []
    for n, step in enumerate(steps):
        base = loaded.forward(torch.tensor([ids[: 6 + n]]), logits=True)[0, -1]
        surprises.append(-float(base.double().log_softmax(-1)[step.token]))
        assert read.kl[n] == pytest.approx(kl_divergence(base, step.logits), rel=1e-3, abs=1e-5) and read.kl[n] > 1e-3
    assert read.surprise == pytest.approx(surprises, rel=1e-4)
    assert read.perplexity == pytest.approx(math.exp(sum(surprises) / 6), rel=1e-4)
    assert perplexity(loaded, ids, 6) == pytest.approx(read.perplexity, rel=1e-6)
    assert read.mean_kl == pytest.approx(sum(read.kl) / 6) and len(read.distinct) == 3
    plain = list(generate_stream(loaded, IDS, 4))
    same = text_readouts(loaded, IDS + [s.token for s in plain], 6, torch.stack([s.logits for s in plain]))
    assert max(same.kl) < 1e-6
    for length, logits in ((6, []), (8, [steps[0].logits])):
        with pytest.raises(UserError):
            text_readouts(loaded, ids[:length], 6, logits)
