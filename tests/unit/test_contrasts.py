"""Contrasts: examples are checked by decoding their tokens, so that a slip in counting positions cannot hide.

Three small tokenizers are made here, one for each way in which vocabularies write a space: byte-level, sentencepiece
style with a begin token, and plain words.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from analysis.answer import plain_of
from analysis.errors import UserError
from analysis.qk.contrasts import (
    CONTRAST_KINDS,
    PRESET_PROMPTS,
    TEMPLATE_HELP,
    ContrastSpec,
    Example,
    Place,
    build_examples,
    check_example,
    describe,
    parse_jsonl,
    parse_template,
)
from analysis.qk.contrasts.boxes import check_aligned
from analysis.qk.contrasts.template import TEMPLATE_EXAMPLE, WORD_LISTS_EXAMPLE
from analysis.qk.contrasts.tokens import Encoding, frequent_words, single_tokens
from analysis.qk.contrasts.words import CATEGORIES, FILLER, OBJECTS

NOUNS = [
    a + b for a in ("mo", "ta", "li", "ru", "se", "pa", "no", "ki") for b in ("rden", "lton", "vest", "mper", "cks")
]
NOUNS += [a + b for a in ("gra", "blo", "ste", "fri", "tru", "sha") for b in ("mble", "nker", "ppish", "dle", "tter")]
ANIMALS = ("fox", "cat", "horse", "mouse", "goose", "bear")
FRAME = (
    "The lamp is kept in Box A, the key is kept in Box B and the cup is kept in Box C. Reply with one letter. "
    "Question: in which box is the cup? Answer: the cup is kept in Box Skip these words: Here is a list.\n- x\n"
    "Write down, in single words, every one named in the list.\nAnswer: a runs sleeps says"
)


def _corpus() -> list[str]:
    words = [*OBJECTS, *FILLER, *NOUNS, *ANIMALS, *CATEGORIES]
    lines = [FRAME, *(f"the {word} a {word} is {word}" for word in words)]
    lines += [f"kept in Box {chr(c)}, the box {chr(c)} and {chr(c)}." for c in range(65, 91)]
    items = " ".join(word for members in CATEGORIES.values() for word in members)
    return [*lines * 4, items, TEMPLATE_EXAMPLE, WORD_LISTS_EXAMPLE, "the armadillo a armadillo"]


def _byte_level() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=4000,
        min_frequency=4,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")


def _metaspace() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()])
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=4000, min_frequency=4, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    # An end token as well, to see that the last token of the text is found before it.
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def _word_level() -> PreTrainedTokenizerFast:
    words = sorted({w for line in _corpus() for w in re.findall(r"\w+|[^\w\s]", line)})
    vocabulary = {"<unk>": 0, "<s>": 1} | {word: i for i, word in enumerate(words, 2)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", unk_token="<unk>")


MAKERS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "byte_level": _byte_level,
    "metaspace": _metaspace,
    "word_level": _word_level,
}


@pytest.fixture(scope="module", params=list(MAKERS))
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    return MAKERS[request.param]()


@pytest.fixture(scope="module")
def byte_level() -> PreTrainedTokenizerFast:
    return _byte_level()


def word_at(example: Example, tokenizer: Any, place: Place) -> str:
    return str(tokenizer.decode([example.prompts[place.prompt][place.position]])).strip()


def text_of(example: Example, tokenizer: Any, prompt: int = 0) -> str:
    return str(tokenizer.decode(list(example.prompts[prompt]), skip_special_tokens=True))


def spec(kind: str, n: int = 40, seed: int = 0, **options: Any) -> ContrastSpec:
    return ContrastSpec(kind, n, seed, options)


def template(text: str, lists: str = "animal: " + ", ".join(ANIMALS), n: int = 20, **options: Any) -> ContrastSpec:
    return spec("template", n, template=text, word_lists=lists, **options)


def jsonl(*rows: Any, n: int = 20_000) -> ContrastSpec:
    return spec("jsonl", n, text="\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))


GOOD = {"text": "a cat and a mouse and a horse", "positive": ["cat"], "negative": ["mouse"]}
PLAIN = "the {animal.1|+} runs and the {animal.2|-} runs and a {animal.1|?}"


# The spec


def test_every_kind_has_defaults_that_make_a_spec_and_travel_as_json() -> None:
    for name, kind in CONTRAST_KINDS.items():
        made = ContrastSpec(name)
        assert made.n_examples == kind.default_examples
        assert set(made.options) == {option.name for option in kind.options}
        assert ContrastSpec.from_dict(json.loads(json.dumps(made.to_dict()))) == made
        assert kind.title and kind.explanation and all(o.field.words and o.help for o in kind.options)
    assert ContrastSpec("induction").n_examples == 300


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"kind": "unknown"}, "kind"),
        ({"kind": ["order"]}, "kind"),
        ({}, "kind"),
        ("order", None),
        ({"kind": "order", "n_examples": 7}, "n_examples"),
        ({"kind": "order", "n_examples": 20_001}, "n_examples"),
        ({"kind": "order", "n_examples": True}, "n_examples"),
        ({"kind": "order", "n_examples": float("nan")}, "n_examples"),
        ({"kind": "order", "seed": -1}, "seed"),
        ({"kind": "order", "seed": "1"}, "seed"),
        ({"kind": "order", "options": {"n_boxes": 2}}, "n_boxes"),
        ({"kind": "order", "options": {"n_boxes": 10}}, "n_boxes"),
        ({"kind": "order", "options": {"filler": 1}}, "filler"),
        ({"kind": "order", "options": {"colour": 1}}, "options"),
        ({"kind": "order", "options": [1]}, "options"),
        ({"kind": "order", "colour": 1}, "options"),
        ({"kind": "lexical", "options": {"pairing": "other"}}, "pairing"),
        ({"kind": "category", "options": {"predicate": ["any"]}}, "predicate"),
        ({"kind": "template", "options": {"template": 5}}, "template"),
        ({"kind": "template", "options": {"template": "{a.1|+} \ud800"}}, "template"),
    ],
)
def test_a_bad_spec_is_refused_at_its_field(data: Any, field: str | None) -> None:
    with pytest.raises(UserError) as caught:
        ContrastSpec.from_dict(data)
    assert caught.value.field == field


# All kinds


ALL = [
    spec("induction"),
    spec("order"),
    spec("order", filler=True),
    spec("lexical"),
    spec("lexical", pairing="coded"),
    spec("category"),
    spec("previous"),
    template(PLAIN),
    jsonl(*[GOOD] * 8),
]


@pytest.mark.parametrize("made", ALL, ids=lambda s: s.kind)
def test_examples_are_deterministic_and_valid(made: ContrastSpec, tokenizer: PreTrainedTokenizerFast) -> None:
    examples = build_examples(made, tokenizer)
    assert examples == build_examples(ContrastSpec.from_dict(made.to_dict()), tokenizer)
    assert len(examples) == (8 if made.kind == "jsonl" else made.n_examples)
    for example in examples:
        check_example(example)
    if made.kind != "jsonl":
        other = ContrastSpec(made.kind, made.n_examples, made.seed + 1, made.options)
        assert examples != build_examples(other, tokenizer)


@pytest.mark.parametrize("made", ALL[:7], ids=lambda s: s.kind)
def test_exactly_the_positive_keys_of_a_preset_carry_the_label(
    made: ContrastSpec, tokenizer: PreTrainedTokenizerFast
) -> None:
    for example in build_examples(made, tokenizer):
        count = len(example.positive)
        assert set(example.key_labels[:count]) == {example.label}
        assert example.label not in example.key_labels[count:]


@pytest.mark.parametrize("made", ALL, ids=lambda s: s.kind)
def test_describe_is_json_and_shows_the_tokens(made: ContrastSpec, tokenizer: PreTrainedTokenizerFast) -> None:
    example = build_examples(made, tokenizer)[0]
    shown = json.loads(json.dumps(plain_of(describe(example, tokenizer))))
    assert [len(tokens) for tokens in shown["prompts"]] == [len(ids) for ids in example.prompts]
    assert shown["query"]["token"] == shown["prompts"][example.query.prompt][example.query.position]
    assert (shown["negative_query"] is None) == (example.negative_query is None)
    told = [(k["prompt"], k["position"], k["label"]) for k in shown["positive"] + shown["negative"]]
    places = example.positive + example.negative
    assert told == [(*spot, label) for spot, label in zip(places, example.key_labels, strict=True)]
    assert all(
        shown["positive"][i]["token"].strip() == word_at(example, tokenizer, example.positive[i])
        for i in range(len(example.positive))
    )


def test_a_slow_tokenizer_is_refused() -> None:
    class Slow:
        is_fast = False

    with pytest.raises(UserError) as caught:
        build_examples(spec("order"), Slow())  # type: ignore[arg-type]
    assert caught.value.field == "model"


def test_check_example_sees_a_key_after_its_query() -> None:
    with pytest.raises(ValueError, match="not visible"):
        check_example(Example(((1, 2, 3),), Place(0, 1), (Place(0, 2),), (Place(0, 0),), "a", ("a", "b")))
    with pytest.raises(ValueError, match="not visible"):
        check_example(
            Example(((1, 2), (1, 2)), Place(0, 1), (Place(0, 0),), (Place(1, 1),), "a", ("a", "b"), Place(1, 0))
        )


# Presets


def test_tokens_without_width_stand_for_no_text() -> None:
    # An added token at the start, a lone marker inside a word, an added token at the end.
    offsets = np.array([[0, 0], [0, 3], [2, 2], [3, 6], [0, 0]])
    encoding = Encoding((9, 1, 2, 3, 9), offsets)
    assert encoding.tokens_of(0, 6) == [1, 3] and encoding.tokens_of(3, 4) == [3] and encoding.last() == 3
    assert encoding.tokens_of(6, 7) == []


def test_frequent_words_are_one_token_in_a_sentence(tokenizer: PreTrainedTokenizerFast) -> None:
    words = frequent_words(tokenizer)
    assert len(words) > 60
    for word, token in words:
        assert re.fullmatch("[a-z]{4,8}", word)
        assert tokenizer.decode([token]).strip() == word
        assert tokenizer(f"and {word} and", add_special_tokens=False)["input_ids"].count(token) == 1
    ids = [token for _, token in words]
    assert ids == sorted(ids)


def test_induction_is_the_sequence_of_the_dossier(tokenizer: PreTrainedTokenizerFast) -> None:
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    first_places = set()
    for example in build_examples(spec("induction", 300), tokenizer):
        (ids,) = example.prompts
        assert len(ids) == 21 and ids[0] == start and example.query == Place(0, 20)
        assert len(set(ids[1:20])) == 19
        first = ids.index(ids[20])
        assert 1 <= first <= 15
        assert example.positive == (Place(0, first + 1),)
        assert {p.position for p in example.negative} == set(range(2, 17)) - {first + 1}
        assert example.label == word_at(example, tokenizer, example.query)
        labels = example.key_labels
        for place, label in zip(example.positive + example.negative, labels, strict=True):
            assert label == word_at(example, tokenizer, Place(0, place.position - 1))
        first_places.add(first)
    assert first_places == set(range(1, 16))


def test_induction_needs_enough_words(byte_level: PreTrainedTokenizerFast) -> None:
    small = Tokenizer(models.WordLevel({"<unk>": 0, "<s>": 1, "lamp": 2, "a": 3}, unk_token="<unk>"))
    small.pre_tokenizer = pre_tokenizers.Whitespace()
    few = PreTrainedTokenizerFast(tokenizer_object=small, bos_token="<s>", unk_token="<unk>")
    with pytest.raises(UserError, match="has 1 suitable words") as caught:
        build_examples(spec("induction"), few)
    assert caught.value.field == "n_words"
    no_start = PreTrainedTokenizerFast(tokenizer_object=byte_level.backend_tokenizer)
    with pytest.raises(UserError, match="neither a begin nor an end token"):
        build_examples(spec("induction"), no_start)


def test_previous_reads_the_token_before(tokenizer: PreTrainedTokenizerFast) -> None:
    queries = set()
    for example in build_examples(spec("previous", 300, length=12), tokenizer):
        t = example.query.position
        assert len(example.prompts[0]) == 13 and len(set(example.prompts[0])) == 13
        assert example.positive == (Place(0, t - 1),)
        assert example.negative == tuple(Place(0, p) for p in range(1, t - 1))
        queries.add(t)
    assert queries == set(range(4, 13))


def _box_of(text: str) -> dict[str, str]:
    return dict(re.findall(r"[Tt]he (\w+) is kept in Box ([A-Z])", text))


@pytest.mark.parametrize("filler", [False, True])
def test_order_asks_for_one_object_at_every_place(filler: bool, byte_level: PreTrainedTokenizerFast) -> None:
    tokenizer = byte_level
    asked, labels, positions = set(), set(), set()
    for example in build_examples(spec("order", 120, n_boxes=5, filler=filler), tokenizer):
        text = text_of(example, tokenizer)
        boxes = _box_of(text)
        (thing,) = re.findall(r"is the (\w+)\?", text)
        assert text.endswith(" Box") and word_at(example, tokenizer, example.query) == "Box"
        assert len(boxes) == 5 and len(set(boxes.values())) == 5
        assert word_at(example, tokenizer, example.positive[0]) == boxes[thing]
        assert example.label == str(list(boxes).index(thing) + 1)
        assert {word_at(example, tokenizer, key) for key in example.negative} == set(boxes.values()) - {boxes[thing]}
        asked.add(thing)
        labels.add(example.label)
        positions.add((example.label, example.positive[0].position))
    assert len(asked) == 1 and labels == {"1", "2", "3", "4", "5"}
    if filler:
        # The control works only if different places in the list can fall on one position of the prompt.
        spots = {label: {p for at, p in positions if at == label} for label in labels}
        assert spots["1"] & spots["3"] and spots["3"] & spots["5"]
    else:
        assert len(positions) == 5


@pytest.mark.parametrize("n_boxes", [3, 9])
def test_lexical_pairs_differ_in_the_object_alone(n_boxes: int, tokenizer: PreTrainedTokenizerFast) -> None:
    clean = build_examples(spec("lexical", 80, n_boxes=n_boxes), tokenizer)
    coded = build_examples(spec("lexical", 80, n_boxes=n_boxes, pairing="coded"), tokenizer)
    inside = {example.label for example in clean}
    assert len(inside) == n_boxes
    for one, two in zip(clean, coded, strict=True):
        first, second = one.prompts
        assert len(first) == len(second)
        changed = [i for i, (a, b) in enumerate(zip(first, second, strict=True)) if a != b]
        assert len(changed) == 3  # in the list, in the question, in the answer cue
        assert {word_at(one, tokenizer, Place(0, i)) for i in changed} == {one.label}
        (other,) = {word_at(one, tokenizer, Place(1, i)) for i in changed}
        assert other not in inside and one.key_labels == (one.label, other)
        assert one.positive[0].prompt == 0 and one.negative == (Place(1, one.positive[0].position),)
        letter = word_at(one, tokenizer, one.positive[0])
        assert letter == word_at(one, tokenizer, one.negative[0]) and re.fullmatch("[A-Z]", letter)
        # The letter is the one that follows the object in the list.
        assert changed[0] < one.positive[0].position <= changed[0] + 5
        assert one.negative_query is None
        assert two.negative_query == Place(1, two.query.position)
        assert (one.prompts, one.query, one.positive, one.negative) == (
            two.prompts,
            two.query,
            two.positive,
            two.negative,
        )


def test_lexical_pairs_of_unequal_positions_are_refused() -> None:
    shifted = Example(((1, 2, 3), (1, 2, 3)), Place(0, 2), (Place(0, 1),), (Place(1, 0),), "a", ("a", "b"))
    longer = Example(((1, 2, 3), (1, 2, 3, 4)), Place(0, 2), (Place(0, 1),), (Place(1, 1),), "a", ("a", "b"))
    for example in (shifted, longer):
        with pytest.raises(UserError, match="splits the two prompts"):
            check_aligned(example)


def test_boxes_need_enough_objects_of_one_token() -> None:
    characters = Tokenizer(models.BPE(unk_token="<unk>"))
    characters.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=70, special_tokens=["<unk>"], show_progress=False)
    characters.train_from_iterator([FRAME], trainer)
    fine = PreTrainedTokenizerFast(tokenizer_object=characters, unk_token="<unk>", bos_token="<unk>")
    assert len(single_tokens(fine, OBJECTS, ("the ", " is"))) < 10
    with pytest.raises(UserError, match="of the bundled objects as one token, but 9 boxes need 10") as caught:
        build_examples(spec("order", n_boxes=9), fine)
    assert caught.value.field == "n_boxes"


def test_category_keys_are_the_items_of_the_category(byte_level: PreTrainedTokenizerFast) -> None:
    several = 0
    asked = set()
    for example in build_examples(spec("category", 60), byte_level):
        text = text_of(example, byte_level)
        assert len(re.findall("^- ", text, re.MULTILINE)) == 25 and f"every {example.label} named" in text
        assert (len(example.positive), len(example.negative)) == (5, 20)
        for place, label in zip(example.positive + example.negative, example.key_labels, strict=True):
            # The text up to the key ends with a whole item of the right category, and a line break follows.
            before = byte_level.decode(list(example.prompts[0][: place.position + 1]))
            item = before.rsplit("- ", 1)[1]
            assert item in CATEGORIES[label]
            assert byte_level.decode([example.prompts[0][place.position + 1]]).startswith("\n")
            several += item != word_at(example, byte_level, place)
        asked.add(example.label)
    assert several > 0  # some items have several tokens, so "last token" was put to the test
    assert asked == set(CATEGORIES)
    only = build_examples(spec("category", 8, predicate="fruit"), byte_level)
    assert {example.label for example in only} == {"fruit"}


# Templates


def test_template_marks_find_their_words(tokenizer: PreTrainedTokenizerFast) -> None:
    drawn = set()
    for example in build_examples(template(PLAIN), tokenizer):
        positive, negative = example.positive[0], example.negative[0]
        assert positive.position < negative.position < example.query.position
        assert word_at(example, tokenizer, positive) == word_at(example, tokenizer, example.query) == example.label
        assert word_at(example, tokenizer, negative) == example.key_labels[1] != example.label
        drawn.add(example.label)
    assert drawn == set(ANIMALS)


def test_template_clauses_change_places_only_when_asked(byte_level: PreTrainedTokenizerFast) -> None:
    text = "So [the {animal.1|+} runs], [the {animal.2|-} runs] and [the {animal.3} sleeps]. A {animal.1}"
    shuffled = build_examples(template(text, n=60), byte_level)
    assert len({example.positive[0].position for example in shuffled}) == 3
    for example in shuffled:
        words = re.findall(r"the (\w+) (\w+)", text_of(example, byte_level))
        assert len(words) == 3 and sorted(verb for _, verb in words) == ["runs", "runs", "sleeps"]
        assert text_of(example, byte_level).startswith("So the ") and " and the " in text_of(example, byte_level)
        assert word_at(example, byte_level, example.positive[0]) == example.label
        assert text_of(example, byte_level).endswith("A " + example.label)
    fixed = build_examples(template(text, n=60, shuffle=False), byte_level)
    assert len({example.positive[0].position for example in fixed}) == 1


def test_template_escapes_are_plain_characters(byte_level: PreTrainedTokenizerFast) -> None:
    text = r"\[\{\}\|\\\]\n the {animal|+} a {animal.2|-} a | b"
    example = build_examples(template(text), byte_level)[0]
    assert text_of(example, byte_level).startswith("[{}|\\]\n the ")
    assert text_of(example, byte_level).endswith(" a | b")


def test_template_without_a_query_mark_asks_at_the_last_token_of_the_text(tokenizer: PreTrainedTokenizerFast) -> None:
    example = build_examples(template("the {animal.1|+} and the {animal.2|-} says"), tokenizer)[0]
    assert word_at(example, tokenizer, example.query) == "says"


def test_template_may_repeat_a_key(byte_level: PreTrainedTokenizerFast) -> None:
    text = "the {animal.1|+} the {animal.2|-} the {animal.1|+} the {animal.3|-} a {animal.1|?}"
    example = build_examples(template(text), byte_level)[0]
    assert (len(example.positive), len(example.negative)) == (2, 2)
    assert {word_at(example, byte_level, key) for key in example.positive} == {example.label}


def test_all_faults_of_a_template_are_named_at_once() -> None:
    with pytest.raises(UserError) as caught:
        parse_template("a] {beast.1|+} {animal.1|*} \\q {thing.2|?} {thing.1|?}", "animal fox\nthing: cup")
    lines = caught.value.message.split("\n")
    assert caught.value.field == "word_lists" and lines[0] == f"There are {len(lines) - 1} faults." and len(lines) == 8
    for part in ("Line 1", "character 2 closes", "mark of {animal.1|*}", "backslash at", "{beast.1|+} names no",
                 "thing has 1", "2 query marks"):  # fmt: skip
        assert sum(part in line for line in lines) == 1, part


@pytest.mark.parametrize(
    ("text", "lists", "field", "message"),
    [
        ("", "animal: fox", "template", "is empty"),
        (" \n ", "animal: fox", "template", "is empty"),
        ("no slots here", "animal: fox", "template", "no slots"),
        ("a {beast.1|+} {beast.2|-}", "animal: fox", "template", r"{beast\.1\|\+} names no word list.*animal"),
        (PLAIN, "animal: fox, fox", "word_lists", "animal has 1 different words, but the template needs 2"),
        ("a {animal.1|-} b", "animal: fox", "template", "no matching key"),
        ("a {animal.1|+} b", "animal: fox", "template", "no other key"),
        (PLAIN + " {animal.2|?}", "animal: fox, cat", "template", r"2 query marks \({animal.1\|\?}, {animal.2\|\?}\)"),
        ("a {animal.1|+ b", "animal: fox", "template", "brace at character 3 is never closed"),
        ("a animal.1|+} b", "animal: fox", "template", "brace at character 13 closes nothing"),
        ("a [b {animal|+}", "animal: fox", "template", "bracket at character 3 is never closed"),
        ("a b] {animal|+}", "animal: fox", "template", "bracket at character 4 closes nothing"),
        ("a [b [c]]", "animal: fox", "template", "clause inside a clause"),
        ("a {animal.1|*}", "animal: fox", "template", r"mark of {animal.1\|\*} is not known"),
        ("a {animal.1|}", "animal: fox", "template", "is not known"),
        ("a {animal.0|+}", "animal: fox", "template", "is no slot"),
        ("a {}", "animal: fox", "template", "is no slot"),
        ("a {an{imal}}", "animal: fox", "template", "is no slot"),
        ("a \\q", "animal: fox", "template", "backslash at character 3"),
        ("a \\", "animal: fox", "template", "backslash at character 3"),
        ("x" * 20_001, "animal: fox", "template", "20,001 characters"),
        (PLAIN, "x" * 20_001, "word_lists", "20,001 characters"),
        (PLAIN, "animal: fox, cat\nno colon", "word_lists", "Line 2"),
        (PLAIN, "animal: fox, cat\nanimal: dog", "word_lists", "two word lists named animal"),
        (PLAIN, "", "word_lists", None),
    ],
)
def test_template_refusals_name_the_thing(text: str, lists: str, field: str, message: str | None) -> None:
    with pytest.raises(UserError, match=message or "names no word list.*none") as caught:
        template(text, lists)
    assert caught.value.field == (field if message else "template")
    with pytest.raises(UserError):
        parse_template(text, lists)


@pytest.mark.parametrize(
    "text",
    [
        "the {animal.1|?} and the {animal.1|+} and the {animal.2|-}",
        "the {animal.1|+} and a {animal.1|?} and the {animal.2|-}",
        "[a {animal.1|+} a {animal.1|?}] [a {animal.2|-}] runs",
    ],
)
def test_template_query_before_its_keys_is_refused(text: str, byte_level: PreTrainedTokenizerFast) -> None:
    with pytest.raises(UserError, match=r"the query, {animal.1\|\?} \(\w+\), comes before its key {animal\.") as caught:
        build_examples(template(text), byte_level)
    assert caught.value.field == "template"


def test_template_words_of_several_tokens(byte_level: PreTrainedTokenizerFast) -> None:
    lists = "animal: fox, cat, armadillo"
    count = len(byte_level(" armadillo")["input_ids"])
    assert count > 1
    with pytest.raises(UserError, match=rf'armadillo \({count} tokens\).*choose "last"') as caught:
        build_examples(template(PLAIN, lists), byte_level)
    assert caught.value.field == "word_lists"
    examples = build_examples(template(PLAIN, lists, long_words="last"), byte_level)
    hits = [example for example in examples if example.label == "armadillo"]
    assert hits
    for example in hits:
        for place in (example.positive[0], example.query):
            assert byte_level.decode(list(example.prompts[0][: place.position + 1])).endswith("armadillo")
    # Two tokens are already too many. The slash is a token of its own.
    assert len(byte_level(" fox/")["input_ids"]) == 2
    with pytest.raises(UserError, match=r"fox/ \(2 tokens\)"):
        build_examples(template(PLAIN, "animal: fox/, cat"), byte_level)
    # A word that is not marked may have as many tokens as it likes.
    free = template("the {animal.1|+} the {animal.2|-} {long}", "animal: fox, cat\nlong: armadillo")
    assert build_examples(free, byte_level)


def test_template_marks_on_one_token_are_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    # Nothing stands between the two words, and a tokenizer that knows the compound makes them one token.
    made = template("the {a|+}{b|-} says", "a: ki\nb: rden", long_words="last")
    with pytest.raises(UserError, match=r"{a.1\|\+} \(ki\) and {b.1\|-} \(rden\) fall on the same token"):
        build_examples(ContrastSpec("template", 8, 0, {**made.options}), tokenizer)


def test_the_template_shown_by_default_makes_examples(tokenizer: PreTrainedTokenizerFast) -> None:
    examples = build_examples(ContrastSpec("template", 20, options={"long_words": "last"}), tokenizer)
    assert all(len(example.negative) == 2 and example.query.position > 10 for example in examples)


WORLD = "word: Katze, größer, 猫, คน, שלום, مرحبا, кошка, 🐈, e\u0301te\u0301, 👩\u200d👩\u200d👧"


def test_unicode_and_right_to_left_words_find_their_last_token(byte_level: PreTrainedTokenizerFast) -> None:
    made = template("שלום [the {word.1|+} runs] [عربى {word.2|-}] a {word.1|?}", WORLD, n=60, long_words="last")
    for example in build_examples(made, byte_level):
        for place, word in zip(example.positive + example.negative, example.key_labels, strict=True):
            assert byte_level.decode(list(example.prompts[0][: place.position + 1])).endswith(word)
        json.dumps(plain_of(describe(example, byte_level)), ensure_ascii=False).encode("utf-8")


@pytest.mark.parametrize("name", ["metaspace", "word_level"])
def test_marked_words_outside_a_vocabulary_are_refused_by_name(name: str) -> None:
    text, tokenizer = "the {word.1|+} runs a {word.2|-} a {word.1|?}", MAKERS[name]()
    with pytest.raises(UserError, match=r"unknown to this model, .*: fox猫, 猫\. Replace them") as caught:
        build_examples(template(text, "word: cat, 猫, horse, fox猫", n=30, long_words="last"), tokenizer)
    assert caught.value.field == "word_lists"
    row = {"text": "a cat and a 猫 and a horse", "positive": ["cat"], "negative": ["horse"], "query": "horse"}
    for other in ({"positive": ["猫"]}, {"query": "猫", "negative": [[0, 1]]}):
        with pytest.raises(UserError, match="line 3: '猫' is unknown to this model"):
            build_examples(jsonl(GOOD, GOOD, {**row, **other}, *[GOOD] * 8), tokenizer)


@pytest.mark.parametrize("kind", ["induction", "order", "lexical", "category", "previous", "template", "jsonl"])
def test_no_contrast_is_made_of_unknown_words(kind: str) -> None:
    """A tokenizer that maps all words to one token would make each of them one token, as the contrasts ask for."""
    made = jsonl(*[GOOD] * 8) if kind == "jsonl" else spec(kind)
    for vocabulary in ({"pad": 0, "F5": 1, "D6": 2}, {"<unk>": 0, "привет": 1, ".": 2}):
        inner = Tokenizer(models.WordLevel(vocabulary, unk_token=next(iter(vocabulary))))
        inner.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>")
        with pytest.raises(UserError, match=r"unknown to this model|has 0 (suitable words|of the bundled objects)"):
            build_examples(made, tokenizer)


# JSONL


def test_jsonl_spans_are_read(tokenizer: PreTrainedTokenizerFast) -> None:
    row = {
        "text": "a cat and a cat and a mouse says a horse runs",
        "positive": [[2, 5], [12, 15]],
        "negative": ["mouse"],
        "query": "horse",
        "label": "feline",
    }
    first, second = build_examples(jsonl(row, GOOD, "", *[GOOD] * 6, "\r"), tokenizer)[:2]
    assert [word_at(first, tokenizer, key) for key in first.positive] == ["cat", "cat"]
    assert first.positive[0].position < first.positive[1].position
    assert word_at(first, tokenizer, first.negative[0]) == "mouse"
    assert word_at(first, tokenizer, first.query) == "horse"
    assert first.label == "feline" and first.key_labels == ("cat", "cat", "mouse")
    assert second.label == "cat" and word_at(second, tokenizer, second.query) == "horse"


def test_jsonl_uses_the_first_lines_up_to_the_limit(byte_level: PreTrainedTokenizerFast) -> None:
    rows = [{**GOOD, "label": str(i)} for i in range(12)]
    assert [e.label for e in build_examples(jsonl(*rows, n=9), byte_level)] == [str(i) for i in range(9)]
    assert len(build_examples(jsonl("\ufeff" + json.dumps(GOOD) + "\r", *rows), byte_level)) == 13


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{not json", "not JSON"),
        ("[" * 100_000, "not usable JSON"),
        ('{"text": ' + "1" * 5000 + "}", "not usable JSON"),
        ("[1]", "not a JSON object"),
        ({"text": "a cat", "positive": ["cat"]}, "field negative is missing"),
        ({"positive": ["cat"], "negative": ["a"]}, "field text is missing"),
        ({**GOOD, "Query": "horse"}, "field 'Query' is not known"),
        ({**GOOD, "text": 5}, "text must be a string"),
        ({**GOOD, "text": " "}, "text must be a string"),
        ({**GOOD, "text": "cat mouse" + "x" * 20_000}, "20,009 characters"),
        ({**GOOD, "text": GOOD["text"] + "\ud800"}, "surrogate"),
        ({**GOOD, "positive": "cat"}, "positive must be a list"),
        ({**GOOD, "positive": []}, "positive must be a list"),
        ({**GOOD, "positive": [3, 5]}, "a positive span must be a string or"),
        ({**GOOD, "negative": [[True, 5]]}, "a negative span must be a string or"),
        ({**GOOD, "negative": [[5, 5]]}, r"\[5, 5\] does not lie in the text"),
        ({**GOOD, "negative": [[0, 99]]}, r"\[0, 99\] does not lie in the text"),
        ({**GOOD, "negative": ["dog"]}, "negative span 'dog' is not in the text"),
        ({**GOOD, "negative": [""]}, "negative span '' is not in the text"),
        ({**GOOD, "negative": ["and"]}, "negative span 'and' is in the text more than once"),
        ({**GOOD, "text": "a cat and a banana", "negative": ["ana"]}, "'ana' is in the text more than once"),
        ({**GOOD, "query": 4}, "a query span must be a string or"),
        ({**GOOD, "label": 4}, "label must be a string"),
        ({**GOOD, "query": "cat"}, "the query, 'cat', comes before its key 'mouse'"),
        ({**GOOD, "negative": ["cat"]}, "'cat' and 'cat' fall on the same token"),
    ],
)
def test_jsonl_refusals_name_line_and_reason(row: Any, reason: str, byte_level: PreTrainedTokenizerFast) -> None:
    with pytest.raises(UserError, match=f"^One line of the file cannot be used: line 3: .*{reason}") as caught:
        build_examples(jsonl(GOOD, GOOD, row, *[GOOD] * 8), byte_level)
    assert caught.value.field == "text"


def test_jsonl_lists_the_first_five_broken_lines() -> None:
    with pytest.raises(UserError) as caught:
        parse_jsonl("\n".join([json.dumps(GOOD), *["{"] * 7]))
    assert re.findall(r"line (\d+):", caught.value.message) == ["2", "3", "4", "5", "6"]
    assert caught.value.message.startswith("7 lines") and "and 2 more" in caught.value.message


def test_jsonl_size_limits() -> None:
    with pytest.raises(UserError, match="has 7 examples; at least 8"):
        parse_jsonl("\n".join([json.dumps(GOOD)] * 7))
    with pytest.raises(UserError, match="has 0 examples"):
        parse_jsonl("")
    with pytest.raises(UserError, match="20,001 lines"):
        parse_jsonl("{}\n" * 20_001)
    with pytest.raises(UserError, match="more than 20 MB"):
        parse_jsonl("é" * 10_000_001)
    with pytest.raises(UserError) as caught:
        spec("jsonl", text="x" * 20_000_001)
    assert caught.value.field == "text"


def test_too_many_tokens_are_refused(byte_level: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.qk.contrasts.tokens.MAX_TOTAL_TOKENS", 100)
    with pytest.raises(UserError, match="more than 100 tokens together"):
        build_examples(template(PLAIN), byte_level)


# Prompts and imports


def test_preset_prompts_are_complete_and_distinct() -> None:
    assert len(PRESET_PROMPTS) == 8
    assert all(set(prompt) == {"title", "text", "why"} and all(prompt.values()) for prompt in PRESET_PROMPTS)
    assert len({prompt["title"] for prompt in PRESET_PROMPTS}) == 8


def test_every_mark_of_the_help_is_understood() -> None:
    slots = re.findall(r"\{animal[^}]*\}", TEMPLATE_HELP)
    mentions = parse_template(" ".join(slots), "animal: fox, cat").mentions()
    assert {mention.mark for mention in mentions} == {"", "+", "-", "?"}


def test_importing_contrasts_brings_no_torch_and_no_transformers() -> None:
    heavy = "{'torch', 'transformers', 'dash', 'plotly'}"
    code = f"import sys, analysis.qk.contrasts; print(sorted({heavy} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
