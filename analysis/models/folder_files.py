"""Which files of a model's folder may be opened at all, before any library opens them.

A library that is given a folder opens what it finds there by name: it follows each link, waits for ever at a pipe, and
reads a tokenizer of any size. A server that reads models from one folder only must therefore look at every entry, not
at the folder's own path alone. Links inside the allowed folder are the hub's own way of keeping files, so where a link
ends is what counts.
"""

from __future__ import annotations

import stat
from pathlib import Path

from analysis import foreign
from analysis.errors import UserError
from analysis.models.pickles import NotATable, PythonObjects, check_pickle

_MAX_ENTRIES = 20_000
_MAX_BYTES = {"tokenizer.json": 500_000_000, "generation_config.json": 4_000_000, "chat_template.jinja": 4_000_000}
_MAX_JSON = 100_000_000
_NOT_READ = (".md", ".py", ".png", ".jpg", ".pdf")
_TEMPLATES = ("additional_chat_templates", "chat_templates")


def check_folder_files(path: Path, root: Path | None, field: str = "model") -> None:
    """Raises UserError(field) for an entry of the folder that is no plain file, or larger than its kind ever
    is, or a link out of ``root`` (None: links may lead anywhere); and for an index that names files elsewhere."""
    entries = list(path.iterdir())
    for folder in _TEMPLATES:
        if (path / folder).is_dir():
            entries += (path / folder).iterdir()
    if len(entries) > _MAX_ENTRIES:
        raise UserError(
            f"The folder {path.name} has {len(entries):,} entries. A saved model has a few hundred at most.", field
        )
    for entry in entries:
        if not entry.name.startswith(".") and entry.suffix.lower() not in _NOT_READ:
            _check_entry(entry, root, field)
    for index in (e for e in entries if e.name.endswith(".index.json") and e.is_file()):
        _check_index(index, field)
    if not any(e.suffix == ".safetensors" for e in entries):  # which are taken first
        for file in (e for e in entries if e.suffix == ".bin" and e.name.startswith("pytorch_model") and e.is_file()):
            _check_pickle(file, field)


def check_link(path: Path, root: Path | None, field: str = "model") -> None:
    """Raises UserError(field) if ``path`` leads out of ``root``."""
    if root is not None and not path.resolve().is_relative_to(root):
        raise UserError(
            f"{path.name} in the folder {path.parent.name} is a link out of the one folder from which this server "
            "reads models. Put the file itself there.",
            field,
        )


def _check_entry(entry: Path, root: Path | None, field: str) -> None:
    try:
        found = entry.stat()
    except FileNotFoundError:  # a link to nothing is as good as no file; whoever needs the file says so
        return
    except OSError as error:
        raise UserError(
            f"{entry.name} cannot be read ({error.strerror or 'system error'}). Check its permissions.", field
        ) from error
    check_link(entry, root, field)
    if stat.S_ISDIR(found.st_mode):
        return
    size = foreign.regular(entry, field)
    most = _MAX_BYTES.get(entry.name, _MAX_JSON if entry.suffix == ".json" else None)
    if most is not None and size > most:
        raise UserError(
            f"{entry.name} is {size / 1e6:,.0f} MB large, and such a file has at most {most / 1e6:,.0f}. Replace it.",
            field,
        )


def _check_pickle(file: Path, field: str) -> None:
    try:
        check_pickle(file, field)
    except PythonObjects as error:
        raise UserError(
            f"{file.name} holds Python objects besides tensors, which are not read since they could run code.", field
        ) from error
    except NotATable as error:
        raise UserError(
            f"{file.name} is no file of weights that PyTorch can read. Download it again.", field
        ) from error


def _check_index(index: Path, field: str) -> None:
    data = foreign.read_json(index, _MAX_JSON, field)
    names = data.get("weight_map") if isinstance(data, dict) else None
    if not isinstance(names, dict) or not names:
        raise UserError(f"{index.name} does not say which file holds which weights. Download it again.", field)
    for name in set(map(str, names.values())):
        if Path(name).name != name or "\\" in name:
            raise UserError(
                f"{index.name} names the file {Path(name).name[:60]}, which is not in the folder. Download it again.",
                field,
            )
    if "metadata" not in data:
        raise UserError(
            f'{index.name} lacks its entry "metadata", without which transformers does not read it. Add '
            '"metadata": {} to it, or download it again.',
            field,
        )
