"""export.js: what a figure takes along when it leaves the page."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

pytestmark = pytest.mark.browser


def test_settings_of_a_figure_are_those_of_its_questions_and_its_options(scripted: Callable[..., Page]) -> None:
    page = scripted()
    ref = {
        "view": "neurons/histogram",
        "options": {"channel": 2},
        "questions": [
            {"operation": "NeuronVector", "params": {"layer": 3, "model": {"source": "default"}}, "key": ""},
            {"operation": "FindChannels", "params": {"layer": 3, "model": {"source": "gpt2"}, "seed": 1}, "key": "k"},
        ],
    }
    flat = page.evaluate("ref => dash_clientside.attune.settingsOf(ref)", ref)
    assert flat == {
        "view": "neurons/histogram",
        "channel": 2,
        "layer": 3,
        "model": {"source": "default"},
        "FindChannels.model": {"source": "gpt2"},
        "seed": 1,
    }
    assert page.evaluate("[null, { a: 1 }].map(dash_clientside.attune.settingsOf)") == [{}, {"a": 1}]
