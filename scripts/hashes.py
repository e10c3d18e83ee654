"""Pin what would be installed here by the hashes of its files, for those who want ``pip install --require-hashes``.

``python -m scripts.hashes [WHAT] [FILE]`` asks pip what it would install for this platform (WHAT: this folder, or such
as ``.[gguf]``; the versions are those of constraints.txt) and writes it to FILE (default: hashes.txt), one line for
each package with the hash that the registry names. Nothing is installed, and no address is written down: where
packages come from is said by pip's own settings. Afterwards ``pip install --require-hashes -r hashes.txt`` and
``pip install --no-deps --no-build-isolation .`` install the same files or nothing.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def report_of(what: str, *more: str) -> dict[str, Any]:
    """What pip would install into an empty environment. Raises SystemExit with pip's own words where it cannot."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "install", "--dry-run",
               "--ignore-installed", "--report", "-", *more, what]  # fmt: skip
    asked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if asked.returncode:
        sys.exit(asked.stderr.strip() or "pip gives no reason")
    return dict(json.loads(asked.stdout))


def pins(report: dict[str, Any]) -> list[str]:
    """A line for each package of a report, by name. Raises SystemExit for one whose file has no SHA-256; what is
    installed from a folder has no file, and is left out."""
    lines = {}
    for row in report["install"]:
        name = re.sub(r"[-_.]+", "-", row["metadata"]["name"]).lower()
        download = row["download_info"]
        if "dir_info" in download:
            continue
        found = download.get("archive_info", {}).get("hashes", {}).get("sha256", "")
        if not re.fullmatch(r"[0-9a-f]{64}", found):
            sys.exit(f"No SHA-256 is known of {name}, so it cannot be pinned by one.")
        lines[name] = f"{name}=={row['metadata']['version']} --hash=sha256:{found}"
    return [lines[name] for name in sorted(lines)]


def main(what: str = ".", file: str = "hashes.txt") -> None:
    """Write the pins."""
    lines = pins(report_of(what, "-c", "constraints.txt"))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    head = f"# {what} for {sys.platform} and Python {version}; made by scripts/hashes.py"
    Path(file).write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    print(f"{len(lines)} packages in {file}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
