"""frame/store.js: what each listener of Dash's store is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

pytestmark = pytest.mark.browser

# A store as Redux makes it: every listener is told of every action. It is registered as Dash does it.
STORE = """
  let state = { layout: 0, layoutHashes: 0, loading: 0 };
  const listeners = [], told = [];
  const store = { getState: () => state, subscribe: (f) => { listeners.push(f); return () => listeners.splice(0); } };
  const set = (more) => { state = { ...state, ...more }; listeners.forEach((f) => f()); };
  const stores = window.dash_stores = window.dash_stores || [];
  stores.includes(store) || stores.push(store);
  const leave = store.subscribe(() => told.push({ ...state }));
"""


def test_marks_alone_are_told_once_and_the_rest_at_once(scripted: Callable[..., Page]) -> None:
    page = scripted()
    seen = page.evaluate(
        "async () => {"
        + STORE
        + """
  const at = {};
  set({ layout: 1 }); at.change = told.length;
  listeners.forEach((f) => f()); at.nothing = told.length;
  for (let n = 1; n <= 50; n += 1) set({ layoutHashes: n });
  at.marks = told.length;
  await null; at.after = told.length; at.last = told[told.length - 1].layoutHashes;
  set({ layoutHashes: 51 }); set({ loading: 1 }); at.both = told.length; at.newest = told[told.length - 1];
  await null; at.end = told.length;
  leave(); at.left = listeners.length; at.known = window.dash_stores.includes(store);
  return at; }"""
    )
    assert (seen["change"], seen["nothing"], seen["marks"]) == (1, 1, 1)
    assert (seen["after"], seen["last"]) == (2, 50)
    assert seen["newest"] == {"layout": 1, "layoutHashes": 51, "loading": 1}
    assert (seen["both"], seen["end"], seen["left"], seen["known"]) == (3, 3, 0, True)
