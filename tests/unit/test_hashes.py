"""Pins by hash: what pip says of a file that lies there, and that another file under its name is then refused."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from scripts.hashes import pins, report_of


def small_wheel(folder: Path, content: str) -> Path:
    """A wheel with one module."""
    path = folder / "Tiny_Part-1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("tiny_part.py", content)
        wheel.writestr("tiny_part-1.2.dist-info/METADATA", "Metadata-Version: 2.1\nName: Tiny.Part\nVersion: 1.2\n")
        wheel.writestr(
            "tiny_part-1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("tiny_part-1.2.dist-info/RECORD", "")
    return path


def test_a_package_is_pinned_by_the_hash_of_its_file_and_no_other_is_taken(tmp_path: Path) -> None:
    wheel = small_wheel(tmp_path, "x = 1\n")
    sha = hashlib.sha256(wheel.read_bytes()).hexdigest()
    here = ("--no-index", "--find-links", str(tmp_path))
    lines = pins(report_of("tiny.part", *here))
    assert lines == [f"tiny-part==1.2 --hash=sha256:{sha}"]
    (tmp_path / "hashes.txt").write_text("\n".join(lines))
    small_wheel(tmp_path, "x = 2\n")
    install = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--dry-run", "--ignore-installed"]
    take = [*install, *here, "--require-hashes", "-r", str(tmp_path / "hashes.txt")]
    refused = subprocess.run(take, capture_output=True, text=True, check=False)
    assert refused.returncode and "DO NOT MATCH THE HASHES" in refused.stderr


def test_a_file_without_a_hash_is_not_passed_over() -> None:
    row = {"metadata": {"name": "A_b", "version": "1"}, "download_info": {"archive_info": {}}}
    with pytest.raises(SystemExit, match="a-b"):
        pins({"install": [row]})
    folder = {"metadata": {"name": "attune", "version": "1"}, "download_info": {"dir_info": {}}}
    assert pins({"install": [folder]}) == []
