"""frame/plots.js: a figure is drawn once it can be seen, with plotly itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import plotly
import pytest
from playwright.sync_api import Page

pytestmark = pytest.mark.browser
LIBRARY = Path(plotly.__file__).resolve().parent / "package_data" / "plotly.min.js"
BODY = """<div id=open style='width: 300px; height: 200px'></div>
<div id=tab style='display: none'><div id=behind style='width: 300px; height: 200px'></div></div>"""
DRAWN = "() => [...document.querySelectorAll('.js-plotly-plot')].map((e) => e.id)"


def test_what_cannot_be_seen_is_drawn_when_it_can_the_newest_of_it_in_the_theme_of_then(
    scripted: Callable[..., Page],
) -> None:
    page = scripted(BODY)
    page.route("**/plotly.js", lambda route: route.fulfill(path=LIBRARY, content_type="text/javascript"))
    page.evaluate(
        """() => { window._dashPlotlyJSURL = "/plotly.js"; window.heard = [];
        window.figure = (y, text) => ({ data: y.length ? [{ y }] : [],
          layout: { template: { layout: { font: { size: 5 } } }, annotations: text ? [{ text }] : [] } });
        window.graph = async (id, ...figures) => {
          const gd = document.getElementById(id);
          await Plotly.react(gd, figures[0]);
          gd.on("plotly_click", (told) => heard.push(id + told));
          for (const one of figures.slice(1)) await Plotly.react(gd, one);
        }; }"""
    )
    page.evaluate("() => graph('behind', figure([], 'a note'), figure([1, 2]), figure([3, 4, 5]))")
    page.evaluate("() => graph('open', figure([]))")
    page.wait_for_timeout(100)
    assert page.evaluate(DRAWN) == [] and page.locator("script[src*=plotly]").count() == 0, "nothing can be seen"
    assert page.evaluate("dash_clientside.attune.isDrawn()")
    page.evaluate("() => graph('open', figure([]), figure([7]))")
    page.wait_for_function("() => document.querySelector('#open .main-svg')")
    assert page.evaluate(DRAWN) == ["open"] and page.locator("script[src*=plotly]").count() == 1
    page.evaluate("() => dash_clientside.attune.redress({ layout: { font: { size: 17 } } })")
    page.evaluate("() => { document.getElementById('tab').style.display = ''; }")
    page.wait_for_function("() => document.querySelector('#behind .main-svg')")
    behind = "document.getElementById('behind')"
    assert page.evaluate(f"Array.from({behind}.data[0].y)") == [3, 4, 5]
    assert page.evaluate(f"{behind}._fullLayout.font.size") == 17
    page.evaluate("() => ['open', 'behind'].forEach((id) => document.getElementById(id).emit('plotly_click', 1))")
    assert page.evaluate("heard.at(-1)") == "behind1" and "open1" in page.evaluate("heard")
    page.evaluate("() => graph('open', figure([], 'nothing here'))")  # one that was drawn is never behind its figure
    assert page.evaluate("document.getElementById('open').data.length") == 0
