"""Own chains: what a scripted model writes becomes the right items, and a random one is asked in its own template."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from analysis.errors import Cancelled, UserError
from analysis.faithfulness.chains import CUE, sample_chains
from analysis.faithfulness.framing import INSTRUCTION, candidates_for, framed, question_parts
from analysis.faithfulness.item import MAX_CANDIDATES, Item
from analysis.faithfulness.lines import Tokens
from analysis.faithfulness.measures.battery import MEASURES, evaluate
from analysis.faithfulness.reader import ModelReader
from analysis.models import generation
from analysis.models.facts import describe
from analysis.models.generation import generate_stream
from analysis.models.loaded_model import LoadedModel
from analysis.models.spec import ModelSpec
from tests.unit.tiny_models import tiny_model

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHATML
QUESTION = "There are 3 cats. Then 4 more come. How many cats are there?"


def byte_tokenizer(template: str | None = CHATML) -> PreTrainedTokenizerFast:
    """One token per byte, and the signs of a chat."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {c: i for i, c in enumerate(alphabet)}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens([AddedToken(t, special=True) for t in ("<|im_start|>", "<|im_end|>")])
    inner.add_tokens([AddedToken(t) for t in ("<think>", "</think>")])
    made = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|im_end|>", pad_token="<|im_end|>")
    made.chat_template = template
    return made


def loaded_bytes(template: str | None = CHATML, **changes: Any) -> LoadedModel:
    """A tiny random model that reads bytes."""
    tokenizer = byte_tokenizer(template)
    settings = {"vocab_size": len(tokenizer), "max_position_embeddings": 2048, "num_hidden_layers": 2, **changes}
    model = tiny_model("llama", **settings)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    spec = ModelSpec("tiny")
    return LoadedModel(model, tokenizer, spec, describe(model, torch.arange(3, 19)[None], tokenizer, spec, ""))


LOADED = loaded_bytes()


class Script:
    """Stands in for generation: writes given texts in turn, "…" at the end of one meaning that it never ends."""

    def __init__(self, patch: pytest.MonkeyPatch, *texts: str) -> None:
        self.texts, self.prompts, self.written = list(texts), [], 0
        patch.setattr(generation, "decode", self)

    def __call__(self, loaded: LoadedModel, ids: list[int], count: int, **settings: Any) -> Iterator[tuple[int, Any]]:
        self.prompts.append(loaded.tokenizer.decode(ids))
        text = self.texts.pop(0)
        made = loaded.tokenizer(text.removesuffix("…"), add_special_tokens=False)["input_ids"]
        made = made * (1 if not text.endswith("…") else 0) or [*made, *[65] * count]
        for token in made[:count]:
            self.written += 1
            yield token, None


def whole(item: Item) -> str:
    """The model's turn as the item has it."""
    return item.lead + "".join(item.steps) + item.cue + item.answer


def test_chains_become_items(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(
        monkeypatch,
        "We have 3 cats. 4 more come.\n3+4=7.\nAnswer: 7\nI hope this helps.",
        "3 and 4 are 8. So the answer is 8.",
        "3 and 4 are 8. So the answer is 8.",
        "Answer: 7",
        "No idea.",
        "So 3 cats and on…",
    )
    shares: list[float] = []
    made = sample_chains(LOADED, QUESTION, samples=6, tokens=300, progress=shares.append)
    assert [item.answer for item in made.items] == ["7", "8"] and made.answers == (("7", 1), ("8", 1))
    first, second = made.items
    assert first.steps == ("We have 3 cats.", " 4 more come.", "\n3+4=7.") and second.steps == ("3 and 4 are 8.",)
    assert first.cue == CUE and first.lead == "" and whole(second) == "3 and 4 are 8.\nAnswer: 8"
    assert first.donor == second.steps and second.donor == first.steps
    assert made.dropped == 4 and made.sentence.startswith("2 of 6 samples can be measured.")
    for reason in ("1 that repeats", "1 that gives the answer without", "1 that gives no answer", "1 that was cut off"):
        assert reason in made.sentence
    assert shares == [pytest.approx((k + 1) / 6) for k in range(6)] and len(made.texts) == 6
    # The text of an item is the prompt that the model was given, and then what it wrote.
    assert all(prompt == script.prompts[0] for prompt in script.prompts)
    assert first.text == script.prompts[0] + "We have 3 cats. 4 more come.\n3+4=7." + CUE
    assert script.prompts[0].startswith(f"<|im_start|>system\n{INSTRUCTION}<|im_end|>\n<|im_start|>user\nThere")
    assert script.prompts[0].endswith("there?<|im_end|>\n<|im_start|>assistant\n") and first.before.endswith("user\n")
    assert set(first.candidates) == {"7", "8", "3", "4"} and first.mistakes[2] != "" and all(first.paraphrases)
    assert first.tier == "own" and first.label is None and first.claim.startswith("unlabelled")
    assert first.problem == QUESTION and first.id != second.id and Item.from_dict(first.to_dict()) == first


def test_generation_stops_behind_the_answer_line(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(monkeypatch, "3+4=7.\n**Answer:** 7\nQuestion: and now something else? Answer: 9. " * 5)
    (item,) = sample_chains(LOADED, QUESTION, samples=1, tokens=400).items
    assert item.answer == "7" and item.steps == ("3+4=7.",) and script.written == len("3+4=7.\n**Answer:** 7\n")


def test_thinking_is_the_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    Script(
        monkeypatch,
        "<think>\nFirst 3. Answer: 2\nThen 3+4=7.\n</think>\n\nThere are 7 cats. The answer is 7.",
        "<think>\n\n</think>\n\n3+4=8.\nAnswer: 8",
        "<think>\nIt goes on and on…",
    )
    made = sample_chains(LOADED, QUESTION, samples=3, tokens=200)
    first, second = made.items
    assert first.lead == "<think>\n" and first.steps == ("First 3.", " Answer: 2", "\nThen 3+4=7.")
    assert first.answer == "7" and first.cue == "\n</think>\n\nAnswer: " and first.text.count("think>") == 2
    assert second.lead == "<think>\n\n</think>\n\n" and second.steps == ("3+4=8.",) and second.cue == CUE
    assert "1 that was cut off while it was thinking" in made.sentence
    # A template may open the tag itself.
    opened = loaded_bytes(CHATML.replace("assistant\n", "assistant\n<think>\n"))
    Script(monkeypatch, "Then 3+4=7.\n</think>\n\nAnswer: 7")
    (item,) = sample_chains(opened, QUESTION, samples=1, tokens=200).items
    assert item.lead == "" and item.question[-1].text.endswith("<think>\n") and item.steps == ("Then 3+4=7.",)
    assert item.cue == "\n</think>\n\nAnswer: "


def test_candidates_and_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(monkeypatch, "It is far. Answer: (b) Rome", "We are here. The answer is Oslo.")
    hint = "A friend says: (A)."
    made = sample_chains(LOADED, "Where? Near or far?", hint, ("A", "B"), samples=2, tokens=100)
    assert [(i.answer, i.candidates) for i in made.items] == [("B", ("A", "B")), ("Oslo", ("A", "B", "Oslo"))]
    item = made.items[0]
    assert item.key == hint and item.units == ("sentence 1", "sentence 2", "hint")
    assert "Where? Near or far?\nA friend says: (A).<|im_end|>" in script.prompts[0]
    assert "X is one of: A, B." in script.prompts[0]
    assert item.masked({"sentence 2"}).startswith("... Near or far?\n...<|im_end|>")


def test_a_sample_that_cannot_be_measured_is_left_out_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = tuple(f"town {k}" for k in range(MAX_CANDIDATES))
    Script(monkeypatch, "We go.\nAnswer: town 7", "We go on.\nAnswer: Oslo")
    made = sample_chains(LOADED, QUESTION, candidates=listed, samples=2, tokens=60)
    assert [item.answer for item in made.items] == ["town 7"] and made.items[0].candidates == listed
    assert made.dropped == 1 and "1 that cannot be measured (there are 65 candidate answers; at most" in made.sentence
    with pytest.raises(UserError, match="at most 64") as caught:
        sample_chains(LOADED, QUESTION, candidates=(*listed, "Oslo"))
    assert caught.value.field == "candidates"


def test_plain_text_for_models_without_a_template(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = loaded_bytes(None)
    with pytest.raises(UserError, match="no chat template") as caught:
        sample_chains(bare, QUESTION)
    assert caught.value.field == "model"
    script = Script(monkeypatch, "3+4=7.\nAnswer: 7\n\nQuestion: More? Answer: 9")
    (item,) = sample_chains(bare, QUESTION, samples=1, tokens=200, plain=True).items
    assert item.answer == "7" and item.lead == "\nLet us think step by step.\n"
    assert script.prompts[0].endswith(f"Question: {QUESTION}\nLet us think step by step.\n")


def test_templates_without_system_messages() -> None:
    parts = question_parts(QUESTION)
    for template in (NO_SYSTEM, "{% for m in messages if m.role == 'user' %}[{{ m.content }}]{% endfor %}:"):
        before, question, lead = framed(parts, byte_tokenizer(template), instruction="Think.")
        assert before.endswith("Think.\n\n") and lead == "" and question[: len(parts)] == parts
        assert question[-1].unit == "" and question[-1].text
    with pytest.raises(UserError, match="does not show what was typed"):
        framed(parts, byte_tokenizer("hello"))


@pytest.mark.parametrize(
    ("question", "hint", "units"),
    [
        ("One. Two? Three!", "", 3),
        (" ".join(f"Sentence {k}." for k in range(13)), "", 5),
        (" ".join(f"Sentence {k}." for k in range(13)), "A hint.", 5),
        ("One. The hint says 4. Two. Three. Four. Five. Six.", "The hint says 4.", 5),
        ("Hint first. Then this.", "Hint first.", 2),
        ("If it rains, do we stay, or do we go?", "", 3),
        ("Single", "", 1),
        ("Pick one:\nA) Paris\nB) Rome\n", "", 3),
    ],
)
def test_units_of_a_question(question: str, hint: str, units: int) -> None:
    parts = question_parts(question, hint)
    text = "".join(part.text for part in parts)
    assert text == (question if hint in question else f"{question}\n{hint}")
    names = list(dict.fromkeys(part.unit for part in parts if part.unit))
    assert len(names) <= 5 and (names.count("hint") == bool(hint)) and len(names) >= min(units, 2)
    assert len(names) == units or len(names) < units == 5
    assert all(part.text == part.text.strip() for part in parts if part.unit)
    assert [part.text for part in parts if part.unit == "hint"] == ([hint] if hint else [])


def test_candidates_by_rule() -> None:
    assert candidates_for("7", "", [" 3+4=7.", " 7.0 it is."], ["8"]) == ("7", "8", "4", "3")
    assert candidates_for("B", "Which? A) x B) y C) z", [" 3."]) == ("B", "A", "C")
    assert candidates_for("B", "It was plan D. so", [" 3 of 4."]) == ("B", "4", "3")
    assert candidates_for("Rome", "", [" 3."], ["Paris"]) == ("Rome", "Paris")
    assert candidates_for("Rome", "", [" No number."]) == ("Rome",)
    assert len(candidates_for("1", "", [" ".join(map(str, range(2, 40)))])) == 8


def test_a_random_model_is_sampled_by_seed_and_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = sample_chains(LOADED, QUESTION, samples=2, temperature=1.0, tokens=12, seed=3).texts
    again = sample_chains(LOADED, QUESTION, samples=2, temperature=1.0, tokens=12, seed=3).texts
    other = sample_chains(LOADED, QUESTION, samples=2, temperature=1.0, tokens=12, seed=4).texts
    assert texts == again and texts != other and texts[0] != texts[1]
    greedy = sample_chains(LOADED, QUESTION, samples=3, temperature=0, tokens=8)
    before, parts, lead = framed(question_parts(QUESTION), LOADED.tokenizer, instruction=INSTRUCTION)
    ids = LOADED.tokenizer(before + "".join(p.text for p in parts) + lead, add_special_tokens=False)["input_ids"]
    assert len(greedy.texts) == 1 and "temperature 0" in greedy.sentence
    assert greedy.texts[0] == LOADED.tokenizer.decode(list(generate_stream(LOADED, ids, 8)))
    Script(monkeypatch, "3+4=7. So 7.\nAnswer: 7", "3+4=9.\nAnswer: 9")
    item = sample_chains(LOADED, QUESTION, samples=2).items[0]
    monkeypatch.undo()
    scores = evaluate(
        item,
        [m for m in MEASURES if m.name in ("Early Answering", "Adding Mistakes", "SCM", "CC-SHAP")],
        ModelReader(LOADED),
    )
    assert all(score.soft is not None for score in scores.values())


def test_it_can_be_stopped_and_says_what_is_wrong() -> None:
    calls: list[int] = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 4:
            raise Cancelled

    with pytest.raises(Cancelled):
        sample_chains(LOADED, QUESTION, tokens=50, check=check)
    assert len(calls) == 4
    for settings, field in [
        ({"question": " "}, "question"),
        ({"samples": 0}, "samples"),
        ({"tokens": 0}, "tokens"),
        ({"temperature": -1.0}, "temperature"),
        ({"candidates": ("7", " 7 ")}, "candidates"),
        ({"question": "why " * 2000}, "steps"),
    ]:
        with pytest.raises(UserError) as caught:
            sample_chains(LOADED, **{"question": QUESTION, **settings})  # type: ignore[arg-type]
        assert caught.value.field == field


def test_start_tokens_are_read_once_and_end_tokens_not_at_all() -> None:
    tokenizer = byte_tokenizer()
    inner = tokenizer.backend_tokenizer
    inner.add_special_tokens(["<s>", "</s>"])
    numbers = [(t, inner.token_to_id(t)) for t in ("<s>", "</s>")]
    inner.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=numbers)
    made = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>")
    made.chat_template = CHATML
    ids, begins = Tokens(made).encode(["<s>ab", "ab", ""])
    assert [made.decode(row) for row in ids] == ["<s>ab", "<s>ab", "<s>"]
    assert begins == [[0, 3, 4], [-1, 0, 1], [-1]]
    before, parts, _ = framed(question_parts("<s>How many? None."), made, plain=True)
    assert before + "".join(p.text for p in parts) == "Question: How many? None."


def test_a_template_of_parts_shows_the_question_and_one_that_refuses_says_why() -> None:
    parts = (
        "{% for m in messages %}[{{ m['role'] }}]{% for p in m['content'] %}"
        "{% if p['type'] == 'text' %}{{ p['text'] }}{% endif %}{% endfor %}{% endfor %}[answer]"
    )
    before, question, _ = framed(question_parts(QUESTION), byte_tokenizer(parts), instruction="Think.")
    assert before + "".join(p.text for p in question) == f"[system]Think.[user]{QUESTION}[answer]"
    with pytest.raises(UserError, match="needs a tool") as caught:
        framed(question_parts(QUESTION), byte_tokenizer("{{ raise_exception('needs a tool') }}"), instruction="Think.")
    assert caught.value.field == "model"


def test_two_writings_of_one_answer_are_not_two_candidates() -> None:
    with pytest.raises(UserError, match="are the same answer") as caught:
        sample_chains(LOADED, QUESTION, candidates=("7", "8", "7.0"))
    assert caught.value.field == "candidates"
    assert candidates_for("1/2", "How much?", ["It is 0.5, or 2."]) == ("1/2", "2")
    assert candidates_for("Yes", "Is it so?", ["It is."], ["yes"]) == ("Yes", "No")
