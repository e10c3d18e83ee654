"""Find Chromium for the browser tests; install Debian's where that is possible, or say what to install."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""The shell first: the same browser without its windows, which takes a tenth less of the processor."""


def find() -> str | None:
    """Path of a Chromium, or None. ATTUNE_CHROMIUM names one explicitly."""
    named = os.environ.get("ATTUNE_CHROMIUM")
    return named or next((p for p in map(shutil.which, NAMES) if p), None)


def main() -> None:
    """Install if need be; exit with a sentence if it cannot be done."""
    if find():
        return
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        sys.exit(
            "The browser tests need Chromium. Install it (on Debian: apt-get install chromium), or name one in "
            "ATTUNE_CHROMIUM, and run this again."
        )
    print("Installing Chromium from Debian's packages", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    packages = ["chromium-headless-shell", "fonts-dejavu-core", "fonts-noto-color-emoji"]
    for arguments in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *packages]):
        done = subprocess.run([apt, *arguments], env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"apt-get {arguments[0]} failed: {done.stderr.strip()[-500:]}")


if __name__ == "__main__":
    main()
