"""A prompt made into a contrast: its words, its order, its lists, and a head whose behaviour is known, since it was put
there."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from analysis.engine.context import Context
from analysis.engine.residents import Residents
from analysis.errors import UserError
from analysis.models.ablation import plain_logits
from analysis.models.facts import describe
from analysis.models.loaded_model import LoadedModel
from analysis.models.spec import ModelSpec
from analysis.models.trace import trace_prompt
from analysis.qk.alike import forms_of, nearness, partner_of, proposed, same_kind
from analysis.qk.behaviour import check_drawn, exchanged, in_words, other_words
from analysis.qk.contrasts import ContrastSpec, Example, Place, build_examples
from analysis.qk.contrasts.from_prompt import check_pair, prompt_words, series, shared_run, units, written
from analysis.qk.contrasts.tokens import encode
from analysis.qk.evidence import head_evidence
from analysis.qk.fit import fit_contrast
from analysis.qk.ops.contrast import CheckContrast, MakeContrast
from analysis.qk.proposal import Pair, propose
from tests.unit.test_contrasts import ANIMALS, _byte_level
from tests.unit.tiny_models import tiny_model

LAYER, HEAD = 0, 2
TEXT = "the lamp says a fox is"
PLANTED = Pair(LAYER, HEAD, 5, 4)


@cache
def tokenizer() -> Any:
    return _byte_level()


def words_of(text: str) -> tuple[dict[int, Any], list[int]]:
    encoding = next(iter(encode(tokenizer(), [text])))
    return prompt_words(text, encoding), list(encoding.ids)


@cache
def planted() -> LoadedModel:
    """A model in which one head looks from anything to an animal: their vectors share a direction that no other word
    has, its keys read that, and its queries are a constant."""
    model = tiny_model("llama", vocab_size=4000)
    decoder: Any = model.base_model
    table = decoder.embed_tokens.weight
    attention = decoder.layers[LAYER].self_attn
    width, group = attention.head_dim, 3
    with torch.no_grad():
        table[:, :2] = torch.tensor([0.0, 2.0])
        for animal in ANIMALS:
            token = tokenizer()(f" {animal}")["input_ids"]
            assert len(token) == 1
            table[token[0], 0] = 6.0
        # The last pair of a head's dimensions hardly rotates.
        rows = slice(HEAD * width, (HEAD + 1) * width)
        keys = slice(HEAD // group * width, (HEAD // group + 1) * width)
        attention.q_proj.weight[rows] = attention.k_proj.weight[keys] = 0.0
        attention.q_proj.weight[HEAD * width + width - 1, 1] = 6.0
        attention.k_proj.weight[HEAD // group * width + width - 1, 0] = 6.0
    spec = ModelSpec("default")
    ids = torch.tensor([tokenizer()(TEXT)["input_ids"]])
    return LoadedModel(model, tokenizer(), spec, describe(model, ids, tokenizer(), spec, ""))


# ---- the text ----
def test_words_of_one_token_and_their_places() -> None:
    text = "the cup, a fox"
    words, ids = words_of(text)
    assert [w.text for w in words.values()] == ["the", "cup", "a", "fox"] and len(ids) == 5
    assert all(text[w.start : w.end] == w.text for w in words.values())
    # A token that is a part of a word is none.
    piece, ids = words_of("a zqfox")
    assert len(ids) > 2 and [w.text for w in piece.values()] == ["a"]


@pytest.mark.parametrize(
    ("query", "key", "says"),
    [(4, 4, "its own key"), (1, 3, "comes after"), (4, 2, "no word of one token"), (4, 0, "very first token")],
)
def test_a_pair_that_makes_no_contrast_is_refused(query: int, key: int, says: str) -> None:
    words, ids = words_of("the cup, a fox")
    with pytest.raises(UserError, match=says) as caught:
        check_pair([str(i) for i in ids], words, query, key)
    assert caught.value.field == "key"


def test_a_key_that_is_no_word_is_answered_with_the_word_that_the_head_looks_at() -> None:
    words, ids = words_of("the cup, a fox")
    assert set(words) == {0, 1, 3, 4}
    with pytest.raises(UserError, match=r"whole word\. Of those, this head looks most at “w1” \(20\.0%\)\.$"):
        check_pair([f"w{n}" for n in range(5)], words, 4, 2, [0.3, 0.2, 0.35, 0.05, 0.1])
    with pytest.raises(UserError, match=r"whole word\.$"):
        check_pair([str(i) for i in ids], words, 4, 2)


def test_a_run_that_comes_again_goes_with_the_key() -> None:
    text = "kept cup book lamp rope drum book lamp"
    words, ids = words_of(text)
    assert shared_run(ids, 7, 4) == 2 and shared_run(ids, 7, 2) == 0
    assert series(text, words, 4) == list(range(8))
    assert series("the cup is a fox", words_of("the cup is a fox")[0], 1) == []
    assert units(set(words), [3, 1, 2, 4], 3, 2) == [(1, 3), (4, 4)]
    assert units({3, 4}, [3, 4], 3, 2) == [(3, 3), (4, 4)]


def test_what_is_written_is_a_template_that_reads_like_the_prompt() -> None:
    text = "kept { book } lamp, rope book"
    words, _ = words_of(text)
    at = {w.text: p for p, w in sorted(words.items(), reverse=True)}
    kinds = dict.fromkeys(("book", "lamp", "rope"), "word")
    lists = {"word": ["book", "lamp", "rope", "drum"], "unused": ["x"]}
    clauses = [(at["book"], at["lamp"]), (at["rope"], at["rope"])]
    template, lines = written(text, words, lists, kinds, at["lamp"], [at["rope"]], clauses)
    assert template == "kept \\{ [{word.1} \\} {word.2|+}], [{word.3|-}] {word.1}" and "unused" not in lines
    fixed, _ = written(text, words, lists, kinds, at["lamp"], [at["rope"]])
    spec = ContrastSpec("template", 8, 0, {"template": fixed, "word_lists": lines, "shuffle": False})
    for example in build_examples(spec, tokenizer()):
        said = tokenizer().decode(example.prompts[0])
        shown = said.replace("{", " ").replace("}", " ").replace(",", " ").split()
        assert shown[0] == "kept" and shown[1] == shown[4] and len({*shown[1:4]}) == 3


# ---- the words ----
def test_words_are_proposed_by_vectors_and_form() -> None:
    loaded = planted()
    fox, cup = (tokenizer()(f" {w}")["input_ids"][0] for w in ("fox", "cup"))
    near = nearness(loaded, fox)
    assert float(near[fox]) == pytest.approx(1, abs=1e-5) and np.isneginf(float(near[tokenizer()(",")["input_ids"][0]]))
    assert set(proposed(near, loaded, None)[: len(ANIMALS)]) == set(ANIMALS)
    assert same_kind(near, [fox, tokenizer()(" cat")["input_ids"][0], cup]) == [True, True, False]
    # What is predicted at the place decides among those that are near.
    plain, favourite = proposed(near, loaded, None), torch.zeros(near.shape[0])
    last = plain[len(ANIMALS) - 1]
    favourite[tokenizer()(f" {last}")["input_ids"][0]] = 100.0
    assert proposed(near, loaded, favourite).index(last) < plain.index(last)
    assert forms_of(loaded) is forms_of(loaded)


def test_the_partner_of_a_swap_is_the_strongest_other_word_of_its_kind() -> None:
    loaded = planted()
    ids = tokenizer()("the fox, a cup and a bear is")["input_ids"]
    places = {tokenizer().decode([i]).strip(): p for p, i in enumerate(ids)}
    weak = torch.full((len(ids),), 0.2)
    weak[places["bear"]] = 0.1
    assert partner_of(loaded, ids, weak, places["fox"], len(ids) - 1) == places["bear"]
    # A word of another kind where there is none of its own, and nothing where it is alone.
    last = places["cup"]
    assert partner_of(loaded, ids[: last + 1], weak, places["fox"], last) in (places["cup"], places["a"])
    assert partner_of(loaded, ids, weak, 0, 0) == -1


# ---- the check ----
def examples_of(n: int = 6) -> list[Example]:
    ids = [(3, 10 + i, 20 + i, 5) for i in range(n)]
    return [Example((row,), Place(0, 3), (Place(0, 1),), (Place(0, 2),), "x", ("a", "b")) for row in ids]


def test_words_are_exchanged_for_those_of_another_example() -> None:
    assert other_words(examples_of(3), True) == [11, 12, 10] and other_words(examples_of(3), False) == [21, 22, 20]
    assert other_words([examples_of(1)[0]] * 3, True) == [None] * 3
    assert exchanged((3, 10, 20, 10), 10, 7) == (3, 7, 20, 7)


def test_the_check_is_the_attention_and_the_exchange_of_single_passes() -> None:
    loaded, examples = planted(), examples_of()
    check = check_drawn(loaded, examples, 1, 4)
    rows, moved = [], {True: [], False: []}
    for n, example in enumerate(examples):
        trace, _ = trace_prompt(loaded, list(example.prompts[0]), False)
        rows.append(trace.row(1, 4, 3)[1].numpy())
        before = plain_logits(loaded, list(example.prompts[0])).double().log_softmax(-1)
        for positive, found in moved.items():
            new = examples[(n + 1) % len(examples)].prompts[0][1 if positive else 2]
            ids = exchanged(example.prompts[0], example.prompts[0][1 if positive else 2], new)
            after = plain_logits(loaded, list(ids)).double().log_softmax(-1)
            found.append(float((before.exp() * (before - after)).sum()))
    assert check.attention_key == pytest.approx(np.mean([r[1] for r in rows]), abs=1e-5)
    assert check.attention_other == pytest.approx(np.mean([r[2] for r in rows]), abs=1e-5)
    assert check.wins == np.mean([r[1] > r[2] for r in rows]) and check.chance == 0.5
    assert (check.moved_key, check.moved_other) == pytest.approx([np.mean(moved[p]) for p in (True, False)], rel=1e-4)
    with pytest.raises(ValueError, match="did not report"):
        check_drawn(loaded, examples, 99, 0)


def test_what_does_not_hold_is_refused_in_words() -> None:
    check = check_drawn(planted(), examples_of(), 1, 4)
    base = vars(check) | {"examples": 24, "chance": 0.5, "needed": 0.7, "attention_key": 0.4}

    def said(copied: bool = False, **changes: Any) -> tuple[str, tuple[str, ...]]:
        made = in_words(type(check)(**(base | changes)), 1, 4, copied, 0.5)
        return made.refused, made.remarks

    assert "The behaviour does not hold: the matching key wins in 65%" in said(wins=0.65)[0]
    assert said(wins=0.75, moved_key=2.0, moved_other=1.0) == ("", ())
    assert "The answer does not hold" in said(True, wins=1.0, copies=0.6)[0]
    assert said(True, wins=1.0, copies=0.9, moved_key=2.0, moved_other=1.0)[0] == ""
    assert "no more than on another" in said(wins=1.0, moved_key=1.0, moved_other=1.0)[1][0]
    assert "hardly looks there" in said(wins=1.0, attention_key=0.01)[1][0]
    assert "same word" in said(wins=1.0, moved_key=None)[1][0]


# ---- the whole way ----
def test_a_planted_behaviour_is_found_from_one_prompt_and_fitted_beyond_its_null() -> None:
    loaded = planted()
    trace, _ = trace_prompt(loaded, tokenizer()(TEXT)["input_ids"], False)
    assert float(trace.row(LAYER, HEAD, 5)[1][4]) > 0.9
    made = propose(loaded, trace, TEXT, PLANTED)
    assert made.check.refused == "" and made.check.wins == 1.0 and not made.shuffle
    assert "{word.1|+}" in made.template and made.name == "is → fox"
    words = dict(line.split(": ") for line in made.word_lists.splitlines())["word"].split(", ")
    assert set(ANIMALS) <= set(words)
    spec = ContrastSpec("template", 40, 0, {"template": made.template, "word_lists": made.word_lists, "shuffle": False})
    facts = head_evidence(fit_contrast(loaded, build_examples(spec, tokenizer())), LAYER, HEAD)
    assert "this head carries the feature" in facts.verdict


def test_a_pair_that_the_head_does_not_prefer_is_refused_and_a_better_head_named() -> None:
    loaded = planted()
    trace, _ = trace_prompt(loaded, tokenizer()(TEXT)["input_ids"], False)
    with pytest.raises(UserError, match="no preference to make a contrast of") as caught:
        propose(loaded, trace, TEXT, Pair(LAYER, HEAD, 5, 1))
    assert "“␣fox”" in caught.value.message and "head that looks there: layer" in caught.value.message


def test_the_operations_refuse_what_they_cannot_do() -> None:
    residents = Residents(limit=1)
    residents.put(planted())
    context = Context(residents)
    where = {"layer": LAYER, "head": HEAD, "query": 5, "key": 4}
    assert MakeContrast(text=TEXT, **where).run(context).check.wins == 1.0
    with pytest.raises(UserError, match="chat template"):
        MakeContrast(text=TEXT, chat=True, **where).run(context)
    with pytest.raises(UserError, match="has no head 9"):
        CheckContrast(contrast=ContrastSpec("induction", 8), head=9).run(context)
    check = CheckContrast(contrast=ContrastSpec("induction", 8, 0, {"n_words": 4}), head=1).run(context)
    assert check.examples == 8 and "by chance" in check.sentence


def test_a_name_changes_what_a_feature_is_called_and_not_its_fit() -> None:
    from analysis.qk.ops.features import Evidence, FitContrast, feature_name

    plain, called = ContrastSpec("induction", 9), ContrastSpec("induction", 9, name=" the word after ")
    assert feature_name(called) == called.name == "the word after" and "name" not in plain.to_dict()
    assert ContrastSpec.from_dict(called.to_dict()) == called and called.unnamed() == plain
    assert FitContrast(contrast=called) == FitContrast(contrast=plain)
    assert Evidence(contrast=called).built_on() == Evidence(contrast=plain).built_on()
    for wrong in ("x" * 41, "a\nb", "\ud800", 3):
        with pytest.raises(UserError) as caught:
            ContrastSpec("induction", name=wrong)  # type: ignore[arg-type]
        assert caught.value.field == "name"
