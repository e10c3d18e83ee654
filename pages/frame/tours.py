"""The route by which the panel of a tour (assets/tour.js) reads its steps, whichever page it stands on."""

from __future__ import annotations

from typing import Any

from dash import Dash

from analysis.errors import UserError
from analysis.findings.store import findings
from analysis.findings.tours import Tour, bundled_tours, tour_of


def register_tours(app: Dash) -> None:
    """Add the route to the app's server."""

    @app.server.get("/findings/api/tours/<name>")
    def tour(name: str) -> dict[str, Any]:
        try:
            return tour_called(name[:80]).to_dict()
        except UserError as error:
            return {"refused": error.message}


def tour_called(name: str) -> Tour:
    """A bundled tour by its name, or a board of the kind "tour" by its id. UserError for neither, or without a step."""
    bundled = next((tour for tour in bundled_tours() if tour.name == name), None)
    return bundled or tour_of(findings().board(name))
