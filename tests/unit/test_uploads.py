"""Files on their way: so many at once, so many bytes in a day, each person alone."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from analysis.errors import UserError
from pages.frame.uploads import AT_ONCE, DAY, Uploads


def test_so_many_at_once_and_the_owner_as_many_as_there_are() -> None:
    uploads = Uploads()
    with ExitStack() as on_their_way:
        for _ in range(AT_ONCE):
            on_their_way.enter_context(uploads.one("a", 10))
        with pytest.raises(UserError, match="on their way"), uploads.one("a", 10):
            pass
        for who in ("b", *[""] * 5):
            on_their_way.enter_context(uploads.one(who, 10))
    with uploads.one("a", 10):
        pass
    with pytest.raises(ValueError, match="inside"), uploads.one("a", 10):
        raise ValueError("inside")
    assert not uploads._now, "nobody has one on its way"


def test_so_many_bytes_in_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTUNE_EACH", "1")
    now = [0.0]
    uploads = Uploads(lambda: now[0])
    with uploads.one("a", 600_000_000):
        pass
    with pytest.raises(UserError, match=r"sent 0\.60 GB.*this one of 0\.50 GB.*1 GB"), uploads.one("a", 500_000_000):
        pass
    for who, size in (("a", 400_000_000), ("b", 900_000_000), ("", 10**12)):
        with uploads.one(who, size):
            pass
    now[0] = DAY + 1
    with uploads.one("a", 900_000_000):
        pass
