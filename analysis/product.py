"""What a method can make for a model so that its page has something to show: products, their levels and costs.

A method declares its own in ``analysis/<method>/prepare.py`` as ``PRODUCTS``; :mod:`analysis.prepare` plans and makes
them. The types lie below the methods and apart from that folder, which knows all methods: else the content key of one
method's answers would depend on the code of all others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from analysis.engine.operation import Operation
from analysis.models.model_facts import ModelFacts
from analysis.models.sites import Site
from analysis.models.spec import ModelSpec


@dataclass(frozen=True)
class Rate:
    """How fast this machine is with this model, measured, and what room it has.

    ``seconds_per_token``: a token read by the whole model, in batches. ``flops``: floating-point operations per second
    of a float32 product on the model's device. ``memory`` and ``disk``: free bytes. ``measured``: when, in seconds
    since 1970; ``others``: the share of the processors in [0, 1] that other programs took meanwhile.
    """

    seconds_per_token: float
    flops: float
    memory: int
    disk: int
    measured: float = 0.0
    others: float = 0.0


@dataclass(frozen=True)
class Cost:
    """What making a level takes, as predicted: seconds, and bytes of memory and of disk."""

    seconds: float
    memory: int = 0
    disk: int = 0


@dataclass(frozen=True)
class Level:
    """One way to make a product. ``operation``: a job that writes to the method's shelf. ``quality``: one sentence on
    what it is good for and what it cannot tell. ``reads``: activations of the bundled texts that it needs, by site, so
    that one pass over the texts can serve several products."""

    name: str
    operation: Operation[Any]
    cost: Cost
    quality: str
    reads: Mapping[Site, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Product:
    """Something that a page needs for a model.

    ``page``: path of the page. ``name``: a noun phrase, such as "the null of the neurons". ``shows``: what the page
    shows once it is there, one sentence. ``levels``: from quick to best, each complete in itself; cheap, since it is
    asked at each look, and raises UserError where this model cannot have the product. ``present``: how many of those
    levels the shelf covers for the model's weights (0: nothing is there); cheap, and without the model.
    """

    page: str
    name: str
    shows: str
    levels: Callable[[ModelSpec, ModelFacts, Rate], tuple[Level, ...]]
    present: Callable[[ModelFacts, tuple[Level, ...]], int]
