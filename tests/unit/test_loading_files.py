"""What else people's folders hold: two sets of weights, none, files written over in place, odd settings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from analysis.engine.context import Context
from analysis.engine.loading import LoadModel
from analysis.errors import UserError
from analysis.models.loader import load_model
from analysis.models.metadata import estimate
from analysis.models.prompts import end_ids
from analysis.models.spec import ModelSpec
from analysis.models.stamp import stamp_of
from benchmarks.architectures import saved, tiny, tokenizer
from tests.unit.tiny_gguf import write

WEIGHTS = "model.safetensors"


@pytest.fixture
def path(tmp_path) -> Path:
    return saved(tiny("llama"), tmp_path / "m")


def change(path: Path, how) -> None:
    save_file(how(load_file(path / WEIGHTS)), path / WEIGHTS, {"format": "pt"})


def edit(path: Path, name: str, **values) -> None:
    (path / name).write_text(json.dumps({**json.loads((path / name).read_text()), **values}))


def refusal(path: Path | str, **settings) -> str:
    with pytest.raises(UserError) as caught:
        load_model(ModelSpec(str(path), **settings))
    assert caught.value.field == "model"
    return caught.value.message


def test_a_weight_that_is_no_number_is_named_though_the_probe_does_not_read_it(path):
    def spoil(weights):
        weights["model.embed_tokens.weight"][95] = float("nan")
        return weights

    change(path, spoil)
    assert "model.embed_tokens.weight" in refusal(path)


def test_weights_too_large_for_half_precision_are_named_though_the_probe_does_not_read_them(path):
    def enlarge(weights):
        weights["model.embed_tokens.weight"][95] = 1e6
        return weights

    change(path, enlarge)
    message = refusal(path, dtype="float16")
    assert "model.embed_tokens.weight" in message and "float32" in message
    assert load_model(str(path)).facts.layers == 2


def test_a_loaded_model_stays_what_it_was_when_its_file_is_written_over_in_place(path):
    loaded, ids = load_model(str(path)), torch.arange(3, 20)[None]
    before = loaded.forward(ids, logits=True)
    body = (path / WEIGHTS).read_bytes()
    with (path / WEIGHTS).open("r+b") as file:  # the same file, as cp and rsync --inplace write it
        file.seek(len(body) - 64 * 64)
        file.write(bytes(64 * 64))
    assert torch.equal(loaded.forward(ids, logits=True), before)


def test_two_different_unembeddings_of_a_tied_model_are_said(path):
    edit(path, "config.json", tie_word_embeddings=True)
    assert "tie_word_embeddings" in load_model(str(path)).facts.note


def test_a_tied_model_that_is_stored_twice_needs_no_word(path):
    edit(path, "config.json", tie_word_embeddings=True)
    change(path, lambda d: {**d, "lm_head.weight": d["model.embed_tokens.weight"].clone()})
    assert load_model(str(path)).facts.note == ""


def test_the_size_check_counts_the_file_that_loading_reads(path, tmp_path):
    shard = "model-00001-of-00001.safetensors"
    larger = load_file(path / WEIGHTS)
    save_file({**larger, "more": torch.zeros(1000)}, path / shard, {"format": "pt"})
    index = {"metadata": {}, "weight_map": dict.fromkeys([*larger, "more"], shard)}
    (path / f"{WEIGHTS}.index.json").write_text(json.dumps(index))
    found = estimate(ModelSpec(str(path)))
    assert found.parameters == load_model(str(path)).facts.parameters
    assert any("index of parts" in note for note in found.notes)


def test_an_index_without_metadata_is_a_sentence(path):
    (path / WEIGHTS).rename(path / "part.safetensors")
    names = dict.fromkeys(load_file(path / "part.safetensors"), "part.safetensors")
    (path / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": names}))
    assert '"metadata"' in refusal(path)


@pytest.mark.parametrize(
    ("name", "words"),
    [("consolidated.00.pth", "consolidated.00.pth"), ("adapter_model.safetensors", "Merge it"), (None, "Fetch them")],
)
def test_weights_under_no_name_that_is_read_are_named(path, name, words):
    if name is None:
        (path / WEIGHTS).unlink()
    else:
        (path / WEIGHTS).rename(path / name)
        if name.startswith("adapter"):
            (path / "adapter_config.json").write_text("{}")
    message = refusal(path)
    assert words in message and str(path.parent) not in message


@pytest.mark.parametrize(("setting", "words"), [({"num_attention_heads": 3}, "3"), ({"hidden_act": "nope"}, "nope")])
def test_a_configuration_that_no_class_takes_is_said_in_the_librarys_words(path, setting, words):
    edit(path, "config.json", **setting)
    message = refusal(path)
    assert "config.json" in message and words in message


def test_a_gguf_file_whose_ending_is_in_capitals_is_read_and_watched(tmp_path):
    (path,) = write(tmp_path / "model.gguf")
    capital = path.rename(path.with_suffix(".GGUF"))
    assert load_model(str(capital)).facts.layers == 2 and stamp_of(ModelSpec(str(capital)))


def test_an_end_token_that_is_no_number_is_passed_over(path):
    edit(path, "generation_config.json", eos_token_id=["</s>", 5])
    assert end_ids(load_model(str(path))) == {2, 5}


def test_another_tokenizer_beside_the_same_weights_is_another_model(path):
    here, spec = Context(), ModelSpec(str(path))
    here.perform(LoadModel(spec))
    before, weights = here.residents.identity(spec), here.residents.fingerprint(spec)
    made = tokenizer()
    made.chat_template = "{{ messages[0]['content'] }}"
    made.save_pretrained(path)
    facts = here.perform(LoadModel(spec)).data["facts"]
    assert "the tokenizer or the settings are not" in facts["note"]
    assert here.residents.identity(spec) != before and here.residents.fingerprint(spec) == weights


def test_a_change_that_the_fingerprint_does_not_sample_is_noticed(path):
    def nudge(weights):
        weights["model.embed_tokens.weight"][-1] += 1.0  # beyond the values that are sampled
        return weights

    here, spec = Context(), ModelSpec(str(path))
    here.perform(LoadModel(spec))
    before, weights = here.residents.identity(spec), here.residents.fingerprint(spec)
    change(path, nudge)
    facts = here.perform(LoadModel(spec)).data["facts"]
    assert here.residents.fingerprint(spec) == weights
    assert "a few weights changed" in facts["note"] and here.residents.identity(spec) != before


def test_the_same_files_copied_again_are_the_same_model(path, tmp_path):
    here, spec = Context(), ModelSpec(str(path))
    here.perform(LoadModel(spec))
    before = here.residents.identity(spec)
    shutil.copy(path / WEIGHTS, tmp_path / "kept")
    shutil.copy(tmp_path / "kept", path / WEIGHTS)
    assert "the weights are the same." in here.perform(LoadModel(spec)).data["facts"]["note"]
    assert here.residents.identity(spec) == before
