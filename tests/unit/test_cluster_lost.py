"""A worker of another machine that is cut off or hangs while it works on a question: what the asker is told, to the
panel of the page."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

import pytest
from dash import Dash

from analysis.cluster import places as places_module
from analysis.cluster.places import ClusterPlace, ClusterPlaces
from analysis.engine import calls, protocol
from analysis.engine.client import Client
from analysis.engine.jobs import JobBook
from analysis.engine.loading import EstimateModel
from analysis.engine.scheduler import Scheduler
from analysis.engine.worker import Server
from tests.unit.test_attention_words import text_of

KEY = b"k" * 32
Far = Callable[[Connection], None]


@pytest.fixture
def asked(app: Dash, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Far], str]]:
    """Ask as a page does, of a worker on a machine named far that has begun and then does what is given; what the
    panel says."""
    from pages import common

    monkeypatch.setattr(calls, "WATCH", 0.05)
    monkeypatch.setattr(calls, "HUNG", 0.3)
    monkeypatch.setattr(calls, "SAYS", 0.1)
    monkeypatch.setattr(places_module, "ClusterPlace", partial(ClusterPlace, notice=0.1))
    with Listener(("127.0.0.1", 0), backlog=64) as listener:
        facts = {"address": list(listener.address), "authkey": KEY.hex()}
        entry = {
            "id": "1.1", "name": "far", "host": "far", "gpus": 0, "cpus": 1, "able": True, "text": "", "first": [],
            "facts": facts,
        }  # fmt: skip
        places = ClusterPlaces("auto", tmp_path)
        places.take({"phase": "ready", "places": [entry]})
        places.start = places.stop = lambda: None  # type: ignore[method-assign]
        monkeypatch.setattr(common, "client", lambda: Client(1.0, places))

        def ask(far: Far) -> str:
            def work() -> None:
                for _ in range(100):  # those that have gone meanwhile are in the queue, too
                    with suppress(EOFError, OSError), listener.accept() as connection:
                        protocol.deliver_challenge(connection, KEY)
                        protocol.answer_challenge(connection, KEY)
                        protocol.receive(connection)
                        protocol.send(connection, {"type": "started"})
                        far(connection)
                        return

            thread = threading.Thread(target=work)
            thread.start()
            reply, panel = common.ask_for(EstimateModel)
            thread.join(5)
            return text_of(panel) if reply is None else "answered"

        ask.listener = listener  # type: ignore[attr-defined]
        yield ask


def test_one_that_is_cut_off_fails_what_it_had_begun_with_its_name_on_the_page(asked: Any) -> None:
    def cut(connection: Connection) -> None:
        time.sleep(0.2)  # until the asker has read that it has begun
        with socket.socket(fileno=connection.fileno()) as ours:  # as the system ends one that is silent: by an error
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection._handle = None  # type: ignore[attr-defined]

    assert "The connection to the machine far was lost while this ran." in asked(cut)


def test_one_that_hangs_is_given_up_in_words_and_one_that_is_only_long_is_not(asked: Any, tmp_path: Path) -> None:
    left, began = list[float](), time.monotonic()

    def hang(connection: Connection) -> None:
        with suppress(EOFError):
            connection.recv_bytes()  # until the asker leaves
        left.append(time.monotonic() - began)

    assert "The connection to the machine far was lost while this ran." in asked(hang)
    assert len(left) == 1 and left[0] < 5

    server = Server(Scheduler(JobBook(tmp_path / "jobs.json")), KEY)

    def answer() -> None:
        with suppress(OSError):
            while True:
                server.accepted(asked.listener.accept(), True)

    def long(connection: Connection) -> None:
        threading.Thread(target=answer, daemon=True).start()
        time.sleep(0.8)
        protocol.send(connection, {"type": "error", "kind": "user", "text": "It took long.", "field": None})

    assert "It took long." in asked(long)
