"""The records of the net: answers as plain data beside samples of their arrays, read back and held against each other.

A record is what an operation said: data, arrays, lines of a stream, or its refusal. What changes from run to run by its
nature is taken out here, by name, in one place, so that a difference is always one that somebody has to explain. Of a
large array a fixed sample is kept, not a hash: a hash cannot tell noise of float32 from another answer.
"""

from __future__ import annotations

import json
import lzma
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

LEFT_OUT: dict[str, str] = {
    "seconds": "timing",
    "full_seconds": "timing",
    "seconds_per_token": "timing",
    "fit_seconds": "timing",
    "proof_seconds": "timing",
    "plain_seconds": "timing",
    "rate": "timing: tokens a second",
    "seed": "a setting that is echoed; other draws show in all other numbers",
    "made": "date",
    "EstimateModel.host_total": "memory of this machine",
    "EstimateModel.host_free": "memory of this machine",
    "EstimateModel.gpus": "memory of this machine",
    "EstimateModel.fits": "memory of this machine",
    "EstimateModel.verdict": "memory of this machine, in words",
}
"""Keys whose values are not kept, and why. With an operation's name before it a key counts in its answers only."""

MASKS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\b\d[\d,.]* (?:tokens )?(?:a|per) second\b"), "<rate>"),
    (re.compile(r"\b\d[\d,.]* (?:ms|s|seconds?|minutes?|hours?)\b"), "<time>"),
    (re.compile(r"\b\d[\d,.]* [kMGT]i?B\b"), "<memory>"),
    (re.compile(r"\b20\d\d-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)?"), "<date>"),
    (re.compile(r"\b(study|own|file)-[0-9a-f]{8}\b"), r"\1-<hash>"),
)
"""Timings, sizes of memory and dates within sentences, and what stands in their place. So, too, the hash in the name of
a study: it is one of an operation's parameters, and another with every setting that is added."""

WHOLE = 4_096
"""Values up to which an array is kept whole; of a larger one as many are sampled."""
FLOOR = 1e-3
"""Numbers of a size below this are compared as if they were of this size: at the usual tolerance to 1e-9."""
_PRIME = 2_654_435_761


@dataclass(frozen=True)
class Difference:
    """One place where two nets differ: where, what was kept, what is there now, and for numbers by how much."""

    path: str
    old: str
    new: str
    size: float = math.inf

    def __str__(self) -> str:
        by = f"  (by {self.size:.3g})" if math.isfinite(self.size) else ""
        return f"{self.path}: {self.old} -> {self.new}{by}"


def masked(text: str, hidden: Mapping[str, str] | None = None) -> str:
    """A text without timings, sizes of memory and dates; ``hidden``: further words (folders) and what replaces them."""
    for word, other in (hidden or {}).items():
        text = text.replace(word, other)
    for pattern, other in MASKS:
        text = pattern.sub(other, text)
    return text


def plain(value: Any, operation: str = "", hidden: Mapping[str, str] | None = None) -> Any:
    """A value as JSON keeps it, less what is left out: dicts, lists, words, numbers; numpy's scalars become Python's.

    Raises TypeError for anything else: an answer that holds more has to be told apart here first.
    """
    if isinstance(value, Mapping):
        kept = {str(key): item for key, item in value.items() if not left_out(operation, str(key))}
        return {key: plain(item, operation, hidden) for key, item in kept.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, operation, hidden) for item in value]
    if isinstance(value, str):
        return masked(value, hidden)
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise TypeError(f"a net keeps no {type(value).__name__}")


def left_out(operation: str, key: str) -> bool:
    """Whether the values under a key are not kept in answers of an operation."""
    return key in LEFT_OUT or f"{operation}.{key}" in LEFT_OUT


def sampled(size: int) -> np.ndarray:
    """Flat places, int64 in ascending order, that are kept of an array of ``size`` values: the same for equal sizes."""
    if size <= WHOLE:
        return np.arange(size)
    places = (np.arange(WHOLE, dtype=np.int64) * _PRIME) % size  # no step of a regular grid, so no column is missed
    return np.unique(places)


def kept_array(array: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
    """What is kept of an array: facts for the JSON file, and values for the file beside it.

    Whole numbers and truth values keep their type, floats become float32. Arrays above ``WHOLE`` values also leave
    the count of finite values, and least, greatest, mean and spread of those, computed in float64.
    """
    flat = np.asarray(array).reshape(-1)
    facts: dict[str, Any] = {"shape": list(array.shape), "dtype": str(array.dtype)}
    values = flat[sampled(flat.size)]
    if flat.size > WHOLE:
        numbers = flat.astype(np.float64)
        finite = numbers[np.isfinite(numbers)]
        facts["finite"] = len(finite)
        if len(finite):
            facts |= {"least": float(finite.min()), "greatest": float(finite.max())}
            facts |= {"mean": float(finite.mean()), "spread": float(finite.std())}
    return facts, values.astype(np.float32) if values.dtype.kind == "f" else values


@dataclass
class Net:
    """Everything that was kept: ``made`` (how), ``answers`` by request, ``views`` by address, ``values`` of arrays.

    The arrays of an answer stand in its record as facts; their values stand in ``values`` under "request/array".
    """

    made: dict[str, Any]
    answers: dict[str, dict[str, Any]]
    views: dict[str, Any]
    values: dict[str, np.ndarray]

    def save(self, path: Path) -> int:
        """Write the net as ``path`` (JSON, compressed) and beside it ``.npz``; the bytes that both take."""
        path.parent.mkdir(parents=True, exist_ok=True)
        body = {"made": self.made, "views": self.views, "answers": self.answers}
        text = json.dumps(body, ensure_ascii=False, sort_keys=True, indent=0)
        path.write_bytes(lzma.compress(text.encode("utf-8", "surrogatepass"), preset=9))
        np.savez_compressed(beside(path), **self.values)  # type: ignore[arg-type]
        return path.stat().st_size + beside(path).stat().st_size

    @classmethod
    def load(cls, path: Path) -> Net:
        """Read what :meth:`save` wrote."""
        body = json.loads(lzma.decompress(path.read_bytes()).decode("utf-8", "surrogatepass"))
        with np.load(beside(path), allow_pickle=False) as file:
            values = {name: file[name] for name in file.files}
        views = {address: without_empty_problems(view) for address, view in body["views"].items()}
        return cls(body["made"], body["answers"], views, values)

    def part(self, names: set[str]) -> Net:
        """The answers of some requests only, and no views."""
        answers = {name: record for name, record in self.answers.items() if name in names}
        values = {name: value for name, value in self.values.items() if name.rpartition("/")[0] in names}
        return Net(self.made, answers, {}, values)


def beside(path: Path) -> Path:
    """The file of values that belongs to a net's JSON file."""
    return path.with_name(path.name.split(".")[0] + ".npz")


def without_empty_problems(view: dict[str, Any]) -> dict[str, Any]:
    """A state without its list of problems where that is empty: not every page had one when the net was kept."""
    return {name: value for name, value in view.items() if name != "problems" or value}


def compare(old: Net, new: Net, tolerance: float) -> list[Difference]:
    """All differences between two nets, views first. Numbers may differ by ``tolerance`` times their size."""
    found = [d for d in _walk("views", old.views, new.views, tolerance)]
    found += _walk("answers", old.answers, new.answers, tolerance)
    for name in sorted(old.values.keys() & new.values.keys()):
        found += _values(f"values/{name}", old.values[name], new.values[name], tolerance)
    for name in sorted(old.values.keys() ^ new.values.keys()):
        there = name in old.values
        found.append(Difference(f"values/{name}", "kept" if there else "missing", "missing" if there else "there"))
    return found


def _walk(path: str, old: Any, new: Any, tolerance: float) -> Iterator[Difference]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if key not in new or key not in old:
                yield Difference(f"{path}/{key}", _short(old.get(key, "missing")), _short(new.get(key, "missing")))
            else:
                yield from _walk(f"{path}/{key}", old[key], new[key], tolerance)
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield Difference(path, f"{len(old)} entries", f"{len(new)} entries")
        for at, (a, b) in enumerate(zip(old, new, strict=False)):
            yield from _walk(f"{path}/{at}", a, b, tolerance)
    elif _is_number(old) and _is_number(new):
        size = distance(np.float64(old), np.float64(new))
        if size > tolerance:
            yield Difference(path, repr(old), repr(new), float(size))
    elif type(old) is not type(new) or old != new:
        yield Difference(path, _short(old), _short(new))


def _values(path: str, old: np.ndarray, new: np.ndarray, tolerance: float) -> Iterator[Difference]:
    """At most one difference: the place where two samples differ most, and how many places do."""
    if old.shape != new.shape:
        yield Difference(path, f"shape {list(old.shape)}", f"shape {list(new.shape)}")
        return
    sizes = distance(old.astype(np.float64), new.astype(np.float64))
    beyond = int((sizes > tolerance).sum())
    if beyond:
        at = int(sizes.argmax())
        yield Difference(f"{path}[{at}], {beyond} of {len(old)}", repr(old[at].item()), repr(new[at].item()), sizes[at])


def distance(old: Any, new: Any) -> Any:
    """|old - new| as a share of the larger of both (at least ``FLOOR``): 0 where both are NaN or the same infinity."""
    with np.errstate(invalid="ignore"):
        gap = np.abs(old - new) / np.maximum(np.maximum(np.abs(old), np.abs(new)), FLOOR)
    same = (old == new) | (np.isnan(old) & np.isnan(new))
    return np.where(same, 0.0, np.where(np.isnan(gap), np.inf, gap))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 300 else f"{text[:200]} … {text[-80:]}"
