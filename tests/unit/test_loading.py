"""Loading proves itself: what would make a model another one without a word is refused, or said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from analysis.engine.context import Context
from analysis.engine.loading import LoadModel
from analysis.engine.residents import Residents
from analysis.errors import UserError
from analysis.models.facts import fingerprint
from analysis.models.loader import load_model
from analysis.models.metadata import estimate
from analysis.models.proof import Proof, prove
from analysis.models.recording import IMPLEMENTATION
from analysis.models.spec import ModelSpec
from analysis.models.stamp import stamp_of
from analysis.models.weights import check_weights
from benchmarks.architectures import saved, tiny, tokenizer
from tests.unit.tiny_models import tiny_model


@pytest.fixture
def path(tmp_path) -> Path:
    return saved(tiny("llama"), tmp_path / "m")


def change(path: Path, how) -> None:
    weights = load_file(path / "model.safetensors")
    save_file(how(weights), path / "model.safetensors", {"format": "pt"})


def refusal(path: Path | str, **settings) -> str:
    with pytest.raises(UserError) as caught:
        load_model(ModelSpec(str(path), **settings))
    assert caught.value.field == "model"
    return caught.value.message


def test_what_was_proved_stands_in_the_facts(path):
    facts = load_model(str(path)).facts
    weights, function = facts.proof
    assert "All weights" in weights and "plainly loaded model" in function and "no earlier logit" in function
    assert facts.note == "" and facts.proof_seconds > 0 and facts.embeddings == 96


def test_what_moved_within_rounding_is_not_called_nothing():
    assert "moved earlier logits by 1.0e-06 at most" in Proof(0.0, 1e-6, 8.0, 32).sentence
    assert "moved no earlier logit" in Proof(None, 0.0, 8.0, 32).sentence


@pytest.mark.parametrize("prefix", ["_orig_mod.", "base_model.model.", "module."])
def test_a_prefix_that_all_names_carry_is_named(path, prefix):
    change(path, lambda d: {f"{prefix}{k}": v for k, v in d.items()})
    message = refusal(path)
    assert f"begin with '{prefix}'" in message and "21 weights" in message and "and 18 more" in message


@pytest.mark.parametrize(
    ("lost", "words"),
    [("lm_head", "lack 1 weight of the model: lm_head.weight"), (".layers.1.", "lack 9 weights"), ("norm", "norm")],
)
def test_missing_weights_are_refused_and_up_to_three_are_named(path, lost, words):
    change(path, lambda d: {k: v for k, v in d.items() if lost not in k})
    message = refusal(path)
    assert words in message and "at random" in message and message.count(".weight") <= 3


def test_weights_of_another_shape_are_named_with_both_shapes(path):
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, "intermediate_size": 80}))
    message = refusal(path)
    assert "6 weights" in message and "64 x 96 in the file, 64 x 80 in the model" in message


def test_tensors_that_the_model_does_not_use_are_said(path):
    change(path, lambda d: {**d, "model.layers.2.mlp.up_proj.weight": torch.ones(96, 64)})
    assert "1 tensor that this model does not use: model.layers.2.mlp" in load_model(str(path)).facts.note


def test_an_error_of_the_report_is_a_sentence():
    with pytest.raises(UserError, match="could not be read: size mismatch"):
        check_weights("m", {"error_msgs": ["size mismatch\n for x"]})


def test_a_shard_that_is_not_there_is_named(tmp_path):
    path = tmp_path / "m"
    tiny("llama").save_pretrained(path, max_shard_size="100KB")
    tokenizer().save_pretrained(path)
    shards = sorted(path.glob("model-*.safetensors"))
    assert len(shards) > 1 and load_model(str(path)).facts.note == ""
    shards[1].unlink()
    assert shards[1].name in refusal(path)


def test_numbers_that_overflow_in_half_precision_are_refused_at_loading(tmp_path):
    model = tiny("llama")
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight.mul_(1e6)
    path = saved(model, tmp_path / "m")
    assert "float32 or bfloat16" in refusal(path, dtype="float16")
    assert load_model(str(path)).facts.dtype == "float32"


def test_weights_that_are_no_numbers_are_named(path):
    change(path, lambda d: {**d, "model.norm.weight": torch.full((64,), torch.nan)})
    assert "model.norm.weight" in refusal(path)


def test_a_mask_that_is_lost_is_noticed_and_the_plain_attention_is_used(tmp_path):
    model = AutoModelForCausalLM.from_pretrained(saved(tiny("bloom"), tmp_path / "m")).eval()
    model.config._attn_implementation_internal = IMPLEMENTATION  # as Attune's loading once left it
    assert prove(model, torch.arange(3, 30)[None], "m") is None
    loaded = load_model(str(tmp_path / "m"))
    assert loaded.model.config._attn_implementation != IMPLEMENTATION and loaded.facts.attention_layers == []
    assert "own plain attention" in loaded.facts.proof[1]


def test_the_proof_sees_an_attention_that_is_not_the_models_own(monkeypatch):
    model = tiny_model("llama")
    ids = torch.arange(3, 40)[None]
    assert prove(model, ids, "m").difference == 0.0
    from analysis.models import recording

    native = recording._native
    monkeypatch.setattr(recording, "_native", lambda *a: (native(*a)[0] * 1.01, None))
    assert prove(model, ids, "m") is None


def test_a_folder_that_was_saved_over_is_read_again_on_load_and_it_is_said(path):
    context, spec = Context(), ModelSpec(str(path))
    first = context.perform(LoadModel(spec)).data["facts"]
    assert context.perform(LoadModel(spec)).data["facts"] == first
    assert not context.residents.listing()[0][0].changed
    saved(tiny("llama", seed=2), path)
    assert context.residents.listing()[0][0].changed
    assert context.model(spec).facts.fingerprint == first["fingerprint"]  # pages go on with what they had
    again = context.perform(LoadModel(spec)).data["facts"]
    assert again["fingerprint"] == fingerprint(tiny("llama", seed=2)) != first["fingerprint"]
    assert "the weights changed" in again["note"]


def test_files_written_while_they_are_read_are_not_taken(path):
    def meddle(_share, text):
        if text.startswith("proving"):
            saved(tiny("llama", seed=3), path)

    with pytest.raises(UserError, match="were written while they were read"):
        load_model(str(path), meddle)
    assert len(stamp_of(ModelSpec(str(path)))) >= 3


def test_a_model_leaves_memory_only_once_the_new_one_is_loaded(path, tmp_path):
    residents = Residents(limit=1)
    first = ModelSpec(str(path))
    residents.get(first)
    broken = saved(tiny("llama", seed=1), tmp_path / "broken")
    change(broken, lambda d: {k: v for k, v in d.items() if "lm_head" not in k})
    with pytest.raises(UserError):
        residents.get(ModelSpec(str(broken)))
    assert residents.fingerprint(first) is not None
    good = ModelSpec(str(saved(tiny("gpt2"), tmp_path / "good")))
    residents.get(good)
    assert residents.fingerprint(first) is None and residents.fingerprint(good) is not None


def test_a_token_beyond_the_embedding_is_refused_by_name(path):
    words = tokenizer()
    words.add_tokens(["beyond"])
    words.save_pretrained(path)
    loaded = load_model(str(path))
    assert "no embedding (beyond)" in loaded.facts.note
    with pytest.raises(UserError, match="the token beyond"):
        loaded.forward(torch.tensor([words("w4 beyond w5")["input_ids"]]))
    loaded.forward(torch.tensor([words("w4 w5")["input_ids"]]))


def test_learned_positions_limit_a_text_where_the_configuration_does_not_say(tmp_path):
    facts = load_model(str(saved(tiny("opt"), tmp_path / "m"))).facts
    assert facts.max_positions == 128


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("tokenizer.json", '{"version": "9.0", "model": {"type": "NewBPE"}}', "newer library"),
        ("tokenizer.json", "", "tokenizer"),
        ("config.json", '{"model_type": "llama", "num_attention_heads": "4"}', "config.json"),
        ("model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_sentence_of_loading(path, name, content, words):
    (path / name).write_text(content)
    assert words in refusal(path)


def test_the_size_check_and_loading_refuse_the_same(path):
    (path / "model.safetensors").unlink()
    with pytest.raises(UserError):
        load_model(str(path))
    assert not estimate(ModelSpec(str(path))).fits
