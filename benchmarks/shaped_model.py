"""A model of random weights in the shape of a small one of today: what it costs to prepare does not depend on weights.

The shape is that of Gemma 3 270M (18 blocks of width 640, a vocabulary of 262,144, tied embeddings). Its tokenizer is
trained on the bundled corpus, and the ids that this leaves over are tokens that no text has. Kept in the data folder.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, PreTrainedTokenizerFast

from analysis.corpora.passages import bundled_corpus
from analysis.home import folder

VOCABULARY, MERGED = 262_144, 32_000
GROUPS, GROUP_SIZE, GROUP_LENGTH = 2_000, 24, 1.2
"""Groups of tokens that share a direction, as words of one meaning do, and its length beside that of a row's own."""


def model_folder() -> Path:
    """Where the model lies; made if it is not there yet, in about a minute."""
    place = folder("benchmarks") / "random-270m"
    if (place / "model.safetensors").is_file():
        return place
    part = place.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    _tokenizer().save_pretrained(part)
    _model().save_pretrained(part)
    part.rename(place)
    return place


def _tokenizer() -> PreTrainedTokenizerFast:
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=MERGED,
        special_tokens=["<eos>", "<bos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    trained.train_from_iterator((p.text for p in bundled_corpus()), trainer)
    trained.decoder = decoders.ByteLevel()
    # Words that no merge leads to: no text has them, and the projection has a row for each.
    written = json.loads(trained.to_str())
    vocabulary = written["model"]["vocab"]
    vocabulary |= {f"\u0120word{n}": n for n in range(len(vocabulary), VOCABULARY)}
    whole = Tokenizer.from_str(json.dumps(written))
    named = {"eos_token": "<eos>", "bos_token": "<bos>"}
    return PreTrainedTokenizerFast(tokenizer_object=whole, **named)


def _model() -> Gemma3ForCausalLM:
    config = Gemma3TextConfig(
        vocab_size=VOCABULARY,
        hidden_size=640,
        intermediate_size=2_048,
        num_hidden_layers=18,
        num_attention_heads=4,
        num_key_value_heads=1,
        head_dim=256,
        max_position_embeddings=4_096,
        sliding_window=512,
        eos_token_id=0,
        bos_token_id=1,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    model = Gemma3ForCausalLM(config)
    with torch.no_grad():
        rows = model.get_input_embeddings().weight
        members = torch.randint(0, VOCABULARY, (GROUPS, GROUP_SIZE))
        directions = torch.nn.functional.normalize(torch.randn(GROUPS, rows.shape[1]), dim=1)
        length = GROUP_LENGTH * rows.norm(dim=1).mean()
        rows.index_add_(0, members.flatten(), (length * directions).repeat_interleave(GROUP_SIZE, 0))
    return model.to(torch.bfloat16)


if __name__ == "__main__":
    print(model_folder())
