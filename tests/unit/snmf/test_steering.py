"""Directions of features and of their baselines, and the strength at which each moves the next token by a given KL."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from analysis.activations import fits
from analysis.corpora.passages import Passage, corpus_hash
from analysis.engine.memory import Memory
from analysis.errors import UserError
from analysis.models.facts import describe
from analysis.models.loaded_model import LoadedModel
from analysis.models.sites import Site
from analysis.models.spec import ModelSpec
from analysis.snmf import directions
from analysis.snmf.directions import (
    ARMS,
    BASELINES,
    direction_of,
    feature_direction,
    random_like,
    shuffled_like,
    single_neuron,
    theme_difference,
    theme_of,
)
from analysis.snmf.library import Factorization, Level, open_factorization, save_factorization
from analysis.snmf.ops.steer import BASELINES as NAMED
from analysis.snmf.steering import calibrated, changes, divergence_of, interventions_of
from analysis.steering import Add, PromptCache, generate_stream, kl_divergence, steer
from tests.unit.test_contrasts import _byte_level
from tests.unit.tiny_models import tiny_model

SPEC = ModelSpec("default")
LAYER, WIDTH, KEPT, K, SKIP = 2, 64, 5, 6, 2
TEXT = "the lamp is kept in Box A, the key is kept in Box B"
PASSAGES = [
    Passage(f"{i}: the {word} is seen at {place} by {i + 3} men", theme)
    for theme, word, place in (("sea", "ship", "port"), ("farm", "cow", "barn"), ("town", "bus", "street"))
    for i in range(5)
]
THEMES = ["farm", "sea", "town"]


def tiny(architecture: str = "llama") -> LoadedModel:
    tokenizer = _byte_level()
    model = tiny_model(architecture, vocab_size=4000, max_position_embeddings=128)
    ids = torch.tensor([tokenizer(TEXT)["input_ids"]])
    return LoadedModel(model, tokenizer, SPEC, describe(model, ids, tokenizer, SPEC, ""))


def sparse(count: int = K, width: int = WIDTH) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    rows = torch.randn(count, width, generator=generator)
    rows = rows * (rows.abs() >= rows.abs().topk(KEPT, 1).values[:, -1:])
    return rows / rows.norm(dim=1, keepdim=True)


def made(loaded: LoadedModel, components: Tensor, kind: str = "mlp_hidden") -> Factorization:
    """A factorization with random features, whose themes are known."""
    rows = [
        {"feature": k, "label": f"label {k}", "theme": "sea" if k == 0 else "", "top": [], "words": "", "on": []}
        for k in range(len(components))
    ]
    manifest: dict[str, Any] = {
        "rows": rows,
        "upper": [],
        "themes": THEMES,
        "model": loaded.facts.label,
        "model_spec": SPEC.to_dict(),
        "fingerprint": loaded.facts.fingerprint,
        "site": kind,
        "layer": LAYER,
        "skip_first": SKIP,
        "source": {"kind": "bundled"},
        "corpus": corpus_hash(PASSAGES),
    }
    shares = torch.tensor([[0.2, 0.7, 0.1], [0.1, 0.3, 0.6]]).repeat(len(components), 1)[: len(components)]
    return Factorization("made", [Level(components)], {"themes": shares}, manifest)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny()


@pytest.fixture
def fit(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> Factorization:
    monkeypatch.setattr(fits, "bundled_corpus", lambda: list(PASSAGES))
    return made(loaded, sparse())


def ids_of(loaded: LoadedModel, text: str = TEXT) -> list[int]:
    return list(loaded.tokenizer(text)["input_ids"])


@torch.no_grad()
def logits_of(loaded: LoadedModel, interventions: list[Any], ids: list[int]) -> Tensor:
    """Logits (T, V) of one whole pass under interventions."""
    with steer(loaded, interventions, prompt_tokens=len(ids)):
        found: Tensor = loaded.model(torch.tensor([ids])).logits[0]
    return found


# What steering does


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma2", "olmo2"])
@pytest.mark.parametrize("pole", [1, -1])
def test_a_feature_of_one_neuron_adds_its_down_column(architecture: str, pole: int) -> None:
    model = tiny(architecture)
    ids, neuron, strength = ids_of(model), 11, 3.5
    component = torch.zeros(model.model.config.n_inner or 192 if architecture == "gpt2" else WIDTH)
    component[neuron] = -0.7  # negative, so that the sign is tested as well
    block = model.model.transformer.h[LAYER] if architecture == "gpt2" else model.model.model.layers[LAYER]
    column = block.mlp.c_proj.weight[neuron] if architecture == "gpt2" else block.mlp.down_proj.weight[:, neuron]
    hidden = interventions_of(Site(LAYER, "mlp_hidden"), feature_direction(component), pole, strength)
    output: list[Any] = [Add(Site(LAYER, "mlp_output"), column, -pole * strength, "all")]
    steered, expected, plain = (logits_of(model, some, ids) for some in (hidden, output, []))
    assert torch.allclose(steered, expected, atol=1e-4)
    # Every position is steered, the first one too.
    assert bool(((steered - plain).abs().amax(1) > 1e-3).all())


def test_strength_zero_changes_not_a_bit(loaded: LoadedModel, fit: Factorization) -> None:
    ids = ids_of(loaded)
    cache = PromptCache(loaded, ids, [LAYER - 1])
    plain = list(generate_stream(loaded, ids, 6))
    for name in ARMS:
        vector = direction_of(name, Memory(), loaded, fit, 1).vector
        for pole in (1, -1):
            none = interventions_of(fit.site, vector, pole, 0.0)
            assert torch.equal(logits_of(loaded, none, ids), logits_of(loaded, [], ids))
            assert torch.equal(cache.next_logits(none), cache.base_logits)
            again = list(generate_stream(loaded, ids, 6, interventions=none))
            assert all(
                a.token == b.token and torch.equal(a.logits, b.logits) for a, b in zip(plain, again, strict=True)
            )


@pytest.mark.parametrize("kind", ["mlp_output", "residual"])
def test_elsewhere_the_direction_is_the_component(loaded: LoadedModel, kind: str) -> None:
    component = sparse(1, loaded.facts.hidden)[0]
    fit = made(loaded, component[None], kind)
    vector = direction_of("feature", Memory(), loaded, fit, 0).vector
    assert torch.allclose(vector, component, atol=1e-6)
    found: list[Tensor] = []
    block = loaded.model.model.layers[LAYER]
    module = block.mlp if kind == "mlp_output" else block
    handle = module.register_forward_hook(
        lambda _m, _a, out: found.append((out if isinstance(out, Tensor) else out[0]).clone())
    )
    try:
        ids = ids_of(loaded)
        logits_of(loaded, [], ids)
        # The hook sees what the module gives before it is steered; only what comes after shows the difference.
        later = loaded.model.model.layers[LAYER + 1].register_forward_pre_hook(
            lambda _m, args, kwargs: found.append((args[0] if args else kwargs["hidden_states"]).clone()),
            with_kwargs=True,
        )
        try:
            logits_of(loaded, [], ids)
            logits_of(loaded, interventions_of(fit.site, vector, -1, 4.0), ids)
        finally:
            later.remove()
    finally:
        handle.remove()
    streams = [x for x in found if x.shape[-1] == loaded.facts.hidden]
    assert torch.allclose(streams[-1] - streams[-3], -4.0 * component, atol=1e-4)


@pytest.mark.parametrize(
    ("pole", "strength", "field"),
    [(0, 1.0, "pole"), (2, 1.0, "pole"), (1, -1.0, "strength"), (1, 10_001.0, "strength"), (1, math.nan, "strength")],
)
def test_bad_poles_and_strengths_are_refused(pole: int, strength: float, field: str) -> None:
    with pytest.raises(UserError) as error:
        interventions_of(Site(LAYER, "mlp_hidden"), torch.ones(WIDTH), pole, strength)
    assert error.value.field == field


# How strong


@pytest.mark.parametrize("target", [0.025, 0.25, 0.5])
def test_each_pole_gets_the_strength_that_gives_the_target(
    loaded: LoadedModel, fit: Factorization, target: float
) -> None:
    ids = ids_of(loaded)
    cache = PromptCache(loaded, ids, [LAYER - 1])
    base = logits_of(loaded, [], ids)[-1].double().log_softmax(-1)
    strengths = set()
    for name in ARMS:
        vector = direction_of(name, Memory(), loaded, fit, 1).vector
        for pole in (1, -1):
            found = calibrated(divergence_of([cache], fit.site, vector, pole), target)
            assert found.met and "Strength" in found.sentence
            made = interventions_of(fit.site, vector, pole, found.strength)
            after = logits_of(loaded, made, ids)[-1].double().log_softmax(-1)
            assert float((base.exp() * (base - after)).sum()) == pytest.approx(target, rel=0.05)
            strengths.add(round(found.strength, 3))
    assert len(strengths) == 2 * len(ARMS)  # no pole takes over another's strength


def test_the_mean_over_prompts_is_what_is_calibrated(loaded: LoadedModel, fit: Factorization) -> None:
    rows = [ids_of(loaded, text) for text in ("one two three", "the cow is kept in Box", TEXT)]
    caches = [PromptCache(loaded, ids, [LAYER - 1]) for ids in rows]
    vector, asked = feature_direction(fit.components[3]), []
    price = divergence_of(caches, fit.site, vector, -1, lambda: asked.append(1))
    made = interventions_of(fit.site, vector, -1, 2.0)
    own = [kl_divergence(logits_of(loaded, [], ids)[-1], logits_of(loaded, made, ids)[-1]) for ids in rows]
    assert price(2.0) == pytest.approx(sum(own) / 3, rel=1e-3) and len(asked) == 3


FUNCTIONS: dict[str, tuple[Callable[[float], float], float]] = {
    "far below one": (lambda s: (1e4 * s) ** 2, 0.025),
    "far above": (lambda s: (s / 4000) ** 2, 0.5),
    "saturating": (lambda s: 3 * (1 - math.exp(-((s / 20) ** 2))), 2.9),
    "steep": (lambda s: math.exp(min(s, 500.0)) - 1, 0.5),
    "linear": (lambda s: s / 50, 0.1),
    "infinite beyond": (lambda s: math.inf if s > 3 else s * s, 0.25),
    "not a number beyond": (lambda s: math.nan if s > 3 else s * s, 0.25),
    "a dip on the way": (lambda s: s * s * (1.5 + math.cos(s)), 40.0),
    "flat, then rising": (lambda s: max(0.0, s - 77.0) ** 2, 0.35),
}


@pytest.mark.parametrize("start", [0.01, 1.0, 500.0])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_targets_that_can_be_met_are_met_wherever_the_search_begins(name: str, start: float) -> None:
    function, target = FUNCTIONS[name]
    found = calibrated(function, target, start)
    assert found.met and function(found.strength) == found.kl == pytest.approx(target, rel=0.05)
    assert len(found.evaluations) <= 40 and dict(found.evaluations)[found.strength] == found.kl


def test_a_model_like_search_takes_few_passes() -> None:
    taken = [len(calibrated(lambda s: 4 * (1 - math.exp(-((s / 30) ** 2))), t, 8.0).evaluations) for t in (0.05, 0.5)]
    assert max(taken) <= 6


def test_a_target_out_of_reach_gives_a_sentence() -> None:
    found = calibrated(lambda s: 0.3 * s / (1 + s), 0.5)
    assert not found.met and "cannot be reached" in found.sentence and found.kl < 0.3
    assert found.strength == 10_000
    found = calibrated(lambda s: 0.01 if s < 2 else 5.0, 0.5)
    assert not found.met and "jumps" in found.sentence
    found = calibrated(lambda s: 0.0, 0.5)
    assert not found.met and "cannot be reached" in found.sentence
    found = calibrated(lambda s: math.nan, 0.5)
    assert not found.met


def test_five_per_cent_counts_as_met_and_more_does_not() -> None:
    def stuck(kl: float) -> Callable[[float], float]:
        return lambda s: kl if s >= 1 else 0.0

    assert calibrated(stuck(0.52), 0.5).met
    assert not calibrated(stuck(0.53), 0.5).met


@pytest.mark.parametrize("target", [0.0, -1.0, math.inf, math.nan])
def test_targets_that_are_none_are_refused(target: float) -> None:
    with pytest.raises(UserError) as error:
        calibrated(lambda s: s, target)
    assert error.value.field == "target"


def test_changes_are_of_tokens_that_can_be_seen() -> None:
    base = torch.zeros(50)
    base[:10] = 10.0
    base[40:] = -20.0
    steered = base.clone()
    steered[3], steered[5], steered[7] = 12.0, 7.0, 10.5
    steered[45] = -5.0  # rises most, and nobody will ever see it
    up, down = changes(base, steered, 3)
    assert [c.token for c in up[:2]] == [3, 7] and down[0].token == 5
    after, before = steered.double().log_softmax(-1), base.double().log_softmax(-1)
    for row in (*up, *down):
        assert row.change == pytest.approx(float(after[row.token] - before[row.token]))
    assert [c.change for c in up] == sorted((c.change for c in up), reverse=True)
    assert [c.change for c in down] == sorted(c.change for c in down)
    assert len(changes(torch.tensor([30.0, 0.0, 0.0, 0.0]), torch.zeros(4), 3)[1]) == 3


# What a feature is compared with


def test_the_arms_of_page_and_method_are_the_same() -> None:
    assert ("none", *BASELINES) == NAMED


def test_baselines_differ_in_where_they_point_only(loaded: LoadedModel, fit: Factorization) -> None:
    memory = Memory()
    for feature in range(K):
        own = direction_of("feature", memory, loaded, fit, feature).vector
        found = {name: direction_of(name, memory, loaded, fit, feature).vector for name in BASELINES}
        for vector in (own, *found.values()):
            assert vector.dtype == torch.float32 and float(vector.norm()) == pytest.approx(1, abs=1e-5)
        assert int((own != 0).sum()) == int((found["random sparse"] != 0).sum()) == KEPT
        shuffled = found["shuffled neurons"]
        assert torch.allclose(shuffled.sort().values, own.sort().values)
        assert float((shuffled @ own).abs()) < 0.99
        one = found["single neuron"]
        assert int((one != 0).sum()) == 1 and float(one @ own) == pytest.approx(float(own.abs().max()))
        for name in BASELINES:
            assert torch.equal(direction_of(name, memory, loaded, fit, feature).vector, found[name])


def test_nulls_are_drawn_anew_for_every_feature_and_seed(loaded: LoadedModel, fit: Factorization) -> None:
    for name in ("random sparse", "shuffled neurons"):
        drawn = [direction_of(name, Memory(), loaded, fit, f, seed).vector for f in range(3) for seed in range(3)]
        neurons = {tuple(v.nonzero()[:, 0].tolist()) for v in drawn}
        assert len(neurons) == 9
    component = fit.components[0]
    hits = torch.stack([(random_like(component, s) != 0).float() for s in range(400)]).mean(0)
    assert float((hits - KEPT / WIDTH).abs().max()) < 5 * math.sqrt(KEPT / WIDTH / 400)  # every neuron alike
    hits = torch.stack([(shuffled_like(component, s) != 0).float() for s in range(400)]).mean(0)
    assert float((hits - KEPT / WIDTH).abs().max()) < 5 * math.sqrt(KEPT / WIDTH / 400)


def test_length_does_not_matter_and_the_heaviest_neuron_keeps_its_sign() -> None:
    component = torch.tensor([0.0, 2.0, -6.0, 0.0, 3.0])
    assert torch.allclose(feature_direction(component), component / 7)
    assert torch.allclose(feature_direction(1e-9 * component), component / 7)
    axis, neuron = single_neuron(component)
    assert neuron == 2 and axis.tolist() == [0, 0, -1, 0, 0]


def test_what_cannot_be_steered_with_is_refused(loaded: LoadedModel, fit: Factorization) -> None:
    for bad in (torch.zeros(4), torch.tensor([1.0, math.nan]), torch.tensor([math.inf, 0.0])):
        with pytest.raises(UserError, match="keeps no neurons"):
            feature_direction(bad)
    with pytest.raises(UserError) as error:
        direction_of("feature", Memory(), loaded, fit, K)
    assert error.value.field == "feature"
    with pytest.raises(UserError) as error:
        direction_of("sae", Memory(), loaded, fit, 0)
    assert error.value.field == "baseline"


def test_the_theme_is_the_named_one_or_the_largest(fit: Factorization) -> None:
    assert [theme_of(fit, f) for f in range(3)] == ["sea", "town", "sea"]
    fit.manifest["themes"] = ["", "sea", "town"]
    fit.arrays["themes"][3] = torch.tensor([0.9, 0.02, 0.08])
    assert theme_of(fit, 3) == "town"  # passages without a theme are none
    fit.manifest["themes"] = [""]
    with pytest.raises(UserError, match="no themes"):
        theme_of(fit, 1)


@torch.no_grad()
def hidden_mean(loaded: LoadedModel, texts: list[str]) -> Tensor:
    """Mean input (d,) of the last projection over all tokens but the first two of each text."""
    rows: list[Tensor] = []
    module = loaded.model.model.layers[LAYER].mlp.down_proj
    handle = module.register_forward_pre_hook(lambda _m, args: rows.append(args[0][0, SKIP:].double()))
    try:
        for text in texts:
            loaded.model(torch.tensor([ids_of(loaded, text)]))
    finally:
        handle.remove()
    return torch.cat(rows).mean(0)


def test_a_difference_of_means_is_that_of_plain_passes(
    loaded: LoadedModel, fit: Factorization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directions, "POOL_PASSAGES", 5)
    means = {t: hidden_mean(loaded, [p.text for p in PASSAGES if p.theme == t]) for t in THEMES}
    for theme in THEMES:
        rest = torch.stack([means[t] for t in THEMES if t != theme]).mean(0)
        expected = means[theme] - rest
        found = theme_difference(Memory(), loaded, fit, theme)
        assert float(found.double() @ expected / expected.norm()) == pytest.approx(1, abs=1e-5)


def test_means_are_remembered_and_a_further_theme_costs_its_own_passages(
    loaded: LoadedModel, fit: Factorization, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, asked = Memory(), []
    real = directions.capture

    def counted(model: Any, batches: Any, *args: Any, **options: Any) -> Any:
        kept = list(batches)
        asked.extend(n for numbers, _ in kept for n in numbers)
        return real(model, kept, *args, **options)

    monkeypatch.setattr(directions, "capture", counted)
    first = theme_difference(memory, loaded, fit, "sea")
    assert len(asked) == 5 + 2  # its own, and one of each other
    again = theme_difference(memory, loaded, fit, "sea")
    assert len(asked) == 7 and torch.equal(first, again)
    theme_difference(memory, loaded, fit, "town")
    assert len(asked) == 7 + 5 + 1
    assert {PASSAGES[n].theme for n in asked[7:12]} <= {"town", "sea"}


def test_a_difference_of_means_can_be_interrupted(loaded: LoadedModel, fit: Factorization) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        theme_difference(Memory(), loaded, fit, "sea", stop)
    with pytest.raises(UserError) as error:
        theme_difference(Memory(), loaded, fit, "desert")
    assert error.value.field == "baseline"


def test_a_saved_factorization_steers_as_the_one_that_was_made(
    loaded: LoadedModel, fit: Factorization, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    fit.name = "kept"
    save_factorization(fit, PASSAGES)
    again = open_factorization(Memory(), "kept")
    for name in ARMS:
        a, b = (direction_of(name, Memory(), loaded, f, 2) for f in (fit, again))
        assert float(a.vector @ b.vector) > 0.9999 and a.note == b.note
