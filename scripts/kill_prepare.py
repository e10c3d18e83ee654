"""Prepare, killed with signal 9 at ten moments and asked again: is anything made twice, or left half?

    python -m scripts.kill_prepare MODEL [--kills 10] [--budget 60]

A worker of its own, in a data folder that is thrown away afterwards, prepares all pages of MODEL. It is killed some
seconds into a run, or at the moment at which a part is told to be done, and each time the same question is asked again.
Then every artefact on the shelves must open, no manifest may have been written again once it was there (but for one
that a better level replaced), and no part may have been told twice. Exits with status 1 if not.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from analysis.engine.client import Client, WorkerGone
from analysis.engine.supervisor import Supervisor
from analysis.models.spec import ModelSpec
from analysis.prepare.answers import Prepared
from analysis.prepare.ops.prepare import PrepareModel


def main(arguments: list[str]) -> int:
    """Kill, ask again, look; the status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--budget", type=float, default=60.0)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as home:
        os.environ["ATTUNE_HOME"] = home
        supervisor = Supervisor(preload=[])
        supervisor.start()
        try:
            run = PrepareModel(ModelSpec(options.model), budget=options.budget)
            return _watched(Client(patience=60), run, options.kills, Path(home))
        finally:
            supervisor.stop()


def _watched(client: Client, run: PrepareModel, kills: int, home: Path) -> int:
    draw, told = random.Random(0), collections.Counter[tuple[str, str]]()  # noqa: S311  # moments, not secrets
    faults: list[str] = []
    seen: dict[Path, tuple[int, str]] = {}
    made = 0
    while True:
        killed, answer = _run(client, run, told, draw if made < kills else None, at_part=made % 3 == 2)
        faults += _looked(home, seen)
        if answer is not None:
            if made < kills:
                print(f"all parts were made after {made} kills: give a larger budget")
            break
        made += 1
        print(f"kill {made}: {killed}; {sum(told.values())} parts are there")
    faults += [f"{name} ({level}) was made {count} times" for (name, level), count in told.items() if count > 1]
    # What the model cannot have is told in words and is no fault; a bug is.
    failed = [part for part in answer.parts if part.state == "failed"]
    faults += [f"{part.name} was not made: {part.text}" for part in failed if part.text.startswith("Something failed")]
    print(f"{made} kills, {len(told)} parts, {len(seen)} manifests on the shelves; {answer.sentence}")
    for fault in faults:
        print(f"FAULT {fault}")
    print("nothing was made twice, nothing is half" if not faults else f"{len(faults)} faults")
    return 1 if faults else 0


def _run(
    client: Client, run: PrepareModel, told: Any, draw: random.Random | None, at_part: bool
) -> tuple[str, Prepared | None]:
    """One press: how it was killed, or its answer."""
    timer: list[threading.Timer] = []
    why = ""
    pid = client.status().pid

    def kill() -> None:
        if pid:
            os.kill(pid, signal.SIGKILL)

    def hear(value: dict[str, Any]) -> None:
        nonlocal why, pid
        if value.get("part") and value["part"]["state"] == "made":
            told[value["part"]["name"], value["part"]["level"]] += 1
        if draw is None or why or not value.get("place"):
            return
        pid = client.status().pid
        if at_part and value.get("part"):
            why = f"as “{value['part']['name']}” was told"
            kill()
        elif not at_part:
            delay = draw.uniform(0.05, 6.0)
            why = f"{delay:.1f} s into the run"
            timer.append(threading.Timer(delay, kill))
            timer[0].start()

    try:
        return "", PrepareModel.answer_from(client.ask(run, on_progress=hear))
    except WorkerGone:
        return why, None
    finally:
        for waiting in timer:
            waiting.cancel()


def _looked(home: Path, seen: dict[Path, tuple[int, str]]) -> list[str]:
    """Open everything on the shelves; what cannot be opened, or was written again without need."""
    from analysis.faithfulness.library import STUDIES
    from analysis.mfa.library import REGION_SETS
    from analysis.rotate.library import MEASUREMENTS
    from analysis.snmf.library import FACTORIZATIONS

    faults = []
    for shelf in (REGION_SETS, FACTORIZATIONS, MEASUREMENTS, STUDIES):
        for path in sorted((home / shelf.place).rglob("*.json")):
            try:
                shelf.read(path.with_suffix(""))
            except Exception as error:
                faults.append(f"{path.relative_to(home)} cannot be opened: {error}")
                continue
            state = path.stat().st_mtime_ns, str(shelf.place)
            if path in seen and seen[path] != state and shelf is not MEASUREMENTS:
                faults.append(f"{path.relative_to(home)} was written again")
            seen[path] = state
    return faults


if __name__ == "__main__":
    began = time.monotonic()
    status = main(sys.argv[1:])
    print(f"{time.monotonic() - began:.0f} s")
    sys.exit(status)
