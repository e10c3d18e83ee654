"""The page of a talk at ``/findings/talk``: a frame without Dash, filled by its scripts (assets/talk/).

A talk changes its screen in less than 150 ms and shows nothing of the app around it, so it is a page of its own: it
reads the board by the same routes as the Findings page, and draws pins by the same script. The window of the speaker is
the same page with ``speaker=1``.
"""

from __future__ import annotations

import json

from dash import Dash
from flask import Response

from components.kit.links import local

PATH = "/findings/talk"
STYLES = ("00-bootstrap-5.3.6.min.css", "attune.css", "board.css", "exhibit.css", "talk/talk.css")
SCRIPTS = (
    "kit.js",
    "frame/prose.js",
    "frame/board.js",
    "frame/far.js",
    "frame/exhibit.js",
    "talk/screens.js",
    "talk/speaker.js",
    "talk/talk.js",
)
PLOTTING = "/_dash-component-suites/plotly/package_data/plotly.min.js"
"""The plotting script, where Dash serves it to its own graphs."""
FRAME = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Talk · Attune</title>{styles}<script src="{theme}"></script></head>
<body class="talk-page"><main id="talk" data-plotly="{plotting}"><h1 class="visually-hidden">Talk</h1></main>
<script id="_dash-config" type="application/json">{config}</script>{scripts}</body>
</html>
"""


def register_talk(app: Dash) -> None:
    """Add the page to the app's server."""

    @app.server.get(PATH)
    def talk() -> Response:
        styles = "".join(f'<link rel="stylesheet" href="{app.get_asset_url(name)}">' for name in STYLES)
        scripts = "".join(f'<script src="{app.get_asset_url(name)}"></script>' for name in SCRIPTS)
        text = FRAME.format(
            styles=styles,
            scripts=scripts,
            theme=app.get_asset_url("theme.js"),
            plotting=local(PLOTTING),
            config=json.dumps({"requests_pathname_prefix": local("/")}),
        )
        return Response(text, mimetype="text/html")
