"""Prepare from a shell: the same plan and the same run as in the app, with a bar in place of a page.

What it makes lies in the data folder of the app (ATTUNE_HOME) and opens there. Ctrl-C ends at the next point where
nothing is half done; a second call goes on.
"""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from analysis.activations.room import amount
from analysis.engine.context import Context
from analysis.engine.residents import Residents
from analysis.errors import Cancelled, UserError
from analysis.models.spec import DTYPES, ModelSpec, local_path
from analysis.prepare.describe import BUDGETS, budget, machine, stand
from analysis.prepare.plan import plan
from analysis.prepare.products import NEEDLESS, PAGES, State, states
from analysis.prepare.run import Run
from analysis.spoken import duration

COMMAND = "python -m analysis.prepare"
UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
WIDTH = 24
"""Characters of the bar."""
STOPPED = 130
"""Status of a command that was ended by Ctrl-C, as shells have it."""


def seconds_of(text: str) -> float:
    """Seconds of a budget such as 90s, 30m, 2h, 1d or 600. ArgumentTypeError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip().lower(), re.ASCII)
    if not found or not 1 <= float(found[1]) * UNITS[found[2]] <= 7 * UNITS["d"]:
        raise argparse.ArgumentTypeError(f"{text!r} is no time from a second to a week, such as 90s, 30m or 2h.")
    return float(found[1]) * UNITS[found[2]]


def pages_of(text: str) -> tuple[str, ...]:
    """Paths of the pages that a list with commas names. ArgumentTypeError for one that there is not."""
    pages = tuple(dict.fromkeys(f"/{name.strip().strip('/')}" for name in text.split(",") if name.strip()))
    for page in pages:
        if page not in PAGES:
            known = ", ".join(path.strip("/") for path in PAGES)
            raise argparse.ArgumentTypeError(f"there is no page {page.strip('/')!r}; pages are {known}.")
    return pages


def parser(prog: str = COMMAND) -> argparse.ArgumentParser:
    """The options of the command."""
    made = argparse.ArgumentParser(
        prog=prog,
        description="Make what the pages of Attune need for a model, as much as fits into a budget of time.",
        epilog="Ctrl-C keeps what is done, and a second call goes on.",
        allow_abbrev=False,
    )
    made.add_argument(
        "model", metavar="MODEL", nargs="?", default="default", help="hub id, folder, GGUF file, or 'default'"
    )
    made.add_argument("--pages", type=pages_of, default=(), help="such as steering,neurons (default: all)")
    made.add_argument("--budget", type=seconds_of, default=BUDGETS[0][1], help="such as 90s, 30m or 2h (default: 10m)")
    made.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    made.add_argument("--dtype", default="auto", choices=DTYPES)
    made.add_argument("--plan", action="store_true", help="say what would be made, and make nothing")
    return made


class Shell(Context):
    """A context in which Ctrl-C cancels at the next safe point; pressed again, it ends the process as usual."""

    pressed = False

    def check(self) -> None:
        """A safe point."""
        if self.pressed:
            raise Cancelled

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hear Ctrl-C, in the main thread."""

        def press(_signal: int, _frame: FrameType | None) -> None:
            if self.pressed:
                raise KeyboardInterrupt
            self.pressed = True

        before = signal.signal(signal.SIGINT, press)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def main(
    arguments: Sequence[str], out: TextIO | None = None, residents: Residents | None = None, prog: str = COMMAND
) -> int:
    """Print the plan and carry it out; the status: 0, or 130 if Ctrl-C ended it.

    Ends with a sentence and status 1 where something cannot be used, 2 for wrong options. ``residents``: models that
    are loaded already.
    """
    options = parser(prog).parse_args(arguments)
    out, context = out or sys.stdout, Shell(residents)
    bar = context.on_progress = Bar(out)
    try:
        spec = spec_of(options)
        with context.listening():
            found, rate = states(context, spec, options.pages)
            bar.clear()
            made = plan([state.want for state in found], options.budget)
            print(machine(context.model(spec).facts, rate), file=out)
            for page in NEEDLESS if not options.pages else [page for page in options.pages if page in NEEDLESS]:
                print(NEEDLESS[page], file=out)
            for state in found:
                print(stand(state), file=out)
            if made.steps or made.left_out:
                _print_plan(options.budget, found, made, out)
            if options.plan:
                return 0
            answer = Run(context, spec, options.pages, options.budget).make() if found else None
            bar.clear()
        print(answer.sentence if answer else "Nothing is left to make.", file=out)
    except Cancelled:
        bar.clear()
        print("Stopped. What is done is kept; the same command goes on.", file=out)
        return STOPPED
    except UserError as error:
        raise SystemExit(error.message) from error
    return 0


def spec_of(options: argparse.Namespace) -> ModelSpec:
    """The model of a command line. A path that starts here is written out, since the app starts elsewhere, and finds
    what was made under the name that the model has. Raises UserError."""
    spec = ModelSpec(options.model, None, options.dtype, options.device)
    path = local_path(spec)
    if path is None or spec.source in ("default", "othello") or Path(spec.source).is_absolute():
        return spec
    return ModelSpec(str(path), None, options.dtype, options.device)


def _print_plan(seconds: float, found: Sequence[State], made: Any, out: TextIO) -> None:
    words = budget(duration(seconds), seconds, found, made, enough=False)
    count = len(made.steps)
    if count:
        room = f"at most {amount(words.memory)} of memory and {amount(words.disk)} of disk"
        parts = f"{count} part{'s' if count > 1 else ''}"
        print(f"Within {words.name}: {parts} in about {duration(made.seconds)}, with {room}.", file=out)
    for n, (step, part) in enumerate(zip(made.steps, words.parts, strict=True), start=1):
        print(f"  {n}. {part}, about {duration(step.seconds)}", file=out)
    if words.sentence:
        print(words.sentence, file=out)


class Bar:
    """Progress on one line that is written over, or, where the output is no terminal, a line for each part."""

    def __init__(self, out: TextIO) -> None:
        self.out, self.live, self.shown = out, out.isatty(), ""

    def __call__(self, value: dict[str, Any]) -> None:
        """Show progress as the context tells it."""
        part = value.get("part")
        if part:
            self.clear()
            why = "" if part["state"] == "made" else f": {part['text']}"
            print(
                f"  {part['state']}: {part['name']} ({part['level']}), {duration(part['seconds'])}{why}", file=self.out
            )
        elif self.live:
            share, text = value.get("share"), str(value.get("text", ""))
            full = 0 if share is None else round(share * WIDTH)
            text = f"[{'#' * full}{'.' * (WIDTH - full)}] {text}"
            text = text[: shutil.get_terminal_size().columns - 1]
            self.out.write(f"\r{text.ljust(len(self.shown))}")
            self.shown = text
        self.out.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self.live and self.shown:
            self.out.write(f"\r{' ' * len(self.shown)}\r")
            self.shown = ""
