"""How soon a steered text begins after a slider is let go, how long a ladder takes, how soon a text stops, and how two
speakers share the model. ``python -m benchmarks.live``

The questions are those of the Steering page, asked as its server asks them: through the socket, of a worker in a
process of its own, on the default model. A slider is let go while nothing else is written, each time at another
strength, so that no answer is known. Beside wall time stands the computing time of the worker, since a machine is
seldom free; on n free cores the wall time is at least an nth of it.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from analysis.engine.client import Client
from analysis.engine.supervisor import Supervisor
from analysis.errors import Cancelled
from analysis.home import home
from analysis.mfa.ops.ladder import SteerLadder
from analysis.mfa.ops.steer import SteerText
from analysis.mfa.settings import RegionSetting, SteeringSettings
from analysis.models.spec import ModelSpec

PROMPT, REGION = "My favourite thing in the world is the", 215
TIMES = 20


def text(strength: float, count: int = 40) -> SteerText:
    """A steered text beside the unsteered one."""
    steer = SteeringSettings("block-10", (RegionSetting(REGION, strength),), "add")
    return SteerText(model=ModelSpec(), text=PROMPT, steer=steer, count=count)


def first_token(client: Client, strength: float) -> float:
    """Milliseconds to the first steered token; the text is ended then."""
    began = time.perf_counter()
    stream: Any = client.stream(text(strength), session="s", widget="steer-text")
    for line in stream:
        if line.get("piece", {}).get("of") == "steered":
            break
    took = 1e3 * (time.perf_counter() - began)
    stream.close()
    return took


def stopped(client: Client, strength: float) -> float:
    """Milliseconds from an end by its token to the last line of the text."""
    stream = client.stream(text(strength, 200), token="to-stop")  # noqa: S106
    pieces = 0
    try:
        for line in stream:
            pieces += "piece" in line
            if pieces == 10:
                began = time.perf_counter()
                client.cancel("to-stop")
                pieces += 1
    except Cancelled:
        pass
    return 1e3 * (time.perf_counter() - began)


def steps_of(client: Client, operation: SteerText, session: str, began: threading.Event | None = None) -> list[float]:
    """When the request was made and when each steered token came, seconds; ``began`` is set at the third."""
    times = [time.perf_counter()]
    for line in client.stream(operation, session=session, widget="steer-text"):
        if line.get("piece", {}).get("of") == "steered":
            times.append(time.perf_counter())
            if began is not None and len(times) == 4:
                began.set()
    return times


def two_speakers(client: Client) -> dict[str, float]:
    """Two texts, the second asked for while the first is written; beside them, one text alone."""
    alone = steps_of(client, text(0.3), "one")
    began, other = threading.Event(), list[list[float]]()

    def ask() -> None:
        began.wait()
        other.append(steps_of(client, text(0.31), "other"))

    thread = threading.Thread(target=ask)
    thread.start()
    first = steps_of(client, text(0.3), "one", began)
    thread.join()
    second = other[0]
    both = [b - a for a, b in pairwise(first) if a > second[0] and b < second[-1]]
    return {
        "one text alone, s": round(alone[-1] - alone[0], 2),
        "its median step, ms": round(1e3 * statistics.median(b - a for a, b in pairwise(alone[1:]))),
        "first text, s": round(first[-1] - first[0], 2),
        "the second waits for its first token, s": round(second[1] - second[0], 2),
        "second text, s": round(second[-1] - second[0], 2),
        "median step of the first while both write, ms": round(1e3 * statistics.median(both)) if both else 0,
        "its longest, ms": round(1e3 * max(both)) if both else 0,
    }


def computing(client: Client) -> float:
    """Seconds of computing time that the worker has taken."""
    times = psutil.Process(client.status().pid).cpu_times()
    return float(times.user + times.system)


def run() -> dict[str, Any]:
    """The figures."""
    shared = home() / "models"
    os.environ["ATTUNE_HOME"] = tempfile.mkdtemp(prefix="attune-live-")
    if shared.is_dir():
        (Path(os.environ["ATTUNE_HOME"]) / "models").symlink_to(shared)
    supervisor = Supervisor([ModelSpec()], int(os.environ.get("ATTUNE_THREADS", "2")))
    supervisor.start()
    try:
        client = Client()
        client.patience = 120.0
        first_token(client, 0.2)
        before = computing(client)
        waits = sorted(first_token(client, 0.2 + n / 100) for n in range(TIMES))
        each = (computing(client) - before) / TIMES
        steer = SteeringSettings("block-10", (RegionSetting(REGION, 0.5),), "add")
        began, before = time.perf_counter(), computing(client)
        list(client.stream(SteerLadder(model=ModelSpec(), text=PROMPT, steer=steer, region=REGION, count=40)))
        ladder, ladder_computing = time.perf_counter() - began, computing(client) - before
        return {
            "first steered token after a slider is let go, ms": {
                "p50": round(statistics.median(waits)),
                "p95": round(waits[int(0.95 * (TIMES - 1))]),
                "computing time for each, with what was still written": round(1e3 * each),
            },
            "ladder of eight rungs and the unsteered text, 40 tokens, s": round(ladder, 2),
            "computing time of it, s": round(ladder_computing, 2),
            "end of a text after Stop, ms": round(statistics.median(stopped(client, 0.5 + n / 100) for n in range(5))),
            "two speakers": two_speakers(client),
            "load of the machine": round(os.getloadavg()[0], 1),
        }
    finally:
        supervisor.stop()


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))
