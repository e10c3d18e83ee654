"""What every page does when it asks: one client, one way to turn a refusal into a panel where it was typed."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from dash.exceptions import PreventUpdate

from analysis.cluster.places import cluster_places
from analysis.engine.client import Client, OperationFailed, Reply, Superseded, WorkerGone
from analysis.engine.kept import KeptKeys
from analysis.engine.operation import Operation
from analysis.engine.question import Result
from analysis.errors import Cancelled, UserError
from analysis.models.spec import ModelSpec
from analysis.spoken import duration
from analysis.view_ref import QuestionRef
from components.kit.panels import failure, note, user_error
from components.kit.types import Json, Node, Relay
from pages.controls import control_of
from pages.job import current_job
from pages.order import asked_at, is_newest
from pages.order import note as note_order

A = TypeVar("A")
TRIES = 3
"""How often a question that an older one has overtaken is asked again."""


@cache
def client() -> Client:
    """The client of this web process."""
    return Client(places=cluster_places())


def refusal(error: UserError, of: type[Operation] | None = None) -> Any:
    """The panel of a refusal, which marks the control that holds what is refused. ``of``: the operation that was to be
    asked, where the error came before it was made."""
    name = error.operation or (of.__name__ if of is not None else "")
    return user_error(error.message, control_of(name, error.field))


def ask_for(
    make: Callable[[], Operation[A]],
    session: str = "",
    widget: str = "",
    of: type[Operation[A]] | None = None,
    **arguments: Any,
) -> tuple[Reply[A] | None, Node]:
    """Build an operation, ask, and return (reply, None) or (None, panel that says why not). The reply holds the typed
    answer and the question that draws it again.

    ``of``: as for :func:`refusal`. A request that a newer one has replaced ends the callback without a change on the
    page.
    """
    operation: Operation[A] | None = None
    try:
        operation = make()
        result = _in_order(operation, session, widget, arguments)
        return client().remember(operation, result), None
    except UserError as error:
        return None, refusal(error, of if operation is None else type(operation))
    except Superseded as gone:
        raise PreventUpdate from gone
    except Cancelled:
        return None, note("Cancelled.")
    except (WorkerGone, OperationFailed) as error:
        return None, failure(str(error))


def _in_order(operation: Operation[Any], session: str, widget: str, arguments: dict[str, Any]) -> Result:
    at = asked_at()
    note_order(session, widget, at)
    for _ in range(TRIES):
        try:
            return client().ask(operation, session=session, widget=widget, **arguments)
        except Superseded:
            if not is_newest(session, widget, at):
                raise
    return client().ask(operation, session=session, widget=widget, **arguments)


def ask_job(
    make: Callable[[], Operation[A]],
    set_progress: Relay,
    session: str,
    link: str,
    draw: Callable[[tuple[str, str], dict[str, Any]], None] | None = None,
    of: type[Operation[A]] | None = None,
) -> tuple[Reply[A] | None, Node]:
    """The body of a job callback, as :func:`ask_for`: asks under Dash's job id, relays (value, label with the time
    left) of the progress bar.

    ``draw`` takes the relay over where a page shows more than a bar: it gets (value, label) and all facts.
    """
    left = TimeLeft()

    def relay(value: dict[str, Any]) -> None:
        if value.get("waits"):
            left.wait()
        share = value.get("share") or 0
        bar = (str(round(100 * share)), left.said(share, value.get("text", "")))
        if draw is None:
            set_progress(bar)
        else:
            draw(bar, value)

    return ask_for(make, session, "", of, link=link, token=current_job.get() or None, on_progress=relay)


def reply_of(question: QuestionRef | Json) -> Reply[Any]:
    """The reply to a question that a store keeps: the recent answer, the kept one of a job, or else asked again.

    Raises UserError where a job's answer is not kept any more, and as :meth:`Client.ask`.
    """
    return client().reply(question if isinstance(question, QuestionRef) else QuestionRef.from_dict(question))


def kept_reply(operation: Operation[A]) -> Reply[A] | None:
    """The reply to a job that was done before, in this window or another; None where it was not, or its answer is not
    kept any more. Nothing is run for it."""
    params = operation.to_params()
    lookup = KeptKeys((QuestionRef(type(operation).__name__, params),))
    try:
        key = lookup.answer_from(client().ask(lookup)).keys[0]
        return client().reply(QuestionRef(type(operation).__name__, params, key)) if key else None
    except (UserError, Cancelled, Superseded, WorkerGone, OperationFailed):
        return None


def reply_to(operation: Operation[A]) -> Reply[A]:
    """The reply to an operation, asked now: also to a job, which is short or kept. Raises as :meth:`Client.ask`."""
    return client().remember(operation, client().ask(operation))


class TimeLeft:
    """Says how long a job still takes, from the share that it has done since it was first heard of."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first = (0.0, 1.0)
        self._last = 1.0

    def wait(self) -> None:
        """What is heard until the job begins says nothing of how fast it is."""
        self._last = 1.0

    def said(self, share: float, text: str) -> str:
        """The text with the time left at the end of it, once there is enough to tell it from. A job that says so
        itself knows better."""
        now = self._clock()
        if share < self._last:  # the first word, or a part that begins anew
            self._first = now, share
        self._last = share
        gone, done = now - self._first[0], share - self._first[1]
        if gone < 5 or done < 0.02 or share >= 1 or text.endswith(" left"):
            return text
        said = f"about {duration(gone * (1 - share) / done)} left"
        return f"{text} · {said}" if text else said


def spec_of(data: Any) -> ModelSpec:
    """The model that a page's store names; the default when it names none."""
    return ModelSpec.from_dict(data) if data else ModelSpec()
