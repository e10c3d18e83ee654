"""TLS by certificate files: connections that are encrypted, on the loop of the same server.

waitress has no TLS, and a relay in front of it would hide who asks. Its connections wait for no line, so a socket of
the standard library's ssl does as well, where "not yet" is an answer: a handshake goes on when more has come, and has
the time that the head of a request has. What is not TLS is closed without a word.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Any

from analysis.errors import UserError
from pages.frame.lines import HEAD, Line

log = logging.getLogger("attune.web")
RECORD = 1 << 16
"""Bytes to read at once: more than a record has, so that none lies in the socket of which the loop does not know."""
_NOT_YET = (ssl.SSLWantReadError, ssl.SSLWantWriteError)


def certified(certificate: Path, key: Path) -> ssl.SSLContext:
    """What encrypts: TLS 1.2 or later. Raises UserError for files that cannot be read or do not belong together."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        raise UserError(
            f"{certificate.name} and {key.name} are no certificate and its key as PEM files, or do not belong "
            f"together ({error.reason or error})."
        ) from error
    except (OSError, ValueError) as error:
        raise UserError(f"The certificate or its key cannot be read: {error}") from error
    return context


def _no_password() -> str:
    raise ValueError("the key has a password, which nobody is here to type; write it without one, for its user alone.")


class SecureLine(Line):
    """One encrypted connection. Threads that answer write to it while the loop reads, so each goes alone.

    ``_alone`` is held around one call of the socket and nothing else: whoever writes holds the lock of what is to be
    sent already, and closing takes that lock, so that closing under ``_alone`` would stop the loop for everybody.
    """

    def __init__(self, context: ssl.SSLContext, server: Any, sock: socket.socket, *given: Any, **named: Any) -> None:
        self._alone, self._agreed, self._wants_to_write = threading.Lock(), False, False
        sock.setblocking(False)
        secure = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        super().__init__(server, secure, *given, **named)

    def is_over(self, idle: float) -> bool:
        """Also where the two do not come to an agreement in time."""
        return (not self._agreed and time.monotonic() - self.began > HEAD) or super().is_over(idle)

    def writable(self) -> bool:
        """Also for a handshake that has something to say."""
        return self._wants_to_write if not self._agreed and not self.will_close else bool(super().writable())

    def handle_read(self) -> None:
        """Read, once there is agreement."""
        if not self._agree():
            return
        try:
            with self._alone:
                data = self.socket.recv(RECORD)
        except _NOT_YET:  # half a record
            return
        except OSError:
            data = b""
        if data:
            self.received(data)
        else:
            self.handle_close()

    def handle_write(self) -> None:
        """Write, once there is agreement; or close."""
        if self.will_close or self._agree():
            super().handle_write()

    def send(self, data: bytes, do_close: bool = True) -> int:
        """Send what can be sent now, encrypted: how many bytes of ``data``; 0 also where nobody listens any more, which
        closes the connection, from a thread that answers (``do_close`` false) by way of the loop."""
        try:
            with self._alone:
                return int(self.socket.send(data))
        except _NOT_YET:
            return 0
        except OSError:
            if do_close:
                self.handle_close()
            self.will_close = True
            return 0

    def handle_close(self) -> None:
        """Say that it ends here, where somebody still listens, and close."""
        with self._alone, contextlib.suppress(OSError, ValueError):
            if self._agreed and self.socket is not None:
                self.socket.unwrap()
        super().handle_close()

    def _agree(self) -> bool:
        """Go on with the handshake; whether it is done."""
        if self._agreed:
            return True
        self._wants_to_write = False
        try:
            with self._alone:
                self.socket.do_handshake()
            self._agreed = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLWantWriteError:
            self._wants_to_write = True
        except OSError as error:
            log.warning("refused: no TLS from %s (%s)", self.addr[0], getattr(error, "reason", None) or error)
            self.will_close = True
        return self._agreed
