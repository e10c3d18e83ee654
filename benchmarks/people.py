"""Many people at once: clicks over HTTP, questions with new input, texts and jobs, and what becomes of each answer.

A browser opens some addresses, each with a prompt of its own, and what it posts is written down. Then ``PEOPLE``
threads go on for ``SECONDS``, each as a window of its own, with pauses between: most repeat what was written down, some
ask the worker something that nobody has asked (a prompt, a game, a neuron), some ask for a text or start a job. Each
answer is held against the one that the same question has when nobody else asks: a wrong, a crossed or a failed one is
counted. Run it as ``python -m benchmarks.people [people] [seconds]``.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psutil

from analysis.engine.operation import Operation
from analysis.engine.question import Result

ROOT = Path(__file__).resolve().parents[1]
PEOPLE, SECONDS, PAUSE = 50, 600.0, 5.0
PROMPTS = (
    "When Mary and John went to the store, John gave a drink to",
    "The capital of France is Paris. The capital of Italy is",
    "one two three four one two three",
    "The old lighthouse keeper had never seen a storm like this",
)
CALLBACKS = "/_dash-update-component"
TEXT_TOKENS = 12
TIMED = ("fit-estimate", "out-cost")
"""Outputs that say how long something will take, from what has been measured until then."""
LOOKS = 10
"""How often memory is looked at."""
NEW = 0.3
"""Share of what is asked that is new."""


@contextmanager
def served(
    threads: int = 2, place: Path | None = None, variables: Mapping[str, str] | None = None
) -> Iterator[tuple[str, int]]:
    """The app on a data folder of its own (``place``, or a temporary one) that shares the default model: its address
    and process id."""
    from analysis.models.default import prepare_default

    with tempfile.TemporaryDirectory() as folder:
        home = place or Path(folder)
        (home / "models").symlink_to(prepare_default().parent)
        process = subprocess.Popen(
            [sys.executable, "app.py", "--port", "0", "--threads", str(threads)],
            cwd=ROOT,
            env={**os.environ, "ATTUNE_HOME": str(home), "OMP_WAIT_POLICY": "PASSIVE", **(variables or {})},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found, "the app did not say where it is"
        before = os.environ.get("ATTUNE_HOME")
        os.environ["ATTUNE_HOME"] = str(home)  # so that a client in this process asks the same worker
        try:
            yield found[0], process.pid
        finally:
            os.environ.pop("ATTUNE_HOME")
            if before is not None:
                os.environ["ATTUNE_HOME"] = before
            process.terminate()
            process.wait(30)


def addresses() -> list[str]:
    """What the browser opens: pages with prompts of their own."""
    heads = [f"/attention?text={quote(prompt)}" for prompt in PROMPTS]
    return [
        *heads,
        *(f"/steering?text={quote(p)}&count=1" for p in PROMPTS[:2]),
        "/othello",
        "/neurons",
        "/mlp-features",
    ]


@dataclass
class Recorded:
    """A question as the browser posted it: its path, its body, and the window in whose name it was asked."""

    path: str
    body: str
    session: str
    answer: bytes = b""
    seconds: float = 0.0
    same: bool = False

    def asked_by(self, session: str) -> bytes:
        """The body in the name of another window, asked now."""
        body = json.loads(self.body.replace(self.session, session) if self.session else self.body)
        body["asked"] = time.time() * 1000
        return json.dumps(body).encode()


def recorded(url: str) -> list[Recorded]:
    """What a browser posts while it opens the addresses, but for what it asks at every pulse and what starts a job."""
    from playwright.sync_api import Request, sync_playwright

    from scripts.chromium import find

    rows: list[Recorded] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find(), args=["--no-sandbox", "--disable-gpu"])
        for address in addresses():
            context = browser.new_context(viewport={"width": 1280, "height": 720})
            page = context.new_page()
            bodies: list[tuple[str, str]] = []

            def keep(sent: Request, bodies: list[tuple[str, str]] = bodies) -> None:
                at = urlsplit(sent.url)
                polls = "cacheKey" in at.query or "tray-open.children" in (sent.post_data or "")
                if at.path == CALLBACKS and sent.post_data and not polls:
                    bodies.append((f"{at.path}?{at.query}", sent.post_data))

            page.on("request", keep)
            page.goto(url + address)
            page.wait_for_timeout(8_000)
            for _ in range(6):
                page.wait_for_function("() => !window.store.getState().isLoading", timeout=120_000)
                page.wait_for_timeout(300)
            session = next((s for s in (_session(body) for _, body in bodies) if s), "")
            rows += [Recorded(path, body, session) for path, body in bodies if session]
            context.close()
        browser.close()
    return rows


def _session(body: str) -> str:
    found = re.search(r'"id":"session","property":"data","value":"([0-9a-f]{32})"', body)
    return found[1] if found else ""


class Person:
    """A connection that stays open, and a window's name."""

    def __init__(self, url: str) -> None:
        self.at, self.session = urlsplit(url), uuid.uuid4().hex
        self._connection = self._connect()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.at.hostname or "", self.at.port, timeout=300)

    def post(self, path: str, body: bytes) -> tuple[int, bytes, float]:
        """Status, answer and seconds; status 0 for a connection that broke. One that was closed while nothing was asked
        on it is opened again, as browsers do."""
        began = time.perf_counter()
        for used in (self._connection.sock is not None, False):
            try:
                self._connection.request("POST", path, body, {"Content-Type": "application/json"})
                answer = self._connection.getresponse()
                read = answer.read()
                return answer.status, read, time.perf_counter() - began
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                self._connection = self._connect()
                if not used or not isinstance(error, (http.client.RemoteDisconnected, ConnectionError)):
                    break
        return 0, b"", time.perf_counter() - began


@dataclass
class Seen:
    """What became of all questions, written under the lock. ``clicks``: seconds with all, and alone; ``fresh``: number,
    answer and seconds by kind. ``excused``: an answer to a click that may be another one."""

    excused: Callable[[bytes], bool] = lambda body: False
    clicks: list[tuple[float, float]] = field(default_factory=list)
    fresh: dict[str, list[tuple[int, str, float]]] = field(default_factory=dict)
    wrong: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)


def alone(url: str, rows: list[Recorded]) -> list[Recorded]:
    """The rows that have an answer, each with that of a lone asker, its seconds, and whether it is always the same."""
    kept = []
    for row in rows:
        answers, times = [], []
        for _ in range(3):
            status, answer, seconds = Person(url).post(row.path, row.asked_by(uuid.uuid4().hex))
            answers.append((status, answer))
            times.append(seconds)
        if answers[0][0] in (200, 204):
            row.answer, row.seconds = answers[1][1], statistics.median(times)
            row.same = len(set(answers)) == 1 and not _output(row.body).startswith(TIMED)
            kept.append(row)
    return kept


@dataclass(frozen=True)
class Fresh:
    """Questions with new input, by number: nobody has asked them, so nothing of their answers is kept."""

    name: str
    share: float
    ask: Callable[[int], Operation[Any]]


def fresh_questions() -> list[Fresh]:
    """Live ones of four pages, a text, a job."""
    from analysis.mfa.ops.steer import SteerNext, SteerText
    from analysis.mfa.settings import SteeringSettings
    from analysis.othello.games import random_games
    from analysis.othello.squares import SQUARE_OF_TOKEN
    from analysis.qk.ops.prompt import TracePrompt
    from analysis.rotate.ops.neurons import NeuronVector
    from analysis.token_card.card import TokenCard
    from analysis.tpr.ops.reading import OthelloReading

    games = [[int(SQUARE_OF_TOKEN[t]) for t in row[:20]] for row in random_games(200, 9).tokens]
    steer = SteeringSettings.from_dict({"fit": "block-10", "regions": [{"region": 215, "strength": 0.6}]})
    text = "Number {} of the sentences that nobody has asked about yet is this one,"
    return [
        Fresh("next token", 0.3, lambda n: SteerNext(text=text.format(n), steer=steer)),
        Fresh("game", 0.25, lambda n: OthelloReading(moves=tuple(games[n % 200]), ply=20 - n // 200 % 10)),
        Fresh("neuron", 0.2, lambda n: NeuronVector(layer=n % 30, vector="gate", neuron=n % 1536)),
        Fresh("token card", 0.05, lambda n: TokenCard(token=f" {n % 1000}")),
        Fresh("text", 0.1, lambda n: SteerText(text=text.format(n), steer=steer, count=TEXT_TOKENS, temperature=0.0)),
        Fresh("job", 0.1, lambda n: TracePrompt(text=text.format(n))),
    ]


def plain_answer(result: Result) -> str:
    """An answer as one text, arrays by what is in them; times in it are left out."""
    arrays = {name: [array.shape, round(float(abs(array).sum()), 2)] for name, array in sorted(result.arrays.items())}
    data = {key: value for key, value in result.data.items() if "second" not in key}
    return json.dumps([data, arrays], sort_keys=True)


def written(lines: Iterator[dict[str, Any]]) -> str:
    """The tokens of a text, as one text."""
    pieces = [line["piece"] for line in lines if "piece" in line]
    return json.dumps([[piece["of"], piece["id"]] for piece in pieces])


def live(person: Person, rows: list[Recorded], seen: Seen, goes_on: Callable[[], bool], chance: random.Random) -> None:
    """What one person does as long as it ``goes_on``: clicks on what is there, and things that nobody has asked."""
    from analysis.asker import WHO
    from analysis.engine.client import Client

    WHO.set(person.session)
    client, fresh = Client(), fresh_questions()
    time.sleep(chance.uniform(0, PAUSE))
    while goes_on():
        if not rows or chance.random() < NEW:
            kind = chance.choices(fresh, [f.share for f in fresh])[0]
            number = chance.randrange(100_000)
            began = time.perf_counter()
            try:
                operation = kind.ask(number)
                if operation.kind == "stream":
                    answer = written(client.stream(operation, session=person.session, widget="text"))
                else:
                    widget = "" if operation.kind == "job" else kind.name
                    answer = plain_answer(client.ask(operation, session=person.session, widget=widget))
                with seen.lock:
                    seen.fresh.setdefault(kind.name, []).append((number, answer, time.perf_counter() - began))
            except Exception as error:
                with seen.lock:
                    seen.wrong[f"{kind.name}: {type(error).__name__}: {error}"[:160]] += 1
        else:
            row = chance.choice(rows)
            status, body, seconds = person.post(row.path, row.asked_by(person.session))
            with seen.lock:
                seen.clicks.append((seconds, row.seconds))
                if status not in (200, 204):
                    seen.wrong[f"status {status}"] += 1
                elif row.same and body != row.answer and not seen.excused(body):
                    seen.wrong["an answer is another one: " + _output(row.body)] += 1
        time.sleep(chance.expovariate(1 / PAUSE))


def held_against(seen: Seen, most: int = 40) -> dict[str, list[float]]:
    """Ask some of the new questions again, alone and of a worker that has just begun: seconds by kind. Counts what
    differs."""
    from analysis.engine.client import Client

    client, alone = Client(), {}
    for kind in fresh_questions():
        rows = seen.fresh.get(kind.name, [])[:most]
        if rows and kind.ask(0).kind != "stream":
            client.ask(kind.ask(-1))  # what is loaded once is loaded
        times = []
        for number, answer, _ in rows:
            operation = kind.ask(number)
            began = time.perf_counter()
            text = operation.kind == "stream"
            again = written(client.stream(operation)) if text else plain_answer(client.ask(operation))
            if again != answer:
                seen.wrong[f"{kind.name}: not the answer of a lone asker"] += 1
            times.append(time.perf_counter() - began)
        alone[kind.name] = times
    return alone


def _output(body: str) -> str:
    return str(json.loads(body)["output"])[:60]


def percentile(values: list[float], share: float) -> float:
    """A percentile of a list; nan for an empty one."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def main(people: int = PEOPLE, seconds: float = SECONDS) -> dict[str, Any]:
    """Figures of one run."""
    seen, chance = Seen(), random.Random(0)  # noqa: S311
    with served() as (url, pid):
        web = psutil.Process(pid)

        def resident() -> list[float]:
            return [process.memory_info().rss / 1e6 for process in (web, *web.children(recursive=True))]

        rows = alone(url, recorded(url))
        memory, until = [resident()], time.monotonic() + seconds
        threads = []

        def goes_on() -> bool:
            return time.monotonic() < until

        for _ in range(people):
            own = random.Random(chance.random())  # noqa: S311
            threads.append(threading.Thread(target=live, args=(Person(url), rows, seen, goes_on, own)))
        for thread in threads:
            thread.start()
        for _ in range(LOOKS):
            time.sleep(seconds / LOOKS)
            memory.append(resident())
        for thread in threads:
            thread.join(max(1.0, until - time.monotonic()) + 120)
        stuck = sum(thread.is_alive() for thread in threads)
    with served():
        lone = held_against(seen)
    with_all, by_itself = [c for c, _ in seen.clicks], [a for _, a in seen.clicks]
    facts: dict[str, Any] = {
        "clicks written down": f"{len(rows)}, {sum(r.same for r in rows)} with an answer that is always the same",
        "clicks": f"{len(with_all)}: {_spread(with_all)}; alone {_spread(by_itself)}",
    }
    for name, asked in seen.fresh.items():
        facts[name] = f"{len(asked)}: {_spread([s for *_, s in asked])}; alone {_spread(lone.get(name, []))}"
    facts["new questions compared with those of a lone asker"] = sum(map(len, lone.values()))
    facts["wrong, crossed or failed"] = sum(seen.wrong.values())
    facts["which"] = dict(seen.wrong.most_common(5))
    facts["people who still wait two minutes after the end"] = stuck
    facts[f"memory of web process and worker before and {LOOKS} times, MB"] = "; ".join(map(_mb, memory))
    return {f"{people} people, {seconds:.0f} s": facts}


def _spread(values: list[float]) -> str:
    return f"p50 {percentile(values, 0.5):.3f}, p95 {percentile(values, 0.95):.3f} s"


def _mb(values: list[float]) -> str:
    return ", ".join(f"{v:.0f}" for v in values)


if __name__ == "__main__":
    given = [float(word) for word in sys.argv[1:]]
    for name, facts in main(*([int(given[0])] if given else []), *given[1:2]).items():
        print(name)
        for what, value in facts.items():
            print(f"  {what}: {value}")
