"""Faults while many people ask: what each of them is told, how long it lasts, and whether anything is half-written.

The people of ``benchmarks.people`` ask on, each with pauses. Meanwhile, one after the other: the worker is killed again
and again; the disk of the data folder is full, then read-only; the clock goes back by a day; a thousand connections
stand half open; fifty readers read a byte now and then. After each, it is waited until a new question is answered. At
the end each file of the data folder is opened. A failure is told where the asker got a sentence, and untold where a
connection broke, a number of the log came in place of a reason, or nobody said anything within two minutes.

The data folder is a small disk in memory, which takes root and Linux; without them full and read-only are left out,
and the clock without libfaketime (its path in LIBFAKETIME). All of it stays on this machine and is taken away at the
end. Run it as ``python -m benchmarks.faults [people] [seconds] [without clicks]``.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from safetensors import SafetensorError, safe_open

from benchmarks.people import PEOPLE, Person, Seen, alone, live, percentile, recorded, served

SECONDS = 600.0
DISK = "400m"
HALF_OPEN, SLOW = 1_000, 50
BETWEEN_KILLS = 30.0
BACK = "-1d"
TOLD = ("UserError", "WorkerGone", "Superseded", "Cancelled")
LARGE = "/_dash-component-suites/plotly/package_data/plotly.min.js"


def _run(*words: str | Path, check: bool = True) -> bool:
    """Run a command of the system; whether it went well."""
    return subprocess.run(words, check=check, capture_output=True).returncode == 0


def privileged() -> bool:
    """Whether a disk can be mounted here."""
    return sys.platform == "linux" and os.geteuid() == 0 and shutil.which("mount") is not None


@contextmanager
def small_disk() -> Iterator[Path]:
    """A data folder on a small disk of its own where that can be had, else a plain one."""
    place = Path(tempfile.mkdtemp(prefix="attune-faults-"))
    if privileged():
        _run("mount", "-t", "tmpfs", "-o", f"size={DISK},mode=700", "none", place)
    try:
        yield place
    finally:
        while privileged() and _run("umount", "-l", place, check=False):
            continue
        shutil.rmtree(place, ignore_errors=True)


class Faults:
    """What is done to a served app, each for some seconds. ``until``: waits so long, or less at the end."""

    def __init__(self, url: str, home: Path, clock: Path | None) -> None:
        self.at, self.home, self.clock = urlsplit(url), home, clock

    def kills(self, seconds: float) -> str:
        """The worker is killed at once, and again each time that some have passed."""
        ended, count = time.monotonic() + seconds, 0
        while time.monotonic() < ended:
            with contextlib.suppress(OSError, ValueError, KeyError):
                os.kill(int(json.loads((self.home / "worker.json").read_text())["pid"]), signal.SIGKILL)
                count += 1
            time.sleep(min(BETWEEN_KILLS, max(0.0, ended - time.monotonic())))
        return f"{count} times"

    def full(self, seconds: float) -> str:
        """Nothing more fits on the disk."""
        if not privileged():
            return "left out: no disk of its own without root"
        filler = self.home / "filler"
        for piece in (1 << 20, 4_096):
            with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
                while file.write(b"\0" * piece):
                    continue
        time.sleep(seconds)
        filler.unlink()
        return f"for {seconds:.0f} s"

    def read_only(self, seconds: float) -> str:
        """Nothing can be written to any file that is opened from now on."""
        if not privileged():
            return "left out: no disk of its own without root"
        _run("mount", "--bind", self.home, self.home)
        try:
            _run("mount", "-o", "remount,bind,ro", self.home)
            time.sleep(seconds)
        finally:
            _run("umount", "-l", self.home)
        return f"for {seconds:.0f} s"

    def set_back(self, seconds: float) -> str:
        """The clock of the app goes back by a day, and then forward again."""
        if self.clock is None:
            return "left out: libfaketime is not named in LIBFAKETIME"
        self.clock.write_text(BACK)
        time.sleep(seconds)
        self.clock.write_text("+0")
        return f"{BACK}, forward again after {seconds:.0f} s"

    def half_open(self, seconds: float) -> str:
        """So many connections with half a request; what is closed is opened again."""
        head = f"GET / HTTP/1.1\r\nHost: {self.at.netloc}\r\nX-Half:".encode()
        lines: list[socket.socket] = []
        ended, again = time.monotonic() + seconds, -HALF_OPEN
        while time.monotonic() < ended:
            with contextlib.suppress(OSError):
                while len(lines) < HALF_OPEN and time.monotonic() < ended:
                    line = socket.create_connection((self.at.hostname or "", self.at.port or 80), 5)
                    lines.append(line)
                    again += 1
                    line.sendall(head)
                    line.setblocking(False)
            lines = [line for line in lines if _holds(line)]
            time.sleep(0.5)
        for line in lines:
            line.close()
        return f"{HALF_OPEN}, and {max(0, again)} again"

    def slow_readers(self, seconds: float) -> str:
        """So many who ask for a large file and read a byte now and then."""
        ask = f"GET {LARGE} HTTP/1.1\r\nHost: {self.at.netloc}\r\n\r\n".encode()
        lines = []
        for _ in range(SLOW):
            line = socket.socket()
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            line.settimeout(5)
            line.connect((self.at.hostname or "", self.at.port or 80))
            line.sendall(ask)
            lines.append(line)
        ended = time.monotonic() + seconds
        while time.monotonic() < ended:
            for line in lines:
                with contextlib.suppress(OSError):
                    line.recv(1)
            time.sleep(1)
        for line in lines:
            line.close()
        return f"{SLOW}"


def _holds(line: socket.socket) -> bool:
    try:
        if line.recv(1) == b"":
            line.close()
            return False
    except BlockingIOError:
        return True
    except OSError:
        line.close()
        return False
    return True


def answered_again(limit: float = 120.0) -> float:
    """Seconds until a question that nobody has asked is answered; inf where that is not within ``limit``."""
    from analysis.engine.client import Client
    from analysis.token_card.card import TokenCard

    began = time.monotonic()
    while time.monotonic() - began < limit:
        with contextlib.suppress(Exception):
            Client().ask(TokenCard(token=f" {random.randrange(10**6)}"))  # noqa: S311
            return time.monotonic() - began
        time.sleep(0.2)
    return float("inf")


def damaged(home: Path) -> tuple[int, list[str]]:
    """How many files of JSON and of arrays there are below a folder, and which of them cannot be read."""
    number, found = 0, []
    for path in sorted(home.rglob("*")):
        inside = path.relative_to(home).parts
        if not path.is_file() or inside[0] == "models" or any(part.startswith(".") for part in inside):
            continue
        try:
            if path.suffix == ".json":
                text = path.read_text(encoding="utf-8")
                json.loads(text.partition("\n")[2] if path.name == "result.json" else text)
            elif path.suffix == ".safetensors":
                with safe_open(path, "np") as file:
                    list(file.keys())
            else:
                continue
            number += 1
        except (ValueError, OSError, SafetensorError) as error:
            found.append(f"{'/'.join(inside)}: {error}"[:120])
    return number, found


def _is_told(what: str) -> bool:
    return any(f": {kind}:" in what for kind in TOLD)


def main(people: int = PEOPLE, seconds: float = SECONDS, clicks: bool = True) -> dict[str, Any]:
    """Figures by fault."""
    chance, facts = random.Random(0), dict[str, Any]()  # noqa: S311
    library = os.environ.get("LIBFAKETIME", "")
    with small_disk() as place, tempfile.TemporaryDirectory() as outside:
        clock = Path(outside) / "clock" if library else None
        variables = {}
        if clock is not None:
            clock.write_text("+0")
            variables = {"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_CACHE_DURATION": "1",
                         "FAKETIME_DONT_FAKE_MONOTONIC": "1"}  # fmt: skip
        with served(place=place, variables=variables) as (url, _):
            rows = alone(url, recorded(url)) if clicks else []
            faults = Faults(url, place, clock)
            each: list[tuple[str, Callable[[float], str]]] = [
                ("nothing", lambda wait: time.sleep(wait) or ""),  # type: ignore[func-returns-value]
                ("the worker killed", faults.kills),
                ("the disk full", faults.full),
                ("the data folder read-only", faults.read_only),
                ("the clock set back", faults.set_back),
                ("connections half open", faults.half_open),
                ("slow readers", faults.slow_readers),
            ]
            seen = Seen(excused=lambda body: b'"message"' in body)
            threads, over = [], threading.Event()

            def goes_on(over: threading.Event = over) -> bool:
                return not over.is_set()

            for _ in range(people):
                own = random.Random(chance.random())  # noqa: S311
                threads.append(threading.Thread(target=live, args=(Person(url), rows, seen, goes_on, own), daemon=True))
            for thread in threads:
                thread.start()
            for name, fault in each:
                before, asked = Counter(seen.wrong), _asked(seen)
                clicks_before = len(seen.clicks)
                how = fault(seconds / len(each))
                again = answered_again()
                time.sleep(1)
                new = seen.wrong - before
                told = sum(n for w, n in new.items() if _is_told(w))
                facts[name] = (
                    f"{how}; {_asked(seen) - asked} asked; told in words {told}, "
                    f"untold {new.total() - told}; answered again after {again:.1f} s; "
                    f"clicks p95 {percentile([s for s, _ in seen.clicks[clicks_before:]], 0.95):.2f} s"
                )
            over.set()
            for thread in threads:
                thread.join(120)
            facts["people who still wait after two minutes"] = sum(thread.is_alive() for thread in threads)
        number, found = damaged(place)
        facts["files of JSON and arrays, and which cannot be read"] = f"{number}; {found or 'none'}"
    facts["untold"] = {what: n for what, n in seen.wrong.most_common() if not _is_told(what)}
    facts["told, the most frequent"] = dict([(w, n) for w, n in seen.wrong.most_common() if _is_told(w)][:6])
    return {f"faults with {people} people, {seconds:.0f} s": facts}


def _asked(seen: Seen) -> int:
    return len(seen.clicks) + sum(map(len, seen.fresh.values())) + sum(seen.wrong.values())


def _end(*_signal: object) -> None:
    raise SystemExit("ended before its time; what was mounted and started is taken away")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    given = sys.argv[1:]
    for name, facts in main(
        int(given[0]) if given else PEOPLE, float(given[1]) if given[1:] else SECONDS, clicks=not given[2:]
    ).items():
        print(name)
        for what, value in facts.items():
            print(f"  {what}: {value}")
