"""What a model can read of a text: unknown words are named or refused, whatever the tokenizer does with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from analysis.activations.collect import collect, recipe_of
from analysis.activations.store import ActivationStore
from analysis.corpora.passages import Passage
from analysis.engine.memory import Memory
from analysis.errors import UserError
from analysis.faithfulness.lines import Tokens
from analysis.mfa.effects import EffectMeasurement
from analysis.models.capabilities import Need, capability
from analysis.models.facts import describe
from analysis.models.legible import check_corpus, check_legible, legibility_notes, unknown_ids, unread
from analysis.models.prompts import encode_prompt
from analysis.models.sites import Site
from analysis.othello.board import Board
from analysis.othello.model import othello_tokenizer
from analysis.othello.squares import square_of
from analysis.qk.contrasts import MOVE_PROMPTS, PRESET_PROMPTS
from analysis.rotate.ops.ablation import corpus_rows
from analysis.snmf.overlap import measured_effects
from analysis.steering.controls import encode_sentences_mean
from pages.attention.reading import choose_preset, preset_options
from tests.unit.test_fit import loaded_tiny

TEXT = "the cat sat on a mat"
KNOWN = ("the", "cat", "sat", "on", "a", "mat", "naïve", ".")


def fast(model: Any, split: Any = None, normalizer: Any = None, **special: str) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = split or pre_tokenizers.Whitespace()
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def words(unknown: str | None = "<unk>", **special: str) -> PreTrainedTokenizerFast:
    vocabulary = {w: i for i, w in enumerate((*([unknown] if unknown else []), *KNOWN))}
    return fast(models.WordLevel(vocabulary, **({"unk_token": unknown} if unknown else {})), **special)


def word_pieces() -> PreTrainedTokenizerFast:
    vocabulary = {w: i for i, w in enumerate(("[UNK]", *KNOWN, "##s"))}
    return fast(models.WordPiece(vocabulary, unk_token="[UNK]"), normalizer=normalizers.BertNormalizer())


def letters(unknown: str | None = None) -> PreTrainedTokenizerFast:
    """The letters of TEXT and nothing else; without an unknown token others vanish."""
    vocabulary = {c: i for i, c in enumerate((*([unknown] if unknown else []), *sorted(set(TEXT.replace(" ", "")))))}
    return fast(models.BPE(vocabulary, [], **({"unk_token": unknown} if unknown else {})))


def unigram() -> PreTrainedTokenizerFast:
    pieces = [("<odd>", 0.0), ("▁", -1.0), *((f"▁{w}", -2.0) for w in KNOWN)]
    return fast(models.Unigram(pieces, unk_id=0), pre_tokenizers.Metaspace())


def bytes_only() -> PreTrainedTokenizerFast:
    vocabulary = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    made = fast(models.BPE(vocabulary, []), pre_tokenizers.ByteLevel(add_prefix_space=False), unk_token="Ā")
    made.backend_tokenizer.decoder = decoders.ByteLevel()
    return made


class Slow:
    """A tokenizer in Python: no offsets, words by list, the rest as number 0."""

    unk_token_id, is_fast = 0, False

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": [KNOWN.index(w) + 1 if w in KNOWN else 0 for w in text.split()]}

    def decode(self, ids: list[int], **_: Any) -> str:
        return " ".join(self.convert_ids_to_tokens(i) for i in ids)

    def convert_ids_to_tokens(self, index: int) -> str:
        return ("?", *KNOWN)[index]


MAKERS: dict[str, Any] = {
    "words": words,
    "words, unknown is the padding": lambda: words("pad", pad_token="pad"),
    "word pieces": word_pieces,
    "letters, others dropped": letters,
    "letters with an unknown": lambda: letters("?"),
    "unigram": unigram,
    "slow": Slow,
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_text_of_unknown_words_is_refused_by_every_kind_of_tokenizer(name: str) -> None:
    tokenizer = MAKERS[name]()
    check_legible(tokenizer, TEXT)
    assert legibility_notes(tokenizer, TEXT) == []
    with pytest.raises(UserError, match="3 of 3 words are unknown to this model") as caught:
        check_legible(tokenizer, "ПРИВЕТ 🐈 ДРУГ")
    assert caught.value.field == "prompt" and "“ПРИВЕТ”" in caught.value.message
    with pytest.raises(UserError, match="cannot read these texts"):
        check_corpus(tokenizer, ["ПРИВЕТ ДРУГ"] * 3)
    check_corpus(tokenizer, [TEXT] * 3)


@pytest.mark.parametrize("name", [n for n in MAKERS if "padding" not in n])
def test_one_unknown_word_of_many_is_named(name: str) -> None:
    tokenizer, text = MAKERS[name](), f"{TEXT} {TEXT} ЁЖ"
    check_legible(tokenizer, text)
    (note,) = legibility_notes(tokenizer, text)
    assert note.startswith("1 of 13 words is unknown to this model") and "“ЁЖ”" in note
    assert ("left out" in note) == (name == "letters, others dropped")


def test_a_padding_token_stands_for_no_word_at_all() -> None:
    squares = othello_tokenizer()
    assert unknown_ids(squares) == {0}
    check_legible(squares, "F5 D6 C3")
    with pytest.raises(UserError, match=r"read as “pad”: “f5”\. It knows 60 words, such as A1, A2, A3"):
        check_legible(squares, "F5 D6 C3 f5")
    with pytest.raises(UserError, match="5 of 5 words"):
        encode_prompt(replace(loaded_tiny("gpt2"), tokenizer=squares), "The ferry passed Marlow Quay", chat=False)


@pytest.mark.parametrize("text", ["<|x|> 🐈 猫 naïve", "\u1112\u1161\u11ab", "e\u0301\u200d\ufe0f", "\ufeffa\tb\r\n"])
def test_bytes_read_everything(text: str) -> None:
    assert unread(bytes_only(), text).sentence == ""


def test_lost_accents_and_capitals_are_no_unknown_words() -> None:
    tokenizer = fast(
        models.WordPiece({"naive": 0, "[UNK]": 1}, unk_token="[UNK]"), normalizer=normalizers.BertNormalizer()
    )
    for text in ("NAÏVE", "nai\u0308ve", "naïve"):
        assert unread(tokenizer, text).sentence == ""
    assert unread(words(unk_token="<unk>"), "the <unk>").count == 0  # typed as such, it is read as what it is


def test_a_tokenizer_that_gives_back_another_text_is_not_believed() -> None:
    class Turned(Slow):
        def decode(self, ids: list[int], **_: Any) -> str:
            return "x" * len(ids)

    assert unread(Turned(), TEXT).altered == 1
    with pytest.raises(UserError, match="gives back 0% of the text's letters"):
        check_legible(Turned(), TEXT)


def test_folded_signs_are_no_loss_and_folded_words_are() -> None:
    dots = fast(models.WordLevel({"a": 0, "…": 1}), normalizer=normalizers.Replace("...", "…"))
    assert unread(dots, "a...").sentence == ""
    folded = fast(models.WordLevel({"x": 0}), normalizer=normalizers.Replace(Regex(r"\w+"), "x"))
    assert unread(folded, "hello there").count == 2


def test_long_lists_of_unknown_words_are_cut() -> None:
    found = unread(words(), " ".join(f"w{'o' * i}" for i in range(30)))
    assert (found.count, found.total, found.share) == (30, 30, 1.0)
    assert found.sentence.endswith("and 27 more.") and len(found.sentence) < 200


def test_the_presets_of_moves_are_legal_games_that_othello_reads() -> None:
    for preset in MOVE_PROMPTS:
        assert unread(othello_tokenizer(), preset["text"]).sentence == ""
        Board.start().after([square_of(name) for name in preset["text"].split()])  # refuses an illegal move


def test_presets_are_offered_to_the_model_that_can_read_them() -> None:
    moves, texts = ({o["label"] for o in preset_options({"source": s})} for s in ("othello", "default"))
    assert moves == {p["title"] for p in MOVE_PROMPTS} and texts == {p["title"] for p in PRESET_PROMPTS}
    (index,) = [o["value"] for o in preset_options({"source": "othello"}) if o["label"] == MOVE_PROMPTS[0]["title"]]
    assert choose_preset(index, "before", False)[0] == "F5 D6 C3 D3 C4 F4 F6"


def test_an_end_token_that_the_outer_tokenizer_calls_unknown_is_none_where_bytes_are_spelled() -> None:
    made = bytes_only()
    assert made.unk_token_id is not None and unknown_ids(made) == frozenset()
    assert unknown_ids(unigram()) == {0} and unknown_ids(letters()) == frozenset() and unknown_ids(Slow()) == {0}


def othello_like() -> Any:
    """A loaded model whose tokenizer knows the squares of a board and no word."""
    return replace(loaded_tiny("gpt2"), tokenizer=othello_tokenizer())


def test_no_page_measures_a_model_on_words_that_it_cannot_read(tmp_path: Path) -> None:
    loaded, passages = othello_like(), [Passage("The ferry passed the quay and went home. " * 4)] * 3
    site = Site(1, "residual")

    def collected() -> None:
        recipe = recipe_of(loaded, passages, [site])
        collect(loaded, passages, [site], ActivationStore(tmp_path / "store", recipe), max_tokens=10)

    asked: list[Callable[[], Any]] = [
        collected,
        lambda: corpus_rows(SimpleNamespace(memory=Memory()), loaded),  # type: ignore[arg-type]
        lambda: measured_effects(loaded, site, torch.zeros(1, 48)),
        lambda: encode_sentences_mean(loaded, ["The ferry passed the quay."], site),
        lambda: Tokens(loaded.tokenizer).encode(["Question: how many are there?", "Answer: four"]),
        lambda: EffectMeasurement(loaded, SimpleNamespace(site=site), Memory())._caches(1),  # type: ignore[arg-type]
    ]
    for ask in asked:
        with pytest.raises(UserError, match="This model cannot read"):
            ask()
    # Moves are read by all of them that take texts.
    assert encode_sentences_mean(loaded, ["F5 D6 C3 D3 C4"], site).shape == (48,)
    assert Tokens(loaded.tokenizer).encode(["F5 D6"])[0] == [loaded.tokenizer("F5 D6")["input_ids"]]


def test_the_model_card_says_what_a_model_that_reads_no_english_cannot_do() -> None:
    facts = loaded_tiny("gpt2").facts
    needs: list[tuple[Need, bool]] = [
        ("recorded attention", True),
        ("residual stream", True),
        ("activations", True),
        ("English items", False),
        ("invariants", False),
    ]
    for need, still in needs:
        plain, mute = capability(need, facts), capability(need, replace(facts, unread_english=1.0))
        assert plain.works and "cannot read" not in plain.reason
        assert mute.works == still and "English, which this model cannot read" in mute.reason
    loaded = loaded_tiny("gpt2")
    ids = torch.arange(1, 9)[None]
    assert describe(loaded.model, ids, othello_tokenizer(), loaded.spec).unread_english == 1
    assert describe(loaded.model, ids, bytes_only(), loaded.spec).unread_english == 0
