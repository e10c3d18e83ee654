"""What a PyTorch file would make, known before PyTorch makes it.

``weights_only`` keeps the code of a file from running. It does not keep 1,500 bytes from becoming eight gigabytes: a
tensor may claim any shape over a storage of one number, a storage may claim any length, and a record of the archive may
be deflated a thousandfold. So the table of a file is unpickled first by an unpickler that knows the few operations of
such files and makes descriptions in place of tensors; what it finds is held against the bytes that are there.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from analysis import foreign
from analysis.errors import UserError

MAX_TABLE = 16 << 20
"""Bytes of the table; that of a shard with a thousand tensors has about 200,000."""
MAX_TENSORS = 20_000
_SPARE = 64 << 20  # bytes that tensors may take beyond twice the file: small ones that were expanded when saved
_ZIP, _LEGACY = b"PK\x03\x04", 0x1950A86A20F9469CFC6C
_STORAGES = {
    **{"Double": 8, "Float": 4, "Half": 2, "BFloat16": 2, "Long": 8, "Int": 4, "Short": 2, "Char": 1, "Byte": 1},
    **{"Bool": 1, "ComplexFloat": 8, "ComplexDouble": 16, "Untyped": 1},
}
_DTYPES = {
    **{"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "int16": 2, "int8": 1},
    **{"uint8": 1, "uint16": 2, "uint32": 4, "uint64": 8, "bool": 1, "complex64": 8, "complex128": 16},
    **{"float8_e4m3fn": 1, "float8_e5m2": 1, "float8_e4m3fnuz": 1, "float8_e5m2fnuz": 1, "float8_e8m0fnu": 1},
}
_OTHER_TENSORS = ("_sparse_", "_meta_", "_qtensor", "_nested_", "_wrapper_subclass", "_device_tensor")


# Operations that torch.save does not write; some make room for what they announce, others look things up elsewhere.
_NEVER_WRITTEN = (
    *(pickle.BYTEARRAY8, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER, pickle.EXT1, pickle.EXT2, pickle.EXT4),
    *(pickle.INST, pickle.OBJ, pickle.PERSID, pickle.FRAME, pickle.STACK_GLOBAL, pickle.NEWOBJ_EX),
)


class Described(NamedTuple):
    """A tensor as the table describes it. Shape in numbers, ``nbytes`` of the whole shape."""

    shape: tuple[int, ...]
    nbytes: int


class NotATable(Exception):
    """The bytes are no table of tensors; PyTorch has its own words for that."""


class PythonObjects(NotATable):
    """The table names objects other than tensors and plain values."""


def check_pickle(path: Path, field: str, most: int = MAX_TENSORS) -> list[Described]:
    """The tensors that a PyTorch file describes, each found to be covered by bytes of the file.

    Reads the table only, so a file of many gigabytes takes milliseconds. ``most``: tensors at most.

    Raises:
        UserError: ``field``; a file that would make more than it holds, or tensors that are no plain numbers.
        NotATable, PythonObjects: neither layout of PyTorch; objects that ``weights_only`` would refuse as well.
    """
    size = foreign.regular(path, field)
    try:
        with path.open("rb") as file:
            zipped = file.read(4) == _ZIP
        table, held = _zip_table(path, size, field) if zipped else _legacy_table(path, size, field)
    except (UserError, NotATable):
        raise
    except Exception as error:  # whatever a foreign pickle or archive breaks
        raise NotATable from error
    total = sum(t.nbytes for t in table.tensors)
    if len(table.tensors) > most:
        raise UserError(f"{path.name} holds {len(table.tensors):,} tensors, and at most {most:,} are read.", field)
    if max(total, held) > 2 * size + _SPARE:
        said = f"{path.name} claims more numbers than it holds: {size:,} bytes would become {max(total, held):,}."
        raise UserError(f"{said} It is not opened.", field)
    return table.tensors


class _Storage(NamedTuple):
    """A storage of the file: how many bytes it has there."""

    nbytes: int
    itemsize: int


class _Table(pickle._Unpickler):  # type: ignore[misc]  # the one in C makes room for any number that a file names
    """Unpickles descriptions. ``storage(key, nbytes)`` raises if the file does not hold that many bytes."""

    dispatch: ClassVar[dict[int, Any]] = {
        code: step
        for code, step in pickle._Unpickler.dispatch.items()  # type: ignore[attr-defined]
        if bytes([code]) not in _NEVER_WRITTEN
    }

    def __init__(self, file: Any, name: str, field: str, storage: Callable[[str, int], None]) -> None:
        super().__init__(file, encoding="latin1")
        self._name, self._field, self._check_storage = name, field, storage
        self.tensors: list[Described] = []

    def find_class(self, module: str, name: str) -> Any:
        module = "builtins" if module == "__builtin__" else module
        whole = f"{module}.{name}"
        if whole in ("collections.OrderedDict", "collections.Counter"):
            return OrderedDict
        if module == "torch" and name.removesuffix("Storage") in _STORAGES and name.endswith("Storage"):
            return _STORAGES[name.removesuffix("Storage")]
        if whole in ("torch.storage.UntypedStorage", "torch.storage.TypedStorage"):
            return 1
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if whole in ("torch.nn.parameter.Parameter", "torch.Tensor"):
            return name  # an argument of the functions below; called, it would make room for a number of numbers
        found = {
            "torch._utils._rebuild_tensor": self._tensor,
            "torch._utils._rebuild_tensor_v2": self._tensor,
            "torch._utils._rebuild_tensor_v3": self._typed_tensor,
            "torch._utils._rebuild_parameter": _first,
            "torch._utils._rebuild_parameter_with_state": _first,
            "torch._tensor._rebuild_from_type_v2": _from_type,
            "torch.Size": _first,
            "torch.device": _first,
            "torch.serialization._get_layout": _first,
            "_codecs.encode": _first,
            "builtins.set": _first,
            "builtins.complex": _first,
            "builtins.bytearray": _bytes,
        }.get(whole)
        if found is not None:
            return found
        if name.startswith("QInt") or (module == "torch._utils" and any(part in name for part in _OTHER_TENSORS)):
            raise UserError(
                f"{self._name} holds tensors that are no plain numbers (sparse, quantised, or without values). Save it "
                "again as ordinary tensors.",
                self._field,
            )
        raise PythonObjects(whole)

    def persistent_load(self, pid: Any) -> _Storage:
        kind, itemsize, key, _where, count = pid[:5]
        if kind != "storage" or type(itemsize) is not int or type(count) is not int or not 0 <= count < 2**60:
            raise NotATable
        self._check_storage(str(key), count * itemsize)
        return _Storage(count * itemsize, itemsize)

    def _tensor(self, storage: Any, offset: Any, size: Any, stride: Any, *_more: Any) -> Described:
        return self._described(storage, offset, size, stride, storage.itemsize)

    def _typed_tensor(
        self, storage: Any, offset: Any, size: Any, stride: Any, _grad: Any, _hooks: Any, itemsize: Any, *_more: Any
    ) -> Described:
        return self._described(storage, offset, size, stride, itemsize)

    def _described(self, storage: _Storage, offset: Any, size: Any, stride: Any, itemsize: int) -> Described:
        numbers = [offset, *size, *stride]
        if len(size) != len(stride) or any(type(n) is not int or not 0 <= n < 2**60 for n in numbers):
            raise NotATable
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if 0 not in size and (last + 1) * itemsize > storage.nbytes:
            raise UserError(f"{self._name} describes tensors that reach beyond its bytes: it is damaged.", self._field)
        made = Described(tuple(size), math.prod(size) * itemsize)
        self.tensors.append(made)
        return made


def _first(*values: Any) -> Any:
    return values[0] if values else None


def _bytes(*values: Any) -> Any:
    if not all(isinstance(v, (str, bytes)) for v in values):
        raise NotATable  # of a number it makes so many bytes
    return values[0] if values else b""


def _from_type(build: Any, _type: Any, values: Any, *_state: Any) -> Any:
    return build(*values)


def _zip_table(path: Path, size: int, field: str) -> tuple[_Table, int]:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        names = {e.filename.lower() for e in entries}
        packed = any(e.compress_type != zipfile.ZIP_STORED or e.compress_size != e.file_size for e in entries)
        if packed or sum(e.file_size for e in entries) > size or len(names) != len(entries):
            raise UserError(
                f"{path.name} is an archive with packed or doubled records, which PyTorch never writes. It stays shut.",
                field,
            )
        tables = [e for e in entries if e.filename.endswith("/data.pkl") and e.filename.count("/") == 1]
        if len(tables) != 1:
            raise NotATable
        if tables[0].file_size > MAX_TABLE:
            raise UserError(f"{path.name} has a table of {tables[0].file_size:,} bytes. It is not opened.", field)
        stem = tables[0].filename.removesuffix("data.pkl")
        sizes = {e.filename: e.file_size for e in entries}
        used: dict[str, int] = {}

        def storage(key: str, nbytes: int) -> None:
            if sizes.get(f"{stem}data/{key}", -1) < nbytes:
                raise UserError(f"{path.name} claims more numbers than it holds: it is damaged.", field)
            used[key] = nbytes

        table = _Table(io.BytesIO(archive.read(tables[0])), path.name, field, storage)
        table.load()
        return table, sum(used.values())


class _Bounded:
    """The first bytes of a file: reading beyond them, or announcing more than them, ends."""

    def __init__(self, file: Any, most: int) -> None:
        self._file, self._left = file, most

    def read(self, count: int) -> bytes:
        return self._taken(self._file.read(min(count, self._left + 1)))

    def readline(self) -> bytes:
        return self._taken(self._file.readline(self._left + 1))

    def _taken(self, part: bytes) -> bytes:
        self._left -= len(part)
        if self._left < 0:
            raise NotATable
        return part


def _legacy_table(path: Path, size: int, field: str) -> tuple[_Table, int]:
    used: dict[str, int] = {}

    def storage(key: str, nbytes: int) -> None:
        used[key] = nbytes
        if sum(used.values()) > size:
            raise UserError(f"{path.name} claims more numbers than it holds: it is damaged.", field)

    with path.open("rb") as file:
        bounded = _Bounded(file, MAX_TABLE)
        if _Table(bounded, path.name, field, storage).load() != _LEGACY:
            raise NotATable
        for _ in ("protocol", "system"):
            _Table(bounded, path.name, field, storage).load()
        table = _Table(bounded, path.name, field, storage)
        table.load()
        return table, sum(used.values())
