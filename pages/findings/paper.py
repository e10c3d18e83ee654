"""The static page on paper: a PDF through Chromium where the server has one.

The page has a print style; Chromium without a window applies it. It gets a file and no network, and a profile that is
thrown away. Where there is no Chromium, people print the page from their own browser.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from analysis.errors import UserError

log = logging.getLogger(__name__)
NAMES = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome", "google-chrome-stable")
SECONDS = 120
DRAWING = 30_000
"""Milliseconds of the page's own clock after which it is printed; drawing takes a part of them."""


@cache
def chromium() -> str | None:
    """A Chromium of this machine; ``ATTUNE_CHROMIUM`` may name one. None: there is none."""
    named = os.environ.get("ATTUNE_CHROMIUM")
    return named or next((path for path in map(shutil.which, NAMES) if path), None)


def pdf_of(page: bytes) -> bytes:
    """A static page as PDF, a finding a page. UserError where there is no Chromium, or it fails."""
    program = chromium()
    if program is None:
        raise UserError("There is no Chromium on this machine. Print the page from your own browser instead.")
    with tempfile.TemporaryDirectory(prefix="attune-paper-") as folder:
        source, target = Path(folder) / "page.html", Path(folder) / "page.pdf"
        source.write_bytes(page)
        options = [
            "--headless",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-sync",
            "--no-first-run",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={Path(folder) / 'profile'}",
            "--no-pdf-header-footer",
            "--window-size=1100,800",
            f"--virtual-time-budget={DRAWING}",
            f"--print-to-pdf={target}",
        ]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            options.append("--no-sandbox")  # Chromium has none for root; the page runs its own scripts alone
        try:
            done = subprocess.run(
                [program, *options, f"{source.as_uri()}#paper"],
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            log.warning("Chromium made no PDF: %s", error)
            raise UserError("Chromium made no PDF of this page. Print it from your own browser instead.") from error
        if not target.exists() or not target.stat().st_size:
            log.warning("Chromium made no PDF (%s): %s", done.returncode, done.stderr[-1000:])
            raise UserError("Chromium made no PDF of this page. Print it from your own browser instead.")
        return target.read_bytes()
