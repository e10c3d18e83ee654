"""The first opening of each page through a slow line, with an empty cache: Chromium's own emulation of 50 ms and 10
megabits down, 5 up.

Seconds from the address to what a page is opened for, bytes down and up until it is at rest. The server is warm, the
browser is not: each page has a new one. Run it as ``python -m benchmarks.slow_line``.
"""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from typing import Any

from benchmarks.people import served

LATENCY_MS, DOWN, UP = 50, 10e6 / 8, 5e6 / 8
PAGES = {
    "/": "#content .home-label",
    "/attention": ".attune-answer p",
    "/steering": "#next .js-plotly-plot",
    "/othello": "#oth-right-tpr:has-text('of 64 right')",
    "/neurons": "#nrn-ends .nrn-end",
    "/mlp-features": "#mlp-contexts-top .mlp-context",
    "/faithfulness": "#fth-badge .fth-badge",
    "/findings": ".fnd-main",
}
"""Pages, and what is there once a page has answered about what it opens with."""


def opened(browser: Any, url: str, path: str, slow: bool) -> tuple[float, int, int]:
    """Seconds, bytes down, bytes up of one opening."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    page = context.new_page()
    page.set_default_timeout(60_000)
    down, up = [0], [0]
    devtools = context.new_cdp_session(page)
    devtools.send("Network.enable")
    if slow:
        limits = {"latency": LATENCY_MS, "downloadThroughput": DOWN, "uploadThroughput": UP}
        devtools.send("Network.emulateNetworkConditions", {"offline": False, **limits})

    def arrived(event: dict[str, Any]) -> None:
        down[0] += int(event["encodedDataLength"])

    def sent(request: Any) -> None:
        up[0] += len(request.post_data_buffer or b"")

    devtools.on("Network.loadingFinished", arrived)
    page.on("request", sent)
    began = time.perf_counter()
    page.goto(url + path)
    page.wait_for_selector(PAGES[path])
    seconds = time.perf_counter() - began
    page.wait_for_timeout(3_000)
    context.close()
    return seconds, down[0], up[0]


def ready(url: str) -> None:
    """Wait until the worker has its model, which can take minutes on a busy machine."""
    while True:
        try:
            with urllib.request.urlopen(url + "/healthz", timeout=30):  # noqa: S310
                return
        except urllib.error.HTTPError:
            time.sleep(0.5)


def main() -> dict[str, Any]:
    """Figures by page."""
    from playwright.sync_api import sync_playwright

    from scripts.chromium import find

    found: dict[str, Any] = {}
    with served() as (url, _), sync_playwright() as playwright:
        ready(url)
        browser = playwright.chromium.launch(executable_path=find(), args=["--no-sandbox", "--disable-gpu"])
        for path in PAGES:
            opened(browser, url, path, False)  # the server has compressed its files, the worker has its model
            near, _, _ = opened(browser, url, path, False)
            far, down, up = opened(browser, url, path, True)
            found[path] = (
                f"{far:.1f} s, {down / 1e6:.2f} MB down, {up / 1e3:.0f} KB up; without the slow line {near:.1f} s"
            )
        browser.close()
    return {"first opening through 50 ms and 10/5 Mbit/s": found}


if __name__ == "__main__":
    for name, facts in main().items():
        print(name)
        for what, value in facts.items():
            print(f"  {what}: {value}")
