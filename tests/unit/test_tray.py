"""The job tray: what was worth waiting for, when it was, and how long it took."""

from __future__ import annotations

from pathlib import Path

from analysis.engine.jobs import KEPT_QUICK, JobBook
from analysis.status import FROM_STORE, JobRecord, JobRow, WorkerStatus
from components.frame.shell import busy_words, job_rows


def row(number: int, seconds: float, **more: object) -> JobRow:
    """A job that took that long, and ended at 1000 seconds."""
    facts = {"state": "done", "started": 1000 - seconds, "changed": 1000.0, **more}
    return JobRow(str(number), "Op", f"job {number}", "", "", **facts)  # type: ignore[arg-type]


def test_what_was_done_at_once_stands_below_all_others() -> None:
    jobs = [
        row(1, 0.4),
        row(2, 30.0),
        row(3, 0.4, files=["fits/a.json"]),
        row(4, 0.1, files=["fits/a.json"], text=FROM_STORE),
        row(5, 0.2, state="failed", reason="why"),
        row(6, 0.2, state="running"),
    ]
    long = job_rows(jobs, "", now=1000 + 7200)
    assert [part.key for part in long] == ["2", "3", "5", "6", "quick", "1", "4"]
    assert "Done at once: 2" in str(long[4])
    assert "30 s, 2 h ago" in str(long[0]) and "0.2 s" in str(long[2]) and "ago" not in str(long[3])


def test_cleared_jobs_go_and_those_that_run_stay() -> None:
    jobs = [row(1, 30.0), row(2, 30.0, state="running")]
    assert [part.key for part in job_rows(jobs, "", cleared=1000.0)] == ["2"]
    assert "No jobs" in str(job_rows(jobs[:1], "", cleared=1000.0))


def test_quick_jobs_push_no_others_out_of_the_book(tmp_path: Path) -> None:
    book = JobBook(tmp_path / "jobs.json")
    book.add(JobRecord("fit", "Op", "a fit", "", ""))
    book.change("fit", state="done", files=["fits/a.json"])
    for i in range(60):
        book.add(JobRecord(str(i), "Op", "a reading", "", ""))
        book.change(str(i), state="done")
    kept = [job.id for job in book.listing()]
    assert "fit" in kept and len(kept) <= KEPT_QUICK + 2 and "59" in kept


def test_those_who_wait_are_told_for_what() -> None:
    jobs = [row(1, 5, state="queued"), row(2, 5, state="running", share=0.5)]
    assert busy_words(jobs, WorkerStatus("ready", 1)) == "job 2 (50%)"
    assert busy_words(jobs[:1], WorkerStatus("ready", 1)) == ""
