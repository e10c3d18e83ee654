"""The token under which the body of the current background callback should ask, so that Dash's cancel finds it."""

from __future__ import annotations

import contextvars

current_job: contextvars.ContextVar[str] = contextvars.ContextVar("current_job", default="")
