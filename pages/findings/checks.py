"""Still true? A board is computed again as a job of the worker; what has changed since is told without computing.

The job belongs to the app, not to the window that asked: closing that ends nothing. A thread here waits for its end, as
a question lives as long as its connection; what became of each pin is in the store as soon as it is known.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from analysis.engine.client import OperationFailed, Superseded, WorkerGone
from analysis.errors import Cancelled, UserError
from analysis.findings.ops.check import CheckPins
from analysis.findings.ops.stamps import Stamps
from analysis.findings.stale import stale
from analysis.findings.store import findings
from analysis.view_ref import QuestionRef
from pages.common import client
from pages.frame.api import body, text_of

log = logging.getLogger(__name__)
PATH = "/findings"
RECENT = 300.0
"""Seconds for which a board says how its check ended."""


@dataclass
class Checking:
    """A check of a board: under way, or how it ended. ``share`` in [0, 1]; ``end``: seconds of the monotonic clock.
    ``token`` ends it, and is for nobody to see."""

    number: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    text: str = "Waiting for its turn"
    share: float = 0.0
    done: bool = False
    end: float = 0.0


_checking: dict[str, Checking] = {}
_lock = threading.Lock()


def start_check(board: str) -> Any:
    """Compute pins of a board again: those named, or all. One check of a board at a time."""
    data = body()
    there = findings().board(board).pins
    wanted = data.get("pins")
    pins = tuple(pin for pin in there if not isinstance(wanted, list) or pin in wanted)
    if not pins:
        raise UserError("There is no view to be computed again.")
    operation = CheckPins(pins, uuid.uuid4().hex)
    with _lock:
        if board in _checking and not _checking[board].done:
            raise UserError("This board is being computed again already. Stop that first, or wait for it.")
        checking = _checking[board] = Checking()
    item = text_of(data, "item", 64)
    link = f"{PATH}?board={board}" + (f"&item={item}" if item else "")
    arguments = (operation, checking, text_of(data, "session", 64), link)
    run = contextvars.copy_context().run  # the job is of the one who pressed
    threading.Thread(target=run, args=(_wait, *arguments), name=f"check-{board}", daemon=True).start()
    return {"check": _shown(checking)}


def _shown(checking: Checking) -> dict[str, Any]:
    return {name: value for name, value in vars(checking).items() if name != "token"}


def _wait(operation: CheckPins, checking: Checking, session: str, link: str) -> None:
    def relay(facts: dict[str, Any]) -> None:
        checking.share = float(facts.get("share") or 0.0)
        checking.text = str(facts.get("text") or checking.text)

    try:
        client().ask(operation, session=session, link=link, token=checking.token, on_progress=relay)
        states = [check.state for pin in operation.pins if (check := findings().check(pin)) is not None]
        checking.text = _summary(states)
    except (Cancelled, Superseded):
        checking.text = "Stopped. What was computed until then is kept."
    except UserError as error:
        checking.text = error.message
    except (WorkerGone, OperationFailed) as error:
        checking.text = str(error)
    except Exception:
        log.exception("the check of %d pins failed", len(operation.pins))
        checking.text = "Something failed inside Attune. The log has the details."
    finally:
        checking.share, checking.done, checking.end = 1.0, True, time.monotonic()


def _summary(states: list[str]) -> str:
    words = (("equal", "equal"), ("moved", "moved"), ("failed", "cannot be made"))
    parts = [f"{states.count(state)} {said}" for state, said in words if state in states]
    return f"Computed again: {', '.join(parts)}." if parts else "Nothing was computed again."


def stop_check(board: str) -> Any:
    """End the check of a board; what it has done is kept."""
    body()
    checking = _checking.get(board)
    return {"found": checking is not None and client().cancel(checking.token)}


def progress_of(board: str) -> Any:
    """How far the newest check of a board is; None where none is under way or has just ended: the board says by each
    view what became of it, and may be another by now."""
    checking = _checking.get(board)
    if checking is None or (checking.done and time.monotonic() - checking.end > RECENT):
        return None
    return _shown(checking)


def show_stale(board: str) -> Any:
    """By pin a sentence on what has changed since it was pinned, for those where something has."""
    return {"stale": changes_of(board)}


def changes_of(board: str) -> dict[str, str]:
    """As :func:`show_stale`. Raises as :meth:`analysis.engine.client.Client.ask`, and UserError for no board."""
    pins = findings().board(board).pins.values()
    questions = [QuestionRef.from_dict(q) for pin in pins if pin.stamps for q in pin.ref["questions"]]
    operation = Stamps(tuple(questions))
    stamps = iter(operation.answer_from(client().ask(operation)).stamps if questions else ())
    changed: dict[str, str] = {}
    for pin in pins:
        sentence = stale(pin, [next(stamps) for _ in pin.ref["questions"]] if pin.stamps else ())
        if sentence is not None:
            changed[pin.id] = sentence
    return changed
