"""The book of jobs: it survives its worker and says truly how each job ended."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from analysis.engine.jobs import KEPT, JobBook, read_book
from analysis.home import folder
from analysis.status import JobRecord
from components.frame.shell import job_rows


def record(name: str) -> JobRecord:
    return JobRecord(name, "Example", f"Job {name}", "/features", "session")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.json"


def test_book_survives_and_says_what_became_of_each(path: Path) -> None:
    book = JobBook(path)
    for name in ("queued", "running", "done", "failed", "cancelled"):
        book.add(record(name))
        if name != "queued":
            book.change(name, state=name)
    book.change("failed", reason="its own reason")
    again = {r.id: r for r in JobBook(path, died="killed by SIGKILL").listing()}
    assert {n: r.state for n, r in again.items()} == {
        "queued": "failed", "running": "failed", "done": "done", "failed": "failed", "cancelled": "cancelled",
    }  # fmt: skip
    assert again["running"].reason == "killed by SIGKILL"
    assert "had not begun" not in again["running"].reason and "had begun" in again["queued"].reason
    assert again["done"].title == "Job done" and again["done"].link == "/features"
    assert {r.id: r.state for r in read_book(path)} == {n: r.state for n, r in again.items()}


def test_a_job_whose_file_was_deleted_is_not_offered_to_be_opened(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path / "home"))
    fit = folder("regions") / "a.json"
    fit.write_text("{}")
    book = JobBook(path)
    book.add(record("fit"))
    book.change("fit", state="done", files=["regions/a.json"])
    assert "/features" in str(job_rows(book.listing(), "session")) and not book.listing()[0].gone
    fit.unlink()
    rows = JobBook(path).listing()
    assert rows[0].gone and "deleted" in str(job_rows(rows, "session"))
    assert "/features" not in str(job_rows(rows, "session"))


def test_running_job_without_known_reason_has_a_sentence(path: Path) -> None:
    book = JobBook(path)
    book.add(record("a"))
    book.change("a", state="running")
    assert JobBook(path).listing()[0].reason == "The worker stopped before this job had ended."


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"id": 1}', '[{"id": "a"}]', '[{"unknown": 1}]', "\x00"])
def test_damaged_book_is_an_empty_book(path: Path, text: str) -> None:
    path.write_text(text)
    assert read_book(path) == []
    book = JobBook(path)
    book.add(record("a"))
    assert [r.id for r in read_book(path)] == ["a"]


def test_newest_come_first_and_old_ended_ones_are_forgotten(path: Path) -> None:
    book = JobBook(path)
    book.add(record("waits"))
    for n in range(KEPT + 10):
        book.add(record(f"j{n}"))
        book.change(f"j{n}", state="failed")
    book.add(record("last"))
    names = [r.id for r in book.listing()]
    assert names[:2] == ["last", f"j{KEPT + 9}"] and names[-1] == "waits"
    assert len(names) == KEPT + 2


def test_job_that_is_asked_again_is_new(path: Path) -> None:
    book = JobBook(path)
    book.add(record("a"))
    book.change("a", state="running")
    book = JobBook(path, died="killed")
    book.add(record("b"))
    book.add(record("a"))
    assert [(r.id, r.state, r.reason) for r in book.listing()] == [("a", "queued", ""), ("b", "queued", "")]


def test_book_is_private_and_leaves_no_scraps(path: Path) -> None:
    (path.parent / ".jobs-left").write_text("half")
    book = JobBook(path)
    book.add(record("a"))
    for n in range(20):
        book.change("a", share=n / 20)
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    assert [p.name for p in path.parent.iterdir()] == ["jobs.json"]


def test_states_reach_the_disk_at_once_and_progress_seldom(path: Path) -> None:
    book = JobBook(path)
    book.add(record("a"))
    book.change("a", state="running")
    first = os.stat(path).st_ino
    for n in range(50):
        book.change("a", share=n / 50)
    assert os.stat(path).st_ino == first and book.listing()[0].share == 0.98
    book.change("a", state="done")
    assert json.loads(path.read_text())[0]["state"] == "done"


def test_folder_that_is_gone_does_not_end_the_worker(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    book = JobBook(tmp_path / "gone" / "jobs.json")
    book.path.unlink()
    book.path.parent.rmdir()
    book.add(record("a"))
    book.change("a", state="done")
    assert book.listing()[0].state == "done"


def test_many_threads_lose_nothing(path: Path) -> None:
    book = JobBook(path)

    def enter(k: int) -> None:
        for n in range(10):
            book.add(record(f"{k}-{n}"))
            book.change(f"{k}-{n}", state="running")

    threads = [threading.Thread(target=enter, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(read_book(path)) == 80 and {r.state for r in read_book(path)} == {"running"}
