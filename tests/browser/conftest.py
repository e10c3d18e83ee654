"""The real app on the real default model, driven in Chromium. A console error or a failed request fails the test."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from xdist.scheduler import LoadFileScheduling

from analysis.models.default import prepare_default
from scripts.chromium import find

ROOT = Path(__file__).resolve().parents[2]
SHOTS = ROOT / "shots"
FLAGS = (
    "--no-sandbox --disable-gpu --disable-dev-shm-usage --disable-background-networking --disable-component-update "
    "--disable-sync --no-first-run --disable-quic"
).split()
PATIENCE, USUAL = 40_000, 1.5
"""Milliseconds that a page may keep a test waiting where the first page comes within so many seconds."""


LONGEST = (
    "test_findings_talk", "test_attention", "test_walk", "test_journeys", "test_steering", "test_faults",
    "test_faithfulness", "test_presses", "test_othello", "test_mlp_features", "test_findings_exits", "test_neurons",
)  # fmt: skip
"""Files that take long, the longest first; the rest follow as they are found, so that no worker ends much later than
the other."""


def place(nodeid: str) -> int:
    """Which place a test has among all: that of its file."""
    name = nodeid.split("::")[0].rpartition("/")[2].removesuffix(".py")
    return LONGEST.index(name) if "/scripts/" not in nodeid and name in LONGEST else len(LONGEST)


class Files(LoadFileScheduling):
    """A file goes to one worker as a whole, in the order in which it was collected; of the walk, a page."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("[")[2] if "/test_walk.py" in nodeid and "[" in nodeid else nodeid.split("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Files:
    """The files by their length, not by their number of tests."""
    config.option.loadscopereorder = False
    return Files(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long."""
    items.sort(key=lambda item: place(item.nodeid))


@dataclass
class Server:
    """A running app: its address, its data folder, and how long the first page took after the process was started."""

    url: str
    home: Path
    first_page_s: float

    @property
    def patience(self) -> float:
        """Milliseconds that a page may keep a test waiting: more on a slow or busy machine, ten times as much at most;
        ATTUNE_PATIENCE_MS names them."""
        named = os.environ.get("ATTUNE_PATIENCE_MS")
        return float(named) if named else PATIENCE * min(10.0, max(1.0, self.first_page_s / USUAL))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The app with a data folder of its own that shares the prepared default model."""
    home = tmp_path_factory.mktemp("home")
    (home / "models").symlink_to(prepare_default().parent)
    environment = {**os.environ, "ATTUNE_HOME": str(home)}
    # Two workers have a server each: together they may take the cores of the machine, not twice as many.
    threads = "1" if "PYTEST_XDIST_WORKER" in os.environ else "2"
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "app.py", "--port", "0", "--threads", threads],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+", line)
    assert found, f"the app did not say where it is: {line!r}"
    import urllib.request

    with urllib.request.urlopen(found[0] + "/attention", timeout=30) as answer:  # noqa: S310
        assert answer.status == 200
    made = Server(found[0], home, time.perf_counter() - began)
    expect.set_options(timeout=made.patience)
    yield made
    process.terminate()
    process.wait(20)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, headless."""
    path = find()
    assert path, "The browser tests need Chromium. Install it, or name one in ATTUNE_CHROMIUM."
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


# No callback has been under way for half a second; ten seconds at most, since some ask at an interval.
QUIET = """() => new Promise((resolve) => { let quiet = 0, waited = 0; const look = () => {
  quiet = window.store.getState().isLoading ? 0 : quiet + 1; waited += 1;
  if (quiet >= 5 || waited > 100) resolve(); else setTimeout(look, 100); }; look(); })"""

# The window has been drawn with what is in the document now.
DRAWN = "() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve())))"
# A figure is drawn in the box it has: Plotly follows the size of its place a moment later.
FITS = """n => { const host = document.getElementById(n), graph = host && host.querySelector('.js-plotly-plot');
  return graph && graph.data.length > 0 && graph._fullLayout && graph.offsetWidth > 0
    && Math.abs(graph._fullLayout.width - graph.clientWidth) <= 2; }"""


@contextmanager
def windows(browser: Browser, server: Server) -> Iterator[Callable[..., Page]]:
    """Open pages in contexts of their own; at the end none of them may have had an error."""
    problems: list[str] = []
    contexts: list[BrowserContext] = []

    def make(path: str = "/attention", theme: str = "light", width: int = 1600, height: int = 1000) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if theme == "dark" else "light",
            accept_downloads=True,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(server.patience)
        page.on("console", lambda m: problems.append(f"console: {m.text}") if m.type == "error" else None)
        page.on("pageerror", lambda e: problems.append(f"page error: {e}"))
        page.on("response", lambda r: problems.append(f"{r.status} {r.url}") if r.status >= 400 else None)
        page.on("dialog", lambda d: problems.append(f"dialog: {d.message}"))
        page.goto(path if path.startswith("http") else server.url + path)
        return page

    yield make
    for context in contexts:
        context.close()
    assert not problems, "\n".join(problems)


@pytest.fixture
def open_page(browser: Browser, server: Server) -> Iterator[Callable[..., Page]]:
    """As :func:`windows`, for one test."""
    with windows(browser, server) as make:
        yield make


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    """The Attention page, once it has answered about its default prompt."""
    opened = open_page()
    opened.wait_for_selector(".attune-answer p")
    return opened


def grave(page: Page, where: str | None = None, rules: list[str] | None = None) -> list[str]:
    """The serious and critical barriers that axe-core finds on the page, or below a selector; only of some rules, if
    any are given."""
    # Without fetching style sheets and media once more, which no rule that can be broken here needs.
    options = {"resultTypes": ["violations"], "preload": False} | ({"runOnly": rules} if rules else {})
    found: list[dict[str, Any]] = Axe().run(page, where, options).response["violations"]
    return [
        f"{rule['id']} ({rule['impact']}) at {' '.join(map(str, node['target']))}: "
        + " ".join(node["failureSummary"].split())[:240]
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


def shot(page: Page, name: str) -> None:
    """Scroll to the top, so that the header is where it belongs, and save a picture of the whole page, where pictures
    are asked for by ATTUNE_SHOTS=1: they take as long as many a test."""
    page.evaluate("window.scrollTo(0, 0)")
    page.evaluate(DRAWN)
    if os.environ.get("ATTUNE_SHOTS"):
        SHOTS.mkdir(exist_ok=True)
        page.screenshot(path=SHOTS / f"{name}.png", full_page=True, animations="disabled")


def read(page: Page, text: str, wait: bool = True) -> None:
    """Type a prompt, press Read, and wait until its reading has come (its tokens stand in the strip)."""
    page.fill("#prompt", text)
    page.click("#read")
    if wait:
        page.wait_for_function("() => !document.querySelector('#read').disabled")
        page.evaluate(QUIET)
