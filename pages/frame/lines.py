"""Connections of the web server: what is refused before it is a request is logged, and where there are too many, those
go first on which nobody is answered.

waitress closes a connection on which nothing happens for a minute, and accepts none beyond its limit. Whoever opens so
many with half a request in each keeps all others out for that minute, and for ever by a byte now and then. So the head
of a request has a time of its own, and beyond a share of the limit the oldest idle connections of the address that has
most are closed. Time is told by a clock that nobody can set back.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer, MultiSocketServer
from waitress.task import ErrorTask

log = logging.getLogger("attune.web")
HEAD = 20.0
"""Seconds from the first byte of a request to the end of its head."""
EVERY = 5.0
"""Seconds between two looks at all connections."""
MANY, ENOUGH = 0.75, 0.6
"""Share of the limit from which idle connections are closed, and to which."""


class Refusal(ErrorTask):  # type: ignore[misc]
    """The answer to what is no request: a head that cannot be read, a body that is too large."""

    def execute(self) -> None:
        """Say so, and log it with the address of the other end."""
        log.warning("refused %d: no request from %s", self.request.error.code, self.channel.addr[0])
        super().execute()


class Line(HTTPChannel):  # type: ignore[misc]
    """One connection, and when something last went through it."""

    error_task_class = Refusal

    def __init__(self, *given: Any, **named: Any) -> None:
        self.moved = self.began = time.monotonic()
        super().__init__(*given, **named)

    def received(self, data: bytes) -> bool:
        """Note when something came, and when a request began."""
        self.moved = time.monotonic()
        if self.request is None:
            self.began = self.moved
        return bool(super().received(data))

    def _flush_some(self, do_close: bool = True) -> bool:
        sent = bool(super()._flush_some(do_close))
        if sent:
            self.moved = time.monotonic()
        return sent

    def is_over(self, idle: float) -> bool:
        """Whether it waits in vain: for a request, for the end of a head, or for a reader of what was answered."""
        now, request = time.monotonic(), self.request
        if request is not None and not request.headers_finished and now - self.began > HEAD:
            return True
        return (not self.requests or self.total_outbufs_len > 0) and now - self.moved > idle


def watch(server: BaseWSGIServer | MultiSocketServer, idle: float, line: Callable[..., Line] = Line) -> None:
    """Let the connections of a server be such lines. ``idle``: seconds after which one is closed on which nothing
    happens. ``line``: what makes one."""
    sockets = server.map.values() if isinstance(server, MultiSocketServer) else [server]
    for one in [s for s in sockets if isinstance(s, BaseWSGIServer)]:
        _watch(one, idle, line)


def _watch(server: BaseWSGIServer, idle: float, made: Callable[..., Line]) -> None:
    accept, readable, due = server.handle_accept, server.readable, [0.0]

    def look() -> bool:
        if time.monotonic() >= due[0]:
            due[0] = time.monotonic() + EVERY
            for line in server.active_channels.values():
                line.will_close = line.will_close or line.is_over(idle)
        return bool(readable())

    def taken() -> None:
        try:
            accept()
        except OSError as error:  # gone again before it was here
            log.info("a connection was not taken: %s", error)
        limit = server.adj.connection_limit
        here = [line for line in server.active_channels.values() if not line.will_close]
        if len(here) > MANY * limit:
            gone = close_idle(here, len(here) - int(ENOUGH * limit))
            log.warning("%d connections: %d on which nobody is answered are closed", len(here), gone)

    server.next_channel_cleanup = math.inf  # that of waitress goes by the clock of the machine
    server.channel_class, server.readable, server.handle_accept = made, look, taken


def close_idle(lines: Iterable[Line], number: int) -> int:
    """Close up to ``number`` lines on which nothing is answered, those of the address with most first, and of them the
    oldest; how many there were."""
    held = Counter(line.addr[0] for line in lines)
    idle = [line for line in lines if not line.requests and not line.total_outbufs_len]
    gone = sorted(idle, key=lambda line: (-held[line.addr[0]], line.moved))[:number]
    for line in gone:
        line.will_close = True
    return len(gone)
