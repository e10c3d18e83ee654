"""Frames: what goes in comes out; what is no frame ends the conversation instead of being believed."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import AuthenticationError, Pipe
from multiprocessing.connection import Client as connect
from multiprocessing.connection import Connection, Listener
from pathlib import Path

import numpy as np
import pytest

from analysis.cluster.places import ClusterPlaces
from analysis.engine import calls, protocol
from analysis.engine.client import Client
from analysis.engine.worker import Server
from tests.service.operations_for_tests import odd_arrays


@pytest.fixture
def pair() -> Iterator[tuple[Connection, Connection]]:
    left, right = Pipe()
    yield left, right
    left.close()
    right.close()


def test_message_and_arrays_come_out_as_they_went_in(pair: tuple[Connection, Connection]) -> None:
    sent = {"type": "result", "text": "ä “quoted”", "list": [1, 2.5, None, True], "nested": {"a": [[]]}}
    protocol.send(pair[0], sent, odd_arrays())
    message, arrays = protocol.receive(pair[1])
    assert message == sent
    assert set(arrays) == set(odd_arrays())
    for name, expected in odd_arrays().items():
        assert arrays[name].shape == expected.shape, name
        assert arrays[name].dtype == expected.dtype.newbyteorder("="), name
        np.testing.assert_array_equal(arrays[name], expected)


def test_messages_do_not_run_into_each_other(pair: tuple[Connection, Connection]) -> None:
    for n in range(5):
        protocol.send(pair[0], {"n": n}, {"a": np.full(n, n)} if n % 2 else None)
    for n in range(5):
        message, arrays = protocol.receive(pair[1])
        assert message == {"n": n}
        assert [a.tolist() for a in arrays.values()] == ([[n] * n] if n % 2 else [])


@pytest.mark.parametrize(
    "frame",
    [
        b"\x80\x04\x95", b"{", b"", b"[1, 2]", b'"text"', b"\xff\xfe{}", b"null", b"[" * 100_000,
        b'{"arrays": []}', b'{"arrays": {"a": 1}}', b'{"arrays": {"a": ["float32"]}}',
        b'{"arrays": {"a": ["float32", 3]}}',
        b'{"arrays": {"a": ["object", [1]]}}', b'{"arrays": {"a": ["float32", [-1]]}}',
        b'{"arrays": {"a": ["float32", ["x"]]}}', b'{"arrays": {"a": ["U8", [1]]}}',
    ],
)  # fmt: skip
def test_garbage_ends_the_conversation(pair: tuple[Connection, Connection], frame: bytes) -> None:
    pair[0].send_bytes(frame)
    with pytest.raises((EOFError, OSError)):
        protocol.receive(pair[1])


@pytest.mark.parametrize("shape", [[3], [5], [1 << 40, 1 << 40]])
def test_array_of_another_size_than_announced_is_refused(pair: tuple[Connection, Connection], shape: list[int]) -> None:
    pair[0].send_bytes(json.dumps({"arrays": {"a": ["float32", shape]}}).encode())
    pair[0].send_bytes(np.zeros(4, np.float32).tobytes())
    with pytest.raises(OSError, match="announced size"):
        protocol.receive(pair[1])


def test_oversized_frame_is_refused_by_the_receiver(
    pair: tuple[Connection, Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "MAX_FRAME", 2000)
    protocol.send(pair[0], {"text": "x" * 1000})
    assert protocol.receive(pair[1])[0]["text"] == "x" * 1000
    pair[0].send_bytes(json.dumps({"text": "x" * 3000}).encode())
    with pytest.raises(OSError):
        protocol.receive(pair[1])


@pytest.mark.parametrize(
    ("message", "arrays"),
    [
        ({"value": float("nan")}, {}),
        ({"value": object()}, {}),
        ({"value": np.float32(1)}, {}),
        ({"value": "x" * 3000}, {}),
        ({}, {"a": np.zeros(3000)}),
        ({}, {"a": np.array(["text"])}),
        ({}, {"good": np.zeros(3), "bad": np.array([object()])}),
    ],
)
def test_what_cannot_be_said_is_known_before_a_byte_has_left(
    pair: tuple[Connection, Connection], monkeypatch: pytest.MonkeyPatch, message: dict, arrays: dict
) -> None:
    monkeypatch.setattr(protocol, "MAX_FRAME", 2000)
    with pytest.raises((TypeError, ValueError)):
        protocol.send(pair[0], message, arrays)
    assert not pair[1].poll(0)


def test_wrong_key_is_refused(tmp_path: Path) -> None:
    address = str(tmp_path / "s")
    listener = Listener(address, authkey=b"right")
    refused: list[BaseException] = []

    def accept() -> None:
        try:
            listener.accept()
        except AuthenticationError as error:
            refused.append(error)

    thread = threading.Thread(target=accept)
    thread.start()
    with pytest.raises((AuthenticationError, EOFError, OSError)):
        connect(address, authkey=b"wrong")
    thread.join(5)
    listener.close()
    assert len(refused) == 1


def test_between_machines_a_stranger_is_refused_and_a_silent_one_holds_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "DIALS", 0.3)
    key, ended = b"k" * 32, list[str]()
    with Listener(("127.0.0.1", 0), backlog=8) as listener:
        address = list(listener.address)

        def serve(name: str) -> None:
            Server(None, key).serve(listener.accept())  # type: ignore[arg-type]
            ended.append(name)

        threads = [threading.Thread(target=serve, args=(name,)) for name in ("wrong", "silent", "slow", "right")]
        for thread in threads[:3]:
            thread.start()
        with pytest.raises((AuthenticationError, EOFError, OSError)):
            protocol.dial(address, b"j" * 32)
        with socket.create_connection(tuple(address)), socket.create_connection(tuple(address)) as slow:
            began = time.monotonic()
            with suppress(OSError):
                slow.sendall(b"\0\0\0\xff")  # a frame of so many bytes, which comes a byte at a time
                while len(ended) < 3 and time.monotonic() - began < 5:
                    slow.sendall(b"x")
                    time.sleep(0.02)
            for thread in threads[:3]:
                thread.join(5)
            assert len(ended) == 3 and time.monotonic() - began < 2, "nobody who says little holds a thread"
        threads[3].start()
        with protocol.dial(address, key) as right:
            protocol.limit(right, 0.1)
            with pytest.raises(OSError):
                protocol.receive(right)  # it has said nothing
            protocol.limit(right, 0)
            ours = socket.socket(fileno=os.dup(right.fileno()))
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            ours.close()
            with socket.create_connection(tuple(address)) as plain:
                worker = Connection(os.dup(plain.fileno()))
                protocol.ready(worker, answers=True)
                assert plain.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                assert not plain.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT), "a reader may pause"
                worker.close()
        threads[3].join(5)
        assert ended[-1] == "right"


def test_strangers_hold_no_more_than_so_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Server, "UNPROVED", 3)
    server, before = Server(None, b"k" * 32), threading.active_count()  # type: ignore[arg-type]
    with Listener(("127.0.0.1", 0), backlog=16) as listener:
        strangers = []
        for _ in range(8):
            strangers.append(socket.create_connection(listener.address))
            server.accepted(listener.accept(), True)
        assert threading.active_count() - before <= 4  # and the one that ends them
        for one in strangers[3:]:
            one.settimeout(5)
            assert one.recv(1) == b"", "closed at once"
        for one in strangers:
            one.close()
        deadline = time.monotonic() + 5
        while server.unproved._value < 3:  # those who have left make room
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_machines_that_hang_are_asked_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "SAYS", 0.3)
    places, hung = ClusterPlaces("auto", tmp_path), [Listener(("127.0.0.1", 0)) for _ in range(3)]  # they accept nobody
    entries = [
        {
            "id": f"{n}.1", "name": f"n{n}", "host": f"n{n}", "gpus": 0, "cpus": 1, "able": True, "text": "",
            "first": [], "facts": {"address": list(one.address), "authkey": "00"},
        }
        for n, one in enumerate(hung)
    ]  # fmt: skip
    places.take({"phase": "ready", "places": entries})
    client, began = Client(1.0, places), time.monotonic()
    assert {name: status.pid for name, status in client.statuses().items()} == {"n0": None, "n1": None, "n2": None}
    assert not client.cancel("x") and time.monotonic() - began < 1.5, "twice the time of one, not of three"
    for one in hung:
        one.close()
