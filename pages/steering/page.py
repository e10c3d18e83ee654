"""Layout of the Steering page: sliders, texts and the next token on the first screen; below, how the texts are written,
and in tabs the regions, prices, what a token is made of, controls, fitting, and keeping. The callbacks are in the
modules beside this one."""

from __future__ import annotations

from functools import partial

from dash import dcc, html

from components.kit.files import with_files
from components.kit.panels import user_error
from components.kit.types import Node
from pages.cards import card_callbacks
from pages.manifest import PageManifest
from pages.presses import queue_stores
from pages.state import names_of, read
from pages.steering import alternatives, chat, inside, keep, ladder, samples, sliders, sweep, vectors
from pages.steering.answer import NEXT
from pages.steering.controls import CONTROLS
from pages.steering.fitting import CURVE
from pages.steering.live import fits, how_written, live
from pages.steering.picture import picture
from pages.steering.regions import MAP
from pages.steering.state import PATH, TABS, SteeringState
from pages.steering.tabs import tabs
from pages.steering.tokens import PARTS, SEGMENTS
from pages.steering.writing import PRESENCE, PRICE

# Importing these registers their callbacks; naming them here keeps the import from looking unused.
CALLBACKS = (alternatives, chat, inside, keep, ladder, samples, sliders, sweep, vectors)
card_callbacks(
    MAP,
    NEXT,
    PRICE,
    PRESENCE,
    PARTS,
    SEGMENTS,
    CONTROLS,
    CURVE,
    samples.SAMPLES,
    sweep.SWEEP,
    inside.FROZEN,
    inside.LENS,
)


def layout(**query: str) -> Node:
    """The page as its address describes it."""
    state = read(SteeringState, query)
    return html.Div(
        [
            *_stores(state, fresh="text" not in query),
            with_files(
                "What happens if it is steered here?",
                "fit",
                "fit",
                beside=fits(),
                name=("region-fit", "value"),
            ),
            html.Div([user_error(p) for p in state.problems], id="address-problems"),
            live(state),
            how_written(state),
            tabs(state.tab),
        ],
        className="attune-page attune-steering",
    )


MANIFEST = PageManifest(
    "Steering",
    PATH,
    order=20,
    layout=layout,
    needs="residual stream",
    state=SteeringState,
    address=names_of(SteeringState),
    read_address=partial(read, SteeringState),
    tabs=TABS,
    question="What does the model say when its activations are moved towards a region?",
    picture=picture,
    prepare="No regions of this model have been fitted yet",
)


def _stores(state: SteeringState, fresh: bool) -> list[Node]:
    """``fresh``: whether the address names no prompt."""
    return [
        dcc.Store(id="start-steer", data={"model": state.model, "steer": state.steer, "fresh": fresh}),
        dcc.Store(id="regions"),
        dcc.Store(id="chosen-region"),
        *queue_stores("on-sliders"),
        dcc.Store(id="sliders-drawn"),
        dcc.Store(id="reached"),
        dcc.Store(id="liked"),
        dcc.Store(id="limit"),
        dcc.Store(id="on-sliders", data=None),
        dcc.Store(id="steer"),
        dcc.Store(id="written"),
        dcc.Store(id="written-ref"),
        dcc.Store(id="ask-text"),
        dcc.Store(id="explained"),
        dcc.Store(id="explained-token"),
        dcc.Store(id="new-fit"),
        dcc.Store(id="saved-file"),
        dcc.Store(id="fits-changed", data=0),
        *ladder.stores(),
        *alternatives.stores(),
        *chat.stores(state.talk),
        *samples.stores(),
        *sweep.stores(),
        *inside.stores(),
        html.Div(id="steer-sink", hidden=True),
    ]
