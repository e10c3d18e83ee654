"""How soon a steered text begins after a slider is let go, how long a ladder takes, how soon a text stops, and how long
a second speaker waits for the first. ``python -m benchmarks.live``

The questions are those of the Steering page, asked as its server asks them: through the socket, of a worker in a
process of its own, on the default model. A slider is let go while nothing else is written, each time at another
strength, so that no answer is known.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

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


def second_speaker(client: Client) -> dict[str, float]:
    """Seconds that the first text takes, and that another one waits for its first token meanwhile."""
    other: list[float] = []

    def ask() -> None:
        began = time.perf_counter()
        for line in client.stream(text(0.31), session="other", widget="steer-text"):
            if line.get("piece", {}).get("of") == "steered":
                other.append(time.perf_counter() - began)
                return

    began, thread = time.perf_counter(), threading.Thread(target=ask)
    for n, _ in enumerate(client.stream(text(0.3), session="one", widget="steer-text")):
        if n == 2:
            thread.start()
    whole = time.perf_counter() - began
    thread.join()
    return {"first text, s": round(whole, 2), "the second waits, s": round(other[0], 2)}


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
        waits = sorted(first_token(client, 0.2 + n / 100) for n in range(TIMES))
        steer = SteeringSettings("block-10", (RegionSetting(REGION, 0.5),), "add")
        began = time.perf_counter()
        list(client.stream(SteerLadder(model=ModelSpec(), text=PROMPT, steer=steer, region=REGION, count=40)))
        ladder = time.perf_counter() - began
        return {
            "first steered token after a slider is let go, ms": {
                "p50": round(statistics.median(waits)),
                "p95": round(waits[int(0.95 * (TIMES - 1))]),
            },
            "ladder of five rungs and the unsteered text, 40 tokens, s": round(ladder, 2),
            "end of a text after Stop, ms": round(statistics.median(stopped(client, 0.5 + n / 100) for n in range(5))),
            "two speakers": second_speaker(client),
        }
    finally:
        supervisor.stop()


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))
