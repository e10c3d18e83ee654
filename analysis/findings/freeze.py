"""A view as it stands, made a pin: answers with their arrays, figure and parts as they were drawn, numbers, stamps.

The web process draws, since nothing here knows a view; what it drew comes as plain data. What leaves nothing to check
later is left out: a figure is no answer, and a finding is checked by its answers.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analysis import __version__
from analysis.answer import to_wire
from analysis.engine.client import Reply
from analysis.engine.operation import rebuild
from analysis.engine.question import Result
from analysis.findings.numbers import pin_numbers
from analysis.findings.pins import PinStore
from analysis.findings.records import Pin, QuestionStamp
from analysis.findings.texts import MAX_TITLE
from analysis.status import Resident
from analysis.view_ref import QuestionRef, ViewRef


def freeze(
    store: PinStore,
    ref: ViewRef,
    replies: Sequence[Reply[Any]],
    *,
    title: str,
    address: str,
    caption: str = "",
    theme: str = "light",
    figure: Mapping[str, Any] | None = None,
    height: int = 0,
    parts: Sequence[Mapping[str, Any]] = (),
    control: Mapping[str, Any] | None = None,
    numbers: Mapping[str, float] | None = None,
    facts: Mapping[str, Any] | None = None,
    window: Mapping[str, Any] | None = None,
    models: Sequence[Mapping[str, Any]] = (),
    stamps: Sequence[QuestionStamp] = (),
) -> Pin:
    """The pin of a view, with its contents kept in the store; the pin itself is put by the caller.

    ``replies``: one to each question of ``ref``, in order. ``figure``: as JSON-able data. ``numbers``: those that the
    view names; those of the answers and of the control ("control.…") come after them. ``stamps``: as
    :class:`analysis.findings.ops.stamps.Stamps` gives them, one of each question.
    """
    answers = tuple(store.put_answer(Result(*to_wire(reply.answer))) for reply in replies)
    drawn = "" if figure is None else store.put_json(plain(figure))
    bound = None if control is None else plain(control)
    return Pin(
        id=uuid.uuid4().hex,
        title=title[:MAX_TITLE],
        ref=ref.to_dict(),
        address=address,
        caption=caption,
        theme=theme,
        made=time.time(),
        answers=answers,
        figure=drawn,
        height=int(height),
        parts=tuple(plain(part) for part in parts),
        control=bound,
        numbers=pin_numbers(numbers or {}, [r.answer for r in replies], (bound or {}).get("numbers") or {}),
        facts=plain(facts or {}),
        window=plain(window or {}),
        models=tuple(plain(model) for model in models),
        stamps=tuple(stamps),
        version=__version__,
    )


def models_of(questions: Sequence[QuestionRef], loaded: Sequence[Resident]) -> tuple[dict[str, Any], ...]:
    """What is known of the models that the questions ask, each once; of one that is not in memory only its
    specification. Raises UserError for a question that this version does not know."""
    asked = [getattr(rebuild(question.operation, question.params), "model", None) for question in questions]
    known = {resident.spec: resident.facts for resident in loaded}
    models = []
    for spec in dict.fromkeys(spec for spec in asked if spec is not None):
        facts = known.get(spec)
        models.append(
            {
                "label": facts.label if facts else spec.label,
                "source": spec.source,
                "revision": (facts.revision if facts else spec.revision) or "",
                "dtype": facts.dtype if facts else spec.dtype,
                "device": facts.device if facts else spec.device,
                "fingerprint": facts.fingerprint if facts else "",
            }
        )
    return tuple(models)


def plain(value: Any) -> Any:
    """As JSON-able data, numbers that are not finite as None. TypeError for what is no data."""
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    raise TypeError(f"a {type(value).__name__} is no plain data")
