"""Architectures that transformers knows: a loaded model computes what it computes elsewhere, or is refused.

Each is built tiny from its configuration class, saved, loaded by Attune and by transformers alone, and compared. The
slow ones and the rest run in ``python -m benchmarks.architectures``.
"""

from __future__ import annotations

import pytest

from benchmarks.architectures import examine, kinds

EQUAL = """
apertus arcee aria_text bart beam biogpt bitnet blenderbot bloom codegen cohere cohere2 ctrl cwm deepseek_v2 deepseek_v3
diffllama doge dots1 ernie4_5 exaone4 falcon flex_olmo flint git glm glm4 gpt2 gpt_bigcode gpt_neo gpt_neox
gpt_neox_japanese gptj granite granitemoe helium hyperclovax internlm3 iquestcoder jais2 jetmoe laguna lfm2 llama llama4
mamba marian mbart ministral mistral mixtral mpt mvp nemotron olmo olmo2 olmo3 olmoe openai-gpt opt pegasus persimmon
phi phi3 phimoe plbart qwen2 qwen3 rwkv seed_oss smollm3 stablelm starcoder2 trocr xglm youtu
""".split()
# Encoders, and models that read a whole text at once: every token sees the future in the plain model, too.
NOT_CAUSAL = ["bert", "electra", "roberta", "xlm", "cpmant", "ernie"]


@pytest.mark.parametrize("kind", EQUAL)
def test_a_loaded_model_computes_what_it_computes_elsewhere_and_no_token_sees_the_future(kind, tmp_path):
    found = examine(kind, tmp_path)
    assert found.verdict == "equal", found


@pytest.mark.parametrize("kind", NOT_CAUSAL)
def test_a_model_in_which_tokens_see_the_future_is_refused(kind, tmp_path):
    found = examine(kind, tmp_path)
    assert found.verdict == "refused" and "a token sees those behind it" in found.words


def test_at_least_sixty_architectures_are_tested_and_all_are_known():
    assert len(EQUAL) + len(NOT_CAUSAL) >= 60 and set(EQUAL + NOT_CAUSAL) <= set(kinds())
