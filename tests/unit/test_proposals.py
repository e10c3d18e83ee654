"""What forms propose for a model: blocks, counts and tokens that it has, and the usual ones for the bundled model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.mfa.ops.fit import FitRegions
from analysis.models.model_facts import ModelFacts
from analysis.models.proposal import most_factors, most_groups, readable_tokens, same_depth
from analysis.models.spec import ModelSpec
from analysis.snmf.ops.factorization import FitFactorization
from pages.frame import proposals
from pages.mlp_features import fitting as features
from pages.steering import fitting as regions
from pages.steering import writing
from pages.steering.state import START_CHAT

BUNDLED = ModelFacts(
    "m", "default", "llama", "LlamaForCausalLM", 1, 30, 9, 3, 64, 576, 49152, 2048, "float32", "cpu", True, None, [],
    [], [], [], None, 8, "f", 5e-4,
)  # fmt: skip
SMALL = replace(BUNDLED, layers=18, hidden=64, seconds_per_token=0.1)
MODEL = ModelSpec("/models/small").to_dict()


def test_the_bundled_model_keeps_the_usual_values() -> None:
    assert [same_depth(layer, BUNDLED) for layer in range(30)] == list(range(30))
    assert most_groups(100, BUNDLED) == 100 and most_factors(8, BUNDLED) == 8
    assert readable_tokens(30_000, 1_000, BUNDLED) == 30_000


@pytest.mark.parametrize("layers", [1, 2, 4, 18, 80])
def test_a_proposed_block_is_one_that_the_model_has(layers: int) -> None:
    facts = replace(BUNDLED, layers=layers)
    assert 0 <= same_depth(FitRegions.layer, facts) <= same_depth(FitFactorization.layer, facts) < layers


def test_forms_propose_what_the_operations_take(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (regions, features):
        monkeypatch.setattr(module, "facts_of", lambda *_: SMALL)
    layer, tokens, count, factors, proposed = regions.propose(MODEL, "")
    assert (layer, tokens, count, factors, proposed) == (6, 6_000, 64, 8, 6)
    FitRegions(ModelSpec(), layer=layer, tokens=tokens, regions=count, factors=factors)
    layer, count, tokens = features.propose(MODEL, "")
    assert (layer, count, tokens) == (15, 64, 6_000)
    FitFactorization(ModelSpec(), layer=layer, features=count, tokens=tokens)


def test_a_slow_model_is_still_given_as_many_tokens_as_the_fit_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regions, "facts_of", lambda *_: replace(SMALL, seconds_per_token=30.0))
    layer, tokens, count, factors, _ = regions.propose(MODEL, "")
    FitRegions(ModelSpec(), layer=layer, tokens=tokens, regions=count, factors=factors)


def test_a_chat_model_opens_in_its_template_unless_the_address_names_a_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "facts_of", lambda *_: SMALL)
    chat, prompt, words = writing.propose_prompt(MODEL, {"fresh": True}, "")
    assert chat is True and prompt == START_CHAT and "user's turn" in words
    assert writing.propose_prompt(MODEL, {"fresh": False}, "")[2] == ""
    assert writing.propose_prompt(ModelSpec().to_dict(), {"fresh": True}, "")[2] == ""
    monkeypatch.setattr(writing, "facts_of", lambda *_: replace(SMALL, chat_template=False))
    assert writing.propose_prompt(MODEL, {"fresh": True}, "")[2] == ""


def test_a_model_that_cannot_be_loaded_leaves_a_form_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposals, "ask_for", lambda *_, **__: (None, "why not"))
    assert proposals.facts_of(MODEL, "", "x") is None
