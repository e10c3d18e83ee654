"""How long a warm click takes on the server, how much an opened head sends, and what a long prompt needs.

Clicks are whole callbacks, as the browser calls them: through the page's function, the socket, the worker and back. No
forward pass is in them; the reading and the fit are made before. Memory is the worker's resident
set, in its own process.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil


def run(clicks: int = 40) -> dict[str, Any]:
    """p50 and p95 of three kinds of warm clicks at 512 tokens, bytes of an opened head, memory at 1,024 tokens."""
    os.environ["ATTUNE_HOME"] = _own_home()
    first = _first_page()
    from analysis.engine.client import Client
    from analysis.engine.supervisor import Supervisor
    from analysis.models.spec import ModelSpec
    from analysis.qk.contrasts.spec import ContrastSpec
    from analysis.qk.ops.features import FitContrast
    from analysis.qk.ops.prompt import TracePrompt

    supervisor = Supervisor([ModelSpec()], int(os.environ.get("ATTUNE_THREADS", "2")))
    supervisor.start()
    try:
        client = Client()
        feature = ContrastSpec("induction", 48)
        client.ask(FitContrast(contrast=feature))
        text = _text(512)
        reading = _reply(client, TracePrompt(text=text))
        tokens = len(reading.answer.labels)
        results: dict[str, Any] = {
            "first page after the start, s": first,
            "tokens": tokens,
            **_clicks(client, text, reading, feature, clicks),
        }
        results |= _sizes(client, text, reading)
        worker = psutil.Process(client.status().pid)
        results |= _memory(client, worker)
        return results
    finally:
        supervisor.stop()


def _first_page() -> float:
    """Seconds from starting the app's process to its first page, while the model still loads."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "app.py", "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[3]
        with urllib.request.urlopen(address + "/attention", timeout=60) as answer:  # noqa: S310
            assert answer.status == 200
        return time.perf_counter() - began
    finally:
        process.terminate()
        process.wait(30)


def _reply(client: Any, operation: Any) -> Any:
    """The typed answer, as pages get it."""
    return client.remember(operation, client.ask(operation))


def _matrix(client: Any, text: str, reading: Any, layer: int, head: int) -> str:
    """An opened head as it is sent."""
    from analysis.qk.ops.prompt import HeadAttention
    from components.qk.token_matrix import attention_matrix, for_browser

    reply = _reply(client, HeadAttention(text=text, layer=layer, head=head))
    ref = attention_matrix.ref([reading.question, reply.question])
    return json.dumps(for_browser(reading.answer, reply.answer, ref))


def _clicks(client: Any, text: str, reading: Any, feature: Any, clicks: int) -> dict[str, Any]:
    from analysis.qk.ops.features import Evidence
    from analysis.qk.ops.prompt import AttentionRow
    from analysis.qk.ops.swap import SwapRow
    from components.kit.view import NoOptions
    from components.qk.evidence_figures import spectrum
    from components.qk.figures import RowOptions, SwapOptions, key_swap, row_bars

    last = len(reading.answer.labels) - 1
    at: dict[str, Any] = {"text": text, "layer": 18, "head": 6}

    def head(i: int) -> None:
        _matrix(client, text, reading, i % 30, i % 9)

    def row(i: int) -> None:
        reply = _reply(client, AttentionRow(**at, query=last - i, key=-1, features=(feature,)))
        row_bars(reading.answer, reply.answer, RowOptions(last - i), "light")

    def evidence(i: int) -> None:
        reply = _reply(client, Evidence(contrast=feature, layer=i % 30, head=i % 9))
        spectrum(reply.answer, NoOptions(), "light")

    def swap(i: int) -> None:
        reply = _reply(client, SwapRow(**at, query=last, a=5 + i, b=2, feature=feature))
        key_swap(reading.answer, reply.answer, SwapOptions(last, 5 + i, 2), "light")

    report: dict[str, Any] = {}
    for name, click in (("open a head", head), ("choose a token", row), ("evidence", evidence), ("swap", swap)):
        seconds = []
        click(0)
        for i in range(clicks):
            began = time.perf_counter()
            click(i)
            seconds.append(time.perf_counter() - began)
        seconds.sort()
        report[f"{name}: p50 ms"] = 1000 * statistics.median(seconds)
        report[f"{name}: p95 ms"] = 1000 * seconds[int(0.95 * (len(seconds) - 1))]
    return report


def _sizes(client: Any, text: str, reading: Any) -> dict[str, Any]:
    sizes = [len(_matrix(client, text, reading, layer, head)) for layer in range(30) for head in range(9)]
    return {"opened head, largest of 270, bytes": max(sizes), "opened head, median bytes": statistics.median(sizes)}


def _memory(client: Any, worker: psutil.Process) -> dict[str, Any]:
    """Rise of the worker's peak resident set while it reads 1,024 tokens, above what it held before."""
    import threading

    before, peak, done = worker.memory_info().rss, 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.is_set():
            peak = max(peak, worker.memory_info().rss)
            time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    reading = client.ask(_trace(_text(1024)))
    done.set()
    watcher.join()
    return {"tokens of the long prompt": len(reading.data["labels"]), "added memory, MB": (peak - before) / 1e6}


def _trace(text: str) -> Any:
    from analysis.qk.ops.prompt import TracePrompt

    return TracePrompt(text=text)


def _text(tokens: int) -> str:
    words = [
        "harbour",
        "lantern",
        "river",
        "winter",
        "engine",
        "garden",
        "letter",
        "copper",
        "window",
        "signal",
        "paper",
    ]
    return " ".join(words[(i * i + i // 7) % len(words)] for i in range(tokens))


def _own_home() -> str:
    """A data folder of its own that shares the prepared model."""
    from analysis.models.default import prepare_default

    models = prepare_default().parent
    home = Path(tempfile.mkdtemp(prefix="attune-bench-"))
    (home / "models").symlink_to(models)
    return str(home)


if __name__ == "__main__":
    for name, value in run().items():
        print(f"{name}: {value:.1f}" if isinstance(value, float) else f"{name}: {value}")
