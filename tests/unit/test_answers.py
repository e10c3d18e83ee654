"""Answers over the wire, fields that check themselves, views that draw again, cards that know what they show."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.answer import Absent, Key, extended, from_wire, plain_of, to_wire
from analysis.engine import keys
from analysis.engine.client import Client, Reply
from analysis.engine.context import Context
from analysis.engine.operation import REGISTRY, Operation
from analysis.engine.question import Kind, Result
from analysis.engine.store import ResultStore
from analysis.errors import UserError
from analysis.fields import Choice, Flag, Real, Text, Whole, check_fields, fields_of
from analysis.view_ref import QuestionRef, ViewRef
from components.kit.figure import figure
from components.kit.view import VIEWS, Drawing, view


@dataclass(frozen=True)
class Leaf:
    name: str
    values: np.ndarray
    more: np.ndarray | None = None


@dataclass(frozen=True)
class Tree:
    origin: Annotated[str, Key("from")]
    leaves: tuple[Leaf, ...]
    by_name: dict[str, Leaf]
    layers: dict[str, np.ndarray]
    pair: tuple[int, float]
    inner: Tree | None = None
    hint: Annotated[str | None, Absent()] = None
    rest: tuple[str, ...] = ()


def a_tree(inner: Tree | None = None) -> Tree:
    leaf = Leaf("a", np.arange(3.0), np.eye(2))
    return Tree("x", (leaf, Leaf("b", np.zeros(0))), {"k.l": leaf}, {"3": np.ones(2)}, (1, 0.5), inner, None, ("r",))


def same(a: Any, b: Any) -> bool:
    data, arrays = zip(to_wire(a), to_wire(b), strict=True)
    return (
        data[0] == data[1]
        and arrays[0].keys() == arrays[1].keys()
        and all(np.array_equal(v, arrays[1][k]) for k, v in arrays[0].items())
    )


def test_answers_come_back_as_they_went() -> None:
    tree = a_tree(a_tree())
    data, arrays = to_wire(tree)
    assert data["from"] == "x" and "origin" not in data and "hint" not in data and data["rest"] == ["r"]
    assert "leaves.0.values" in arrays and "by_name.k.l.more" in arrays and "inner.layers.3" in arrays
    again = from_wire(Tree, json.loads(json.dumps(data)), arrays)
    assert same(tree, again)
    assert isinstance(again.leaves[0], Leaf) and again.leaves[1].more is None and again.rest == ("r",)
    assert isinstance(again.inner, Tree) and list(again.inner.layers) == ["3"] and again.hint is None


@pytest.mark.parametrize("change", [{"extra": 1}, {"from": None, "pair": None}, {}])
def test_what_is_no_such_answer_is_refused(change: dict[str, Any]) -> None:
    data, arrays = to_wire(a_tree())
    if not change:
        arrays.pop("leaves.0.values")
    for name, value in change.items():
        data.pop(name, None)
        if value is not None:
            data[name] = value
    with pytest.raises(TypeError, match=r"has no field for 'extra'|lacks"):
        from_wire(Tree, data, arrays)


@dataclass(frozen=True)
class Settings:
    count: Annotated[int, Whole(1, 12, words="The count")] = 3
    share: Annotated[float, Real(0, 1, words="The share")] = 0.5
    kind: Annotated[str, Choice(("a", "b"), words="The kind")] = "a"
    on: Annotated[bool, Flag(words="The switch")] = False
    text: Annotated[str, Text(20, words="The text")] = ""
    head: Annotated[int, Whole(0, 9, words="The head")] | None = None


@dataclass(frozen=True)
class Box:
    rows: tuple[Leaf | Settings, ...]


def test_one_of_several_classes_is_told_by_its_fields() -> None:
    box = Box((Leaf("a", np.ones(1)), Settings(4)))
    data, arrays = to_wire(box)
    again = from_wire(Box, json.loads(json.dumps(data)), arrays)
    assert [type(row) for row in again.rows] == [Leaf, Settings] and again.rows[1] == box.rows[1]
    with pytest.raises(TypeError, match="are the fields of none of Leaf, Settings"):
        from_wire(Box, {"rows": [{"other": 1}]}, {})


def test_progress_has_no_place_for_arrays() -> None:
    assert plain_of([Leaf("a", np.zeros(0))][:0]) == []
    with pytest.raises(ValueError, match="values"):
        plain_of(Leaf("a", np.zeros(2)))


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Settings)])
def test_every_field_refuses_what_it_must_and_reads_what_it_wrote(name: str) -> None:
    field, optional = fields_of(Settings)[name]
    assert optional == (name == "head")
    for value in field.wrong():
        if value is None and optional:
            continue
        with pytest.raises(UserError) as refused:
            check_fields(dataclasses.replace(Settings(), **{name: value}))
        assert refused.value.field == name and field.words in refused.value.message
    default = getattr(Settings(), name)
    if default is not None:
        written = str(default).lower() if isinstance(default, bool) else str(default)
        assert field.read(written) == default
        assert field.rule()


@given(st.from_type(Annotated[int, Whole(1, 12)]), st.from_type(Annotated[float, Real(0, 1)]))
def test_values_that_hypothesis_draws_from_a_field_are_taken(count: int, share: float) -> None:
    check_fields(Settings(count, share))


@pytest.fixture
def question() -> Any:
    """A small operation with a typed answer, and its view; gone afterwards."""

    @dataclass(frozen=True)
    class CountLeaves(Operation[Leaf]):
        n: Annotated[int, Whole(1, 9, words="The number")] = 2

        def run(self, context: Context) -> Leaf:
            return Leaf("count", np.arange(float(self.n)))

    @dataclass(frozen=True)
    class Colour:
        colour: str = "red"

    @view("tests/leaf", Leaf, options=Colour)
    def leaf_view(leaf: Leaf, options: Colour, theme: str) -> Drawing:
        return Drawing(figure([{"y": leaf.values, "marker": {"color": options.colour}}], theme), leaf.name)

    yield CountLeaves, leaf_view, Colour
    del REGISTRY["CountLeaves"], VIEWS["tests/leaf"]


def test_an_operation_declares_its_answer_and_checks_its_fields(question: Any) -> None:
    kind = question[0]
    assert kind.answer is Leaf and kind.answer_from(Context().perform(kind(3))).values.tolist() == [0, 1, 2]
    with pytest.raises(UserError, match="The number must be a whole number from 1 to 9, not 10") as refused:
        kind(10)
    assert refused.value.operation == "CountLeaves"
    with pytest.raises(UserError, match="does not know"):
        kind.from_params({"m": 1})


def test_a_view_draws_again_from_its_json(question: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from pages import cards, common

    kind, leaf_view, colour = question
    client = Client()
    asked: list[str] = []

    def ask(operation: Operation[Any], **_: Any) -> Result:
        asked.append(type(operation).__name__)
        return Context().perform(operation)

    monkeypatch.setattr(client, "ask", ask)
    monkeypatch.setattr(common, "client", lambda: client)
    reply, panel = common.ask_for(lambda: kind(4))
    assert panel is None and reply is not None and isinstance(reply, Reply) and reply.answer.name == "count"
    shown = cards.content(leaf_view, reply, options=colour("blue"), theme="light")
    ref = ViewRef.from_dict(json.loads(json.dumps(shown["ref"])))
    again = cards.render(ref, "light")
    assert json.dumps(again.figure, default=np.ndarray.tolist) == json.dumps(shown["figure"], default=np.ndarray.tolist)
    assert again.caption == shown["caption"] == "count" and asked == ["CountLeaves"], "the recent answer is used"
    assert cards.draw_again("dark", shown["ref"])["layout"]["template"] != shown["figure"]["layout"]["template"]
    with pytest.raises(UserError, match="no view called"):
        cards.render(ViewRef("nowhere", ref.questions), "light")
    with pytest.raises(UserError, match="has no option 'size'"):
        cards.render(dataclasses.replace(ref, options={"size": 3}), "light")
    with pytest.raises(UserError, match="There is no operation"):
        cards.render(dataclasses.replace(ref, questions=(QuestionRef("Gone", {}),)), "light")
    with pytest.raises(UserError, match="draws 1 answers, not 2"):
        cards.render(dataclasses.replace(ref, questions=ref.questions * 2), "light")
    with pytest.raises(TypeError):
        leaf_view.ref([])


def test_an_answer_that_was_kept_in_another_form_is_to_be_made_again(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class KeptLeaf(Operation[Leaf]):
        kind: ClassVar[Kind] = "job"

        def run(self, context: Context) -> Leaf:
            raise AssertionError("a job is not run again unasked")

    try:
        client, key = Client(), "ab" * 32
        client.store = ResultStore(tmp_path)
        client.store.put(key, Result({"bark": "of an older version"}), {})
        for name in ("", key, "cd" * 32, "../jobs"):
            with pytest.raises(UserError, match="is not kept any more"):
                client.reply(QuestionRef("KeptLeaf", {}, name))
    finally:
        del REGISTRY["KeptLeaf"]


@pytest.mark.parametrize(
    "data",
    [
        None,
        3,
        {},
        {"view": 1},
        {"view": "a", "questions": 3},
        {"view": "a", "options": [1]},
        {"view": "a", "questions": [3]},
        {"view": "a", "questions": [{"operation": "A", "params": 1}]},
    ],
)
def test_what_is_no_view_is_refused(data: Any) -> None:
    with pytest.raises(UserError, match="This is no"):
        ViewRef.from_dict(data)


def test_an_answer_is_extended() -> None:
    @dataclass(frozen=True)
    class Grown(Leaf):
        age: int = 0

    assert extended(Grown, Leaf("a", np.zeros(1)), age=3).age == 3


def test_code_of_one_method_does_not_count_for_another() -> None:
    rooms = keys.rooms_of("qk")
    assert {"qk", "models"} <= rooms and not rooms & {"mfa", "othello", "tpr", "engine", "catalogue"}
    assert {"mfa", "qk", "rotate", "snmf"} <= keys.rooms_of("token_card")
    assert keys.code_version("analysis.qk.ops.prompt") != keys.code_version("analysis.mfa.ops.fit")
    assert keys.code_version("somewhere.else") == keys.code_version("another.place")
    assert len(keys.all_rooms()) > 20
