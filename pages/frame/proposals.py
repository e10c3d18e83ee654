"""Forms that follow the model in use: its facts, for the callbacks that put proposals into the controls of a form."""

from __future__ import annotations

from analysis.engine.loading import DescribeModel
from analysis.models.model_facts import ModelFacts
from components.kit.types import Json
from pages.common import ask_for, spec_of


def facts_of(model: Json, session: str, widget: str) -> ModelFacts | None:
    """The facts of the model in use; None where it cannot be loaded, which the page says elsewhere. ``widget``: as for
    :func:`pages.common.ask_for`."""
    reply, _ = ask_for(lambda: DescribeModel(spec_of(model)), session, widget)
    return None if reply is None else reply.answer.facts
