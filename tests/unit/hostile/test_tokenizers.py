"""Tokenizers that contradict themselves, never end, or make a gigabyte of a word: sentences, and the process lives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from analysis.errors import UserError
from analysis.models.loader import load_model
from analysis.models.prompts import encode_prompt
from benchmarks.architectures import saved, tiny
from tests.unit.hostile.watch import watched

GROWS = [{"type": "Replace", "pattern": {"Regex": "."}, "content": "aaaaaaaaaa"}]
A, B = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
NO_END = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}


def with_tokenizer(path: Path, **parts: Any) -> Path:
    """A tiny model whose tokenizer.json says something else in some of its parts."""
    folder = saved(tiny("llama"), path)
    file = folder / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | parts))
    return folder


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"normalizer": {"type": "Sequence", "normalizers": GROWS * 6}}, "grow with each"),
        ({"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}] * 1000}}, "grow with each"),
        (
            {
                "post_processor": {
                    "type": "TemplateProcessing",
                    "single": [{"SpecialToken": {"id": "<nope>", "type_id": 0}}, A],
                    "pair": [A, B],
                    "special_tokens": {},
                }
            },
            "cannot read this text: “no entry",
        ),
    ],
)
def test_a_tokenizer_that_cannot_read_a_sentence_is_refused_at_loading(tmp_path: Path, parts: Any, said: str) -> None:
    folder = with_tokenizer(tmp_path / "m", **parts)
    with watched(), pytest.raises(UserError, match=said) as refused:
        load_model(str(folder))
    assert refused.value.field == "model"


def test_a_tokenizer_nested_without_end_is_refused_at_loading(tmp_path: Path) -> None:
    folder = with_tokenizer(tmp_path / "m")
    (folder / "tokenizer.json").write_text("[" * 1_000_000)
    with watched(), pytest.raises(UserError, match="nested deeper"):
        load_model(str(folder))


def test_a_pattern_that_finds_no_end_on_some_text_is_a_sentence_about_the_prompt(tmp_path: Path) -> None:
    loaded = load_model(str(with_tokenizer(tmp_path / "m", pre_tokenizer=NO_END)))
    assert loaded.tokenizer("w5")["input_ids"] == [5]
    with watched(), pytest.raises(UserError, match="cannot read this text") as refused:
        encode_prompt(loaded, "a" * 40 + "b", False)
    assert refused.value.field == "prompt"
