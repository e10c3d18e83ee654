"""A view drawn from answers, and once more from answers and a ref that went through JSON."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict
from typing import Any

from analysis.answer import from_wire, to_wire
from analysis.view_ref import QuestionRef, ViewRef
from components.kit.part import part_to_dict
from components.kit.view import Drawing, View, view_called


def drawn_again(view: View[Any], *answers: Any, options: Any = None) -> Drawing:
    """The drawing, once the second one is seen to say the same, and all that it says to be plain data."""
    ref = view.ref([QuestionRef("Asked", {})] * len(answers), options)
    again = ViewRef.from_dict(json.loads(json.dumps(ref.to_dict())))
    travelled = []
    for answer in answers:
        data, arrays = to_wire(answer)
        travelled.append(from_wire(type(answer), json.loads(json.dumps(data)), arrays))
    first = view.draw(*answers, view.options() if options is None else options, "light")
    second = view_called(again.view).draw(*travelled, view.options_from(again.options), "dark")
    assert plain(first) == plain(second)
    assert not re.search(r"\b(click|press|point at)\b", first.caption, re.IGNORECASE), "a pin answers no click"
    numbers = [*first.numbers.values(), *([] if first.control is None else first.control.numbers.values())]
    assert all(type(value) is float and math.isfinite(value) for value in numbers), numbers
    return first


def kind(drawing: Drawing, of: type[Any]) -> list[Any]:
    """The parts of a drawing that are of a kind."""
    return [part for part in drawing.parts if isinstance(part, of)]


def plain(drawing: Drawing) -> Any:
    """Parts, control, numbers and caption as JSON has them. NaN is none of JSON."""
    control = None if drawing.control is None else asdict(drawing.control)
    parts = [part_to_dict(part) for part in drawing.parts]
    said = [parts, control, drawing.numbers, drawing.caption, drawing.facts]
    return json.loads(json.dumps(said, allow_nan=False))
