"""A set-up from an address of the page where it was made: the Steering page, the MLP features page or the Othello page.

Pages do not import each other, so of their addresses only the names of a few fields are known here; a test holds that
each page's own state, written as an address, is read again.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from analysis.bridge.steers import BoardSteer, FeatureSteer, Steer, SteeringSettings
from analysis.errors import UserError
from analysis.othello.records import parse_moves
from pages.address import parse_json

SOURCES: dict[str, str] = {
    SteeringSettings.page: "Steering",
    FeatureSteer.page: "MLP features",
    BoardSteer.page: "Othello",
}
"""Pages whose set-up can be taken, by their paths."""


def steer_in(link: str) -> Steer:
    """The set-up in an address of one of these pages. Raises UserError(field="steer") where there is none."""
    parts = urlsplit(link.strip())
    query = dict(parse_qsl(parts.query))
    page = next((p for p in SOURCES if parts.path.rstrip("/").endswith(p)), SteeringSettings.page)
    if page == FeatureSteer.page:
        return _feature(query)
    if page == BoardSteer.page:
        return _board(query)
    if "steer" not in query:
        raise UserError(
            "This address of the Steering page holds no set-up. Move a slider there, then take it here, or copy the "
            "link there.",
            "steer",
        )
    return Steer.from_dict(parse_json(query["steer"]))


def _feature(query: dict[str, str]) -> FeatureSteer:
    if not query.get("fit") or not query.get("feature"):
        raise UserError(
            "No feature was open on the MLP features page in this window. Open one there, then take it here.", "steer"
        )
    optional = {name: parse_json(query[name]) for name in ("pole", "target") if name in query}
    return FeatureSteer(query["fit"], parse_json(query["feature"]), **optional)


def _board(query: dict[str, str]) -> BoardSteer:
    edits = parse_json(query.get("edits", "[]"))
    if not edits:
        raise UserError(
            "No square was edited on the Othello page in this window. Press a square there (tab Edit), then take it "
            "here, or press “Which heads look elsewhere?” there.",
            "steer",
        )
    moves = parse_moves(query.get("moves", "").strip())
    ply = parse_json(query["ply"]) if "ply" in query else len(moves)
    named = {name: query[name] for name in ("labels", "probes") if query.get(name)}
    return BoardSteer.from_dict({"moves": list(moves), "ply": ply, "edits": edits, **named})
