"""Texts with more tokens than a model has learned positions: refused in words, or cut and said."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from analysis.errors import UserError
from analysis.mfa.ops.control import control_for
from analysis.models.sites import Site
from analysis.qk.contrasts.spec import ContrastSpec
from analysis.qk.contrasts.tokens import encode
from analysis.qk.ops.features import FitContrast, PreviewContrast
from analysis.steering.controls import encode_sentences_mean, sentence_limit, sentences_cut
from tests.unit.faithfulness.test_chains import loaded_bytes
from tests.unit.test_trace_prompts import framed_bytes

SHORT = loaded_bytes(max_position_embeddings=64)


def test_no_pass_reads_more_than_the_model_has_positions() -> None:
    SHORT.forward(torch.zeros(1, 64, dtype=torch.long))
    with pytest.raises(UserError, match="65 tokens long; this model reads at most 64"):
        SHORT.forward(torch.zeros(1, 65, dtype=torch.long))


@pytest.mark.parametrize("operation", [PreviewContrast, FitContrast])
def test_examples_that_are_too_long_are_counted_before_anything_runs(operation: Any) -> None:
    context: Any = SimpleNamespace(model=lambda _: SHORT, progress=lambda *_: None)
    texts = [f"{'so ' * (30 * (k == 3))}a cat {k} or a dog" for k in range(8)]
    rows = [{"text": text, "positive": ["cat"], "negative": ["dog"]} for text in texts]
    spec = ContrastSpec("jsonl", 8, options={"text": "\n".join(map(json.dumps, rows))})
    with pytest.raises(UserError, match=r"1 of 8 examples .* 64 tokens .*example 4, the longest has 1\d\d") as caught:
        operation(contrast=spec).run(context)
    assert caught.value.field == "text" and "Shorten" in caught.value.message


def test_sentences_for_means_are_cut_and_the_page_says_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    long, short = "the sea " * 20, "the sea and the dog"
    assert sentence_limit(SHORT) == 64 and sentences_cut(SHORT, [long, short, " "]) == 1
    mean = encode_sentences_mean(SHORT, [long], Site(0))
    assert torch.equal(mean, encode_sentences_mean(SHORT, [long[:64]], Site(0)))
    monkeypatch.setattr("analysis.mfa.ops.control.difference", lambda *_: mean)
    monkeypatch.setattr("analysis.mfa.steering.direction_like", lambda *_: [])
    asked = SimpleNamespace(positive=f"{long}\n{short}", negative=long, steer=None)
    nothing: Any = None
    assert control_for(nothing, SHORT, asked, nothing, "means", 0)[1].endswith("2 of them cut at 64 tokens")
    asked = SimpleNamespace(positive=short, negative=short, steer=None)
    assert "cut" not in control_for(nothing, SHORT, asked, nothing, "means", 0)[1]


def test_examples_have_their_start_token_once() -> None:
    tokenizer = framed_bytes("<s>", "</s>")
    pasted, plain = encode(tokenizer, ["<s>ab", "ab"])
    assert pasted.ids == plain.ids and tokenizer.decode(list(plain.ids)) == "<s>ab</s>"
    assert pasted.offsets.tolist() == [[0, 3], [3, 4], [4, 5], [0, 0]] and pasted.last() == plain.last() == 2
