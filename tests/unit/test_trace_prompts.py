"""Traces against the eager model's own attention, and prompts on their way in and out."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from analysis.answer import plain_of
from analysis.errors import UserError
from analysis.models import facts as model_facts
from analysis.models import recording
from analysis.models import trace as tracing
from analysis.models.capabilities import capability, recorded_attention
from analysis.models.generation import generate_stream
from analysis.models.prompts import (
    LONG_CHARACTERS,
    MAX_CHARACTERS,
    MAX_TOKENS,
    check_prompt,
    encode_prompt,
    prompt_notes,
    token_labels,
)
from analysis.models.trace import THUMBNAIL, held_bytes, longest_trace, trace_prompt
from analysis.qk.why import alignment_matrix
from analysis.steering.alternatives import retyped
from tests.unit.test_fit import loaded_of, loaded_tiny
from tests.unit.tiny_models import tiny_model

# Thirty tokens, some of which come again, so that there is something to induce.
IDS = [5, 9, 12, 30, 7, 9, 12, 44, 5, 9, 61, 62, 62, 7, 80, 12, 30, 31, 32, 33, 9, 12, 34, 5, 35, 36, 7, 9, 37, 38]
NAMES = ("llama", "mistral", "gemma2", "gpt_oss", "gpt2")


def eager_attention(name: str) -> list[np.ndarray]:
    own = tiny_model(name, "eager")(torch.tensor([IDS]), use_cache=False, output_attentions=True).attentions
    return [a[0].double().numpy() for a in own]


def slow_scores(weights: np.ndarray) -> dict[str, float]:
    """Scores of one head from its attention matrix (T, T), entry by entry."""
    size = len(weights)
    entropy = [-sum(w * math.log(w) for w in row[: i + 1] if w > 0) for i, row in enumerate(weights)]
    induced = []
    for i in range(size):
        targets = [j for j in range(1, i) if IDS[j - 1] == IDS[i]]
        if targets:
            induced.append(sum(weights[i, j] for j in targets))
    away = sum(weights[i, j] * (i - j) for i in range(1, size) for j in range(1, i + 1))
    return {
        "entropy": float(np.mean(entropy[1:])),
        "sink": float(np.mean([weights[i, 0] for i in range(1, size)])),
        "previous": float(np.mean([weights[i, i - 1] for i in range(1, size)])),
        "self": float(np.mean([weights[i, i] for i in range(1, size)])),
        "induction": float(np.mean(induced)),
        "distance": float(away / sum(weights[i, j] for i in range(1, size) for j in range(1, i + 1))),
    }


@pytest.mark.parametrize("rows", [30, 7])
@pytest.mark.parametrize("name", NAMES)
def test_trace_and_overview_equal_the_models_own_attention(
    name: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All queries at once, or seven at a time, of six heads that see thirty keys at most."""
    loaded = loaded_tiny(name)
    monkeypatch.setattr(recording, "PIECE", 4 * 6 * 30 * rows)
    trace, overview = trace_prompt(loaded, IDS)
    assert overview is not None
    own = eager_attention(name)
    for layer, attention in enumerate(own):
        for head in range(6):
            assert np.abs(trace.matrix(layer, head).numpy() - attention[head]).max() < 1e-4
            for score, value in slow_scores(attention[head]).items():
                assert overview.scores[score][layer, head] == pytest.approx(value, abs=2e-4), score
            thumbnail = overview.thumbnails[layer, head]
            assert thumbnail.shape == (THUMBNAIL, THUMBNAIL) and thumbnail.dtype == np.uint8
            edges = [(i * 30 // THUMBNAIL, -(-(i + 1) * 30 // THUMBNAIL)) for i in range(THUMBNAIL)]
            for i, (top, bottom) in enumerate(edges):
                for j, (left, right) in enumerate(edges):
                    cell = attention[head][top:bottom, left:right].max() ** 0.5 * 255
                    assert abs(int(thumbnail[i, j]) - cell) < 1.5
    logits = tiny_model(name, "eager")(torch.tensor([IDS]), use_cache=False).logits[0, -1]
    assert torch.allclose(trace.next_logits, logits, atol=1e-4) and trace.seconds > 0


@pytest.mark.parametrize("name", NAMES)
def test_pooled_maps_are_the_largest_cells_of_the_whole_ones(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trace, _ = trace_prompt(loaded_tiny(name), IDS, overview=False)
    generator = torch.Generator().manual_seed(0)
    width = trace.layers[0].queries.shape[-1]
    subspace = SimpleNamespace(
        query_basis=torch.linalg.qr(torch.randn(width, 3, generator=generator))[0],
        key_basis=torch.linalg.qr(torch.randn(width, 3, generator=generator))[0],
    )
    monkeypatch.setattr(recording, "PIECE", 4 * 30 * 9)
    for layer, head in ((0, 1), (1, 5)):
        own, record = eager_attention(name)[layer][head], trace.layers[layer]
        queries, keys = record.queries[0, head].numpy(), record.keys[0, head // record.group].numpy()
        reads = queries @ subspace.query_basis.numpy() @ subspace.query_basis.numpy().T
        finds = keys @ subspace.key_basis.numpy() @ subspace.key_basis.numpy().T
        seen = record.visible(slice(head, head + 1))[0, 0].numpy()
        for pool in (1, 4):
            matrix = trace.matrix(layer, head, pool).numpy()
            aligned = alignment_matrix(trace, layer, head, subspace, pool).numpy()  # type: ignore[arg-type]
            assert matrix.shape == aligned.shape == (-(-30 // pool),) * 2
            for i in range(len(matrix)):
                for j in range(len(matrix)):
                    cell = slice(pool * i, pool * (i + 1)), slice(pool * j, pool * (j + 1))
                    assert matrix[i, j] == pytest.approx(own[cell].max(), abs=1e-4)
                    nats = ((reads[cell[0]] @ finds[cell[1]].T) * record.scaling)[seen[cell]]
                    most = max(nats, key=abs, default=math.nan)
                    assert aligned[i, j] == pytest.approx(most, abs=1e-5, nan_ok=True)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_holds_raw_logits_and_the_models_weights(name: str) -> None:
    trace, nothing = trace_prompt(loaded_tiny(name), IDS, overview=False)
    assert nothing is None
    own = eager_attention(name)
    for layer, head, query in ((0, 0, 0), (0, 5, 29), (1, 3, 17), (3, 4, 8)):
        raw, weights = trace.row(layer, head, query)
        assert np.abs(weights.numpy() - own[layer][head, query]).max() < 1e-4
        record = trace.layers[layer]
        vector, keys = record.queries[0, head, query].double(), record.keys[0, head // (6 // record.keys.shape[1])]
        first = max(0, query - 4) if name == "mistral" or (name in ("gemma2", "gpt_oss") and layer in (0, 2)) else 0
        for token in range(30):
            if first <= token <= query:
                assert float(raw[token]) == pytest.approx(float(vector @ keys[token].double()), abs=1e-6)
            else:
                assert float(raw[token]) == -math.inf and float(weights[token]) == 0


def test_short_prompts_have_small_thumbnails_and_maybe_no_induction() -> None:
    _, overview = trace_prompt(loaded_tiny("llama"), [5, 6, 7])
    assert overview is not None and overview.thumbnails.shape == (4, 6, 3, 3)
    assert np.isnan(overview.scores["induction"]).all()
    assert not np.isnan(overview.scores["previous"]).any()


def test_a_trace_is_its_own_and_knows_its_size() -> None:
    loaded = loaded_tiny("mistral")
    trace, _ = trace_prompt(loaded, IDS, overview=False)
    one = trace.layers[0]
    vectors = sum(4 * t.numel() for r in trace.layers.values() for t in (r.queries, r.keys, r.values))
    assert one.mask is not None and one.mask.dtype == torch.bool
    assert all(r.mask is one.mask for r in trace.layers.values())
    assert trace.size == vectors + one.mask.numel()
    before = one.queries.clone()
    trace_prompt(loaded, IDS[::-1], overview=False)
    assert torch.equal(one.queries, before)


def test_what_a_device_still_owes_is_time_of_the_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "wait_for", lambda _device: time.sleep(0.02))
    assert trace_prompt(loaded_tiny("llama"), IDS)[0].seconds > 4 * 0.02


def test_a_prompt_longer_than_others_take_is_read_again_from_its_tokens() -> None:
    """The text before a token of a long prompt, as the link "Why here?" names it."""
    loaded = with_tokenizer(framed_bytes("[BOS]", ""), max_positions=0)
    ids = encode_prompt(loaded, "long " * 500, False, 3_000)
    assert len(ids) > MAX_TOKENS and retyped(loaded, ids) == "long " * 500


def test_a_layer_that_does_not_report_is_an_error() -> None:
    loaded = loaded_tiny("llama")
    with pytest.raises(RuntimeError, match=r"\[7\]"):
        trace_prompt(replace(loaded, facts=replace(loaded.facts, attention_layers=[0, 1, 2, 3, 7])), IDS)


def test_a_cancelled_trace_ends_at_its_safe_point() -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trace_prompt(loaded_tiny("llama"), IDS, check=stop)


# Prompts


def byte_level() -> PreTrainedTokenizerFast:
    """Every byte is a token, as its stand-in character."""
    vocabulary = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def sentencepiece() -> PreTrainedTokenizerFast:
    pieces = [("<unk>", 0.0), ("▁", -1.0), ("▁cat", -1.0), ("cat", -2.0), ("<0xF0>", -9.0), ("<0x0A>", -9.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def framed_bytes(start: str, end: str) -> PreTrainedTokenizerFast:
    """A tokenizer of bytes that puts these special tokens before and behind every text ("" for none)."""
    tokens = [t for t in (start, end) if t]
    inner = byte_level().backend_tokenizer
    inner.add_special_tokens(tokens)
    inner.post_processor = processors.TemplateProcessing(
        single=" ".join(t for t in (start, "$A", end) if t),
        special_tokens=[(t, inner.token_to_id(t)) for t in tokens],
    )
    named = {"bos_token": start} if start else {}
    return PreTrainedTokenizerFast(tokenizer_object=inner, **named, **({"eos_token": end} if end else {}))


def with_tokenizer(tokenizer: Any, **facts: Any) -> Any:
    loaded = loaded_tiny("llama")
    # The tokenizer is another one than the model's, so no token is looked for in its embedding.
    return replace(loaded, tokenizer=tokenizer, facts=replace(loaded.facts, embeddings=0, **facts), extras={})


@pytest.mark.parametrize("text", ["", "  \n\t ", None, 7, b"bytes"])
def test_an_empty_prompt_is_refused(text: Any) -> None:
    with pytest.raises(UserError, match="empty") as caught:
        check_prompt(text)
    assert caught.value.field == "prompt"


def test_a_prompt_that_is_too_long_is_refused() -> None:
    assert check_prompt("a" * MAX_CHARACTERS)
    with pytest.raises(UserError, match="20,001 characters"):
        check_prompt("a" * (MAX_CHARACTERS + 1))
    assert check_prompt("a" * LONG_CHARACTERS, LONG_CHARACTERS)


@pytest.mark.parametrize("code", [0x00, 0x07, 0x1B, 0x7F, 0x85, 0xD800, 0xDFFF])
def test_control_characters_are_refused_by_name(code: int) -> None:
    with pytest.raises(UserError, match=f"U\\+{code:04X}") as caught:
        check_prompt(f"fine until{chr(code)}here")
    assert caught.value.field == "prompt"


def test_line_ends_tabs_and_joined_emoji_are_welcome() -> None:
    for text in ("a\n\tb\r\n", "\u200d\U0001f469\u200d\U0001f52c", "שלום", "\ufeffa"):
        assert check_prompt(text) == text


def test_encoding_refuses_what_the_model_cannot_read() -> None:
    loaded = with_tokenizer(byte_level(), max_positions=10)
    assert len(encode_prompt(loaded, "ten bytes!", chat=False)) == 10
    for text, words in (("x", "one token"), ("eleven byte", "11 tokens long; the limit here is 10")):
        with pytest.raises(UserError, match=words) as caught:
            encode_prompt(loaded, text, chat=False)
        assert caught.value.field == "prompt"
    with pytest.raises(UserError, match="no chat template"):
        encode_prompt(loaded, "hello", chat=True)
    with pytest.raises(UserError, match=f"limit here is {MAX_TOKENS:,}"):
        encode_prompt(with_tokenizer(byte_level(), max_positions=0), "a" * (MAX_TOKENS + 1), chat=False)
    most, text = MAX_TOKENS + 9, "a" * (MAX_TOKENS + 9)
    assert len(encode_prompt(with_tokenizer(byte_level(), max_positions=0), text, False, most)) == most
    with pytest.raises(UserError, match="limit here is 2,050"):
        encode_prompt(with_tokenizer(byte_level(), max_positions=2_050), text, False, most)


def test_what_a_long_prompt_may_hold_is_what_a_trace_of_it_holds() -> None:
    loaded = loaded_tiny("llama")
    trace, _ = trace_prompt(loaded, IDS, overview=False)
    assert held_bytes(loaded.facts, len(IDS)) == trace.size
    assert longest_trace(loaded.facts) >= (1 << 30) // held_bytes(loaded.facts, 1) > MAX_TOKENS
    assert longest_trace(replace(loaded.facts, head_width=10**9)) == MAX_TOKENS
    heard: list[int] = []
    trace_prompt(loaded, IDS, within=heard.append)
    assert heard == [0, 1, 2, 3]


def test_a_chat_turn_is_templated_and_gets_no_second_start_token() -> None:
    tokenizer = framed_bytes("[BOS]", "")
    tokenizer.chat_template = "[BOS]{% for m in messages %}({{ m.role }}){{ m.content }}{% endfor %}(answer)"
    loaded = with_tokenizer(tokenizer)
    assert tokenizer.decode(encode_prompt(loaded, "hi", chat=True)) == "[BOS](user)hi(answer)"
    assert tokenizer.decode(encode_prompt(loaded, "hi", chat=False)) == "[BOS]hi"


def test_labels_of_cut_characters_are_bytes() -> None:
    tokenizer = byte_level()
    labels = token_labels(tokenizer, tokenizer("é 🦊\n\tz")["input_ids"])
    assert labels == ["‹C3›", "‹A9›", "␣", "‹F0›", "‹9F›", "‹A6›", "‹8A›", "⏎", "⇥", "z"]


def test_no_label_is_empty_or_blank_whatever_the_token() -> None:
    for tokenizer in (byte_level(), sentencepiece()):
        labels = token_labels(tokenizer, list(range(len(tokenizer))))
        assert all(label.strip() and label.isprintable() for label in labels)


def test_labels_of_sentencepiece_tokens() -> None:
    assert token_labels(sentencepiece(), [1, 2, 3, 4, 5]) == ["␣", "␣cat", "cat", "‹F0›", "⏎"]


def test_characters_that_cannot_be_seen_are_numbered() -> None:
    class Words:
        def decode(self, ids: list[int], **_: Any) -> str:
            return ["\u200d", "a\u00ad", "\u2028", "\u00a0b", "\x1b", "\u202e", ""][ids[0]]

        def convert_ids_to_tokens(self, _index: int) -> str | None:
            return None

    assert token_labels(Words(), list(range(7))) == [
        "‹U+200D›",
        "a‹U+00AD›",
        "‹U+2028›",
        "‹U+00A0›b",
        "‹U+001B›",
        "‹U+202E›",
        "#6",
    ]


def test_notes_name_direction_and_cut_characters() -> None:
    tokenizer = byte_level()

    def notes(text: str) -> list[str]:
        return prompt_notes(text, token_labels(tokenizer, tokenizer(text)["input_ids"]))

    assert notes("plain") == []
    assert notes("🦊") == ["4 tokens hold part of a character only and are shown as bytes."]
    assert notes("שלום")[0].startswith("Right-to-left") and notes("سلام")[0].startswith("Right-to-left")
    assert prompt_notes("x", ["‹U+200D›", "‹", "›", "‹x›"]) == []


# Generation and capabilities


def test_greedy_generation_equals_the_argmax_of_full_passes() -> None:
    loaded = loaded_tiny("llama")
    ids = list(IDS[:6])
    for token in generate_stream(loaded, ids[:], 5):
        full = loaded.forward(torch.tensor([ids]), logits=True)
        assert token == int(full[0, -1].argmax())
        ids.append(token)
    assert len(ids) > 6


def test_drawn_tokens_follow_their_seed() -> None:
    loaded = loaded_tiny("llama")
    runs = [list(generate_stream(loaded, IDS[:6], 12, 2.0, seed)) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_generation_ends_where_the_model_has_no_position_left() -> None:
    loaded = loaded_tiny("gpt2")
    end = loaded.model.generation_config.eos_token_id
    assert end == 2 and loaded.facts.max_positions == 128
    long = (IDS * 5)[:126]
    assert len(list(generate_stream(loaded, long, 10, 1.0, seed=3))) == 2


def test_generation_ends_at_an_end_token() -> None:
    loaded = loaded_tiny("llama")
    first = next(generate_stream(loaded, IDS, 1))
    generation = SimpleNamespace(eos_token_id=[first, 95])
    ended = replace(loaded, model=_Ending(loaded.model, generation))  # type: ignore[arg-type]
    assert list(generate_stream(ended, IDS, 5)) == []


class _Ending:
    """The same model, with another end token."""

    def __init__(self, model: Any, generation: Any) -> None:
        self._model, self.generation_config = model, generation

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._model(*args, **kwargs)

    def get_input_embeddings(self) -> Any:
        return self._model.get_input_embeddings()


def test_capabilities_follow_the_facts() -> None:
    facts = loaded_tiny("gemma2").facts
    attention = recorded_attention(facts)
    assert attention.works and "all 4 layers" in attention.reason and capability("invariants", facts).works
    for change, words in (
        ({"attention_layers": []}, "No layer"),
        ({"missing_layers": [2, 3]}, "Layers 2, 3"),
        ({"recording_error": 2e-4}, "2.0e-04, allowed 1e-04"),
        ({"recording_error": None}, "no finite number"),
    ):
        refused = capability("recorded attention", replace(facts, **change))
        assert not refused.works and words in refused.reason
        assert not capability("invariants", replace(facts, **change)).works
    half = recorded_attention(replace(facts, recording_error=2e-4, dtype="bfloat16", other_layers=[1]))
    assert half.works and "1 layers have no softmax attention" in half.reason


def test_facts_are_json_even_where_the_recording_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_facts, "recording_error", lambda *_: float("inf"))
    facts = loaded_of(tiny_model("llama")).facts
    assert facts.recording_error is None and json.loads(json.dumps(plain_of(facts)))["layers"] == facts.layers
    assert not recorded_attention(facts).works
