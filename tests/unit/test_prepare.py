"""Prepare: the plan as arithmetic, what a page is told of it, and a run whose parts cost seconds of a clock by hand."""

from __future__ import annotations

import dataclasses
import io
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis import shelf
from analysis.engine.context import Context
from analysis.engine.residents import Residents
from analysis.engine.store import ResultStore
from analysis.errors import Cancelled, UserError
from analysis.home import home
from analysis.models.loaded_model import LoadedModel
from analysis.models.model_facts import ModelFacts
from analysis.models.spec import ModelSpec
from analysis.prepare import products
from analysis.prepare.answers import Budget
from analysis.prepare.command import STOPPED, main, pages_of, parser, seconds_of, spec_of
from analysis.prepare.describe import machine
from analysis.prepare.ops.prepare import DescribePrepare, PrepareModel
from analysis.prepare.plan import Want, plan
from analysis.prepare.products import PAGES, PRODUCTS
from analysis.prepare.rate import rate_of
from analysis.prepare.run import Run
from analysis.product import Cost, Level, Product, Rate
from tests.service.test_steering_operations import SPEC, tiny
from tests.service.things_to_prepare import CLOCK, made, thing

FORTUNES = (Want("a", (30, 100, 900)), Want("b", (10, 60)), Want("c", (200, 400)))


def steps(budget: float, *wants: Want) -> list[tuple[str, int]]:
    of = wants or FORTUNES
    return [(of[step.want].name, step.level) for step in plan(of, budget).steps]


def test_quick_levels_come_first_and_the_cheapest_of_them_before_all() -> None:
    assert steps(5) == []
    assert steps(45) == [("b", 0), ("a", 0)]
    assert steps(245) == [("b", 0), ("a", 0), ("c", 0)]
    assert steps(305) == [("b", 0), ("a", 0), ("c", 0), ("b", 1)]


def test_a_product_is_raised_to_one_level_and_not_through_those_below_it() -> None:
    assert steps(10_000) == [("b", 0), ("a", 0), ("c", 0), ("b", 1), ("c", 1), ("a", 2)]
    assert plan(FORTUNES, 10_000).ends == (3, 2, 2)


def test_what_is_there_is_not_made_again_and_what_does_not_fit_is_named() -> None:
    there = (Want("a", (30, 100, 900), 3), Want("b", (10, 60), 1), Want("c", (200, 400)))
    assert steps(100, *there) == [("b", 1)]
    assert plan(there, 100).left_out == (2,)
    assert steps(10_000, *[dataclasses.replace(want, present=len(want.seconds)) for want in there]) == []
    assert plan([Want("no model can", ())], 100).left_out == ()


def test_a_plan_fits_its_budget_and_makes_no_level_twice() -> None:
    draw = random.Random(0)
    for _ in range(500):
        costs = [[draw.uniform(0.1, 1e4) for _ in range(draw.randint(0, 4))] for _ in range(draw.randint(0, 6))]
        of = [Want("w", tuple(row), draw.randint(0, len(row))) for row in costs]
        budget = draw.uniform(0, 3e4)
        made = plan(of, budget)
        assert made.seconds <= budget * (1 + 1e-9)
        places = [(step.want, step.level) for step in made.steps]
        assert len(set(places)) == len(places)
        for n, want in enumerate(of):
            levels = [level for at, level in places if at == n]
            assert levels == sorted(levels) and all(level >= want.present for level in levels)
            assert made.ends[n] == max([want.present, *(level + 1 for level in levels)])
        first = [step.level == 0 for step in made.steps]
        assert first == sorted(first, reverse=True)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny()


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loaded: LoadedModel) -> Iterator[Context]:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    monkeypatch.setattr(shelf, "DATA", tmp_path / "none")
    residents = Residents(limit=1)
    residents.put(loaded)
    made = Context(residents, ResultStore(tmp_path / "results"))
    CLOCK.now = 0.0
    yield made


@pytest.fixture
def things(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def put(*of: Product) -> None:
        monkeypatch.setattr(products, "PRODUCTS", of)

    return put


def run(context: Context, budget: float, *pages: str) -> Any:
    return Run(context, SPEC, pages, budget, CLOCK).make()


def test_a_run_makes_the_plan_and_a_second_one_nothing(context: Context, things: Callable[..., None]) -> None:
    things(thing("a", 30, 100), thing("b", 10, 60, page="/neurons"))
    told: list[dict[str, Any]] = []
    context.on_progress = told.append
    answer = run(context, 1_000)
    assert made() == "b0 a0 b1 a1"
    assert [(part.name, part.level, part.state, part.seconds) for part in answer.parts] == [
        ("b", "level 0", "made", 10.0),
        ("a", "level 0", "made", 30.0),
        ("b", "level 1", "made", 60.0),
        ("a", "level 1", "made", 100.0),
    ]
    assert [value["part"]["name"] for value in told if value.get("wrote")] == ["b", "a", "b", "a"]
    texts = [value["text"] for value in told]
    assert "part 1 of 4: b, about 3 min left" in texts and "part 4 of 4: a, about 25 s left" in texts
    shares = [value["share"] for value in told]
    assert shares == sorted(shares)
    assert run(context, 1_000).sentence == "Nothing is left to make." and made() == "b0 a0 b1 a1"


def test_a_cancelled_run_keeps_what_is_done_and_the_next_goes_on(context: Context, things: Callable[..., None]) -> None:
    things(thing("a", 30), thing("b", 10), thing("c", 50))

    def stop(value: dict[str, Any]) -> None:
        if value.get("place") == 2 and value.get("step"):
            raise Cancelled

    context.on_progress = stop
    with pytest.raises(Cancelled):
        run(context, 1_000)
    assert made() == "b0"
    context.on_progress = None
    run(context, 1_000)
    assert made() == "b0 a0 c0"


def test_a_part_that_fails_is_told_and_the_others_are_made(context: Context, things: Callable[..., None]) -> None:
    things(thing("a", 10, 20, fault="refusal"), thing("b", 15, fault="bug"), thing("c", 30))
    told: list[dict[str, Any]] = []
    context.on_progress = told.append
    answer = run(context, 1_000)
    assert [(part.name, part.state) for part in answer.parts] == [("a", "failed"), ("b", "failed"), ("c", "made")]
    assert answer.sentence.startswith("Made: c (level 0). Not made: a. It cannot be had. Not made: b. Something failed")
    assert told[-1]["text"] == answer.sentence, "the list of jobs keeps what was not made"


def test_quick_levels_are_made_though_they_take_longer_and_better_ones_are_not(
    context: Context, things: Callable[..., None]
) -> None:
    things(thing("a", 30, 100, truth=3), thing("b", 10, 60, truth=3))
    answer = run(context, 210)
    assert made() == "b0 a0 b1"
    assert "Left out" not in answer.sentence


def test_only_the_pages_that_are_named_are_prepared(context: Context, things: Callable[..., None]) -> None:
    things(thing("a", 30), thing("b", 10, page="/neurons"))
    run(context, 1_000, "/neurons")
    assert made() == "b0"
    with pytest.raises(UserError, match="nothing to prepare for '/nowhere'"):
        PrepareModel(SPEC, ("/nowhere",))


def test_what_is_left_out_is_said_with_its_time(context: Context, things: Callable[..., None]) -> None:
    things(thing("a", 30), thing("b", 7_200))
    assert run(context, 100).sentence == "Made: a (level 0). Left out: b, which takes about 2.0 h."


def test_the_file_of_a_product_that_is_gone_is_made_again(context: Context, things: Callable[..., None]) -> None:
    things(thing("a", 30))
    run(context, 100)
    (home() / "thing-a").unlink()
    run(context, 100)
    assert made() == "a0 a0"


def test_pages_are_told_what_a_budget_gives(context: Context, things: Callable[..., None]) -> None:
    things(thing("a", 30, 2_000), thing("b", 10_000, page="/neurons"))
    answer = DescribePrepare(SPEC).run(context)
    pages = {page.page: page for page in answer.pages}
    assert list(pages) == list(PAGES)
    assert pages["/attention"].ready and not pages["/attention"].budgets
    assert pages["/steering"].sentence == "A: nothing yet; the first result takes about 30 s."

    def short(of: tuple[Budget, ...]) -> list[tuple[str, tuple[str, ...], bool]]:
        return [(budget.name, budget.parts, budget.enough) for budget in of]

    first, better = ("a (level 0)",), ("a (level 0)", "a (level 1)")
    assert short(pages["/steering"].budgets) == [("10 minutes", first, False), ("an hour", better, True)]
    assert short(answer.budgets)[-1] == ("overnight", ("a (level 0)", "b (level 0)", "a (level 1)"), True)
    assert answer.budgets[0].sentence == (
        "More time would better a (level 0). Left out: b, which takes about 2.8 h at least."
    )
    run(context, 1e5)
    done = {page.page: page for page in DescribePrepare(SPEC).run(context).pages}
    assert done["/steering"].ready and not done["/steering"].budgets
    assert done["/steering"].sentence == "A: level 1. Level 1 of a."


def test_a_budget_in_which_nothing_is_made_is_not_offered(context: Context, things: Callable[..., None]) -> None:
    things(thing("a", 2_000, 40_000), thing("b", 30_000, page="/neurons"), thing("c", 50, page="/mlp-features"))
    answer = DescribePrepare(SPEC).run(context)
    pages = {page.page: [(budget.name, budget.parts) for budget in page.budgets] for page in answer.pages}
    assert pages["/steering"] == [("an hour", ("a (level 0)",)), ("overnight", ("a (level 0)",))]
    assert pages["/neurons"] == [("9.2 h", ("b (level 0)",))], "as long as the part takes, and a little more"
    assert [budget.name for budget in answer.budgets] == ["10 minutes", "an hour", "overnight"]
    (only,) = next(page for page in answer.pages if page.page == "/neurons").budgets
    assert only.seconds > 30_000 and run(context, only.seconds, "/neurons").parts


def test_the_speed_is_measured_again_when_asked_and_its_time_is_said(context: Context, loaded: LoadedModel) -> None:
    first = rate_of(loaded)
    assert 0 < first.measured <= time.time() and 0 <= first.others <= 1
    assert rate_of(loaded, first.measured).measured == first.measured
    now = time.time()
    again = DescribePrepare(SPEC, now).run(context)
    assert rate_of(loaded).measured >= now
    assert (
        f"({loaded.facts.device}) at {time.strftime('%H:%M', time.localtime(rate_of(loaded).measured))}: "
        in again.machine
    )
    assert "Other programs took 70 % of the processors meanwhile" in machine(
        loaded.facts, dataclasses.replace(first, others=0.7)
    )
    assert "Other programs" not in machine(loaded.facts, dataclasses.replace(first, others=0.1))


def test_a_level_without_room_is_not_offered(context: Context, things: Callable[..., None]) -> None:
    things(thing("a", 30, 100))
    product = products.PRODUCTS[0]

    def large(spec: ModelSpec, facts: ModelFacts, rate: Rate) -> tuple[Level, ...]:
        first, second = product.levels(spec, facts, rate)
        return first, dataclasses.replace(second, cost=Cost(100, memory=rate.memory + 1))

    things(dataclasses.replace(product, levels=large))
    run(context, 1_000)
    assert made() == "a0"
    things(dataclasses.replace(product, levels=lambda *of: large(*of)[1:], present=lambda *of: 0))
    answer = run(context, 1_000)
    assert made() == "a0" and answer.sentence.startswith("Nothing was made. A: cannot be made here. It takes")


def test_every_product_of_the_house_has_levels_that_grow_for_a_model(context: Context, loaded: LoadedModel) -> None:
    rate = rate_of(loaded)
    assert 0 < rate.seconds_per_token < 1 and rate.flops > 1e6 and rate.memory > 0 and rate.disk > 0
    assert loaded.extras and rate_of(loaded).seconds_per_token == rate.seconds_per_token
    slow = dataclasses.replace(rate, seconds_per_token=10 * rate.seconds_per_token, flops=rate.flops / 10)
    for product in PRODUCTS:
        facts = dataclasses.replace(loaded.facts, max_positions=2_048)
        levels = product.levels(SPEC, facts, rate)
        costs = [level.cost.seconds for level in levels]
        assert costs == sorted(costs) and costs[0] > 0
        assert [level.cost.seconds for level in product.levels(SPEC, facts, slow)] > costs
        assert all(level.operation.kind == "job" and level.operation.writes for level in levels)
        assert product.present(facts, levels) == 0
        assert product.page in PAGES


def test_a_study_is_refused_beforehand_where_its_items_cannot_be_read(loaded: LoadedModel) -> None:
    study = next(product for product in PRODUCTS if product.page == "/faithfulness")
    short = dataclasses.replace(loaded.facts, max_positions=256)
    with pytest.raises(UserError, match=r"reads at most 256 tokens, and the items .* up to 512"):
        study.levels(SPEC, short, rate_of(loaded))


def test_a_product_that_is_bundled_counts(loaded: LoadedModel) -> None:
    facts = dataclasses.replace(loaded.facts, fingerprint="4f04dc6923d2ff61e3de", max_positions=2_048)
    for product in PRODUCTS:
        levels = product.levels(SPEC, facts, rate_of(loaded))
        assert product.present(facts, levels) == len(levels), product.name


def command(context: Context, *words: str) -> tuple[int, str]:
    out = io.StringIO()
    return main(["default", *words], out, context.residents), out.getvalue()


def test_the_command_prints_its_plan_makes_it_and_has_nothing_left(
    context: Context, things: Callable[..., None]
) -> None:
    things(thing("a", 0.02, 0.03), thing("b", 0.01, page="/neurons"), thing("c", 9_000))
    status, text = command(context, "--plan", "--budget", "1s")
    assert status == 0 and not made()
    assert "Within 1 s: 3 parts in about 1 s, with at most " in text
    assert "  1. b (level 0), about 1 s\n  2. a (level 0), about 1 s\n" in text
    status, text = command(context, "--budget", "1s")
    assert status == 0 and made() == "b0 a0 a1"
    assert "  made: a (level 1), 1 s\nMade: b (level 0), a (level 0) and a (level 1). Left out: c" in text
    status, text = command(context, "--pages", "neurons,othello")
    assert made() == "b0 a0 a1" and text.endswith("B: level 0. Level 0 of b.\nNothing is left to make.\n")
    assert "Othello has a model of its own" in text


def test_ctrl_c_keeps_what_is_done_and_the_same_command_goes_on(
    context: Context, things: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    things(thing("a", 30), thing("b", 10))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    with monkeypatch.context() as patch:
        patch.setattr(CLOCK, "wait", lambda _: signal.raise_signal(signal.SIGINT) if made() else None)
        status, text = command(context)
    assert status == STOPPED and made() == "b0"
    assert text.endswith("  made: b (level 0), 1 s\nStopped. What is done is kept; the same command goes on.\n")
    assert command(context)[0] == 0 and made() == "b0 a0"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["default", "--pages", "nowhere"], "there is no page 'nowhere'"),
        (["default", "--budget", "soon"], "'soon' is no time from a second to a week"),
        (["default", "--budget", "8d"], "'8d' is no time"),
        (["default", "--device", "toaster"], "The device must be"),
        (["./no-such-folder"], "There is no folder no-such-folder"),
    ],
)
def test_a_wrong_command_line_is_refused_in_a_sentence(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert sentence in capsys.readouterr().err + str(ended.value.code)


def test_times_and_paths_of_a_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [seconds_of(text) for text in ("90s", "30m", "1.5h", "1d", "600")] == [90, 1_800, 5_400, 86_400, 600]
    assert pages_of("steering, mlp-features,/steering") == ("/steering", "/mlp-features")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m").mkdir()
    for model, source in {"m": str(tmp_path / "m"), "default": "default", "owner/name": "owner/name"}.items():
        assert spec_of(parser().parse_args([model])).source == source
