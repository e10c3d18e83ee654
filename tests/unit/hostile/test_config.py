"""config.json from elsewhere: eighty bytes that would cost minutes, and every kind of damage, are one sentence."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from analysis.errors import UserError
from analysis.models.config_limits import check_config, check_values
from analysis.models.metadata import estimate
from analysis.models.spec import ModelSpec

BOMBS = {
    "layers": '{"model_type": "llama", "num_hidden_layers": 20000000}',
    "layers of another name": '{"model_type": "gpt2", "n_layer": 20000000}',
    "layers within": '{"model_type": "gemma3", "text_config": {"num_hidden_layers": 20000000}}',
    "layers as a float": '{"model_type": "llama", "num_hidden_layers": 2e7}',
    "labels": '{"model_type": "llama", "num_labels": 300000000}',
    "list of layers": json.dumps({"model_type": "gemma2", "layer_types": ["full_attention"] * 2000}),
    "experts": '{"model_type": "mixtral", "num_local_experts": 90000000}',
    "width": '{"model_type": "llama", "hidden_size": 900000000000}',
    "vocabulary": '{"model_type": "llama", "vocab_size": 9000000000000}',
    "many values": json.dumps({"model_type": "llama", "x": [0] * 500_000}),
    "over 4 MB": json.dumps({"model_type": "llama", "x": "a" * 4_100_000}),
    "deep lists": '{"model_type": "llama", "x": ' + "[" * 90_000 + "]" * 90_000 + "}",
    "deep objects": '{"x": ' * 3_000 + "1" + "}" * 3_000,
    "deeper than data": '{"x": ' * 80 + "1" + "}" * 80,
    "beyond the floats": '{"model_type": "llama", "rope_theta": 1e999}',
    "beyond the integers": '{"model_type": "llama", "hidden_size": 1' + "0" * 400 + "}",
    "beyond the parser": '{"model_type": "llama", "hidden_size": 1' + "0" * 9_000 + "}",
    "half a pair": '{"model_type": "llama", "name": "\\ud800"}',
    "no object": "[1, 2]",
    "empty": "",
    "cut off": '{"model_type": "lla',
    "weights elsewhere": '{"model_type": "llama", "transformers_weights": "../other/model.safetensors"}',
    "no such type": '{"model_type": "nonesuch"}',
    "type is a list": '{"model_type": ["llama"]}',
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_a_configuration_that_describes_no_model_is_a_sentence_at_once(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    began = time.perf_counter()
    with pytest.raises(UserError) as caught:
        estimate(ModelSpec(str(tmp_path)))
    assert time.perf_counter() - began < 5  # the first needs transformers' own table of types, once
    assert caught.value.field == "model"
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("body", [b"\xff\xfe\x00", b"\x00" * 64, b'{"a": "\xc3"}'], ids=["utf-16", "zeros", "half"])
def test_a_configuration_that_is_no_text_is_a_sentence(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "config.json").write_bytes(body)
    with pytest.raises(UserError):
        check_config(tmp_path)


def test_what_real_configurations_hold_passes() -> None:
    """The largest numbers that are published: layers, experts, positions, vocabularies, and Mamba's Infinity."""
    check_values({"num_hidden_layers": 126, "hidden_size": 53248, "max_position_embeddings": 10485760})
    check_values({"n_routed_experts": 384, "num_local_experts": 2048, "vocab_size": 1_000_000, "rope_theta": 1e11})
    check_values({"time_step_limit": [0.0, float("inf")], "id2label": {str(i): "x" for i in range(21_000)}})
    check_values({"vocab_size_per_layer_input": 262144, "layer_rope_theta": [500000.0], "model_max_length": 10**18})


def test_a_configuration_may_begin_with_a_byte_order_mark_and_hold_infinity(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('\ufeff{"model_type": "mamba2", "time_step_limit": [0.0, Infinity]}', "utf-8")
    assert check_config(tmp_path)["model_type"] == "mamba2"
