"""What surrounds the files: a full disk, the key, the data folder, logs, job links, and what is told to the hub."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import diskcache
import pytest

from analysis.disk import FULL, READ_ONLY, disk_refusal
from analysis.engine.client import OperationFailed, WorkerGone
from analysis.engine.scheduler import bug
from analysis.engine.supervisor import QUIET_HUB, Supervisor
from analysis.home import folder, home
from analysis.logs import LineFormatter, LogFile, PrivateFormatter, log_to, private
from analysis.status import JobRow
from components.frame.shell import is_own_path, job_rows
from pages.frame.security import secret_key

NO_ROOM = OSError(errno.ENOSPC, "No space left on device")


def _caused() -> Exception:
    try:
        raise RuntimeError("could not be kept") from NO_ROOM
    except RuntimeError as error:
        return error


@pytest.mark.parametrize(
    "error",
    [
        NO_ROOM,
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        sqlite3.OperationalError("database or disk is full"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
        RuntimeError("[enforce fail at inline_container.cc] . PytorchStreamWriter failed writing file data/0"),
        _caused(),
    ],
    ids=repr,
)
def test_a_full_disk_is_a_sentence_whoever_noticed_it(error: Exception) -> None:
    assert disk_refusal(error) == FULL
    message = bug(error, "a test")
    assert message["kind"] == "user" and message["text"] == FULL


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "Permission denied"), ValueError("full"), RuntimeError()])
def test_other_failures_stay_failures(error: Exception) -> None:
    assert not disk_refusal(error) and bug(error, "a test")["kind"] == "bug"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EROFS, "Read-only file system"),
        sqlite3.OperationalError("attempt to write a readonly database"),
        RuntimeError("Error while serializing: I/O error: Read-only file system (os error 30)"),
    ],
    ids=repr,
)
def test_a_disk_that_can_only_be_read_is_a_sentence_of_its_own(error: Exception) -> None:
    message = bug(error, "a test")
    assert message["kind"] == "user" and message["text"] == READ_ONLY


def test_an_answer_reaches_its_page_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay leaves answers in a cache on disk; where that is full, a page must not wait for ever."""
    from tests.service.test_background import App

    def refuse(*_: Any, **__: Any) -> bool:
        raise sqlite3.OperationalError("database or disk is full")

    app = App(tmp_path)
    monkeypatch.setattr(diskcache.Cache, "set", refuse)
    answer = app.ask("echo", "hello", patience=5)
    assert answer["response"]["echo-out"]["children"] == "answer to hello"


def test_a_failure_in_a_callback_on_a_full_disk_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import app

    said: dict[str, Any] = {}
    monkeypatch.setattr(app, "set_props", lambda name, values: said.update(values))
    app._on_error(RuntimeError("[Errno 28] No space left on device: '/data/texts/ab'"))
    assert said["children"] == FULL


@pytest.mark.parametrize("kind", [WorkerGone, OperationFailed])
def test_a_callback_whose_worker_is_gone_says_why(kind: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    """A store keeps a question: an answer that is not among the recent ones any more is asked for in any callback."""
    import app

    said: dict[str, Any] = {}
    monkeypatch.setattr(app, "set_props", lambda name, values: said.update(values))
    app._on_error(kind("The model process is starting; this takes a few seconds."))
    assert said["children"] == "The model process is starting; this takes a few seconds."


@pytest.mark.parametrize("body", [None, b"", b"\n", b"abc", b"\xff\xfe\xff" * 20], ids=repr)
def test_a_key_is_never_empty_and_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: bytes | None) -> None:
    monkeypatch.delenv("SECRET_KEY", raising=False)
    if body is not None:
        (tmp_path / "secret_key").write_bytes(body)
    key = secret_key(tmp_path)
    assert len(key) == 64 and secret_key(tmp_path) == key
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["secret_key"]


def test_processes_that_start_together_share_one_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECRET_KEY", raising=False)
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(secret_key(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1 and len(found) == 8


def test_a_key_that_cannot_be_kept_is_still_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise NO_ROOM

    monkeypatch.delenv("SECRET_KEY", raising=False)
    monkeypatch.setattr(os, "fsync", refuse)
    assert len(secret_key(tmp_path)) == 64
    assert not list(tmp_path.iterdir())


def test_the_data_folder_and_what_is_made_in_it_are_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "data"
    root.mkdir(mode=0o755)
    root.chmod(0o755)
    monkeypatch.setenv("ATTUNE_HOME", str(root))
    assert stat.S_IMODE(home().stat().st_mode) == 0o700
    inner = folder("a", "b")
    assert [stat.S_IMODE(p.stat().st_mode) for p in (inner, inner.parent)] == [0o700, 0o700]


def test_a_folder_that_others_share_keeps_its_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o1777)
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    home()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o1777
    tmp_path.chmod(0o700)


PROMPT = "my diagnosis is something that nobody else should read"


def test_logs_hold_no_prompts() -> None:
    try:
        try:
            raise KeyError(PROMPT)
        except KeyError as error:
            raise ValueError(f"cannot read '{PROMPT}' at 3") from error
    except ValueError:
        record = logging.LogRecord("attune", logging.ERROR, "", 0, "failure", (), sys.exc_info())
    text = PrivateFormatter().format(record)
    assert "diagnosis" not in text and "ValueError: cannot read “…” at 3" in text and "KeyError" in text
    assert "test_surroundings.py" in text
    line = json.loads(LineFormatter().format(record))
    assert line["trace"] in text and "\n" in line["trace"] and (line["level"], line["message"]) == ("ERROR", "failure")
    assert "diagnosis" not in str(line)
    assert private("it's 3 of 5, which isn't (4, 5)") == "it's 3 of 5, which isn't (4, 5)"


def test_what_fails_is_logged_without_what_was_asked(caplog: pytest.LogCaptureFixture) -> None:
    from analysis.engine.context import Context
    from analysis.engine.jobs import JobBook
    from analysis.engine.scheduler import Scheduler
    from analysis.qk.ops.prompt import TracePrompt

    class Broken(Context):
        def perform(self, operation: Any) -> Any:
            raise RuntimeError("broken")

    scheduler = Scheduler.__new__(Scheduler)  # only its way of answering is asked
    message, _ = Scheduler._answer(scheduler, TracePrompt(text=PROMPT), Broken.__new__(Broken))
    assert message["kind"] == "bug" and JobBook
    assert "TracePrompt" in caplog.text and "diagnosis" not in caplog.text


def test_logs_are_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.logs.MAX_BYTES", 2000)
    root = logging.getLogger()
    before = list(root.handlers)
    monkeypatch.setattr(root, "handlers", [])
    log_to(tmp_path / "web.log")
    made = root.handlers[0]
    for number in range(200):
        made.handle(logging.LogRecord("attune", logging.INFO, "", 0, "line %d", (number,), None))
    made.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["web.log", "web.log.1", "web.log.2"]
    assert all(p.stat().st_size <= 2000 for p in tmp_path.iterdir()) and before is not root.handlers


@pytest.mark.parametrize(
    "link",
    ["", None, 3, "//elsewhere.example/x", "/\\elsewhere.example", "https://elsewhere.example", "javascript:alert(1)",
     "\\\\host\\share", "data:text/html,x", "attention", "/a\nb", "/ok\\..\\x", " /attention"],
    ids=repr,
)  # fmt: skip
def test_a_jobs_link_leads_nowhere_else(link: Any) -> None:
    assert not is_own_path(link)
    job = JobRow("1", "Op", "t", link, "", "done", 1.0)  # type: ignore[arg-type]
    assert "Open the result" not in str(job_rows([job], ""))


def test_a_jobs_link_leads_to_a_page_of_this_app() -> None:
    assert is_own_path("/attention?text=a%5Cb&generate=3") and is_own_path("/othello?tab=model")


def test_the_worker_starts_with_telemetry_and_conversion_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    seen: dict[str, Any] = {}
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **settings: seen.update(settings))
    Supervisor()._start_process(None)  # type: ignore[arg-type]
    assert QUIET_HUB.items() <= seen["env"].items()
    code = (
        "from huggingface_hub import constants as c; from transformers.utils import is_env_variable_true as t; "
        "assert c.HF_HUB_DISABLE_TELEMETRY and t('DISABLE_SAFETENSORS_CONVERSION')"
    )
    monkeypatch.undo()
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **QUIET_HUB}, check=True, timeout=60)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_what_a_full_disk_does_not_take_of_a_log_is_one_line_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    handler = LogFile("/dev/full", maxBytes=2_000, backupCount=2, encoding="utf-8")
    handler.setFormatter(PrivateFormatter())
    for _ in range(2):
        handler.emit(logging.makeLogRecord({"name": "attune.x", "levelname": "WARNING", "msg": "it stays in memory"}))
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and all(line.startswith("not in the log (No space left") for line in said)
    assert all(line.endswith("WARNING attune.x it stays in memory") for line in said)
    with contextlib.suppress(OSError):
        handler.close()
