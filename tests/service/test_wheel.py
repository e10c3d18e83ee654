"""The wheel: all that the program opens is in it, and in an empty environment, from another folder, it serves."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import sysconfig
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from shutil import copyfile

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("analysis/", "assets/", "components/", "pages/")


def tracked() -> list[str]:
    """The files of this checkout."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True)
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built from a copy, so that nothing is left beside the code."""
    place = tmp_path_factory.mktemp("wheel")
    for name in tracked():
        if not name.startswith(("tests/", "shots/")):
            (place / "src" / name).parent.mkdir(parents=True, exist_ok=True)
            copyfile(ROOT / name, place / "src" / name)
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(place), "."]
    subprocess.run(build, cwd=place / "src", check=True)
    return next(place.glob("attune-*.whl"))


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command in an environment that has the wheel, and of this one only what it depends on."""
    place = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    packages = next(place.glob("lib*/python*/site-packages"))
    # A folder that a .pth file names has its own .pth files left unread: the editable installation is not seen.
    (packages / "needed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    install = ["--python", str(place / "bin" / "python"), "install", "-q", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([sys.executable, "-m", "pip", *install, str(wheel)], check=True)
    return place / "bin" / "attune"


@pytest.fixture
def surroundings(tmp_path: Path) -> dict[str, str]:
    """An environment that names nothing of the checkout."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "OMP_NUM_THREADS") if name in os.environ}
    return kept | {"ATTUNE_HOME": str(tmp_path / "home"), "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}


def test_all_that_the_program_opens_is_in_the_wheel(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    assert [name for name in tracked() if name.startswith(PACKAGES) and name not in inside] == []
    docs = {Path(name).name for name in inside if "share/attune/docs/" in name}
    assert {Path(name).name for name in tracked() if name.startswith("docs/")} == docs
    assert not [name for name in inside if name.startswith(("tests/", "benchmarks/", "scripts/"))]


def test_the_doctor_sees_the_installed_program(program: Path, surroundings: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        [program, "doctor"], cwd=tmp_path, env=surroundings, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"docs     {program.parents[1]}" in done.stdout and str(ROOT) not in done.stdout.replace(sys.prefix, "")
    assert re.search(r"packages +\d\d packages within their bounds", done.stdout)


@pytest.fixture
def served(program: Path, surroundings: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """The address of a server of the installed program. Its model is a folder that does not exist: the page says so."""
    command = [program, "run", "--port", "0", "--threads", "1", "--model", str(tmp_path / "none")]
    with subprocess.Popen(command, cwd=tmp_path, env=surroundings, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        try:
            assert found
            yield found[0]
        finally:
            process.send_signal(signal.SIGTERM)


def get(address: str) -> tuple[int, bytes]:
    with urllib.request.urlopen(address, timeout=120) as answer:  # noqa: S310
        return answer.status, answer.read()


def test_the_installed_program_serves_pages_and_scripts(served: str) -> None:
    status, page = get(served + "/attention")
    assert status == 200
    together = b"".join(get(served + path.decode())[1] for path in re.findall(rb'"(/together/[^"]+)"', page))
    scripts = [name for name in tracked() if name.startswith("assets/") and name.endswith((".js", ".css"))]
    for name in scripts:
        alone = "/talk/" in name or name == "assets/theme.js"
        assert alone or (ROOT / name).read_bytes() in together, name
        assert get(f"{served}/{name}") == (200, (ROOT / name).read_bytes()), name
