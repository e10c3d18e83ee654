"""Which node gets a worker, which place gets a question: plain rules, held against a slow reading of them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from analysis.cluster import alike
from analysis.cluster.places import ClusterPlaces
from analysis.cluster.rule import Ledger
from analysis.cluster.seats import Node, label_of, named, seats
from analysis.cluster.settings import settings_here
from analysis.engine.jobs import JobBook
from analysis.engine.loading import EstimateModel
from analysis.errors import UserError
from analysis.models.spec import ModelSpec
from analysis.status import JobRecord, JobRow, Loading, Resident, WorkerStatus, together

A, B, C, D = (ModelSpec(name) for name in "abcd")


def says(*held: ModelSpec, free: int = 0, limit: int = 2, phase: str = "ready", loading: ModelSpec | None = None):  # type: ignore[no-untyped-def]
    loaded = tuple(Resident(spec, None, False) for spec in held)  # type: ignore[arg-type]
    now = None if loading is None else Loading(loading, "reading", 0.5)
    return WorkerStatus(phase, 1, loaded=loaded, loading=now, limit=limit, free_bytes=free)


def ledger(**places: WorkerStatus) -> Ledger:
    made = Ledger()
    made.set({name: (f"run of {name}", ()) for name in places})
    for name, status in places.items():
        made.heard(name, status)
    return made


def test_a_question_goes_where_its_model_is_or_is_being_loaded() -> None:
    made = ledger(x=says(A), y=says(B, free=9), z=says(loading=C, free=99))
    assert [made.choice(model) for model in (A, B, C, None)] == ["x", "y", "z", "x"]


def test_a_model_that_is_nowhere_goes_where_most_room_is() -> None:
    assert ledger(x=says(A, free=9), y=says(free=1), z=says(free=2)).choice(B) == "z", "fewest models, then most memory"
    assert ledger(x=says(A, B, free=9), y=says(C, free=1)).choice(D) == "y", "one that is full comes last"
    assert ledger(x=says(A), y=says()).choice(B, loads=False) == "x", "what only reads loads nothing"
    with pytest.raises(LookupError):
        Ledger().choice(A)


def test_where_all_are_full_the_model_that_was_used_longest_ago_leaves() -> None:
    made = ledger(x=says(A, B), y=says(C, D))
    for name, model in (("x", A), ("y", C), ("y", D), ("x", B)):
        made.begin(name, model)
        made.end(name, model)
    assert made.choice(ModelSpec("new")) == "x"
    made.begin("x", ModelSpec("new"))
    assert made.holder(A) is None and made.holder(B) == "x", "as the worker itself lets it go"


def test_two_quick_questions_do_not_load_a_model_twice() -> None:
    made = ledger(x=says(free=9), y=says(free=1))
    first = made.choice(A)
    made.begin(first, A)
    made.heard(first, says(free=0))  # said before the worker had begun to load
    assert made.choice(A) == first == "x" and made.choice(B) == "y"
    made.end(first, A)
    made.heard(first, says(free=9))  # it could not be loaded after all
    assert made.holder(A) is None


def test_a_place_that_is_leaving_gets_nothing_new_while_others_are_there() -> None:
    made = ledger(x=says(A, free=9), y=says(B, free=1))
    made.begin("x", A)
    runs = {"x": ("run of x", ()), "y": ("run of y", ())}
    made.set(runs, {"x"})
    assert made.choice(A) == "x", "it is at a question of this model, and has it"
    assert made.choice(C) == made.choice(None) == "y" and made.choice(C, loads=False) == "y"
    made.begin("y", C)
    assert made.choice(D) == "y", "full as it is"
    made.end("x", A)
    assert made.holder(A) is None and made.choice(A) == "y", "else it would never be idle"
    made.set({"x": ("run of x", ())}, {"x"})
    assert made.choice(D) == made.choice(A) == "x", "it is the only one"
    made.set(runs)
    assert made.choice(A) == "x"


def test_another_worker_at_a_place_holds_nothing_of_the_one_before() -> None:
    made = ledger(x=says(A), y=says())
    made.set({"x": ("a later run", (B,)), "y": ("run of y", ())})
    assert made.holder(A) is None and made.holder(B) == "x", "it loads its first model by itself"
    made.heard("x", says(phase="importing torch"))
    assert made.holder(B) == "x"
    made.heard("x", says(phase="This model cannot be read."))
    assert made.holder(B) is None
    made.set({"y": ("run of y", ())})
    assert made.choice(A) == "y"


def test_the_ledger_agrees_with_workers_that_load_and_let_go() -> None:
    """Against workers that keep their models as Residents does: never twice in memory, never sent past its holder."""
    for seed in range(25):
        chance = random.Random(seed)
        limits = {name: chance.randint(1, 3) for name in ("x", "y", "z")}
        truth: dict[str, list[ModelSpec]] = {name: [] for name in limits}
        made = ledger(**{name: says(limit=limit) for name, limit in limits.items()})
        for _ in range(60):
            model = ModelSpec(chance.choice("abcdefghij"))
            holders = [name for name, held in truth.items() if model in held]
            if made.holder(model) is None or chance.random() < 0.2:
                for name, held in truth.items():
                    made.heard(name, says(*held, limit=limits[name]))
            name = made.choice(model)
            assert len(holders) <= 1 and (not holders or name == holders[0])
            if not holders and any(len(held) < limits[n] for n, held in truth.items()):
                assert len(truth[name]) == min(len(h) for n, h in truth.items() if len(h) < limits[n])
            made.begin(name, model)
            truth[name] = [*(other for other in truth[name] if other != model), model][-limits[name] :]
            made.end(name, model)


def test_nodes_get_workers_by_their_gpus_and_labels() -> None:
    head, small, large = Node("h", "head", "1", 0, 4), Node("s", "small", "2", 1, 8), Node("l", "large", "3", 4, 64)
    lab = Node("m", "metal", "4", 2, 8, (("room", "lab"),))

    def shown(*nodes: Node, **settings: object) -> list[tuple[str, int, float]]:
        return [(seat.node.host, seat.number, seat.gpus) for seat in seats(nodes, **settings)]  # type: ignore[arg-type]

    assert shown(head) == [("head", 1, 0)], "a cluster without GPUs"
    assert shown(small, large, head) == [("head", 0, 0), ("large", 1, 4), ("small", 1, 1)]
    assert shown(large, gpus=1) == [("large", n, 1) for n in (1, 2, 3, 4)]
    assert shown(large, small, gpus=2) == [("large", 1, 2), ("large", 2, 2), ("small", 0, 0)]
    assert shown(large, lab, label=("room", "lab")) == [("large", 0, 0), ("metal", 1, 2)]
    assert [(s.number, s.why) for s in seats([head, large], kept={"h"})] == [(1, ""), (1, "")], "one had it before"
    refused = [seat.why for seat in seats([head, small], 2)]
    assert "has no GPU" in refused[0] and "the node has 1" in refused[1]
    assert label_of("") is None and label_of(" room = lab") == ("room", "lab")
    with pytest.raises(UserError):
        label_of("lab")


def test_places_keep_their_names_and_free_ones_are_given_again() -> None:
    one, two, three = (Node(id, "GPU box.lab", "") for id in "123")
    names: dict[str, str] = {}
    assert [seat.name for seat in named(seats([one, two]), names)] == ["gpu-box-lab", "gpu-box-lab-2"]
    assert [seat.name for seat in named(seats([two]), names)] == ["gpu-box-lab-2"]
    assert sorted(seat.name for seat in named(seats([two, three]), names)) == ["gpu-box-lab", "gpu-box-lab-2"]
    assert names == {"2.1": "gpu-box-lab-2", "3.1": "gpu-box-lab"}


def test_a_node_that_sees_another_folder_or_runs_other_code_is_refused_in_words(tmp_path: Path) -> None:
    given = {"home": str(tmp_path), "nonce": "12", "versions": alike.versions()}
    assert "does not see the data folder" in alike.refusal(given) and not list(tmp_path.iterdir())
    path = alike.nonce_path(str(tmp_path), "12")
    path.parent.mkdir()
    path.write_text("12")
    assert alike.refusal(given) == ""
    assert "torch" in alike.refusal({**given, "versions": {**given["versions"], "torch": "0.1"}})
    assert "Attune's code" in alike.refusal({**given, "versions": {**given["versions"], "Attune": "0"}})
    path.write_text("another run's")
    assert "does not see" in alike.refusal(given)


def test_settings_of_workers_hand_on_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ATTUNE_TOKEN": "s", "ATTUNE_OWNER_TOKEN": "s", "ATTUNE_MODELS": "3"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ATTUNE_WORKER_GPUS", "1.5")
    said = settings_here()
    assert said["gpus"] == 1.5 and said["cpus"] == 0 and said["environment"]["ATTUNE_MODELS"] == "3"
    assert not [name for name in said["environment"] if "TOKEN" in name]
    monkeypatch.setenv("ATTUNE_WORKER_GPUS", "all")
    with pytest.raises(UserError, match="ATTUNE_WORKER_GPUS is 'all'"):
        settings_here()


def entry(id: str, name: str, **facts: object) -> dict[str, object]:
    return {
        "id": id, "name": name, "host": name, "gpus": 0, "cpus": 1, "able": True, "text": "",
        "first": [], "facts": facts,
    }  # fmt: skip


def test_a_job_of_a_machine_that_left_is_shown_as_failed(tmp_path: Path) -> None:
    places = ClusterPlaces("auto", tmp_path)
    assert "is being reached" in places.absence()
    there = entry("1.1", "one", address=["127.0.0.1", 1])
    places.take({"phase": "ready", "places": [there, entry("2.1", "two", address=["127.0.0.1", 2])]})
    two = next(place for place in places.all() if place.name == "two")
    for name in ("one", "two"):
        (tmp_path / "places" / name).mkdir(parents=True)
        book = JobBook(tmp_path / "places" / name / "jobs.json")
        book.add(JobRecord(f"of {name}", "Op", "t", "", ""))
        book.change(f"of {name}", state="running")
    row = JobRow("of one", "Op", "t", "", "", "running")
    shown = {row.id: row for row in places.jobs({"one": [row]}, "")}
    assert [row.state for row in shown.values()] == ["running", "running"], "two is there, if silent"
    assert shown["of one"].host == "one" and shown["of two"].host == "two"
    places.take({"phase": "ready", "places": [there]})
    lost = next(row for row in places.jobs({"one": [row]}, "") if row.id == "of two")
    assert lost.state == "failed" and "two left the cluster before this job had ended" in lost.reason
    idle = {**entry("2.0", "two"), "able": False, "text": "No worker: the node has no GPU, and others have."}
    places.take({"phase": "ready", "places": [there, idle]})
    assert two.gone().endswith("has no worker any more. No worker: the node has no GPU, and others have.")
    places.take({"phase": "The cluster does not answer.", "places": []})
    away = next(row for row in places.jobs({}, "") if row.id == "of two")
    assert away.reason == "The cluster does not answer. This job had not ended."
    places.take({"phase": "ready", "places": [there]})
    assert "two left the cluster" in two.gone() and [place.name for place in places.all()] == ["one"]
    assert json.loads((tmp_path / "places" / "two" / "jobs.json").read_text())[0]["state"] == "running", "only shown so"


def test_a_head_that_is_silent_is_named_while_workers_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = ClusterPlaces("auto", tmp_path)
    places.take({"phase": "ready", "places": [entry("1.1", "one", address=["127.0.0.1", 1])]})
    assert places.trouble() == ""
    (one,) = places.all()
    monkeypatch.setattr(places, "_heard", places._heard - 7)
    assert "head of the Ray cluster at auto does not answer" in places.trouble() and len(places.all()) == 1
    places.take({"phase": "The Ray cluster at 'auto' does not answer: no.", "places": []})
    assert one.gone() == places.trouble(), "no machine left"
    assert "no." in places.trouble() and places.trouble() == places.absence() and not places.all()


def test_a_machine_that_does_not_answer_gets_no_question_until_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = ClusterPlaces("auto", tmp_path)
    state = {
        "phase": "ready",
        "places": [entry(f"{n}.1", name, address=["h", n]) for n, name in ((1, "one"), (2, "two"))],
    }
    places.take(state)
    with places.place_for(EstimateModel()) as first:
        assert first.name == "one" and not first.gone()
    monkeypatch.setattr("analysis.cluster.places.UNHEARD", -1.0)
    places.heard({"one": WorkerStatus("no answer"), "two": says()})
    places.take(state)
    with places.place_for(EstimateModel()) as other:
        assert other.name == "two" and "one does not answer" in first.gone()
    assert [place.name for place in places.all()] == ["one", "two"], "it is asked how it is, still"
    assert places.hosts({})[0].text == "The machine does not answer."
    places.heard({"one": says()})
    places.take(state)
    with places.place_for(EstimateModel()) as again:
        assert again.name == "one" and not first.gone()
    state["places"][0]["leaving"] = True  # type: ignore[index]
    places.take(state)
    with places.place_for(EstimateModel()) as other:
        assert other.name == "two"


def test_workers_together_are_one_to_those_who_do_not_ask_for_more() -> None:
    both = together([says(A, free=3, phase="importing torch"), says(B, free=4)])
    assert both.phase == "ready" and both.free_bytes == 7 and both.limit == 4
    assert both.resident(A) is not None and both.resident(B) is not None
