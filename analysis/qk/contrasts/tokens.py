"""From characters to tokens: the one place that knows how tokenizers differ.

Everything else speaks of words and character spans. A span becomes a position by tokenising the whole text with
offsets and taking the last token that overlaps it, because the same word can split differently after a space, after
a bracket or at the start of a line. Byte-level vocabularies (a marker letter for the space), sentencepiece-style
ones (a low bar) and plain word vocabularies all pass through the same check: the word, in a sentence, is one token.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from analysis.errors import UserError
from analysis.models.frames import brought, frame_ids
from analysis.models.legible import unknown_ids

MAX_TOTAL_TOKENS = 10_000_000
"""All prompts of a contrast together. Token ids of this many tokens take about 0.4 GB."""

FREQUENT_WORDS = 2_000
_CHUNK = 256
_T = TypeVar("_T")
_MARKED = re.compile(r"[\u0120\u2581]([a-z]+)")


class FastTokenizer(Protocol):
    """What is used of a Hugging Face fast tokenizer."""

    is_fast: bool
    bos_token_id: int | None
    eos_token_id: int | None

    def __call__(self, text: Any, **settings: Any) -> Any: ...
    def get_vocab(self) -> dict[str, int]: ...
    def decode(self, token_ids: Any, **settings: Any) -> Any: ...
    def convert_ids_to_tokens(self, ids: Any) -> Any: ...


@dataclass(frozen=True)
class Encoding:
    """One tokenised prompt: ``ids``, and ``offsets`` (tokens, 2) int64, the character span of each token.

    ``unknown``: the ids that stand for words outside the vocabulary.
    """

    ids: tuple[int, ...]
    offsets: NDArray[np.int64]
    unknown: frozenset[int] = frozenset()

    def tokens_of(self, start: int, end: int) -> list[int]:
        """Positions of the tokens that overlap the characters ``start`` to ``end`` (exclusive), in order."""
        left, right = self.offsets[:, 0], self.offsets[:, 1]
        # Added special tokens, and a lone space marker, have no width and stand for no character of the text.
        return [int(i) for i in np.flatnonzero((left < end) & (right > start) & (right > left))]

    def unknown_at(self, positions: Iterable[int]) -> bool:
        """Whether one of these tokens stands for a word that the model does not know."""
        return any(self.ids[i] in self.unknown for i in positions)

    def last(self) -> int | None:
        """Position of the last token that stands for text: an end token that the tokenizer adds is passed over."""
        wide = np.flatnonzero(self.offsets[:, 1] > self.offsets[:, 0])
        return int(wide[-1]) if wide.size else None


def require_fast(tokenizer: FastTokenizer) -> None:
    """Raise UserError (field ``model``) when the tokenizer cannot say which characters a token covers."""
    if not getattr(tokenizer, "is_fast", False):
        raise UserError(
            "This model's tokenizer cannot say which characters each token covers. Choose a model that has a fast "
            "tokenizer (a tokenizer.json file).",
            "model",
        )


def encode(tokenizer: FastTokenizer, texts: Iterable[str]) -> Iterator[Encoding]:
    """Tokenise texts in small batches, with the special tokens that the tokenizer adds, without padding or cutting.

    Raises UserError (field ``n_examples``) once the texts have more than ``MAX_TOTAL_TOKENS`` tokens together.
    """
    total, unknown, start = 0, unknown_ids(tokenizer), frame_ids(tokenizer)[0]
    for chunk in _chunks(texts, _CHUNK):
        out = tokenizer(
            chunk,
            return_offsets_mapping=True,
            add_special_tokens=True,
            return_attention_mask=False,
            padding=False,
            truncation=False,
            verbose=False,
        )
        for ids, offsets in zip(out["input_ids"], out["offset_mapping"], strict=True):
            total += len(ids)
            if total > MAX_TOTAL_TOKENS:
                raise UserError(
                    f"The examples have more than {MAX_TOTAL_TOKENS:,} tokens together. Use fewer or shorter examples.",
                    "n_examples",
                )
            # A start token that the text brings itself is not put there twice.
            first = len(start)
            twice = slice(first - brought(start, ids[first:]), first)
            places = np.asarray(offsets, dtype=np.int64).reshape(-1, 2)
            kept = [int(i) for i in ids]
            del kept[twice]
            yield Encoding(tuple(kept), np.delete(places, twice, axis=0), unknown)


def single_tokens(tokenizer: FastTokenizer, words: Sequence[str], frame: tuple[str, str]) -> list[str]:
    """Those of ``words`` that are one known token between the two texts of ``frame``, in the order given."""
    before, after = frame
    texts = [before + word + after for word in words]
    return [
        word
        for word, encoding in zip(words, encode(tokenizer, texts), strict=True)
        if len(hits := encoding.tokens_of(len(before), len(before) + len(word))) == 1 and not encoding.unknown_at(hits)
    ]


def frequent_words(tokenizer: FastTokenizer, shortest: int = 4, longest: int = 8) -> list[tuple[str, int]]:
    """Whole words that are one token after a space: (word, token id), at most ``FREQUENT_WORDS``, by rising id.

    Chosen from the vocabulary: a space marker and ``shortest`` to ``longest`` lower-case Latin letters. Tokenizers
    number their merges (or pieces) from frequent to rare, so the lowest ids are the more frequent words. Each is
    tried in a sentence, because a vocabulary can hold tokens that its own rules never produce. A vocabulary without
    any space marker is taken to hold plain words.
    """
    vocabulary = tokenizer.get_vocab()
    marked = {m.group(1): i for token, i in vocabulary.items() if (m := _MARKED.fullmatch(token))}
    plain = {token: i for token, i in vocabulary.items() if re.fullmatch(r"[a-z]+", token)}
    found = sorted((i, word) for word, i in (marked or plain).items() if shortest <= len(word) <= longest)
    good: list[tuple[str, int]] = []
    for chunk in _chunks(found, _CHUNK):
        texts = [f"a {word} a" for _, word in chunk]
        for (i, word), encoding in zip(chunk, encode(tokenizer, texts), strict=True):
            hits = encoding.tokens_of(2, 2 + len(word))
            if [encoding.ids[hit] for hit in hits] == [i]:
                good.append((word, i))
        if len(good) >= FREQUENT_WORDS:
            break
    return good[:FREQUENT_WORDS]


def start_token(tokenizer: FastTokenizer) -> int:
    """The token that opens a sequence: the begin token if there is one, else the end token, else a refusal."""
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    raise UserError("This model's tokenizer has neither a begin nor an end token. Choose another model.", "model")


def token_texts(tokenizer: FastTokenizer, ids: Sequence[int]) -> list[str]:
    """Each token as readable text, with the leading space that its marker stands for. For display only."""
    texts = []
    for i, raw in zip(ids, tokenizer.convert_ids_to_tokens(list(ids)), strict=True):
        text = str(tokenizer.decode([i], clean_up_tokenization_spaces=False))
        spaced = str(raw or "").startswith(("\u0120", "\u2581")) and not text.startswith(" ")
        texts.append(" " + text if spaced else text)
    return texts


def _chunks(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    chunk: list[_T] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
