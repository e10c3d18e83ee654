"""Packs on the Hugging Face hub: pushed to a repository with a card that is written from the manifest, opened by id.

Everything goes through the hub's own client, with the token that the user has given to it (HF_TOKEN, or a login).
Nothing here decides to push: whoever calls has shown where and what. A card that somebody wrote by hand stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from analysis import __version__
from analysis.errors import UserError
from analysis.portable.answers.files import PushedPack
from analysis.portable.kinds import KINDS
from analysis.portable.pack import MAX_PACK, PackManifest, read_pack

FILE = "attune-pack.zip"
CARD = "README.md"
REPOSITORY = "repository"
_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]{0,199}", re.ASCII)
_MARK = "This card was written by Attune"


def check_repository(repository: str, revision: str = "") -> None:
    """Raises UserError("repository") for what is no id of a repository, or no revision."""
    if not _ID.fullmatch(repository) or ".." in repository:
        raise UserError(
            "A repository is named owner/name, with letters, digits, dots, dashes, underscores.", REPOSITORY
        )
    if revision and (not _REVISION.fullmatch(revision) or ".." in revision):
        raise UserError("A revision is a branch, a tag or a commit. Leave it empty for main.", REPOSITORY)


def push(pack: Path, repository: str, private: bool = True) -> PushedPack:
    """Upload a pack in one commit, and make the repository if it is not there (``private`` then counts).

    Raises UserError("repository"): no token, no right to write, no such owner, or the hub is out of reach.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, get_token

    check_repository(repository)
    manifest = read_pack(pack)
    if not get_token():
        raise UserError(
            "The hub asks for a token that may write. Set HF_TOKEN, or run “hf auth login”, and start Attune again.",
            REPOSITORY,
        )
    with _hub(repository):
        api = HfApi()
        api.create_repo(repository, private=private, exist_ok=True)
        files = [CommitOperationAdd(FILE, pack)]
        own_card = not api.file_exists(repository, CARD) or _MARK in Path(
            api.hf_hub_download(repository, CARD)
        ).read_text(encoding="utf-8", errors="replace")
        if own_card:
            files.append(CommitOperationAdd(CARD, card(manifest).encode()))
        made = api.create_commit(
            repository, files, commit_message=f"Artefacts of {manifest.label} (Attune {__version__})"
        )
    stays = "" if own_card else " Its card was written by somebody and stays."
    count = len(manifest.members)
    sentence = f"Pushed {count} {'artefact' if count == 1 else 'artefacts'} of {manifest.label} to {repository}.{stays}"
    return PushedPack(repository, f"{api.endpoint}/{repository}", str(made.oid), sentence)


def fetch(repository: str, revision: str = "") -> Path:
    """The pack of a repository, in the hub's cache. Raises UserError("repository")."""
    from huggingface_hub import HfApi

    check_repository(repository, revision)
    with _hub(repository):
        api = HfApi()
        info = api.get_paths_info(repository, FILE, revision=revision or None)
        if info and getattr(info[0], "size", 0) > MAX_PACK:
            raise UserError(f"The pack in {repository} is larger than {MAX_PACK >> 30} GB.", REPOSITORY)
        return Path(api.hf_hub_download(repository, FILE, revision=revision or None))


def card(manifest: PackManifest) -> str:
    """The card of a pack in Markdown, from what its manifest says; nothing in it can be more than text."""
    base = [f"base_model: {manifest.source}"] if "/" in manifest.source and manifest.loadable else []
    head = ["---", "library_name: attune", "tags: [interpretability, attune]", *base, "---"]
    rows = [
        f"| {KINDS[row['kind']].noun if row['kind'] in KINDS else _cell(row['kind'])} | {_cell(row['name'])} | "
        f"{_cell(row['title'])} | {row['size'] / 1e6:,.1f} MB | `{row['sha256'][:12]}` |"
        for row in manifest.members
    ]
    weights = ", ".join(sorted({_cell(value) for value in manifest.fingerprints.values()}))
    revision = f" at {_cell(manifest.revision)}" if manifest.revision else ""
    return "\n".join(
        [
            *head, "", f"# Artefacts of {_cell(manifest.label)}", "",
            f"Made from `{_cell(manifest.source)}`{revision}, whose weights have the fingerprint {weights}. "
            f"`{FILE}` holds them with a manifest and checksums; Attune opens it on its Model page by the id of this "
            "repository.", "",
            "| kind | name | of | size | SHA-256 |", "|---|---|---|---|---|", *rows, "",
            f"{_MARK} {__version__}; it is written anew with each push.", "",
        ]
    )  # fmt: skip


def _cell(text: str) -> str:
    """A text as it may stand in a cell of a table."""
    return re.sub(r"[^\w .,:;/()+=-]", "", text)[:120]


@contextmanager
def _hub(repository: str) -> Iterator[None]:
    """What fails between here and the hub, in a sentence."""
    from huggingface_hub import errors

    http_error: type[Exception] = getattr(errors, "HTTPError", OSError)
    try:
        yield
    except UserError:
        raise
    except errors.GatedRepoError as error:
        raise UserError(f"{repository} is gated: accept its terms on its page, then try again.", REPOSITORY) from error
    except errors.RevisionNotFoundError as error:
        raise UserError(f"{repository} has no such revision. Leave it empty for main.", REPOSITORY) from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(
            f"The hub has no repository {repository}, or it is private and the token may not see it.", REPOSITORY
        ) from error
    except errors.EntryNotFoundError as error:
        raise UserError(f"{repository} has no {FILE}, so there is no pack of Attune in it.", REPOSITORY) from error
    except errors.HfHubHTTPError as error:
        status = getattr(getattr(error, "response", None), "status_code", 0)
        if status in (401, 403):
            raise UserError(
                f"The hub does not let this token write to {repository}. Check the owner's name and its rights.",
                REPOSITORY,
            ) from error
        raise UserError(
            f"The hub answered {status or 'an error'} for {repository}. Try again later.", REPOSITORY
        ) from error
    except (http_error, OSError) as error:
        raise UserError(
            "The hub cannot be reached from this machine. Save the pack as a file instead, or check the network.",
            REPOSITORY,
        ) from error
