"""Where a mixture that others trained comes from: a file on this machine, or one of a repository on the hub.

Released files are near a gigabyte, which no browser uploads, so they are named, not sent. A repository holds one file
for each block; the block that was asked for chooses among them where their names say it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from analysis import foreign
from analysis.errors import UserError
from analysis.mfa.checkpoint import MAX_BYTES

ENDINGS = (".ckpt", ".pt", ".pth", ".safetensors")
_HUB_ID = re.compile(r"([A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})(?::([\w./-]{1,200}))?", re.ASCII)


class Place(NamedTuple):
    """A file to read, and the words for where it is from."""

    path: Path
    origin: str


def place_of(text: str, layer: int) -> Place:
    """The file that a text names: a path, ``owner/name`` or ``owner/name:file`` of the hub, downloaded if need be.

    Raises UserError("file"): no such file or repository, out of reach, or several files and ``layer`` chooses none.
    """
    wanted = text.strip()
    if not wanted:
        raise UserError("Give the path of a file, or the id of a repository on the hub (owner/name).", "file")
    path = Path(wanted).expanduser()
    hub = _HUB_ID.fullmatch(wanted)
    try:
        there = path.exists()
    except (OSError, ValueError):  # a NUL in it, or too long for any file
        there = False
    if there or hub is None or hub[1].endswith(ENDINGS):
        if path.suffix.lower() not in ENDINGS:
            raise UserError(
                f"A mixture is a file that ends in {', '.join(ENDINGS)}; for one on the hub give owner/name.", "file"
            )
        foreign.regular(path, "file")
        return Place(path, path.name)
    return _from_hub(hub[1], hub[2] or "", layer)


def _from_hub(name: str, file: str, layer: int) -> Place:
    from huggingface_hub import HfApi, constants, errors, hf_hub_download

    http_error: type[Exception] = getattr(errors, "HTTPError", OSError)  # of the HTTP library, whichever it is
    try:
        # Asked first and with a short limit: a download would try for half a minute where there is no network.
        info = HfApi().model_info(name, timeout=5, files_metadata=True)
        sizes = {s.rfilename: int(s.size or 0) for s in info.siblings or []}
        chosen = _chosen(name, sizes, file, layer)
        if sizes[chosen] > MAX_BYTES:
            raise UserError(f"{chosen} of {name} is larger than {MAX_BYTES >> 30} GiB. It is not read.", "file")
        return Place(Path(hf_hub_download(name, chosen, revision=info.sha)), f"{name}:{chosen} at {str(info.sha)[:8]}")
    except errors.GatedRepoError as error:
        raise UserError(
            f"{name} is gated: its owner asks who downloads it. Accept its terms on the hub and log in.", "file"
        ) from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise UserError(
            f"There is no file {name} here, and the hub has no repository of that name, or it is private. Check the "
            "spelling.",
            "file",
        ) from error
    except (http_error, OSError) as error:
        kept = _in_cache(name, file)
        if kept is not None:
            return kept
        off = bool(constants.HF_HUB_OFFLINE)
        raise UserError(
            f"{'Downloads are switched off (HF_HUB_OFFLINE)' if off else 'The hub cannot be reached from here'}, and "
            f"{name}{':' + file if file else ''} is not on this machine. Give the path of a file"
            f"{'' if file else ', or owner/name:file for one that was downloaded before'}.",
            "file",
        ) from error


def _in_cache(name: str, file: str) -> Place | None:
    from huggingface_hub import try_to_load_from_cache

    kept = try_to_load_from_cache(name, file) if file else None
    return Place(Path(kept), f"{name}:{file}") if isinstance(kept, str) else None


def _chosen(name: str, sizes: dict[str, int], file: str, layer: int) -> str:
    """The file of a repository to read."""
    if file:
        if file not in sizes:
            raise UserError(f"{name} has no file {file}. Check the spelling.", "file")
        return file
    mixtures = sorted(f for f in sizes if f.lower().endswith(ENDINGS))
    if not mixtures:
        raise UserError(f"{name} holds no file of a mixture ({', '.join(ENDINGS)}).", "file")
    block = re.compile(rf"(?<![a-z0-9])l(?:ayer)?[_-]?{layer}(?!\d)", re.IGNORECASE)
    of_block = [f for f in mixtures if block.search(f)] or mixtures
    if len(of_block) > 1:
        raise UserError(
            f"{name} holds {len(mixtures)} files ({', '.join(mixtures[:6])}), and block {layer} does not choose one of "
            "them. Set the block, or write owner/name:file.",
            "file",
        )
    return of_block[0]
