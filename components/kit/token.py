"""One token of a list, as text that can open the token card."""

from __future__ import annotations

from typing import Any

from dash import html


def token(text: str, token_id: int | None = None, **more: Any) -> Any:
    """One token of a list; with its id it can be focused, and opens the token card."""
    if token_id is None:
        return html.Span(text, className="attune-mark", **more)
    return html.Span(text, className="attune-mark attune-tok", tabIndex="0", **{"data-token-id": str(token_id)}, **more)
