"""OthelloGPT as a plain Hugging Face causal model with a tokenizer of 60 squares.

A GPT-2 of transformers has the very blocks of the papers' network (layer norms before attention and MLP, learned
absolute positions, biases, an untied unembedding without bias), so that everything in the house that works on a causal
model works on this one. Token ids are those of the papers: 0 is padding, 1 to 60 the squares without the centre. The
tokenizer reads names with blanks between them, so that a game can be typed on any page as "F5 D6 C3".
"""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from analysis.othello.squares import NAMES, PAD, PLAYABLE, POSITIONS, VOCABULARY


def othello_config(
    *, layers: int, width: int, heads: int, mlp: int | None = None, epsilon: float = 1e-5, activation: str = "gelu"
) -> GPT2Config:
    """The configuration of an OthelloGPT: 61 tokens, 59 positions, exact GELU unless another is named, no dropout."""
    return GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=POSITIONS,
        n_embd=width,
        n_layer=layers,
        n_head=heads,
        n_inner=mlp,
        activation_function=activation,
        layer_norm_epsilon=epsilon,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )


def build(config: GPT2Config) -> GPT2LMHeadModel:
    """A network with fresh weights, normal with deviation 0.02; the position table starts at zero as in minGPT."""
    model = GPT2LMHeadModel(config)
    model.transformer.wpe.weight.data.zero_()
    return model


def othello_tokenizer() -> PreTrainedTokenizerFast:
    """Token 0 is ``pad``, tokens 1 to 60 are the playable squares by name; blanks part them; the rest is ``pad``."""
    vocabulary = {PAD: 0} | {NAMES[square]: i + 1 for i, square in enumerate(PLAYABLE)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=PAD))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD, model_max_length=POSITIONS)


def save(model: GPT2LMHeadModel, folder: Path) -> None:
    """Write config.json, model.safetensors and the tokenizer's files, so that any tool can load the folder. Weights of
    more than 15 MB are written in parts of at most that, as transformers does."""
    model.save_pretrained(folder, max_shard_size="15MB")
    othello_tokenizer().save_pretrained(folder)
