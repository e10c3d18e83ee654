"""``attune doctor``: each line against a machine that is well and one that is not."""

from __future__ import annotations

import importlib.metadata
import socket
from pathlib import Path

import pytest

from analysis import doctor
from analysis.home import home


def test_packages_within_and_outside_their_bounds() -> None:
    version = importlib.metadata.version("numpy")
    assert doctor.packages(lambda: [f"numpy=={version}"]).state == "ok"
    line = doctor.packages(lambda: ["numpy<1", "there-is-no-such-package>=1", "pytest"])
    assert line.state == "fault" and "pytest" not in line.found
    assert f"numpy is {version}, needed <1; there-is-no-such-package is missing" == line.found and "pip" in line.mend
    assert doctor.packages(list).state == "note"


def test_memory_and_disk_that_do_not_suffice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    assert doctor.memory(lambda: (8 * 10**9, 4 * 10**9)) == doctor.Line("ok", "memory", "4.0 of 8.0 GB free")
    assert doctor.memory(lambda: (8 * 10**9, 10**9)).state == "fault"
    assert doctor.disk(lambda _: 10**10).state == "ok"
    # The default model is not there, so that its room counts, too.
    line = doctor.disk(lambda _: doctor.LEAST_DISK + 10**8)
    assert line.state == "fault" and "ATTUNE_HOME" in line.mend and "1.8 GB" in line.mend
    assert not [path for path in home().rglob("*") if path.is_file()], "nothing is left in the data folder"


def test_a_data_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path / "file" / "home"))
    line = doctor.disk()
    assert line.state == "fault" and "Not a directory" in line.found


def test_a_port_in_use_is_no_fault() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        line = doctor.port(taken.getsockname()[1])
    assert line.state == "note" and "attune run --port" in line.mend


def test_a_check_that_fails_hides_no_other_and_a_fault_is_the_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> doctor.Line:
        raise RuntimeError("odd")

    monkeypatch.setattr(doctor, "CHECKS", (broken, doctor.python))
    assert doctor.main([]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "fault broken   could not be looked at: RuntimeError: odd" and said[1].startswith("ok    Python")
    assert said[-1] == "1 fault: mend, and ask again."
    monkeypatch.setattr(doctor, "CHECKS", (doctor.python, doctor.docs))
    assert doctor.main([]) == 0 and "Attune can run here." in capsys.readouterr().out
