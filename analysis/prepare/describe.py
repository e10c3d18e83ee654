"""What a page says before anything is made: per product where it stands, per budget what it gives and leaves out."""

from __future__ import annotations

import time
from collections.abc import Sequence

from analysis.activations.room import amount
from analysis.engine.context import Context
from analysis.models.model_facts import ModelFacts
from analysis.models.spec import ModelSpec
from analysis.prepare.answers import Budget, LevelFacts, PageFacts, Preparation, ProductFacts
from analysis.prepare.plan import Plan, plan
from analysis.prepare.products import NEEDLESS, PAGES, State, states
from analysis.product import Rate
from analysis.spoken import duration, listed

BUDGETS = (("10 minutes", 600.0), ("an hour", 3_600.0), ("overnight", 8 * 3_600.0))
NOTABLE = 0.2
"""Share of the processors that other programs take from which on it is said beside a prediction."""
SLACK = 1.1
"""By how much a budget for one part is longer than what is predicted for it, since a run predicts anew."""


def preparation(context: Context, spec: ModelSpec, since: float = 0.0) -> Preparation:
    """Where all pages stand for a model, which is loaded if it is not; its speed is measured again unless that was done
    at or after ``since``, in seconds since 1970."""
    found, rate = states(context, spec, since=since)
    facts = context.model(spec).facts
    pages = tuple(_page(page, [s for s in found if s.product.page == page], rate) for page in PAGES)
    return Preparation(pages, _budgets(found, rate), float(rate.memory), float(rate.disk), machine(facts, rate))


def machine(facts: ModelFacts, rate: Rate) -> str:
    """What predictions start from: how fast, when that was measured and beside which load, and what room there is."""
    speed = f"{1 / rate.seconds_per_token:,.0f} tokens per second"
    at = f" at {time.strftime('%H:%M', time.localtime(rate.measured))}" if rate.measured else ""
    busy = ""
    if rate.others >= NOTABLE:
        busy = (
            f" Other programs took {100 * rate.others:.0f} % of the processors meanwhile: without them it takes less "
            "time than is said here."
        )
    return (
        f"Predicted from a measurement on this machine ({facts.device}){at}: {speed}.{busy} {amount(rate.memory)} of "
        f"memory and {amount(rate.disk)} of disk are free."
    )


def _page(page: str, found: Sequence[State], rate: Rate) -> PageFacts:
    if page in NEEDLESS:
        return PageFacts(page, True, (), (), NEEDLESS[page])
    products = tuple(_product(state) for state in found)
    sentence = " ".join(product.sentence for product in products)
    return PageFacts(page, any(state.present for state in found), products, _budgets(found, rate), sentence)


def _product(state: State) -> ProductFacts:
    levels = tuple(
        LevelFacts(level.name, level.cost.seconds, int(level.cost.memory), int(level.cost.disk), level.quality)
        for level in state.levels
    )
    product = state.product
    return ProductFacts(product.page, product.name, product.shows, levels, state.present, state.refusal, stand(state))


def stand(state: State) -> str:
    """Where a product stands, in a sentence."""
    name = state.product.name[:1].upper() + state.product.name[1:]
    if state.refusal:
        return f"{name}: cannot be made here. {state.refusal}"
    if not state.present:
        return f"{name}: nothing yet; the first result takes about {duration(state.levels[0].cost.seconds)}."
    here = state.levels[state.present - 1]
    better = "" if state.present == len(state.levels) else " Better ones can be made."
    return f"{name}: {here.name}. {here.quality}{better}"


def _budgets(found: Sequence[State], rate: Rate) -> tuple[Budget, ...]:
    """What each budget gives, from small to large, without those in which nothing is made and those that give no more
    than a smaller one. Where nothing fits even into the longest, one that is as long as the cheapest part; none where
    nothing can be made."""
    wants = [state.want for state in found]
    best = plan(wants, float("inf"))
    if not best.steps:
        return ()
    rows: list[Budget] = []
    least = min(step.seconds for step in best.steps) * SLACK
    for name, seconds in (*BUDGETS, *([(duration(least), least)] if least > BUDGETS[-1][1] else [])):
        made = plan(wants, seconds)
        if made.steps:
            rows.append(budget(name, seconds, found, made, enough=made.ends == best.ends))
        if made.ends == best.ends:
            break
    return tuple(rows)


def budget(name: str, seconds: float, found: Sequence[State], made: Plan, enough: bool) -> Budget:
    """A plan in words."""
    levels = [found[step.want].levels[step.level] for step in made.steps]
    parts = tuple(
        f"{found[step.want].product.name} ({level.name})" for step, level in zip(made.steps, levels, strict=True)
    )
    memory = int(max((level.cost.memory for level in levels), default=0))
    disk = int(sum(level.cost.disk for level in levels))
    return Budget(name, seconds, made.seconds, memory, disk, parts, _quality(found, made, enough), enough)


def _quality(found: Sequence[State], made: Plan, enough: bool) -> str:
    """What a plan leaves lower than it could be."""
    sentences = []
    low = [
        f"{state.product.name} ({state.levels[end - 1].name})"
        for state, end in zip(found, made.ends, strict=True)
        if 0 < end < len(state.levels)
    ]
    if low:
        sentences.append(f"More time would better {listed(low)}.")
    for n in made.left_out:
        state = found[n]
        sentences.append(
            f"Left out: {state.product.name}, which takes about {duration(state.levels[0].cost.seconds)} at least."
        )
    return " ".join(sentences) or ("Everything at its best level." if enough else "")
