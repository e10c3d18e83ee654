"""Reading the weights of a GGUF file without walking through its vocabulary.

transformers' older reader of GGUF files asks the gguf package for all metadata, twice, and that package makes an array
of each token, score and type: 40 seconds for 262,144 tokens, at every load. The weights need none of it. For the time
of a load the package's reader passes over the long lists of the tokenizer (their lengths are kept, which give the size
of the vocabulary); the tokenizer itself is read elsewhere.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gguf
import numpy as np
from gguf.gguf_reader import GGUFReader, GGUFValueType, ReaderField

_LONG = 1000
# What the package's reader must have for the quick one to stand on; another version is taken as it is, and is slow.
_PARTS = ("_build_fields", "_get", "_get_str", "_get_field_parts", "_push_field", "gguf_scalar_to_np")


class QuickReader(GGUFReader):  # type: ignore[misc]
    """The package's reader, in which the long lists of the tokenizer have their length and empty entries."""

    def _build_fields(self, offs: int, count: int) -> int:
        for _ in range(int(count)):
            start = offs
            length, name = self._get_str(offs)
            offs += int(length.nbytes + name.nbytes)
            kind = self._get(offs, np.uint32)
            offs += int(kind.nbytes)
            before = [length, name, kind]
            label = str(bytes(name), encoding="utf-8")
            listed = self._passed_over(offs, int(kind[0])) if label.startswith("tokenizer.") else None
            if listed is not None:
                size, inner, number, entry = listed
                parts = [*before, entry]
                indices, types = [len(before)] * number, [GGUFValueType.ARRAY, inner]
            else:
                size, own, at, types = self._get_field_parts(offs, kind[0])
                parts, indices = [*before, *own], [i + len(before) for i in at]
            self._push_field(ReaderField(start, label, parts, indices, types), skip_sum=True)
            offs += size
        return offs

    def _passed_over(self, offs: int, kind: int) -> tuple[int, Any, int, Any] | None:
        """Bytes, kind and number of entries of a long list at ``offs``, and what stands for each of them."""
        if kind != GGUFValueType.ARRAY or self.byte_order != "I":
            return None
        inner = GGUFValueType(int(self._get(offs, np.uint32)[0]))
        number = int(self._get(offs + 4, np.uint64)[0])
        if number < _LONG:
            return None
        at = offs + 12
        if inner == GGUFValueType.STRING:
            for _ in range(number):
                at += 8 + struct.unpack_from("<Q", self.data, at)[0]
            return at - offs, inner, number, np.zeros(0, np.uint8)
        scalar = self.gguf_scalar_to_np.get(inner)
        if scalar is None:
            return None
        return 12 + number * np.dtype(scalar).itemsize, inner, number, np.zeros(1, scalar)


@contextmanager
def quick_reading() -> Iterator[None]:
    """Inside the context whoever asks the gguf package for its reader gets :class:`QuickReader`."""
    usual = gguf.GGUFReader
    if all(hasattr(usual, name) for name in _PARTS):
        gguf.GGUFReader = QuickReader
    try:
        yield
    finally:
        gguf.GGUFReader = usual
