"""The home page: pictures without words, boards that were changed last; the routes of tours and of the talk."""

from __future__ import annotations

import re
from pathlib import Path

from flask.testing import FlaskClient

from analysis.findings.store import findings
from components.frame.home import PICTURE_HEIGHT, thumbnail
from components.kit.figure import figure
from pages.home import page as home


def test_a_thumbnail_has_data_and_colours_but_no_words() -> None:
    marks = {"size": [10, 20], "color": "#0072B2", "line": {"width": 1}}
    trace = {"type": "scatter", "mode": "markers+text", "text": ["a", "b"], "x": [0, 1], "y": [1, 0], "marker": marks}
    heat = {"type": "heatmap", "z": [[1, 2]], "colorscale": "Cividis", "colorbar": {"title": "share"}, "xaxis": "x2"}
    whole = figure(
        [trace, heat], "dark", xaxis={"title": {"text": "layer"}, "type": "category"}, xaxis2={"domain": [0.5, 1]},
        annotations=[{"text": "note"}], legend={"y": 1}, height=900, shapes=[{"type": "line", "label": {"text": "x"}}],
    )  # fmt: skip
    small = thumbnail(whole)
    assert small["data"][0]["mode"] == "markers" and small["data"][0]["marker"]["size"] == [6.0, 12.0]
    assert small["data"][1]["showscale"] is False and "colorbar" not in small["data"][1]
    assert not small["layout"].keys() & {"annotations", "legend", "height"}
    assert small["layout"]["xaxis"]["visible"] is False and small["layout"]["xaxis"]["type"] == "category"
    assert small["layout"]["xaxis2"] == {"domain": [0.5, 1], "visible": False, "fixedrange": True}
    assert (
        small["layout"]["shapes"] == [{"type": "line"}] and small["layout"]["template"] == whole["layout"]["template"]
    )
    assert whole["data"][0]["marker"]["size"] == [10, 20], "the figure itself stays as it is"


def test_recent_boards_stand_on_the_home_page(client: FlaskClient) -> None:
    assert "No board yet" in str(home.layout())
    for number in range(6):
        findings().new_board(f"Board {number}")
    text = str(home.layout())
    assert [n for n in range(6) if f"Board {n}" in text] == [2, 3, 4, 5] and PICTURE_HEIGHT < 120


def test_tours_are_served_and_refused_in_words(client: FlaskClient) -> None:
    assert client.get("/findings/api/tours/othello").get_json()["steps"][0]["address"] == "/othello"
    assert "not there" in client.get("/findings/api/tours/nothing").get_json()["refused"]
    board = findings().new_board("No tour")
    assert "is no tour" in client.get(f"/findings/api/tours/{board.id}").get_json()["refused"]


def test_the_talk_is_a_page_of_scripts_that_are_there(client: FlaskClient) -> None:
    answer = client.get("/findings/talk?board=<script>alert(1)</script>")
    text = answer.get_data(as_text=True)
    assert "alert" not in text and "frame-ancestors 'self'" in answer.headers["Content-Security-Policy"]
    paths = re.findall(r'(?:src|href|data-plotly)="([^"]+)"', text)
    assert len(paths) > 10 and {client.get(path.partition("?")[0]).status_code for path in paths} == {200}
    page = client.get("/").get_data(as_text=True)
    (together,) = re.findall(r'src="(/together/[^"]+)"', page)
    scripts = client.get(together).get_data(as_text=True)
    assert "/talk/" not in page and "/* talk/" not in scripts, "the scripts of a talk do not load with every page"
    assert "/* tour.js */" in scripts
    assert Path(__file__).resolve().parents[2].joinpath("assets/talk/talk.js").exists()
