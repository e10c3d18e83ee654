"""Packs and files from a shell: ``python -m analysis.portable pack|open|push|list``. See docs/portable.md."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from analysis.engine.context import Context
from analysis.engine.loading import LoadModel
from analysis.errors import UserError
from analysis.models.spec import ModelSpec


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0, or 1 with a sentence on what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m analysis.portable", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    listed = commands.add_parser("list", help="what is on the shelf for a model")
    packed = commands.add_parser("pack", help="write all that belongs to a model to a zip")
    pushed = commands.add_parser("push", help="upload all that belongs to a model to a repository of the hub")
    for command in (listed, packed, pushed):
        command.add_argument("model", help="hub id, folder, GGUF file, or “default”")
    packed.add_argument("target", type=Path, help="the zip to write; it must not be there yet")
    pushed.add_argument("repository", help="owner/name")
    pushed.add_argument("--public", action="store_true", help="make a new repository public")
    opening = commands.add_parser("open", help="put what is in a file, a pack or a repository on its shelf")
    opening.add_argument("source", help="a file, or owner/name of a repository of the hub")
    chosen = parser.parse_args(arguments)
    try:
        for line in _run(chosen):
            print(line)
    except UserError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


def _run(chosen: argparse.Namespace) -> list[str]:
    from analysis.portable.hub import fetch
    from analysis.portable.ops.files import ListShelf, open_any, pack_to
    from analysis.portable.ops.hub import PushPack

    context = Context()
    if chosen.command == "open":
        path = Path(chosen.source)
        opened = open_any(context, ModelSpec(), path if path.exists() else fetch(chosen.source))
        return [
            opened.sentence,
            *(a.sentence for a in opened.artefacts if a.sentence != opened.sentence),
            *opened.problems,
        ]
    model = ModelSpec(chosen.model)
    LoadModel(model).load(context)
    if chosen.command == "list":
        shelf = ListShelf(model).run(context)
        return [f"{row.words}  {row.name}  {row.title}  {row.size / 1e6:.1f} MB" for row in shelf.rows]
    if chosen.command == "push":
        pushed = PushPack(model, chosen.repository, not chosen.public).run(context)
        return [pushed.sentence, pushed.address]
    if chosen.target.exists():
        raise UserError(f"{chosen.target.name} is there already. Choose another name.", "file")
    pack_to(context, model, chosen.target, presets=True)
    return [f"Wrote {chosen.target.name}, {chosen.target.stat().st_size / 1e6:.1f} MB."]


if __name__ == "__main__":
    sys.exit(main())
