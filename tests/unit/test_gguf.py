"""GGUF files: all parts are read or the missing one is named, tokenizers are faithful or said not to be."""

from __future__ import annotations

import shutil

import gguf
import numpy as np
import pytest
import torch

from analysis.errors import UserError
from analysis.models import gguf_quick
from analysis.models import gguf_tokenizer as room
from analysis.models.gguf_files import parts_of, read_header, whole_file
from analysis.models.loader import load_model
from analysis.models.metadata import estimate
from analysis.models.spec import ModelSpec
from analysis.models.stamp import stamp_of
from tests.unit.tiny_gguf import TOKENS, tensors, write


def refusal(path, ask=load_model) -> str:
    with pytest.raises(UserError) as caught:
        ask(ModelSpec(str(path)))
    assert caught.value.field == "model"
    return caught.value.message


def test_all_parts_are_read_as_one_and_counted_alike(tmp_path):
    files = write(tmp_path / "model.gguf", parts=3)
    (tmp_path / "one").mkdir()
    (whole,) = write(tmp_path / "one" / "whole.gguf")
    joined, single = load_model(str(tmp_path / "model.gguf")), load_model(str(whole))
    assert joined.facts.fingerprint == single.facts.fingerprint and joined.facts.label == "model"
    found = estimate(ModelSpec(str(tmp_path / "model.gguf")))
    assert found.parameters == estimate(ModelSpec(str(whole))).parameters
    assert found.bytes_on_disk == sum(f.stat().st_size for f in files)
    assert len(stamp_of(ModelSpec(str(tmp_path / "model.gguf")))) == 3
    embedding = joined.model.get_input_embeddings().weight
    assert torch.equal(embedding, torch.from_numpy(tensors()["token_embd.weight"]))


@pytest.mark.parametrize("ask", [load_model, estimate])
def test_one_part_is_no_model_and_the_whole_ones_name_is_given(tmp_path, ask):
    files = write(tmp_path / "model.gguf", parts=2)
    for file in files:
        assert "give the name without the number of the part: model.gguf" in refusal(file, ask)


@pytest.mark.parametrize("ask", [load_model, estimate])
@pytest.mark.parametrize("lost", [1, 2])
def test_a_missing_part_is_named(tmp_path, ask, lost):
    files = write(tmp_path / "model.gguf", parts=3)
    for file in files[-lost:]:
        file.unlink()
    message = refusal(tmp_path / "model.gguf", ask)
    assert files[-lost].name in message and ("2 parts are missing" in message) == (lost == 2)


def test_a_part_under_another_name_says_which_it_is(tmp_path):
    files = write(tmp_path / "model.gguf", parts=2)
    alone = files[1].rename(tmp_path / "weights.gguf")
    assert "part 2 of 2" in refusal(alone)


def test_swapped_parts_and_parts_of_two_models_are_noticed(tmp_path):
    a, b = write(tmp_path / "model.gguf", parts=2)
    a.rename(tmp_path / "x"), b.rename(a), (tmp_path / "x").rename(b)
    assert "renamed" in refusal(tmp_path / "model.gguf")
    write(tmp_path / "model.gguf", parts=2)
    shutil.copy(a, tmp_path / "copy.gguf")
    other = tmp_path / "other"
    other.mkdir()
    write(other / "model.gguf", parts=2, blocks=2)[1].rename(b)
    assert load_model(str(tmp_path / "model.gguf")).facts.layers == 2  # of the same cut: nothing tells them apart


def test_the_joined_file_is_gone_afterwards_and_keeps_what_the_first_part_declares(tmp_path):
    write(tmp_path / "model.gguf", parts=2)
    headers = parts_of(tmp_path / "model-00001-of-00002.gguf")
    with whole_file(headers) as joined:
        fields = read_header(joined).fields
        assert not any(name.startswith("split.") for name in fields)
        assert {k: v for k, v in headers[0].fields.items() if not k.startswith("split.")} == fields
        assert {t.name for t in read_header(joined).tensors} == set(tensors())
    assert not joined.exists() and not joined.parent.exists()


def test_a_disk_without_room_for_the_joined_file_is_a_sentence(tmp_path, monkeypatch):
    write(tmp_path / "model.gguf", parts=2)
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr("analysis.models.gguf_files.shutil.disk_usage", lambda _path: usage)
    assert "disk" in refusal(tmp_path / "model.gguf")


@pytest.mark.parametrize(
    ("pre", "words"),
    [("some-new-cut", "'some-new-cut'"), ("default", "names no pre-tokenizer"), (None, "names no pre-tokenizer")],
)
def test_an_unknown_first_cut_is_said(tmp_path, pre, words):
    (path,) = write(tmp_path / "model.gguf", pre=pre)
    assert words in load_model(str(path)).facts.note


@pytest.mark.parametrize(("pre", "pieces"), [("gpt-2", ["Ġ", "12"]), ("starcoder", ["Ġ", "1", "2"])])
def test_a_known_first_cut_is_restored(tmp_path, pre, pieces):
    (path,) = write(tmp_path / "model.gguf", pre=pre)
    loaded = load_model(str(path))
    assert "pre-tokenizer" not in loaded.facts.note
    ids = loaded.tokenizer(" 12", add_special_tokens=False)["input_ids"]
    assert "".join(loaded.tokenizer.convert_ids_to_tokens(ids)) == "Ġ12"
    if pre == "starcoder":
        assert loaded.tokenizer.convert_ids_to_tokens(ids)[-1] == "2" and "12" not in pieces


@pytest.mark.parametrize("start", [True, False])
def test_the_start_token_is_as_the_file_declares_it_or_said(tmp_path, start):
    (path,) = write(tmp_path / "model.gguf", start=start)
    loaded = load_model(str(path))
    begins = loaded.tokenizer("the")["input_ids"][0] == 1
    assert begins == start or "start token" in loaded.facts.note


def test_a_large_tokenizer_is_converted_once_and_kept_by_content(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "_LARGE", 10)
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path / "home"))
    (path,) = write(tmp_path / "model.gguf")
    said: list[str] = []
    first = load_model(str(path), lambda _share, text: said.append(text))
    assert any("converting the tokenizer" in text for text in said)

    def never(*_a, **_k):
        raise AssertionError("converted again")

    monkeypatch.setattr(room, "repair_tokenizer", never)
    again = load_model(str(path))
    text = "the 12 thé\n  the"
    assert again.tokenizer(text)["input_ids"] == first.tokenizer(text)["input_ids"]
    assert len(again.tokenizer) == len(first.tokenizer) >= len(TOKENS)
    (other,) = write(tmp_path / "other.gguf", pre="smollm")  # another header, another copy
    with pytest.raises(UserError):
        load_model(str(other))


def test_a_damaged_copy_of_a_tokenizer_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "_LARGE", 10)
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path / "home"))
    (path,) = write(tmp_path / "model.gguf", pre="olmo")
    load_model(str(path))
    from analysis.home import folder

    for copy in folder("tokenizers").glob("*/tokenizer.json"):
        copy.write_text("{")
    assert load_model(str(path)).facts.vocabulary == len(TOKENS)


def test_the_quick_reader_sees_what_the_packages_reader_sees_but_for_the_long_lists(tmp_path, monkeypatch):
    (path,) = write(tmp_path / "model.gguf")
    monkeypatch.setattr(gguf_quick, "_LONG", 3)
    quick, usual = gguf_quick.QuickReader(str(path)), gguf.GGUFReader(str(path))
    assert list(quick.fields) == list(usual.fields)
    for name, field in usual.fields.items():
        own = quick.fields[name]
        assert own.types == field.types and len(own.data) == len(field.data), name
        if not name.startswith("tokenizer.ggml.to") and name != "tokenizer.ggml.merges":
            assert own.contents() == field.contents(), name
    for a, b in zip(quick.tensors, usual.tensors, strict=True):
        assert a.name == b.name and a.tensor_type == b.tensor_type and np.array_equal(a.data, b.data)


def test_the_packages_own_reader_is_back_after_a_load(tmp_path):
    usual = gguf.GGUFReader
    (path,) = write(tmp_path / "model.gguf")
    assert load_model(str(path)).facts.vocabulary == len(TOKENS) and gguf.GGUFReader is usual
    with pytest.raises(RuntimeError), gguf_quick.quick_reading():
        raise RuntimeError
    assert gguf.GGUFReader is usual


def test_a_git_lfs_pointer_is_called_that(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    assert "git lfs pull" in refusal(path)


def test_blocks_that_the_header_does_not_count_are_said(tmp_path):
    (path,) = write(tmp_path / "model.gguf", blocks=1)
    loaded = load_model(str(path))
    assert loaded.facts.layers == 1 and "counts 1 blocks, and the file holds block 1" in loaded.facts.note


def test_millions_of_blocks_are_refused_before_anything_is_built(tmp_path):
    (path,) = write(tmp_path / "model.gguf", blocks=20_000_000)
    assert "block_count" in refusal(path)
