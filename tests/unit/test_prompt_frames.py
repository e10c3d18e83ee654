"""Start and end tokens, pasted templates, chat templates of all kinds, and the ends of turns."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from analysis.errors import UserError
from analysis.models import template_limits
from analysis.models.frames import frame_ids, text_ids, with_start
from analysis.models.generation import generate_stream
from analysis.models.prompts import encode_prompt, encoded_prompt, end_ids
from analysis.models.templates import chat_text, turn_end
from tests.unit.test_fit import loaded_tiny
from tests.unit.test_trace_prompts import framed_bytes, with_tokenizer

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PARTS = (
    "{% for m in messages %}[{{ m['role'] }}]{% for part in m['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}[answer]"
)


def chat(template: Any, *special: str, start: str = "", end: str = "") -> Any:
    tokenizer = framed_bytes(start, end)
    tokenizer.add_tokens([*special], special_tokens=True)
    tokenizer.chat_template = template
    return tokenizer


@pytest.mark.parametrize(("start", "end"), [("", ""), ("[CLS]", "[SEP]"), ("<s>", "</s>"), ("", "</s>"), ("<s>", "")])
def test_a_prompt_has_its_start_token_once_and_no_end_token_behind_it(start: str, end: str) -> None:
    tokenizer = framed_bytes(start, end)
    loaded = with_tokenizer(tokenizer)
    for text in ("hi there", f"{start}hi there"):
        assert tokenizer.decode(encode_prompt(loaded, text, chat=False)) == f"{start}hi there"
        assert tokenizer.decode(text_ids(tokenizer, text)) == f"{start}hi there"
    notes = " ".join(encoded_prompt(loaded, "hi there", chat=False).notes)
    assert bool(notes) == bool(end) and end in notes
    assert [tokenizer.decode(ids) for ids in frame_ids(tokenizer)] == [start, end]


def test_start_tokens_that_the_text_brings_are_not_added() -> None:
    assert with_start([7, 8], [1, 2]) == [7, 8, 1, 2]
    assert with_start([7, 8], [8, 1]) == [7, 8, 1]
    assert with_start([7, 8], [7, 8, 1]) == [7, 8, 1]
    assert with_start([], [8, 1]) == [8, 1]


def test_what_was_typed_in_place_of_the_tokenizer_is_said() -> None:
    loaded = with_tokenizer(framed_bytes("<s>", "</s>"))
    assert "itself; none was added" in encoded_prompt(loaded, "<s>hi", chat=False).notes[0]
    assert "more than once" in encoded_prompt(loaded, "hi <s>you", chat=False).notes[0]
    assert "more than once" in encoded_prompt(loaded, "<s><s>hi", chat=False).notes[1]
    assert "ends with </s>" in encoded_prompt(loaded, "hi</s>", chat=False).notes[-1]


def test_a_start_token_typed_in_chat_mode_is_not_doubled_and_pasted_templates_are_noted() -> None:
    tokenizer = chat("<s>" + CHATML, "<|im_start|>", "<|im_end|>", start="<s>")
    loaded = with_tokenizer(tokenizer)
    made = encoded_prompt(loaded, "<s>hi", chat=True)
    assert tokenizer.decode(made.ids) == "<s><|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    assert "left out" in made.notes[0]
    pasted = encoded_prompt(loaded, "<|im_start|>user\nhi<|im_end|>", chat=True)
    assert "switch the template off" in pasted.notes[0]
    assert not encoded_prompt(loaded, "hi", chat=True).notes


def test_templates_that_take_parts_get_parts_and_show_the_text() -> None:
    loaded = with_tokenizer(chat(PARTS))
    assert loaded.tokenizer.decode(encode_prompt(loaded, "the cat", chat=True)) == "[user]the cat[answer]"
    both = chat_text(loaded.tokenizer, [{"role": "system", "content": "short"}, {"role": "user", "content": "the cat"}])
    assert both == "[system]short[user]the cat[answer]"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ raise_exception('A system message is required first') }}", "A system message is required first"),
        (CHATML + "{{ tools[0].name }}{{ tools|length }}", "None has no element 0"),
        ("{% for m in messages %}{{ m['content'] }}{% endfor %", "expected token"),
        ({"tool_use": CHATML, "rag": CHATML}, "no default"),
        ("{% for m in messages %}{{ m['content'].nothing.here }}{% endfor %}", "no attribute"),
        ("[user][answer]", "drops or changes"),
        ("{% for m in messages %}{{ m['content'] | upper }}{% endfor %}", "drops or changes"),
        ("{% for m in messages %}{{ m['content'][:30] }}{% endfor %}", "drops or changes"),
        (None, "no chat template"),
    ],
)
def test_a_template_that_cannot_be_used_is_one_sentence_with_its_own_words(template: Any, words: str) -> None:
    loaded = with_tokenizer(chat(template))
    with pytest.raises(UserError, match=words) as caught:
        encode_prompt(loaded, "the cat sat on the mat and looked at it", chat=True)
    assert caught.value.field == "prompt" and "\n" not in caught.value.message


@pytest.mark.parametrize("template", [CHATML, PARTS.replace("[answer]", "{{ raise_exception('no') }}"), None])
def test_the_end_of_a_turn_is_read_off_the_template(template: str | None) -> None:
    tokenizer = chat(template, "<|im_start|>", "<|im_end|>")
    expected = tokenizer.convert_tokens_to_ids("<|im_end|>") if template == CHATML else None
    assert turn_end(tokenizer) == expected


@pytest.mark.parametrize("settings", [None, 7, [7, 8]])
def test_end_tokens_are_those_of_settings_tokenizer_and_template_together(settings: Any) -> None:
    tokenizer = chat(CHATML, "<|im_start|>", "<|im_end|>", end="</s>")
    loaded = with_tokenizer(tokenizer)
    model = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=settings), config=loaded.model.config)
    found = end_ids(replace(loaded, model=model, extras={}))
    own = {tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|im_end|>")}
    named = {loaded.model.config.eos_token_id} if settings is None else {7} if settings == 7 else {7, 8}
    assert found == own | named


def test_an_end_of_turn_that_only_the_tokenizer_knows_ends_what_is_written() -> None:
    loaded = loaded_tiny("llama")
    ids = [5, 9, 12, 30]
    first = next(generate_stream(loaded, ids, 1))
    knows = SimpleNamespace(
        eos_token_id=first, chat_template=None, all_special_ids=[first], added_tokens_decoder={}, bos_token=None
    )
    ended = replace(loaded, tokenizer=knows, extras={})  # type: ignore[arg-type]
    assert list(generate_stream(ended, ids, 5)) == []


@pytest.mark.parametrize(
    ("bomb", "said"),
    [
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "not done after"),
        ("{{ ('a' * 10 * 10000000)[:1] }}", "repeats something"),
        ("{{ 'a'.center(1000000000)[:1] }}", "characters wide"),
        ("{{ (10 ** 1000000) % 7 }}", "power"),
        ("{{ (2 ** 60 * 2 ** 60) % 7 }}", "64 bits"),
        ("{{ ('%100000000d' % 1)[:1] }}", "great width"),
        ("{# " + "x" * 1_000_001 + " #}", "characters long"),
        ("{% for i in range(10 ** 9) %}{% endfor %}", "Range too big"),
        ("{% for i in range(60000) %}xxxxxxxxxx{% endfor %}", "characters of one turn"),
        ("{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}", "recursion"),
    ],
)
def test_a_template_that_computes_without_end_is_refused(bomb: str, said: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(template_limits, "SECONDS", 0.3)
    tokenizer = chat(bomb + CHATML)
    begun = time.monotonic()
    with pytest.raises(UserError, match=said) as refused:
        chat_text(tokenizer, [{"role": "user", "content": "hi"}])
    assert refused.value.field == "prompt" and turn_end(tokenizer) is None
    assert time.monotonic() - begun < 4
    names = [t.name for t in threading.enumerate()]
    assert "template" not in names, "the thread of the template has ended"


def test_what_templates_compute_as_a_rule_is_computed() -> None:
    tokenizer = chat("{{ 'ab' * 3 }}{{ 7 % 4 }}{{ 2 ** 5 }}{{ '%02d' % 5 }}" + CHATML)
    assert chat_text(tokenizer, [{"role": "user", "content": "hi"}]).startswith("ababab33205<|im_start|>user")
