"""What can be prepared for a model, over all methods, and where that stands now.

The only place that knows which methods have products. A method whose page needs none stands here with the sentence that
says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from analysis.activations.room import amount
from analysis.engine.context import Context
from analysis.errors import UserError
from analysis.faithfulness.prepare import PRODUCTS as STUDIES
from analysis.mfa.prepare import PRODUCTS as FITS
from analysis.models.model_facts import ModelFacts
from analysis.models.spec import ModelSpec
from analysis.prepare.plan import Want
from analysis.prepare.rate import rate_of
from analysis.product import Level, Product, Rate
from analysis.rotate.prepare import PRODUCTS as NULLS
from analysis.snmf.prepare import PRODUCTS as FACTORIZATIONS

PRODUCTS: tuple[Product, ...] = (*FITS, *NULLS, *FACTORIZATIONS, *STUDIES)
NEEDLESS = {
    "/attention": "Attention needs nothing made beforehand: a prompt is read when it is typed, and a contrast is "
    "fitted in seconds.",
    "/othello": "Othello has a model of its own, and its probes come with Attune.",
}
"""Pages of methods that need nothing of the model in use, with the sentence that says so."""
PAGES = tuple(dict.fromkeys([*NEEDLESS, *(product.page for product in PRODUCTS)]))


@dataclass(frozen=True)
class State:
    """A product for one model: its levels for which there is room here, how many of them the shelf covers, or why it
    cannot be had."""

    product: Product
    levels: tuple[Level, ...]
    present: int
    refusal: str = ""

    @property
    def want(self) -> Want:
        """As the plan takes it."""
        return Want(self.product.name, tuple(level.cost.seconds for level in self.levels), self.present)


def check_pages(pages: Sequence[str]) -> None:
    """UserError unless each is the path of a page that Prepare knows."""
    for page in pages:
        if page not in PAGES:
            known = ", ".join(path.removeprefix("/") for path in PAGES)
            raise UserError(f"There is nothing to prepare for {page!r}. Pages are: {known}.", "pages")


def states(
    context: Context, spec: ModelSpec, pages: Sequence[str] = (), since: float = 0.0
) -> tuple[tuple[State, ...], Rate]:
    """Every product of some pages (all, if none is named), and the rate by which its costs are predicted, which is
    measured again if it is older than ``since``. The model is loaded if it is not."""
    check_pages(pages)
    loaded = context.model(spec)
    rate = rate_of(loaded, since)
    chosen = [product for product in PRODUCTS if not pages or product.page in pages]
    return tuple(_state(product, spec, loaded.facts, rate) for product in chosen), rate


def _state(product: Product, spec: ModelSpec, facts: ModelFacts, rate: Rate) -> State:
    try:
        levels = product.levels(spec, facts, rate)
    except UserError as error:
        return State(product, (), 0, error.message)
    present = min(product.present(facts, levels), len(levels))
    room = list(takewhile(lambda level: level.cost.memory <= rate.memory and level.cost.disk <= rate.disk, levels))
    if not room and not present:
        cost = levels[0].cost
        return State(
            product,
            (),
            0,
            f"It takes {amount(cost.memory)} of memory and {amount(cost.disk)} of disk; {amount(rate.memory)} and "
            f"{amount(rate.disk)} are free.",
        )
    return State(product, levels[: max(present, len(room))], present)
