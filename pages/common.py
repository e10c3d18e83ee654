"""What every page does when it asks: one client, one way to turn a refusal into a panel where it was typed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from dash.exceptions import PreventUpdate

from analysis.errors import Cancelled, UserError
from analysis.models.spec import ModelSpec
from analysis.service.client import Client, OperationFailed, Superseded, WorkerGone
from analysis.service.operation import Operation, Result
from components.background import current_job
from components.panels import failure, note, user_error


@cache
def client() -> Client:
    """The client of this web process."""
    return Client()


def attempt(
    make: Callable[[], Operation], session: str = "", widget: str = "", **arguments: Any
) -> tuple[Result | None, Any]:
    """Build an operation, ask, and return (result, None) or (None, panel that says why not).

    A request that a newer one has replaced ends the callback without a change on the page.
    """
    try:
        return client().ask(make(), session=session, widget=widget, **arguments), None
    except UserError as error:
        return None, user_error(error.message)
    except Superseded as gone:
        raise PreventUpdate from gone
    except Cancelled:
        return None, note("Cancelled.")
    except (WorkerGone, OperationFailed) as error:
        return None, failure(str(error))


def attempt_job(
    make: Callable[[], Operation],
    set_progress: Callable[[Any], None],
    session: str,
    link: str,
    draw: Callable[[tuple[str, str], dict[str, Any]], None] | None = None,
) -> tuple[Result | None, Any]:
    """The body of a job callback: ask under Dash's job id, relay (value, label) of the progress bar.

    ``draw`` takes the relay over where a page shows more than a bar: it gets (value, label) and all facts.
    """

    def relay(value: dict[str, Any]) -> None:
        bar = (str(round(100 * (value.get("share") or 0))), value.get("text", ""))
        if draw is None:
            set_progress(bar)
        else:
            draw(bar, value)

    return attempt(make, session, "", link=link, token=current_job.get() or None, on_progress=relay)


def spec_of(data: Any) -> ModelSpec:
    """The model that a page's store names; the default when it names none."""
    return ModelSpec.from_dict(data) if data else ModelSpec()
