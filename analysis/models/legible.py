"""What of a text a tokenizer can read at all.

A tokenizer with a closed vocabulary reads every word that it does not know as one and the same token, and a tokenizer
without such a token drops the word. The model then works on a text that nobody typed, and its figures look like
findings: nineteen unknown words are nineteen equal tokens, to which any head that finds repeats attends sharply. So a
text that is mostly unknown is refused where it was typed, and single unknown words are named.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from analysis.errors import UserError

UNREAD_LIMIT = 0.3
"""A text with a larger share of unknown letters and words is refused: a figure would mostly show the unknown."""
SAMPLE_CHARACTERS = 20_000
"""So much of a corpus is looked at before a model is run on all of it."""
_NAMED = 3
_RUN = re.compile(r"\S+")
_PIECE = re.compile(r"<0x[0-9A-Fa-f]{2}>")


@dataclass(frozen=True)
class Unread:
    """What of a text no token stands for.

    ``words``: the words (between blanks) with something unread in them, in order, each once. ``count`` of ``total``
    words have some. ``share``: of the text's letters, digits and signs, or of its words if that is less, in [0, 1].
    ``stand_in``: the token that the model reads in their place, "" where they are dropped. ``own``: whether that token
    is kept for unknown words alone. ``altered``: share of the letters and digits that decoding does not give back
    though a token was found for each.
    """

    words: tuple[str, ...] = ()
    count: int = 0
    total: int = 0
    share: float = 0.0
    stand_in: str = ""
    own: bool = True
    altered: float = 0.0

    @property
    def sentence(self) -> str:
        """What is unknown, in words; "" where all of the text is read."""
        if self.count:
            named = ", ".join(f"“{w if len(w) <= 24 else w[:24] + '…'}”" for w in self.words[:_NAMED])
            more = f" and {len(self.words) - _NAMED} more" if len(self.words) > _NAMED else ""
            verb = "is" if self.count == 1 else "are"
            fate = f"read as “{self.stand_in}”" if self.stand_in else "left out or cut"
            return f"{self.count} of {self.total} words {verb} unknown to this model and {fate}: {named}{more}."
        if self.altered:
            return f"This model's tokenizer gives back {1 - self.altered:.0%} of the text's letters; the rest is lost."
        return ""


def unknown_ids(tokenizer: Any) -> frozenset[int]:
    """The token ids that stand for whatever the vocabulary does not hold; empty for tokenizers that spell everything.

    The padding token is one of them where the vocabulary itself names it so, which the outer tokenizer need not say.
    """
    own = getattr(tokenizer, "unk_token_id", None)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return frozenset() if own is None else frozenset([own])
    if hasattr(backend.model, "unk_token"):
        # The outer tokenizer may name an end token here that one which spells every byte never uses.
        token = backend.model.unk_token
        found = {backend.token_to_id(token) if token else None}
    else:
        # A unigram model keeps its unknown id to itself, so a character of the private planes is tried.
        tried = {i: str(backend.id_to_token(i)) for i in backend.encode("\U000f1234", add_special_tokens=False).ids}
        found = {own} | {i for i, piece in tried.items() if not _PIECE.fullmatch(piece) and piece.strip("▁")}
    return frozenset(i for i in found if i is not None)


def check_known(unknown: frozenset[int], rows: Sequence[Sequence[int]], field: str = "model") -> None:
    """Raise UserError (``field``) where too many token ids of ``rows`` stand for unknown words: for texts that were
    made into tokens already, by a tokenizer whose :func:`unknown_ids` are given."""
    total, lost = sum(map(len, rows)), sum(i in unknown for row in rows for i in row) if unknown else 0
    if lost > UNREAD_LIMIT * total:
        raise UserError(
            f"This model cannot read these texts: {lost:,} of their {total:,} tokens stand for words that it does not "
            "know. Choose another model.",
            field,
        )


def unread(tokenizer: Any, text: str) -> Unread:
    """What of ``text`` has no token of its own. A tokenizer without offsets is asked word by word."""
    unknown = unknown_ids(tokenizer)
    if not getattr(tokenizer, "is_fast", False):
        return _by_word(tokenizer, text, unknown)
    made = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    read, stand_ins = bytearray(len(text)), Counter[int]()
    for index, (start, end) in zip(made["input_ids"], made["offset_mapping"], strict=True):
        # A special token that was typed as such is read as what it is.
        if index in unknown and text[start:end].strip() != tokenizer.convert_ids_to_tokens(index):
            stand_ins[index] += end > start
            read[start:end] = b"\2" * (end - start)
        else:
            read[start:end] = b"\1" * (end - start)
    return _told(tokenizer, text, read, stand_ins, made["input_ids"])


def _by_word(tokenizer: Any, text: str, unknown: frozenset[int]) -> Unread:
    if getattr(tokenizer, "decode", None) is None:
        return Unread()
    read, stand_ins = bytearray(len(text)), Counter[int]()
    known: dict[str, list[int]] = {}
    for found in _RUN.finditer(text):
        word = found.group()
        if word not in known:
            known[word] = [i for i in tokenizer(word, add_special_tokens=False)["input_ids"] if i in unknown]
        if known[word] and word not in [tokenizer.convert_ids_to_tokens(i) for i in known[word]]:
            stand_ins.update(known[word])
            read[found.start() : found.end()] = b"\2" * len(word)
        else:
            read[found.start() : found.end()] = b"\1" * len(word)
    ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    return _told(tokenizer, text, read, stand_ins, ids)


def _told(tokenizer: Any, text: str, read: bytearray, stand_ins: Counter[int], ids: Sequence[int]) -> Unread:
    counted = [i for i, c in enumerate(text) if _counts(c)]
    lost, hit, total = 0, [], 0
    for found in _RUN.finditer(text):
        places = [i for i in range(found.start(), found.end()) if _counts(text[i])]
        # Normalisation may fold signs (three dots into one), so a sign beside what was read is not missed.
        some = any(read[i] == 1 for i in places)
        missed = [i for i in places if read[i] == 2 or (read[i] == 0 and (text[i].isalnum() or not some))]
        lost, total = lost + len(missed), total + 1
        hit += [found.group()] if missed else []
    if not lost:
        return Unread(altered=_altered(tokenizer, text, ids) if counted else 0.0)
    token = stand_ins.most_common(1)[0][0] if stand_ins.total() else None
    shared = [getattr(tokenizer, f"{n}_token_id", None) for n in ("pad", "bos", "eos")]
    return Unread(
        words=tuple(dict.fromkeys(hit)),
        count=len(hit),
        total=total,
        share=min(lost / len(counted), len(hit) / total),
        stand_in="" if token is None else str(tokenizer.convert_ids_to_tokens(token)),
        own=token is None or token not in shared,
    )


def _counts(character: str) -> bool:
    """Whether dropping the character loses something: letters, digits and signs, no marks, blanks or Hangul parts."""
    return unicodedata.category(character)[0] in "LNPS" and not "\u1100" <= character <= "\u11ff"


def _altered(tokenizer: Any, text: str, ids: Sequence[int]) -> float:
    """Share of the letters and digits, case and accents aside, that are not among those of the decoded tokens."""
    given = _letters(text)
    back = _letters(str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)))
    lost = (given - back).total() / max(1, given.total())
    return lost if lost > 0.1 else 0.0


def _letters(text: str) -> Counter[str]:
    return Counter(c for c in unicodedata.normalize("NFKD", text).casefold() if c.isalnum())


def check_legible(tokenizer: Any, text: str, field: str = "prompt") -> None:
    """Raise UserError (``field``) where a model would read little of a text, or something else in its place.

    Refused are texts with more than :data:`UNREAD_LIMIT` unknown, and any unknown word where the tokenizer has no token
    of its own for it: a padding or end token in the middle of a text is nothing that the model was ever shown.
    """
    found = unread(tokenizer, text)
    if found.share > UNREAD_LIMIT or (found.count and not found.own) or found.altered > UNREAD_LIMIT:
        raise UserError(f"This model cannot read this text. {found.sentence}{_examples(tokenizer)}", field)


def legibility_notes(tokenizer: Any, text: str) -> list[str]:
    """What a reader should know of a text that is read in part; a sentence, or none."""
    sentence = unread(tokenizer, text).sentence
    return [sentence] if sentence else []


def check_corpus(tokenizer: Any, texts: Sequence[str], field: str = "texts") -> None:
    """Raise UserError (``field``) where a model cannot read a corpus, judged by its first 20,000 characters or so."""
    sample: list[str] = []
    length = 0
    for text in texts:
        sample.append(text[:SAMPLE_CHARACTERS])
        length += len(text)
        if length >= SAMPLE_CHARACTERS:
            break
    found = unread(tokenizer, "\n".join(sample))
    if found.share > UNREAD_LIMIT or found.altered > UNREAD_LIMIT:
        raise UserError(
            f"This model cannot read these texts, so nothing of them could be found in it. {found.sentence} "
            "Bring texts of its own language, or choose another model.",
            field,
        )


def _examples(tokenizer: Any) -> str:
    """A few words of a small vocabulary, as a hint of what could be typed."""
    vocabulary: dict[str, int] = tokenizer.get_vocab() if hasattr(tokenizer, "get_vocab") else {}
    special = set(getattr(tokenizer, "all_special_tokens", ()))
    words = [t for t, _ in sorted(vocabulary.items(), key=lambda pair: pair[1]) if t not in special and t.isalnum()]
    if not words or len(vocabulary) > 1000:
        return " Type a text of its own language, or choose another model."
    return f" It knows {len(words)} words, such as {', '.join(words[:3])}. Type those, or choose another model."
