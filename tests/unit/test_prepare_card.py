"""The card that prepares a page: when it stands there, what it says, and which job it shows."""

from __future__ import annotations

from dataclasses import replace

from analysis.models.spec import ModelSpec
from analysis.prepare.answers import Budget, LevelFacts, PageFacts, Preparation, ProductFacts
from analysis.status import JobRow
from components.frame.prepare_card import budget_options, level_table, offer, price, usual_budget
from pages.frame.prepare import (
    EMPTY,
    HIDDEN,
    LINE,
    budget_of,
    choices,
    link_to,
    looks,
    page_of,
    run_of,
    signature,
    words,
)
from pages.registry import pages
from tests.unit.test_attention_words import text_of

QUICK = LevelFacts("quick", 80, 200_000_000, 9_000_000, "64 regions: coarse themes.")
BEST = LevelFacts("full", 2_400, 900_000_000, 90_000_000, "1,000 regions.")
FIT = ProductFacts("/steering", "a fit", "Regions and what they do.", (QUICK, BEST), 0, "", "Nothing is there.")
SMALL = Budget("10 minutes", 600.0, 80, 1, 1, ("a fit",), "Coarse themes only.", False)
LARGE = Budget("an hour", 3_600.0, 2_480, 1, 1, ("a fit",), "All of it.", True)
PAGE = PageFacts("/steering", False, (FIT,), (SMALL, LARGE), "A fit is to be made.")
MODEL = ModelSpec("/models/a b")


def test_the_card_stands_above_an_empty_page_is_a_line_where_more_can_be_made_and_else_hidden() -> None:
    ready = replace(PAGE, ready=True, products=(replace(FIT, present=1),))
    done = replace(ready, products=(replace(FIT, present=2),), budgets=(replace(SMALL, parts=()),))
    assert [looks(page) for page in (PAGE, ready, done, None)] == [EMPTY, LINE, HIDDEN, HIDDEN]
    preparation = Preparation((PAGE, replace(PAGE, page="/attention", products=())), (), 1, 1, "")
    assert page_of(preparation, "/steering") is PAGE
    assert choices(PAGE, preparation) == (SMALL, LARGE) and budget_of((SMALL,), 3_600.0) is SMALL
    late = replace(preparation, budgets=(SMALL, LARGE))
    assert choices(replace(PAGE, budgets=(LARGE,)), late) == (LARGE,), "nothing of the page fits into less"
    assert choices(replace(PAGE, budgets=(SMALL,)), late) == (SMALL, LARGE)
    assert budget_of((LARGE,), 600.0) is None and budget_of((LARGE,), None) is None
    assert page_of(preparation, "/attention") is None and page_of(preparation, "/model") is None


def test_levels_say_time_memory_disk_and_quality_and_what_is_there() -> None:
    text = text_of(level_table(replace(PAGE, products=(replace(FIT, present=1),))))
    for part in ("a fit", "quick", "is there", "40 min", "900.0 MB", "90.0 MB", "1,000 regions."):
        assert part in text
    refused = replace(FIT, levels=(), refusal="This model has no MLP.")
    assert "This model has no MLP." in text_of(level_table(replace(PAGE, products=(refused,))))


def test_the_usual_budget_is_the_smallest_that_makes_something_and_a_chosen_one_stays() -> None:
    nothing = replace(SMALL, parts=(), seconds=60.0)
    assert usual_budget((nothing, SMALL, LARGE), None) == 600.0
    assert usual_budget((SMALL, LARGE), 3_600.0) == 3_600.0
    assert usual_budget((SMALL, LARGE), 7.0) == 600.0 and usual_budget((), None) is None
    assert budget_options((SMALL,)) == [{"label": "10 minutes", "value": 600.0}]
    assert (
        price("Prepare all", LARGE) == "Prepare all (about 41 min)" and price("Prepare all", nothing) == "Prepare all"
    )


def test_a_run_is_found_by_the_model_that_its_link_names() -> None:
    other = JobRow("1", "PrepareModel", "t", link_to("/steering", ModelSpec()), "", "running", 0.5)
    ended = JobRow("2", "PrepareModel", "t", link_to("/steering", MODEL), "", "cancelled")
    active = JobRow("3", "PrepareModel", "t", link_to("/neurons", MODEL), "", "queued")
    broken = JobRow("4", "PrepareModel", "t", "/steering?model=%7B", "", "running")
    fit = JobRow("5", "FitRegions", "t", link_to("/steering", MODEL), "", "running")
    assert run_of([broken, fit, other, ended, active], MODEL) is active
    assert run_of([other, ended], MODEL) is ended and run_of([other, broken, fit], MODEL) is None
    assert "cancelled" in words(ended) and "kept" in words(ended)
    assert "waiting" in words(active) and words(None) == ""
    done = replace(ended, state="done", text="Made: a fit (quick). Not made: a study. This model cannot read it.")
    assert words(done) == done.text and words(replace(done, text="Made: a fit (quick).")) == ""
    assert "no room" in words(replace(ended, state="failed", reason="There is no room."))


def test_the_card_looks_again_at_each_part_and_when_another_job_has_ended() -> None:
    run = JobRow("1", "PrepareModel", "t", "", "", "running", 0.1, "part 1 of 4: the fit")
    first = signature([run], run)
    assert signature([run], replace(run, text="part 1 of 4: the fit, reading", share=0.2)) == first
    assert signature([run], replace(run, text="part 2 of 4: the null")) != first
    assert signature([run, JobRow("2", "FitRegions", "t", "", "", "done")], run) != first
    assert signature([replace(run, state="done")], replace(run, state="done")) != first


def test_the_pages_with_products_are_those_that_say_what_is_missing() -> None:
    from analysis.prepare.products import PRODUCTS

    assert {page.path for page in pages() if page.prepare} == {product.page for product in PRODUCTS}


def test_a_fit_that_a_run_made_beside_the_open_one_is_offered() -> None:
    quick, good = ({"label": f"a {name} fit", "value": name} for name in ("quick", "good"))
    offered = offer([quick, good], [quick], "region-fit", "slider-error")
    (button,) = [part for part in offered._traverse() if getattr(part, "data-open-fit", None)]
    assert "Another fit is ready: a good fit." in text_of(offered)
    assert (getattr(button, "data-open-fit"), getattr(button, "data-picker")) == ("good", "region-fit")
    assert offer([quick], [quick], "a", "b") is None, "nothing has come"
    assert offer([quick], [], "a", "b") is offer([quick], None, "a", "b") is None, "the first is opened, not offered"
