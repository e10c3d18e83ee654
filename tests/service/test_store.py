"""The result store: a result is there whole and verified, or it is not there."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from analysis.engine.question import Result, names_of
from analysis.engine.store import ResultStore
from analysis.home import folder
from tests.service.operations_for_tests import odd_arrays

KEY = "ab" * 32
MANIFEST = {"operation": "Example", "settings": {"a": 1}}


def key(n: int) -> str:
    return f"{n:064x}"


def place(root: Path, name: str = KEY) -> Path:
    return root / name[:2] / name


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return ResultStore(tmp_path / "results")


def test_result_comes_back_whole(store: ResultStore) -> None:
    store.put(KEY, Result({"value": [1, "ä", None]}, odd_arrays()), MANIFEST)
    for reader in (store, ResultStore(store.root)):
        found = reader.get(KEY)
        assert found is not None and found.key == KEY and found.data == {"value": [1, "ä", None]}
        for name, expected in odd_arrays().items():
            assert found.arrays[name].shape == expected.shape, name
            np.testing.assert_array_equal(found.arrays[name], expected)
        assert reader.has(KEY)
        manifest = reader.manifest(KEY)
        assert manifest is not None and manifest["operation"] == "Example" and abs(manifest["made"] - time.time()) < 60
    only_data = store.get(KEY, arrays=False)
    assert only_data is not None and only_data.arrays == {}


def test_missing_result_is_none(store: ResultStore) -> None:
    assert store.get(KEY) is None
    assert store.manifest(KEY) is None
    assert not store.has(KEY)


def test_a_result_is_there_only_while_the_files_that_it_names_are(
    store: ResultStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path / "home"))
    fit, manifest = folder("regions") / "a.safetensors", folder("regions") / "a.json"
    fit.write_bytes(b"numbers")
    manifest.write_text("{}")
    store.put(KEY, Result({"fit": "a"}, files=names_of(fit, manifest)), MANIFEST)
    found = store.get(KEY)
    assert found is not None and found.files == ("regions/a.safetensors", "regions/a.json") and store.has(KEY)
    fit.unlink()
    assert store.get(KEY) is None and not store.has(KEY)
    fit.write_bytes(b"num")  # cut off
    assert store.get(KEY) is None and not store.has(KEY)
    fit.write_bytes(b"another")  # of another job, as long
    assert store.get(KEY) is None and not store.has(KEY)
    fit.write_bytes(b"numbers")  # back from the bin
    assert store.get(KEY) is not None and store.has(KEY)


def test_only_files_of_the_data_folder_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path / "home"))
    with pytest.raises(ValueError, match="subpath"):
        names_of(tmp_path / "elsewhere")


@pytest.mark.parametrize("bad", ["", "..", "AB" * 32, "ab" * 31, "ab" * 33, "../" + "ab" * 32, "ab" * 32 + "\n"])
def test_only_hex_keys_reach_the_disk(store: ResultStore, bad: str) -> None:
    with pytest.raises(ValueError, match="64 hex digits"):
        store.get(bad)
    with pytest.raises(ValueError, match="64 hex digits"):
        store.put(bad, Result({}), MANIFEST)


@pytest.mark.parametrize("file", ["result.json", "arrays.safetensors"])
@pytest.mark.parametrize("how", ["flip", "cut", "empty", "foreign"])
@pytest.mark.parametrize("fresh_reader", [True, False])
def test_damage_is_removed_and_never_returned(store: ResultStore, file: str, how: str, fresh_reader: bool) -> None:
    store.put(KEY, Result({"v": 1}, {"a": np.arange(500.0)}), MANIFEST)
    store.put(key(1), Result({"v": 2}, {"a": np.ones(500)}), MANIFEST)
    assert store.get(KEY) is not None
    path = place(store.root) / file
    raw = bytearray(path.read_bytes())
    if how == "flip":
        raw[-5] ^= 1
    foreign = (place(store.root, key(1)) / file).read_bytes()
    changed = {"flip": bytes(raw), "cut": bytes(raw[:-9]), "empty": b"", "foreign": foreign}[how]
    time.sleep(0.01)  # more than one tick of the file system's clock
    path.write_bytes(changed)
    reader = ResultStore(store.root) if fresh_reader else store
    found = reader.get(KEY)
    assert found is None
    assert not place(store.root).exists()
    assert reader.get(key(1)) is not None


def test_valid_record_in_the_wrong_place_is_refused(store: ResultStore) -> None:
    store.put(KEY, Result({"v": 1}), MANIFEST)
    place(store.root, key(7)).mkdir(parents=True)
    (place(store.root, key(7)) / "result.json").write_bytes((place(store.root) / "result.json").read_bytes())
    assert store.get(key(7)) is None and store.manifest(key(7)) is None
    assert store.get(KEY) is not None


def test_damaged_record_has_no_manifest(store: ResultStore) -> None:
    store.put(KEY, Result({"v": 1}), MANIFEST)
    path = place(store.root) / "result.json"
    path.write_text(path.read_text().replace('"Example"', '"Another"'))
    assert store.manifest(KEY) is None


def test_missing_arrays_are_a_missing_result(store: ResultStore) -> None:
    store.put(KEY, Result({"v": 1}, {"a": np.ones(3)}), MANIFEST)
    (place(store.root) / "arrays.safetensors").unlink()
    assert store.get(KEY) is None


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs to count its own open files")
def test_trouble_with_reading_does_not_cost_the_result(store: ResultStore, tmp_path: Path) -> None:
    import resource

    store.put(KEY, Result({"v": 1}, {"a": np.ones(3)}), MANIFEST)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd"))
    held = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 8, hard))
    try:
        with pytest.raises(OSError):
            while True:
                held.append(open(tmp_path / "x", "w"))
        assert store.get(KEY) is None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for file in held:
            file.close()
    assert store.get(KEY) is not None


def test_half_written_folder_is_never_read_and_in_the_end_removed(store: ResultStore) -> None:
    store.put(KEY, Result({"v": 1}), MANIFEST)
    part = place(store.root).parent / ".part-dead"
    part.mkdir()
    (part / "result.json").write_text("half")
    store.put(key(5), Result({"v": 2}), MANIFEST)
    assert part.exists()  # its writer may be alive
    os.utime(part, (0, 0))
    store.put(key(6), Result({"v": 3}), MANIFEST)
    assert not part.exists()
    assert all(store.get(k) is not None for k in (KEY, key(5), key(6)))


@pytest.mark.parametrize("bad", [{"v": float("nan")}, {"v": object()}])
def test_failed_write_leaves_nothing(store: ResultStore, bad: dict) -> None:
    with pytest.raises((TypeError, ValueError)):
        store.put(KEY, Result(bad, {"a": np.ones(3)}), MANIFEST)
    assert store.get(KEY) is None
    assert [p for p in store.root.rglob("*") if p.is_file()] == []


def test_failed_write_keeps_the_old_result(store: ResultStore) -> None:
    store.put(KEY, Result({"v": 1}), MANIFEST)
    with pytest.raises(ValueError):
        store.put(KEY, Result({"v": float("inf")}), MANIFEST)
    found = store.get(KEY)
    assert found is not None and found.data == {"v": 1}


def test_least_recently_used_results_go_first(store: ResultStore) -> None:
    one = Result({}, {"a": np.zeros(1000, np.uint8)})
    for n in range(4):
        store.put(key(n), one, MANIFEST)
        os.utime(place(store.root, key(n)), (n + 1, n + 1))
    assert store.get(key(0)) is not None  # used just now
    size = sum(f.stat().st_size for f in place(store.root, key(0)).iterdir())
    store.limit = int(3.5 * size)
    store.put(key(9), one, MANIFEST)
    kept = [n for n in (0, 1, 2, 3, 9) if store.get(key(n)) is not None]
    assert kept == [0, 3, 9]


def test_result_larger_than_the_limit_can_still_be_read_once(store: ResultStore) -> None:
    store.limit = 100
    store.put(key(1), Result({}, {"a": np.zeros(1000)}), MANIFEST)
    assert store.get(key(1)) is not None
    store.put(key(2), Result({}, {"a": np.zeros(1000)}), MANIFEST)
    assert store.get(key(1)) is None and store.get(key(2)) is not None


def test_readers_beside_a_writer_see_a_whole_result_each_time(store: ResultStore) -> None:
    def content(n: int) -> Result:
        return Result({"n": n}, {"a": np.full(2000, n)})

    store.put(KEY, content(0), MANIFEST)
    stop = time.monotonic() + 1.0

    def read() -> tuple[int, int]:
        reader, good, wrong = ResultStore(store.root), 0, 0
        while time.monotonic() < stop:
            found = reader.get(KEY)
            if found is not None:
                good += 1
                wrong += set(found.arrays["a"].tolist()) != {found.data["n"]}
        return good, wrong

    with ThreadPoolExecutor(2) as threads:
        readers = [threads.submit(read) for _ in range(2)]
        n = 0
        while time.monotonic() < stop:
            n += 1
            store.put(KEY, content(n), MANIFEST)
        counts = [r.result() for r in readers]
    assert n > 10 and all(good > 10 and wrong == 0 for good, wrong in counts), (n, counts)
    last = store.get(KEY)
    assert last is not None and last.data["n"] == n
