"""Every state that a page can be in survives its address; what no page can be in is said, and left out."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import UserError
from analysis.fields import Choice, Flag, Real, Whole, fields_of
from pages import state as codec
from pages.registry import pages
from pages.state import At, Entry, Model, Parsed, Prompt


def pair(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(v) is int for v in value):
        raise UserError("A pair is two whole numbers.")
    return tuple(value)


@dataclasses.dataclass(frozen=True)
class Small:
    model: Annotated[dict[str, Any] | None, Model()] = None
    layer: Annotated[int, Whole(0, 99)] | None = None
    weight: Annotated[float, Real(0, 2), At("lk")] = 0.3
    tab: Annotated[str, Choice(("a", "b"))] = "a"
    chat: Annotated[bool, Flag()] = False
    text: Annotated[str, Prompt()] = "start"
    pair: Annotated[tuple[int, ...], Parsed(pair, survive=((1, 2), ()))] = ()
    problems: tuple[str, ...] = ()


STATES = [Small, *(p.state for p in pages() if p.state is not None and codec.names_of(p.state))]


def value_of(field: Any, default: Any) -> st.SearchStrategy[Any]:
    if isinstance(field, Entry):
        return st.sampled_from([*field.examples(), default])
    if isinstance(field, Choice):
        return st.sampled_from(field.options)
    if isinstance(field, Flag):
        return st.booleans()
    if isinstance(field, Whole):
        return st.integers(field.low, field.high)
    if isinstance(field, Real):
        return st.floats(field.low, field.high)
    return st.text(min_size=1, max_size=10)


@pytest.mark.parametrize("kind", STATES, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_state_survives_its_address(kind: type, data: st.DataObject) -> None:
    drawn = {}
    for field in dataclasses.fields(kind):
        if field.name in fields_of(kind):
            default = field.default if field.default is not dataclasses.MISSING else field.default_factory()  # type: ignore[misc]
            drawn[field.name] = data.draw(value_of(fields_of(kind)[field.name][0], default))
    state = kind(**drawn)
    query = codec.write(state)
    assert all(isinstance(v, str) for v in query.values()) and set(query) <= set(codec.names_of(kind))
    again = codec.read(kind, query)
    for name, value in drawn.items():
        if value not in (None, "", False) and value != () and value != []:  # what is empty is left out: the default
            assert getattr(again, name) == value, name
    assert again.problems == ()


@pytest.mark.parametrize("kind", STATES, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
@pytest.mark.parametrize(
    "text", ["{", "-7", "[[[", "<b>", "1e999", "\x00", "x" * 5_000, "null", "true", "@" + "0" * 64]
)
def test_an_odd_entry_costs_only_itself(kind: type, text: str) -> None:
    for name in codec.names_of(kind):
        state = codec.read(kind, {name: text})
        assert state == dataclasses.replace(codec.read(kind, {}), **_changed(state, kind), problems=state.problems)
        assert len(_changed(state, kind)) <= 1 and all(isinstance(p, str) and p for p in state.problems)


def _changed(state: Any, kind: type) -> dict[str, Any]:
    usual = codec.read(kind, {})
    names = [f.name for f in dataclasses.fields(kind) if f.name != "problems"]
    return {n: getattr(state, n) for n in names if getattr(state, n) != getattr(usual, n)}


def test_what_cannot_be_used_is_said_with_what_can() -> None:
    state = codec.read(Small, {"lk": "7", "layer": "x", "tab": "c", "pair": '"a"', "chat": "maybe", "other": "1"})
    assert state.weight == 0.3 and state.layer is None and state.tab == "a" and len(state.problems) == 5
    assert "The address gives lk as '7'; it must be a number from 0 to 2. The usual value" in " ".join(state.problems)
    assert codec.names_of(Small) == ["model", "layer", "lk", "tab", "chat", "text", "pair"]
    assert json.loads(codec.write(dataclasses.replace(Small(), pair=(1, 2)))["pair"]) == [1, 2]
