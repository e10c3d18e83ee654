"""Pins of a tiny model with tiny fits: checked on unchanged code they are equal, and after a fit is made again exactly
those that used it are stale and moved."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis import catalogue, shelf
from analysis.activations import fits
from analysis.activations.collect import collect
from analysis.activations.recipe import WINDOW
from analysis.corpora import passages as corpus
from analysis.engine.client import Reply
from analysis.engine.context import Context
from analysis.engine.operation import REGISTRY, Operation
from analysis.engine.residents import Residents
from analysis.engine.store import ResultStore
from analysis.errors import Cancelled
from analysis.findings.freeze import freeze
from analysis.findings.ops.check import CheckPins
from analysis.findings.ops.stamps import Stamps
from analysis.findings.records import Pin
from analysis.findings.stale import stale
from analysis.findings.store import findings
from analysis.mfa.library import open_fit, save_fit
from analysis.mfa.ops.regions import ExplainTokens, RegionCard, RegionEffects, RegionMap, RenameRegion
from analysis.mfa.ops.steer import SteerNext, SteerText
from analysis.mfa.pipeline import Wanted, fit_store
from analysis.mfa.settings import RegionSetting, SteeringSettings
from analysis.models.sites import Site
from analysis.progress import silent
from analysis.qk.contrasts.spec import ContrastSpec
from analysis.qk.ops.features import Evidence, FitContrast, HeldOut
from analysis.qk.ops.prompt import AttentionRow, HeadAttention, PlaceOnMap
from analysis.snmf.ops.factorization import FactorizationFacts, FeatureCard, FitFactorization
from analysis.view_ref import QuestionRef, ViewRef
from tests.service.test_steering_operations import SPEC, TEXT, passages, tiny

FEATURE = ContrastSpec("induction", 24)
FACTORIZE = FitFactorization(SPEC, 2, "mlp_hidden", 4, 0.1, "kmeans", 5, 300)


@dataclasses.dataclass
class Bench:
    """A context with the tiny model in it, and the names of two fits of regions and one factorization."""

    context: Context
    fits: tuple[str, str]
    factorization: str = ""

    def pin(self, *operations: Operation[Any]) -> Pin:
        """A pin of these questions, asked as a page asks them."""
        results = [self.context.perform(operation) for operation in operations]
        replies = [
            Reply(o.answer_from(r), QuestionRef(type(o).__name__, o.to_params(), r.key))
            for o, r in zip(operations, results, strict=True)
        ]
        questions = tuple(reply.question for reply in replies)
        stamps = Stamps(questions).run(self.context).stamps
        store = findings()
        ref = ViewRef("a view", questions)
        return store.put_pin(freeze(store, ref, replies, title="A view", address="/", stamps=stamps))

    def check(self, *pins: Pin) -> dict[str, str]:
        """The states of these pins, computed again; by the ids of the pins."""
        report = CheckPins(tuple(pin.id for pin in pins), again=str(id(pins))).run(self.context)
        return {row.pin: row.state for row in report.pins}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("findings") / "home"
        patch.setenv("ATTUNE_HOME", str(home))
        patch.setattr(shelf, "DATA", home / "none")
        patch.setattr(fits, "bundled_corpus", passages)
        patch.setattr(corpus, "bundled_corpus", passages)
        loaded, site = tiny(), Site(1)
        store = collect(loaded, passages(), [site], max_tokens=1000, window=WINDOW)
        names = []
        for seed in (0, 1):
            fit = fit_store(loaded, passages(), store, Wanted(site, 1000, 4, 2, iterations=2, seed=seed), silent)
            fit.manifest |= {"source": {"kind": "bundled"}, "model_spec": SPEC.to_dict(), "command": "a test"}
            names.append(save_fit(fit, passages()))
        residents = Residents(limit=1)
        residents.put(loaded)
        made = Bench(Context(residents, ResultStore(home / "results")), (names[0], names[1]))
        made.factorization = made.context.perform(FACTORIZE).data["fit"]
        yield made


def remake(name: str) -> None:
    """Write the fit of that name anew, with other numbers in it."""
    from analysis.engine.memory import Memory

    fit = open_fit(Memory(), name)
    fit.arrays["xy"] = fit.arrays["xy"] + 1
    fit.arrays["principal.spread"] = fit.arrays["principal.spread"] * 2
    fit.parameters = dataclasses.replace(fit.parameters, means=fit.parameters.means * 1.5)
    save_fit(fit, passages())


def test_pins_are_equal_until_a_fit_is_made_again_and_then_those_that_used_it_are_not(bench: Bench) -> None:
    a, b = bench.fits
    steer = SteeringSettings(a, (RegionSetting(1, 0.5),))
    bench.context.perform(FitContrast(SPEC, FEATURE))
    of_a = [
        bench.pin(RegionMap(SPEC, a)),
        bench.pin(RegionCard(SPEC, a, 1)),
        bench.pin(RegionEffects(SPEC, a, 1)),
        bench.pin(ExplainTokens(SPEC, a, TEXT)),
        bench.pin(SteerNext(SPEC, TEXT, False, steer)),
        bench.pin(SteerText(SPEC, TEXT, False, steer, count=4, seed=3)),
        bench.pin(RegionMap(SPEC, b), RegionMap(SPEC, a)),
    ]
    others = [
        bench.pin(RegionMap(SPEC, b)),
        bench.pin(HeadAttention(SPEC, TEXT)),
        bench.pin(Evidence(SPEC, FEATURE, layer=1)),
        bench.pin(FactorizationFacts(SPEC, bench.factorization)),
        bench.pin(FeatureCard(SPEC, bench.factorization, feature=1)),
        bench.pin(FitContrast(SPEC, FEATURE)),
    ]
    everything = [*of_a, *others]

    def marks() -> list[str | None]:
        return [
            stale(pin, Stamps(ViewRef.from_dict(pin.ref).questions).run(bench.context).stamps) for pin in everything
        ]

    assert marks() == [None] * len(everything)
    said: list[dict[str, Any]] = []
    bench.context.on_progress = said.append
    assert bench.check(*everything) == {pin.id: "equal" for pin in everything}
    bench.context.on_progress = None
    shares = [value["share"] for value in said if value["share"] is not None]
    assert shares == sorted(shares) and shares[-1] == 1 and len([v for v in said if "check" in v]) == len(everything)

    remake(a)
    assert [text is not None for text in marks()] == [True] * len(of_a) + [False] * len(others)
    states = bench.check(*everything)
    assert [states[pin.id] for pin in others] == ["equal"] * len(others)
    assert {states[pin.id] for pin in of_a} == {"moved"}
    board = findings().new_board("checked")
    findings().add(board.id, "finding", {"pins": [of_a[0].id]})
    kept = findings().board(board.id).checks[of_a[0].id]
    assert kept.state == "moved" and "was read from were made again" in kept.text and "tolerance" in kept.text
    again = RegionMap.answer_from(findings().answer(kept.answers[0]))
    then = RegionMap.answer_from(findings().answer(of_a[0].answers[0]))
    assert again.regions[0].x - then.regions[0].x == pytest.approx(1, abs=2e-3)


def test_what_writes_files_is_compared_and_not_made_again(bench: Bench) -> None:
    pin = bench.pin(FACTORIZE)
    files = {p: p.stat().st_mtime_ns for p in (Path(shelf.folder("features"))).iterdir()}
    assert bench.check(pin) == {pin.id: "equal"}
    assert {p: p.stat().st_mtime_ns for p in files} == files
    bench.context = Context(bench.context.residents, ResultStore(findings().root / "empty"))
    report = CheckPins((pin.id,)).run(bench.context)
    assert report.pins[0].state == "failed" and "not kept any more" in report.pins[0].text


def test_what_cannot_be_made_again_says_why_and_nothing_is_changed_by_a_check(bench: Bench) -> None:
    gone = bench.pin(FeatureCard(SPEC, bench.factorization, feature=2))
    rename = bench.pin(RenameRegion(bench.fits[1], 0, "a name"))
    good = bench.pin(RegionMap(SPEC, bench.fits[1]))
    files = sorted(shelf.folder("features").iterdir())
    bodies = [file.read_bytes() for file in files]
    for file in files:
        file.unlink()
    report = CheckPins((gone.id, "absent", rename.id, good.id)).run(bench.context)
    for file, body in zip(files, bodies, strict=True):
        file.write_bytes(body)
    assert [row.state for row in report.pins] == ["failed", "failed", "failed", "equal"]
    assert "not in this data folder" in report.pins[0].text and "not there any more" in report.pins[0].text
    assert "a check does not ask it" in report.pins[2].text
    assert report.sentence == "1 equal, 0 moved, 3 could not be made again."


def test_what_an_answer_is_built_on_is_made_where_it_is_not_kept(bench: Bench) -> None:
    """As in a new version, or in another data folder."""
    bench.context.perform(FitContrast(SPEC, FEATURE))
    test = HeldOut(SPEC, FEATURE, layer=1, head=0, examples_count=20)
    bench.context.perform(test)
    pins = [
        bench.pin(Evidence(SPEC, FEATURE, layer=1)),
        bench.pin(AttentionRow(SPEC, TEXT, layer=1, query=8, key=2, features=(FEATURE,))),
        bench.pin(PlaceOnMap(SPEC, TEXT, layer=1, head=0, query=8, held_out=test)),
    ]
    context = Context(bench.context.residents, ResultStore(findings().root / "another"))
    report = CheckPins(tuple(pin.id for pin in pins)).run(context)
    assert [row.state for row in report.pins] == ["equal"] * 3, report
    assert context.stored(test) is not None


def test_a_cancelled_check_keeps_what_is_done(bench: Bench) -> None:
    first, second = (bench.pin(RegionMap(SPEC, name)) for name in bench.fits)
    context = Context(bench.context.residents, bench.context.store)

    def stop(value: dict[str, Any]) -> None:
        if "check" in value:
            raise Cancelled

    context.on_progress = stop
    with pytest.raises(Cancelled):
        CheckPins((first.id, second.id)).run(context)
    board = findings().new_board("cancelled")
    findings().add(board.id, "finding", {"pins": [first.id, second.id]})
    assert findings().board(board.id).checks.keys() == {first.id}


def test_operations_that_read_a_fit_say_which_one() -> None:
    """A question with a field for a fit, a set-up of one or a study is stale when that is made again."""
    silent = {"RenameRegion", "OpenSetup"}
    for name in catalogue.NAMES:
        fields = {field.name for field in dataclasses.fields(REGISTRY[name])}
        if fields & {"fit", "steer", "study"} and name not in silent:
            assert REGISTRY[name].reads is not Operation.reads, name
