"""Weights in 8 bit: what they stand for, what changed is said and true, and every reader of weights reads them."""

from __future__ import annotations

import re
import sys

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from analysis.errors import UserError
from analysis.models.eight_bit import into_eight_bit, plain
from analysis.models.facts import probe_ids
from analysis.models.loader import load_model
from analysis.models.metadata import estimate
from analysis.models.spec import ModelSpec
from analysis.rotate.vectors import NeuronVectors
from benchmarks.architectures import saved, tiny


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return saved(tiny("llama"), tmp_path_factory.mktemp("model") / "m")


@pytest.fixture(scope="module")
def loaded(path):
    return load_model(ModelSpec(str(path), dtype="int8"))


def test_the_sentence_says_what_changed(path, loaded):
    stored = AutoModelForCausalLM.from_pretrained(path).eval()
    ids = probe_ids(stored, loaded.tokenizer)
    with torch.no_grad():
        before, after = (m(ids).logits[0].log_softmax(-1) for m in (stored, loaded.model))
    moved = float((before.exp() * (before - after)).sum(-1).mean())
    assert f"moved by {moved:.4f} nats" in loaded.facts.note and moved > 0
    names = [n for n, m in stored.named_modules() if isinstance(m, nn.Linear) and "layers" in n]
    assert f"The {len(names)} matrices" in loaded.facts.note
    off = [(plain(loaded.model.get_submodule(n).weight) - stored.get_submodule(n).weight).square().sum() for n in names]
    whole = sum(stored.get_submodule(n).weight.square().sum() for n in names)
    assert f"off by {float((sum(off) / whole).detach()) ** 0.5:.1%}" in loaded.facts.note
    assert loaded.facts.eight_bit and loaded.facts.numbers == "8 bit and float32 on cpu"


def test_rows_are_whole_multiples_of_one_scale(path, loaded):
    """An independent reading of the format: at most 255 values per row, a row's largest at the end of the range."""
    weight = plain(loaded.model.model.layers[0].mlp.down_proj.weight)
    for row in weight[:4]:
        steps = row / (row.abs().max() / 127)
        # torchao divides by 127.5 and rounds the scale: half a step of room
        assert float((steps - steps.round()).abs().max()) < 0.51 and len(row.unique()) <= 256
    stored = AutoModelForCausalLM.from_pretrained(path).model.layers[0].mlp.down_proj.weight.detach()
    assert float(((weight - stored).abs() / stored.abs().amax(1, keepdim=True)).max()) <= 1.01 / 255


def test_later_tokens_change_nothing_before_them(loaded):
    ids = torch.arange(1, 41)[None]
    with torch.no_grad():
        whole, part = loaded.model(ids).logits[:, :20], loaded.model(ids[:, :20]).logits
    assert torch.allclose(whole, part, atol=1e-5)


def test_neurons_are_read_as_what_the_weights_stand_for(path, loaded):
    vectors, own = NeuronVectors(loaded), load_model(str(path))
    assert own.facts.fingerprint != loaded.facts.fingerprint
    for kind in vectors.kinds:
        kept, stored = vectors.read(0, kind, 3), NeuronVectors(own).read(0, kind, 3)
        assert kept.dtype == torch.float32 and 0 < float((kept - stored).norm() / stored.norm()) < 0.02


def test_what_it_needs_is_said_before(path):
    whole, less = estimate(ModelSpec(str(path))), estimate(ModelSpec(str(path), dtype="int8"))
    held = sum(
        p.qdata.numel() + p.scale.numel() * 4 if hasattr(p, "qdata") else p.numel() * 4
        for p in load_model(ModelSpec(str(path), dtype="int8")).model.parameters()
    )
    assert less.bytes_needed == held < whole.bytes_needed <= less.peak_bytes
    assert any("8 bit" in note for note in less.notes)


def refusal(do) -> str:
    with pytest.raises(UserError) as caught:
        do()
    return caught.value.message


def test_what_cannot_be_is_said(path, monkeypatch):
    assert "one device" in refusal(lambda: ModelSpec(str(path), dtype="int8", device_map="auto"))
    assert "no plain linear maps" in refusal(lambda: into_eight_bit(tiny("gpt2"), torch.arange(1, 9)[None]))
    packed = torch.zeros(4, 4, dtype=torch.int8)
    assert re.search("packed .* cannot be read", refusal(lambda: plain(packed)))
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    assert "pip install" in refusal(lambda: load_model(ModelSpec(str(path), dtype="int8")))
