"""Thinking between marks of all families, parted from the reply; no chain holds its answer or a control token."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import AddedToken

from analysis.faithfulness import asking_again
from analysis.faithfulness.chains import sample_chains
from analysis.faithfulness.thinking import closing, ending, marks_of, part_thinking
from tests.unit.faithfulness.test_chains import QUESTION, Script, byte_tokenizer, loaded_bytes

CHAIN = "I take three. I add four."
HARMONY = ("<|channel|>", "<|message|>", "<|end|>", "<|start|>")
OPENED = "<|im_start|>assistant\n<think>\n"
# Special tokens of the tokenizer, how the prompt ends, and what the model writes: thinking, then "Answer: 7".
FAMILIES: dict[str, tuple[tuple[str, ...], str, str]] = {
    "think": ((), "", f"<think>\n{CHAIN}\n</think>\nAnswer: 7"),
    "reasoning": ((), "", f"<reasoning>{CHAIN}</reasoning><answer>7</answer>"),
    "seed": ((), "", f"<seed:think>{CHAIN}</seed:think>Answer: 7"),
    "brackets": (("[THINK]", "[/THINK]"), "", f"[THINK]{CHAIN}[/THINK]Seven.\nAnswer: 7"),
    "plain brackets": ((), "", f"[THINK]{CHAIN}[/THINK]Answer: 7"),
    "thought": ((), "", f"<|begin_of_thought|>\n\n{CHAIN}\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\nAnswer: 7"),
    "start": ((), "", f"<|START_THINKING|>{CHAIN}<|END_THINKING|><|START_RESPONSE|>Answer: 7<|END_RESPONSE|>"),
    "wide": ((), "", f"<｜begin▁of▁thinking｜>{CHAIN}<｜end▁of▁thinking｜>Answer: 7"),
    "lozenges": ((), "", f"◁think▷{CHAIN}◁/think▷Answer: 7"),
    "inner": (("<|inner_prefix|>", "<|inner_suffix|>"), "", f"<|inner_prefix|>{CHAIN}<|inner_suffix|>Answer: 7"),
    "harmony": (
        HARMONY, "",
        f"<|channel|>analysis<|message|>{CHAIN}<|end|><|start|>assistant<|channel|>final<|message|>Answer: 7",
    ),
    "channel": ((), "", f"<|channel>thought\n{CHAIN}<channel|>Answer: 7"),
    "unused": (("<unused94>", "<unused95>"), "", f"<unused94>thought\n{CHAIN}<unused95>Answer: 7"),
    "nameless": (("<a1>", "<a2>"), "", f"<a1>{CHAIN}<a2>Answer: 7"),
    "opened by the prompt": ((), OPENED, f"{CHAIN}\n</think>\nAnswer: 7"),
    "never opened": ((), "", f"{CHAIN}\n</think>\nAnswer: 7"),
    "behind a preamble": ((), "", f"Sure. <think>{CHAIN}</think> Answer: 7"),
}  # fmt: skip


def tokenizer_with(special: tuple[str, ...]) -> Any:
    made = byte_tokenizer()
    made.add_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    return made


@pytest.mark.parametrize("family", FAMILIES)
def test_thinking_is_parted_whatever_stands_around_it(family: str) -> None:
    special, turn, text = FAMILIES[family]
    parts = part_thinking(text, marks_of(tokenizer_with(special)), turn)
    assert parts.thought.strip() == CHAIN and "7" in parts.reply and not parts.open
    assert "7" not in parts.between and text.startswith(parts.lead)
    assert closing(parts).strip() == parts.between.strip()


@pytest.mark.parametrize("family", FAMILIES)
def test_thinking_that_does_not_end_is_open(family: str) -> None:
    special, turn, text = FAMILIES[family]
    if family in ("nameless", "never opened"):
        pytest.skip("nothing in such a text says that it thinks")
    cut = text[: text.index("four")]
    assert part_thinking(cut, marks_of(tokenizer_with(special)), turn).open


def test_several_stretches_of_thinking_are_one_chain_without_marks() -> None:
    text = (
        "<|channel|>analysis<|message|>I take three.<|end|><|start|>assistant<|channel|>commentary<|message|>"
        "I add four.<|end|><|start|>assistant<|channel|>final<|message|>Answer: 7"
    )
    parts = part_thinking(text, marks_of(tokenizer_with(HARMONY)))
    assert parts.thought == "I take three.\nI add four." and parts.reply == "Answer: 7"
    nested = (
        "<seed:think>I take three.<seed:cot_budget_reflect>Short.</seed:cot_budget_reflect> Then four.</seed:think>7"
    )
    assert part_thinking(nested, marks_of(tokenizer_with(()))).thought == "I take three.\nShort. Then four."


def test_a_text_without_thinking_and_an_empty_thought_are_reply() -> None:
    marks = marks_of(tokenizer_with(()))
    assert part_thinking("We add.\nAnswer: 7", marks).reply == "We add.\nAnswer: 7"
    assert part_thinking("We add.", marks, "<|im_start|>assistant\n<think>\n\n</think>\n\n").reply == "We add."
    empty = part_thinking("<think>\n\n</think>\n\nWe add.", marks)
    assert (empty.thought, empty.reply.strip()) == ("", "We add.")
    angles = part_thinking("If a < b and b > c we add [1] and <b>4</b>.", marks)
    assert angles.thought == angles.lead == "" and "<b>" in angles.reply


def test_a_turn_ends_at_its_end_token_and_where_another_one_begins() -> None:
    marks = marks_of(tokenizer_with(HARMONY))
    assert ending("Answer: 7<|im_end|>\n<|im_start|>user", marks, ["<|im_end|>"]) == 9
    assert ending("Answer: 7<|im_start|>user\nMore", marks, []) == 9
    both = "A<|end|><|start|>assistant<|channel|>final<|message|>7"
    assert ending(both, marks, ["<|im_end|>"]) == len(both)


@pytest.mark.parametrize("family", ["brackets", "harmony", "nameless", "thought", "seed"])
def test_own_chains_hold_neither_answer_nor_control_token(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    special, _, text = FAMILIES[family]
    loaded = loaded_bytes()
    loaded.tokenizer = tokenizer_with(special)
    Script(monkeypatch, text, text.replace(CHAIN, f"{CHAIN}\nAnswer: 7\nAll is done."))
    for item in sample_chains(loaded, QUESTION, candidates=("7", "8"), samples=2, tokens=400).items:
        assert item.steps == ("I take three.", " I add four.") and item.answer == "7"
        assert item.lead and item.cue.endswith("Answer: ") and item.text.startswith(item.before)
    assert item.facts["found"] == "marker"


def test_a_fresh_chain_ends_where_its_thinking_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    special, _, text = FAMILIES["brackets"]
    loaded = loaded_bytes()
    loaded.tokenizer = tokenizer_with(special)
    script = Script(monkeypatch, text, f"{CHAIN} No, five.[/THINK]So it is eight.\nAnswer: 8")
    (item,) = sample_chains(loaded, QUESTION, candidates=("7", "8"), samples=1, tokens=400).items
    monkeypatch.setattr(asking_again, "decode", script)
    assert asking_again.fresh_chain(loaded, item, 400) == f"{CHAIN} No, five."
