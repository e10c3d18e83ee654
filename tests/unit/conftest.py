"""The app without a server, as the tests of pages have it, imported where it is asked for: most tests need none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from dash import Dash
from flask.testing import FlaskClient

from tests.unit.faithfulness.answers import Held


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dash]:
    """The app over an empty data folder. The pages can be imported once there is one."""
    from app import create_app

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTUNE_HOME", str(tmp_path_factory.mktemp("home")))
        yield create_app()


@pytest.fixture(scope="module")
def client(app: Dash) -> FlaskClient:
    """What asks the app for addresses."""
    return app.server.test_client()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    """Answers that are held ready for what a page asks."""
    return Held(monkeypatch)
