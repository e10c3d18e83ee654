"""The one command that makes what comes with Attune: its words, its refusals, and that it goes on where it stopped."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import analysis.faithfulness.build as faithfulness
import analysis.mfa.build as mfa
import analysis.qk.build as qk
import analysis.rotate.build as rotate
import analysis.snmf.build as snmf
import analysis.tpr.build as tpr
from analysis.build import builds, main
from analysis.errors import UserError

METHODS = {"faithfulness": faithfulness, "mfa": mfa, "qk": qk, "rotate": rotate, "snmf": snmf, "tpr": tpr}


def test_each_method_with_something_to_make_is_listed() -> None:
    assert set(builds()) == set(METHODS)
    assert all(sentence and "`" not in sentence and not sentence.endswith(".") for sentence in builds().values())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("faithfulness", ("--fresh", "--fur", "--continued")),
        ("mfa", ("--describe", "--shares", "--seeds")),
        ("qk", ("--fresh",)),
        ("rotate", ("--fresh",)),
        ("snmf", ("FIT", "--describe", "--detection")),
        ("tpr", ("--games", "--test-games", "--fresh")),
    ],
)
def test_help_says_what_is_made_and_names_every_option(
    name: str, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    text = capsys.readouterr().out
    assert ended.value.code == 0 and (METHODS[name].__doc__ or "").strip() in text
    assert all(option in text for option in options)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("", "required: NAME"),
        ("nothing", "invalid choice: 'nothing'"),
        ("mfa block-10", "unrecognized arguments: block-10"),
        ("mfa --desc", "unrecognized arguments: --desc"),
        ("tpr --games many", "a whole number of games from 10 on is needed, not 'many'."),
        ("tpr --games 0", "a whole number of games from 10 on is needed, not '0'."),
        ("tpr --test-games -5", "a whole number of games from 10 on is needed, not '-5'."),
        ("faithfulness --fur --fresh", "not allowed with argument --fur"),
        ("snmf --describe --detection", "not allowed with argument --describe"),
    ],
)
def test_wrong_options_are_refused_in_a_sentence(line: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert ended.value.code == 2 and sentence in capsys.readouterr().err


def test_what_cannot_be_made_is_said() -> None:
    with pytest.raises(SystemExit, match="There is no factorization 'block-99'"):
        main(["snmf", "block-99"])


def test_options_and_progress_reach_the_build(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(options: argparse.Namespace, progress: Callable[..., None]) -> None:
        progress(0.25, f"{options.games} games", curve=[])
        progress(None, "no share")
        raise UserError("It cannot be made.")

    monkeypatch.setattr(tpr, "run", run)
    with pytest.raises(SystemExit, match="It cannot be made"):
        main(["tpr", "--games", "40"])
    assert capsys.readouterr().err == "0.250 40 games\nno share\n"


@pytest.mark.parametrize(("method", "fit"), [(mfa, "fit_store"), (snmf, "factorize_store")])
def test_what_is_there_is_not_made_again(method: Any, fit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(*_: Any) -> None:
        raise AssertionError("made again")

    for name in ("load_model", "bundled_corpus", "collect"):
        monkeypatch.setattr(method, name, lambda *_, **__: None)
    monkeypatch.setattr(method, fit, made)
    main([method.__name__.split(".")[1]])
    monkeypatch.setattr(method, "BUNDLED", method.BUNDLED / "empty")
    with pytest.raises(AssertionError, match="made again"):
        main([method.__name__.split(".")[1]])


def test_the_list_of_builds_needs_no_method() -> None:
    code = (
        "import sys; from analysis.build import builds; builds(); assert not {'torch', 'analysis.mfa'} & {*sys.modules}"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
