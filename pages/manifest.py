"""What a page declares of itself, once: all that the frame, the registry and the tests need to know of it.

A page is a package with a module ``page`` that holds ``MANIFEST``. This module knows no page, so that each page can
import it; the registry (pages/registry.py) finds the manifests, and no page imports that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dash import Dash

from analysis.models.capabilities import Need
from analysis.models.spec import ModelSpec
from analysis.view_ref import ViewRef


@dataclass(frozen=True)
class Picture:
    """A small picture of a page for the home page, and a few words on what it shows. ``own_model``: the name of the
    page's own model, where the picture is not of the one in use."""

    ref: ViewRef
    text: str
    own_model: str = ""


@dataclass(frozen=True)
class PageManifest:
    """A page: ``name`` in the navigation and in the title, ``path`` without a prefix, place in the ``order`` of pages,
    and ``layout``, which takes the query of an address as keywords.

    ``needs``: what it needs of a model; None for a page that the Model page does not speak of. ``state``: the dataclass
    of its state, None for a page without one; then ``address`` names the entries of the address in the order of the
    inputs of the address callback, ``read_address`` makes a state of a query, and ``tabs`` are the values of ``tab``.
    ``routes``: registers what the page's scripts ask for beside Dash's callbacks.

    ``question``: what the page answers, in one sentence, and ``picture``: a view of it that is cheap to draw with a
    model (it may ask, and raises as the client does; None: there is none), both for the home page. ``navigation``:
    whether the header leads to the page. ``prepare``: what the page says while nothing that it needs is made for the
    model in use, one sentence; then a card above it offers to make it (pages/frame/prepare.py). "": it needs nothing.
    ``own_stage``: it has keys and a way of presenting of its own, so that it is never on the Stage.
    """

    name: str
    path: str
    order: int
    layout: Callable[..., Any]
    needs: Need | None = None
    state: type | None = None
    address: Sequence[str] = ()
    read_address: Callable[[dict[str, Any]], Any] | None = None
    tabs: tuple[str, ...] = ()
    routes: Callable[[Dash], None] | None = None
    question: str = ""
    picture: Callable[[ModelSpec], Picture] | None = None
    navigation: bool = True
    prepare: str = ""
    own_stage: bool = False

    @property
    def title(self) -> str:
        """The title of the browser's window."""
        return f"{self.name} · Attune"
