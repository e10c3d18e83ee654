"""What the page says of the machines of a cluster: who holds what, what waits, and why one has no worker."""

from __future__ import annotations

from dataclasses import replace

from analysis.models.spec import ModelSpec
from analysis.status import Loading, PlaceStatus, Resident, WorkerStatus
from components.frame.cluster_card import cluster_card, now, rule_words
from tests.unit.test_pages import no_attention

HELD = Resident(ModelSpec("m"), no_attention(), False)
READY = WorkerStatus(
    "ready", 7, "Fit regions", (HELD,), None, (2, 0, 1), limit=1, free_bytes=5 << 30, total_bytes=8 << 30
)


def test_each_machine_says_what_it_is_at_and_what_waits() -> None:
    place = PlaceStatus("box", "box", 4, 64, READY)
    assert now(place) == "Fit regions; 2 questions, 1 job wait"
    assert now(replace(place, worker=replace(READY, busy="", waiting=(0, 1, 0)))) == "idle; 1 text waits"
    assert "loads m (40%)" in now(replace(place, worker=replace(READY, loading=Loading(ModelSpec("m"), "", 0.4))))
    assert now(replace(place, worker=WorkerStatus("importing torch", 7))) == "importing torch"
    assert now(PlaceStatus("", "head", 0, 4, None, "No worker: it has no GPU.")) == "No worker: it has no GPU."
    empty = PlaceStatus("b", "b", 0, 1, replace(READY, loaded=()))
    assert "All are full" in rule_words([place]) and "where fewest are" in rule_words([place, empty])
    spare = replace(place, worker=replace(READY, loaded=(replace(HELD, apart=True),)))
    assert "where fewest are" in rule_words([spare]), "what a method reads by itself takes no one's place"


def test_the_table_names_machines_models_and_trouble() -> None:
    shown = str(cluster_card([PlaceStatus("box-2", "box", 4, 64, READY)], "The head does not answer."))
    for words in ("box (box-2)", "5.4 GB of 8.6 GB", HELD.facts.label, "The head does not answer."):
        assert words in shown
    assert "may have a worker yet" in str(cluster_card([], ""))
