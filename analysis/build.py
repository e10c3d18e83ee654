"""Make what comes with Attune, one method at a time: ``python -m analysis.build NAME [--options]``.

A method that has something to make has a module ``build`` in its folder: its docstring says what is made,
``arguments(parser)`` adds its options, and ``run(options, progress)`` makes what is missing. Nothing else is known of a
method here, and only the one that is named is imported: the list of all is read from their docstrings. Progress goes to
the standard error stream, one line each.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from analysis.errors import UserError

COMMAND = "python -m analysis.build"
HERE = Path(__file__).resolve().parent


def builds() -> dict[str, str]:
    """What can be made, by the name of the method: the first sentence of that module's docstring."""
    found = {}
    for path in sorted(HERE.glob("*/build.py")):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        found[path.parent.name] = " ".join(text.split()).partition(". ")[0].rstrip(".")
    return found


def parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of a command line, with the options of the methods that ``arguments`` name."""
    first, _, _ = (__doc__ or "").partition(": ")
    end = "What a method makes and its options: NAME --help. Progress goes to the standard error stream."
    made = argparse.ArgumentParser(prog=COMMAND, description=f"{first}.", epilog=end, allow_abbrev=False)
    commands = made.add_subparsers(dest="name", metavar="NAME", required=True)
    for name, sentence in builds().items():
        part = commands.add_parser(name, help=sentence, allow_abbrev=False)
        if name in arguments:
            module = import_module(f"analysis.{name}.build")
            part.description, part.formatter_class = module.__doc__, argparse.RawDescriptionHelpFormatter
            module.arguments(part)
            part.set_defaults(run=module.run)
    return made


def printed(share: float | None, text: str = "", **_facts: Any) -> None:
    """Progress as a line of the standard error stream."""
    sys.stderr.write(f"{text}\n" if share is None else f"{share:.3f} {text}\n")


def main(arguments: Sequence[str]) -> None:
    """Make what a command line names. Ends with a sentence; status 2: wrong options, 1: cannot be made."""
    options = parser(arguments).parse_args(arguments)
    try:
        options.run(options, printed)
    except UserError as error:
        raise SystemExit(error.message) from error


if __name__ == "__main__":
    main(sys.argv[1:])
