"""What the scripts of the Findings page ask: boards, items, numbers, pins beside each other.

Whoever writes says which version he saw; where it is another by now, the answer is the item as it stands
(``{"conflict": item}``), and nothing is written. All posts take JSON only (pages/frame/api.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from dash import Dash
from flask import request

from analysis.errors import UserError
from analysis.findings.prose import numbers_of
from analysis.findings.records import BoardContent, Item
from analysis.findings.store import Conflict, findings
from components.findings.again import followed
from components.findings.board import board_data, content_data, item_data, number_list
from pages.findings import checks, views
from pages.frame.api import answered, body, text_of

MAX_ITEM = 2 << 20
"""Bytes of an item: its three notes at their longest, in the longest way of writing characters as JSON."""
A = TypeVar("A")


def register_routes(app: Dash) -> None:
    """Add the routes to the app's server."""
    rules: list[tuple[str, str, Callable[..., Any]]] = [
        ("GET", "/findings/api/boards", list_boards),
        ("POST", "/findings/api/boards", new_board),
        ("GET", "/findings/api/boards/<board>", show_board),
        ("POST", "/findings/api/boards/<board>/title", name_board),
        ("POST", "/findings/api/boards/<board>/copy", copy_board),
        ("POST", "/findings/api/boards/<board>/drop", drop_board),
        ("POST", "/findings/api/boards/<board>/undo", undo),
        ("POST", "/findings/api/boards/<board>/redo", redo),
        ("POST", "/findings/api/boards/<board>/items", add_item),
        ("POST", "/findings/api/items/<item>/change", change_item),
        ("POST", "/findings/api/items/<item>/move", move_item),
        ("POST", "/findings/api/items/<item>/drop", drop_item),
        ("GET", "/findings/api/items/<item>/numbers", show_numbers),
        ("GET", "/findings/api/pins/<pin>/again", views.show_again),
        ("GET", "/findings/api/compare", views.show_group),
        ("POST", "/findings/api/boards/<board>/check", checks.start_check),
        ("POST", "/findings/api/boards/<board>/stop", checks.stop_check),
        ("GET", "/findings/api/boards/<board>/stale", checks.show_stale),
    ]
    for method, rule, route in rules:
        endpoint = f"findings_{route.__name__}"
        app.server.add_url_rule(rule, endpoint, answered(route), methods=[method])


# ---- boards ----
def list_boards() -> Any:
    """All boards, the newest change first."""
    return {"boards": [board_data(board) for board in findings().boards()]}


def new_board() -> Any:
    """A board of a title; ``kind`` is "board" or "tour"."""
    data = body()
    kind: Any = text_of(data, "kind") or "board"
    return {"board": board_data(findings().new_board(text_of(data, "title", 1_000), kind))}


def show_board(board: str) -> Any:
    """A board with all that stands on it, how far its check is, and the names of all boards; only the latter two where
    nothing has changed since ``stamp``."""
    boards = findings().boards()
    now = next((b for b in boards if b.id == board), None)
    more = {"boards": [board_data(b) for b in boards], "check": checks.progress_of(board)}
    if now is None:
        return {"gone": "This board is not there any more: it was deleted, or belongs to another data folder."} | more
    if request.args.get("stamp", "") == str(now.stamp):
        return more
    return content_data(_content(board)) | more


def name_board(board: str) -> Any:
    """Another title."""
    return {"board": board_data(findings().name_board(board, text_of(body(), "title", 1_000)))}


def copy_board(board: str) -> Any:
    """A board of its own with the same items and pins."""
    data, store = body(), findings()
    content = store.board(board)
    copy = store.new_board(f"{content.board.title[:180]} (copy)", content.board.kind)
    for item in content.items:
        store.add(copy.id, item.kind, item.body, author=author_of(data))
    return {"board": board_data(copy)}


def drop_board(board: str) -> Any:
    """Take a board away, for good."""
    body()
    findings().drop_board(board)
    return {"dropped": board}


def undo(board: str) -> Any:
    """Take back the newest change of the one who asks."""
    return {"text": findings().undo(board, author_of(body()))}


def redo(board: str) -> Any:
    """Do again what was taken back."""
    return {"text": findings().redo(board, author_of(body()))}


# ---- items ----
def add_item(board: str) -> Any:
    """A new item behind another: "" is the first place, none the last."""
    data = body(MAX_ITEM)
    after = data.get("after")
    kind: Any = text_of(data, "kind")
    content: Any = data.get("body") or {}
    item = findings().add(board, kind, content, after if isinstance(after, str) else None,
                          author_of(data))  # fmt: skip
    return {"item": _shown(item)}


def change_item(item: str) -> Any:
    """Another content of an item, or the item as it is now where somebody else has changed it."""
    data = body(MAX_ITEM)
    content: Any = data.get("body") or {}
    return _or_conflict(lambda: _with_stamp(findings().change(item, content, _version(data), author_of(data))))


def move_item(item: str) -> Any:
    """Another place."""
    data = body()
    return {"item": _shown(findings().move(item, text_of(data, "after"), author_of(data)))}


def drop_item(item: str) -> Any:
    """Take an item off its board; undo brings it back."""
    data = body()

    def drop() -> Any:
        findings().drop(item, _version(data), author_of(data))
        return {"dropped": item}

    return _or_conflict(drop)


def show_numbers(item: str) -> Any:
    """The numbers that the texts of an item can name."""
    there = findings().item(item)
    return number_list(numbers_of(_content(there.board), there), request.args.get("words", "")[:200])


def author_of(data: dict[str, Any]) -> str:
    """Who asks: one window of one browser."""
    return text_of(data, "author", 64)


def _version(data: dict[str, Any]) -> int:
    version = data.get("version")
    if not isinstance(version, int):
        raise UserError("This request is not one that the page makes. Reload the page.")
    return version


def _content(board: str) -> BoardContent:
    return followed(findings().board(board), findings())


def _shown(item: Item) -> Any:
    return item_data(item, numbers_of(_content(item.board), item))


def _with_stamp(item: Item) -> Any:
    """An item, and the stamp that its board has by now: whoever knows the one before it has seen all other changes."""
    content = _content(item.board)
    return {"item": item_data(item, numbers_of(content, item)), "stamp": content.board.stamp}


def _or_conflict(write: Callable[[], A]) -> A | dict[str, Any]:
    try:
        return write()
    except Conflict as conflict:
        return {"conflict": _shown(conflict.current)}
