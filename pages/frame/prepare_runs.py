"""Runs of Prepare, carried by threads of the web process: begun by a press, taken up after a crash.

A run is a job of the worker, which is lost when the worker dies, and nobody waits for it when the program ends. A
ticket (:mod:`analysis.prepare.tickets`) says that it has not ended: the thread asks again where the worker alone died,
and the next start of the program takes up what the last one left.
"""

from __future__ import annotations

import contextvars
import logging
import threading

from analysis.asker import refuse_change
from analysis.engine.client import OperationFailed, Superseded, WorkerGone
from analysis.errors import Cancelled, UserError
from analysis.prepare.ops.prepare import PrepareModel
from analysis.prepare.tickets import Ticket, begin, left_over
from pages.common import client

log = logging.getLogger(__name__)


def begin_run(operation: PrepareModel, session: str, link: str) -> None:
    """Begin a run; it goes on without the page, and returns at once. Raises UserError for one who may only look."""
    refuse_change()
    _carry(begin(operation, link), session)


def take_up_runs() -> int:
    """Go on with the runs that the last program left when it ended; how many there are."""
    tickets = left_over()
    for ticket in tickets:
        _carry(ticket, "")
    return len(tickets)


def _carry(ticket: Ticket, session: str) -> None:
    run = contextvars.copy_context().run  # the run is of the one who pressed
    threading.Thread(target=run, args=(_ask, ticket, session), daemon=True, name="run of Prepare").start()


def _ask(ticket: Ticket, session: str) -> None:
    """Ask until the run has ended. The list of jobs says how it ended to whoever looks."""
    while (operation := ticket.next_try()) is not None:
        try:
            client().ask(operation, session=session, link=ticket.link, on_progress=ticket.hear)
        except WorkerGone as error:
            log.info("a run of Prepare begins again: %s", error)
            continue
        except (UserError, Cancelled, Superseded, OperationFailed) as error:
            log.info("a run of Prepare ended: %s", error)
        break
    ticket.end()
