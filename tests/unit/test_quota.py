"""The quota of the data folder: results leave, what people made stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from analysis import quota as module
from analysis.engine.context import Context
from analysis.engine.question import Result
from analysis.engine.store import ResultStore
from analysis.errors import UserError
from analysis.quota import GIGABYTE, check_room, made_by_people, quota, room_for_results, size_of_folder
from analysis.shares import Shares
from tests.service.operations_for_tests import EchoJob, WriteWords


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("ATTUNE_HOME", str(folder))
    monkeypatch.setattr(module, "FRESH", 0.0)
    (folder / "fits").mkdir(parents=True)
    (folder / "fits" / "one.bin").write_bytes(bytes(3_000))
    (folder / "jobs.json").write_bytes(bytes(500))
    return folder


def test_without_a_quota_nothing_is_counted(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(module.VARIABLE, raising=False)
    assert quota() is None and room_for_results(77) == 77
    check_room()


@pytest.mark.parametrize("text", ["much", "0", "-1", "nan", "inf"])
def test_a_quota_is_a_number_of_gigabytes(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(module.VARIABLE, text)
    with pytest.raises(UserError, match="how many gigabytes"):
        quota()
    monkeypatch.setenv(module.VARIABLE, "0.5")
    assert quota() == GIGABYTE // 2


def test_results_leave_by_their_last_use_until_all_fits(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ResultStore(home / "results")
    keys = [c * 64 for c in "abc"]
    for n, key in enumerate(keys):
        store.put(key, Result({"text": "x" * 2_000}), {})
        os.utime(store._path(key), (n, n))
    assert made_by_people() == 3_500 and size_of_folder(home) > 9_500
    monkeypatch.setenv(module.VARIABLE, str((3_500 + 4_700) / GIGABYTE))
    store.get(keys[0])  # used now
    store.prune()
    assert [store.has(key) for key in keys] == [True, False, True]
    assert (home / "fits" / "one.bin").stat().st_size == 3_000


def test_a_full_quota_refuses_what_would_write_and_nothing_else(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(module.VARIABLE, str(3_000 / GIGABYTE))
    context = Context(store=ResultStore(home / "results"))
    with pytest.raises(UserError, match="its quota is"):
        context.perform(WriteWords(("a",)))
    assert context.perform(EchoJob("kept not, answered all the same")).data


def test_each_person_has_a_share_of_what_is_still_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shares = Shares(home / "shares.json")
    (home / "fits" / "two.bin").write_bytes(bytes(2_000))
    shares.note("a", ["fits/one.bin"])
    shares.note("b", ["fits/two.bin", "fits/gone.bin"])
    shares.note("", ["fits/one.bin"])
    assert (shares.bytes_of("a"), shares.bytes_of("b"), shares.bytes_of("c")) == (3_000, 2_000, 0)
    assert shares.why_full("a") == "", "no limit is set"
    monkeypatch.setenv("ATTUNE_EACH", str(2_500 / GIGABYTE))
    assert "Delete some of it" in shares.why_full("a") and shares.why_full("b") == shares.why_full("") == ""
    assert Shares(home / "shares.json").bytes_of("a") == 3_000, "kept"
    shares.note("b", ["fits/one.bin"])
    assert (shares.bytes_of("a"), shares.bytes_of("b")) == (0, 5_000), "written anew by another"
    (home / "fits" / "one.bin").unlink()
    assert shares.why_full("b") == ""
    (home / "shares.json").write_text("[1]")
    assert Shares(home / "shares.json").bytes_of("b") == 0
    monkeypatch.setenv("ATTUNE_EACH", "lots")
    with pytest.raises(UserError, match="jobs of one person"):
        shares.why_full("b")
