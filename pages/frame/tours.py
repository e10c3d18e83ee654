"""The route by which the panel of a tour (assets/tour.js) reads its steps, whichever page it stands on."""

from __future__ import annotations

from typing import Any

from dash import Dash

from analysis.errors import UserError
from analysis.findings.tours import tour_called


def register_tours(app: Dash) -> None:
    """Add the route to the app's server."""

    @app.server.get("/findings/api/tours/<name>")
    def tour(name: str) -> dict[str, Any]:
        try:
            return tour_called(name[:80]).to_dict()
        except UserError as error:
            return {"refused": error.message}
