"""Turns of a conversation as tokens: any template that shows them, plain turns, and the model's own tokens kept."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from analysis.errors import UserError
from analysis.models.thinking import thinking_marks, without_thinking
from analysis.models.turns import PLAIN_NOTE, PLAIN_STOP, THINKING_NOTE, Spoken, script_of
from tests.unit.test_contrasts import _byte_level

CHATML = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
TRIMS = CHATML.replace("{{ m.content }}", "{{ m.content | trim }}")
DEFAULT = CHATML.replace("{% for", "<|system|>\nYou are an assistant.<|end|>\n{% for", 1)
DOUBLED = CHATML.replace("{{ m.content }}", "{{ m.content }} {{ m.content }}")
BACKWARDS = CHATML.replace("messages %}", "messages | reverse %}")
TURNS = [Spoken("lamp and key", " a key\n"), Spoken("  Box A ", "Box B"), Spoken("key and lamp?")]


def model(template: str | None = None, positions: int = 0) -> Any:
    tokenizer = _byte_level()
    tokenizer.chat_template = template
    facts = SimpleNamespace(max_positions=positions, embeddings=0)
    return SimpleNamespace(tokenizer=tokenizer, facts=facts, check_ids=lambda ids: None, extras={})


def read(loaded: Any, spoken: list[Spoken], system: str = "") -> tuple[Any, str]:
    script = script_of(loaded, spoken, system)
    return script, loaded.tokenizer.decode([i for t in script.turns for i in (*t.prompt, *t.reply)])


@pytest.mark.parametrize("template", [CHATML, TRIMS])
def test_the_tokens_spell_what_the_template_makes(template: str) -> None:
    loaded = model(template)
    messages = [{"role": "system", "content": "Be brief."}]
    for turn in TURNS:
        messages += [{"role": "user", "content": turn.user}, {"role": "assistant", "content": turn.reply}]
    want = loaded.tokenizer.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True)
    script, text = read(loaded, TURNS, "Be brief.")
    assert text == want and script.stop == "" and script.notes == ()
    replies = [loaded.tokenizer.decode(list(turn.reply)) for turn in script.turns]
    assert replies == ([" a key\n", "Box B", ""] if template == CHATML else ["a key", "Box B", ""])


@pytest.mark.parametrize("system", ["", "a"])
def test_a_short_text_is_never_taken_for_a_part_of_the_template(system: str) -> None:
    # "a" and "assistant" stand in the template's own words, before and between what was said.
    loaded = model(DEFAULT)
    spoken = [Spoken("an", "a"), Spoken("assistant", "s"), Spoken("a")]
    script, _ = read(loaded, spoken, system)
    parts = [tuple(loaded.tokenizer.decode(list(ids)) for ids in (t.prompt, t.reply)) for t in script.turns]
    lead = f"<|system|>\n{system}<|end|>\n" if system else ""
    assert parts == [
        (f"<|system|>\nYou are an assistant.<|end|>\n{lead}<|user|>\nan<|end|>\n<|assistant|>\n", "a"),
        ("<|end|>\n<|user|>\nassistant<|end|>\n<|assistant|>\n", "s"),
        ("<|end|>\n<|user|>\na<|end|>\n<|assistant|>\n", ""),
    ]


def test_own_tokens_stay_where_the_text_stands_as_it_was_written() -> None:
    loaded = model(CHATML)
    own = tuple(i for letter in " a key" for i in loaded.tokenizer(letter)["input_ids"])  # no tokenizer cuts it so
    assert own != tuple(loaded.tokenizer(" a key")["input_ids"])
    written = [Spoken("lamp", " a key", own), Spoken("?")]
    assert read(loaded, written)[0].turns[0].reply == own
    edited = [Spoken("lamp", " a box", own), Spoken("?")]
    assert read(loaded, edited)[0].turns[0].reply == tuple(loaded.tokenizer(" a box")["input_ids"])


def test_thinking_of_earlier_turns_is_left_out_and_said() -> None:
    loaded = model(CHATML)
    script, text = read(loaded, [Spoken("lamp", "<think>box</think>\n\na key"), Spoken("?")])
    assert "think" not in text and "a key" in text and script.notes == (THINKING_NOTE,)
    assert without_thinking("no marks") == "no marks"
    assert thinking_marks(loaded) is None, "the template does not name them"


def test_a_base_model_reads_plain_turns() -> None:
    script, text = read(model(), TURNS)
    assert text == (
        "User: lamp and key\nAssistant: a key\nUser: Box A\nAssistant: Box B\nUser: key and lamp?\nAssistant:"
    )
    assert script.stop == PLAIN_STOP and script.notes == (PLAIN_NOTE,)


def test_what_cannot_be_a_conversation_is_refused() -> None:
    for loaded, spoken, words in (
        (model(CHATML), [Spoken("lamp", " "), Spoken("?")], "reply of turn 1 is empty"),
        (model(CHATML), [Spoken("lamp", "key"), Spoken("")], "prompt is empty"),
        (model(BACKWARDS), TURNS, "in another order"),
        (model(DOUBLED), TURNS, "or changes them"),
        (model(CHATML, 12), TURNS, "the limit here is 12"),
    ):
        with pytest.raises(UserError, match=words):
            script_of(loaded, spoken)
