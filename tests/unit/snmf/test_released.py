"""Features in others' files: what is read, and what is refused in a sentence."""

from __future__ import annotations

import base64
import json
import pickle
from typing import Any

import pytest
import torch
from safetensors.torch import save

from analysis.errors import UserError
from analysis.snmf.released import read_features

WIDTH, K = 12, 5


def matrix() -> torch.Tensor:
    """Neurons x features, as the authors have it."""
    return torch.randn(WIDTH, K, generator=torch.Generator().manual_seed(0))


def file_of(**arrays: torch.Tensor) -> str:
    return base64.b64encode(save(arrays)).decode()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_matrix_of_features_is_read_as_unit_features(dtype: torch.dtype) -> None:
    for name in ("F", "F_"):
        features, digest = read_features(file_of(**{name: matrix().to(dtype), "G": torch.ones(7, K)}), WIDTH)
        wanted = torch.nn.functional.normalize(matrix().to(dtype).float().T, dim=1)
        assert features.shape == (K, WIDTH) and features.dtype == torch.float32 and len(digest) == 64
        assert torch.allclose(features, wanted, atol=1e-6)


def raw(header: dict[str, Any], body: bytes = b"") -> str:
    """A safetensors file written by hand."""
    text = json.dumps(header).encode()
    return base64.b64encode(len(text).to_bytes(8, "little") + text + body).decode()


def with_value(value: float) -> torch.Tensor:
    broken = matrix()
    broken[3, 2] = value
    return broken


def without_one() -> torch.Tensor:
    empty = matrix()
    empty[:, 4] = 0
    return empty


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("no base64!", "did not arrive whole"),
        (base64.b64encode(b"").decode(), "no safetensors file"),
        (base64.b64encode(b"\xff" * 40).decode(), "no safetensors file"),
        (base64.b64encode(pickle.dumps({"F_": [1.0]})).decode(), "is pickled, and opening it could run"),
        (base64.b64encode(b"PK\x03\x04" + bytes(60)).decode(), "is pickled, and opening it could run"),
        (file_of(F=matrix())[:-40], "no safetensors file|did not arrive whole"),
        (raw({"F": {"dtype": "F32", "shape": [2**40, 2**20], "data_offsets": [0, 16]}}, bytes(16)), "no safetensors"),
        (file_of(W=matrix(), G=torch.ones(2, K)), r"no matrix called F .*; it has (G, W|W, G)"),
        (file_of(F=torch.ones(WIDTH)), "must be a matrix of real numbers"),
        (file_of(F=torch.ones(WIDTH, K, dtype=torch.int64)), "must be a matrix of real numbers"),
        (file_of(F=torch.ones(WIDTH, 4_001)), "1 to 4,000 features"),
        (file_of(F=matrix().T.contiguous()), "of 5 neurons; the chosen site of this model has 12"),
        (file_of(F=with_value(float("nan"))), "no finite numbers"),
        (file_of(F=with_value(float("inf"))), "no finite numbers"),
        (file_of(F=without_one()), "Feature 4 of F is zero everywhere"),
    ],
)
def test_what_cannot_be_opened_is_refused_in_a_sentence(file: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        read_features(file, WIDTH)
    assert caught.value.field == "file"
