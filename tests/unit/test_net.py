"""The net below a rebuilding: it has a question for every operation, and sees every kind of change."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis import catalogue
from analysis.engine.context import Context
from analysis.engine.operation import REGISTRY, rebuild
from analysis.engine.residents import Residents
from analysis.engine.store import ResultStore
from analysis.faithfulness.library import STUDIES
from scripts import net as command
from scripts.net import ADDRESSES, KEPT, PLACE, main, view_of
from scripts.net_records import WHOLE, Net, compare, distance, kept_array, masked, plain, sampled
from scripts.net_requests import NO_REQUEST, REQUESTS, Request, Saved, Taken, chosen, in_order, with_needs

RNG = np.random.default_rng(3)


def made(data: Any = None, views: Any = None, **arrays: np.ndarray) -> Net:
    """A net of one answer, as it is after it was kept."""
    facts, values = {}, {}
    for name, array in arrays.items():
        facts[name], values[f"one/{name}"] = kept_array(array)
    record = {"operation": "Some", "data": plain(data if data is not None else {}), "arrays": facts}
    return Net({}, {"one": record}, views or {}, values)


def paths(old: Net, new: Net, tolerance: float = 1e-6) -> list[str]:
    return [d.path for d in compare(old, new, tolerance)]


def test_every_operation_has_a_request_or_a_reason_why_not() -> None:
    names = {name for name in REGISTRY if name in catalogue.NAMES}
    assert names == set(catalogue.NAMES)
    asked = {r.operation for r in REQUESTS}
    without = sorted(names - asked - set(NO_REQUEST))
    assert not without, f"operations without a request: {', '.join(without)}"
    assert not asked - names, "requests of operations that are not there"
    assert not asked & set(NO_REQUEST) and all(NO_REQUEST.values())


@pytest.mark.parametrize("request_", [r for r in REQUESTS if not r.needs], ids=lambda r: r.name)
def test_requests_are_questions_of_today(request_: Request) -> None:
    assert all(isinstance(k, str) for k in request_.params)
    if not request_.refused and not any(isinstance(v, Saved) for v in request_.params.values()):
        assert type(rebuild(request_.operation, request_.params)).__name__ == request_.operation


def test_requests_come_after_what_they_need() -> None:
    seen: set[str] = set()
    for request in in_order():
        assert seen.issuperset(request.needs), request.name
        seen.add(request.name)
    assert seen == {r.name for r in REQUESTS}
    a, b = Request("a", "A", {"x": Taken("b", "k")}), Request("b", "B")
    assert [r.name for r in in_order([a, b])] == ["b", "a"]
    for wrong, words in (
        ([a], "no request"),
        ([b, Request("b", "C")], "two requests"),
        ([a, Request("b", "B", after=("a",))], "needs itself"),
    ):
        with pytest.raises(ValueError, match=words):
            in_order(wrong)


def test_a_part_of_the_net_is_chosen_with_what_it_needs() -> None:
    assert chosen(["no such"]) == set() and chosen([]) == {r.name for r in REQUESTS}
    assert chosen(["PlaceOnMap"]) == {"place on the map"}
    assert [r.name for r in with_needs({"place on the map"})] == [
        "fit of induction", "held-out test", "place on the map",
    ]  # fmt: skip
    assert {r.operation for r in REQUESTS if r.name in chosen(["Faith*"])} >= {"FaithBoard", "FaithStudy"}


def test_equal_nets_do_not_differ() -> None:
    data = {"a": [1, 2.5, None, True, "word"], "nan": math.nan, "nested": {"far": math.inf}}
    arrays = {"x": RNG.standard_normal((3, 5)), "bytes": np.arange(9, dtype=np.uint8), "none": np.zeros((0, 4))}
    arrays["holes"] = np.array([1.0, np.nan, np.inf, -np.inf])
    assert compare(made(data, {"/a": {"tab": "x"}}, **arrays), made(data, {"/a": {"tab": "x"}}, **arrays), 0.0) == []


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ({"p": 0.5}, {"p": 0.500001}, "p"),
        ({"p": 0.0}, {"p": 1e-6}, "p"),
        ({"p": 1.0}, {"p": math.nan}, "p"),
        ({"p": math.inf}, {"p": -math.inf}, "p"),
        ({"p": 3}, {"p": 4}, "p"),
        ({"p": True}, {"p": 1}, "p"),
        ({"p": None}, {"p": 0.0}, "p"),
        ({"p": "a word"}, {"p": "a  word"}, "p"),
        ({"p": 1, "q": 2}, {"p": 1}, "q"),
        ({"p": 1}, {"p": 1, "q": None}, "q"),
        ({"p": [1, 2]}, {"p": [1]}, "p"),
        ({"p": [{"q": "a"}]}, {"p": [{"q": "b"}]}, "p/0/q"),
        ({"p": [1]}, {"p": {"0": 1}}, "p"),
    ],
)
def test_a_change_of_data_is_found_where_it_is(old: Any, new: Any, where: str) -> None:
    assert paths(made(old), made(new)) == [f"answers/one/data/{where}"]


def test_numbers_may_differ_by_the_tolerance_and_whole_ones_may_become_floats() -> None:
    assert not paths(made({"p": 5, "q": 1000.0}), made({"p": 5.0, "q": 1000.0005}))
    assert paths(made({"p": 5, "q": 1000.0}), made({"p": 5.0, "q": 1000.0005}), 1e-7) == ["answers/one/data/q"]
    assert distance(1e-9, 0.0) == pytest.approx(1e-6) and distance(math.nan, math.nan) == 0


def test_a_change_of_an_array_is_found() -> None:
    x = RNG.standard_normal(12).astype(np.float32)
    for other, where in (
        (x.reshape(3, 4), "shape"),
        (x.astype(np.float64), "dtype"),
        (np.where(np.arange(12) == 5, x + np.float32(1e-4), x), "values/one/x[5], 1 of 12"),
        (np.where(np.arange(12) == 2, np.float32(np.nan), x), "values/one/x[2], 1 of 12"),
        (x[:-1], "shape"),
    ):
        found = paths(made(x=x), made(x=other))
        assert found and any(where in path for path in found), where
    assert paths(made(x=x), made()) == ["answers/one/arrays/x", "values/one/x"]
    # Noise in the last digit of float32 is no other answer.
    assert not paths(made(x=x), made(x=np.nextafter(x, np.float32(9))))


def test_of_a_large_array_a_sample_and_the_moments_are_kept() -> None:
    x = RNG.standard_normal((300, 300)).astype(np.float32)
    facts, values = kept_array(x)
    assert values.dtype == np.float32 and len(values) == WHOLE and facts["finite"] == x.size
    places = sampled(x.size)
    assert len(np.unique(places // 300)) == len(np.unique(places % 300)) == 300  # every row and every column
    everywhere, one = x * np.float32(1.00001), x.copy()
    one.reshape(-1)[np.setdiff1d(np.arange(x.size), places)[7]] = 50.0
    assert any("values" in p for p in paths(made(x=x), made(x=everywhere)))
    assert "answers/one/arrays/x/greatest" in paths(made(x=x), made(x=one))
    assert kept_array(np.arange(5, dtype=np.int64) << 40)[1].dtype == np.int64


def test_what_changes_by_nature_is_left_out_by_name() -> None:
    data = {"seconds": 1.5, "p": 1, "rows": [{"rate": 3.0, "token": "a"}], "fits": ["block-10"]}
    assert plain(data) == {"p": 1, "rows": [{"token": "a"}], "fits": ["block-10"]}
    assert plain({"fits": True, "layers": 3}, "EstimateModel") == {"layers": 3}
    text = "40 steered tokens, 12.3 a second, on 2026-11-29; about 5 minutes and 1.2 GB, in /tmp/x."
    assert masked(text, {"/tmp": "<home>"}) == (
        "40 steered tokens, <rate>, on <date>; about <time> and <memory>, in <home>/x."
    )
    assert masked("P(4) goes from 0.250 to 0.125 in 3 of 4 seeds.") == "P(4) goes from 0.250 to 0.125 in 3 of 4 seeds."
    assert masked("Kept as study-67b7ae7e: 4 items.") == "Kept as study-<hash>: 4 items."
    assert masked("Kept as residual-4-k6-r2-bfdf8b.") == "Kept as residual-4-k6-r2-bfdf8b."  # a hash of what was fitted
    with pytest.raises(TypeError, match="ndarray"):
        plain({"p": np.zeros(3)})


def test_a_net_is_read_back_as_it_was_kept_and_held_against_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first.json.xz", tmp_path / "second.json.xz"
    data = {"p": math.nan, "text": "half \ud83d and ␣", "q": 0.1}
    net = made(data, {"/a": {"tab": "x"}}, x=RNG.standard_normal(5), ids=np.arange(3))
    net.save(first)
    assert compare(net, Net.load(first), 0.0) == [] and Net.load(first).part(set()).answers == {}
    made(data | {"q": 0.2}, {"/a": {"tab": "y"}}, x=np.zeros(5), ids=np.arange(3)).save(second)
    assert main(["compare", str(first), str(first)]) == 0
    assert main(["compare", str(first), str(second)]) == 1
    said = capsys.readouterr().out
    assert "views//a/tab: x -> y" in said and "data/q: 0.1 -> 0.2" in said and "3 differences" in said
    assert main(["compare", str(first), str(second), "--tolerance", "10"]) == 1  # words have no tolerance


def test_a_word_without_a_request_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["compare", "--only", "NoSuchOperation"])
    assert "no request has such a name" in capsys.readouterr().err


@pytest.fixture(scope="module")
def kept() -> Net:
    return Net.load(KEPT)


def test_the_kept_net_answers_every_request(kept: Net) -> None:
    assert set(kept.answers) == {r.name for r in REQUESTS}
    assert {name: record["operation"] for name, record in kept.answers.items()} == {
        r.name: r.operation for r in REQUESTS
    }
    refused = {name for name, record in kept.answers.items() if "refusal" in record}
    assert refused == {r.name for r in REQUESTS if r.refused}
    assert {r.operation for r in REQUESTS} == {r.operation for r in REQUESTS if not r.refused}
    assert sum(p.stat().st_size for p in KEPT.parent.rglob("*") if p.is_file()) < 6_000_000


def test_addresses_copied_from_a_browser_open_the_same_views(
    kept: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    addresses = ADDRESSES.read_text(encoding="utf-8").split()
    assert len(addresses) == 11 and set(kept.views) == set(addresses)
    now = Net({}, {}, {address: view_of(address) for address in addresses}, {})
    assert compare(Net({}, {}, kept.views, {}), now, 0.0) == []
    assert {view.get("seed") for view in kept.views.values()} >= {0, 1}  # a seed is part of a view
    assert not any(view.get("problems") for view in kept.views.values())


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the data folder that an earlier version left: a fit, a factorization, a study, and their results."""
    home = tmp_path / "home"
    shutil.copytree(PLACE / "home", home)
    monkeypatch.setenv("ATTUNE_HOME", str(home))
    return home


@pytest.mark.parametrize(
    ("operation", "by", "asked"),
    [
        ("RegionMap", "a fit", "map of the fit"),
        ("FactorizationFacts", "a factorization", "features of the factorization"),
        ("FeatureTree", "a factorization", "tree of the factorization"),
    ],
)
def test_fits_of_an_earlier_version_answer_as_they_did(
    kept: Net, saved: Path, operation: str, by: str, asked: str
) -> None:
    request = next(r for r in REQUESTS if r.name == asked)
    params = {
        k: kept.answers[v.request]["data"][v.key] if isinstance(v, Taken) else v for k, v in request.params.items()
    }
    answer = Context(Residents(), ResultStore()).perform(rebuild(operation, params))
    assert request.operation == operation and request.needs == (by,) and not answer.arrays
    assert paths(made(kept.answers[asked]["data"]), made(plain(answer.data, operation))) == []


def test_a_study_of_an_earlier_version_is_read(kept: Net, saved: Path) -> None:
    (file,) = (saved / "faithfulness").glob("*/study-*.json")
    study = STUDIES.read(file.with_suffix(""))
    points = kept.answers["scores of the study"]["data"]["points"]
    assert [i.id for i in study.items if i.tier == "0"] == [p["item"] for p in points]
    board = kept.answers["board of the study"]["data"]
    assert {m["name"] for m in study.manifest["measures"]} >= {row["measure"] for row in board["rows"]}


def known_to(then: Any, now: Any) -> Any:
    """An answer of today without the keys that it did not have then."""
    if isinstance(then, dict) and isinstance(now, dict):
        return {key: known_to(then[key], value) for key, value in now.items() if key in then}
    return now


def test_results_of_an_earlier_version_are_served_while_their_files_are_there(kept: Net, saved: Path) -> None:
    store, seen = ResultStore(), {}
    for file in sorted((saved / "results").glob("*/*/result.json")):
        result = store.get(file.parent.name)
        assert result is not None and result.files
        seen[result.files[0].split("/")[0]] = result
        (saved / result.files[0]).unlink()
        assert store.get(file.parent.name) is None
    assert set(seen) == {"faithfulness", "features", "regions"}
    for folder, name, operation in (
        ("regions", "a fit", "FitRegions"),
        ("features", "a factorization", "FitFactorization"),
        ("faithfulness", "a study", "FaithStudy"),
    ):
        then = plain(seen[folder].data, operation)
        assert then and paths(made(known_to(then, kept.answers[name]["data"])), made(then)) == []


def test_a_run_takes_no_data_folder_but_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from analysis import home
    from analysis.models import default

    model = tmp_path / "usual" / "models" / "small"
    model.mkdir(parents=True)
    monkeypatch.setattr(default, "prepare_default", lambda: model)
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path / "usual"))
    with command.own_home() as place:
        assert home.home() == place != tmp_path / "usual" and (place / "models" / "small").is_dir()
    assert home.home() == (tmp_path / "usual").resolve() and not place.exists() and model.is_dir()
