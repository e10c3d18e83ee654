"""A tokenizer whose tokens are words, for models of a few dozen tokens."""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from analysis.models.facts import describe
from analysis.models.loaded_model import LoadedModel
from analysis.models.spec import ModelSpec
from tests.unit.tiny_models import tiny_model

WORDS = (
    "one two three four five six seven eight nine plus is so check answer steps Steps note says remember key sum the it"
    " I . : + = ? , ... in words question because hint then therefore"
)


def word_tokenizer() -> PreTrainedTokenizerFast:
    """Words and punctuation, one token each; what it does not know is one unknown token."""
    vocabulary = {w: i for i, w in enumerate(["<pad>", "<unk>", "<end>", *WORDS.split()])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation()])
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", pad_token="<pad>", eos_token="<end>")


def loaded_words(name: str = "llama", **changes: Any) -> LoadedModel:
    """A tiny random model of an architecture that reads these words."""
    tokenizer = word_tokenizer()
    model = tiny_model(name, vocab_size=len(tokenizer), **changes)
    spec = ModelSpec("tiny")
    return LoadedModel(model, tokenizer, spec, describe(model, torch.arange(3, 19)[None], tokenizer, spec, ""))
