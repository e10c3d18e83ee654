"""OthelloGPT as an ordinary model of transformers: its shape, its tokens, and a folder that any tool can load."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from analysis.othello.games import random_tokens
from analysis.othello.model import build, othello_config, othello_tokenizer, save
from analysis.othello.records import format_moves
from analysis.othello.squares import NAMES, PLAYABLE, SQUARE_OF_TOKEN, token_of


def test_parameters_of_the_published_size() -> None:
    with torch.device("meta"):
        model = build(othello_config(layers=8, width=512, heads=8))
    assert sum(p.numel() for p in model.parameters()) == 25_312_768


def test_shape_and_start() -> None:
    model = build(othello_config(layers=2, width=32, heads=2))
    assert model.lm_head.weight is not model.transformer.wte.weight and model.lm_head.bias is None
    assert model.lm_head.weight.shape == (61, 32) and model.transformer.wpe.weight.shape == (59, 32)
    assert not model.transformer.wpe.weight.any()
    assert 0.015 < float(model.transformer.wte.weight.detach()[1:].std()) < 0.025
    assert model.config.activation_function == "gelu"  # the exact one


def test_no_later_move_is_seen() -> None:
    model = build(othello_config(layers=2, width=32, heads=2)).eval()
    ids = torch.from_numpy(random_tokens(4, 1)[:, :59].astype("int64"))
    with torch.no_grad():
        whole, part = model(ids).logits, model(ids[:, :20]).logits
    assert torch.allclose(whole[:, :20], part, atol=1e-6)


def test_tokens_are_squares() -> None:
    tokenizer = othello_tokenizer()
    ids = random_tokens(1, 2)[0].tolist()
    text = format_moves(tuple(int(SQUARE_OF_TOKEN[i]) for i in ids))
    assert tokenizer(text)["input_ids"] == ids
    assert tokenizer("F5 D6 C3")["input_ids"] == [token_of(NAMES.index(n)) for n in ("F5", "D6", "C3")]
    assert tokenizer.decode(ids) == text and len(tokenizer) == 61 and tokenizer.pad_token_id == 0
    assert tokenizer("D4 E2E4")["input_ids"] == [0, 0]  # no token for a centre square or for another word
    assert [tokenizer.convert_ids_to_tokens(i + 1) for i in range(60)] == [NAMES[s] for s in PLAYABLE]


def test_saved_folder_is_an_ordinary_model(tmp_path: Path) -> None:
    model = build(othello_config(layers=2, width=32, heads=2)).eval()
    save(model, tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, local_files_only=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    ids = torch.tensor([tokenizer("D3 C5 B6")["input_ids"]])
    with torch.no_grad():
        assert torch.equal(loaded(ids).logits, model(ids).logits)
    assert {p.suffix for p in tmp_path.iterdir()} <= {".json", ".safetensors"}


@pytest.mark.parametrize("square", [27, 28, 35, 36])
def test_centre_squares_have_no_token(square: int) -> None:
    with pytest.raises(ValueError, match="filled from the start"):
        token_of(square)
