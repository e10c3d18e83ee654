"""What is refused is marked where it was typed, and an emptied number is refused as empty."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from typing import Any

import pytest

from analysis.engine.operation import REGISTRY, Operation
from analysis.errors import UserError
from analysis.fields import Whole
from analysis.mfa.ops.fit import FitRegions
from analysis.models.spec import ModelSpec
from analysis.qk.contrasts import CONTRAST_KINDS
from analysis.qk.contrasts.spec import ContrastSpec
from analysis.snmf.ops.factorization import FitFactorization
from pages import common
from pages.attention.features import contrast_of
from pages.attention.state import rank_of
from pages.common import ask_for, refusal
from pages.controls import CONTROLS, control_of, option_control
from pages.mlp_features.fitting import job_of
from tests.unit.test_operations import NAMES, example_of

PLACES = {"UserError": 1, "whole": 3, "number": 3, "choice": 2, "empty_number": 2}
"""Which argument of these names the field."""


def refused_fields(cls: type[Operation]) -> set[str]:
    """The fields of an operation, and whatever else it names as one in its own code."""
    names = {f.name for f in dataclasses.fields(cls)}
    for base in cls.__mro__:
        if base is Operation or not issubclass(base, Operation):
            continue
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(base)))):
            place = PLACES.get(getattr(node.func, "id", ""), 99) if isinstance(node, ast.Call) else 99
            if isinstance(node, ast.Call) and len(node.args) > place and isinstance(node.args[place], ast.Constant):
                names.add(str(node.args[place].value))
    return names


@pytest.mark.parametrize("name", NAMES)
def test_every_field_of_an_operation_has_a_control_or_is_said_to_have_none(name: str) -> None:
    assert refused_fields(REGISTRY[name]) - set(CONTROLS[name]) == set()


LISTS = ("swap-a", "swap-b", "reference-token", "mlp-pole")
"""Controls that offer a list, and cannot be emptied."""


def numbers() -> list[tuple[str, str]]:
    """Operation and field of every number that stands in a form."""
    found = []
    for name in NAMES:
        example = example_of(name)
        for field in dataclasses.fields(example):
            value = getattr(example, field.name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            typed = CONTROLS[name][field.name] not in (None, *LISTS)
            if number and typed and field.name != "rank":  # which the page reads itself: see below
                found.append((name, field.name))
    return found


@pytest.mark.parametrize(("name", "field"), numbers())
@pytest.mark.parametrize("nothing", [None, ""])
def test_an_emptied_number_is_refused_as_empty(name: str, field: str, nothing: Any) -> None:
    with pytest.raises(UserError, match=r" is empty\. Type a") as caught:
        dataclasses.replace(example_of(name), **{field: nothing})
    control = control_of(caught.value.operation, caught.value.field)
    assert control is not None and control == control_of(name, field)


def test_there_are_numbers_to_look_at() -> None:
    assert len(numbers()) > 50


@pytest.mark.parametrize(
    ("examples", "seed", "field"), [(None, 0, "n_examples"), ("", 0, "n_examples"), (64, None, "seed")]
)
def test_emptied_numbers_of_a_contrast_take_no_default(examples: Any, seed: Any, field: str) -> None:
    with pytest.raises(UserError, match="is empty") as caught:
        contrast_of("induction", examples, seed, [], [])
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("kind", "option"),
    [(k, o.name) for k, v in CONTRAST_KINDS.items() for o in v.options if isinstance(o.field, Whole)],
)
def test_emptied_options_of_a_contrast_are_refused_as_empty(kind: str, option: str) -> None:
    with pytest.raises(UserError, match="is empty") as caught:
        ContrastSpec(kind, 64, 0, {option: None})  # type: ignore[dict-item]
    assert control_of("PreviewContrast", caught.value.field) == option_control(option)


def test_an_emptied_rank_is_not_the_rule_s() -> None:
    assert rank_of(None, False) == -1 and rank_of(3, True) == 3
    with pytest.raises(UserError, match="rank is empty"):
        rank_of(None, True)


def marked(panel: Any) -> str:
    return str(panel.to_plotly_json()["props"].get("data-refuses", ""))


def test_a_refusal_marks_the_control_that_it_is_about(monkeypatch: pytest.MonkeyPatch) -> None:
    result, panel = ask_for(lambda: FitRegions(tokens=None))  # type: ignore[arg-type]
    assert result is None and marked(panel) == "fit-tokens" and "is empty" in str(panel)

    class Worker:
        """Refuses after the operation was made, as the worker does."""

        def ask(self, *_: Any, **__: Any) -> Any:
            raise UserError("This model has blocks 0 to 3.", "layer")

    monkeypatch.setattr(common, "client", Worker)
    assert marked(ask_for(lambda: FitRegions(layer=7))[1]) == "fit-layer"
    # A form that reads a text itself says for which operation.
    form = (1, "mlp_hidden", 4, 0.1, "kmeans", 20, 600, 0, "50, many", "")
    assert marked(ask_for(lambda: job_of(None, form), of=FitFactorization)[1]) == "mlp-new-levels"
    # What no control holds is said all the same.
    assert "data-refuses" not in refusal(UserError("No such model.", "model"), FitRegions).to_plotly_json()["props"]
    assert "data-refuses" not in refusal(UserError("Something else.")).to_plotly_json()["props"]


def test_a_refusal_from_inside_of_another_operation_names_the_outer_one() -> None:
    with pytest.raises(UserError) as caught:
        REGISTRY["AblateChannel"](ModelSpec("default"), seed=None)  # type: ignore[call-arg]
    assert caught.value.operation == "AblateChannel" and caught.value.field == "seed"
